"""Candidates that are fitted in closed form: their settings by forecasts of the last part of what is trained on, then
the model by all of it, and each further member by most of it."""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels._core._model import AbstractDynamics
from ctmodels._core._scaling import Scaling
from ctmodels._core._series import Driven, Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.paths._paths import LinearPath
from ctmodels.reconstruction._candidate import Candidate, Problem, Solved
from ctmodels.reconstruction._joined import Joined
from ctmodels.reconstruction._trained import heard
from ctmodels.regression._rows import grids

LAST = 0.2  # of what is trained on: settings are chosen by forecasts of it
ORIGINS, HORIZON = 12, 50  # of these forecasts, at most
BLOCKS, LEFT_OUT = 10, 3  # a member sees seven tenths of each trial

Trials = Sequence[tuple[Series, Series | None]]


def as_lists(trials: Trials) -> tuple[list[Series], list[Series] | None]:
    """As regressions take them."""
    controls = [control for _, control in trials if control is not None]
    return [series for series, _ in trials], controls or None


class Family(NamedTuple):
    """Models of one kind. `fit(problem, trials, key, **settings)`: pure; `build(problem, key, **settings)`: one of that
    structure; `choices(problem, rows)`: settings to try, of which numbers share a program; `least(problem)`: rows that
    it takes. `choose(problem, trials, key) -> settings`: by itself, in place of `choices`. `seeded`: members differ in
    their key, and not in what they see; `most`: rows, the latest, that it is fitted to; `saved(model) -> settings`:
    further ones that only a fitted model knows; `formula(model, problem)`: the law in words. `remembers`:
    its state is made of delays, and an embedding says of which."""

    name: str
    fit: Callable
    build: Callable
    least: Callable[[Problem], int]
    choices: Callable | None = None
    choose: Callable | None = None
    listens: bool = True
    seeded: bool = False
    most: int | None = None
    saved: Callable = lambda model: {}
    formula: Callable | None = None
    remembers: bool = False

    def candidate(self) -> Candidate:
        """Of the table of names. What listens is a map."""
        fit = functools.partial(solved, self)
        kinds: dict[str, Any] = dict(listens=self.listens, even_times=self.listens, remembers=self.remembers)
        return Candidate(self.name, self.build, fit=fit, **kinds)


def solved(family: Family, problem: Problem, trials: Trials, members: int, seed: int) -> Solved:
    """An ensemble, the first of which has seen everything."""
    trials = _latest(_on_a_grid(problem, trials) if family.listens else trials, family.most)
    _check_rows(family, problem, trials)
    whole, problem = problem, problem if family.formula else _without_units(problem)
    key = jax.random.key(seed)
    choose = functools.partial(_chosen, family) if family.choose is None else family.choose
    settings = choose(problem, trials, key)
    fit = lambda trials, key: _fitted(family.fit, problem, list(trials), key, _as_arrays(settings))
    if family.seeded:
        each = [fit(trials, key) for key in jax.random.split(key, members)]
    else:
        random = np.random.default_rng(seed)
        thinned = [_thinned(trials, random) for _ in range(members - 1)]
        each = [fit(seen, key) for seen in (trials, *thinned)]
    settings = settings | family.saved(each[0])
    formula = family.formula and family.formula(each[0], whole)
    observation = _one_step_variance(each[0], Joined.of(trials), family.listens)
    return Solved(_stacked(each), observation, settings=settings, formula=formula)


def _without_units(problem: Problem) -> Problem:
    """All that a map in scaled values needs: what is compiled for one part of a series is so for another of its
    length."""
    blank = lambda s: s and Scaling(0.0, 1.0, (0.0,) * len(s.mean), (1.0,) * len(s.std))
    scalings = {"scaling": blank(problem.scaling), "input_scaling": blank(problem.input_scaling)}
    return dataclasses.replace(problem, **scalings, period=1.0, level=(0.0,) * problem.channels)


def _check_rows(family: Family, problem: Problem, trials: Trials) -> None:
    rows, least = sum(series.ts.shape[0] for series, _ in trials), family.least(problem)
    if rows < least:
        remedy = f"give more rows, or fewer columns ({argument('columns', ...)}), or leave it out"
        delays = "" if problem.channels == 1 else f" of {problem.channels} channels"
        raise DataError(
            f"model {family.name}: {rows} rows{delays} to train on are fewer than the {least} that it takes: {remedy}"
        )


def _on_a_grid(problem: Problem, trials: Trials) -> Trials:
    """Rows that are missing altogether are there, unobserved: a compiled fit takes no others."""
    found, _ = grids(*as_lists(trials), problem.step)
    seen = lambda us: jnp.ones(us.shape, bool)
    control = lambda grid: None if grid.us is None else Series(grid.ts, grid.us, seen(grid.us))
    return [(Series(grid.ts, grid.ys, grid.mask), control(grid)) for grid in found]


def _latest(trials: Trials, most: int | None) -> Trials:
    """The last rows, so many together; of several trials, the last of each."""
    if most is None:
        return trials
    each = max(2, most // len(trials))
    cut = lambda s: None if s is None else s[-each:]
    return [(cut(series), cut(control)) for series, control in trials]  # pyright: ignore


def _thinned(trials: Trials, random: np.random.Generator) -> Trials:
    """Without some stretches of each trial."""

    def one(series: Series) -> Series:
        n = series.ts.shape[0]
        block = np.arange(n) * BLOCKS // n
        out = np.isin(block, random.choice(BLOCKS, LEFT_OUT, replace=False))
        return Series(series.ts, series.ys, series.mask & ~jnp.asarray(out)[:, None])

    return [(one(series), control) for series, control in trials]


def _stacked(models: Sequence[AbstractDynamics]):
    return jax.tree.map(lambda *a: jnp.stack(a) if eqx.is_array(a[0]) else a[0], *models)


def _as_arrays(settings: dict) -> dict:
    """Numbers are arguments of a compiled fit, and whole ones are its shape."""
    return {name: jnp.asarray(x) if isinstance(x, float) else x for name, x in settings.items()}


@eqx.filter_jit
def _fitted(fit: Callable, problem: Problem, trials: list, key, settings: dict):
    return fit(problem, trials, key, **settings)


def _chosen(family: Family, problem: Problem, trials: Trials, key) -> dict:
    """The settings that foretell the last part best."""
    first, whole, at = _parts(trials)
    rows = sum(series.ts.shape[0] for series, _ in first)
    tried = family.choices(problem, rows) if family.choices else []
    arguments = lambda settings: (family.fit, problem, first, whole, at, key, _as_arrays(settings), family.listens)
    errors = [float(_tried(*arguments(settings))) for settings in tried]
    return tried[int(np.argmin(np.nan_to_num(errors, nan=np.inf)))]


def _parts(trials: Trials) -> tuple[list, Joined, Array]:
    """What is fitted to, all, and rows `(origin, step)` of forecasts of the rest: the last trials, or the end of the
    only ones."""
    whole, lengths = Joined.of(list(trials)), np.array([series.ts.shape[0] for series, _ in trials])
    if len(trials) >= 4:
        kept = len(trials) - max(1, round(LAST * len(trials)))
        first, begin = list(trials[:kept]), np.where(np.arange(len(trials)) < kept, lengths, lengths // 4)
    else:
        begin = np.maximum(2, np.round(lengths * (1 - LAST)).astype(int))
        cut = lambda s, n: None if s is None else s[:n]
        first = [(cut(series, n), cut(control, n)) for (series, control), n in zip(trials, begin.tolist(), strict=True)]
    horizon = int(max(1, min(HORIZON, np.max(lengths - begin) // 2)))
    possible = [
        np.arange(s + b - 1, e - horizon) for s, b, e in zip(whole.bounds, begin, whole.bounds[1:], strict=False)
    ]
    rows = np.concatenate(possible)
    origins = np.unique(rows[np.linspace(0, len(rows) - 1, ORIGINS).astype(int)])
    return first, whole, jnp.asarray(origins[:, None] + np.arange(horizon + 1))


def states(model: AbstractDynamics, trials: Joined, listens: bool) -> Float[Array, "row state"]:
    """What it heard by each row; or what is lifted from what was seen there."""
    return heard(model, trials) if listens else jax.vmap(model.lift)(trials.filled())


@eqx.filter_jit
def _tried(fit, problem, first, whole: Joined, at, key, settings: dict, listens: bool) -> Float[Array, ""]:
    """The mean over forecasts and steps of the smaller of one and the error in standard deviations."""
    model = fit(problem, first, key, **settings)
    zs, series = states(model, whole, listens)[at[:, 0]], whole.series
    ts, ys, mask, control = jax.tree.map(lambda a: a[at], (series.ts, series.ys, series.mask, whole.control))

    def one(z, ts, ys, mask, control):
        path = None if control is None else LinearPath.from_series(control)
        square = jnp.where(mask, model(Driven(z, path), ts).ys - ys, 0)[1:] ** 2
        error = jnp.sqrt(jnp.sum(square, axis=1) / jnp.maximum(jnp.sum(mask[1:], axis=1, dtype=ys.dtype), 1))
        return jnp.mean(jnp.where(error < 1, error, 1))

    return jnp.mean(jax.vmap(one)(zs, ts, ys, mask, control))


@eqx.filter_jit
def _one_step_variance(model, trials: Joined, listens: bool) -> Float[Array, " channel"]:
    """Of what it errs by from one row to the next."""
    zs, series = states(model, trials, listens), trials.series
    inside = jnp.asarray(np.isin(np.arange(1, series.ts.shape[0]), trials.breaks, invert=True))

    def one(z, row):
        ts, control = row
        path = None if control is None else LinearPath.from_series(control)
        return model(Driven(z, path), ts).ys[1]

    pairs = jax.tree.map(lambda a: jnp.stack([a[:-1], a[1:]], axis=1), (series.ts, trials.control))
    # Where a trial begins time goes back: that step is not looked at.
    ts = jnp.where(inside[:, None], pairs[0], jnp.arange(2, dtype=series.ts.dtype)[None] * 0 + pairs[0][:, :1])
    found = jax.vmap(one)(zs[:-1], (ts, pairs[1]))
    seen = series.mask[1:] & inside[:, None] & jnp.isfinite(found)
    square = jnp.where(seen, found - series.ys[1:], 0) ** 2
    return jnp.sum(square, axis=0) / jnp.maximum(jnp.sum(seen, axis=0, dtype=square.dtype), 1)
