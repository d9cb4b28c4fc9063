"""Integrate: how a field is solved, and what is to be said about it."""

import dataclasses
from collections.abc import Callable

import diffrax
import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PRNGKeyArray, PyTree, Real

from ctmodels._core._arguments import before
from ctmodels._core._loops import varying_alike
from ctmodels._core._model import AbstractSolver
from ctmodels._core._output import BAD_TIMES, SUCCESS, Stats
from ctmodels._integrate import _adaptive, _diffrax, _fixed, _reversible, _sde
from ctmodels._integrate._adjoint import DiscreteAdjoint, ReversibleAdjoint
from ctmodels._integrate._asked import (
    check_adjoint,
    check_call,
    check_controller,
    check_measures,
    check_method,
    check_reversible,
    check_together,
)
from ctmodels._integrate._check import (
    check_field,
    check_grid,
    check_settings,
    check_start,
    check_times,
    in_order,
    meets,
)
from ctmodels._integrate._check_sde import check_sde
from ctmodels._integrate._described import describe
from ctmodels._integrate._engine._draws import Draws
from ctmodels._integrate._fixed import Substeps
from ctmodels._integrate._orders import adjoint_for
from ctmodels._integrate._problem import Noise, Problem, Solved
from ctmodels._integrate._sampled import local_measures
from ctmodels.fields import AbstractSDE
from ctmodels.measures import Measure
from ctmodels.noise import used


class Integrate(AbstractSolver):
    """Solve dy/dt = field(t, y, args) of one sample, and say what it took.

    **Arguments:**

    - `method`: an explicit Runge-Kutta method of diffrax, or [`ctmodels.RK4`][]; with a diffrax step size
      controller, or on a fixed grid, any diffrax solver.
    - `controller`: `diffrax.PIDController`, or another of diffrax's (adaptive steps); [`ctmodels.Substeps`][] or
      `diffrax.StepTo` (a fixed grid).
    - `adjoint`: [`ctmodels.DiscreteAdjoint`][], [`ctmodels.ReversibleAdjoint`][], or one of diffrax's. Explicit methods
      with a PID controller and the first run on our engine; all else that adapts runs on diffrax's.
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
    - `layout`: `"components"` keeps a state as one array for each of its numbers, over the batch where there is one;
      `"whole"` as one array; `"auto"` the former for small states whose field multiplies no matrices, on the CPU, where
      gradients are several times faster so. The field sees one array in either. Our engine and fixed grids only.

    The gradient is that of the accepted steps as taken: the step sizes carry none. State and times each keep their
    precision, whatever the other's: the field gets both as they are, and returns the state's.

    **Good values:** `Integrate(RK4(), Substeps(1))` for training on densely sampled series; the default
    (Tsit5, rtol 1e-4, atol 1e-6) elsewhere in float32; `batching="shared"` for training on batches of like samples.
    """

    method: diffrax.AbstractSolver = eqx.field(default=diffrax.Tsit5(), converter=check_method)
    controller: diffrax.AbstractStepSizeController | Substeps = eqx.field(
        default=diffrax.PIDController(rtol=1e-4, atol=1e-6), converter=check_controller
    )
    adjoint: diffrax.AbstractAdjoint | DiscreteAdjoint | ReversibleAdjoint = eqx.field(
        default=DiscreteAdjoint(), converter=check_adjoint
    )
    max_steps: int = eqx.field(static=True, default=4096)
    measures: tuple[Measure, ...] = eqx.field(static=True, default=(), converter=check_measures)
    batching: str = eqx.field(static=True, default="per_sample", kw_only=True)
    cotangents: str = eqx.field(static=True, default="per_sample", kw_only=True)
    failed: str = eqx.field(static=True, default="nan", kw_only=True)
    layout: str = eqx.field(static=True, default="auto", kw_only=True)

    def __check_init__(self):
        check_settings(self)
        check_together(self.method, self.controller)

    @before(check_call)
    def __call__(
        self,
        field: Callable | AbstractSDE,
        ts: Real[Array, " time"],
        y0: PyTree,
        args: PyTree = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[PyTree, Stats]:
        """Solve from `ts[0]` and save at `ts`.

        **Arguments:** `field(t, y, args)`, shaped as `y`, or a [`ctmodels.fields.SDE`][], whose times go forwards;
        `ts`: monotone, repeats allowed (padding), at least two (under `jit`, bad ones: a status and NaN); `y0`: the
        state at `ts[0]`; `args`: handed on to the field (control or parameters); `key`: of the noise of an SDE, which
        has to be given, and of the measures that draw something (None: the same draw each time).

        **Returns:** states at `ts`, with a leading time axis, and [`ctmodels.Stats`][]. Where all of `ts` are one time,
        the states are `y0`, and no step is taken.
        """
        check_times(ts)
        check_grid(self.controller, ts)
        check_start(y0)
        if isinstance(field, AbstractSDE):
            within = check_sde(self, field, ts, y0, args, key)
        else:
            within = check_field(field, ts, y0, args)
        integrate = self
        if isinstance(self.adjoint, ReversibleAdjoint):
            check_reversible(self, isinstance(field, AbstractSDE))
        if isinstance(self.adjoint, DiscreteAdjoint):
            integrate = dataclasses.replace(self, adjoint=adjoint_for(self.adjoint, field, ts, y0, args, within))
        # Compiled as one, unless it is part of something that is: tracing it twice takes longer.
        return (_integrate if _inside_jit() else _compiled)(integrate, field, ts, y0, args, key)

    def describe(self) -> str:
        """Method and steps, in words."""
        return describe(self.method, self.controller)


def _inside_jit() -> bool:
    return isinstance(jnp.zeros(()), jax.core.Tracer)


def _integrate(integrate: Integrate, field, ts, y0, args, key) -> tuple[PyTree, Stats]:
    if _adaptive.takes(integrate):
        field, ts, y0, args, key = varying_alike((field, ts, y0, args, key))
    flat0, unravel = ravel_pytree(y0)
    # A clone, since of an SDE it is its noise that uses the key.
    of_draws = jax.random.clone(key) if isinstance(field, AbstractSDE) and key is not None else key
    draws = Draws.for_measures(integrate.measures, of_draws, flat0)
    drift = field.drift if isinstance(field, AbstractSDE) else field
    sound, integrate, ts = _sound(integrate, ts, forwards=isinstance(field, AbstractSDE))
    problem = Problem(
        integrate=integrate,
        measures=tuple(m for m in integrate.measures if not m.sampling),
        sampling=tuple(sorted({m.sampling for m in integrate.measures if m.sampling})),
        field=lambda t, y, args: ravel_pytree(drift(t, unravel(y), args))[0],
        ts=ts,
        y0=flat0,
        args=args,
        draws=draws,
        noise=_noise_of(field, key, ts[0], flat0, unravel, args) if isinstance(field, AbstractSDE) else None,
    )
    solved = _solver_for(problem)(problem)
    measures = {**solved.stats.measures, **local_measures(problem, solved)}
    stats = dataclasses.replace(solved.stats, measures=measures)
    ys, stats = _masked(integrate.failed == "hold", sound, ts, flat0, solved.ys, stats)
    return jax.vmap(unravel)(ys), stats


_compiled = eqx.filter_jit(_integrate)


def _noise_of(sde: AbstractSDE, key, t0, y0, unravel: Callable, args) -> Noise:
    """Of a flattened state."""
    flat = sde.noise in ("diagonal", "scalar")
    diffusion = lambda t, y, args: sde.diffusion(t, unravel(y), args)
    of = (lambda t, y, args: ravel_pytree(diffusion(t, y, args))[0]) if flat else diffusion
    width = jax.eval_shape(of, t0, y0, args).shape[-1:]
    key = jax.random.key(0) if key is None else used(key)  # where none is drawn
    return Noise(diffusion=of, kind=sde.noise, key=key, shape=() if sde.noise == "scalar" else width, sde=sde)


def _solver_for(problem: Problem) -> Callable[[Problem], Solved]:
    """The way to solve that takes these settings."""
    integrate = problem.integrate
    fixed = isinstance(integrate.controller, Substeps | diffrax.StepTo)
    if isinstance(integrate.adjoint, ReversibleAdjoint):
        return _reversible.solve
    if problem.noise is not None:
        return _sde.solve if fixed else _diffrax.solve
    if fixed and isinstance(integrate.method, diffrax.AbstractERK):
        return _fixed.solve
    return _adaptive.solve if _adaptive.takes(integrate) else _diffrax.solve


def _sound(integrate: Integrate, ts, forwards: bool) -> tuple[Array, Integrate, Array]:
    """Whether the times can be solved; the solver and the times, for others that are harmless where they cannot.
    `forwards`: whether they may go in that direction only."""
    sound = in_order(ts) & (ts[-1] >= ts[0]) if forwards else in_order(ts)
    if not isinstance(integrate.controller, diffrax.StepTo):
        return sound, integrate, jnp.where(sound, ts, 0)
    # Its ends are those of the times, to the last bit, and carry their gradient; what lies between carries none.
    grid = jax.lax.stop_gradient(jnp.asarray(integrate.controller.ts).astype(ts.dtype))
    sound = sound & meets(grid, ts)
    grid = jnp.concatenate([ts[:1], grid[1:-1], ts[-1:]])
    line = lambda x: jnp.linspace(0, 1, x.shape[0], dtype=x.dtype)
    controller = diffrax.StepTo(jnp.where(sound, grid, line(grid)))
    return sound, dataclasses.replace(integrate, controller=controller), jnp.where(sound, ts, line(ts))


def _masked(hold: bool, sound, ts, y0, ys, stats: Stats) -> tuple[Array, Stats]:
    """States and statistics, of unsound times too. What is held is finite, even where the start was not."""
    ys = jnp.where(sound, ys, y0[None] if hold else jnp.nan)
    if hold:
        ys = jnp.where(jnp.isfinite(ys), ys, 0)
    status = jnp.where(sound, stats.status, BAD_TIMES).astype(jnp.int32)
    measures = {name: jnp.where(status == SUCCESS, value, jnp.nan) for name, value in stats.measures.items()}
    return ys, dataclasses.replace(stats, status=status, measures=measures)
