"""Equal steps between save times, as many as the time between them asks for.

How many that are is known only where the times are, under `jit` not before the program runs. All steps of a solve are
therefore put in one row, whatever interval they belong to, and taken block by block: one block is what intervals of the
usual length need, and a scan; others follow only if a sample has steps left, so that regular times pay for none.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float, Int, PyTree

from ctmodels._core._output import gather, gathered
from ctmodels._integrate._engine._lanes import select
from ctmodels._integrate._engine._state import State

SLACK = 0.01  # of a step: times that are regular but for their rounding take no step more
BASE = 16  # blocks are counted by digits of this base, or of one with which three are enough: few are asked in vain
LARGEST = 2**31 - 1


class Grid(NamedTuple):
    """All steps in a row: `ends[i]` of them lead to `ts[i + 1]`, `counts[i]` from `ts[i]`."""

    ts: Float[Array, " time"]
    counts: Int[Array, " interval"]
    ends: Int[Array, " interval"]

    @classmethod
    def of(cls, ts: Float[Array, " time"], n: int, longest: float, most: int) -> "Grid":
        """`n` steps or more in each interval, in one of no length none; of those that are more than `most`, `most`."""
        gaps = jax.lax.stop_gradient(jnp.abs(jnp.diff(ts)))
        wanted = jnp.clip(jnp.ceil(gaps / jnp.asarray(longest, ts.dtype) - SLACK), n, most)
        counts = jnp.where(gaps == 0, 0, jnp.where(jnp.isfinite(gaps), wanted, n)).astype(jnp.int32)
        return cls(ts=ts, counts=counts, ends=jnp.cumsum(counts, dtype=jnp.int32))

    def steps(self, first, number: int) -> "Steps":
        """`number` of them; after the last, steps of no length at the end."""
        step = first + jnp.arange(number, dtype=jnp.int32)
        at = jnp.searchsorted(self.ends, step, side="right").astype(jnp.int32)
        i = jnp.minimum(at, self.counts.shape[0] - 1)
        over = at == self.counts.shape[0]
        h = (self.ts[i + 1] - self.ts[i]) / jnp.maximum(self.counts[i], 1).astype(self.ts.dtype)
        nth = step - self.ends[i] + self.counts[i]
        t = self.ts[i] + nth.astype(self.ts.dtype) * h
        return Steps(jnp.where(over, self.ts[-1], t), jnp.where(over, 0, h), i, nth)


class Steps(NamedTuple):
    """Starts and lengths; of which interval each is, and which one of it."""

    t: Float[Array, "*step"]
    h: Float[Array, "*step"]
    interval: Int[Array, "*step"]
    nth: Int[Array, "*step"]


class Carry(NamedTuple):
    """Where the steps have come to, what is saved, and what was measured."""

    moving: tuple[State, PyTree]
    ys: State  # (interval,)
    measured: dict[str, Float[Array, ""]]


class Solution(NamedTuple):
    """States at `ts[1:]`, NaN where they were not reached, as the first `reached` of them were; how many steps it took
    to each; what was measured; what was carried to the end."""

    ys: State  # (interval,)
    counts: Int[Array, " interval"]
    measured: dict[str, Float[Array, ""]]
    reached: Int[Array, ""]
    end: tuple[State, PyTree]


def by_time(
    one: Callable, ts: Float[Array, " time"], begun: tuple[State, PyTree], n: int, longest: float, most: int | None
) -> Solution:
    """From save time to save time by steps `one(carry, step) -> (carry, measures)`, of `Steps` one, `n` in each
    interval and more where they would be longer than `longest`, up to `most` more in all. In front of what is carried
    is the state."""
    usual = n * (ts.shape[0] - 1)
    more = -(-min(LARGEST // ts.shape[0] - usual, LARGEST if most is None else most) // usual)
    grid = Grid.of(ts, n, longest, (1 + more) * usual + 1)

    def block(nth, carry: Carry) -> Carry:
        first = nth * usual
        moving, (ys, taken) = jax.lax.scan(
            lambda moving, step: _kept(one(moving, step)), carry.moving, grid.steps(first, usual)
        )
        at = grid.ends - first  # counted from the block's start
        found = carry.moving[0].map(lambda y, ys: jnp.concatenate([y[None], ys])[jnp.clip(at, 0, usual)], ys)
        saved = select((at >= 0) & (at <= usual), found, carry.ys)
        new = gathered(taken)
        measures = {name: gather(name, carry.measured[name], new[name]) for name in new}
        return Carry(moving=moving, ys=saved, measured=measures)

    a_step = jax.tree.map(lambda x: x[0], grid.steps(0, 1))
    nothing = {name: jnp.zeros(x.shape, x.dtype) for name, x in jax.eval_shape(one, begun, a_step)[1].items()}
    unreached = begun[0].map(lambda y0: jnp.full((ts.shape[0] - 1, *y0.shape), jnp.nan, y0.dtype))
    carry = block(0, Carry(moving=begun, ys=unreached, measured=nothing))
    wanted = of_all_lanes(jnp.minimum(-(-grid.ends[-1] // usual), 1 + more))
    base = max(BASE, math.ceil(more ** (1 / 3)))
    go = lambda carry: _others(block, carry, 1, wanted, more, base)
    carry = jax.lax.cond(wanted > 1, go, lambda carry: carry, carry)
    reached = jnp.sum(grid.ends <= (1 + more) * usual)
    return Solution(ys=carry.ys, counts=grid.counts, measured=carry.measured, reached=reached, end=carry.moving)


def one_by_one(between: Callable, one: Callable, ts: Float[Array, " time"], begun: tuple[State, PyTree]) -> Solution:
    """From each time to the next by a solve `between(one, ts, begun)` of its own: for any number of times."""

    def to_next(moving, x):
        number, edges = x
        of_all = lambda moving, step: one(moving, step._replace(interval=number + step.interval))
        solution = between(of_all, edges, moving)
        return solution.end, solution

    intervals = jnp.arange(ts.shape[0] - 1, dtype=jnp.int32), jnp.stack([ts[:-1], ts[1:]], axis=1)
    end, stacked = jax.lax.scan(to_next, begun, intervals)
    reached = jnp.sum(jnp.cumsum(stacked.reached == 0) == 0)
    return Solution(
        ys=stacked.ys.map(lambda ys: ys[:, 0]),
        counts=stacked.counts[:, 0],
        measured=gathered(stacked.measured),
        reached=reached,
        end=end,
    )


def _kept(pair):
    moving, measures = pair
    return moving, (moving[0], measures)


def _others(block: Callable, carry: Carry, first, wanted, most: int, base: int) -> Carry:
    """Blocks from `first` up to `wanted`, of at most `most`. Reverse mode keeps a carry for each digit, not each block,
    and of the last digit what its steps keep."""
    if most <= 1:
        return block(first, carry)
    stride = 1
    while stride * base < most:
        stride *= base

    def digit(carry, i):
        begin = first + i * stride
        go = lambda carry: _others(block, carry, begin, wanted, stride, base)
        return jax.lax.cond(begin < wanted, go, lambda carry: carry, carry), None

    again = digit if stride == 1 else jax.checkpoint(digit)
    return jax.lax.scan(again, carry, jnp.arange(-(-most // stride), dtype=jnp.int32))[0]


@custom_vmap
def of_all_lanes(x):
    """The largest over all samples of a batch: one answer, so that a branch on it stays a branch under `vmap`."""
    return x


@of_all_lanes.def_vmap
def _of_all_lanes(axis_size, in_batched, x):
    return of_all_lanes(jnp.max(x, axis=0) if in_batched[0] else x), False
