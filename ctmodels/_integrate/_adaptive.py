"""Adaptive steps of explicit Runge-Kutta methods with the discrete adjoint, on our engine: the training path."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx

from ctmodels._core._output import SUCCESS, Stats
from ctmodels._integrate._adjoint import DiscreteAdjoint
from ctmodels._integrate._check import check_precision
from ctmodels._integrate._engine._adjoint import solve_with_adjoint
from ctmodels._integrate._engine._plan import Plan
from ctmodels._integrate._engine._tableau import Method
from ctmodels._integrate._problem import Problem, Solved
from ctmodels._integrate._samples import sample_number, within_a_sample
from ctmodels.measures import Measure


def steps_usually(integrate) -> bool:
    """Whether it takes explicit steps under the usual control."""
    controller = integrate.controller
    usual = type(controller) is diffrax.PIDController and controller.norm is optx.rms_norm
    return usual and isinstance(integrate.method, diffrax.AbstractERK)


def takes(integrate) -> bool:
    """Whether our engine takes it: explicit steps under the usual control, and no other adjoint asked for."""
    return steps_usually(integrate) and isinstance(integrate.adjoint, DiscreteAdjoint)


def plan_of(integrate, measures: tuple[Measure, ...] = (), sampling: tuple[str, ...] = ()) -> Plan:
    """What our engine has to know."""
    return Plan(
        method=Method(integrate.method),
        controller=integrate.controller,
        max_steps=integrate.max_steps,
        buffer=integrate.adjoint.buffer,
        measures=measures,
        shared=integrate.batching == "shared",
        summed=integrate.cotangents == "summed",
        hold=integrate.failed == "hold",
        sampling=sampling,
    )


def closed_over(field, t, y, args):
    """`field` as a function (arrays, t, y) that closes over nothing, and its arrays, those with derivatives first: so
    that a vmap or a gradient sees each of them."""
    closed = eqx.filter_closure_convert(lambda t, y: field(t, y, args), t, y)
    inexact, rest = eqx.partition(closed, eqx.is_inexact_array)
    whole, static = eqx.partition(rest, eqx.is_array)
    inexact, inexact_tree = jax.tree.flatten(inexact)
    whole, whole_tree = jax.tree.flatten(whole)

    def of(arrays, t, y):
        a, b = arrays[: len(inexact)], arrays[len(inexact) :]
        parts = jax.tree.unflatten(inexact_tree, a), jax.tree.unflatten(whole_tree, b), static
        return eqx.combine(*parts)(t, y)

    return of, inexact, whole


def solve(problem: Problem) -> Solved:
    """On our engine, with the steps that are to be sampled."""
    integrate, ts, y0 = problem.integrate, problem.ts, problem.y0
    check_precision(integrate.controller, y0.dtype)  # pyright: ignore
    plan = plan_of(integrate, problem.measures, problem.sampling)
    of, inexact, whole = closed_over(problem.field, ts[0], y0, problem.args)
    sample = sample_number() if plan.summed else None
    # In a rule for derivatives, say, which runs later, it is not known what becomes of the cotangents.
    plan = plan._replace(summed=plan.summed and (sample is None or within_a_sample()))
    out = solve_with_adjoint((ts, y0, inexact), plan, of, whole, problem.draws, sample)
    ends = out.ends
    attempts = ends.accepted + ends.rejected
    stats = Stats(
        # Two more: for the first slope, and for the length of the first step.
        evaluations=2 + attempts * plan.method.fresh + 0 * ends.status,
        accepted=ends.accepted,
        rejected=ends.rejected,
        status=ends.status,
        measures={name: jnp.where(ends.status == SUCCESS, value, jnp.nan) for name, value in out.measured.items()},
        shortest=jax.lax.stop_gradient(ends.shortest),
        longest=jax.lax.stop_gradient(ends.longest),
        t=jax.lax.stop_gradient(ends.t),
    )
    return Solved(ys=out.ys, stats=stats, starts=ends.starts)
