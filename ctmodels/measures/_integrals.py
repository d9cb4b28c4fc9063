"""Integrals along the solution, by the weights of the method that solves it.

Norms are `Step.norm`: root mean squares, over one sample's state, or over the batch's if it shares its steps.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jax.experimental.jet import jet
from jaxtyping import Array, Float

from ctmodels.measures._measure import Measure, measure
from ctmodels.measures._step import Step


@measure
def kinetic(step: Step) -> Float[Array, ""]:
    """RNODE's kinetic energy: the integral of ||f||^2 dt (Finlay, Jacobsen, Nurbekyan, Oberman 2020)."""
    return step.integral(lambda i: step.norm(step.slope(i)) ** 2)


@measure
def path_length(step: Step) -> Float[Array, ""]:
    """The integral of ||f|| dt: the length of the path."""
    return step.integral(lambda i: step.norm(step.slope(i)))


@measure(needs_noise=True)
def jacobian(step: Step) -> Float[Array, ""]:
    """RNODE's Jacobian: the integral of ||eps^T df/dy||^2 dt, whose mean over eps is the Frobenius norm of the
    Jacobian, squared, over the size of the state (Hutchinson 1990). One eps for a solve, from `key`."""

    def rate(i: int):
        t, g = step.stage(i)
        return step.norm(jax.vjp(lambda y: step.field(t, y), g)[1](step.noise)[0]) ** 2

    return step.integral(rate)


def taylor(order: int) -> Measure:
    """TayNODE: the integral of ||d^K y/dt^K||^2 dt along the solution (Kelly, Bettencourt, Johnson, Duvenaud 2020), by
    Taylor mode.

    **Arguments:** `order`: K, at least 1; the method's order plus one is what its steps feel.

    **Returns:** the measure `taylor_K`.
    """
    if order < 1:
        raise ValueError(f"taylor: order={order} must be at least 1")
    return Measure(of=_Taylor(order), name=f"taylor_{order}", written=f"ctmodels.measures.taylor({order})")


@dataclasses.dataclass(frozen=True)  # two of one order are equal, and one compiled solve serves both
class _Taylor:
    order: int

    def __call__(self, step: Step) -> Float[Array, ""]:
        try:
            return step.integral(lambda i: step.norm(self.derivative(step.field, *step.stage(i))) ** 2)
        except (NotImplementedError, KeyError) as error:  # the latter where jet has no rule (JAX 0.10)
            raise ValueError(
                f"measures: `taylor_{self.order}` cannot go through this field: jax.experimental.jet lacks a rule "
                f"({error}); write that operation of others, or use `kinetic`, `jacobian` or `local_error`"
            ) from error

    def derivative(self, field, t, y) -> Array:
        """d^K y/dt^K where y' = f(t, y): each derivative of y is one more of f along it."""
        known = [field(t, y)]
        for _ in range(self.order - 1):
            clock = [jnp.ones_like(t), *[jnp.zeros_like(t)] * (len(known) - 1)]
            first, rest = jet(field, (t, y), (clock, known))
            known = [first, *rest]
        return known[-1]
