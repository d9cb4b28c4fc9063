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
    """All of them. `seasons`: name -> period in scaled time; one longer than the training part is left out.

    What is missing is the last value seen.
    """
    filled = np.asarray(split.series.fill_forward(), np.float64)
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
    span = ts[split.n_train - 1] - ts[0]
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
    """From the first observation of each channel in the training part to its last."""
    series, _ = split.train()
    ts, ys, mask = (np.asarray(a) for a in (series.ts, series.ys, series.mask))
    slopes = np.zeros(ys.shape[1])
    for channel, seen in enumerate(mask.T):
        at = np.flatnonzero(seen)
        if len(at) > 1:
            first, last = at[0], at[-1]
            slopes[channel] = (ys[last, channel] - ys[first, channel]) / (ts[last] - ts[first])
    return slopes


def _last_season(split: Split, origin: int, period: float) -> np.ndarray:
    """What was a whole number of seasons ago, between the two observations about it, none later than the origin."""
    ts, ys = np.asarray(split.series.ts, np.float64), np.asarray(split.series.ys, np.float64)
    mask = np.asarray(split.series.mask)
    wanted = ts[origin + 1 : origin + 1 + split.horizon]
    ago = wanted - period * np.ceil((wanted - ts[origin]) / period - 1e-6)
    seen = [np.flatnonzero(m[: origin + 1]) for m in mask.T]
    columns = [np.interp(ago, ts[at], ys[at, c]) if len(at) else np.zeros(len(ago)) for c, at in enumerate(seen)]
    return np.stack(columns, axis=1)


def _autoregression(filled: np.ndarray, split: Split) -> np.ndarray:
    mask = np.asarray(split.series.mask)
    columns = [
        _extrapolate(_fit_autoregression(filled[: split.n_train, c], mask[: split.n_train, c]), filled[:, c], split)
        for c in range(filled.shape[1])
    ]
    return np.stack(columns, axis=2)


def one_step_variance(split: Split) -> np.ndarray:
    """Variance in the training part, by channel, that an autoregression leaves one sample ahead: no measurement noise
    can be more."""
    series, _ = split.train()
    filled, mask = np.asarray(series.fill_forward(), np.float64), np.asarray(series.mask)
    return np.array([_residual_variance(y, seen) for y, seen in zip(filled.T, mask.T, strict=True)])


def _residual_variance(y: np.ndarray, seen: np.ndarray) -> float:
    row = _fit_autoregression(y, seen)
    order = len(row) - 1
    rows = np.arange(order, len(y))
    past = y[rows[:, None] - 1 - np.arange(order)] if order else np.zeros((len(rows), 0))
    return float(np.mean((y[rows] - row[0] - past @ row[1:])[seen[rows]] ** 2))


def _fit_autoregression(y: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Constant and coefficients, the nearest lag first, by least squares over the rows that were observed; the order of
    the least criterion, among those that do not blow up."""
    most = min(ORDERS, (len(y) - 2) // 3)
    best, chosen = np.inf, np.zeros(1)
    for order in range(most + 1):
        criterion, row = _fit_order(y, seen, order, most)
        if criterion < best and _stable(row[1:]):
            best, chosen = criterion, row
    return chosen


def _fit_order(y: np.ndarray, seen: np.ndarray, order: int, most: int) -> tuple[float, np.ndarray]:
    """The corrected criterion, on the same rows for all orders, and the coefficients."""
    rows = np.arange(most, len(y))
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
    past = y[np.maximum(split.origins[:, None] - np.arange(order), 0)]
    steps = []
    for _ in range(split.horizon):
        steps.append(row[0] + past @ row[1:])
        past = np.column_stack([steps[-1], past])[:, :order]
    return np.stack(steps, axis=1)
