"""Maps: a state that moves on by whole steps of one length."""

from collections.abc import Callable

import equinox.internal as eqxi
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._output import BAD_TIMES, NON_FINITE, SUCCESS, TOO_MANY_STEPS, Stats

OFF = 1e-2  # of a step: as far as a time may be from a whole number of them


def whole_steps(
    step: Callable, z: Float[Array, " state"], t0, t1, dt: float, max_steps: int = 1
) -> tuple[Float[Array, " state"], Stats]:
    """The state at t1 of a map `step(t, z) -> z` that takes the time `dt`: `flow` of a dynamics in discrete time.

    Times that are no whole number of steps apart, or more than `max_steps`, give NaN and a status. Differentiable in
    both modes; of a batch, all take as many steps as the one that takes most.
    """
    asked = (t1 - t0) / jnp.asarray(dt, t1.dtype)
    count = jnp.round(asked)
    whole = jnp.isfinite(asked) & (count >= 0) & (jnp.abs(asked - count) <= OFF)
    takes = whole & (count <= max_steps)
    number = jnp.where(takes, count, 0).astype(jnp.int32)
    end = _repeated(lambda i, z: step(t0 + i.astype(t0.dtype) * jnp.asarray(dt, t0.dtype), z), z, number, max_steps)
    end = jnp.where(takes, end, jnp.nan)
    failed = jnp.where(whole, TOO_MANY_STEPS, BAD_TIMES)
    status = jnp.where(takes, jnp.where(jnp.all(jnp.isfinite(end)), SUCCESS, NON_FINITE), failed)
    none = Stats.none(t0)
    return end, Stats(
        evaluations=number,
        accepted=number,
        rejected=none.rejected,
        status=status.astype(jnp.int32),
        measures={},
        shortest=jnp.where(number > 0, jnp.asarray(dt, none.shortest.dtype), none.shortest),
        longest=jnp.where(number > 0, jnp.asarray(dt, none.longest.dtype), none.longest),
        t=jax.lax.stop_gradient(jnp.where(takes, t1, t0)),
    )


def _repeated(step: Callable, z: Array, number: Array, most: int) -> Array:
    """`step(i, z)` for i = 0 .. number - 1."""
    if most == 1:
        return jnp.where(number > 0, step(jnp.zeros_like(number), z), z)
    move = lambda carry: (carry[0] + 1, step(carry[0], carry[1]))
    more = lambda carry: carry[0] < number
    return eqxi.while_loop(more, move, (jnp.zeros_like(number), z), max_steps=most, kind="bounded")[1]
