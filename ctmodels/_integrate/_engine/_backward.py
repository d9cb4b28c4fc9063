"""The discrete adjoint: each accepted step is taken again and pulled back, last step first.

It is the derivative of what the solve computed, on the grid that it chose: step sizes carry none. Of the times, the
first step's length carries t0's, the last one's t1's, and the interpolant those of the save times.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._integrate._engine._carry import Record, thin
from ctmodels._integrate._engine._lanes import Lanes, select
from ctmodels._integrate._engine._loops import while_loop
from ctmodels._integrate._engine._plan import Plan, Times, end_of
from ctmodels._integrate._engine._saves import Saves, undo_saves
from ctmodels._output import is_largest


class Wanted(NamedTuple):
    """Of what cotangents are wanted: of the times, and of which of the arrays that the field closes over."""

    ts: bool
    arrays: tuple[bool, ...]

    def split(self, arrays) -> list:
        return [x for x, want in zip(arrays, self.arrays, strict=True) if want]

    def merge(self, wanted, arrays) -> list:
        wanted = iter(wanted)
        return [next(wanted) if want else x for x, want in zip(arrays, self.arrays, strict=True)]


class Given(NamedTuple):
    """Cotangents of what the solve returned, and how many of its states each lane did return."""

    ys: Float[Array, "lane time state"]
    measured: dict[str, Float[Array, " lane"]]
    reached: Int[Array, " lane"]
    peaks: dict[str, Float[Array, " lane"]]  # where the largest of a measure was found, in sigma


class Flow(NamedTuple):
    """Cotangents on their way back: of the state, of the slope there, of the save times, of the arrays."""

    y: Float[Array, "lane state"]
    f: Float[Array, "lane state"]
    ts: Float[Array, "lane time"]  # of length zero if not wanted
    arrays: list[Array]
    left: Int[Array, " clock"]  # save times not yet undone


class Steps(NamedTuple):
    """The steps as they were taken, first one first: what is at hand on the way back, of all lanes or a few."""

    y: Float[Array, "row all state"]
    f: Float[Array, "row all state"]
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
            return steps._replace(y=fewer(steps.y), f=fewer(steps.f), sigma=fewer(steps.sigma), strides=strides)

        return while_loop(lambda steps: jnp.any(steps.strides < steps.stride), one, self)

    def taking(self, lane) -> "Steps":
        return self._replace(lane=lane)

    def of_lanes(self, x: Array) -> Array:
        """Of all lanes' rows, those of the few."""
        return x if self.lane is None else x[:, self.lane]

    def state(self, row) -> tuple[Array, Array, Array]:
        """The kept one: sigma, y, f."""
        return self._at(self.sigma, row), self._at(self.y, row), self._at(self.f, row)

    def ahead(self, step) -> tuple[Array]:
        """How long that step was."""
        return (self._at(self.h, step),)

    def _at(self, rows: Array, i) -> Array:
        row = jax.lax.dynamic_index_in_dim(rows, i, 0, keepdims=False)
        return row if self.lane is None else row[self.lane]


class Undo:
    """The way back of some lanes: what does not change on it."""

    def __init__(self, plan: Plan, lanes: Lanes, field: Callable, arrays, wanted: Wanted, times: Times, given: Given):
        self.plan, self.lanes, self.field, self.arrays = plan, lanes, field, arrays
        self.wanted, self.times, self.given = wanted, times, given
        self.groups = 1 if plan.shared else lanes.number
        self.together = self.groups == 1 and times.t0.shape[0] == 1
        sigma = jnp.broadcast_to(times.sigma, (lanes.number, times.sigma.shape[1]))
        last = jnp.take_along_axis(sigma, jnp.maximum(given.reached - 1, 0)[:, None], 1)[:, 0]
        self.last = jnp.where(given.reached > 0, last, -1)  # what lies behind has no cotangent

    def taking(self, lane) -> "Undo":
        """The same, of fewer lanes."""
        arrays, given = self.lanes.take(self.arrays, lane), jax.tree.map(lambda x: x[lane], self.given)
        lanes = self.lanes.narrowed(lane.shape[0])
        return Undo(self.plan, lanes, self.field, arrays, self.wanted, self.times.take(lane), given)

    def zeros(self) -> list[Array]:
        """A cotangent for each array, or for each array and lane if they are not to be summed."""
        arrays = self.wanted.split(self.arrays)
        if self.plan.summed:
            return [jnp.zeros_like(x) for x in arrays]
        owned = self.wanted.split(self.lanes.owned)
        return [
            jnp.zeros((self.lanes.number, *x.shape[sum(own) :]), x.dtype) for x, own in zip(arrays, owned, strict=True)
        ]

    def pull(self, f: Callable, lanewise: tuple, given, fixed: tuple = ()) -> tuple:
        """Cotangents of the arrays and of `lanewise`, for f(arrays, *fixed, *lanewise) of one lane."""
        wanted = self.wanted
        if self.plan.summed:
            over = lambda some, *lanewise: self.lanes.map(f, wanted.merge(some, self.arrays), *fixed, *lanewise)
            return jax.vjp(over, wanted.split(self.arrays), *lanewise)[1](given)

        def one(arrays, given, fixed, *lanewise):
            over = lambda some, *lanewise: f(wanted.merge(some, arrays), *fixed, *lanewise)
            return jax.vjp(over, wanted.split(arrays), *lanewise)[1](given)

        return self.lanes.map(one, self.arrays, given, fixed, *lanewise)

    # -- one step

    def step(self, arrays, live, t, h, y, f):
        """One lane's step: new state, slopes and measures."""
        y1, fs, _, found = self.plan.step(self.field, self.lanes.axes, arrays, live, t, h, y, f)
        return y1, fs, found

    def live(self, sigma, h):
        """Lanes whose step was accepted, and mattered."""
        return (h > 0) & (sigma < self.last)

    def lanewise(self, live, sigma, h, y, f):
        """Time, length, state and slope of each lane's step. A lane at rest stands where a moving one does: its own
        state may be one at which the field is not finite, which would make NaN of a cotangent of zero."""
        t, H = self.times.at(sigma), self.times.span * h
        if self.groups > 1 or t.shape[0] > 1 or self.wanted.ts:
            t, H = jnp.broadcast_to(t, live.shape), jnp.where(live, H, 0)
        a_live_one = jnp.argmax(live)
        borrow = lambda x: select(live, x, x[a_live_one][None])
        return borrow(t) if t.shape == live.shape else t, H, borrow(y), borrow(f)

    def undo(self, flow: Flow, sigma, y, f, h) -> Flow:
        """One step back."""
        method, live = self.plan.method, self.live(sigma, h)
        moved = self.lanewise(live, sigma, h, y, f)
        zero = jnp.zeros_like(y)
        slopes = (zero,) * method.stages
        if method.fsal:
            slopes = (*slopes[:-1], select(live, flow.f, zero))
        saves = Saves(flow.left, zero, select(live, flow.y, zero), slopes, *self.no_times())
        saves = undo_saves(self, saves, live, sigma, h, moved)
        counts = {name: live & self.at_peak(name, sigma, h) for name in self.given.measured}
        measured = {name: jnp.where(counts[name], c, 0) for name, c in self.given.measured.items()}
        arrays, ct_t, ct_h, ct_y, ct_f = self.pull(self.step, moved, (saves.y1, saves.fs, measured), (live,))
        some = jnp.any(live)
        arrays = [a + jnp.where(some, b, 0) for a, b in zip(flow.arrays, arrays, strict=True)]
        ts = flow.ts
        if self.wanted.ts:
            ts = ts + saves.ts + self.at_ends(live, sigma, h, ct_t + saves.t, ct_h + saves.h)
        return Flow(select(live, ct_y + saves.y, flow.y), select(live, ct_f, flow.f), ts, arrays, saves.left)

    def at_peak(self, name: str, sigma, h):
        """Whether this step has what was found, of a measure of which the largest is kept: it began near enough."""
        return abs(self.given.peaks[name] - sigma) < h / 2 if is_largest(name) else True

    def no_times(self):
        none = jnp.zeros(self.lanes.number, self.times.t0.dtype)
        return none, none, jnp.zeros((self.lanes.number, self.times.sigma.shape[1] * self.wanted.ts), none.dtype)

    def at_ends(self, live, sigma, h, ct_t, ct_h):
        """The step from a to b has t = a and h = b - a: a is t0 of the first step, b is t1 of the last."""
        first = jnp.where(live & (sigma == 0), ct_t - ct_h, 0)
        last = jnp.where(live & (end_of(sigma, h) == 1), ct_h, 0)
        ts = jnp.zeros((self.lanes.number, self.times.sigma.shape[1]), ct_t.dtype)
        return ts.at[:, 0].add(first).at[:, -1].add(last)

    # -- all steps

    def back(self, flow: Flow, steps: Steps, start, stop) -> Flow:
        """The steps from number `start` down to `stop`: from each kept state forward to the next, and back."""
        if self.plan.stride == 1:
            one = lambda s: (s[0] - 1, self.undo(s[1], *steps.state(s[0] - 1), *steps.ahead(s[0] - 1)))
            return while_loop(lambda s: s[0] > stop, one, (start, flow))[1]
        like = jax.tree.map(steps.of_lanes, (steps.sigma, steps.y, steps.f))
        rows = jax.tree.map(lambda x: jnp.zeros((self.plan.stride, *x.shape[1:]), x.dtype), like)
        one = lambda s: (s[0] - 1, *self.block(s[1], s[2], steps, s[0] - 1, start, stop))
        return while_loop(lambda s: s[0] * steps.stride > stop, one, (-(-start // steps.stride), flow, rows))[1]

    def block(self, flow: Flow, rows: tuple, steps: Steps, row, start, stop) -> tuple[Flow, tuple]:
        """Those of them from one kept state to the next; `rows` has room for where each begins."""
        first = row * steps.stride
        low, high = jnp.maximum(stop - first, 0), jnp.minimum(steps.stride, start - first)
        put = lambda rows, i, x: jax.tree.map(lambda r, x: jax.lax.dynamic_update_index_in_dim(r, x, i, 0), rows, x)
        sigma, y, f = steps.state(row)
        rows = put(rows, 0, (sigma, y, f))

        def forward(s):
            i, rows = s
            sigma, y, f = jax.tree.map(lambda x: x[i], rows)
            return i + 1, put(rows, i + 1, self.advance(sigma, y, f, *steps.ahead(first + i)))

        _, rows = while_loop(lambda s: s[0] < high - 1, forward, (jnp.zeros_like(high), rows))

        def back(s):
            i, flow = s[0] - 1, s[1]
            sigma, y, f = jax.tree.map(lambda x: x[i], rows)
            return i, self.undo(flow, sigma, y, f, *steps.ahead(first + i))

        return while_loop(lambda s: s[0] > low, back, (high, flow))[1], rows

    def advance(self, sigma, y, f, h):
        live = self.live(sigma, h)
        y1, fs, _ = self.lanes.map(self.step, self.arrays, live, *self.lanewise(live, sigma, h, y, f))
        f1 = select(live, fs[-1], f) if self.plan.method.fsal else f
        return jnp.where(h > 0, end_of(sigma, h), sigma), select(live, y1, y), f1


def undo(
    plan: Plan, lanes: Lanes, field: Callable, arrays, wanted: Wanted, ts, y0, record: Record, given: Given
) -> tuple[Array, Array, list[Array]]:
    """Cotangents of ts (lane, time), y0 (lane, state), and the wanted arrays."""
    saved = jnp.clip(record.saved, 0, ts.shape[1])
    clock = record.clock.believed(plan)
    y, f = jnp.swapaxes(record.y, 0, 1), jnp.swapaxes(record.f, 0, 1)

    def way(clock, saved, given):
        steps = Steps(y, f, clock.sigma.T, clock.h.T, clock.count, clock.stride)
        return by_steps(plan, lanes, field, arrays, wanted, ts, y0, steps, saved, given)

    if not plan.shared:
        return way(clock, saved, given)
    begun = (lambda at: saved[at][None]) if ts.shape[0] == 1 else (lambda at: saved)
    once = lambda clock: jax.tree.map(lambda x: x[None], clock)
    if clock.count.ndim == 0:
        return way(once(clock), begun(0), given)

    # A `cond` chose of several solves, lane by lane: each pass goes by the clock of one, for those who went by it.
    def one(state):
        left, total = state
        leader = jnp.argmax(left)
        mine = left & clock.same_as(leader)
        found = way(once(clock.of(leader)), begun(leader), given._replace(reached=jnp.where(mine, given.reached, 0)))
        return left & ~mine, jax.tree.map(jnp.add, total, found)

    full = Undo(plan, lanes, field, arrays, wanted, Times.of(ts), given)
    none = full.no_times()[2], jnp.zeros_like(y0), full.zeros()
    return while_loop(lambda s: jnp.any(s[0]), one, (jnp.ones(lanes.number, bool), none), like=(y0, given))[1]


def by_steps(
    plan: Plan, lanes: Lanes, field: Callable, arrays, wanted: Wanted, ts, y0, steps: Steps, left, given: Given
) -> tuple[Array, Array, list[Array]]:
    """The same, of lanes whose steps are known."""
    times = Times.of(ts)
    at_start = jnp.broadcast_to(times.sigma <= 0, given.ys.shape[:2]) & (
        jnp.arange(ts.shape[1], dtype=jnp.int32)[None] < given.reached[:, None]
    )
    begun = jnp.sum(times.sigma <= 0, axis=1, dtype=jnp.int32)
    moved = given.reached > begun
    # A lane that never moved lends the parameters and inputs of one that did: its own may be what made it fail.
    lender = jnp.where(moved, jnp.arange(lanes.number), jnp.argmax(moved))
    if lanes.simple and lanes.shape:
        arrays = lanes.take(arrays, lender)
    full = Undo(plan, lanes, field, arrays, wanted, times, given)
    none = jnp.zeros_like(y0)
    flow = Flow(none, none if plan.method.fsal else none[:, :0], full.no_times()[2], full.zeros(), left)
    flow = all_back(full, flow, steps if plan.shared or plan.stride == 1 else steps.evened())
    y = flow.y + jnp.sum(jnp.where(at_start[:, :, None], given.ys, 0), axis=1)
    if not plan.method.fsal:
        return flow.ts, y, flow.arrays
    t0 = jnp.broadcast_to(times.t0, moved.shape)
    there, ct_f = select(moved, y0, y0[jnp.argmax(moved)][None]), select(moved, flow.f, none)
    more, ct_t, ct_y = full.pull(field, (t0, there), ct_f)
    some = jnp.any(moved)
    arrays = [a + jnp.where(some, b, 0) for a, b in zip(flow.arrays, more, strict=True)]
    ct_ts = flow.ts.at[:, 0].add(jnp.where(moved, ct_t, 0)) if wanted.ts else flow.ts
    return ct_ts, y + select(moved, ct_y, none), arrays


def all_back(full: Undo, flow: Flow, steps: Steps) -> Flow:
    """All steps, last one first: those that few lanes took by these few alone."""
    narrower, start = full.plan.widths(full.lanes)[1:], jnp.max(steps.count)
    order = jnp.argsort(steps.count, descending=True) if narrower else None
    for width in reversed(narrower):
        stop = steps.count[order[width]]  # pyright: ignore
        flow = narrow(full, flow, steps.taking(order[:width]), start, stop)  # pyright: ignore
        start = stop
    return full.back(flow, steps, start, jnp.zeros_like(start))


def narrow(full: Undo, flow: Flow, steps: Steps, start, stop) -> Flow:
    """The way back of the few lanes that took longest."""
    lane, part = steps.lane, full.taking(steps.lane)
    own = lambda x: x[lane]
    begun = Flow(own(flow.y), own(flow.f), own(flow.ts), part.zeros(), own(flow.left))
    back = part.back(begun, steps, start, stop)
    put = lambda x, new: x.at[lane].set(new)
    shared = full.plan.summed
    owned = full.wanted.split(full.lanes.owned)
    arrays = [
        a + b if shared and not any(own) else a.at[lane].add(b)
        for a, b, own in zip(flow.arrays, back.arrays, owned, strict=True)
    ]
    return Flow(put(flow.y, back.y), put(flow.f, back.f), put(flow.ts, back.ts), arrays, put(flow.left, back.left))
