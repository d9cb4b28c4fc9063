r"""Scores of quantile forecasts, entry by entry, and the difference of two methods over origins.

With quantiles $x_k$ at the levels $q_k$ and an observation $y$, the pinball (quantile) score and the CRPS are

$$\rho_q(y, x) = \max(q\,(y - x),\ (q - 1)(y - x)), \qquad
  \mathrm{CRPS} = 2 \int_0^1 \rho_q\, dq \approx \tfrac2K \sum_k \rho_{q_k}(y, x_k).$$

A difference rests on its mean over origins, $\bar d$, with the variance

$$\tfrac1n \Bigl(\gamma_0 + 2 \sum_{k=1}^{K} (1 - \tfrac{k}{K + 1}) \gamma_k\Bigr)$$

of autocovariances up to the lag $K$ at which horizons no longer overlap, corrected for few origins, and on Student's
distribution of $n - 1$.

Gneiting and Raftery, J. Am. Stat. Assoc. 102 (2007); Hyndman and Koehler, Int. J. Forecasting 22 (2006): MASE; Diebold
and Mariano, J. Bus. Econ. Stat. 13 (1995); Newey and West, Econometrica 55 (1987); Harvey, Leybourne and Newbold, Int.
J. Forecasting 13 (1997).
"""

from typing import NamedTuple

import numpy as np

from ctmodels.backtesting._quantiles import LEVELS, at

FEWEST = 4  # origins; of fewer, no interval


class Difference(NamedTuple):
    """Mean difference of two methods' scores over the origins that both have, negative where the first is better, with
    its interval; NaN of fewer than four origins. `origins`: how many it rests on."""

    mean: float
    lower: float
    upper: float
    origins: int


class Truth(NamedTuple):
    """What came, `observed` `(origin, lead, channel)`, NaN where nothing was. `scale` `(channel,)`: the standard
    deviation of what was known at the first origin; `naive` `(origin, channel)`: the mean change from row to row
    before each."""

    observed: np.ndarray
    scale: np.ndarray
    naive: np.ndarray


def entries(quantiles: np.ndarray, truth: Truth, level: float) -> dict[str, np.ndarray]:
    """Each score of each entry, `(origin, lead, channel)`, of quantiles `(origin, level, lead, channel)`: NaN where
    nothing was observed or the method is left out, infinite where the forecast is no number."""
    seen = ~np.isnan(truth.observed) & ~np.any(np.isnan(quantiles), axis=1)
    lost = ~np.all(np.isfinite(quantiles), axis=1)
    quantiles = np.where(lost[:, None], 0.0, quantiles)
    error = lambda x: (np.where(seen, truth.observed, 0.0) - x) / truth.scale
    lower, median, upper = (at(quantiles, q, axis=1) for q in _stated(level))
    naive = np.where(truth.naive > 0, truth.naive, np.nan)[:, None]
    found = {
        "crps": 2 * np.mean(pinball(error(quantiles.swapaxes(0, 1)), LEVELS[:, None, None, None]), axis=0),
        **{f"pinball {q:.3g}": pinball(error(at(quantiles, q, axis=1)), q) for q in _stated(level)},
        "coverage": ((error(lower) >= 0) & (error(upper) <= 0)).astype(float),
        "mase": np.abs(error(median)) * truth.scale / naive,
    }
    return {n: np.where(seen, np.where(lost, 0 if n == "coverage" else np.inf, x), np.nan) for n, x in found.items()}


def _stated(level: float) -> tuple[float, float, float]:
    """Levels of the lower limit, the median, the upper limit."""
    return (1 - level) / 2, 0.5, (1 + level) / 2


def pinball(error: np.ndarray, level: np.ndarray | float) -> np.ndarray:
    """Quantile score, of `observed - quantile`."""
    return np.maximum(level * error, (level - 1) * error)


def pooled(table: dict[str, np.ndarray], axes: tuple[int, ...]) -> dict[str, np.ndarray]:
    """The mean over these axes of what was scored; NaN where nothing was."""
    return {name: mean(x, axes) for name, x in table.items()}


def mean(x: np.ndarray, axes: tuple[int, ...]) -> np.ndarray:
    """Over what is not NaN."""
    seen = ~np.isnan(x)
    count = seen.sum(axis=axes)
    return np.where(count > 0, np.sum(np.where(seen, x, 0), axis=axes) / np.maximum(count, 1), np.nan)


def difference(first: np.ndarray, second: np.ndarray, overlap: int, level: float) -> Difference:
    """Of two methods' scores by origin, `(origin,)`, NaN where one was not scored. `overlap`: neighbouring origins
    whose horizons share rows."""
    from scipy.special import stdtrit

    both = ~(np.isnan(first) | np.isnan(second))
    n = int(both.sum())
    if not n or not np.all(np.isfinite(first[both]) & np.isfinite(second[both])):
        worse = np.inf if n and np.all(np.isfinite(second[both])) else np.nan
        return Difference(worse, np.nan, np.nan, n)
    d = first[both] - second[both]
    if n < FEWEST:
        return Difference(float(d.mean()), np.nan, np.nan, n)
    reach = float(stdtrit(n - 1, (1 + level) / 2)) * _standard_error(d, min(overlap, n - 2))
    return Difference(float(d.mean()), float(d.mean() - reach), float(d.mean() + reach), n)


def _standard_error(d: np.ndarray, lags: int) -> float:
    n, about = len(d), d - d.mean()
    covariance = np.array([np.sum(about[k:] * about[: n - k]) / n for k in range(lags + 1)])
    weights = np.where(np.arange(lags + 1) == 0, 1, 2 * (1 - np.arange(lags + 1) / (lags + 1)))
    steps = lags + 1
    correction = (n + 1 - 2 * steps + steps * (steps - 1) / n) / n
    return float(np.sqrt(np.sum(weights * covariance) / n / max(correction, 1 / n)))
