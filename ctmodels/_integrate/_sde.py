"""Stochastic differential equations on a fixed grid, as a scan: what training on them needs.

Noise is drawn within the scan. Each step is taken again in the backward pass, which is faster than storing its inside;
of its noise the increment is kept, as drawing it again takes longer.
"""

import functools

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ctmodels._core._output import gathered
from ctmodels._integrate._engine._state import State
from ctmodels._integrate._fixed import OnGrid, Substeps, finished, taken_by_time
from ctmodels._integrate._methods import METHODS
from ctmodels._integrate._problem import Problem, Solved
from ctmodels._integrate._stochastic import Moved, Terms, move_by
from ctmodels.measures import Step
from ctmodels.measures._measure import measured
from ctmodels.measures._step import rms
from ctmodels.noise import Brownian, Increment, unwrapped


def solve(problem: Problem) -> Solved:
    """Steps between the save times, or at times of a grid."""
    controller = problem.integrate.controller
    if isinstance(controller, Substeps):
        on_grid = _between_saves if controller.longest is None else _by_time
    else:
        on_grid = _at_times
    return finished(problem, on_grid(problem))


# Of a step as measures see it: its drift is taken at the beginning. (Diffrax has no tableau of one stage.)
EULER = diffrax.ButcherTableau(
    a_lower=(np.array([1.0]),), b_sol=np.array([1.0, 0.0]), b_error=np.zeros(2), c=np.array([1.0])
)


class _Stepper:
    """The steps of one sample: `begin` makes what is carried, `(y, kept)`, and `one` moves it on."""

    def __init__(self, problem: Problem, n: int):
        noise, y0 = problem.noise, problem.y0
        assert noise is not None
        self.problem, self.method = problem, METHODS[type(problem.integrate.method)]
        drift = lambda t, y: problem.field(t, y, problem.args)
        diffusion = lambda t, y: noise.diffusion(t, y, problem.args)
        self.terms = Terms(drift, diffusion, noise.kind, noise.sde, problem.args, problem.integrate.method)
        self.drawn = noise.sde.drawn
        self.brownian = Brownian(noise.key, n, noise.shape, y0.dtype, self.method.area)

    def begin(self) -> tuple:
        y0 = self.problem.y0
        return y0, self.method.begin(self.terms, self.problem.ts[0], y0)

    @functools.partial(jax.checkpoint, static_argnums=0)
    def one(self, carry: tuple, t, h, increment: Increment) -> tuple[tuple, dict[str, Array]]:
        y, kept = carry
        if not self.drawn:
            increment = jax.tree.map(jnp.zeros_like, increment)
        move = move_by(increment, h, y.dtype)
        moved: Moved = self.method.step(self.terms, t, y, kept, move)
        return (moved.y, moved.kept), self.measured(t, y, moved, move)

    def measured(self, t, y, moved: Moved, move) -> dict[str, Array]:
        problem = self.problem
        if not problem.measures:
            return {}
        step = Step(
            t=t,
            h=move.h,
            y0=y,
            y1=moved.y,
            k=jnp.stack(2 * [move.h * self.terms.drift(t, y)]),
            tableau=EULER,
            error=moved.error,
            tolerance=None,
            field=self.terms.drift,
            noise=problem.draws.noise,
            norm=rms,
        )
        return measured(problem.measures, step)


def _between_saves(problem: Problem) -> OnGrid:
    """`n` steps between neighbouring `ts`."""
    n, ts = problem.integrate.controller.n, problem.ts  # pyright: ignore
    stepper = _Stepper(problem, n)

    def interval(carry, x):
        number, t0, t1 = x
        h = (t1 - t0) / n

        one = lambda carry, i, increment: stepper.one(carry, t0 + i.astype(ts.dtype) * h, h, increment)
        carry, taken = stepper.brownian.along(one, carry, number)
        return carry, (carry[0], gathered(taken))

    intervals = jnp.arange(ts.shape[0] - 1, dtype=jnp.int32), ts[:-1], ts[1:]
    _, (ys, taken) = jax.lax.scan(interval, stepper.begin(), intervals)
    steps = jnp.asarray((ts.shape[0] - 1) * n)
    return OnGrid(
        ys=jnp.concatenate([problem.y0[None], ys]),
        evaluations=steps * stepper.method.drifts,
        steps=steps,
        measured=gathered(taken),
        lengths=jnp.abs(jnp.diff(ts)) / n,
        reached=ts.shape[0] - 1,
    )


def _by_time(problem: Problem) -> OnGrid:
    """`n` steps between neighbouring `ts`, more where they would be too long, each drawn for itself: of how many halves
    an increment would be made is known in the program only."""
    stepper, state = _Stepper(problem, 1), lambda y: State.of(y, by_components=False)
    numbers, key_of = unwrapped(stepper.brownian.key)

    def one(carry, step):
        increment = stepper.brownian._replace(key=key_of(numbers)).of_part(step.interval, step.nth)
        (y, kept), measures = stepper.one((carry[0].array(), carry[1]), step.t, step.h, increment)
        return (state(y), kept), measures

    y0, kept = stepper.begin()
    return taken_by_time(problem, one, (state(y0), kept), stepper.method.drifts)


def _at_times(problem: Problem) -> OnGrid:
    """Steps between neighbouring times of `diffrax.StepTo`; what is saved between them lies on a straight line."""
    ts = problem.ts
    grid = jnp.asarray(problem.integrate.controller.ts, ts.dtype)  # pyright: ignore
    stepper = _Stepper(problem, 1)

    @jax.checkpoint
    def one(carry, x):
        number, t0, t1 = x
        carry, taken = stepper.one(carry, t0, t1 - t0, stepper.brownian.of_part(number, 0))
        return carry, (carry[0], taken)

    intervals = jnp.arange(grid.shape[0] - 1, dtype=jnp.int32), grid[:-1], grid[1:]
    _, (ys, taken) = jax.lax.scan(one, stepper.begin(), intervals)
    ys = jnp.concatenate([problem.y0[None], ys])
    at = jnp.clip(jnp.searchsorted(grid, ts, side="left") - 1, 0, grid.shape[0] - 2)
    part = ((ts - grid[at]) / (grid[at + 1] - grid[at])).astype(ys.dtype)[:, None]
    steps = jnp.asarray(grid.shape[0] - 1)
    return OnGrid(
        ys=(1 - part) * ys[at] + part * ys[at + 1],
        evaluations=steps * stepper.method.drifts,
        steps=steps,
        measured=gathered(taken),
        lengths=jnp.abs(jnp.diff(grid)),
        reached=ts.shape[0] - 1,
    )
