r"""How wide a band of 90 % must be, from what the model missed: conformal prediction by lead time.

Of past forecasts, each made from what was known at its origin, the ratios $|x - \hat x| / \sigma$ of a channel are
collected by lead time. Their 90 % quantile, with the correction for a finite sample, takes the place of the Gaussian's
1.645. A ratio is used once its observation lies in the past of the origin that the band is for: first those of the
training part, then those of the tail up to there (Gibbs and Candès, "Adaptive conformal inference", NeurIPS 2021;
Stankevičiūtė, Alaa and van der Schaar, "Conformal time-series forecasting", NeurIPS 2021).
"""

from typing import NamedTuple

import numpy as np

from ctmodels.reconstruction._evaluation import ahead, follow_training
from ctmodels.reconstruction._fitting import Trained
from ctmodels.reconstruction._split import BAND, SPREAD, Split, Spread
from ctmodels.reconstruction._widths import Widths

STARTS = 100  # past forecasts, at most


class Ratios(NamedTuple):
    """`values` `(origin, lead, channel)`, NaN where nothing was observed; `rows` `(origin, lead)`: of which sample."""

    values: np.ndarray
    rows: np.ndarray


class Calibrated(NamedTuple):
    """Factors of the standard deviations: of the scored forecasts `(origin, lead, channel)`, each from what was known
    at its origin; of a forecast of the whole tail; and of one beyond the data."""

    origins: np.ndarray
    tail: Widths
    beyond: Widths


def calibrated(trained: Trained, split: Split, forecasts: Spread) -> Calibrated:
    """From the residuals of the training part and, for later origins, of the tail up to there."""
    training = of_training(trained, split)
    n = split.series.ts.shape[0]
    past = joined(training, ratios(forecasts, split, split.origins, n))
    of_origins = np.stack([widths(past, origin + 1)(split.horizon) for origin in split.origins])
    return Calibrated(of_origins, widths(training, split.n_train), widths(past, n))


def of_training(trained: Trained, split: Split) -> Ratios:
    """Forecasts from samples of the training part, as far as that goes."""
    first, last = min(split.n_train // 8, split.n_train - 2), split.n_train - 2
    origins = np.unique(np.linspace(first, last, STARTS).astype(int))
    length = min(max(split.horizon, split.series.ts.shape[0] - split.n_train), max(1, split.n_train // 2))
    states = follow_training(trained, split)[:, origins]
    return ratios(ahead(trained, split, states, origins, length), split, origins, split.n_train)


def ratios(spread: Spread, split: Split, origins: np.ndarray, stop: int) -> Ratios:
    """Of forecasts against the observations before sample `stop`."""
    rows = origins[:, None] + 1 + np.arange(spread.median.shape[1])
    known = split.series.to_nan()[:stop].astype(np.float64)
    true = np.where((rows < stop)[..., None], known[np.minimum(rows, stop - 1)], np.nan)
    missed = np.abs(true - spread.median) / spread.std
    missed = np.where(np.isnan(spread.median), np.inf, missed)
    return Ratios(np.where(np.isnan(true), np.nan, missed), rows)


def joined(first: Ratios, second: Ratios) -> Ratios:
    """Both, the shorter leads filled up with nothing."""
    most = max(first.rows.shape[1], second.rows.shape[1])
    pad = lambda r: [(0, 0), (0, most - r.rows.shape[1])]
    values = [np.pad(r.values, [*pad(r), (0, 0)], constant_values=np.nan) for r in (first, second)]
    rows = [np.pad(r.rows, pad(r)) for r in (first, second)]
    return Ratios(np.concatenate(values), np.concatenate(rows))


def widths(past: Ratios, before: int) -> Widths:
    """What to multiply standard deviations by, from the ratios of observations before sample `before`."""
    known = np.where((past.rows < before)[..., None], past.values, np.nan)
    edges = _edges(known.shape[1])
    factors = [_quantiles(known[:, a:b]) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return Widths.of(np.sqrt((edges[:-1] + 1.0) * edges[1:]), np.stack(factors))


def _edges(leads: int) -> np.ndarray:
    """Leads are pooled within factors of two."""
    edges = 2 ** np.arange(int(np.log2(leads)) + 1)
    return np.append(edges, leads + 1) - 1


def _quantiles(values: np.ndarray) -> np.ndarray:
    """Of each channel, over 1.645; NaN where none was observed."""
    return np.array([_quantile(v[~np.isnan(v)]) for v in np.moveaxis(values, -1, 0)]) / SPREAD


def _quantile(values: np.ndarray) -> float:
    if not len(values):
        return np.nan
    return float(np.quantile(values, min(1.0, BAND * (1 + 1 / len(values))), method="higher"))
