"""Lanes: the samples that are solved side by side, and how a function of one of them is run on all.

A lane's axes are those of the vmaps around the solve, outermost first: (batch,), or (member, batch), ... What is closed
over by the field may have some of these axes (the parameters of an ensemble), all (a control of its own for each
sample), or none (shared parameters). Inside the engine, lanes are flattened into one axis.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array

Size = Any  # an int; where a model is exported for any batch, JAX's symbol of it


class Lanes(NamedTuple):
    """`shape`: lengths of the lane axes. `owned`: for each array that the field closes over, which of these it has."""

    shape: tuple[Size, ...]
    owned: tuple[tuple[bool, ...], ...]

    @property
    def number(self) -> Size:
        return math.prod(self.shape)

    @property
    def axes(self) -> tuple[str, ...]:
        """Names of the lane axes, inside of `map`."""
        return tuple(f"ctmodels.lanes.{level}" for level in range(len(self.shape)))

    @property
    def simple(self) -> bool:
        """Whether each array belongs to all lanes or to one: then lanes can be regrouped freely."""
        return all(all(own) or not any(own) for own in self.owned)

    def simplified(self) -> "Lanes":
        if not self.shape or not self.simple:
            return self
        return Lanes((self.number,), tuple((any(own),) for own in self.owned))

    def flatten_owned(self, arrays: Sequence[Array]) -> list[Array]:
        """Arrays with all lane axes as arrays of one; to be called on what `simplified` will describe."""
        if not self.simple:
            return list(arrays)
        n = len(self.shape)
        return [
            x.reshape(self.number, *x.shape[n:]) if own and all(own) else x
            for x, own in zip(arrays, self.owned, strict=True)
        ]

    def narrowed(self, number: Size) -> "Lanes":
        """Fewer lanes, of lanes that are simple."""
        return Lanes((number,), self.owned)

    def take(self, arrays: Sequence[Array], lane) -> list[Array]:
        """What belongs to the lanes with the indices `lane`."""
        return [x[lane] if own == (True,) else x for x, own in zip(arrays, self.owned, strict=True)]

    def map(self, f: Callable, arrays: Sequence[Array], *lanewise):
        """f(arrays, *lanewise) for each lane. What is lanewise has the flat axis of lanes in front, of length one if
        all lanes have it in common."""
        common = [jax.tree.map(lambda x: x.shape[0] != self.number, part) for part in lanewise]
        lanewise = [jax.tree.map(self._split, part) for part in lanewise]
        for level in reversed(range(len(self.shape))):
            axes = [0 if own[level] else None for own in self.owned]
            parts = [jax.tree.map(lambda c: None if c else 0, part) for part in common]
            f = jax.vmap(f, in_axes=(axes, *parts), axis_size=self.shape[level], axis_name=self.axes[level])
        out = f(list(arrays), *lanewise)
        return jax.tree.map(lambda x: x.reshape(self.number, *x.shape[len(self.shape) :]), out)

    def _split(self, x):
        if x.shape[0] != self.number:
            return x[0]
        return x.reshape(*self.shape, *x.shape[1:])


def select(choose: Array, a, b):
    """Per lane, a or b."""
    return jax.tree.map(lambda x, y: jnp.where(choose.reshape(choose.shape + (1,) * (x.ndim - 1)), x, y), a, b)
