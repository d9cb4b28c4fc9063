"""Scores of forecasts in the held-out tail, each with the number of values behind it."""

import functools
from typing import NamedTuple

import jax
import numpy as np

from ctmodels import metrics
from ctmodels._core._scaling import Scaling
from ctmodels._core._words import argument
from ctmodels.metrics import Score
from ctmodels.reconstruction._joined import gaps
from ctmodels.reconstruction._split import Split, Spread
from ctmodels.reconstruction._text import TimeUnit

FEWEST = 3  # observed values; of fewer, an error says nothing
THRESHOLD = 0.4  # standard deviations, up to which a forecast is valid
LIMIT = 1e3  # standard deviations, beyond which a forecast has diverged, whatever its number
SIGNS = "values on both sides of zero, where per cent say nothing"
ERRORS = ("nrmse", "rmse_log", "rmse", "smape", "mase")

Scores = dict[str, Score]  # by name; in the order in which they are shown


def plain_numbers(scores: Scores) -> dict:
    """For JSON: name -> number or None; "counts": name -> how many values are behind it; "reasons": name -> why it is
    None or infinite; "at_least": names of lower bounds."""
    return {
        **{name: None if s.value is None else float(s.value) for name, s in scores.items()},
        "counts": {name: s.count for name, s in scores.items() if s.count is not None},
        "reasons": {name: s.reason for name, s in scores.items() if s.reason},
        "at_least": [name for name, s in scores.items() if s.at_least],
    }


def scores_of(forecasts: Spread, split: Split, scaling: Scaling, season: int, unit: TimeUnit) -> Scores:
    """All that is scored of an ensemble's forecasts `(origin, horizon, channel)`."""
    median = forecasts.median
    return {
        **forecast_errors(median, split, scaling, season),
        "coverage": coverage(*forecasts.limits(), split),
        "pit_distance": pit_distance(forecasts, split),
        "valid_prediction_time": valid_prediction_time(median, split, scaling.time_scale, unit),
    }


def forecast_errors(median: np.ndarray, split: Split, scaling: Scaling, season: int) -> Scores:
    """Of scaled medians `(origin, horizon, channel)`, pooled over origins and channels."""
    season = season if season < split.train().longest else 1
    found = _found(median, split, scaling, season)
    error = lambda name, head, meaning: Score(
        found[name].value, head, meaning, "lower", found[name].count, found[name].reason
    )
    of_logs = {
        "rmse_log": error(
            "rmse_log", "RMSE of logs", "Root mean square error of natural logarithms: 0.1 is about 10 %."
        )
    }
    return {
        "nrmse": error(
            "nrmse",
            "NRMSE",
            "Root mean square error of the forecasts, each channel in standard deviations of its training data. The "
            "training mean reaches about 1.",
        ),
        **(of_logs if scaling.log else {}),
        "rmse": error(
            "rmse",
            "RMSE",
            "Root mean square error in the units of the data, channels pooled: one of large numbers rules it.",
        ),
        "smape": error("smape", "sMAPE", "Symmetric mean absolute percentage error, from 0 to 200."),
        "mase": error(
            "mase",
            "MASE",
            f"Mean absolute error over that of repeating the last season ({season} samples) in the training data. "
            "Below 1 is better than that.",
        ),
    }


class _Found(NamedTuple):
    value: float | None
    count: int
    reason: str = ""


def _found(median: np.ndarray, split: Split, scaling: Scaling, season: int) -> dict[str, _Found]:
    """Each error, or why there is none."""
    count = int(np.sum(~np.isnan(split.targets())))
    if count < FEWEST:
        return dict.fromkeys(ERRORS, _Found(None, 0, _too_few(count)))
    lost = diverged(median)
    if lost.any():
        return dict.fromkeys(ERRORS, _Found(np.inf, count, f"diverged from {lost.sum()} of {len(lost)} origins"))
    values = _scaled_errors(median, split, scaling, count) | _physical_errors(median, split, scaling, season)
    undefined = _Found(None, 0, "the training part has no two different values a season apart")
    found = {name: _Found(value, count) if np.isfinite(value) else undefined for name, value in values.items()}
    return found | ({"smape": _Found(None, 0, SIGNS)} if _two_signs(split, scaling) else {})


def _two_signs(split: Split, scaling: Scaling) -> bool:
    """Whether a channel has values on both sides of zero: of what is near zero, per cent say nothing."""
    if scaling.log:
        return False
    ys, mask = scaling.unscale(np.asarray(split.series.ys, np.float64)), np.asarray(split.series.mask)
    return any((y[seen] > 0).any() and (y[seen] < 0).any() for y, seen in zip(ys.T, mask.T, strict=True))


def _too_few(count: int) -> str:
    found = {0: "nothing", 1: "one value"}.get(count, f"{count} values")
    remedy = f"hold out more rows: {argument('held_out', ...)}"
    return f"{found} observed in the held-out tail, where the forecasts reach; {remedy}"


def diverged(median: np.ndarray) -> np.ndarray:
    """Which origins' forecasts are not finite, or far outside anything that was seen."""
    return ~np.all(np.abs(median) < LIMIT, axis=(1, 2))


def _scaled_errors(median: np.ndarray, split: Split, scaling: Scaling, count: int) -> dict[str, float]:
    """Of z-scores; and of logarithms, which they are the z-scores of where logarithms are taken."""
    true = split.targets()
    error = np.where(np.isnan(true), 0, median - np.nan_to_num(true))
    pooled = lambda error: float(np.sqrt(np.sum(error**2) / count))
    return {"nrmse": pooled(error), "rmse_log": pooled(error * np.asarray(scaling.std))}


def _physical_errors(median: np.ndarray, split: Split, scaling: Scaling, season: int) -> dict[str, float]:
    """In the units of the data."""
    history = split.train()
    if history.breaks:  # no season reaches from one trial into the next
        history = history.padded(history.lengths + season)
    true, channels = split.targets(), median.shape[-1]
    tables = np.nan_to_num(true), np.clip(median, -50, 50), np.asarray(history.series.ys, np.float64)
    physical, forecast, past = (scaling.unscale(table).reshape(-1, channels) for table in tables)
    seen = ~np.isnan(true).reshape(-1, channels)
    values = _errors(physical, forecast, past, seen, np.asarray(history.series.mask), season)
    return {name: float(value) for name, value in values.items()}


@functools.partial(jax.jit, static_argnames="season")
def _errors(true, forecast, past, seen, past_seen, season: int) -> dict:
    return {
        "rmse": metrics.rmse(true, forecast, seen),
        "smape": metrics.smape(true, forecast, seen),
        "mase": metrics.mase(true, forecast, past, season, seen, past_seen),
    }


def valid_times(median: np.ndarray, split: Split, time_scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Of each origin, physical: how long the forecast is valid, NaN where nothing was observed; and whether it still is
    at the last observation, so that the time is a lower bound.

    It ends at the first observation that is more than 0.4 standard deviations off (root mean square over the channels
    observed), and is zero if that is the first one.
    """
    true = split.targets()
    seen = ~np.isnan(true)
    with np.errstate(invalid="ignore", over="ignore"):
        square = np.where(seen, (median - np.nan_to_num(true)) ** 2, 0).sum(axis=2) / np.maximum(seen.sum(axis=2), 1)
    rows = np.any(seen, axis=2)
    wrong = ~(square <= THRESHOLD**2) & rows  # what is NaN is wrong
    ts = np.asarray(split.series.ts, np.float64)
    lead = ts[split.origins[:, None] + 1 + np.arange(split.horizon)] - ts[split.origins][:, None]
    held, observed = ~np.any(wrong, axis=1), np.any(rows, axis=1)
    first, last = np.argmax(wrong, axis=1), split.horizon - 1 - np.argmax(rows[:, ::-1], axis=1)
    at_once = ~held & (first == np.argmax(rows, axis=1))
    each = np.arange(len(lead))
    times = np.where(held, lead[each, last], np.where(at_once, 0, lead[each, first]))
    return np.where(observed, times * time_scale, np.nan), held & observed


def valid_prediction_time(median: np.ndarray, split: Split, time_scale: float, unit: TimeUnit) -> Score:
    """The median of the valid times over origins."""
    reach = split.horizon * time_scale * float(np.median(gaps(np.asarray(split.series.ts, np.float64), split.breaks)))
    head = f"Valid time [{unit.durations}]"
    meaning = (
        f"Valid prediction time: how long a forecast stays within {THRESHOLD:g} standard deviations of what came. The "
        f"median over origins; no more than the horizon of {reach:.3g} {unit.durations} was tried."
    )
    times, held = valid_times(median, split, time_scale)
    observed = np.isfinite(times)
    if not observed.any():
        return Score(None, head, meaning, "higher", 0, _too_few(0))
    middle = float(np.median(times[observed]))
    # Of the median, a bound that half of the times do not reach is none.
    bound = bool(np.any(held & (times <= middle)) if middle > 0 else False)
    return Score(middle, head, meaning, "higher", int(observed.sum()), at_least=bound)


def coverage(lower: np.ndarray, upper: np.ndarray, split: Split) -> Score:
    """The share of observed values within the band; 0.9 is right."""
    head = "Coverage"
    meaning = "The share of what came within the forecasts' 90 % band: 0.9 is right, less is a band too narrow."
    true = split.targets()
    seen = ~np.isnan(true)
    if seen.sum() < FEWEST:
        return Score(None, head, meaning, count=0, reason=_too_few(int(seen.sum())))
    within = (lower <= true) & (true <= upper)
    return Score(float(within[seen].mean()), head, meaning, count=int(seen.sum()))


def pit_distance(forecasts: Spread, split: Split) -> Score:
    """Kolmogorov's distance from uniform of where in its forecast each observed value lies."""
    head = "PIT distance"
    meaning = (
        "How far from uniform it is where what came lies in the forecasts' distributions, which are normal on either "
        "side of the median: 0 is right, below 0.1 is good; more says that they are off, too wide or too narrow."
    )
    true = split.targets()
    count = int(np.sum(~np.isnan(true)))
    if count < FEWEST:
        return Score(None, head, meaning, "lower", 0, _too_few(count))
    return Score(float(_distance(forecasts.deviations(true))), head, meaning, "lower", count)


@jax.jit
def _distance(deviations) -> jax.Array:
    return metrics.pit_distance(jax.scipy.stats.norm.cdf(deviations))
