r"""Whether errors are white: their autocorrelation, and Ljung and Box's test, on the host.

$$r_k = \frac{\overline{x_t x_{t+k}}}{\overline{x_t^2}}, \qquad Q = \sum_k n_k r_k^2 \sim \chi^2_K,$$

over the n_k pairs of which both are there; of white noise, r lies within 1.96 / sqrt(n) 95 times in 100. (Ljung and
Box, Biometrika 65 (1978); of missing values: Dunsmuir and Robinson, JASA 76 (1981).)
"""

from typing import NamedTuple

import numpy as np

LIMIT = 1.96  # of 95 % of a normal distribution
FEWEST = 10  # values, to speak of an autocorrelation


class Autocorrelation(NamedTuple):
    """`values` `(lag,)` at 1, 2, ... rows; `limit`: of white noise, 95 times in 100; `chance`: that white noise has so
    much; `count`: of values. NaN where there are no pairs, or too few values."""

    values: np.ndarray
    limit: float
    chance: float
    count: int


def autocorrelation(x: np.ndarray, lags: int, breaks: tuple[int, ...] = ()) -> Autocorrelation:
    """Of `x` `(row,)` about its mean, NaN where missing; no pair reaches over a break, the row at which another series
    begins."""
    seen = np.isfinite(x)
    count = int(seen.sum())
    about = np.where(seen, x - (x[seen].mean() if count else 0.0), 0.0)
    square = float(np.sum(about**2))
    if count < FEWEST or square == 0:
        return Autocorrelation(np.full(lags, np.nan), np.nan, np.nan, count)
    part = np.searchsorted(breaks, np.arange(len(x)), side="right")
    values, pairs = np.array([_at(about, seen, part, lag) for lag in range(1, lags + 1)]).T
    values = np.where(pairs > 0, values / np.maximum(pairs, 1) * count / square, np.nan)
    return Autocorrelation(values, LIMIT / np.sqrt(count), _chance(values, pairs), count)


def _at(about: np.ndarray, seen: np.ndarray, part: np.ndarray, lag: int) -> tuple[float, int]:
    both = seen[lag:] & seen[:-lag] & (part[lag:] == part[:-lag])
    return float(np.sum((about[lag:] * about[:-lag])[both])), int(both.sum())


def _chance(values: np.ndarray, pairs: np.ndarray) -> float:
    from scipy.special import chdtrc  # here, as importing it takes a fourth of the time of `import ctmodels`

    there = pairs > 0
    return float(chdtrc(int(there.sum()), np.sum(pairs[there] * values[there] ** 2))) if there.any() else np.nan
