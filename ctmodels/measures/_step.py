"""One step of a Runge-Kutta method, as measures see it, and its norms."""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


class Step(NamedTuple):
    """One accepted step of a Runge-Kutta method on the flattened state of one sample.

    - `t`, `h`: its start and length; `y0`, `y1`: the states before and after.
    - `k`: the stages' increments h f(t_i, g_i), `(stage, state)`; `tableau`: the method's. Of an SDE's
      step, the drift's, as if by Euler's method.
    - `error`: the embedded estimate of the local error, or None; `tolerance`: atol + rtol max(|y0|, |y1|), by which the
      controller divides it, or None on a fixed grid.
    - `field`: (t, y) -> slope, to be evaluated elsewhere too.
    - `noise`: of the sample, the same in all its steps: -1 or 1 for each entry of the state.
    - `norm`: root mean square over the state; where the batch shares its steps, over the states of all samples.
    """

    t: Float[Array, ""]
    h: Float[Array, ""]
    y0: Float[Array, " state"]
    y1: Float[Array, " state"]
    k: Float[Array, "stage state"]
    tableau: diffrax.ButcherTableau
    error: Float[Array, " state"] | None
    tolerance: Float[Array, " state"] | None
    field: Callable
    noise: Float[Array, " state"] | None
    norm: Callable

    def stage(self, i: int) -> tuple[Float[Array, ""], Float[Array, " state"]]:
        """Where the i-th slope was taken: t_i = t + c_i h, g_i = y0 + sum_j a_ij k_j."""
        if i == 0:
            return self.t, self.y0
        weights = self.tableau.a_lower[i - 1]
        g = self.y0 + sum(w.item() * self.k[j] for j, w in enumerate(weights) if w != 0)
        return self.t + self.tableau.c[i - 1].item() * self.h.astype(self.t.dtype), g

    def slope(self, i: int) -> Float[Array, " state"]:
        """f(t_i, g_i); zero of a step of no length."""
        return jnp.where(self.h != 0, self.k[i] / jnp.where(self.h != 0, self.h, 1), 0)

    def integral(self, rate: Callable[[int], Float[Array, ""]]) -> Float[Array, ""]:
        """Of a rate, given at each stage, over the step: by the method's own weights, to its own order."""
        weights = enumerate(self.tableau.b_sol)
        return jnp.abs(self.h) * sum(b.item() * rate(i) for i, b in weights if b != 0)


def rms(x: Float[Array, " state"]) -> Float[Array, ""]:
    """Root mean square over the state."""
    return _root(jnp.mean(x**2))


def rms_over(alive: Bool[Array, ""], axes: tuple[str, ...]) -> Callable:
    """Root mean square over the state and over those lanes of the vmapped axes that are alive."""
    count = jax.lax.psum(jnp.where(alive, 1.0, 0.0), axes)

    def norm(x):
        square = jax.lax.psum(jnp.where(alive, jnp.mean(x**2), 0), axes)
        return _root(square / jnp.maximum(count, 1).astype(x.dtype))

    return norm


def _root(square: Array) -> Array:
    # The square root has no derivative at zero: guarded, since a lane at rest must not give NaN.
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
