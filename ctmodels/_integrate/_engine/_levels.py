"""The vmaps around a backward pass: some are over lanes, some over cotangents of the same lanes (`jacrev`)."""

import math
from typing import NamedTuple

import jax.numpy as jnp

from ctmodels._integrate._engine._lanes import Size


class Levels(NamedTuple):
    """The vmaps around a backward pass, outermost first: over lanes (True), or over cotangents of the same lanes."""

    of_lanes: tuple[bool, ...] = ()
    sizes: tuple[Size, ...] = ()

    def more(self, of_lanes: bool, size: Size) -> "Levels":
        return Levels((of_lanes, *self.of_lanes), (size, *self.sizes))

    @property
    def cotangents(self) -> Size:
        return math.prod(size for lanes, size in zip(self.of_lanes, self.sizes, strict=True) if not lanes)

    def gather(self, x):
        """All levels in front -> (cotangents, lanes, ...)."""
        n = len(self.sizes)
        order = sorted(range(n), key=lambda i: self.of_lanes[i])
        x = jnp.transpose(x, (*order, *range(n, x.ndim)))
        return x.reshape(self.cotangents, -1, *x.shape[n:])

    def present(self, own: tuple[bool, ...]) -> list[Size]:
        """Sizes of those levels that an array has which has these lane axes."""
        own_levels = iter(own)
        return [n for n, lanes in zip(self.sizes, self.of_lanes, strict=True) if not lanes or next(own_levels)]

    def spread(self, x, own: tuple[bool, ...]):
        """(cotangents, lane axes of its own, ...) -> these levels in front, outermost first."""
        own_levels = iter(own)
        present = [not lanes or next(own_levels) for lanes in self.of_lanes]
        levels = [i for i, here in enumerate(present) if here]
        order = sorted(levels, key=lambda i: self.of_lanes[i])
        lead = sum(self.of_lanes[i] for i in levels)
        x = x.reshape(*(self.sizes[i] for i in order), *x.shape[1 + lead :])
        back = [order.index(i) for i in levels]
        return jnp.transpose(x, (*back, *range(len(levels), x.ndim)))
