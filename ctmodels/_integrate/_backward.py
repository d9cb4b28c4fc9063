"""The discrete adjoint: each accepted step is taken again and pulled back, last step first.

It is the derivative of what the solve computed, on the grid that it chose: step sizes carry none. Of the times, the
first step's length carries t0's, the last one's t1's, and the interpolant those of the save times.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._integrate._account import is_largest
from ctmodels._integrate._lanes import Lanes, select
from ctmodels._integrate._plan import Plan, Times, end_of
from ctmodels._integrate._saves import Saves, undo_saves
from ctmodels._integrate._state import Trail


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

    def undo(self, flow: Flow, sigma, h, y, f) -> Flow:
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

    def back(self, flow: Flow, trail: Trail) -> Flow:
        """All the trail's steps: from each kept state forward to the next, and back."""
        if self.plan.stride == 1:
            row = lambda n: (trail.sigma[n], trail.h[n], trail.y[n], trail.f[n])
            one = lambda s: (s[0] - 1, self.undo(s[1], *row(s[0] - 1)))
            return jax.lax.while_loop(lambda s: s[0] > 0, one, (trail.count, flow))[1]
        blocks = -(-trail.count // trail.stride)
        rows = jax.tree.map(
            lambda x: jnp.zeros((self.plan.stride, *x.shape[1:]), x.dtype), (trail.sigma, trail.y, trail.f)
        )
        one = lambda s: (s[0] - 1, *self.block(s[1], s[2], trail, s[0] - 1))
        return jax.lax.while_loop(lambda s: s[0] > 0, one, (blocks, flow, rows))[1]

    def block(self, flow: Flow, rows: tuple, trail: Trail, row) -> tuple[Flow, tuple]:
        """The steps from one kept state to the next; `rows` has room for where each of them begins."""
        first = row * trail.stride
        steps = jnp.minimum(trail.stride, trail.count - first)
        put = lambda rows, i, x: jax.tree.map(lambda r, x: jax.lax.dynamic_update_index_in_dim(r, x, i, 0), rows, x)
        rows = put(rows, 0, (trail.sigma[row], trail.y[row], trail.f[row]))

        def forward(s):
            i, rows = s
            sigma, y, f = jax.tree.map(lambda x: x[i], rows)
            return i + 1, put(rows, i + 1, self.advance(sigma, y, f, trail.h[first + i]))

        _, rows = jax.lax.while_loop(lambda s: s[0] < steps - 1, forward, (jnp.zeros_like(steps), rows))

        def back(s):
            i, flow = s[0] - 1, s[1]
            sigma, y, f = jax.tree.map(lambda x: x[i], rows)
            return i, self.undo(flow, sigma, trail.h[first + i], y, f)

        return jax.lax.while_loop(lambda s: s[0] > 0, back, (steps, flow))[1], rows

    def advance(self, sigma, y, f, h):
        live = self.live(sigma, h)
        y1, fs, _ = self.lanes.map(self.step, self.arrays, live, *self.lanewise(live, sigma, h, y, f))
        f1 = select(live, fs[-1], f) if self.plan.method.fsal else f
        return jnp.where(h > 0, end_of(sigma, h), sigma), select(live, y1, y), f1


def undo(
    plan: Plan, lanes: Lanes, field: Callable, arrays, wanted: Wanted, ts, y0, head_saved, trails, given: Given
) -> tuple[Array, Array, list[Array]]:
    """Cotangents of ts (lane, time), y0 (lane, state), and the wanted arrays."""
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
    flow = Flow(none, none if plan.method.fsal else none[:, :0], full.no_times()[2], full.zeros(), head_saved)
    for trail in reversed(trails):
        if trail.lane.shape[0] == lanes.number:
            flow = full.back(flow, trail)
        else:
            flow = narrow(full, flow, trail)
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


def narrow(full: Undo, flow: Flow, trail: Trail) -> Flow:
    """The way back of the few lanes that took longest."""
    lane, part = trail.lane, full.taking(trail.lane)
    own = lambda x: x[lane]
    back = part.back(Flow(own(flow.y), own(flow.f), own(flow.ts), part.zeros(), own(flow.left)), trail)
    put = lambda x, new: x.at[lane].set(new)
    shared = full.plan.summed
    owned = full.wanted.split(full.lanes.owned)
    arrays = [
        a + b if shared and not any(own) else a.at[lane].add(b)
        for a, b, own in zip(flow.arrays, back.arrays, owned, strict=True)
    ]
    return Flow(put(flow.y, back.y), put(flow.f, back.f), put(flow.ts, back.ts), arrays, put(flow.left, back.left))
