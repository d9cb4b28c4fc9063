"""Reference solutions of known systems."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._integrate import RK4, rk_step


def simulate(
    field: Callable, y0: Float[Array, " state"], *, dt: float, steps: int, substeps: int = 10, transient: int = 0
) -> Float[Array, "time state"]:
    """Classical Runge-Kutta at `dt / substeps`, saved every `dt`.

    **Arguments:** `steps`: how many points are returned; `transient`: how many are dropped before.

    **Returns:** `(steps, state)`; the first point is the state after the transient.
    """
    y0 = jnp.asarray(y0)
    h = jnp.asarray(dt / substeps, y0.dtype)

    def save(y, _):
        y, _ = jax.lax.scan(lambda y, _: (rk_step(RK4.tableau, field, h * 0, h, y, None).y1, None), y, length=substeps)
        return y, y

    def run(y0):
        start, _ = jax.lax.scan(save, y0, length=transient)
        _, ys = jax.lax.scan(save, start, length=steps - 1)
        return jnp.concatenate([start[None], ys])

    return jax.jit(run)(y0)
