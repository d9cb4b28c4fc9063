"""Solves under a control that is held: one solve for each stretch on which it is constant."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._core._output import SUCCESS, Stats
from ctmodels._core._times import increasing
from ctmodels._integrate._check import check_times, in_order
from ctmodels._integrate._integrate import Integrate
from ctmodels.fields import AbstractSDE
from ctmodels.noise import used
from ctmodels.paths._paths import HeldPath


def solve_driven(
    integrate: Integrate, field: Callable | AbstractSDE, ts: Float[Array, " out"], y0: PyTree, control: PyTree, *, key
) -> tuple[PyTree, Stats]:
    """As `integrate`, with a control as `args`: from jump to jump where it is held."""
    if isinstance(control, HeldPath):
        return solve_piecewise_constant(integrate, field, ts, y0, control, key=key)
    return integrate(field, ts, y0, control, key=key)


def solve_piecewise_constant(
    integrate: Integrate,
    field: Callable | AbstractSDE,
    ts: Float[Array, " out"] | None,
    y0: PyTree,
    path: HeldPath,
    *,
    key: PRNGKeyArray | None = None,
) -> tuple[PyTree, Stats]:
    """Solve dy/dt = field(t, y, u) under a control that is held, without a step or a stage across a jump of it.

    The solve begins anew at each knot of the path between `ts[0]` and `ts[-1]`, and at each of `ts`; in between the
    field is given a path that is constant. So every method keeps its order, on a fixed grid too: `Substeps(n)` are n
    steps on each stretch. In one solve through the knots, the last stage of a step that ends at a knot sees the next
    value: an error of first order (diffrax, issue 766).

    **Arguments:** as of [`ctmodels.Integrate`][], whose `args` here are `path`; `ts`: None is for the knots, which
    saves the stretches of length zero where knots and `ts` are the same. One sample; a batch by `vmap`.

    **Returns:** states at `ts`, with a leading time axis, and the [`ctmodels.Stats`][] of all stretches together. From
    a failure on, states are what `integrate.failed` says.

    **Good values:** with adaptive steps `adjoint=DiscreteAdjoint(buffer=4)`, as each stretch has a buffer of its own.
    For adaptive steps that should not begin anew, `diffrax.ClipStepSizeController(controller, jump_ts=path.jumps)`.
    """
    knots = increasing(path.ts, "path.ts")
    saves = knots if ts is None else _in_order(ts.astype(path.ts.dtype))
    forward = jnp.where(saves[-1] < saves[0], -1, 1).astype(saves.dtype)
    grid = saves if ts is None else _with_knots(saves, knots, forward)

    def stretch(y, x):
        number, edges, held = x
        ys, stats = integrate(field, edges, y, HeldPath(edges, jnp.stack([held, held])), key=own_key(number))
        y = jax.tree.map(lambda y: y[-1], ys)
        return y, (y, stats)

    # The noise of an SDE is each stretch's own; a measure has the same in all, as in one solve.
    noise = used(key) if isinstance(field, AbstractSDE) and key is not None else None
    own_key = lambda number: key if noise is None else jax.random.fold_in(noise, number)
    edges = jnp.stack([grid[:-1], grid[1:]], axis=1)
    # By its earlier edge: on [t_i, t_{i+1}) the value is the one at t_i, in whichever direction one goes. All at once,
    # so that the gradient of the path is put together once, and not anew on each stretch.
    held = jax.vmap(path)(jnp.min(edges, axis=1))
    _, (ys, stats) = jax.lax.scan(stretch, y0, (jnp.arange(len(edges), dtype=jnp.int32), edges, held))
    reached = jnp.cumsum(stats.status != SUCCESS) == 0
    at = jnp.searchsorted(forward * grid, forward * saves, side="left")
    hold = integrate.failed == "hold"
    at = jnp.where(jnp.isfinite(saves[0] + grid[0]), at, -1)  # of bad times, nothing is reached
    return jax.tree.map(lambda y0, ys: _states(y0, ys, reached, hold)[at], y0, ys), Stats.in_sequence(stats)


def _in_order(saves: Float[Array, " out"]) -> Float[Array, " out"]:
    """The save times; all of them NaN, so that each stretch fails, where they are not in order."""
    check_times(saves)
    return jnp.where(in_order(saves), saves, jnp.nan)


def _with_knots(saves: Float[Array, " out"], knots: Float[Array, " time"], forward) -> Float[Array, " grid"]:
    """The save times and those knots that lie between them, in the saves' direction; the others come to an end."""
    low, high = jnp.minimum(saves[0], saves[-1]), jnp.maximum(saves[0], saves[-1])
    return forward * jnp.sort(forward * jnp.concatenate([saves, jnp.clip(knots, low, high)]))


def _states(y0: Array, ys: Array, reached: Array, hold: bool) -> Array:
    blank = y0 if hold else jnp.full_like(y0, jnp.nan)
    shape = (-1, *[1] * y0.ndim)
    return jnp.concatenate([y0[None], jnp.where(reached.reshape(shape), ys, blank[None])])
