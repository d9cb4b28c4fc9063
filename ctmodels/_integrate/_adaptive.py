"""Adaptive steps of explicit Runge-Kutta methods with the discrete adjoint, on our engine: the training path."""

import diffrax
import jax
import jax.numpy as jnp
import optimistix as optx

from ctmodels._core._output import SUCCESS, Stats
from ctmodels._integrate._adjoint import DiscreteAdjoint
from ctmodels._integrate._check import check_precision
from ctmodels._integrate._engine._adjoint import solve_with_adjoint
from ctmodels._integrate._engine._plan import Plan
from ctmodels._integrate._engine._tableau import Method
from ctmodels._integrate._layout import laid_out
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


def plan_of(integrate, by_components: bool, measures: tuple[Measure, ...] = (), sampling: tuple[str, ...] = ()) -> Plan:
    """What our engine has to know."""
    return Plan(
        method=Method(integrate.method),
        controller=integrate.controller,
        max_steps=integrate.max_steps,
        buffer=integrate.adjoint.rows(by_components),
        measures=measures,
        shared=integrate.batching == "shared",
        summed=integrate.cotangents == "summed",
        hold=integrate.failed == "hold",
        sampling=sampling,
        by_components=by_components,
    )


def solve(problem: Problem) -> Solved:
    """On our engine, with the steps that are to be sampled."""
    integrate, ts, y0 = problem.integrate, problem.ts, problem.y0
    check_precision(integrate.controller, y0.dtype)  # pyright: ignore
    layout = laid_out(problem)
    plan = plan_of(integrate, layout.by_components, problem.measures, problem.sampling)
    sample = sample_number() if plan.summed else None
    # In a rule for derivatives, say, which runs later, it is not known what becomes of the cotangents.
    plan = plan._replace(summed=plan.summed and (sample is None or within_a_sample()))
    out = solve_with_adjoint((ts, y0, layout.inexact), plan, layout.field, layout.whole, problem.draws, sample)
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
