"""The solve: adaptive steps of an explicit Runge-Kutta method for all lanes side by side, saved at given times.

A group of lanes has one step: all lanes (`shared`), or each lane is a group of its own. Time is sigma, from 0 to 1,
and the field's t = t0 + (t1 - t0) sigma. What the backward pass needs goes into a `Trail`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ctmodels._integrate._engine._carry import Head, Trail, Visit
from ctmodels._integrate._engine._control import Memory, adapt, first_step, scaled_error
from ctmodels._integrate._engine._lanes import Lanes, per_lane, select
from ctmodels._integrate._engine._loops import while_loop
from ctmodels._integrate._engine._plan import Plan, Times, end_of
from ctmodels._output import NON_FINITE, STEP_UNDERFLOW, SUCCESS, TOO_MANY_STEPS, gather, is_largest

STRIKES = 12  # more tries that are not finite than steps since, after which a lane is given up


class Solve:
    """One solve: what does not change while it runs."""

    def __init__(self, plan: Plan, lanes: Lanes, field: Callable, arrays, times: Times):
        self.plan, self.lanes, self.field, self.arrays, self.times = plan, lanes, field, arrays, times
        self.groups = 1 if plan.shared else lanes.number
        self.together = self.groups == 1 and times.t0.shape[0] == 1  # one clock: all lanes save at once
        span = jax.lax.stop_gradient(jnp.abs(times.span))
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
        # Step sizes carry no derivative, forwards or of second order either.
        h = jax.lax.stop_gradient(first_step(plan.controller, plan.method, evaluate, norm, y0, f, length))
        none = jnp.zeros(self.groups, jnp.int32)
        begun = jnp.sum(times.sigma <= 0, axis=1, dtype=jnp.int32)
        saved = begun if self.together else jnp.broadcast_to(begun, (n,))
        return Head(
            y0, f if plan.method.fsal else f[:, :0], sigma, h, Memory.none(self.groups, dtype), none, none,
            jnp.full(self.groups, jnp.inf, dtype), jnp.zeros(self.groups, dtype),
            jnp.where(alive, SUCCESS, NON_FINITE).astype(jnp.int32), jnp.zeros(n, jnp.int32),
            saved, jnp.broadcast_to(jnp.where(alive, begun, 0), (n,)),
            jnp.broadcast_to(sigma, (n,)),
            {name: jnp.zeros(n, y0.dtype) for name in plan.names},
            {name: jnp.full(n, -1, dtype) for name in plan.names if is_largest(name)},
            {rule: Visit(jnp.zeros(n, dtype), jnp.zeros(n, dtype), y0, self.draws(y0, dtype)) for rule in plan.visits},
        )  # fmt: skip

    def draws(self, y0, dtype) -> Float[Array, " lane"]:
        return self.lanes.map(lambda arrays, y: arrays[-1].astype(dtype), self.arrays, y0)

    def first_saves(self, y0) -> Float[Array, "lane time state"]:
        """Save times at the start are behind; what is not reached stays NaN."""
        blank = y0[:, None] if self.plan.hold else jnp.full_like(y0[:, None], jnp.nan)
        at_start = (self.times.sigma <= 0)[:, :, None]
        n, size = self.times.sigma.shape[1], y0.shape[1]
        return jnp.broadcast_to(jnp.where(at_start, y0[:, None], blank), (self.lanes.number, n, size))

    # -- one step

    def attempt(self, head: Head, ys, trail: Trail | None, lane):
        plan, method = self.plan, self.plan.method
        active, alive = self.active(head), head.status == SUCCESS
        b = end_of(head.sigma, head.h)
        h = b - head.sigma
        H = self.times.span * jnp.where(active, h, 0)
        t = self.times.at(head.sigma)
        y1, fs, error, found = self.lanes.map(self.step, self.arrays, alive, t, H, head.y, head.f)
        square = jax.lax.stop_gradient(scaled_error(plan.controller, head.y, y1, error))
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
            *self.account(head, moves, h, found),
        )  # fmt: skip
        if trail is not None:
            trail = trail.note(head, jnp.where(accept, h, 0), jnp.any(accept).astype(jnp.int32), lane)
        return new, ys, trail

    def step(self, arrays, alive, t, h, y, f):
        return self.plan.step(self.field, self.lanes.axes, arrays, alive, t, h, y, f)

    def account(self, head: Head, moves, h, found: dict[str, Array]) -> tuple[dict, dict, dict]:
        """Measures, where the largest are, and the steps remembered, with one more step."""
        found = {name: jnp.where(moves, m, 0) for name, m in found.items()}
        totals = {name: gather(name, head.measured[name], m) for name, m in found.items()}
        higher = lambda name: found[name] > head.measured[name]
        peaks = {name: jnp.where(higher(name), head.sigma, at) for name, at in head.peaks.items()}
        nth = head.accepted + 1
        visits = {rule: getattr(v, rule)(moves, head.sigma, h, head.y, nth) for rule, v in head.visits.items()}
        return totals, peaks, visits

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

        return while_loop(lambda state: jnp.any(pending(state[0])), one, (head.saved, ys))

    # -- all steps

    def march(self, head: Head, ys, trail: Trail | None, lane, until: int):
        """Steps until no more than `until` lanes are on their way."""
        going = lambda head: jnp.sum(self.active(head)) > until

        def attempts(state):
            room = lambda s: going(s[0]) if self.plan.stride == 1 else going(s[0]) & ~s[2].full
            return while_loop(room, lambda s: self.attempt(s[0], s[1], s[2], lane), state)

        state = head, ys, trail
        if self.plan.stride == 1:
            return attempts(state)

        def leg(state):
            head, ys, trail = attempts(state)
            # A loop, and no `cond`: it leaves the buffers where they are.
            return head, ys, while_loop(lambda trail: trail.full, Trail.thinned, trail)

        return while_loop(lambda s: going(s[0]), leg, state)


def narrow(full: Solve, head: Head, ys, trail: Trail | None, width: int, until: int):
    """The march of `width` lanes: those still on their way, and as many others as it takes."""
    lane = jnp.argsort(~full.active(head), stable=True)[:width]
    part, ys, trail = full.taking(lane).march(jax.tree.map(lambda x: x[lane], head), ys, trail, lane, until)
    head = jax.tree.map(lambda x, new: x.at[lane].set(new), head, part)
    return head, ys, None if trail is None else trail.resting(lane)


def solve(plan: Plan, lanes: Lanes, field: Callable, arrays, ts: Float[Array, "clock time"], y0):
    """States at the save times (lane, time, state), where each lane ended, and the trail back, if there is a way."""
    full = Solve(plan, lanes, field, arrays, Times.of(ts))
    head, ys = full.start(y0), full.first_saves(y0)
    widths, everyone = plan.widths(lanes), jnp.arange(lanes.number)
    untils = [*widths[1:], 0]
    head, ys, trail = full.march(head, ys, Trail.blank(plan, head), everyone, untils[0])
    trail = None if trail is None else trail.resting(everyone)
    for width, until in zip(widths[1:], untils[1:], strict=True):
        head, ys, trail = narrow(full, head, ys, trail, width, until)
    unfinished = (head.status == SUCCESS) & (head.sigma < 1)
    return ys, head._replace(status=jnp.where(unfinished, TOO_MANY_STEPS, head.status)), trail
