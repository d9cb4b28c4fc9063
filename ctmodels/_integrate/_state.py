"""Where a solve is, and what it leaves behind for the way back."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ctmodels._integrate._control import Memory
from ctmodels._integrate._lanes import select
from ctmodels._integrate._plan import Plan


class Head(NamedTuple):
    """Where each lane (l) or group (g) is."""

    y: Float[Array, "l state"]
    f: Float[Array, "l state"]  # the slope there, if the method is FSAL
    sigma: Float[Array, " g"]
    h: Float[Array, " g"]  # the next step's length
    memory: Memory
    accepted: Int[Array, " g"]
    rejected: Int[Array, " g"]
    shortest: Float[Array, " g"]
    longest: Float[Array, " g"]
    status: Int[Array, " l"]
    strikes: Int[Array, " l"]
    saved: Int[Array, " clock"]  # save times behind
    reached: Int[Array, " l"]  # the same, of lanes that have not failed
    until: Float[Array, " l"]  # sigma, likewise
    measured: dict[str, Float[Array, " l"]]
    peaks: dict[str, Float[Array, " l"]]  # sigma of the step at which a largest measure was found
    visits: dict[str, "Visit"]


class Visit(NamedTuple):
    """One step of each lane, remembered by where it began and its length. `draw`, from 0 to 1, decides which."""

    sigma: Float[Array, " l"]
    h: Float[Array, " l"]
    y: Float[Array, "l state"]
    draw: Float[Array, " l"]

    def unbiased(self, moves, sigma, h, y, nth) -> "Visit":
        """The step that contains sigma = draw."""
        return self.taken(moves & (sigma <= self.draw), sigma, h, y)._replace(draw=self.draw)

    def biased(self, moves, sigma, h, y, nth) -> "Visit":
        """Each step is as likely as the others, however many there will be: the n-th takes the place of the one
        remembered with probability 1 / n. What this decision leaves of the draw is uniform again."""
        chance = 1 / nth.astype(self.draw.dtype)
        take = self.draw < chance
        rest = (self.draw - chance) / jnp.where(chance < 1, 1 - chance, 1)
        draw = jnp.where(take, self.draw / chance, rest)
        return self.taken(moves & take, sigma, h, y)._replace(draw=jnp.where(moves, draw, self.draw))

    def taken(self, take, sigma, h, y) -> "Visit":
        kept = jnp.where(take, sigma, self.sigma), jnp.where(take, h, self.h), select(take, y, self.y)
        return Visit(*kept, self.draw)


class Trail(NamedTuple):
    """What the backward pass follows back: every `stride`-th state of `count` iterations, and each one's step.

    Where the buffer is full, every second state is given up and the stride doubles, so that it never overflows. One
    row more takes what is not to be kept.
    """

    y: Float[Array, "row l state"]
    f: Float[Array, "row l state"]
    sigma: Float[Array, "row g"]
    h: Float[Array, "iteration g"]  # zero where no step was accepted
    count: Int[Array, ""]
    stride: Int[Array, ""]
    lane: Int[Array, " l"]  # which lanes these are

    @classmethod
    def blank(cls, plan: Plan, head: Head, lane) -> "Trail":
        if not plan.backwards:
            return cls.empty()
        rows = lambda x: jnp.zeros((plan.buffer + 1, *x.shape), x.dtype)
        h = jnp.zeros((plan.stride * plan.buffer, *head.h.shape), head.h.dtype)
        count, stride = jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32)
        return cls(rows(head.y), rows(head.f), rows(head.sigma), h, count, stride, lane)

    @classmethod
    def empty(cls) -> "Trail":
        """Takes the place of one that is not needed: there is no way back, or the lanes are done in fewer trails."""
        nothing, none = jnp.zeros(0), jnp.zeros(0, jnp.int32)
        return cls(nothing, nothing, nothing, nothing, none, none, none)

    def record(self, head: Head, h, moved) -> "Trail":
        """Note the state before a step, and its length; a step that no group accepted is overwritten by the next."""
        if self.y.ndim == 1:
            return self
        row = jnp.where(self.count % self.stride == 0, self.count // self.stride, self.y.shape[0] - 1)
        put = lambda rows, x: jax.lax.dynamic_update_index_in_dim(rows, x, row, 0)
        h = jax.lax.dynamic_update_index_in_dim(self.h, h, self.count, 0)
        y, f, sigma = put(self.y, head.y), put(self.f, head.f), put(self.sigma, head.sigma)
        return Trail(y, f, sigma, h, self.count + moved, self.stride, self.lane)

    @property
    def full(self) -> Bool[Array, ""]:
        return self.count == self.stride * (self.y.shape[0] - 1)

    def thinned(self) -> "Trail":
        """With every second state only."""

        def thin(rows):
            half = rows[0:-1:2]
            return jax.lax.dynamic_update_slice_in_dim(rows, half, 0, 0)

        return self._replace(y=thin(self.y), f=thin(self.f), sigma=thin(self.sigma), stride=2 * self.stride)
