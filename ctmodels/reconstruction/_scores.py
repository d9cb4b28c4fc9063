"""Scores of forecasts in the held-out tail, each with the number of values behind it."""

import functools
from typing import Any

import jax
import numpy as np

from ctmodels import metrics
from ctmodels._scaling import Scaling
from ctmodels._words import argument
from ctmodels.reconstruction._split import SPREAD, Split, Spread

FEWEST = 3  # observed values; of fewer, an error says nothing
THRESHOLD = 0.4  # standard deviations, up to which a forecast is valid
ASTRAY = 1e3  # standard deviations, beyond which a forecast has diverged, whatever its number

# Name -> number, or None; "counts": name -> how many values are behind it; "reasons": name -> why it is None or
# infinite; "at_least": names of those that met the end of what was looked at.
Scores = dict[str, Any]


def none(why: str, names) -> Scores:
    """Scores that there are not, and the reason."""
    return {**dict.fromkeys(names), "counts": dict.fromkeys(names, 0), "reasons": dict.fromkeys(names, why)}


def merged(*parts: Scores) -> Scores:
    """One table of scores of several."""
    kept: Scores = {k: v for part in parts for k, v in part.items() if k not in ("counts", "reasons", "at_least")}
    for key in ("counts", "reasons"):
        kept[key] = {k: v for part in parts for k, v in part.get(key, {}).items()}
    return kept | {"at_least": [name for part in parts for name in part.get("at_least", ())]}


def scores_of(forecasts: Spread, split: Split, scaling: Scaling, season: int) -> Scores:
    """All that is scored of an ensemble's forecasts `(origin, horizon, channel)`."""
    median, reach = forecasts.median, SPREAD * forecasts.std
    return merged(
        score(median, split, scaling, season),
        coverage(median - reach, median + reach, split),
        valid_time(median, split, scaling.time_scale),
    )


def score(median: np.ndarray, split: Split, scaling: Scaling, season: int) -> Scores:
    """Forecast errors of scaled medians `(origin, horizon, channel)`, pooled over origins and channels."""
    true, seen = split.targets(), ~np.isnan(split.targets())
    names = ["nrmse", *(["rmse_log"] if scaling.log else []), "rmse", "smape", "mase"]
    count = int(seen.sum())
    if count < FEWEST:
        return none(_too_few(count), names)
    lost = diverged(median)
    if lost.any():
        why = f"diverged from {lost.sum()} of {len(lost)} origins"
        return none(why, names) | dict.fromkeys(names, float("inf")) | {"counts": dict.fromkeys(names, count)}
    error = np.where(seen, median - np.nan_to_num(true), 0)
    scores = {"nrmse": float(np.sqrt(np.sum(error**2) / count))}
    if scaling.log:
        scores["rmse_log"] = float(np.sqrt(np.sum((error * np.asarray(scaling.std)) ** 2) / count))
    scores |= _physical(median, split, scaling, season)
    return _defined(scores, count)


def _too_few(count: int) -> str:
    found = {0: "nothing", 1: "one value"}.get(count, f"{count} values")
    remedy = f"hold out more rows: {argument('held_out', ...)}"
    return f"{found} observed in the held-out tail, where the forecasts reach; {remedy}"


def diverged(median: np.ndarray) -> np.ndarray:
    """Which origins' forecasts are not finite, or far outside anything that was seen."""
    return ~np.all(np.abs(median) < ASTRAY, axis=(1, 2))


def _physical(median: np.ndarray, split: Split, scaling: Scaling, season: int) -> Scores:
    """In the units of the data."""
    history, _ = split.train()
    true, channels = split.targets(), median.shape[-1]
    tables = np.nan_to_num(true), np.clip(median, -50, 50), np.asarray(history.ys, np.float64)
    physical, forecast, past = (scaling.unscale(table).reshape(-1, channels) for table in tables)
    season = season if season < len(past) else 1
    seen = ~np.isnan(true).reshape(-1, channels)
    values = _errors(physical, forecast, past, seen, np.asarray(history.mask), season)
    return {name: float(value) for name, value in values.items()}


@functools.partial(jax.jit, static_argnames="season")
def _errors(true, forecast, past, seen, past_seen, season: int) -> dict:
    return {
        "rmse": metrics.rmse(true, forecast, seen),
        "smape": metrics.smape(true, forecast, seen),
        "mase": metrics.mase(true, forecast, past, season, seen, past_seen),
    }


def _defined(scores: dict[str, float], count: int) -> Scores:
    """None, with the reason, for what the data leave undefined."""
    undefined = [name for name, value in scores.items() if not np.isfinite(value)]
    why = "the training part has no two different values a season apart"
    counts = {name: 0 if name in undefined else count for name in scores}
    return {**scores, **dict.fromkeys(undefined), "counts": counts, "reasons": dict.fromkeys(undefined, why)}


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
    held, looked = ~np.any(wrong, axis=1), np.any(rows, axis=1)
    first, last = np.argmax(wrong, axis=1), split.horizon - 1 - np.argmax(rows[:, ::-1], axis=1)
    at_once = ~held & (first == np.argmax(rows, axis=1))
    each = np.arange(len(lead))
    times = np.where(held, lead[each, last], np.where(at_once, 0, lead[each, first]))
    return np.where(looked, times * time_scale, np.nan), held & looked


def valid_time(median: np.ndarray, split: Split, time_scale: float) -> Scores:
    """The median of the valid times over origins."""
    name = "valid_prediction_time"
    times, held = valid_times(median, split, time_scale)
    looked = np.isfinite(times)
    if not looked.any():
        return none(_too_few(0), [name])
    middle = float(np.median(times[looked]))
    # Of the median, a bound that half of the times do not reach is none.
    met = bool(np.any(held & (times <= middle)) if middle > 0 else False)
    return {name: middle, "counts": {name: int(looked.sum())}, "at_least": [name] if met else []}


def coverage(lower: np.ndarray, upper: np.ndarray, split: Split) -> Scores:
    """The share of observed values within the band; 0.9 is right."""
    true = split.targets()
    seen = ~np.isnan(true)
    if seen.sum() < FEWEST:
        return none(_too_few(int(seen.sum())), ["coverage"])
    within = (lower <= true) & (true <= upper)
    return {"coverage": float(within[seen].mean()), "counts": {"coverage": int(seen.sum())}}
