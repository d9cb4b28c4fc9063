"""How long the next step is: diffrax's PID controller, for several groups of lanes at once.

Steps are measured in sigma = (t - t0) / (t1 - t0), which runs from 0 to 1: the same for solves forward and backward in
time, and for lanes whose spans differ.
"""

from typing import NamedTuple

import diffrax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ctmodels._integrate._engine._lanes import Size
from ctmodels._integrate._engine._state import State
from ctmodels._integrate._engine._tableau import Method


class Memory(NamedTuple):
    """Of the last two accepted steps, 1 / error; and whether the next step is as short as allowed."""

    last: Float[Array, " group"]
    before: Float[Array, " group"]
    shortest: Bool[Array, " group"]

    @classmethod
    def none(cls, groups: Size, dtype) -> "Memory":
        one = jnp.ones(groups, dtype)
        return cls(last=one, before=one, shortest=jnp.zeros(groups, bool))


def tolerance(controller: diffrax.PIDController, y, y1) -> Array:
    """atol + rtol |y|: what an error is measured by."""
    size = jnp.maximum(jnp.abs(y), jnp.abs(y1))
    rtol, atol = (jnp.asarray(tol, size.dtype) for tol in (controller.rtol, controller.atol))
    return atol + rtol * size


def scales(controller: diffrax.PIDController, y: State, y1: State) -> State:
    """The tolerance of each entry."""
    return y.map(lambda y, y1: tolerance(controller, y, y1), y1)


def mean_square(controller: diffrax.PIDController, y: State, y1: State, error: State) -> Float[Array, " lane"]:
    """Mean over each lane's channels of (error / (atol + rtol |y|))^2; infinite where anything is not finite."""
    q = (error / scales(controller, y, y1)).mean_square()
    return jnp.where(jnp.isfinite(q) & y1.is_finite(), q, jnp.inf)


def adapt(controller: diffrax.PIDController, order: int, q, h, span, memory: Memory):
    """Whether the step of length `h` with error `q` is accepted, the length of the next, and what to remember
    (Hairer and Wanner 1996, IV.2; Soderlind 2003; the formula as diffrax has it)."""
    c = controller
    order = order if c.error_order is None else c.error_order  # pyright: ignore
    accept = (q < 1) | (memory.shortest & jnp.isfinite(q))
    inverse = 1 / q
    b1, b2, b3 = c.icoeff + c.pcoeff + c.dcoeff, -(c.pcoeff + 2 * c.dcoeff), c.dcoeff
    factor = (
        c.safety * _power(inverse, b1 / order) * _power(memory.last, b2 / order) * _power(memory.before, b3 / order)
    )
    factor = jnp.clip(factor, jnp.where(accept, 1.0, c.factormin), jnp.where(accept, c.factormax, c.safety))
    h = h * factor.astype(h.dtype)
    shortest = memory.shortest
    if c.dtmax is not None:
        h = jnp.minimum(h, c.dtmax / span)
    if c.dtmin is not None:
        shortest = h <= c.dtmin / span
        h = jnp.maximum(h, c.dtmin / span)
    inverse = jnp.where((inverse == 0) | jnp.isinf(inverse), 1, inverse)
    last, before = (jnp.where(accept, a, b) for a, b in ((inverse, memory.last), (memory.last, memory.before)))
    return accept, h, Memory(last=last, before=before, shortest=shortest)


def _power(x, exponent):
    # Half the time of `x**exponent`, which is not vectorised (XLA of JAX 0.10, on the CPU).
    return 1 if isinstance(exponent, int | float) and exponent == 0 else jnp.exp(exponent * jnp.log(x))


def first_step(controller: diffrax.PIDController, method: Method, evaluate, norm, y, f0, span):
    """The first step's length (Hairer, Norsett and Wanner 1993, II.4): `evaluate(h)` is the slope one step of Euler's
    further on, `norm` takes each group's root mean square."""
    scale = scales(controller, y, y)
    d0, d1 = norm(y / scale), norm(f0 / scale)
    still = (d0 < 1e-5) | (d1 < 1e-5)
    h0 = jnp.where(still, 1e-6, 0.01 * d0 / jnp.where(still, 1, d1))
    d2 = norm((evaluate(h0) - f0) / scale) / h0
    steepest = jnp.maximum(d1, d2)
    h1 = jnp.where(
        steepest <= 1e-15,
        jnp.maximum(1e-6, h0 * 1e-3),
        (0.01 / jnp.where(steepest <= 1e-15, 1, steepest)) ** (1 / method.order),
    )
    h = jnp.minimum(100 * h0, h1)
    if controller.dtmax is not None:
        h = jnp.minimum(h, controller.dtmax)
    if controller.dtmin is not None:
        h = jnp.maximum(h, controller.dtmin)
    # A slope that is infinite a little further on says nothing of the first step: begin with the little.
    return jnp.where(jnp.isfinite(h) & (h > 0), h, h0) / span
