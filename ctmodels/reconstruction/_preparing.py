"""From a table to a problem: what is modelled, in which units, and where training ends."""

from typing import NamedTuple

import numpy as np

from ctmodels._core._scaling import Scaling
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data import Table
from ctmodels.reconstruction._candidates import STEP, Problem
from ctmodels.reconstruction._recipe import Recipe
from ctmodels.reconstruction._split import Split
from ctmodels.reconstruction._text import TimeUnit


class Task(NamedTuple):
    """What is to be reconstructed: the table, which of its columns are inputs, the scaled series and where its training
    part ends, and the season in samples."""

    table: Table
    inputs: tuple[str, ...]
    problem: Problem
    split: Split
    season: int

    @property
    def unit(self) -> TimeUnit:
        """Of its times."""
        return TimeUnit.of(self.table)


def training_samples(n: int, held_out: float | int) -> int:
    """How many of `n` samples come before the tail that is held out."""
    test = held_out if isinstance(held_out, int | np.integer) and held_out >= 1 else round(held_out * n)
    if not 1 <= test <= n - 2:
        raise DataError(
            f"{argument('held_out', held_out)}: leaves {n - test} of {n} samples to train on and {test} to judge by; "
            "both need some: choose another fraction or number"
        )
    return n - int(test)


def check_length(table: Table, n_train: int, recipe: Recipe) -> None:
    """Refuses a training part that is shorter than a window."""
    least = max(4, recipe.window)
    if n_train < least:
        raise DataError(
            f"{table.source}: {n_train} samples to train on are fewer than a window of {least}: "
            f"give more rows or hold out fewer: {argument('held_out', ...)}"
        )


def prepare(
    table: Table, inputs: tuple[str, ...], n_train: int, horizon: int | None, season: int | None, log: bool
) -> Task:
    """Scales the table by its training part, and finds what was not given: the horizon, the season."""
    names = [n for n in table.names if n not in inputs]
    if not names:
        raise DataError(f"{argument('inputs', list(inputs))}: no column is left to be modelled; name fewer inputs")
    state, driven = table.select(names), table.select(inputs) if inputs else None
    train_ts, train_ys = table.time[:n_train], state.values[:n_train]
    _check_motion(table, names, train_ys)
    scaling = Scaling.fit(train_ts, train_ys, log=log, names=names, at=table.place, name=table.source)
    series = scaling.series(table.time, state.values, names=names, at=table.place)
    control, units = None, None
    if driven is not None:
        units = Scaling.fit(train_ts, driven.values[:n_train], names=inputs, at=table.place, name=table.source)
        scaled = units.scale(driven.values)
        control = Series.from_nan(scaling.times(table.time), scaled, names=inputs, constant=True, at=table.place)
    n_test = len(table.time) - n_train
    horizon = min(n_test, horizon or max(10, n_test // 8))
    period = dominant_period(train_ts, np.asarray(series.fill_forward(), np.float64)[:n_train])
    spacing = float(np.median(np.diff(train_ts)))
    period = season * spacing if season else period
    season = season or max(1, round(period / spacing))
    level = scaling.unscale(np.zeros(len(names)))
    # Of the usual gap, up to rounding; longer ones take more steps by themselves.
    substeps = max(1, int(np.ceil(np.median(np.diff(np.asarray(series.ts))) / STEP - 0.01)))
    problem = Problem(len(names), scaling, units, substeps, period, tuple(level.tolist()))
    return Task(table, inputs, problem, Split.make(series, control, n_train, horizon), season)


def _check_motion(table: Table, names, train_ys: np.ndarray) -> None:
    """What never changes teaches nothing, and has no scale to be judged in."""
    for name, column in zip(names, train_ys.T, strict=True):
        seen, n = column[np.isfinite(column)], len(column)
        if len(seen) and np.ptp(seen) > 0:
            continue
        found = f"rests at {seen[0]:g} in all of" if len(seen) else "was never observed in"
        raise DataError(
            f"{table.source}: column {name!r} {found} the {n} rows to train on (the first {n} of {len(table.time)}): "
            f"there is nothing to learn of it. Hold out fewer rows ({argument('held_out', ...)}){_others(names)}"
        )


def _others(names) -> str:
    """What else may be done about a column, where there are several."""
    if len(names) == 1:
        return ""
    return f", choose other columns ({argument('columns', ...)}), or give it as an input ({argument('inputs', ...)})"


def default_models(split: Split) -> tuple[str, ...]:
    """What is tried where nothing was asked for. One equation of first order, autonomous, only rises or only falls."""
    series, _ = split.train()
    one = np.asarray(series.fill_forward(), np.float64)
    if one.shape[1] == 1 and turns_back(np.asarray(series.ts, np.float64), one[:, 0]):
        return ("neural", "second-order", "augmented")
    return ("neural",)


def turns_back(ts: np.ndarray, y: np.ndarray) -> bool:
    """Whether one channel moves as no equation of first order can: it crosses its mean again and again, and remembers
    where it was going.

    Without such memory (Markov) the autocorrelation has r(2k) = r(k)^2, with measurement noise r(2k) > r(k)^2; an
    oscillation has r(2k) = -1 at a quarter of its period, where r(k) = 0.
    """
    grid = np.linspace(ts[0], ts[-1], len(ts))
    y = np.interp(grid, ts, y)
    y = (y - y.mean()) / y.std()
    n, most = len(y), len(y) // 4
    padded = np.abs(np.fft.rfft(y, 2 * n)) ** 2
    r = np.fft.irfft(padded)[: 2 * most + 1] / n
    memory = r[2 : 2 * most + 1 : 2] - r[1 : most + 1] ** 2
    error = np.sqrt((1 + 2 * np.cumsum(r[1 : most + 1] ** 2)) / n)  # of an autocorrelation (Bartlett 1946)
    sides = np.sign(y[np.abs(y) > 0.3])
    return bool(np.any(memory < -0.1 - 1.5 * error) and np.sum(sides[1:] != sides[:-1]) >= 3)


def dominant_period(ts: np.ndarray, ys: np.ndarray) -> float:
    """The period of the highest peak in the channels' summed spectrum, linear trend taken off; physical time."""
    grid = np.linspace(ts[0], ts[-1], len(ts))
    regular = np.stack([np.interp(grid, ts, y) for y in ys.T], axis=1)
    trend = np.stack([np.polyval(np.polyfit(grid - grid[0], y, 1), grid - grid[0]) for y in regular.T], axis=1)
    padded = 4 * len(ts)
    power = np.sum(np.abs(np.fft.rfft((regular - trend) * np.hanning(len(ts))[:, None], padded, axis=0)) ** 2, axis=1)
    frequency = np.fft.rfftfreq(padded, grid[1] - grid[0])
    power[frequency < 1.5 / (grid[-1] - grid[0])] = 0  # under one and a half periods there is none to speak of
    if not np.any(power > 0):  # two or three samples, or a straight line
        return float(grid[-1] - grid[0])
    return float(1 / frequency[np.argmax(power)])
