"""The solve: adaptive steps of an explicit Runge-Kutta method for all lanes side by side, saved at given times.

A group of lanes has one step: all lanes (`shared`), or each lane is a group of its own. Time is sigma, from 0 to 1,
and the field's t = t0 + (t1 - t0) sigma. What the backward pass needs goes into a `StepHistory`.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ctmodels._core._loops import while_loop
from ctmodels._core._output import NON_FINITE, STEP_UNDERFLOW, SUCCESS, TOO_MANY_STEPS, gather, is_largest
from ctmodels._integrate._engine._carry import RULES, Carry, SampledStep
from ctmodels._integrate._engine._control import Memory, adapt, first_step, mean_square
from ctmodels._integrate._engine._draws import Draws
from ctmodels._integrate._engine._lanes import Lanes, select
from ctmodels._integrate._engine._plan import Attempt, Plan, Times, end_of
from ctmodels._integrate._engine._record import StepHistory
from ctmodels._integrate._engine._saves import save_first, save_within
from ctmodels._integrate._engine._state import State

MOST_FAILURES = 12  # tries that are not finite, less those that were, after which a lane is given up


class Forward:
    """The forward pass of some lanes: what does not change while it runs."""

    def __init__(self, plan: Plan, lanes: Lanes, field: Callable, arrays, draws: Draws, times: Times):
        self.plan, self.lanes, self.field, self.times = plan, lanes, field, times
        self.arrays, self.draws = arrays, draws
        self.groups = 1 if plan.shared else lanes.number
        self.together = self.groups == 1 and times.common  # one clock: all lanes save at once
        span = jax.lax.stop_gradient(jnp.abs(times.span))
        self.length = jnp.max(span, keepdims=True) if plan.shared else span

    def for_lanes(self, lane) -> "Forward":
        """The same, of fewer lanes."""
        lanes, draws = self.lanes.narrowed(lane.shape[0]), jax.tree.map(lambda x: x[lane], self.draws)
        arrays = self.lanes.take(self.arrays, lane)
        return Forward(self.plan, lanes, self.field, arrays, draws, self.times.for_lanes(lane))

    def slope(self, sigma, y: State) -> State:
        return self.lanes.map(self.field, self.arrays, self.times.at(sigma), y)

    def norm(self, x: State, alive) -> Float[Array, " group"]:
        """Root mean square over a group's lanes that count."""
        return self.group_error(x.mean_square(), alive)

    def group_error(self, square: Float[Array, " lane"], alive) -> Float[Array, " group"]:
        if not self.plan.shared:
            return jnp.sqrt(square)
        count = jnp.sum(alive, keepdims=True, dtype=square.dtype)
        return jnp.sqrt(jnp.sum(jnp.where(alive, square, 0), keepdims=True) / jnp.maximum(count, 1))

    def active(self, carry: Carry) -> Bool[Array, " group"]:
        alive = carry.status == SUCCESS
        alive = alive if not self.plan.shared else jnp.any(alive, keepdims=True)
        return alive & (carry.sigma < 1) & (carry.accepted + carry.rejected < self.plan.max_steps)

    # -- the beginning

    def start(self, y0: State) -> Carry:
        plan, times, n = self.plan, self.times, self.lanes.number
        dtype = times.t0.dtype
        over = jnp.broadcast_to(self.length == 0, (self.groups,))
        sigma = over.astype(dtype)
        f = self.slope(jnp.zeros_like(sigma), y0)
        alive = y0.is_finite() & f.is_finite()
        none = jnp.zeros(self.groups, jnp.int32)
        begun = jnp.sum(times.sigma <= 0, axis=1, dtype=jnp.int32)
        return Carry(
            y=y0,
            f=f if plan.method.fsal else f.nothing(),
            sigma=sigma,
            h=self.first_length(y0, f, alive, over),
            memory=Memory.none(self.groups, dtype),
            accepted=none,
            rejected=none,
            shortest=jnp.full(self.groups, jnp.inf, dtype),
            longest=jnp.zeros(self.groups, dtype),
            status=jnp.where(alive, SUCCESS, NON_FINITE).astype(jnp.int32),
            failures=jnp.zeros(n, jnp.int32),
            saved=begun if self.together else jnp.broadcast_to(begun, (n,)),
            reached=jnp.broadcast_to(jnp.where(alive, begun, 0), (n,)),
            sigma_reached=jnp.broadcast_to(sigma, (n,)),
            measured={name: jnp.zeros(n, y0.dtype) for name in plan.names},
            maximum_at={name: jnp.full(n, -1, dtype) for name in plan.names if is_largest(name)},
            sampled={
                rule: SampledStep.before_any(y0, self.draws.time.astype(dtype))  # pyright: ignore
                for rule in plan.sampling
            },
        )

    def first_length(self, y0, f, alive, over) -> Float[Array, " group"]:
        """Of the first step, in sigma. Step sizes carry no derivative, forwards or of second order either."""
        times, dtype = self.times, self.times.t0.dtype

        def evaluate(h):
            reach = jnp.where(self.length == 0, 0, h / jnp.where(self.length == 0, 1, self.length))
            return self.slope(reach, y0 + (times.span * reach).astype(y0.dtype) * f)

        norm = lambda x: self.norm(x, alive).astype(dtype)
        length = jnp.where(over, 1, self.length)
        return jax.lax.stop_gradient(first_step(self.plan.controller, self.plan.method, evaluate, norm, y0, f, length))

    # -- one step

    def attempt(self, carry: Carry, ys, history: StepHistory | None, lane):
        """One more step of the lanes that are active, accepted or not."""
        plan, method = self.plan, self.plan.method
        active, alive = self.active(carry), carry.status == SUCCESS
        end = end_of(carry.sigma, carry.h)
        h = end - carry.sigma
        H = self.times.span * jnp.where(active, h, 0)
        t = self.times.at(carry.sigma)
        tried = self.lanes.map(self.step, self.arrays, self.draws, alive, t, H, carry.y, carry.f)
        square = jax.lax.stop_gradient(mean_square(plan.controller, carry.y, tried.y1, tried.error))
        q = self.group_error(square, alive).astype(h.dtype)
        accept, h_next, memory = adapt(plan.controller, method.order, q, h, self.length, carry.memory)
        accept, reject = accept & active, ~accept & active
        moves = accept & alive
        sigma = jnp.where(accept, end, carry.sigma)
        status, failures, h_next = self.update_status(carry, active, square, sigma, h_next)
        saved, ys = save_within(self, carry, ys, end, H, accept, moves, tried, lane)
        length = jnp.abs(self.length * h)
        measured, maximum_at, sampled = self.update_measures(carry, moves, h, tried.measured)
        new = Carry(
            y=select(moves, tried.y1, carry.y),
            f=select(moves, tried.slopes[-1], carry.f) if method.fsal else carry.f,
            sigma=sigma,
            h=h_next,
            memory=memory,
            accepted=carry.accepted + accept.astype(jnp.int32),
            rejected=carry.rejected + reject.astype(jnp.int32),
            shortest=jnp.where(accept, jnp.minimum(carry.shortest, length), carry.shortest),
            longest=jnp.where(accept, jnp.maximum(carry.longest, length), carry.longest),
            status=status,
            failures=failures,
            saved=saved,
            reached=jnp.where(alive, saved, carry.reached),
            sigma_reached=jnp.where(alive, sigma, carry.sigma_reached),
            measured=measured,
            maximum_at=maximum_at,
            sampled=sampled,
        )
        if history is not None:
            history = history.with_step(carry, jnp.where(accept, h, 0), jnp.any(accept).astype(jnp.int32), lane)
        return new, ys, history

    def step(self, arrays, draws, alive, t, h, y, f) -> Attempt:
        return self.plan.step(self.field, self.lanes.axes, arrays, draws, alive, t, h, y, f)

    def update_measures(self, carry: Carry, moves, h, found: dict[str, Array]) -> tuple[dict, dict, dict]:
        """Measures, where their maxima are, and the steps sampled, with one more step."""
        found = {name: jnp.where(moves, m, 0) for name, m in found.items()}
        totals = {name: gather(name, carry.measured[name], m) for name, m in found.items()}
        higher = lambda name: found[name] > carry.measured[name]
        maximum_at = {name: jnp.where(higher(name), carry.sigma, at) for name, at in carry.maximum_at.items()}
        nth = carry.accepted + 1
        sampled = {rule: RULES[rule](s, moves, carry.sigma, h, carry.y, nth) for rule, s in carry.sampled.items()}
        return totals, maximum_at, sampled

    def update_status(self, carry: Carry, active, square, sigma, h):
        """Who fails: a lane whose step can be made no shorter, or one that is not finite again and again. Of lanes with
        a common step, the one with the largest error is to blame for its length."""
        alive = (carry.status == SUCCESS) & active
        eps = jnp.finfo(h.dtype).eps
        stuck = active & (sigma < 1) & (h <= jnp.maximum(8 * eps * sigma, eps**2))
        worst = square if not self.plan.shared else jnp.max(jnp.where(alive, square, 0), keepdims=True)
        lost = stuck & alive & (square >= worst)
        failures = jnp.where(jnp.isfinite(square), jnp.maximum(carry.failures - 1, 0), carry.failures + 1)
        lost = lost | (alive & (failures >= MOST_FAILURES))
        status = jnp.where(lost, jnp.where(jnp.isfinite(square), STEP_UNDERFLOW, NON_FINITE), carry.status)
        return status.astype(jnp.int32), failures, jnp.where(stuck, 64 * eps, h)

    # -- all steps

    def run(self, carry: Carry, ys, history: StepHistory | None, lane, until: int):
        """Steps until no more than `until` lanes are on their way."""
        going = lambda carry: jnp.sum(self.active(carry)) > until

        def attempts(state):
            room = lambda s: going(s[0]) if self.plan.stride == 1 else going(s[0]) & ~s[2].full
            return while_loop(room, lambda s: self.attempt(s[0], s[1], s[2], lane), state)

        state = carry, ys, history
        if self.plan.stride == 1:
            return attempts(state)

        def until_full(state):
            carry, ys, history = attempts(state)
            # A loop of at most one turn, and no `cond`, which copies the buffers (XLA of JAX 0.10).
            return carry, ys, while_loop(lambda history: history.full, StepHistory.thinned, history)

        return while_loop(lambda s: going(s[0]), until_full, state)


def run_few(full: Forward, carry: Carry, ys, history: StepHistory | None, width: int):
    """The run of those still on their way, `width` at a time: one loop, compiled once. All of them go on from the same
    row of the history."""
    begun = jnp.zeros((), jnp.int32) if history is None else history.count

    def one(state):
        carry, ys, history = state
        lane = jnp.argsort(idle(carry, history), stable=True)[:width]
        moving = full.active(carry)[lane]
        history = None if history is None else history._replace(count=begun)
        part, ys, history = full.for_lanes(lane).run(jax.tree.map(lambda x: x[lane], carry), ys, history, lane, 0)
        carry = jax.tree.map(lambda x, new: x.at[lane].set(new), carry, part)
        return carry, ys, None if history is None else history.ended_for(lane, moving)

    def idle(carry: Carry, history: StepHistory | None):
        """Zero of those on their way; where there is room for others, those with rows of their own come last."""
        own_rows = 0 if history is None else (history.ended > begun).astype(jnp.int32)
        return (~full.active(carry)).astype(jnp.int32) + own_rows

    return while_loop(lambda state: jnp.any(full.active(state[0])), one, (carry, ys, history))


def solve_lanes(
    plan: Plan, lanes: Lanes, field: Callable, arrays, draws: Draws, ts: Float[Array, "clock time"], y0: State
) -> tuple[State, Carry, StepHistory | None]:
    """States at the save times, where each lane ended, and the steps' history, if there is a backward pass."""
    full = Forward(plan, lanes, field, arrays, draws, Times.of(ts))
    carry, ys = full.start(y0), save_first(full, y0)
    few, everyone = plan.few(lanes), jnp.arange(lanes.number)
    carry, ys, history = full.run(carry, ys, StepHistory.blank(plan, carry), everyone, few[0] if few else 0)
    history = None if history is None else history.ended_for(everyone, jnp.ones_like(everyone, bool))
    if few:
        carry, ys, history = run_few(full, carry, ys, history, few[1])
    unfinished = (carry.status == SUCCESS) & (carry.sigma < 1)
    return ys, carry._replace(status=jnp.where(unfinished, TOO_MANY_STEPS, carry.status)), history
