r"""Forecasts that need no model, in scaled values, `(origin, horizon, channel)`.

The training mean; the last value seen; the drift, the last value and the training part's mean slope; an autoregression
for each channel,

$$x_i = c + \sum_{k=1}^p a_k x_{i-k} + e_i,$$

of the order that Akaike's criterion with its correction for short series (Hurvich and Tsai 1989) chooses; and the
last season, where a season is a stretch of time and not a number of samples.
"""

from collections.abc import Mapping

import numpy as np

from ctmodels.data import Table
from ctmodels.reconstruction._split import Split

ORDERS = 24  # of an autoregression, at most
SECONDS = {"seconds": 1.0, "minutes": 60.0, "hours": 3600.0, "days": 86_400.0}
CALENDAR = {"day": 86_400.0, "week": 7 * 86_400.0, "year": 365.25 * 86_400.0}
FEWEST_IN_SEASON = 4  # samples in a season, at the least


def baselines(split: Split, seasons: Mapping[str, float]) -> dict[str, np.ndarray]:
    """All of them. `seasons`: name -> period in scaled time; one longer than what any forecast has behind it, the
    training part or the beginning of its trial, is left out.

    What is missing is the last value seen.
    """
    filled = split.whole.filled_on_host()
    ts = np.asarray(split.series.ts, np.float64)
    shape = (len(split.origins), split.horizon, filled.shape[1])
    last = filled[split.origins][:, None]
    lead = ts[split.origins[:, None] + 1 + np.arange(split.horizon)] - ts[split.origins][:, None]
    table = {
        "mean": np.zeros(shape),
        "persistence": np.broadcast_to(last, shape),
        "drift": last + lead[..., None] * _mean_slope(split),
        "autoregression": _autoregression(filled, split),
    }
    begins = split.whole.begins(split.origins)
    span = np.min(ts[split.origins] - ts[begins])
    for name, period in seasons.items():
        if period <= span * (1 + 1e-6):
            table[name] = np.stack([_last_season(split, origin, period) for origin in split.origins.tolist()])
    return table


def calendar(table: Table) -> dict[str, float]:
    """The seasons of a clock of dates, in its unit: day, week and year, where samples are close enough to show them."""
    unit = SECONDS.get(table.time_unit)
    if not table.origin or unit is None:
        return {}
    spacing = float(np.median(np.diff(table.time)))
    return {f"last {name}": s / unit for name, s in CALENDAR.items() if s / unit >= FEWEST_IN_SEASON * spacing}


def _mean_slope(split: Split) -> np.ndarray:
    """From the first observation of each channel in the training part to its last, in each trial."""
    training = split.train()
    ts, ys, mask = (np.asarray(a) for a in (training.series.ts, training.series.ys, training.series.mask))
    rise, run = np.zeros((2, ys.shape[1]), ys.dtype)
    for part in training.slices():
        for channel, seen in enumerate(mask[part].T):
            at = part.start + np.flatnonzero(seen)
            if len(at) > 1:
                rise[channel] += ys[at[-1], channel] - ys[at[0], channel]
                run[channel] += ts[at[-1]] - ts[at[0]]
    return np.where(run > 0, rise / np.where(run > 0, run, 1), 0).astype(np.float64)


def _last_season(split: Split, origin: int, period: float) -> np.ndarray:
    """What was a whole number of seasons ago, between the two observations about it, none later than the origin and
    none of another trial."""
    ts, ys = np.asarray(split.series.ts, np.float64), np.asarray(split.series.ys, np.float64)
    mask = np.asarray(split.series.mask)
    wanted = ts[origin + 1 : origin + 1 + split.horizon]
    ago = wanted - period * np.ceil((wanted - ts[origin]) / period - 1e-6)
    begin = int(split.whole.begins(np.array([origin]))[0])
    seen = [begin + np.flatnonzero(m[begin : origin + 1]) for m in mask.T]
    columns = [np.interp(ago, ts[at], ys[at, c]) if len(at) else np.zeros(len(ago)) for c, at in enumerate(seen)]
    return np.stack(columns, axis=1)


def _autoregression(filled: np.ndarray, split: Split) -> np.ndarray:
    mask, parts = np.asarray(split.series.mask), split.train().slices()
    fit = lambda c: _fit_autoregression(filled[: split.n_train, c], mask[: split.n_train, c], parts)
    return np.stack([_extrapolate(fit(c), filled[:, c], split) for c in range(filled.shape[1])], axis=2)


def one_step_variance(split: Split) -> np.ndarray:
    """Variance in the training part, by channel, that an autoregression leaves one sample ahead: no measurement noise
    can be more."""
    training = split.train()
    filled, mask, parts = training.filled_on_host(), np.asarray(training.series.mask), training.slices()
    return np.array([_residual_variance(y, seen, parts) for y, seen in zip(filled.T, mask.T, strict=True)])


def _residual_variance(y: np.ndarray, seen: np.ndarray, parts: list[slice]) -> float:
    row = _fit_autoregression(y, seen, parts)
    order = len(row) - 1
    rows = _with_a_past(parts, order)
    past = y[rows[:, None] - 1 - np.arange(order)] if order else np.zeros((len(rows), 0))
    return float(np.mean((y[rows] - row[0] - past @ row[1:])[seen[rows]] ** 2))


def _with_a_past(parts: list[slice], order: int) -> np.ndarray:
    """Rows with so many before them in the same trial."""
    return np.concatenate([np.arange(part.start + order, max(part.start + order, part.stop)) for part in parts])


def _fit_autoregression(y: np.ndarray, seen: np.ndarray, parts: list[slice]) -> np.ndarray:
    """Constant and coefficients, the nearest lag first, by least squares over the rows that were observed; the order of
    the least criterion, among those that do not blow up. `parts`: the rows of each trial."""
    most = max(0, min(ORDERS, (max(part.stop - part.start for part in parts) - 2) // 3))
    best, chosen = np.inf, np.zeros(1)
    for order in range(most + 1):
        criterion, row = _fit_order(y, seen, order, _with_a_past(parts, most))
        if criterion < best and _stable(row[1:]):
            best, chosen = criterion, row
    return chosen


def _fit_order(y: np.ndarray, seen: np.ndarray, order: int, rows: np.ndarray) -> tuple[float, np.ndarray]:
    """The corrected criterion, on the same rows for all orders, and the coefficients."""
    rows = rows[seen[rows]]
    parameters = order + 2
    if len(rows) <= parameters + 1:
        return np.inf, np.zeros(order + 1)
    design = np.column_stack([np.ones(len(rows)), *(y[rows - lag] for lag in range(1, order + 1))])
    row, *_ = np.linalg.lstsq(design, y[rows], rcond=None)
    variance = max(float(np.mean((y[rows] - design @ row) ** 2)), 1e-12)
    n = len(rows)
    return n * np.log(variance) + 2 * parameters * n / (n - parameters - 1), row


def _stable(lags: np.ndarray) -> bool:
    return len(lags) == 0 or bool(np.all(np.abs(np.roots([1, *-lags])) < 1))


def _extrapolate(row: np.ndarray, y: np.ndarray, split: Split) -> np.ndarray:
    """`(origin, horizon)`, each forecast the next one's past."""
    order = len(row) - 1
    past = y[np.maximum(split.origins[:, None] - np.arange(order), split.whole.begins(split.origins)[:, None])]
    steps = []
    for _ in range(split.horizon):
        steps.append(row[0] + past @ row[1:])
        past = np.column_stack([steps[-1], past])[:, :order]
    return np.stack(steps, axis=1)
