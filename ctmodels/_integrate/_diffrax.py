"""All that our engine does not do, by diffrax: implicit methods, other controllers, other adjoints; through a solver
that keeps the account of the work."""

from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array

from ctmodels._integrate._account import Step, measured, name_of, rms
from ctmodels._integrate._control import tolerance
from ctmodels._output import NON_FINITE, OTHER, STEP_UNDERFLOW, SUCCESS, TOO_MANY_STEPS, Stats, gather


class Accounting(diffrax.AbstractAdaptiveSolver, diffrax.AbstractWrappedSolver):
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
        zeros = {name_of(m): jnp.zeros((), y0.dtype) for m in self.measures}
        return self._inner().init(terms, t0, t1, y0, args), zeros

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        inner, sums = solver_state
        y1, error, dense, inner, result = self._inner().step(terms, t0, t1, y0, args, inner, made_jump)
        if self.measures:
            tableau, field = self.solver.tableau, lambda t, y: terms.vf(t, y, args)  # pyright: ignore
            by = tolerance(self.controller, y0, y1) if hasattr(self.controller, "rtol") else None  # pyright: ignore
            t, h = jnp.asarray(t0), jnp.asarray(t1 - t0)
            step = Step(t, h, y0, y1, dense["k"], tableau, error, by, field, self.noise, rms)
            sums = {name: gather(name, sums[name], value) for name, value in measured(self.measures, step).items()}
        return y1, error, dense, (inner, sums), result

    def func(self, terms, t0, y0, args):
        return self.solver.func(terms, t0, y0, args)


def solve_by_diffrax(integrate, measures, field, ts, y0, args, noise):
    """One sample's solve, saved at `ts`; a failed one returns NaN from where it stopped."""
    adjoint = integrate.adjoint
    if not isinstance(adjoint, diffrax.AbstractAdjoint):
        adjoint = diffrax.RecursiveCheckpointAdjoint()
    method = integrate.method
    if measures:
        method = Accounting(method, measures, integrate.controller, noise)
    if measures and isinstance(adjoint, diffrax.BacksolveAdjoint):
        raise ValueError(
            f"account: `{name_of(measures[0])}` looks into each step, which BacksolveAdjoint does not see: take "
            "`ctmodels.local`, or the adjoint ctmodels.Replay() or diffrax.RecursiveCheckpointAdjoint()"
        )
    if measures and not isinstance(integrate.method, diffrax.AbstractERK):
        raise ValueError(
            f"account: measures are of explicit Runge-Kutta steps, and {type(integrate.method).__name__} takes others; "
            "leave the account empty, or use diffrax.Tsit5()"
        )
    sol = diffrax.diffeqsolve(
        diffrax.ODETerm(field),
        method,
        t0=ts[0],
        t1=ts[-1],
        dt0=None,
        y0=y0,
        args=args,
        saveat=diffrax.SaveAt(ts=ts, solver_state=bool(measures)),
        stepsize_controller=integrate.controller,
        adjoint=adjoint,
        max_steps=integrate.max_steps,
        throw=False,
    )
    ys: Any = sol.ys
    # Diffrax fills what it did not reach with infinity: NaN is never taken for a value.
    reached = jnp.isfinite(ys)
    status = _status(sol.result, ys)
    blank = y0 if integrate.failed == "hold" else jnp.full_like(y0, jnp.nan)
    return jnp.where(reached, ys, blank[None]), _stats(integrate.method, bool(measures), sol, status, ts, reached)


def _status(result, ys):
    solved = jnp.where(jnp.all(jnp.isfinite(ys)), SUCCESS, NON_FINITE)
    failed = jnp.where(result == diffrax.RESULTS.max_steps_reached, TOO_MANY_STEPS, OTHER)
    failed = jnp.where(result == diffrax.RESULTS.dt_min_reached, STEP_UNDERFLOW, failed)
    return jnp.where(result == diffrax.RESULTS.successful, solved, failed)


def _stats(method, accounted: bool, sol, status, ts, reached) -> Stats:
    accepted, rejected = sol.stats["num_accepted_steps"], sol.stats["num_rejected_steps"]
    tableau = getattr(method, "tableau", None)
    stages, fsal = (len(tableau.b_sol), int(tableau.fsal)) if tableau is not None else (1, 0)
    # One more for the first stage, which the other steps inherit. (None for the size of the first step: diffrax 0.7.2
    # takes 0.01 there, since it does not see that the term it has wrapped is an ODE's.)
    evaluations = (accepted + rejected) * (stages - fsal) + fsal
    sums = sol.solver_state[1] if accounted else {}
    unknown = jnp.full((), jnp.nan, ts.dtype)
    last = jnp.sum(jnp.all(reached, axis=1)) - 1
    return Stats(evaluations, accepted, rejected, status, sums, unknown, unknown, ts[last])
