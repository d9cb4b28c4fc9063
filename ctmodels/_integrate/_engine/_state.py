"""The state of a solve while it runs: one array, or one for each of its numbers.

On the CPU, XLA turns the transposes of `y[i]` and of `stack` into pads, and fuses these into ever longer chains: the
gradient of a law of a few components took 25 times as long as that of the same arithmetic with an array over lanes for
each (JAX 0.10). The field sees one array all the same.
"""

import functools
import operator
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


@jax.tree_util.register_pytree_node_class
class State:
    """A state, or what is added to one: a slope, an error, a cotangent. It has the arithmetic of an array; a factor is
    a number, or one for each lane.

    `parts`: the whole, `(..., state)`, or each component, `(...)`; in front the axes of lanes, rows or times.
    """

    def __init__(self, parts: tuple, whole: bool):
        self.parts, self.whole = parts, whole

    @classmethod
    def of(cls, x: Float[Array, "... state"], by_components: bool) -> "State":
        if not by_components:
            return cls((x,), whole=True)
        return cls(tuple(jax.lax.index_in_dim(x, i, -1, keepdims=False) for i in range(x.shape[-1])), whole=False)

    def array(self) -> Float[Array, "... state"]:
        return self.parts[0] if self.whole else jnp.stack(self.parts, axis=-1)

    def like(self, x: Float[Array, "... state"]) -> "State":
        """An array, taken apart as this is."""
        return State.of(x, not self.whole)

    def nothing(self) -> "State":
        """A state without entries, for these lanes."""
        none = self.parts[0][..., :0] if self.whole else self.parts[0][..., None][..., :0]
        return State((none,), whole=True)

    def tree_flatten(self):
        return self.parts, self.whole

    @classmethod
    def tree_unflatten(cls, whole: bool, parts) -> "State":
        return cls(tuple(parts), whole)

    @property
    def dtype(self):
        return self.parts[0].dtype

    def map(self, f: Callable, *others: "State") -> "State":
        """f, entry by entry."""
        return State(tuple(map(f, self.parts, *(other.parts for other in others))), self.whole)

    def __add__(self, other: "State") -> "State":
        return self.map(operator.add, other)

    def __sub__(self, other: "State") -> "State":
        return self.map(operator.sub, other)

    def __mul__(self, factor) -> "State":
        if isinstance(factor, State):
            return self.map(operator.mul, factor)
        return self.map(lambda x: _column(factor, x) * x)

    __rmul__ = __mul__

    def __truediv__(self, other: "State") -> "State":
        return self.map(operator.truediv, other)

    def sum(self) -> Float[Array, "..."]:
        """Over the entries."""
        return jnp.sum(self.parts[0], axis=-1) if self.whole else functools.reduce(operator.add, self.parts)

    def mean_square(self) -> Float[Array, "..."]:
        """Over the entries."""
        square = self.map(lambda x: jnp.abs(x) ** 2)
        return jnp.mean(square.parts[0], axis=-1) if self.whole else square.sum() / len(self.parts)

    def is_finite(self) -> Bool[Array, "..."]:
        """Whether all entries are."""
        finite = self.map(jnp.isfinite)
        return jnp.all(finite.parts[0], axis=-1) if self.whole else functools.reduce(operator.and_, finite.parts)


def _column(factor, x: Array):
    """A factor for each lane, to multiply with what has axes more."""
    axes = x.ndim - getattr(factor, "ndim", 0)
    return factor if axes == x.ndim else factor.reshape(factor.shape + (1,) * axes)
