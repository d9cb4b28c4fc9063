"""Scaling: the units of the data on the outside, numbers near one on the inside. Saved with the model."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax.numpy as jnp
import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._series import Series
from ctmodels._core._validation import DataError, check_lengths, check_times, check_values
from ctmodels._core._words import argument


@dataclasses.dataclass(frozen=True)
class Scaling:
    """Affine in time and in the values, or affine in their logarithms.

    Fitted on the host in float64. `origin` and `time_scale`: tau = (t - origin) / time_scale;
    `mean`, `std`: one per channel; `log`: per channel, whether the logarithm is taken first.
    """

    origin: float
    time_scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    log: bool = False

    @classmethod
    def fit(
        cls,
        ts: ArrayLike,
        ys: ArrayLike,
        *,
        log: bool = False,
        names: Sequence[str] | None = None,
        at: Callable[[int], str] | None = None,
        name: str = "ys",
    ) -> "Scaling":
        """Fit to `ts` `(time,)` and `ys` `(time, channel)` with NaN for missing values.

        Values are z-scored. The unit of time is the one in which the scaled series moves at speed one
        (root mean square), rounded so that the median spacing is a power of two: regular sampling times
        are then exact in any float type. *Convenience.* Raises `DataError` where either is unusable; `at` names the
        place of row `i` in it, and `name` the values as a whole.
        """
        return cls.fit_all([(ts, ys)], log=log, names=names, at=at, name=name)

    @classmethod
    def fit_all(
        cls,
        pairs: Sequence[tuple],
        *,
        log: bool = False,
        names: Sequence[str] | None = None,
        at: Callable[[int], str] | None = None,
        name: str = "ys",
    ) -> "Scaling":
        """One scaling for several series, `pairs` of `ts` and `ys` as in `fit`: each observed value counts the same.
        Rows are counted on from series to series."""
        for ts, ys in pairs:
            check_times(ts)
            check_lengths(ts, ys)
        ts = [np.asarray(ts, np.float64) for ts, _ in pairs]
        ys = np.concatenate([np.asarray(ys, np.float64) for _, ys in pairs])
        _check_values(ys, names, log, at, name)
        values = np.log(ys) if log else ys
        mean, std = np.nanmean(values, axis=0), np.nanstd(values, axis=0)
        std = np.where(std > 0, std, 1.0)
        zs = np.split((values - mean) / std, np.cumsum([len(t) for t in ts])[:-1])
        origin = min(float(t[0]) for t in ts)
        return cls(origin, _unit_of_time(ts, zs), tuple(mean.tolist()), tuple(std.tolist()), log)

    def times(self, ts: ArrayLike) -> np.ndarray:
        """Scaled times, float64, on the host."""
        return (np.asarray(ts, np.float64) - self.origin) / self.time_scale

    def unscale_times(self, taus: ArrayLike) -> np.ndarray:
        """Physical times, float64, on the host."""
        return np.asarray(taus, np.float64) * self.time_scale + self.origin

    def scale(self, ys: Any) -> Any:
        """Scaled values of `(..., channel)`; JAX or NumPy."""
        xp = np if isinstance(ys, np.ndarray) else jnp
        values = xp.log(ys) if self.log else ys
        return (values - _like(self.mean, values, xp)) / _like(self.std, values, xp)

    def unscale(self, zs: Any) -> Any:
        """Physical values of `(..., channel)`; JAX or NumPy."""
        xp = np if isinstance(zs, np.ndarray) else jnp
        values = zs * _like(self.std, zs, xp) + _like(self.mean, zs, xp)
        return xp.exp(values) if self.log else values

    def series(
        self,
        ts: ArrayLike,
        ys: ArrayLike,
        *,
        names: Sequence[str] | None = None,
        constant: bool = False,
        at: Callable[[int], str] | None = None,
    ) -> Series:
        """Physical `(time,)` and `(time, channel)` with NaN, checked and scaled to a `Series`. `at` names the place of
        row `i` in messages."""
        values = self.scale(np.asarray(ys, np.float64))
        return Series.from_nan(self.times(ts), values, names=names, constant=constant, at=at)

    def to_dict(self) -> dict:
        """For JSON; `Scaling.from_dict` brings it back."""
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, d: dict) -> "Scaling":
        """Back from JSON, which knows no tuples."""
        return cls(**{**d, "mean": tuple(d["mean"]), "std": tuple(d["std"])})


def _like(row: tuple[float, ...], values, xp):
    return xp.broadcast_to(xp.asarray(row, values.dtype), values.shape)


def _check_values(ys: np.ndarray, names: Sequence[str] | None, log: bool, at, name: str) -> None:
    # An input may be constant, and so may an unlucky stretch of a channel.
    known = names or [str(c) for c in range(np.shape(ys)[-1])]
    check_values(ys, names, at, name=name, constant_ok=known)
    if log and np.any(ys <= 0):
        row, channel = np.argwhere(ys <= 0)[0].tolist()
        place = f"{at(row)}, column {known[channel]!r}:" if at else f"{name}[{row}, {channel}] ="
        raise DataError(
            f"{place} {ys[row, channel]:g}: logarithms need positive values; leave out {argument('log')}, or the column"
        )


def _unit_of_time(ts: list[np.ndarray], zs: list[np.ndarray]) -> float:
    gaps = np.concatenate([np.diff(t) for t in ts])
    spacing = float(np.median(gaps))
    speed = np.concatenate([np.diff(z, axis=0) for z in zs]) / gaps[:, None]
    # Over a gap much shorter than usual, noise moves faster than the data do.
    weights = np.where(np.isfinite(speed), np.minimum(gaps / spacing, 1)[:, None] ** 2, 0)
    rms = float(np.sqrt(np.nansum(weights * speed**2) / np.sum(weights))) if np.any(weights) else 0.0
    per_unit = 1 / (rms * spacing) if rms > 0 else 1.0
    # Measurement noise only makes the estimate shorter; a unit under one sample would be meaningless.
    return spacing * 2.0 ** max(0, round(np.log2(per_unit)))
