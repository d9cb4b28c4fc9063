"""A recurrence that is solved as a whole, as one between vectors, and how it is."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from ctmodels.ssm._affine import affine_scan, apply
from ctmodels.ssm._filter import filtered_correction
from ctmodels.ssm._linearise import AbstractLinearisation


class Problem(eqx.Module):
    """A recurrence, as one between vectors (see [`ctmodels.ssm.AbstractLinearisation`][])."""

    linearisation: AbstractLinearisation
    of_states: Callable
    h0: Array
    xs: PyTree
    damping: float = eqx.field(static=True, default=0.0)
    limit: int = eqx.field(static=True, default=1)
    parallel: bool | None = eqx.field(static=True, default=None)

    @property
    def start(self) -> Array:
        return self.linearisation.vector(self.h0)

    def step(self, v: Array, x: PyTree) -> Array:
        return self.linearisation.vector(self.of_states(self.linearisation.state(v, self.h0.shape), x))

    def vectors(self, hs: Array) -> Array:
        return jax.vmap(self.linearisation.vector)(hs)

    def states(self, vs: Array) -> Array:
        return jax.vmap(lambda v: self.linearisation.state(v, self.h0.shape))(vs)

    def values(self, before: Array) -> Array:
        """What all steps make of what they start from."""
        return jax.vmap(self.step)(before, self.xs)

    def linearise(self, hs: Array) -> tuple[Array, Array]:
        """These values, and the matrices there."""
        one = lambda h, x: self.linearisation.jacobian(lambda h: self.step(h, x), h)
        return jax.vmap(one)(shifted(hs, self.start), self.xs)

    def following(self, values: Array, A: Array, hs: Array) -> Array:
        """The iterate that follows `hs`, by the steps' values there and their matrices."""
        if self.damping:
            return hs + filtered_correction(A, values - hs, self.damping, parallel=self.parallel)
        d = affine_scan(A, values - hs, parallel=self.parallel)
        # That is hs + d; but so a row after right rows is its step's value to the last bit.
        return jnp.concatenate([values[:1], values[1:] + apply(A[1:], d[:-1])])


def shifted(hs: Array, start: Array) -> Array:
    """What each row starts from."""
    return jnp.concatenate([start[None], hs[:-1]])
