"""The discrete adjoint: each accepted step is taken again and pulled back, last step first.

It is the derivative of what the solve computed, on the grid that it chose: step sizes carry none.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._core._loops import while_loop
from ctmodels._integrate._engine._draws import Draws
from ctmodels._integrate._engine._lanes import Lanes, select
from ctmodels._integrate._engine._plan import Plan, Times
from ctmodels._integrate._engine._pull import AdjointState, Backward, Cotangents, Wanted
from ctmodels._integrate._engine._record import Clock, Record, thin
from ctmodels._integrate._engine._state import State


class Steps(NamedTuple):
    """The steps as they were taken, first one first: what is at hand in the backward pass, of all lanes or a few."""

    y: State  # (row, all)
    f: State  # (row, all)
    sigma: Float[Array, "row clock"]
    h: Float[Array, "iteration clock"]
    count: Int[Array, " clock"]
    strides: Int[Array, " clock"]
    lane: Int[Array, " lane"] | None = None  # which of all

    @property
    def stride(self) -> Int[Array, ""]:
        return jnp.max(self.strides)

    def evened(self) -> "Steps":
        """With one stride, where lanes of several solves meet; else as it is."""

        def one(steps):
            dense = steps.strides < steps.stride
            fewer = lambda x: jnp.where(dense.reshape(1, -1, *[1] * (x.ndim - 2)), thin(x), x)
            strides = jnp.where(dense, 2 * steps.strides, steps.strides)
            return steps._replace(y=steps.y.map(fewer), f=steps.f.map(fewer), sigma=fewer(steps.sigma), strides=strides)

        return while_loop(lambda steps: jnp.any(steps.strides < steps.stride), one, self)

    def for_lanes(self, lane) -> "Steps":
        return self._replace(lane=lane)

    def of_lanes(self, x: Array) -> Array:
        """Of all lanes' rows, those of the few."""
        return x if self.lane is None else x[:, self.lane]

    def state(self, row) -> tuple[Array, State, State]:
        """The kept one: sigma, y, f."""
        return jax.tree.map(lambda rows: self._at(rows, row), (self.sigma, self.y, self.f))

    def length(self, step) -> Array:
        return self._at(self.h, step)

    def _at(self, rows: Array, i) -> Array:
        row = jax.lax.dynamic_index_in_dim(rows, i, 0, keepdims=False)
        return row if self.lane is None else row[self.lane]


class Batch(NamedTuple):
    """What was solved, for lanes of one solve or several."""

    plan: Plan
    lanes: Lanes
    field: Callable  # (arrays, t, State) -> slope, of one lane
    arrays: list[Array]
    draws: Draws
    wanted: Wanted
    ts: Float[Array, "clock time"]
    y0: State

    def backward(self, cotangents: Cotangents) -> Backward:
        return Backward(
            self.plan, self.lanes, self.field, self.arrays, self.draws, self.wanted, Times.of(self.ts), cotangents
        )


def pull_back_solve(batch: Batch, record: Record, cotangents: Cotangents) -> tuple[Array, State, list[Array]]:
    """Cotangents of ts (lane, time), y0, and the wanted arrays."""
    plan, lanes, ts, y0 = batch.plan, batch.lanes, batch.ts, batch.y0
    saved = jnp.clip(record.saved, 0, ts.shape[1])
    clock = record.clock.bounded(plan)
    by_row = lambda x: jnp.swapaxes(x, 0, 1)
    y, f = y0.like(record.y).map(by_row), y0.like(record.f).map(by_row)

    def by_clock(clock: Clock, saved, cotangents):
        steps = Steps(y=y, f=f, sigma=clock.sigma.T, h=clock.h.T, count=clock.count, strides=clock.stride)
        return pull_back_steps(batch, steps, saved, cotangents)

    if not plan.shared:
        return by_clock(clock, saved, cotangents)
    begun = (lambda at: saved[at][None]) if ts.shape[0] == 1 else (lambda at: saved)
    once = lambda clock: jax.tree.map(lambda x: x[None], clock)
    if clock.count.ndim == 0:
        return by_clock(once(clock), begun(0), cotangents)

    # A `cond` chose of several solves, lane by lane: each pass goes by the clock of one, for those who went by it.
    def one(state):
        left, total = state
        leader = jnp.argmax(left)
        mine = left & clock.same_as(leader)
        of_mine = cotangents._replace(reached=jnp.where(mine, cotangents.reached, 0))
        found = by_clock(once(clock.of(leader)), begun(leader), of_mine)
        return left & ~mine, jax.tree.map(jnp.add, total, found)

    full = batch.backward(cotangents)
    none = full.no_times()[2], y0.map(jnp.zeros_like), full.zeros()
    return while_loop(lambda s: jnp.any(s[0]), one, (jnp.ones(lanes.number, bool), none), like=(y0, cotangents))[1]


def pull_back_steps(batch: Batch, steps: Steps, left, cotangents: Cotangents) -> tuple[Array, State, list[Array]]:
    """The same, of lanes whose steps are known."""
    plan, lanes, y0, wanted, times = batch.plan, batch.lanes, batch.y0, batch.wanted, Times.of(batch.ts)
    at_start = jnp.broadcast_to(times.sigma <= 0, (lanes.number, batch.ts.shape[1])) & (
        jnp.arange(batch.ts.shape[1], dtype=jnp.int32)[None] < cotangents.reached[:, None]
    )
    begun = jnp.sum(times.sigma <= 0, axis=1, dtype=jnp.int32)
    moved = cotangents.reached > begun
    # A lane that never moved takes the parameters and inputs of one that did: its own may be what made it fail.
    source = jnp.where(moved, jnp.arange(lanes.number), jnp.argmax(moved))
    if lanes.simple and lanes.shape:
        batch = batch._replace(arrays=lanes.take(batch.arrays, source))
    full = batch.backward(cotangents)
    none = y0.map(jnp.zeros_like)
    state = AdjointState(
        y=none, f=none if plan.carries_slope else none.nothing(), ts=full.no_times()[2], arrays=full.zeros(), left=left
    )
    state = all_back(full, state, steps if plan.shared or plan.stride == 1 else steps.evened())
    of_start = lambda ys: jnp.sum(jnp.where(at_start.reshape(*at_start.shape, *[1] * (ys.ndim - 2)), ys, 0), axis=1)
    y = state.y + cotangents.ys.map(of_start)
    if not plan.carries_slope:
        return state.ts, y, state.arrays
    t0 = jnp.broadcast_to(times.t0, moved.shape)
    one_that_moved = y0.map(lambda y0: y0[jnp.argmax(moved)][None])
    there, ct_f = select(moved, y0, one_that_moved), select(moved, state.f, none)
    more, ct_t, ct_y = full.pull(batch.field, (t0, there), ct_f)
    some = jnp.any(moved)
    arrays = [a + jnp.where(some, b, 0) for a, b in zip(state.arrays, more, strict=True)]
    ct_ts = state.ts.at[:, 0].add(jnp.where(moved, ct_t, 0)) if wanted.ts else state.ts
    return ct_ts, y + select(moved, ct_y, none), arrays


def all_back(full: Backward, state: AdjointState, steps: Steps) -> AdjointState:
    """All steps, last one first: those that few lanes took by these few alone."""
    few, start = full.plan.few(full.lanes), jnp.max(steps.count)
    if few:
        order = jnp.argsort(steps.count, descending=True)
        stop = steps.count[order[few[0]]]
        state, start = few_back(full, state, steps, order, stop, few[1]), stop
    return back(full, state, steps, start, jnp.zeros_like(start))


def few_back(full: Backward, state: AdjointState, steps: Steps, order, stop, width: int) -> AdjointState:
    """The steps beyond number `stop` of the lanes that took more, `width` of them at a time, those with most first."""

    def one(s):
        first, state = s
        lane = jax.lax.dynamic_slice_in_dim(order, first, width)
        return first + width, narrow_back(full, state, steps.for_lanes(lane), steps.count[lane[0]], stop)

    more = lambda s: steps.count[order[s[0]]] > stop
    return while_loop(more, one, (jnp.zeros_like(stop), state), like=state)[1]


def narrow_back(full: Backward, state: AdjointState, steps: Steps, start, stop) -> AdjointState:
    """The steps of a few lanes, from number `start` down to `stop`."""
    lane, part = steps.lane, full.for_lanes(steps.lane)
    own = lambda tree: jax.tree.map(lambda x: x[lane], tree)
    begun = AdjointState(y=own(state.y), f=own(state.f), ts=own(state.ts), arrays=part.zeros(), left=own(state.left))
    new = back(part, begun, steps, start, stop)
    put = lambda x, new: jax.tree.map(lambda x, new: x.at[lane].set(new), x, new)
    shared = full.plan.summed
    owned = full.wanted.split(full.lanes.owned)
    arrays = [
        a + b if shared and not any(own) else a.at[lane].add(b)
        for a, b, own in zip(state.arrays, new.arrays, owned, strict=True)
    ]
    return AdjointState(
        y=put(state.y, new.y),
        f=put(state.f, new.f),
        ts=put(state.ts, new.ts),
        arrays=arrays,
        left=put(state.left, new.left),
    )


def back(lanes: Backward, state: AdjointState, steps: Steps, start, stop) -> AdjointState:
    """The steps from number `start` down to `stop`: from each kept state forward to the next, and back."""
    if lanes.plan.stride == 1:
        one = lambda s: (s[0] - 1, lanes.pull_back(s[1], steps.state(s[0] - 1), steps.length(s[0] - 1)))
        return while_loop(lambda s: s[0] > stop, one, (start, state))[1]
    like = jax.tree.map(steps.of_lanes, (steps.sigma, steps.y, steps.f))
    rows = jax.tree.map(lambda x: jnp.zeros((lanes.plan.stride, *x.shape[1:]), x.dtype), like)
    one = lambda s: (s[0] - 1, *block_back(lanes, s[1], s[2], steps, s[0] - 1, start, stop))
    return while_loop(lambda s: s[0] * steps.stride > stop, one, (-(-start // steps.stride), state, rows))[1]


def block_back(
    lanes: Backward, state: AdjointState, rows: tuple, steps: Steps, row, start, stop
) -> tuple[AdjointState, tuple]:
    """Those of them from one kept state to the next; `rows` has room for where each begins."""
    first = row * steps.stride
    low, high = jnp.maximum(stop - first, 0), jnp.minimum(steps.stride, start - first)
    put = lambda rows, i, x: jax.tree.map(lambda r, x: jax.lax.dynamic_update_index_in_dim(r, x, i, 0), rows, x)
    at = lambda rows, i: jax.tree.map(lambda x: x[i], rows)
    start = steps.state(row)

    def forward(s):
        # What is not read where it is written is written in place (XLA of JAX 0.10): so the state is carried beside.
        i, now, rows = s
        now = lanes.take_again(now, steps.length(first + i))
        return i + 1, now, put(rows, i + 1, now)

    begun = jnp.zeros_like(high), start, put(rows, 0, start)
    rows = while_loop(lambda s: s[0] < high - 1, forward, begun)[2]

    def one(s):
        i, state = s[0] - 1, s[1]
        return i, lanes.pull_back(state, at(rows, i), steps.length(first + i))

    return while_loop(lambda s: s[0] > low, one, (high, state))[1], rows
