"""Parameters of a law as a table: values, and what the data leave open of them."""

import dataclasses
from typing import NamedTuple

import numpy as np


class Parameter(NamedTuple):
    """One parameter in the user's units. `error`, `lower`, `upper` are None where the data do not determine it."""

    name: str
    value: float
    error: float | None
    lower: float | None
    upper: float | None
    unit: str = ""

    def holds(self, value: float) -> bool:
        """Whether a value lies in the interval; False where there is none."""
        return self.lower is not None and self.upper is not None and self.lower <= value <= self.upper


@dataclasses.dataclass(frozen=True)
class Parameters:
    """The parameters of a law, as estimated.

    - `table`: a [`ctmodels.reconstruction.Parameter`][] each, in the order of the law's signature;
      `parameters["damping"]` is one.
    - `level`: of the intervals.
    - `correlation` `(parameter, parameter)`: of the errors, NaN where there are none.
    - `flat`: a sentence for each direction along which the data tell nothing.
    - `notes`: what else is to be known of the estimate.
    """

    table: tuple[Parameter, ...]
    level: float
    correlation: np.ndarray
    flat: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __getitem__(self, name: str) -> Parameter:
        for parameter in self.table:
            if parameter.name == name:
                return parameter
        raise KeyError(f"{name!r}: there are {', '.join(p.name for p in self.table)}")

    @property
    def values(self) -> dict[str, float]:
        """By name."""
        return {p.name: p.value for p in self.table}

    def __repr__(self) -> str:
        head = ("", "value", "error", f"{100 * self.level:g} % interval", "unit")
        rows = [head, *(_row(p) for p in self.table)]
        keep = [i for i in range(len(head)) if any(row[i] for row in rows[1:])]
        widths = [max(len(row[i]) for row in rows) for i in keep]
        lines = ["  ".join(row[i].ljust(w) for i, w in zip(keep, widths, strict=True)).rstrip() for row in rows]
        return "\n".join([*lines, *self.flat, *self.notes])

    def to_dict(self) -> dict:
        """For JSON."""
        correlation = [[None if np.isnan(x) else float(x) for x in row] for row in self.correlation]
        return {
            "values": {p.name: {k: v for k, v in p._asdict().items() if k != "name"} for p in self.table},
            "level": self.level,
            "correlation": correlation,
            "flat": list(self.flat),
            "notes": list(self.notes),
        }


def _row(p: Parameter) -> tuple[str, ...]:
    if p.error is None:
        return p.name, f"{p.value:.4g}", "–", "not determined", p.unit
    return p.name, f"{p.value:.4g}", f"{p.error:.2g}", f"{p.lower:.4g} to {p.upper:.4g}", p.unit
