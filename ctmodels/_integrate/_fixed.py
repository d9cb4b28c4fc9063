"""Explicit Runge-Kutta on a given grid, as a scan: what training on regular data needs."""

from collections.abc import Callable
from typing import Any, ClassVar, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.typing import ArrayLike
from jaxtyping import Array, Float, Int, PyTree

from ctmodels._core._output import NON_FINITE, SUCCESS, TOO_MANY_STEPS, Stats, gathered
from ctmodels._integrate._by_time import by_time, one_by_one
from ctmodels._integrate._engine._state import State
from ctmodels._integrate._engine._tableau import Method, combine
from ctmodels._integrate._layout import Layout, laid_out
from ctmodels._integrate._problem import Problem, Solved
from ctmodels.measures import Step
from ctmodels.measures._measure import measured
from ctmodels.measures._step import rms


class Substeps(eqx.Module):
    """Steps without control: `n` equal ones between each two neighbouring save times, and as many more as it takes that
    none is longer than `longest`.

    **Arguments:** `n`: steps from one save time to the next; `longest`: the longest step, in units of time (to one
    hundredth, so that rounding of regular times makes no steps more); None: `n` steps, however long.

    Where all gaps are at most `n * longest`, `longest` costs nothing. Elsewhere a batch goes on until each sample has
    taken its own steps. `Integrate.max_steps` bounds what a solve takes beyond `n` a gap: reaching it is a status. Of
    an SDE, each step between two times then has noise of its own: with more of them it has another path.

    **Good values:** `longest`: a quarter of the time in which the state moves by its own size. With regular save times
    only, as in training on dense series, `n` alone will do; a record with pauses, or forecasts at other times than one
    trained on, want a `longest`.
    """

    n: int = eqx.field(static=True, default=1)
    longest: float | None = eqx.field(static=True, default=None)

    def __check_init__(self):
        if self.n < 1:
            raise ValueError(f"n={self.n}: at least one step is needed between two save times")
        if self.longest is not None and not (np.isfinite(self.longest) and self.longest > 0):
            raise ValueError(f"longest={self.longest}: must be a positive time, or None for `n` steps however long")


class RK4(diffrax.AbstractERK):
    """The classical Runge-Kutta method: order 4, four stages, no error estimate (so no adaptive steps)."""

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(
        a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
        b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        b_error=np.zeros(4),
        c=np.array([0.5, 0.5, 1.0]),
    )
    interpolation_cls: ClassVar[Callable] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms: Any) -> int:
        """Of its global error: 4."""
        return 4


def rk_step(
    tableau: diffrax.ButcherTableau,
    field: Callable,
    t: ArrayLike,
    h: ArrayLike,
    y: Float[Array, " state"],
    args: PyTree = None,
    f0: Float[Array, " state"] | None = None,
    noise: Float[Array, " state"] | None = None,
) -> Step:
    """One explicit Runge-Kutta step of length `h` from (t, y); `f0` is the slope there, if known, `noise` what
    measures may want."""
    h_y = jnp.asarray(h, jnp.finfo(y.dtype).dtype)  # the state keeps its precision, whatever the times'
    k = [h_y * (field(t, y, args) if f0 is None else f0)]
    for a_i, c_i in zip(tableau.a_lower, tableau.c, strict=True):
        k.append(h_y * field(t + c_i.item() * h, y + combine(a_i, k), args))
    y1 = y + combine(tableau.b_sol, k)
    error = combine(tableau.b_error, k) if np.any(tableau.b_error) else None
    return Step(
        t=t,  # pyright: ignore
        h=h_y,
        y0=y,
        y1=y1,
        k=jnp.stack(k),
        tableau=tableau,
        error=error,
        tolerance=None,
        field=lambda t, y: field(t, y, args),
        noise=noise,
        norm=rms,
    )


def solve(problem: Problem) -> Solved:
    """Steps on a grid that is known: between the save times, or at times of its own."""
    controller = problem.integrate.controller
    if isinstance(controller, Substeps):
        on_grid = _between_saves if controller.longest is None else _by_time
    else:
        on_grid = _at_times
    return finished(problem, on_grid(problem))


def finished(problem: Problem, solution: "OnGrid") -> Solved:
    """What it came to, and its statistics; from where it is not finite, the states of a failed solve."""
    integrate, ts, y0 = problem.integrate, problem.ts, problem.y0
    finite = jnp.all(jnp.isfinite(solution.ys), axis=1)
    last = jnp.argmin(jnp.where(finite, 1, 0)) - 1  # -1 is the end if all are finite
    why = jnp.where(last + 1 <= solution.reached, NON_FINITE, TOO_MANY_STEPS)
    status = jnp.where(jnp.all(finite), SUCCESS, why)
    blank = y0 if integrate.failed == "hold" else jnp.full_like(y0, jnp.nan)
    ys = jnp.where(finite[:, None], solution.ys, blank[None])
    shortest = jnp.min(jnp.where(solution.lengths == 0, jnp.inf, solution.lengths))
    stats = Stats(
        evaluations=solution.evaluations,
        accepted=solution.steps,
        rejected=0 * solution.steps,
        status=status,
        measures=solution.measured,
        shortest=jax.lax.stop_gradient(shortest),
        longest=jax.lax.stop_gradient(jnp.max(solution.lengths)),
        t=jax.lax.stop_gradient(ts[last]),
    )
    return Solved(ys=ys, stats=stats)


class OnGrid(NamedTuple):
    """States at the save times, of which those up to the number `reached` were; the work; the steps' lengths."""

    ys: Float[Array, "time state"]
    evaluations: Int[Array, ""]
    steps: Int[Array, ""]
    measured: dict[str, Array]
    lengths: Float[Array, " gap"]
    reached: Int[Array, ""] | int


def _step_of(problem: Problem) -> tuple[Callable, Layout]:
    """`one(y, t, h) -> (y, measures)`, of a `State`. It is rematerialised in the backward pass, which is faster than
    storing its inside."""
    method, layout = Method(problem.integrate.method), laid_out(problem)  # pyright: ignore

    @jax.checkpoint
    def one(y: State, t, h):
        y1, slopes = method.step(layout.slope, t, h, y, layout.slope(t, y) if method.fsal else None)
        return y1, _measured(problem, method, layout, t, h, y, y1, slopes)

    return one, layout


def _measured(problem: Problem, method: Method, layout: Layout, t, h, y: State, y1: State, slopes) -> dict:
    if not problem.measures:
        return {}
    arrays, k = (y.array(), y1.array()), [f.array() for f in slopes]
    step = method.taken(layout.slope_of_array, t, h, *arrays, k, noise=problem.draws.noise)
    return measured(problem.measures, step)


def _stages_of(problem: Problem) -> int:
    return len(problem.integrate.method.tableau.b_sol)  # pyright: ignore


def _between_saves(problem: Problem) -> OnGrid:
    """`n` steps between neighbouring `ts`."""
    n, ts, y0 = problem.integrate.controller.n, problem.ts, problem.y0  # pyright: ignore
    one, layout = _step_of(problem)

    def interval(y, edges):
        t0, h = edges[0], (edges[1] - edges[0]) / n
        y, taken = jax.lax.scan(lambda y, i: one(y, t0 + i * h, h), y, jnp.arange(n, dtype=ts.dtype))
        return y, (y, taken)

    _, (ys, taken) = jax.lax.scan(interval, layout.state(y0), jnp.stack([ts[:-1], ts[1:]], axis=1))
    steps = jnp.asarray((ts.shape[0] - 1) * n)
    return OnGrid(
        ys=jnp.concatenate([y0[None], ys.array()]),
        evaluations=steps * _stages_of(problem),
        steps=steps,
        measured=gathered(taken),
        lengths=jnp.abs(jnp.diff(ts)) / n,
        reached=ts.shape[0] - 1,
    )


def _by_time(problem: Problem) -> OnGrid:
    """`n` steps between neighbouring `ts`, more where they would be too long."""
    one, layout = _step_of(problem)

    def next_one(carry, step):
        y, measures = one(carry[0], step.t, step.h)
        return (y, ()), measures

    return taken_by_time(problem, next_one, (layout.state(problem.y0), ()), _stages_of(problem))


def taken_by_time(problem: Problem, one: Callable, begun: tuple[State, PyTree], evaluations: int) -> OnGrid:
    """The same, of any steps: of `evaluations` each, as `by_time` wants them."""
    integrate, ts = problem.integrate, problem.ts
    n, longest = integrate.controller.n, integrate.controller.longest  # pyright: ignore
    between = lambda one, ts, begun: by_time(one, ts, begun, n, longest, integrate.max_steps)  # pyright: ignore
    exported = not isinstance(ts.shape[0], int)  # for any number of times
    solution = one_by_one(between, one, ts, begun) if exported else between(one, ts, begun)
    lengths = jnp.abs(jnp.diff(ts)) / jnp.maximum(solution.counts, 1).astype(ts.dtype)
    steps = jnp.sum(jnp.where(jnp.arange(lengths.shape[0]) < solution.reached, solution.counts, 0), dtype=jnp.int32)
    return OnGrid(
        ys=jnp.concatenate([problem.y0[None], solution.ys.array()]),
        evaluations=steps * evaluations,
        steps=steps,
        measured=solution.measured,
        lengths=lengths,
        reached=solution.reached,
    )


def _at_times(problem: Problem) -> OnGrid:
    """Steps between neighbouring times of `diffrax.StepTo`, saved at `ts` by the interpolant."""
    integrate, ts, y0, layout = problem.integrate, problem.ts, problem.y0, laid_out(problem)
    grid, method = jnp.asarray(integrate.controller.ts, ts.dtype), Method(integrate.method)  # pyright: ignore
    # A small state's slope is cheaper to take again than to carry, with its cotangent.
    carries_slope = method.fsal and not layout.by_components
    slope_at = lambda t, y: layout.slope(t, y) if carries_slope else y.nothing()

    @jax.checkpoint
    def one(carry, edges):
        (y, slope), t, h = carry, edges[0], edges[1] - edges[0]
        y1, fs = method.step(layout.slope, t, h, y, slope if carries_slope else layout.slope(t, y))
        terms = y.map(lambda *terms: jnp.stack(terms), y1, *(h.astype(y.dtype) * f for f in fs))
        slope = fs[-1] if carries_slope else slope
        return (y1, slope), (terms, _measured(problem, method, layout, t, h, y, y1, fs))

    edges, start = jnp.stack([grid[:-1], grid[1:]], axis=1), layout.state(y0)
    _, (terms, taken) = jax.lax.scan(one, (start, slope_at(ts[0], start)), edges)
    forward = jnp.sign(grid[-1] - grid[0])
    at = jnp.clip(jnp.searchsorted(forward * grid, forward * ts, side="left") - 1, 0, edges.shape[0] - 1)
    w = jnp.stack(method.weights((ts - grid[at]) / (grid[at + 1] - grid[at])), axis=1).astype(y0.dtype)
    steps = jnp.asarray(edges.shape[0])
    return OnGrid(
        ys=terms.map(lambda terms: jnp.einsum("sw,sw...->s...", w, terms[at])).array(),
        evaluations=steps * method.fresh + 1,
        steps=steps,
        measured=gathered(taken),
        lengths=jnp.abs(jnp.diff(grid)),
        reached=ts.shape[0] - 1,
    )
