"""Maximum likelihood of a law's parameters and of all starts: short windows first, then longer ones, then whole trials.

A solution over a whole trial has many ways to miss the data (of an oscillation, each number of periods is one), and
over short windows with starts of their own few. Each length begins where the one before it ended; if the law follows
the data over windows and not over longer ones, windows are what is answered by.
"""

from collections.abc import Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels.paths._paths import LinearPath
from ctmodels.reconstruction._laplace import Laplace, Rows, laplace
from ctmodels.reconstruction._law_units import LawProblem
from ctmodels.reconstruction._least_squares import (
    Fit,
    Sensitivities,
    Trials,
    levenberg_marquardt,
    normal_equations,
    sensitivities,
)
from ctmodels.reconstruction._trial_windows import batched, every_other, first_starts, shortest_window, windows_of

MEMBERS = 8  # first guesses that are followed side by side
SPREAD = 0.7  # of the first guesses, in units of them
MISFIT = 2.0  # times the variance of shorter windows: what longer ones may not exceed
FLOOR = 1e-8  # of a variance, in units of that of the data: below it is no misfit but rounding
SAME = 1e-5  # share of the least cost, by which another may be larger and as good
FINEST = 64  # steps for each of the usual ones
BIAS = 0.05  # standard errors, by which a solver's own error may move a parameter


class Estimate(NamedTuple):
    """`rows` `(trial,)`: how many each has; `q` `(parameter,)`, `starts` `(trial, window, state)`, scaled; `window`
    `(trial, time)`: of which window each row is; `length`: rows of a window, or None for whole trials; `found`: what is
    expected of each row; `laplace`: what is left open; `misfit`: by how much the variance of longer windows was larger,
    where they were given up."""

    problem: LawProblem
    trials: Trials
    rows: np.ndarray
    q: np.ndarray
    starts: np.ndarray
    window: np.ndarray
    length: int | None
    found: Sensitivities
    laplace: Laplace
    misfit: float | None


def estimate(problem: LawProblem, trials: Sequence[tuple[Series, Series | None]], seed: int) -> Estimate:
    """The likeliest parameters of scaled trials, of any lengths."""
    rows = np.array([series.ts.shape[0] for series, _ in trials])
    return estimate_batch(problem, batched(trials), rows, seed)


def estimate_batch(problem: LawProblem, batch: Trials, rows: np.ndarray, seed: int) -> Estimate:
    """The same of trials that lie side by side, padded."""
    shortest = shortest_window(batch, rows)
    lengths = [shortest * 2**i for i in range(64) if shortest * 2**i < 1.5 * rows.max()] or [shortest]
    windows = [windows_of(rows, length) for length in lengths[:-1]] + [np.zeros((len(rows), rows.max()), int)]
    count = int(max(w.max() for w in windows)) + 1
    states = problem.field.units.std.shape[0]
    search = Search(problem, batch, rows, count, seed)
    starts = first_starts(batch, windows[0], count, states)
    q, starts, found = search.begin(windows[0], starts)
    kept, misfit = 0, None
    for i in range(1, len(windows)):
        q1, starts1, found1 = search.go_on(windows[i], q, every_other(starts))
        misfit = _variance(found1) / _variance(found) if np.isfinite(found1.cost) else np.inf
        if misfit > MISFIT:
            break
        kept, misfit, q, starts, found = i, None, q1, starts1, found1
    length = None if kept == len(windows) - 1 else lengths[kept]
    return search.finish(windows[kept], q, starts, found.laplace, length, misfit)


class _Found(NamedTuple):
    cost: float
    sensitivities: Sensitivities
    laplace: Laplace


class Search:
    """Least squares of one problem, compiled once for all windows."""

    def __init__(self, problem: LawProblem, trials: Trials, rows: np.ndarray, count: int, seed: int):
        self.problem, self.trials, self.rows, self.count = problem, trials, rows, count
        self.random = np.random.default_rng(seed)
        self.deviation = np.ones(trials.series.ys.shape[-1])

    def begin(self, window: np.ndarray, starts: np.ndarray):
        """From first guesses and others about them, by steps as small as it takes to follow the law from there."""
        parameters, states = len(self.problem.field.law.names), starts.shape[-1]
        q = SPREAD * self.random.normal(size=(MEMBERS, parameters)) * (np.arange(MEMBERS) > 0)[:, None]
        hidden = np.arange(states) >= self.trials.series.ys.shape[-1]
        first = np.array(np.broadcast_to(starts, (MEMBERS, *starts.shape)))
        first[1, ..., hidden] = 0
        first[2:, ..., hidden] = self.random.normal(size=first[2:, ..., hidden].shape)
        while True:
            q1, starts1, cost = self.search(window, q, first)
            if np.isfinite(cost):
                return q1, starts1, self.look(window, q1, starts1, cost)
            if int(self.problem.substeps) >= FINEST:
                raise DataError(_diverges(self.problem, window))
            self.refine(4)

    def go_on(self, window: np.ndarray, q: np.ndarray, starts: np.ndarray):
        """From the best so far, from others about it, and from the first guess again."""
        near = 0.1 * self.random.normal(size=(MEMBERS, len(q))) * (np.arange(MEMBERS) > 0)[:, None]
        tried = np.where((np.arange(MEMBERS) == MEMBERS - 1)[:, None], 0, q + near)
        q, starts, cost = self.search(window, tried, np.broadcast_to(starts, (MEMBERS, *starts.shape)))
        return q, starts, self.look(window, q, starts, cost)

    def finish(self, window, q, starts, first: Laplace, length, misfit) -> Estimate:
        """With weights by the noise of each channel, and steps so small that their error does not matter."""
        for _ in range(20):
            before, self.deviation = self.deviation, bounded(first.deviation)
            if len(self.deviation) > 1 or np.any(before != 1):
                q, starts, _ = self.search(window, *(np.broadcast_to(a, (MEMBERS, *a.shape)) for a in (q, starts)))
            found = self.look(window, q, starts, 0.0)
            settled = np.allclose(found.laplace.deviation, first.deviation, rtol=0.01, atol=FLOOR)
            first = found.laplace
            coarse = int(self.problem.substeps) < FINEST and self.bias(window, q, starts, found) > BIAS
            if coarse:
                self.refine(2)
            elif settled:
                break
        ended = q, starts, window, length, found.sensitivities, found.laplace, misfit
        return Estimate(self.problem, self.trials, self.rows, *ended)

    def search(self, window: np.ndarray, q: np.ndarray, starts: np.ndarray):
        """The best of several first guesses: parameters, starts, cost."""
        fits = self.search_all(window, q, starts)
        cost = np.asarray(fits.cost, np.float64)
        # The first one, unless another is better by more than rounding: along what does not matter nothing moves.
        best = 0 if cost[0] <= (1 + SAME) * cost.min() < np.inf else int(np.argmin(cost))
        return np.asarray(fits.q[best], np.float64), np.asarray(fits.starts[best], np.float64), float(fits.cost[best])

    def search_all(self, window, q, starts, *, ys=None, weights=None, free=None) -> Fit:
        """Of each first guess; `ys`: other data for each, `weights` `(member, trial)`: how often a trial counts, `free`
        `(parameter,)`: which ones are searched, the others are held."""
        series, parameters = self.trials.series, np.shape(q)[1]
        ys = jnp.broadcast_to(series.ys, (len(q), *series.ys.shape)) if ys is None else ys
        weights = np.ones((len(q), len(series.ys))) if weights is None else weights
        free = np.ones(parameters) if free is None else free
        given = (jnp.asarray(a, series.ys.dtype) for a in (q, starts, self.deviation, ys, weights, free))
        return _search(self.problem, self.trials, jnp.asarray(window), *given)

    def look(self, window, q, starts, cost: float) -> _Found:
        """What is expected of each row there, and how well the parameters are known."""
        found = self.expect(self.problem, window, q, starts)
        series, eps = self.trials.series, float(jnp.finfo(self.trials.series.ys.dtype).eps)
        residuals = np.where(series.mask, np.asarray(series.ys - found.ys, np.float64), 0)
        slopes = np.asarray(found.slopes, np.float64)
        rows = Rows(residuals, np.asarray(series.mask), slopes, window, self.sizes(q), eps)
        return _Found(cost, found, laplace(rows) if np.isfinite(slopes).all() else _nothing(rows))

    def expect(self, problem, window, q, starts) -> Sensitivities:
        """And how it depends on parameters and starts."""
        number = lambda a: jnp.asarray(a, self.trials.series.ys.dtype)
        return _expect(problem, self.trials, jnp.asarray(window), number(q), number(starts))

    def sizes(self, q: np.ndarray) -> np.ndarray:
        """Of parameters, in the coordinates of the search: of one that is far from its guess, its own."""
        where = self.problem.coordinates
        unit = np.asarray(where.unit, np.float64)
        return np.where(where.positive, 1.0, np.maximum(np.abs(where.on_host(q)), unit) / unit)

    def bias(self, window, q, starts, found: _Found) -> float:
        """By how many of its standard errors a parameter moves with steps half as long, at the most."""
        finer = self.expect(_refined(self.problem, 2), window, q, starts)
        series, p = self.trials.series, len(q)
        change = np.where(series.mask, np.asarray(finer.ys - found.sensitivities.ys, np.float64), 0)
        weighted = change / found.laplace.deviation**2
        along = np.einsum("ntci,ntc->i", np.asarray(found.sensitivities.slopes, np.float64)[..., :p], weighted)
        errors = np.sqrt(np.diagonal(found.laplace.cov))
        moved = np.abs(found.laplace.cov @ along)
        rounding = np.max(np.abs(change)) <= 100 * jnp.finfo(series.ys.dtype).eps
        return 0.0 if rounding else float(np.max(moved / np.where(errors > 0, errors, np.inf), initial=0.0))

    def refine(self, times: int) -> None:
        """Steps so many times shorter."""
        self.problem = _refined(self.problem, times)


@eqx.filter_jit
def _search(problem: LawProblem, trials: Trials, window, q, starts, deviation, ys, weights, free) -> Fit:
    """Of each member, `q` `(member, parameter)`, `starts` `(member, trial, window, state)`. What has no slope is not
    moved."""
    count, values = starts.shape[2], jnp.sum(trials.series.mask, dtype=ys.dtype)
    tolerance = jnp.maximum(2e-3 / values, 4 * jnp.finfo(ys.dtype).eps)

    moved = jnp.concatenate([free, jnp.ones(starts.shape[-1], q.dtype)])

    def one(q, starts, ys, weights):
        def equations(q, starts):
            def of_trial(starts, series, control, window, ys):
                found = _of_trial(problem, q, starts, series.ts, control, window)
                found = found._replace(slopes=found.slopes * moved[None, None, :])
                series = eqx.tree_at(lambda s: s.ys, series, ys)
                return normal_equations(found, series, window, count, deviation)

            return weights[:, None, None, None] * jax.vmap(of_trial)(starts, *trials, window, ys)

        return levenberg_marquardt(equations, q, starts, tolerance)

    return jax.vmap(one)(q, starts, ys, weights)


@eqx.filter_jit
def _expect(problem: LawProblem, trials: Trials, window, q, starts) -> Sensitivities:
    one = lambda starts, series, control, window: _of_trial(problem, q, starts, series.ts, control, window)
    return jax.vmap(one)(starts, *trials, window)


def _of_trial(problem: LawProblem, q, starts, ts, control, window) -> Sensitivities:
    path = None if control is None else LinearPath.from_series(control)
    return sensitivities(problem.flow, problem.channels, q, starts, ts, path, window)


def _refined(problem: LawProblem, times: int) -> LawProblem:
    return eqx.tree_at(lambda p: p.substeps, problem, problem.substeps * times)


def _variance(found: _Found) -> float:
    return float(np.mean(found.laplace.deviation**2)) + FLOOR


def bounded(deviation: np.ndarray) -> np.ndarray:
    """No channel weighs as if it had no noise at all."""
    return np.maximum(deviation, max(1e-6, 1e-3 * float(deviation.max())))


def _nothing(rows: Rows) -> Laplace:
    """Of a law that came to no numbers."""
    p = len(rows.unit)
    return Laplace(np.full(rows.mask.shape[-1], np.inf), np.zeros((p, p)), np.eye(p), 1, 0.0, False, np.ones(p))


def _diverges(problem: LawProblem, window: np.ndarray) -> str:
    law = problem.field.law
    guess = ", ".join(f"{name}={float(law.parameters[name]):.4g}" for name in law.names)
    length = int(np.max(np.bincount(window[0])))
    return (
        f"law {law.name}: its solution from the data is not finite within {length} rows, neither with its first "
        f"guesses ({guess}) nor with others about them: give guesses with which it stays finite, or change the law "
        "(a square root or logarithm of what may be negative, a pole)"
    )
