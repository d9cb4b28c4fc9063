"""Baselines at one origin, with their spread: that of what they erred by before it, lead by lead.

Exponential smoothing is that of statsmodels: additive errors, a damped additive trend, and an additive season where two
were seen (Hyndman, Koehler, Ord and Snyder, "Forecasting with exponential smoothing", Springer 2008).
"""

import importlib.util
import warnings
from typing import Any

import jax
import numpy as np

from ctmodels._core._validation import DataError
from ctmodels.backtesting._quantiles import of_normal
from ctmodels.reconstruction._baselines import baselines, calendar
from ctmodels.reconstruction._preparing import Task
from ctmodels.reconstruction._split import Split

PAST = 100  # past forecasts that a spread is found from, at most
FEWEST = 3  # of them at one lead; with fewer it is that of the lead before
ROWS, LONGEST = 10, 24  # of exponential smoothing: rows to fit to at the least, rows in a season at the most


def simple(task: Task) -> dict[str, np.ndarray]:
    """Scaled quantiles `(level, lead, channel)` of the main job's baselines, from the task's one origin."""
    series = jax.tree.map(np.asarray, task.split.series)  # on the host: nothing compiles for each number of rows
    split = task.split._replace(series=series, control=None)
    seasons = {"seasonal": task.problem.period, **calendar(task.table)}
    seasons = {name: period / task.problem.scaling.time_scale for name, period in seasons.items()}
    (origin,) = split.origins.tolist()
    past = np.unique(np.linspace(origin // 2, origin - 1, min(PAST, origin - origin // 2)).astype(int))
    both = split._replace(origins=np.append(past, origin))
    found = baselines(both, seasons)
    true = _observed(both)[:-1]
    deviations = {name: _deviation(x[:-1] - true) for name, x in found.items()}
    return {name: of_normal(x[-1], deviations[name], deviations[name]) for name, x in found.items()}


def _observed(split: Split) -> np.ndarray:
    """What past forecasts are held against: nothing after the origin is in it."""
    return np.asarray(split.targets(), np.float64)


def _deviation(errors: np.ndarray) -> np.ndarray:
    """Root mean square over past origins, `(lead, channel)`; one, that of the training part, where none is known."""
    seen = ~np.isnan(errors)
    count = seen.sum(axis=0)
    found = np.sqrt(np.sum(np.where(seen, errors, 0) ** 2, axis=0) / np.maximum(count, 1))
    last = np.ones(found.shape[1])
    for lead in range(len(found)):
        found[lead] = last = np.where(count[lead] >= FEWEST, found[lead], last)
    return found


def smoothing(task: Task) -> np.ndarray:
    """The same of exponential smoothing, channel by channel."""
    split = task.split
    if importlib.util.find_spec("statsmodels") is None:
        raise DataError("it needs statsmodels: pip install 'ctmodels[backtest]'")
    if task.problem.spacing is None or task.problem.pause > 1:
        raise DataError("it takes rows at even times, and these are not")
    if split.n_train < ROWS:
        raise DataError(f"it takes {ROWS} rows to fit to, and there are {split.n_train}")
    past = split.train().filled_on_host()
    columns = [_of_channel(y, split.horizon, task.season) for y in past.T]
    mean, deviation = (np.stack(parts, axis=1) for parts in zip(*columns, strict=True))
    return of_normal(mean, deviation, deviation)


def _of_channel(y: np.ndarray, horizon: int, season: int) -> tuple[np.ndarray, np.ndarray]:
    import pandas
    from statsmodels.tsa.exponential_smoothing.ets import ETSModel

    seasonal = 2 <= season <= LONGEST and len(y) > max(ROWS, 2 * season)
    season_of = {"seasonal": "add", "seasonal_periods": season} if seasonal else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it did not converge shows in its scores
        model = ETSModel(pandas.Series(y), error="add", trend="add", damped_trend=True, **season_of)
        result: Any = model.fit(disp=False)
        ahead = result.get_prediction(start=len(y), end=len(y) + horizon - 1)
        variance = np.asarray(ahead.forecast_variance, np.float64)
    return np.asarray(ahead.predicted_mean, np.float64), np.sqrt(np.maximum(variance, 0))
