"""All that our engine does not do, by diffrax: implicit methods, other controllers, other adjoints; through a solver
that measures its steps."""

import dataclasses
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optimistix as optx
from jaxtyping import Array

from ctmodels._core._output import NON_FINITE, OTHER, STEP_UNDERFLOW, SUCCESS, TOO_MANY_STEPS, Stats, gather
from ctmodels._integrate._engine._control import tolerance
from ctmodels._integrate._fixed import Substeps
from ctmodels._integrate._problem import Problem, Solved
from ctmodels._integrate._terms import joined, parted, terms_of
from ctmodels.measures import Step
from ctmodels.measures._measure import measured
from ctmodels.measures._step import rms


class Measuring(diffrax.AbstractAdaptiveSolver, diffrax.AbstractWrappedSolver):
    """The wrapped solver with a running sum of each measure in its state.

    Diffrax restores the solver's state when it rejects a step, so that only accepted steps count.
    """

    solver: diffrax.AbstractSolver
    measures: tuple = eqx.field(static=True)
    controller: diffrax.AbstractStepSizeController
    noise: Array | None
    # Diffrax 0.7.2 sets `scan_kind` on whatever it takes for a Runge-Kutta method, wrappers included.
    scan_kind: str | None = None

    @property
    def term_structure(self):
        return self.solver.term_structure

    @property
    def interpolation_cls(self):  # pyright: ignore
        return self.solver.interpolation_cls

    @property
    def term_compatible_contr_kwargs(self):
        return self.solver.term_compatible_contr_kwargs

    def order(self, terms):
        return self.solver.order(terms)

    def strong_order(self, terms):
        return self.solver.strong_order(terms)

    def error_order(self, terms):
        return self.solver.error_order(terms)

    def _inner(self):
        if self.scan_kind is None:
            return self.solver
        return eqx.tree_at(lambda s: s.scan_kind, self.solver, self.scan_kind, is_leaf=lambda x: x is None)

    def init(self, terms, t0, t1, y0, args):
        zeros = {m.name: jnp.zeros((), y0.dtype) for m in self.measures}
        return self._inner().init(terms, t0, t1, y0, args), zeros

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        inner, sums = solver_state
        y1, error, dense, inner, result = self._inner().step(terms, t0, t1, y0, args, inner, made_jump)
        if self.measures:
            tableau, field = self.solver.tableau, lambda t, y: terms.vf(t, y, args)  # pyright: ignore
            by = tolerance(self.controller, y0, y1) if hasattr(self.controller, "rtol") else None  # pyright: ignore
            t, h = jnp.asarray(t0), jnp.asarray(t1 - t0)
            step = Step(
                t=t,
                h=h,
                y0=y0,
                y1=y1,
                k=dense["k"],
                tableau=tableau,
                error=error,
                tolerance=by,
                field=field,
                noise=self.noise,
                norm=rms,
            )
            sums = {name: gather(name, sums[name], value) for name, value in measured(self.measures, step).items()}
        return y1, error, dense, (inner, sums), result

    def func(self, terms, t0, y0, args):
        return self.solver.func(terms, t0, y0, args)


def solve(problem: Problem) -> Solved:
    """One sample's solve, saved at `ts`; a failed one returns NaN from where it stopped."""
    return _substeps(problem) if isinstance(problem.integrate.controller, Substeps) else _one_solve(problem)


def _one_solve(problem: Problem) -> Solved:
    integrate, measures, ts, y0 = problem.integrate, problem.measures, problem.ts, problem.y0
    adjoint = integrate.adjoint
    if not isinstance(adjoint, diffrax.AbstractAdjoint):
        adjoint = diffrax.RecursiveCheckpointAdjoint()
    _refuse(integrate.method, measures, adjoint)
    # Diffrax computes in the wider type of times and state: the field gets and returns the state's all the same.
    with jax.numpy_dtype_promotion("standard"):
        wider = jnp.promote_types(y0.dtype, ts.dtype)
    times, controller = ts.astype(jnp.finfo(wider).dtype), integrate.controller
    if isinstance(controller, diffrax.StepTo):
        controller = diffrax.StepTo(controller.ts.astype(times.dtype))
    begun = jnp.all(jnp.isfinite(y0))
    terms, controller = terms_of(problem, wider, times, controller)
    sol = diffrax.diffeqsolve(
        terms,  # pyright: ignore
        _method_of(problem),
        t0=times[0],
        t1=times[-1],
        dt0=None,
        y0=parted(problem, jnp.where(begun, y0, 0).astype(wider)),
        args=problem.args,
        saveat=diffrax.SaveAt(ts=times, solver_state=bool(measures)),
        stepsize_controller=controller,  # pyright: ignore
        adjoint=adjoint,
        max_steps=_most_steps(integrate),
        throw=False,
    )
    ys: Any = joined(problem, sol.ys).astype(y0.dtype)  # pyright: ignore
    # Diffrax fills what it did not reach with infinity: NaN is never taken for a value.
    reached = jnp.isfinite(ys) & begun
    status = jnp.where(begun, _status(sol.result, ys), NON_FINITE)
    blank = y0 if integrate.failed == "hold" else jnp.full_like(y0, jnp.nan)
    stats = _stats(integrate.method, bool(measures), sol, status, ts, reached)
    return Solved(ys=jnp.where(reached, ys, blank[None]), stats=stats)


def _method_of(problem: Problem) -> diffrax.AbstractSolver:
    """The method, with what it needs on a fixed grid, measuring what is asked for."""
    method, controller = problem.integrate.method, problem.integrate.controller
    if isinstance(controller, diffrax.StepTo):
        method = _implicit(method, problem.y0.dtype)
    if not problem.measures:
        return method
    return Measuring(solver=method, measures=problem.measures, controller=controller, noise=problem.draws.noise)  # pyright: ignore


def _substeps(problem: Problem) -> Solved:
    """`n` equal steps of any method between each two neighbouring `ts`: a solve of its own for each gap, over a time
    from 0 to 1."""
    integrate, ts, y0 = problem.integrate, problem.ts, problem.y0
    grid = jnp.linspace(0, 1, integrate.controller.n + 1, dtype=ts.dtype)  # pyright: ignore
    one = dataclasses.replace(integrate, controller=diffrax.StepTo(grid), failed="nan")

    def gap(y, edges):
        t, h = edges[0], edges[1] - edges[0]
        along = lambda s, y, args: h.astype(y.dtype) * problem.field(t + s * h, y, args)
        solved = _one_solve(problem._replace(integrate=one, field=along, ts=grid[jnp.array([0, -1])], y0=y))
        return solved.ys[1], (solved.ys[1], dataclasses.replace(solved.stats, t=t))

    _, (ys, stats) = jax.lax.scan(gap, y0, jnp.stack([ts[:-1], ts[1:]], axis=1))
    stats = Stats.in_sequence(stats)
    blank = y0 if integrate.failed == "hold" else jnp.full_like(y0, jnp.nan)
    ys = jnp.concatenate([y0[None], jnp.where(jnp.isfinite(ys), ys, blank)])
    stats = dataclasses.replace(stats, t=jnp.where(stats.status == SUCCESS, ts[-1], stats.t))
    return Solved(ys=ys, stats=stats)


def _implicit(method, dtype):
    """Tolerances for an implicit method's equations, of which a fixed grid has none to take over."""
    if not isinstance(method, diffrax.AbstractImplicitSolver):
        return method
    finder, tol = method.root_finder, float(jnp.finfo(dtype).eps) ** (2 / 3)
    own = {"rtol": tol, "atol": tol, "norm": optx.max_norm}
    unset = [name for name in own if repr(getattr(finder, name, None)).startswith("<taken from")]
    at = lambda m: [getattr(m.root_finder, name) for name in unset]
    return eqx.tree_at(at, method, [own[name] for name in unset]) if unset else method


def _most_steps(integrate) -> int | None:
    grid = integrate.controller
    return len(grid.ts) if isinstance(grid, diffrax.StepTo) else integrate.max_steps


def _refuse(method, measures, adjoint) -> None:
    """Measures that this method, or this adjoint, cannot make."""
    if measures and isinstance(adjoint, diffrax.BacksolveAdjoint):
        raise ValueError(
            f"measures: `{measures[0].name}` looks into each step, which BacksolveAdjoint does not see: take "
            "`ctmodels.measures.local_measure`, or the adjoint ctmodels.DiscreteAdjoint() or "
            "diffrax.RecursiveCheckpointAdjoint()"
        )
    if measures and not isinstance(method, diffrax.AbstractERK):
        raise ValueError(
            f"measures: measures are of explicit Runge-Kutta steps, and {type(method).__name__} takes others; "
            "leave `measures` empty, or use diffrax.Tsit5()"
        )


def _status(result, ys):
    solved = jnp.where(jnp.all(jnp.isfinite(ys)), SUCCESS, NON_FINITE)
    failed = jnp.where(result == diffrax.RESULTS.max_steps_reached, TOO_MANY_STEPS, OTHER)
    failed = jnp.where(result == diffrax.RESULTS.dt_min_reached, STEP_UNDERFLOW, failed)
    return jnp.where(result == diffrax.RESULTS.successful, solved, failed)


def _stats(method, measuring: bool, sol, status, ts, reached) -> Stats:
    accepted, rejected = sol.stats["num_accepted_steps"], sol.stats["num_rejected_steps"]
    tableau = getattr(method, "tableau", None)
    stages, fsal = (len(tableau.b_sol), int(getattr(tableau, "fsal", False))) if tableau is not None else (1, 0)
    # One more for the first stage, which the other steps inherit. (None for the size of the first step: diffrax 0.7.2
    # takes 0.01 there, since it does not see that the term it has wrapped is an ODE's.)
    evaluations = (accepted + rejected) * (stages - fsal) + fsal
    sums = sol.solver_state[1] if measuring else {}
    last = jnp.sum(jnp.all(reached, axis=1)) - 1
    # The lengths of its steps it does not say. Not NaN, at which jax.debug_nans would stop.
    return Stats(
        evaluations=evaluations,
        accepted=accepted,
        rejected=rejected,
        status=status,
        measures=sums,
        shortest=jnp.zeros((), ts.dtype),
        longest=jnp.full((), jnp.inf, ts.dtype),
        t=ts[last],
    )
