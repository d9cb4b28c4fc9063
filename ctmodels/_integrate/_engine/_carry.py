"""Where a solve is, and what it leaves behind for the way back."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ctmodels._integrate._engine._control import Memory
from ctmodels._integrate._engine._lanes import select
from ctmodels._integrate._engine._plan import Plan


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
    """What the backward pass follows back, while it is written: every `stride`-th state of `count` iterations, and each
    one's step.

    Where the buffer is full, every second state is given up and the stride doubles, so that it never overflows. One
    row more takes what is not to be kept.
    """

    y: Float[Array, "row l state"]
    f: Float[Array, "row l state"]
    sigma: Float[Array, "row g"]
    h: Float[Array, "iteration g"]  # zero where no step was accepted
    count: Int[Array, ""]
    stride: Int[Array, ""]
    rested: Int[Array, " l"]  # the count from which on a lane moved no more

    @classmethod
    def blank(cls, plan: Plan, head: Head) -> "Trail | None":
        """None if there is no way back."""
        if not plan.backwards:
            return None
        rows = lambda x: jnp.zeros((plan.buffer + 1, *x.shape), x.dtype)
        h = jnp.zeros((plan.stride * plan.buffer, *head.h.shape), head.h.dtype)
        count, stride = jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32)
        return cls(rows(head.y), rows(head.f), rows(head.sigma), h, count, stride, jnp.zeros_like(head.status))

    def note(self, head: Head, h, moved, lane) -> "Trail":
        """The state of some lanes before a step, and its length; a step that no group accepted is overwritten by the
        next."""
        row = jnp.where(self.count % self.stride == 0, self.count // self.stride, self.y.shape[0] - 1)

        def put(rows, x, at):
            if x.shape[0] == rows.shape[1]:
                return jax.lax.dynamic_update_index_in_dim(rows, x, at, 0)
            return rows.at[at, lane].set(x, unique_indices=True)

        y, f, sigma = put(self.y, head.y, row), put(self.f, head.f, row), put(self.sigma, head.sigma, row)
        h = put(self.h, h, self.count)
        return self._replace(y=y, f=f, sigma=sigma, h=h, count=self.count + moved)

    @property
    def full(self) -> Bool[Array, ""]:
        return self.count == self.stride * (self.y.shape[0] - 1)

    def thinned(self) -> "Trail":
        """With every second state only."""
        return self._replace(y=thin(self.y), f=thin(self.f), sigma=thin(self.sigma), stride=2 * self.stride)

    def resting(self, lane) -> "Trail":
        """Where these lanes, the only ones that moved of late, moved no more."""
        return self._replace(rested=self.rested.at[lane].set(self.count))

    def filed(self, saved: Int[Array, " clock"], shared: bool) -> "Record":
        """Lane by lane; the clock, if lanes share their steps, once."""
        y, f = jnp.swapaxes(self.y, 0, 1), jnp.swapaxes(self.f, 0, 1)
        saved = jnp.broadcast_to(saved, self.rested.shape)
        if shared:
            return Record(y, f, saved, Clock(self.sigma[:, 0], self.h[:, 0], self.count, self.stride))
        stride = jnp.broadcast_to(self.stride, self.rested.shape)
        return Record(y, f, saved, Clock(self.sigma.T, self.h.T, self.rested, stride))


def thin(rows: Float[Array, "row ..."]) -> Float[Array, "row ..."]:
    """Every second row, in the first half."""
    return jax.lax.dynamic_update_slice_in_dim(rows, rows[0:-1:2], 0, 0)


class Clock(NamedTuple):
    """When steps were taken: of each lane, or once for all."""

    sigma: Float[Array, "*lane row"]
    h: Float[Array, "*lane iteration"]
    count: Int[Array, "*lane"]
    stride: Int[Array, "*lane"]

    def believed(self, plan: Plan) -> "Clock":
        """With counts that no loop overruns."""
        powers = (self.stride > 0) & (self.stride <= plan.stride) & (self.stride & (self.stride - 1) == 0)
        count = jnp.clip(self.count, 0, self.h.shape[-1])
        return self._replace(count=count, stride=jnp.where(powers, self.stride, 1))

    def same_as(self, leader: Int[Array, ""]) -> Bool[Array, " lane"]:
        """Which lanes went with the leader, in steps of the same lengths at the same times."""
        same = lambda x: jnp.all(x == x[leader][None], axis=tuple(range(1, x.ndim)))
        number = jnp.arange(self.count.shape[0])
        return (same(self.h) & same(self.sigma) & same(self.count) & same(self.stride)) | (number == leader)

    def of(self, leader: Int[Array, ""]) -> "Clock":
        return jax.tree.map(lambda x: x[leader], self)


class Record(NamedTuple):
    """What is kept for the way back, for each lane in shapes that do not depend on how many lanes there are.

    So it is an output like any other: JAX may stack it, cut it, or choose of two. Under `vmap`, a `cond` does choose,
    lane by lane: a lane that took another branch holds whatever that branch kept in an array of this shape. A lane's
    record is therefore believed of no other lane, and where it could do harm to others it is not believed at all.
    """

    y: Float[Array, "lane row state"]
    f: Float[Array, "lane row state"]
    saved: Int[Array, " lane"]  # save times that were passed
    clock: Clock

    @classmethod
    def unknown(cls, plan: Plan, shape: tuple, y0, dtype) -> "Record":
        """Of lanes in this shape, what it will look like."""
        size, rows = y0.shape[-1], plan.buffer + 1
        clocks = () if plan.shared else shape
        blank = lambda dtype, *shape: jnp.full(shape, jnp.nan, dtype)
        y, f = (blank(y0.dtype, *shape, rows, n) for n in (size, size * plan.method.fsal))
        sigma, h = (blank(dtype, *clocks, n) for n in (rows, plan.stride * plan.buffer))
        count = jnp.zeros(clocks, jnp.int32)
        return cls(y, f, jnp.zeros(shape, jnp.int32), Clock(sigma, h, count, count))
