"""From a table to a problem: what is modelled, in which units, and where training ends."""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from ctmodels._core._scaling import Scaling
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data import Table, Trials
from ctmodels.reconstruction._candidate import STEP, Candidate, Problem
from ctmodels.reconstruction._delays import Embedding, chosen
from ctmodels.reconstruction._joined import Joined, gaps
from ctmodels.reconstruction._rows import Rows
from ctmodels.reconstruction._split import Split, reach
from ctmodels.reconstruction._text import TimeUnit

OFF = 1e-2  # of a step, as far as a map takes a time for a whole number of them


class Task(NamedTuple):
    """What is to be reconstructed: the table, which of its columns are inputs, the scaled series and where its training
    part ends, the season in samples, the trials that the table is of, if there are several, and how the state is made
    of delays, if it is."""

    table: Table
    inputs: tuple[str, ...]
    problem: Problem
    split: Split
    season: int
    trials: Trials | None = None
    embedding: Embedding | None = None

    @property
    def unit(self) -> TimeUnit:
        """Of its times."""
        return TimeUnit.of(self.table)


def prepare(
    rows: Rows, inputs: tuple[str, ...], horizon: int | None, season: int | None, log: bool, embed: Any = None
) -> Task:
    """Scales the table by its training part, and finds what was not given: the horizon, the season."""
    table, n_train = rows.table, rows.n_train
    names = [n for n in table.names if n not in inputs]
    if not names:
        raise DataError(f"{argument('inputs', list(inputs))}: no column is left to be modelled; name fewer inputs")
    state, driven = table.select(names), table.select(inputs) if inputs else None
    _check_motion(table, names, state.values[:n_train])
    scaling = _scaling(rows, state, log)
    units = None if driven is None else _scaling(rows, driven)
    whole = Joined.of([_scaled(rows, part, state, driven, scaling, units) for part in rows.slices()])
    split = Split.make(whole, n_train, _horizon(rows, whole, horizon))
    training = jax.tree.map(np.asarray, whole)[:n_train]  # on the host: a slice compiles for each number of rows
    spacing = float(np.median(gaps(table.time[:n_train], training.breaks)))
    period = season * spacing if season else _period(table.time, training)
    season = season or max(1, round(period / spacing))
    level = scaling.unscale(np.zeros(len(names)))
    # Of the usual gap, up to rounding; longer ones take more steps by themselves.
    substeps = max(1, int(np.ceil(np.median(whole.gaps()) / STEP - 0.01)))
    step, pause = _steps(whole.gaps())
    problem = Problem(len(names), scaling, units, substeps, period, tuple(level.tolist()), step, pause)
    embedding = None if embed is None else chosen(embed, training)
    if embedding is not None:
        problem = dataclasses.replace(problem, embedding=(embedding.delay, embedding.dimension))
    return Task(table, inputs, problem, split, season, rows.trials, embedding)


def _steps(gaps: np.ndarray) -> tuple[float | None, int]:
    """The one step of which all gaps are whole multiples, and how many the longest has; None without."""
    usual = float(np.median(gaps))
    single = gaps[np.abs(gaps - usual) <= OFF * usual]
    step = float(np.mean(single, dtype=np.float64))
    asked = gaps / step
    if np.any(np.abs(asked - np.round(asked)) > OFF) or np.any(np.round(asked) < 1):
        return None, 1
    return step, int(np.round(asked.max()))


def _scaling(rows: Rows, table: Table, log: bool = False) -> Scaling:
    """Of all that is trained on together."""
    pairs = [(table.time[part], table.values[part]) for part in rows.training()]
    return Scaling.fit_all(pairs, log=log, names=table.names, at=rows.place, name=table.source)


def _scaled(
    rows: Rows, part: slice, state: Table, driven: Table | None, scaling: Scaling, units: Scaling | None
) -> tuple[Series, Series | None]:
    """One trial, and its inputs. A channel may rest in one trial and move in another."""
    at, taus = lambda row: rows.place(part.start + row), scaling.times(state.time[part])
    alike = {"one_of_many": rows.trials is not None, "at": at}
    series = Series.from_nan(taus, scaling.scale(state.values[part]), names=state.names, **alike)
    if driven is None or units is None:
        return series, None
    return series, Series.from_nan(taus, units.scale(driven.values[part]), names=driven.names, constant=True, **alike)


def _horizon(rows: Rows, whole: Joined, horizon: int | None) -> int:
    """As asked, or an eighth of what is held out, at least ten; but not beyond its end."""
    if rows.trials is not None:
        return reach(whole[rows.n_train :].lengths, horizon)
    n_test = len(rows.table.time) - rows.n_train
    return min(n_test, horizon or max(10, n_test // 8))


def _period(time: np.ndarray, training: Joined) -> float:
    """The dominant one; of trials, the middle one of those that are long enough to tell."""
    filled = training.filled_on_host()
    parts = [part for part in training.slices() if 2 * (part.stop - part.start) >= training.longest]
    return float(np.median([dominant_period(time[part], filled[part]) for part in parts]))


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


def check_candidates(candidates: Sequence[Candidate], task: Task, rows: Rows) -> None:
    """Refuses a map where times are not a whole number of steps apart, and a law of what is measured where states are
    made of delays."""
    for candidate in candidates:
        if candidate.even_times and task.problem.spacing is None:
            raise DataError(_uneven(candidate, task, rows))
        if candidate.whole_series and task.embedding is not None:
            raise DataError(
                f"model {candidate.name}: a law of what is measured, and {argument('embed', ...)} makes states of "
                "delays; leave one of them out"
            )


def _uneven(candidate: Candidate, task: Task, rows: Rows) -> str:
    time = task.table.time
    gaps = np.diff(time)
    within = np.isin(np.arange(1, len(time)), task.split.breaks, invert=True)
    usual = float(np.median(gaps[within]))
    asked = gaps / usual
    i = int(np.flatnonzero(within & ((np.abs(asked - np.round(asked)) > OFF) | (asked < 0.5)))[0]) + 1
    return (
        f"model {candidate.name}: a map, which takes steps of one length, and {rows.place(i)} follows the one before "
        f"by {asked[i - 1]:.3g} of the usual step; resample the data, or use a model in continuous time: "
        f"{argument('models', ['neural'])} or {argument('models', ['sparse-law'])}"
    )


def _others(names) -> str:
    """What else may be done about a column, where there are several."""
    if len(names) == 1:
        return ""
    return f", choose other columns ({argument('columns', ...)}), or give it as an input ({argument('inputs', ...)})"


def default_models(split: Split) -> tuple[str, ...]:
    """What is tried where nothing was asked for. One equation of first order, autonomous, only rises or only falls."""
    training = split.train()
    ts, ys = np.asarray(training.series.ts, np.float64), training.filled_on_host()
    moving = [part for part in training.slices() if np.ptp(ys[part, 0]) > 0]
    if ys.shape[1] == 1 and np.mean([turns_back(ts[part], ys[part, 0]) for part in moving]) >= 0.5:
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
