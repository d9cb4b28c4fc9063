"""By how much bands are widened, or narrowed, from one lead to the next."""

import dataclasses

import numpy as np


@dataclasses.dataclass(frozen=True)
class Widths:
    """Factors of the standard deviations, `factors` `(lead, channel)` at so many samples ahead; JSON-able, and saved
    with the model. Between two leads it is interpolated in their logarithms; beyond the last one it stays."""

    leads: tuple[float, ...]
    factors: tuple[tuple[float, ...], ...]

    def __call__(self, length: int) -> np.ndarray:
        """`(length, channel)`, for 1, 2, ... samples ahead."""
        ahead = np.log(np.arange(1, length + 1))
        columns = [np.interp(ahead, np.log(self.leads), column) for column in np.asarray(self.factors).T]
        return np.stack(columns, axis=1)

    @classmethod
    def of(cls, leads: np.ndarray, factors: np.ndarray) -> "Widths":
        """From a table in which a factor may be NaN: then it is that of the nearest lead before, else after, or 1."""
        columns = [_filled(column) for column in factors.T]
        return cls(tuple(leads.tolist()), tuple(map(tuple, np.stack(columns, axis=1).tolist())))

    def to_dict(self) -> dict:
        """For JSON."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, d: dict) -> "Widths":
        """Back from JSON."""
        return cls(tuple(d["leads"]), tuple(map(tuple, d["factors"])))


def _filled(column: np.ndarray) -> np.ndarray:
    known = np.flatnonzero(~np.isnan(column))
    if not len(known):
        return np.ones(len(column))
    return column[known[np.maximum(np.searchsorted(known, np.arange(len(column)), side="right") - 1, 0)]]
