"""A forecast as quantiles at one set of levels, whatever it came as: `(level, lead, channel)`."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy.special import ndtri

from ctmodels._core._validation import DataError
from ctmodels._core._words import kind_of

LEVELS = (np.arange(100) + 0.5) / 100
_Z = ndtri(LEVELS)


def of_normal(median: np.ndarray, below: np.ndarray, above: np.ndarray) -> np.ndarray:
    """Of a normal distribution whose deviation below its median may be another one than above; a new axis in front."""
    z = _Z.reshape(-1, *[1] * np.ndim(median))
    return median + np.where(z < 0, below, above) * z


def of_answer(answer: Any, n: int, channels: int) -> np.ndarray:
    """Of what a function of the user's gave: draws `(draw, n, channel)`, or a median with quantiles."""
    if isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[1], Mapping):
        return _of_stated(*answer, (n, channels))
    draws = _numbers(answer, "draws")
    if draws.ndim != 3 or draws.shape[1:] != (n, channels) or not len(draws):
        raise DataError(f"gave {kind_of(draws)}, where draws of shape (draw, {n}, {channels}) are wanted, or {STATED}")
    return np.quantile(draws, LEVELS, axis=0, method="hazen")


STATED = "(median, {0.05: lower, 0.95: upper}), each of shape (row ahead, channel)"


def _numbers(x: Any, what: str) -> np.ndarray:
    try:
        return np.asarray(x, np.float64)
    except (TypeError, ValueError):
        raise DataError(f"gave {kind_of(x)} for {what}, where numbers are wanted, or {STATED}") from None


def _of_stated(median: Any, quantiles: Mapping, shape: tuple[int, int]) -> np.ndarray:
    """Between the levels that are stated, and beyond them, straight lines over the quantiles of a normal distribution:
    exact where the forecast is one. A median alone is a forecast without spread."""
    stated = {0.5: median, **quantiles}
    levels = np.array(sorted(stated), np.float64)
    if not (levels[0] > 0 and levels[-1] < 1):
        raise DataError(f"gave quantiles of the levels {levels.tolist()}, which are between 0 and 1")
    values = np.stack([_of_shape(stated[level], shape, level) for level in sorted(stated)])
    if np.any(np.diff(values, axis=0) < 0):
        raise DataError(f"gave quantiles that cross: those of the levels {levels.tolist()} have to increase")
    if len(levels) == 1:
        return np.repeat(values, len(LEVELS), axis=0)
    z = ndtri(levels)
    left = np.clip(np.searchsorted(z, _Z) - 1, 0, len(z) - 2)
    share = ((_Z - z[left]) / (z[left + 1] - z[left]))[:, None, None]
    return values[left] + share * (values[left + 1] - values[left])


def _of_shape(x: Any, shape: tuple[int, int], level: float) -> np.ndarray:
    values = _numbers(x, f"the quantile {level:g}")
    if values.shape != shape:
        raise DataError(f"gave {kind_of(values)} for the quantile {level:g}, where the shape {shape} is wanted")
    return values


def at(quantiles: np.ndarray, level: float, axis: int) -> np.ndarray:
    """The quantile of another level, between its neighbours."""
    place = np.clip(level * len(LEVELS) - 0.5, 0, len(LEVELS) - 1)
    low = min(int(place), len(LEVELS) - 2)
    below, above = (np.take(quantiles, i, axis=axis) for i in (low, low + 1))
    return below + (place - low) * (above - below)
