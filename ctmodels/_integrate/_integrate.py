"""Integrate: how a field is solved, and what is to be said about it."""

import dataclasses
from collections.abc import Callable

import diffrax
import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import optimistix as optx
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree, Real

from ctmodels._arguments import before
from ctmodels._integrate._asked import (
    check_adjoint,
    check_call,
    check_controller,
    check_measures,
    check_method,
    check_together,
)
from ctmodels._integrate._check import (
    check_field,
    check_grid,
    check_precision,
    check_settings,
    check_start,
    check_times,
    in_order,
    meets,
)
from ctmodels._integrate._described import described
from ctmodels._integrate._diffrax import solve_by_diffrax, substeps_by_diffrax
from ctmodels._integrate._engine._batching import replayed
from ctmodels._integrate._engine._loops import varying_alike
from ctmodels._integrate._engine._plan import Plan
from ctmodels._integrate._engine._tableau import Method
from ctmodels._integrate._fixed import Substeps, solve_fixed
from ctmodels._integrate._orders import adjoint_for
from ctmodels._integrate._sampled import Chance, one_step_from, solution_at
from ctmodels._integrate._samples import sample_number, within_a_sample
from ctmodels._model import AbstractSolver
from ctmodels._output import BAD_TIMES, SUCCESS, Stats
from ctmodels.measures import Measure


class DiscreteAdjoint(eqx.Module):
    """The discrete adjoint by replay: each accepted step is taken again and pulled back. Exact for the steps as taken.
    It can be differentiated backwards once, and what that gives forwards as often as wanted (`grad`, `jacrev`, `jvp` of
    `grad`, `hessian`). For others (`jvp`, `jacfwd`, `grad` of `grad`) `Integrate` takes `diffrax.ForwardMode()` or
    `diffrax.DirectAdjoint()` by itself; but not inside what was under `jax.jit` or `jax.lax.scan` before it was
    differentiated: there JAX refuses `custom_vjp` under `jvp`, or fails to linearize, and these are to be given.

    `buffer`: states kept on the way, a power of two. Where a solve takes more steps, every second, every fourth, ... is
    kept and the others are computed anew: one evaluation more for each, and memory of `buffer + max_steps / buffer`
    states.
    """

    buffer: int = eqx.field(static=True, default=64)

    def __check_init__(self):
        if self.buffer < 2 or self.buffer & (self.buffer - 1):
            raise ValueError(f"buffer={self.buffer}: must be a power of two, at least 2")


class Integrate(AbstractSolver):
    """Solve dy/dt = field(t, y, args) of one sample, and account for the work.

    **Arguments:**

    - `method`: an explicit Runge-Kutta method of diffrax, or [`ctmodels.RK4`][]; with a diffrax step size
      controller, or on a fixed grid, any diffrax solver.
    - `controller`: `diffrax.PIDController`, or another of diffrax's (adaptive steps); [`ctmodels.Substeps`][] or
      `diffrax.StepTo` (a fixed grid).
    - `adjoint`: [`ctmodels.DiscreteAdjoint`][], or one of diffrax's. Explicit methods with a PID controller and the
      former run on our engine; all else runs on diffrax's.
    - `max_steps`: adaptive solves only; reaching it is a status, not an exception.
    - `measures`: of the accepted steps, such as [`ctmodels.measures.local_error`][] and
      [`ctmodels.measures.stiffness`][], or [`ctmodels.measures.local_measure`][] ones; what is asked here comes back in
      `Stats.measures`.
    - `batching`: under `vmap`, `"per_sample"` (each sample has its own steps: the same as a loop over samples) or
      `"shared"` (one step for the batch, by the mean error of all samples: faster; values agree with a loop to the
      tolerance). Our engine only.
    - `cotangents`: `"per_sample"`, right under every composition of transformations; `"summed"` gives each sample the
      batch's sum for what the samples have in common, such as parameters: right, and faster, if and only if
      differentiation is outside the `vmap`. [`ctmodels.objective`][] sets it, for its `vmap` over samples alone.
    - `failed`: what a failed solve returns where it did not come to: `"nan"`, or `"hold"` (its initial state, made
      finite, to be masked by `Stats.status`; its gradient may be NaN all the same: [`ctmodels.objective`][] sees to
      that).

    The gradient is that of the accepted steps as taken: the step sizes carry none. State and times each keep their
    precision, whatever the other's: the field gets both as they are, and returns the state's.

    **Good values:** `Integrate(RK4(), Substeps(1))` for training on densely sampled series; the default
    (Tsit5, rtol 1e-4, atol 1e-6) elsewhere in float32; `batching="shared"` for training on batches of like samples.
    """

    method: diffrax.AbstractSolver = eqx.field(default=diffrax.Tsit5(), converter=check_method)
    controller: diffrax.AbstractStepSizeController | Substeps = eqx.field(
        default=diffrax.PIDController(rtol=1e-4, atol=1e-6), converter=check_controller
    )
    adjoint: diffrax.AbstractAdjoint | DiscreteAdjoint = eqx.field(default=DiscreteAdjoint(), converter=check_adjoint)
    max_steps: int = eqx.field(static=True, default=4096)
    measures: tuple[Measure, ...] = eqx.field(static=True, default=(), converter=check_measures)
    batching: str = eqx.field(static=True, default="per_sample", kw_only=True)
    cotangents: str = eqx.field(static=True, default="per_sample", kw_only=True)
    failed: str = eqx.field(static=True, default="nan", kw_only=True)

    def __check_init__(self):
        check_settings(self)
        check_together(self.method, self.controller)

    @before(check_call)
    def __call__(
        self,
        field: Callable,
        ts: Real[Array, " time"],
        y0: PyTree,
        args: PyTree = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[PyTree, Stats]:
        """Solve from `ts[0]` and save at `ts`.

        **Arguments:** `field(t, y, args)`, shaped as `y`; `ts`: monotone, repeats allowed (padding), at least two
        (under `jit`, bad ones: a status and NaN); `y0`: the state at `ts[0]`; `args`: handed on to the field (control
        or parameters); `key`: of the measures that draw something (None: the same draw each time).

        **Returns:** states at `ts`, with a leading time axis, and [`ctmodels.Stats`][]. Where all of `ts` are one time,
        the states are `y0`, and no step is taken.
        """
        check_times(ts)
        check_grid(self.controller, ts)
        check_start(y0)
        within = check_field(field, ts, y0, args)
        integrate = self
        if isinstance(self.adjoint, DiscreteAdjoint):
            integrate = dataclasses.replace(self, adjoint=adjoint_for(self.adjoint, field, ts, y0, args, within))
        # Compiled as one, unless it is part of something that is: tracing it twice takes longer.
        return (_integrate if _inside_jit() else _compiled)(integrate, field, ts, y0, args, key)

    def describe(self) -> str:
        """Method and steps, in words."""
        return described(self.method, self.controller)


def _inside_jit() -> bool:
    return isinstance(jnp.zeros(()), jax.core.Tracer)


def _integrate(integrate: Integrate, field, ts, y0, args, key):
    if _ours(integrate):
        field, ts, y0, args, key = varying_alike((field, ts, y0, args, key))
    flat0, unravel = ravel_pytree(y0)
    flat_field = lambda t, y, args: ravel_pytree(field(t, unravel(y), args))[0]
    chance = Chance.drawn(integrate.measures, key, flat0)
    sound, integrate, ts = _sound(integrate, ts)
    ys, stats = _solved(integrate, flat_field, ts, flat0, args, chance)
    ys, stats = _judged(integrate.failed == "hold", sound, ts, flat0, ys, stats)
    return jax.vmap(unravel)(ys), stats


def _sound(integrate: Integrate, ts) -> tuple[Array, Integrate, Array]:
    """Whether the times can be solved; the solver and the times, for others that are harmless where they cannot."""
    sound = in_order(ts)
    if not isinstance(integrate.controller, diffrax.StepTo):
        return sound, integrate, jnp.where(sound, ts, 0)
    # Its ends are those of the times, to the last bit, and carry their gradient; what lies between carries none.
    grid = jax.lax.stop_gradient(jnp.asarray(integrate.controller.ts).astype(ts.dtype))
    sound = sound & meets(grid, ts)
    grid = jnp.concatenate([ts[:1], grid[1:-1], ts[-1:]])
    line = lambda x: jnp.linspace(0, 1, x.shape[0], dtype=x.dtype)
    controller = diffrax.StepTo(jnp.where(sound, grid, line(grid)))
    return sound, dataclasses.replace(integrate, controller=controller), jnp.where(sound, ts, line(ts))


def _judged(hold: bool, sound, ts, y0, ys, stats: Stats) -> tuple[Array, Stats]:
    """States and account, of unsound times too. What is held is finite, even where the start was not."""
    ys = jnp.where(sound, ys, y0[None] if hold else jnp.nan)
    if hold:
        ys = jnp.where(jnp.isfinite(ys), ys, 0)
    status = jnp.where(sound, stats.status, BAD_TIMES).astype(jnp.int32)
    measures = {name: jnp.where(status == SUCCESS, value, jnp.nan) for name, value in stats.measures.items()}
    return ys, dataclasses.replace(stats, status=status, measures=measures)


def _solved(integrate: Integrate, flat_field, ts, flat0, args, chance: Chance) -> tuple[Array, Stats]:
    visits, explicit = None, isinstance(integrate.method, diffrax.AbstractERK)
    if explicit and isinstance(integrate.controller, Substeps | diffrax.StepTo):
        ys, stats = solve_fixed(integrate, of_steps(integrate), flat_field, ts, flat0, args, chance.noise)
    elif _ours(integrate):
        ys, stats, visits = _by_replay(integrate, flat_field, ts, flat0, args, chance)
    else:
        by = substeps_by_diffrax if isinstance(integrate.controller, Substeps) else solve_by_diffrax
        ys, stats = by(integrate, of_steps(integrate), flat_field, ts, flat0, args, chance.noise)
    local_ones = of_one_time(integrate)
    if local_ones:
        if visits is None:
            visits = _visits_apart(integrate, flat_field, ts, flat0, args, chance)
        at = lambda t, y: flat_field(t, y, args)
        found = {m.name: _visited(m, integrate, at, ts, visits[m.sampling], chance) for m in local_ones}
        stats = eqx.tree_at(lambda s: s.measures, stats, {**stats.measures, **found})
    return ys, stats


_compiled = eqx.filter_jit(_integrate)


def _visited(measure: Measure, integrate: Integrate, field, ts, start, chance: Chance):
    """A local measure, from where the step that was remembered began."""
    method = Method(integrate.method)  # pyright: ignore
    t, h, y = jax.lax.stop_gradient(start)
    if measure.sampling == "unbiased":
        now = ts[0] + chance.draw.astype(ts.dtype) * (ts[-1] - ts[0])  # pyright: ignore
        t, y = now, solution_at(method, field, now, (t, y))
        left = ts[-1] - now
        h = jnp.where(jnp.abs(left) < jnp.abs(h), left, h)
    return one_step_from(measure, method, integrate.controller, field, t, h, y)  # pyright: ignore


def _visits_apart(integrate: Integrate, field, ts, y0, args, chance: Chance):
    """The same solve once more on our engine, without derivatives, for the sake of its steps."""
    if not (isinstance(integrate.method, diffrax.AbstractERK) and _usual(integrate.controller)):
        raise ValueError(
            "measures: `local_measure` takes a step of an explicit method that has an error estimate, of a length that "
            "a diffrax.PIDController chooses: give Integrate(diffrax.Tsit5(), diffrax.PIDController(...))"
        )
    again = dataclasses.replace(integrate, adjoint=DiscreteAdjoint(), measures=of_one_time(integrate))
    of, inexact, whole = closed_over(lambda t, y, args: field(t, y, args), ts[0], y0, args)
    still = jax.lax.stop_gradient(inexact)
    ts, y0 = jax.lax.stop_gradient((ts, y0))
    return _by_replay(again, lambda t, y, args: of([*still, *whole], t, y), ts, y0, None, chance)[2]


def _ours(integrate: Integrate) -> bool:
    """Whether our engine takes it: explicit steps under the usual control, and no other adjoint asked for."""
    explicit = isinstance(integrate.method, diffrax.AbstractERK)
    return explicit and _usual(integrate.controller) and isinstance(integrate.adjoint, DiscreteAdjoint)


def _usual(controller) -> bool:
    return type(controller) is diffrax.PIDController and controller.norm is optx.rms_norm


def plan_of(integrate: Integrate) -> Plan:
    """What our engine has to know."""
    return Plan(
        Method(integrate.method),  # pyright: ignore
        integrate.controller,  # pyright: ignore
        integrate.max_steps,
        integrate.adjoint.buffer,  # pyright: ignore
        of_steps(integrate),
        integrate.batching == "shared",
        integrate.cotangents == "summed",
        integrate.failed == "hold",
        any(m.needs_noise for m in integrate.measures),
        tuple(sorted({m.sampling for m in integrate.measures if m.sampling})),
    )


def of_one_time(integrate: Integrate) -> tuple[Measure, ...]:
    """The measures of one step from a random time."""
    return tuple(m for m in integrate.measures if m.sampling)


def of_steps(integrate: Integrate) -> tuple[Measure, ...]:
    """The measures that look at each accepted step."""
    return tuple(m for m in integrate.measures if not m.sampling)


def closed_over(field, t, y, args):
    """`field` as a function (arrays, t, y) that closes over nothing, and its arrays, those with derivatives first: so
    that a vmap or a gradient sees each of them."""
    closed = eqx.filter_closure_convert(lambda t, y: field(t, y, args), t, y)
    inexact, rest = eqx.partition(closed, eqx.is_inexact_array)
    whole, static = eqx.partition(rest, eqx.is_array)
    inexact, inexact_tree = jax.tree.flatten(inexact)
    whole, whole_tree = jax.tree.flatten(whole)

    def of(arrays, t, y):
        a, b = arrays[: len(inexact)], arrays[len(inexact) : len(inexact) + len(whole)]
        parts = jax.tree.unflatten(inexact_tree, a), jax.tree.unflatten(whole_tree, b), static
        return eqx.combine(*parts)(t, y)

    return of, inexact, whole


def _by_replay(integrate: Integrate, field, ts, y0, args, chance: Chance) -> tuple[Array, Stats, dict]:
    check_precision(integrate.controller, y0.dtype)  # pyright: ignore
    plan = plan_of(integrate)
    of, inexact, whole = closed_over(field, ts[0], y0, args)
    drawn = [chance.noise] * plan.noisy + [chance.draw] * bool(plan.visits)
    sample = sample_number() if plan.summed else None
    # In a rule for derivatives, say, which runs later, it is not known what becomes of the cotangents.
    plan = plan._replace(summed=plan.summed and (sample is None or within_a_sample()))
    ys, ends, measured = replayed((ts, y0, inexact), plan, of, [*whole, *drawn], sample)
    attempts = ends.accepted + ends.rejected
    # Two more: for the first slope, and for the length of the first step.
    stats = Stats(
        evaluations=2 + attempts * plan.method.fresh + 0 * ends.status,
        accepted=ends.accepted,
        rejected=ends.rejected,
        status=ends.status,
        measures={name: jnp.where(ends.status == SUCCESS, value, jnp.nan) for name, value in measured.items()},
        shortest=jax.lax.stop_gradient(ends.shortest),
        longest=jax.lax.stop_gradient(ends.longest),
        t=jax.lax.stop_gradient(ends.t),
    )
    return ys, stats, ends.visits
