"""The solve: adaptive steps of an explicit Runge-Kutta method for all lanes side by side, saved at given times.

A group of lanes has one step: all lanes (`shared`), or each lane is a group of its own. Time is sigma, from 0 to 1,
and the field's t = t0 + (t1 - t0) sigma. What the backward pass needs goes into a `Trail`.
"""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ctmodels._integrate._control import Memory, adapt, first_step, scaled_error
from ctmodels._integrate._lanes import Lanes, Size, per_lane, select
from ctmodels._integrate._method import Method
from ctmodels._output import NON_FINITE, STEP_UNDERFLOW, SUCCESS, TOO_MANY_STEPS

NARROWER = 8  # a batch whose lanes are nearly all done goes on with this fraction of its width
STRIKES = 12  # more tries that are not finite than steps since, after which a lane is given up


class Plan(NamedTuple):
    """What is known before anything runs."""

    method: Method
    controller: diffrax.PIDController
    max_steps: int
    buffer: int  # states kept on the way, an even number
    measures: tuple[Callable, ...]
    shared: bool  # one step for all lanes
    summed: bool  # cotangents of what lanes have in common: summed over them, or one for each
    hold: bool  # what a failed lane did not reach is its initial state, not NaN

    @property
    def stride(self) -> int:
        """The largest number of steps from one kept state to the next: a power of two."""
        stride = 1
        while stride * self.buffer < self.max_steps:
            stride *= 2
        return stride

    def widths(self, lanes: Lanes) -> list[Size]:
        """The widths at which the loop runs: that of the batch, and narrower ones for the lanes that take longest."""
        widths = [lanes.number]
        known = isinstance(lanes.number, int)  # not in an exported model, which takes any batch
        while known and not self.shared and lanes.simple and widths[-1] >= 4 * NARROWER:
            widths.append(widths[-1] // NARROWER)
        return widths


class Times(NamedTuple):
    """`t0`, `span`, and the save times as `sigma`: for all lanes alike (a leading axis of one), or for each."""

    t0: Float[Array, " clock"]
    span: Float[Array, " clock"]
    sigma: Float[Array, "clock time"]

    @classmethod
    def of(cls, ts: Float[Array, "clock time"]) -> "Times":
        t0, span = ts[:, 0], ts[:, -1] - ts[:, 0]
        rise = ts - ts[:, :1]
        return cls(t0, span, jnp.where(span[:, None] == 0, 0, rise / jnp.where(span == 0, 1, span)[:, None]))

    def at(self, sigma: Float[Array, " group"]) -> Float[Array, " lane"]:
        return self.t0 + self.span * sigma

    def take(self, lane: Int[Array, " lane"]) -> "Times":
        return self if self.t0.shape[0] == 1 else jax.tree.map(lambda x: x[lane], self)


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
        rows = lambda x: jnp.zeros((plan.buffer + 1, *x.shape), x.dtype)
        h = jnp.zeros((plan.stride * plan.buffer, *head.h.shape), head.h.dtype)
        count, stride = jnp.zeros((), jnp.int32), jnp.ones((), jnp.int32)
        return cls(rows(head.y), rows(head.f), rows(head.sigma), h, count, stride, lane)

    @classmethod
    def empty(cls) -> "Trail":
        """Takes the place of one that is not needed, since how many there are depends on the lanes."""
        nothing, none = jnp.zeros(0), jnp.zeros(0, jnp.int32)
        return cls(nothing, nothing, nothing, nothing, none, none, none)

    def record(self, head: Head, h, moved) -> "Trail":
        """Note the state before a step, and its length; a step that no group accepted is overwritten by the next."""
        row = jnp.where(self.count % self.stride == 0, self.count // self.stride, self.y.shape[0] - 1)
        put = lambda rows, x: jax.lax.dynamic_update_index_in_dim(rows, x, row, 0)
        h = jax.lax.dynamic_update_index_in_dim(self.h, h, self.count, 0)
        y, f, sigma = put(self.y, head.y), put(self.f, head.f), put(self.sigma, head.sigma)
        return Trail(y, f, sigma, h, self.count + moved, self.stride, self.lane)

    @property
    def full(self) -> Bool[Array, ""]:
        return self.count == self.stride * (self.y.shape[0] - 1)

    def thinned(self) -> "Trail":
        """If full, with every second state only."""

        def thin(rows):
            half = rows[0:-1:2]
            return jnp.where(self.full, jnp.concatenate([half, rows[half.shape[0] :]]), rows)

        stride = jnp.where(self.full, 2 * self.stride, self.stride)
        return self._replace(y=thin(self.y), f=thin(self.f), sigma=thin(self.sigma), stride=stride)


def end_of(sigma, h):
    """Where a step ends: a rest too short to be a step is taken along."""
    return jnp.where(sigma + h >= 1 - 16 * jnp.finfo(h.dtype).eps, 1, sigma + h)


class Solve:
    """One solve: what does not change while it runs."""

    def __init__(self, plan: Plan, lanes: Lanes, field: Callable, arrays, times: Times):
        self.plan, self.lanes, self.field, self.arrays, self.times = plan, lanes, field, arrays, times
        self.groups = 1 if plan.shared else lanes.number
        self.together = self.groups == 1 and times.t0.shape[0] == 1  # one clock: all lanes save at once
        span = jnp.abs(times.span)
        self.length = jnp.max(span, keepdims=True) if plan.shared else span

    def taking(self, lane) -> "Solve":
        """The same, of fewer lanes."""
        lanes = self.lanes.narrowed(lane.shape[0])
        return Solve(self.plan, lanes, self.field, self.lanes.take(self.arrays, lane), self.times.take(lane))

    def slope(self, sigma, y):
        return self.lanes.map(self.field, self.arrays, self.times.at(sigma), y)

    def norm(self, x: Float[Array, "lane state"], alive) -> Float[Array, " group"]:
        """Root mean square over a group's lanes that count."""
        return self.group_error(jnp.mean(jnp.abs(x) ** 2, axis=1), alive)

    def group_error(self, square: Float[Array, " lane"], alive) -> Float[Array, " group"]:
        if not self.plan.shared:
            return jnp.sqrt(square)
        count = jnp.sum(alive, keepdims=True, dtype=square.dtype)
        return jnp.sqrt(jnp.sum(jnp.where(alive, square, 0), keepdims=True) / jnp.maximum(count, 1))

    def active(self, head: Head) -> Bool[Array, " group"]:
        alive = head.status == SUCCESS
        alive = alive if not self.plan.shared else jnp.any(alive, keepdims=True)
        return alive & (head.sigma < 1) & (head.accepted + head.rejected < self.plan.max_steps)

    # -- the beginning

    def start(self, y0: Float[Array, "lane state"]) -> Head:
        plan, times, n = self.plan, self.times, self.lanes.number
        dtype = times.t0.dtype
        over = jnp.broadcast_to(self.length == 0, (self.groups,))
        sigma = over.astype(dtype)
        f = self.slope(jnp.zeros_like(sigma), y0)
        alive = jnp.all(jnp.isfinite(y0) & jnp.isfinite(f), axis=1)

        def evaluate(h):
            reach = jnp.where(self.length == 0, 0, h / jnp.where(self.length == 0, 1, self.length))
            return self.slope(reach, y0 + per_lane(times.span * reach).astype(y0.dtype) * f)

        norm = lambda x: self.norm(x, alive).astype(dtype)
        length = jnp.where(over, 1, self.length)
        h = first_step(plan.controller, plan.method, evaluate, norm, y0, f, length)
        none = jnp.zeros(self.groups, jnp.int32)
        begun = jnp.sum(times.sigma <= 0, axis=1, dtype=jnp.int32)
        saved = begun if self.together else jnp.broadcast_to(begun, (n,))
        return Head(
            y0, f if plan.method.fsal else f[:, :0], sigma, h, Memory.none(self.groups, dtype), none, none,
            jnp.full(self.groups, jnp.inf, dtype), jnp.zeros(self.groups, dtype),
            jnp.where(alive, SUCCESS, NON_FINITE).astype(jnp.int32), jnp.zeros(n, jnp.int32),
            saved, jnp.broadcast_to(jnp.where(alive, begun, 0), (n,)),
            jnp.broadcast_to(sigma, (n,)),
            {m.__name__: jnp.zeros(n, y0.dtype) for m in plan.measures},
        )  # fmt: skip

    def first_saves(self, y0) -> Float[Array, "lane time state"]:
        """Save times at the start are behind; what is not reached stays NaN."""
        blank = y0[:, None] if self.plan.hold else jnp.full_like(y0[:, None], jnp.nan)
        at_start = (self.times.sigma <= 0)[:, :, None]
        n, size = self.times.sigma.shape[1], y0.shape[1]
        return jnp.broadcast_to(jnp.where(at_start, y0[:, None], blank), (self.lanes.number, n, size))

    # -- one step

    def attempt(self, head: Head, ys, trail: Trail, lane):
        plan, method = self.plan, self.plan.method
        active, alive = self.active(head), head.status == SUCCESS
        b = end_of(head.sigma, head.h)
        h = b - head.sigma
        H = self.times.span * jnp.where(active, h, 0)
        y1, fs, error, measured = self.lanes.map(self.step, self.arrays, self.times.at(head.sigma), H, head.y, head.f)
        square = scaled_error(plan.controller, head.y, y1, error)
        q = self.group_error(square, alive).astype(h.dtype)
        accept, h_next, memory = adapt(plan.controller, method.order, q, h, self.length, head.memory)
        accept, reject = accept & active, ~accept & active
        moves = accept & alive
        sigma = jnp.where(accept, b, head.sigma)
        status, strikes, h_next = self.judge(head, active, square, sigma, h_next)
        saved, ys = self.save(head, ys, b, H, accept, moves, y1, fs, lane)
        length = jnp.abs(self.length * h)
        new = Head(
            select(moves, y1, head.y), select(moves, fs[-1], head.f) if method.fsal else head.f, sigma, h_next, memory,
            head.accepted + accept.astype(jnp.int32), head.rejected + reject.astype(jnp.int32),
            jnp.where(accept, jnp.minimum(head.shortest, length), head.shortest),
            jnp.where(accept, jnp.maximum(head.longest, length), head.longest),
            status, strikes, saved, jnp.where(alive, saved, head.reached), jnp.where(alive, sigma, head.until),
            {name: head.measured[name] + jnp.where(moves, m, 0) for name, m in measured.items()},
        )  # fmt: skip
        return new, ys, trail.record(head, jnp.where(accept, h, 0), jnp.any(accept).astype(jnp.int32))

    def step(self, arrays, t, h, y, f):
        """One lane's step: new state, slopes, error and measures."""
        method = self.plan.method
        y1, fs = method.step(lambda t, y: self.field(arrays, t, y), t, h, y, f)
        taken = method.taken(h, y, y1, fs)
        return y1, fs, method.error(h, fs), {m.__name__: m(taken) for m in self.plan.measures}

    def judge(self, head: Head, active, square, sigma, h):
        """Who fails: a lane whose step can be made no shorter, or one that is not finite again and again. Of lanes with
        a common step, the one with the largest error is to blame for its length."""
        alive = (head.status == SUCCESS) & active
        eps = jnp.finfo(h.dtype).eps
        stuck = active & (sigma < 1) & (h <= jnp.maximum(8 * eps * sigma, eps**2))
        worst = square if not self.plan.shared else jnp.max(jnp.where(alive, square, 0), keepdims=True)
        lost = stuck & alive & (square >= worst)
        strikes = jnp.where(jnp.isfinite(square), jnp.maximum(head.strikes - 1, 0), head.strikes + 1)
        lost = lost | (alive & (strikes >= STRIKES))
        status = jnp.where(lost, jnp.where(jnp.isfinite(square), STEP_UNDERFLOW, NON_FINITE), head.status)
        return status.astype(jnp.int32), strikes, jnp.where(stuck, 64 * eps, h)

    # -- saving

    def sigma_at(self, i):
        """The i-th save time of each lane, or of all."""
        sigma = self.times.sigma
        i = jnp.minimum(i, sigma.shape[1] - 1)
        return sigma[0, i] if sigma.shape[0] == 1 else jnp.take_along_axis(sigma, i[:, None], 1)[:, 0]

    def save(self, head: Head, ys, b, H, accept, moves, y1, fs, lane):
        """The interpolant at all save times within the step: those common to all lanes one after another, else the next
        of each lane until no lane has one."""
        method, number = self.plan.method, ys.shape[1]
        h = jnp.where(accept, b - head.sigma, 1)

        def pending(i):
            return accept & (i < number) & (self.sigma_at(i) <= b)

        def one(state):
            i, ys = state
            due = pending(i)
            w = method.weights((self.sigma_at(i) - head.sigma) / h).astype(ys.dtype)
            y = w[:, 0:1] * head.y + w[:, 1:2] * y1
            y = y + per_lane(H).astype(ys.dtype) * sum(w[:, 2 + j : 3 + j] * f for j, f in enumerate(fs))
            if self.together:
                at = jax.lax.dynamic_index_in_dim(ys, i[0], 1, keepdims=False)
                ys = jax.lax.dynamic_update_index_in_dim(ys, select(moves, y, at), i[0], 1)
            else:
                where = jnp.where(due & moves, i, number)
                ys = ys.at[lane, where].set(y, mode="drop")
            return i + due.astype(i.dtype), ys

        return jax.lax.while_loop(lambda state: jnp.any(pending(state[0])), one, (head.saved, ys))

    # -- all steps

    def march(self, head: Head, ys, lane, until: int):
        """Steps until no more than `until` lanes are on their way."""
        going = lambda head: jnp.sum(self.active(head)) > until

        def attempts(state):
            room = lambda s: going(s[0]) if self.plan.stride == 1 else going(s[0]) & ~s[2].full
            return jax.lax.while_loop(room, lambda s: self.attempt(s[0], s[1], s[2], lane), state)

        state = head, ys, Trail.blank(self.plan, head, lane)
        if self.plan.stride == 1:
            return attempts(state)

        def leg(state):
            head, ys, trail = attempts(state)
            return head, ys, trail.thinned()

        return jax.lax.while_loop(lambda s: going(s[0]), leg, state)


def narrow(full: Solve, head: Head, ys, width: int, until: int):
    """The march of `width` lanes: those still on their way, and as many others as it takes."""
    lane = jnp.argsort(~full.active(head), stable=True)[:width]
    part, ys, trail = full.taking(lane).march(jax.tree.map(lambda x: x[lane], head), ys, lane, until)
    return jax.tree.map(lambda x, new: x.at[lane].set(new), head, part), ys, trail


def solve(plan: Plan, lanes: Lanes, field: Callable, arrays, ts: Float[Array, "clock time"], y0):
    """States at the save times (lane, time, state), where each lane ended, and the trails back."""
    full = Solve(plan, lanes, field, arrays, Times.of(ts))
    head, ys = full.start(y0), full.first_saves(y0)
    widths = plan.widths(lanes)
    trails = []
    for width, until in zip(widths, [*widths[1:], 0], strict=True):
        if width == lanes.number:
            head, ys, trail = full.march(head, ys, jnp.arange(width), until)
        else:
            head, ys, trail = narrow(full, head, ys, width, until)
        trails.append(trail)
    unfinished = (head.status == SUCCESS) & (head.sigma < 1)
    return ys, head._replace(status=jnp.where(unfinished, TOO_MANY_STEPS, head.status)), trails
