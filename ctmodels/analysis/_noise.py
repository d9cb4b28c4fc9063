r"""A dynamics that noise drives: $z_{k+1} = \Phi_{\Delta t}(z_k) + \sigma \sqrt{\Delta t}\, \xi_k$.

Of a field it is dz = f dt + sigma dW by the splitting of Lie and Trotter, which takes the drift by its own solver and
is of weak order one; of a map, noise of variance sigma^2 dt in each step.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before, check_called, check_key, check_whole
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._words import argument
from ctmodels.analysis._motion import Map, check_states, check_step, motion


def _check(dynamics, z0, scale, dt, steps, key, **_) -> None:
    check_step(dynamics, dt)
    check_states("z0", z0, "(state,)")
    check_whole("steps", steps, 1)
    check_key(key, needed=True)
    if jnp.shape(scale) not in ((), z0.shape):
        raise ValueError(
            f"{argument('scale')}: shape {jnp.shape(scale)}: one number, or one for each state, {z0.shape}"
        )


@before(_check)
def noisy_orbit(
    dynamics: AbstractDynamics | Map | Callable,
    z0: Float[Array, " state"],
    scale: float | Float[Array, "*state"],
    *,
    dt: float | None = None,
    steps: int,
    key: PRNGKeyArray,
    control: PyTree = None,
) -> Float[Array, "time state"]:
    """One orbit under additive noise. Pure: jit it, and vmap it over keys.

    **Arguments:** `dynamics`, `z0`, `dt`, `control`: as of [`ctmodels.analysis.lyapunov`][]; `scale`: the noise's
    deviation per root of time, one or `(state,)`; `steps`: how many.

    **Returns:** the states from `z0` on, `(steps + 1, state)`.
    """
    move = _moved(motion(dynamics, dt, control), z0, scale, key)
    _, zs = jax.lax.scan(lambda z, i: (move(i, z),) * 2, z0, jnp.arange(steps))
    return jnp.concatenate([z0[None], zs])


def _check_escape(inside, **kwargs) -> None:
    check_called("inside", inside, "(z) -> bool", "such as lambda z: z[0] < 0")
    _check(**kwargs)


@before(_check_escape)
def escape_time(
    dynamics: AbstractDynamics | Map | Callable,
    z0: Float[Array, " state"],
    scale: float | Float[Array, "*state"],
    inside: Callable[[Float[Array, " state"]], Array],
    *,
    dt: float | None = None,
    steps: int,
    key: PRNGKeyArray,
    control: PyTree = None,
) -> Float[Array, ""]:
    """When an orbit under additive noise is first outside a region. Pure: jit it, and vmap it over keys.

    **Arguments:** as of [`ctmodels.analysis.noisy_orbit`][]; `inside`: whether a state is in the region.

    **Returns:** the time of the first step that ends outside; infinity where none of `steps` does. Excursions between
    two steps are not seen, so that times are too long by about what it takes to move on by 0.58 scale sqrt(dt).
    """
    moving = motion(dynamics, dt, control)
    move = _moved(moving, z0, scale, key)
    more = lambda carry: inside(carry[1]) & (carry[0] < steps)
    count, z = jax.lax.while_loop(more, lambda carry: (carry[0] + 1, move(*carry)), (jnp.zeros((), jnp.int32), z0))
    return jnp.where(inside(z), jnp.inf, count.astype(z0.dtype) * jnp.asarray(moving.dt, z0.dtype))


def _moved(moving, z0, scale, key) -> Callable:
    """`(i, z) -> z` after step i."""
    dt = jnp.asarray(moving.dt, z0.dtype)
    scale = jnp.broadcast_to(jnp.asarray(scale, z0.dtype), z0.shape) * jnp.sqrt(dt)
    draw = lambda i: scale * jax.random.normal(jax.random.fold_in(key, i), z0.shape, z0.dtype)
    return lambda i, z: moving.step(z, moving.time(i.astype(z.dtype), z.dtype)) + draw(i)
