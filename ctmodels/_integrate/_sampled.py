"""Local measures: of one more step, from where a solve's sampled step began."""

import dataclasses
from collections.abc import Callable

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._integrate import _adaptive
from ctmodels._integrate._adjoint import DiscreteAdjoint
from ctmodels._integrate._engine._batched_forward import Start
from ctmodels._integrate._engine._control import tolerance
from ctmodels._integrate._engine._tableau import Method
from ctmodels._integrate._layout import closed_over
from ctmodels._integrate._problem import Problem, Solved
from ctmodels.measures import Measure


def local_measures(problem: Problem, solved: Solved) -> dict[str, Array]:
    """name -> what the local measures of `problem.integrate` find."""
    asked = [m for m in problem.integrate.measures if m.sampling]
    if not asked:
        return {}
    starts = starts_apart(problem) if solved.starts is None else solved.starts
    return {m.name: of_one_step(m, problem, starts[m.sampling]) for m in asked}  # pyright: ignore


def of_one_step(measure: Measure, problem: Problem, start: Start) -> Float[Array, ""]:
    """A local measure, from where the sampled step began; by the unbiased rule, from the time that was drawn in it."""
    integrate, ts = problem.integrate, problem.ts
    method, field = Method(integrate.method), lambda t, y: problem.field(t, y, problem.args)  # pyright: ignore
    start = jax.lax.stop_gradient(start)
    t, h, y = start.t, start.h, start.y
    if measure.sampling == "unbiased":
        now = ts[0] + problem.draws.time.astype(ts.dtype) * (ts[-1] - ts[0])  # pyright: ignore
        t, y = now, solution_at(method, field, now, start)
        left = ts[-1] - now
        h = jnp.where(jnp.abs(left) < jnp.abs(h), left, h)
    return one_step_from(measure, method, integrate.controller, field, Start(t=t, h=h, y=y))  # pyright: ignore


def one_step_from(
    measure: Measure, method: Method, controller: diffrax.PIDController, field: Callable, start: Start
) -> Float[Array, ""]:
    """The measure of a step of length `start.h`."""
    t, h, y = jax.lax.stop_gradient(start)
    y1, slopes = method.step(field, t, h, y, field(t, y))
    return measure.of(method.taken(field, t, h, y, y1, slopes, tolerance=tolerance(controller, y, y1)))


def solution_at(method: Method, field: Callable, t, start: Start) -> Array:
    """The solution at `t`, by one step from where the solver's step that contains it began."""
    return method.step(field, start.t, t - start.t, start.y, field(start.t, start.y))[0]


def starts_apart(problem: Problem) -> dict[str, Start]:
    """Of the same solve once more on our engine, without derivatives, for the sake of its steps."""
    integrate, ts, y0 = problem.integrate, problem.ts, problem.y0
    if not _adaptive.steps_usually(integrate):
        raise ValueError(
            "measures: `local_measure` takes a step of an explicit method that has an error estimate, of a length that "
            "a diffrax.PIDController chooses: give Integrate(diffrax.Tsit5(), diffrax.PIDController(...))"
        )
    of, inexact, whole = closed_over(problem.field, ts[0], y0, problem.args)
    still = jax.lax.stop_gradient(inexact)
    ts, y0 = jax.lax.stop_gradient((ts, y0))
    again = problem._replace(
        integrate=dataclasses.replace(integrate, adjoint=DiscreteAdjoint()),
        measures=(),
        field=lambda t, y, args: of([*still, *whole], t, y),
        ts=ts,
        y0=y0,
        args=None,
    )
    return _adaptive.solve(again).starts  # pyright: ignore
