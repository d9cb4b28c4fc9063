"""What a solve leaves behind for the backward pass."""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ctmodels._integrate._engine._carry import Carry
from ctmodels._integrate._engine._plan import Plan
from ctmodels._integrate._engine._state import State


class StepHistory(NamedTuple):
    """What the backward pass goes back along, while it is written: every `stride`-th state of `count` iterations, and
    each one's step.

    Where the buffer is full, every second state is given up and the stride doubles, so that it never overflows. One
    row more takes what is not to be kept.
    """

    y: State  # (row, l)
    f: State  # (row, l), without entries if slopes are taken again
    sigma: Float[Array, "row g"]
    h: Float[Array, "iteration g"]  # zero where no step was accepted
    count: Int[Array, ""]
    stride: Int[Array, ""]
    ended: Int[Array, " l"]  # the count from which on a lane moved no more

    @classmethod
    def blank(cls, plan: Plan, carry: Carry) -> "StepHistory | None":
        """None if there is no backward pass."""
        if not plan.backwards:
            return None
        rows = lambda x: jnp.zeros((plan.buffer + 1, *x.shape), x.dtype)
        return cls(
            y=carry.y.map(rows),
            f=(carry.f if plan.carries_slope else carry.y.nothing()).map(rows),
            sigma=rows(carry.sigma),
            h=jnp.zeros((plan.stride * plan.buffer, *carry.h.shape), carry.h.dtype),
            count=jnp.zeros((), jnp.int32),
            stride=jnp.ones((), jnp.int32),
            ended=jnp.zeros_like(carry.status),
        )

    def with_step(self, carry: Carry, h, moved, lane) -> "StepHistory":
        """The state of some lanes before a step, and its length; a step that no group accepted is overwritten by the
        next."""
        row = jnp.where(self.count % self.stride == 0, self.count // self.stride, self.sigma.shape[0] - 1)

        def put(at, rows, x):
            if x.shape[0] == rows.shape[1]:
                return jax.lax.dynamic_update_index_in_dim(rows, x, at, 0)
            return rows.at[at, lane].set(x, unique_indices=True)

        in_row = functools.partial(put, row)
        return self._replace(
            y=self.y.map(in_row, carry.y),
            f=self.f.map(in_row, carry.f) if self.f.parts[0].size else self.f,
            sigma=in_row(self.sigma, carry.sigma),
            h=put(self.count, self.h, h),
            count=self.count + moved,
        )

    @property
    def full(self) -> Bool[Array, ""]:
        return self.count == self.stride * (self.sigma.shape[0] - 1)

    def thinned(self) -> "StepHistory":
        """With every second state only."""
        return self._replace(y=self.y.map(thin), f=self.f.map(thin), sigma=thin(self.sigma), stride=2 * self.stride)

    def ended_for(self, lane, moved: Bool[Array, " l"]) -> "StepHistory":
        """These lanes, of which some moved of late, move no more."""
        return self._replace(ended=self.ended.at[lane].set(jnp.where(moved, self.count, self.ended[lane])))

    def by_lane(self, saved: Int[Array, " clock"], shared: bool) -> "Record":
        """Lane by lane; the clock, if lanes share their steps, once."""
        y, f = (x.map(lambda x: jnp.swapaxes(x, 0, 1)).array() for x in (self.y, self.f))
        if shared:
            clock = Clock(sigma=self.sigma[:, 0], h=self.h[:, 0], count=self.count, stride=self.stride)
        else:
            stride = jnp.broadcast_to(self.stride, self.ended.shape)
            clock = Clock(sigma=self.sigma.T, h=self.h.T, count=self.ended, stride=stride)
        return Record(y=y, f=f, saved=jnp.broadcast_to(saved, self.ended.shape), clock=clock)


def thin(rows: Float[Array, "row ..."]) -> Float[Array, "row ..."]:
    """Every second row, in the first half."""
    return jax.lax.dynamic_update_slice_in_dim(rows, rows[0:-1:2], 0, 0)


class Clock(NamedTuple):
    """When steps were taken: of each lane, or once for all."""

    sigma: Float[Array, "*lane row"]
    h: Float[Array, "*lane iteration"]
    count: Int[Array, "*lane"]
    stride: Int[Array, "*lane"]

    def bounded(self, plan: Plan) -> "Clock":
        """With counts that no loop overruns, whatever a branch of a `cond` put in their place: see `Record`."""
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
    """What is kept for the backward pass, for each lane in shapes that do not depend on how many lanes there are.

    So it is an output like any other: JAX may stack it, cut it, or choose of two. Under `vmap`, JAX makes a `select`
    of a `cond` with a batched predicate (as of 0.10), lane by lane: a lane that took another branch holds whatever that
    branch kept in an array of this shape. A lane's record is therefore believed of no other lane, and where it could do
    harm to others it is not believed at all.
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
        count = jnp.zeros(clocks, jnp.int32)
        return cls(
            y=blank(y0.dtype, *shape, rows, size),
            f=blank(y0.dtype, *shape, rows, size * plan.carries_slope),
            saved=jnp.zeros(shape, jnp.int32),
            clock=Clock(
                sigma=blank(dtype, *clocks, rows),
                h=blank(dtype, *clocks, plan.stride * plan.buffer),
                count=count,
                stride=count,
            ),
        )
