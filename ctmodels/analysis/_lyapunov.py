r"""Lyapunov exponents of any dynamics, by QR on what its flow does to tangent vectors.

$$Q_k R_k = D\Phi(z_{k-1})\, Q_{k-1}, \qquad \lambda_i = \frac{1}{K \Delta t} \sum_{k=1}^K \log |(R_k)_{ii}|$$

Benettin, Galgani, Giorgilli and Strelcyn, Meccanica 15 (1980); the dimension: Kaplan and Yorke, Lecture Notes in
Mathematics 730 (1979).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._words import argument
from ctmodels.analysis._motion import AbstractMotion, Map, check_states, check_step, motion

BATCHES = 10  # of blocks, whose means differ by what their error is told from


class Lyapunov(eqx.Module):
    """What is known of how fast neighbours part.

    - `exponents`: `(count,)`, in descending order, per unit of time; `-inf` where a direction is contracted to nothing,
        NaN where the orbit diverged.
    - `error`: `(count,)`, one standard deviation, from the spread between ten stretches of the orbit.
    - `end`: `(state,)`, the state at the end, where a longer run goes on.
    """

    exponents: Float[Array, "*batch count"]
    error: Float[Array, "*batch count"]
    end: Float[Array, "*batch state"]


def _check(dynamics, z0, dt, steps, transient, every, count, **_) -> None:
    check_step(dynamics, dt)
    check_states("z0", z0, "(state,)")
    check_whole("every", every, 1)
    check_whole("transient", transient, 0)
    if check_whole("steps", steps, 1) % (every * BATCHES):
        raise ValueError(
            f"{argument('steps', steps)}: no multiple of {every * BATCHES}, ten stretches of {argument('every', every)}"
        )
    if count is not None:
        check_whole("count", count, 1, z0.shape[0])


@before(_check)
def lyapunov(
    dynamics: AbstractDynamics | Map | Callable,
    z0: Float[Array, " state"],
    *,
    dt: float | None = None,
    steps: int,
    transient: int = 0,
    every: int = 1,
    count: int | None = None,
    control: PyTree = None,
) -> Lyapunov:
    """The Lyapunov exponents of a dynamics, a map or a field. Pure: jit and vmap it.

    **Arguments:**

    - `dynamics`: any [`ctmodels.AbstractDynamics`][] (a neural ODE on whatever solver, a map), an
        [`ctmodels.analysis.Map`][], or a field f(t, z, args), which goes by Runge-Kutta steps of `dt`.
    - `z0`: where the orbit starts, `(state,)`.
    - `dt`: the time of a step; of an `analysis.Map` its own by default.
    - `steps`: how many are averaged over, a multiple of `10 * every`; `transient`: how many before, in which the orbit
        falls on the attractor and the tangent vectors turn into their directions.
    - `every`: steps between two QR decompositions. Larger is cheaper, until the tangent vectors are parallel to
        rounding: `every * dt * (largest - smallest exponent)` well below 16 in float32, 36 in float64.
    - `count`: only the largest so many; None: all.
    - `control`: a path `t -> (input,)` that drives it, from time zero on; None: nothing does, and each step begins at
        time zero: what depends on time by itself has its phase as one more state.

    **Returns:** [`ctmodels.analysis.Lyapunov`][]; `metrics.kaplan_yorke(result.exponents)` is the dimension.

    **Good values:** Lorenz-63: `dt=0.05, steps=10_000, transient=200`.
    """
    count = z0.shape[0] if count is None else count
    moving = motion(dynamics, dt, control)
    block = _block(moving, every)
    start = (jnp.zeros((), z0.dtype), z0, jnp.eye(z0.shape[0], count, dtype=z0.dtype))
    blocks = steps // every
    # In one loop, which is traced and compiled once.
    (_, end, _), logs = jax.lax.scan(block, start, length=-(-transient // every) + blocks)
    rates = logs[-blocks:] / (every * jnp.asarray(moving.dt, z0.dtype))
    batches = rates.reshape(BATCHES, -1, count).mean(axis=1)
    mean = batches.mean(axis=0)
    order = jnp.argsort(-mean)
    error = jnp.std(batches, axis=0, ddof=1) / jnp.sqrt(jnp.asarray(BATCHES, z0.dtype))
    return Lyapunov(mean[order], error[order], end)


def _block(moving: AbstractMotion, every: int):
    """`every` steps of an orbit and its tangent vectors (columns), and one QR."""

    def push(carry, _):
        i, z, tangents = carry
        z, tangents = moving.spread(moving.time(i, z.dtype), z, tangents)
        return (i + 1, z, tangents), None

    def block(carry, _):
        (i, z, tangents), _ = jax.lax.scan(push, carry, length=every)
        q, r = jnp.linalg.qr(tangents)
        return (i, z, q), jnp.log(jnp.abs(jnp.diagonal(r)))

    return block
