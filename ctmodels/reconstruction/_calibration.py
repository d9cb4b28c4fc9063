r"""How wide a band of 90 % must be, from what the model errors: conformal prediction by lead time.

Of past forecasts, each made from what was known at its origin, the ratios $|x - \hat x| / \sigma$ of a channel are
collected by lead time. Their 90 % quantile takes the place of the Gaussian's 1.645; for a finite sample it is that of
$0.9 (1 + 1/n)$, with n the number of independent ratios. A ratio is used once its observation lies in the past of the
origin that the band is for: first those of the training part, then those of the tail up to there; of samples that were
not trained on they count more, since a model errs less on what it has seen.

Gibbs and Candès, "Adaptive conformal inference under distribution shift", NeurIPS 2021; Stankevičiūtė, Alaa and van der
Schaar, "Conformal time-series forecasting", NeurIPS 2021.
"""

from typing import NamedTuple

import numpy as np

from ctmodels.reconstruction._draws import Known
from ctmodels.reconstruction._evaluation import forecast_from, known_at
from ctmodels.reconstruction._split import BAND, SPREAD, Split, Spread
from ctmodels.reconstruction._trained import Trained
from ctmodels.reconstruction._widths import Widths

ORIGINS = 100  # past forecasts, at most
HELD_OUT_WEIGHT = 5.0  # what a ratio counts of a sample that was not trained on, against one that the model has seen
CAP = 10.0  # standard deviations: further off is as bad
FEWEST_INDEPENDENT = 30.0  # what more rows than that count at the least: see docs/design.md


class Ratios(NamedTuple):
    """`values` `(origin, lead, channel)`, NaN where nothing was observed; `rows` `(origin, lead)`: of which sample."""

    values: np.ndarray
    rows: np.ndarray


class Calibration(NamedTuple):
    """Factors of the standard deviations: of the scored forecasts `(origin, lead, channel)`, each from what was known
    at its origin; of a forecast of the whole tail; and of one beyond the data."""

    origins: np.ndarray
    tail: Widths
    beyond: Widths


def calibrate(trained: Trained, split: Split, known: Known, forecasts: Spread) -> Calibration:
    """From the residuals of the training part and, for later origins, of the tail up to there; of held-out trials one
    comes after the other. `known`: the states in all rows."""
    training = training_ratios(trained, split, known)
    n, samples = split.series.ts.shape[0], trained.samples
    past = concatenate(training, ratios(forecasts, split, split.origins, n))
    of_origins = np.stack([widths(past, origin + 1, samples)(split.horizon) for origin in split.origins.tolist()])
    return Calibration(of_origins, widths(training, split.n_train, samples), widths(past, n, samples))


def training_ratios(trained: Trained, split: Split, known: Known) -> Ratios:
    """Forecasts from samples of the training part, as far as that, or the trial, goes."""
    training = split.train()
    rows = np.concatenate([possible_origins(part) for part in training.slices()])
    place = np.linspace(rows[0], rows[0] + len(rows) - 1, ORIGINS).astype(int) - rows[0]
    origins = np.unique(rows[place])
    length = min(max(split.horizon, split.tail_length), max(1, training.longest // 2))
    spread = forecast_from(trained, split, known_at(known, origins), origins, length)
    return ratios(spread, split, origins, split.n_train)


def possible_origins(part: slice) -> np.ndarray:
    """Of one trial: when a filter has found its state, and before the last row."""
    length = part.stop - part.start
    return part.start + np.arange(min(length // 8, length - 2), length - 1)


def ratios(spread: Spread, split: Split, origins: np.ndarray, stop: int) -> Ratios:
    """Of forecasts against the observations before sample `stop`."""
    rows, inside = split.ahead(origins, spread.median.shape[1])
    known = split.series.to_nan()[:stop].astype(np.float64)
    true = np.where((inside & (rows < stop))[..., None], known[np.minimum(rows, stop - 1)], np.nan)
    return Ratios(np.where(np.isnan(true), np.nan, np.abs(spread.deviations(true))), rows)


def concatenate(first: Ratios, second: Ratios) -> Ratios:
    """Both, the shorter leads filled up with nothing."""
    most = max(first.rows.shape[1], second.rows.shape[1])
    pad = lambda r: [(0, 0), (0, most - r.rows.shape[1])]
    values = [np.pad(r.values, [*pad(r), (0, 0)], constant_values=np.nan) for r in (first, second)]
    rows = [np.pad(r.rows, pad(r)) for r in (first, second)]
    return Ratios(np.concatenate(values), np.concatenate(rows))


def widths(past: Ratios, before: int, samples: int) -> Widths:
    """What to multiply standard deviations by, from the ratios of observations before sample `before`, of which those
    before `samples` were trained on."""
    known = np.where((past.rows < before)[..., None], past.values, np.nan)
    weights = np.broadcast_to(np.where(past.rows < samples, 1.0, HELD_OUT_WEIGHT)[..., None], known.shape)
    worth, edges = _independent_count(known, past.rows), _edges(known.shape[1])
    factors = [_quantiles(known[:, a:b], weights[:, a:b], worth) for a, b in zip(edges[:-1], edges[1:], strict=True)]
    return Widths.of(np.sqrt((edges[:-1] + 1.0) * edges[1:]), np.stack(factors))


def _edges(leads: int) -> np.ndarray:
    """Leads are pooled within factors of two."""
    edges = 2 ** np.arange(int(np.log2(leads)) + 1)
    return np.append(edges, leads + 1) - 1


def _quantiles(values: np.ndarray, weights: np.ndarray, independent: float) -> np.ndarray:
    """Of each channel, over 1.645; NaN where none was observed."""
    level, channels = min(1.0, BAND * (1 + 1 / independent)), values.shape[-1]
    pairs = [(values[..., c].ravel(), weights[..., c].ravel()) for c in range(channels)]
    return np.array([_quantile(v[~np.isnan(v)], w[~np.isnan(v)], level) for v, w in pairs]) / SPREAD


def _quantile(values: np.ndarray, weights: np.ndarray, level: float) -> float:
    if not len(values):
        return np.nan
    return float(np.quantile(values, level, weights=weights, method="inverted_cdf"))


def _independent_count(known: np.ndarray, rows: np.ndarray) -> float:
    """How many independent ratios so many are worth, by the correlation time of their means over each sample's
    forecasts: a slow series that strays once strays for long."""
    seen = ~np.isnan(known).all(axis=2)
    mean = np.nanmean(np.minimum(known, CAP)[seen], axis=1)
    count = np.bincount(rows[seen], minlength=1)
    at = count > 0
    each = np.bincount(rows[seen], weights=mean)[at] / count[at]
    n, about = len(each), each - each.mean()
    if n < 3 or not np.any(about):
        return float(n)
    correlation = np.correlate(about, about, "full")[n - 1 :] / np.sum(about**2)
    first = np.argmax(correlation <= 0)  # there is one: their sum is a half less than nothing
    return max(n / (1 + 2 * float(np.sum(correlation[1:first]))), min(float(n), FEWEST_INDEPENDENT))
