"""The discrete adjoint of one step: it is taken again and pulled back, of many lanes at once.

Of the times, the first step's length carries t0's cotangent, the last one's t1's, and the interpolant those of the save
times; the other steps' lengths carry none.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._core._output import is_largest
from ctmodels._integrate._engine._draws import Draws
from ctmodels._integrate._engine._lanes import Lanes, select
from ctmodels._integrate._engine._plan import Plan, Times, end_of
from ctmodels._integrate._engine._saves import pull_back_saves
from ctmodels._integrate._engine._stages import StepCotangents, pull_back_at_once, pull_back_stages
from ctmodels._integrate._engine._state import State


class Wanted(NamedTuple):
    """Of what cotangents are wanted: of the times, and of which of the arrays that the field closes over."""

    ts: bool
    arrays: tuple[bool, ...]

    def split(self, arrays) -> list:
        return [x for x, want in zip(arrays, self.arrays, strict=True) if want]

    def merge(self, wanted, arrays) -> list:
        wanted = iter(wanted)
        return [next(wanted) if want else x for x, want in zip(arrays, self.arrays, strict=True)]


class Cotangents(NamedTuple):
    """Of what the solve returned, and what says which of its steps they concern."""

    ys: State  # (lane, time)
    measured: dict[str, Float[Array, " lane"]]
    reached: Int[Array, " lane"]  # how many of its states each lane did return
    maximum_at: dict[str, Float[Array, " lane"]]  # of a maximum over steps, sigma of the step that has it


class AdjointState(NamedTuple):
    """Cotangents on their way back: of the state, of the slope there, of the save times, of the arrays."""

    y: State
    f: State  # without entries if it is pulled back within its step
    ts: Float[Array, "lane time"]  # of length zero if not wanted
    arrays: list[Array]
    left: Int[Array, " clock"]  # save times that are still to give theirs


class Backward:
    """The backward pass of some lanes: what does not change on it."""

    def __init__(
        self,
        plan: Plan,
        lanes: Lanes,
        field: Callable,
        arrays,
        draws: Draws,
        wanted: Wanted,
        times: Times,
        cotangents: Cotangents,
    ):
        self.plan, self.lanes, self.field, self.arrays, self.draws = plan, lanes, field, arrays, draws
        self.wanted, self.times, self.cotangents = wanted, times, cotangents
        self.groups = 1 if plan.shared else lanes.number
        self.together = self.groups == 1 and times.common
        sigma = jnp.broadcast_to(times.sigma, (lanes.number, times.sigma.shape[1]))
        last = jnp.take_along_axis(sigma, jnp.maximum(cotangents.reached - 1, 0)[:, None], 1)[:, 0]
        self.last = jnp.where(cotangents.reached > 0, last, -1)  # what lies behind has no cotangent

    def for_lanes(self, lane) -> "Backward":
        """The same, of fewer lanes."""
        return Backward(
            plan=self.plan,
            lanes=self.lanes.narrowed(lane.shape[0]),
            field=self.field,
            arrays=self.lanes.take(self.arrays, lane),
            draws=jax.tree.map(lambda x: x[lane], self.draws),
            wanted=self.wanted,
            times=self.times.for_lanes(lane),
            cotangents=jax.tree.map(lambda x: x[lane], self.cotangents),
        )

    def zeros(self) -> list[Array]:
        """A cotangent for each array, or for each array and lane if they are not to be summed."""
        arrays = self.wanted.split(self.arrays)
        if self.plan.summed:
            return [jnp.zeros_like(x) for x in arrays]
        owned = self.wanted.split(self.lanes.owned)
        return [
            jnp.zeros((self.lanes.number, *x.shape[sum(own) :]), x.dtype) for x, own in zip(arrays, owned, strict=True)
        ]

    def no_times(self) -> tuple[Array, Array, Array]:
        """Cotangents of zero: of each lane's t and h, and of its save times, which have no entries if not wanted."""
        none = jnp.zeros(self.lanes.number, self.times.t0.dtype)
        return none, none, jnp.zeros((self.lanes.number, self.times.sigma.shape[1] * self.wanted.ts), none.dtype)

    def pull(self, f: Callable, lanewise: tuple, cotangent, fixed: tuple = ()) -> tuple:
        """Cotangents of the arrays and of `lanewise`, for f(arrays, *fixed, *lanewise) of one lane."""
        wanted = self.wanted
        if self.plan.summed:
            over = lambda some, *lanewise: self.lanes.map(f, wanted.merge(some, self.arrays), *fixed, *lanewise)
            return jax.vjp(over, wanted.split(self.arrays), *lanewise)[1](cotangent)

        def one(arrays, cotangent, fixed, *lanewise):
            over = lambda some, *lanewise: f(wanted.merge(some, arrays), *fixed, *lanewise)
            return jax.vjp(over, wanted.split(arrays), *lanewise)[1](cotangent)

        return self.lanes.map(one, self.arrays, cotangent, fixed, *lanewise)

    def step(self, t, h, y: State, f: State) -> tuple[State, tuple[State, ...]]:
        """Of each lane, taken again: y1 and the slopes."""

        def taken(arrays, t, h, y, f):
            slope = lambda t, y: self.field(arrays, t, y)
            return self.plan.method.step(slope, t, h, y, f if self.plan.carries_slope else slope(t, y))

        return self.lanes.map(taken, self.arrays, t, h, y, f)

    def live(self, sigma, h):
        """Lanes whose step was accepted, and mattered."""
        return (h > 0) & (sigma < self.last)

    def lanewise(self, live, sigma, h, y, f):
        """Time, length, state and slope of each lane's step. A lane at rest takes the state of a moving one: its own
        may be one at which the field is not finite, which would make NaN of a cotangent of zero."""
        t, H = self.times.at(sigma), self.times.span * h
        if self.groups > 1 or t.shape[0] > 1 or self.wanted.ts:
            t, H = jnp.broadcast_to(t, live.shape), jnp.where(live, H, 0)
        a_live_one = jnp.argmax(live)
        own_or_taken = lambda x: select(live, x, jax.tree.map(lambda x: x[a_live_one][None], x))
        return own_or_taken(t) if t.shape == live.shape else t, H, own_or_taken(y), own_or_taken(f)

    def pull_back(self, state: AdjointState, start: tuple[Array, State, State], h) -> AdjointState:
        """Cotangents at the end of a step as those at its start: sigma, state and slope."""
        sigma, y, f = start
        live = self.live(sigma, h)
        some = jnp.any(live)
        moved = self.lanewise(live, sigma, h, y, f)
        taken = self.step(*moved) if self.plan.by_components or self.wanted.ts else None
        step = pull_back_saves(self, self.given(state, live, y), live, sigma, h, moved, taken)
        of_measures = {
            name: jnp.where(live & self.has_maximum(name, sigma, h), c, 0)
            for name, c in self.cotangents.measured.items()
        }
        pull_back = pull_back_stages if self.plan.by_components else pull_back_at_once
        arrays, ct_t, ct_h, ct_y, ct_f = pull_back(self, live, moved, taken, step, of_measures)
        ts = state.ts
        if self.wanted.ts:
            ts = ts + step.ts + self.at_ends(live, sigma, h, ct_t, ct_h)
        return AdjointState(
            y=select(live, ct_y, state.y),
            f=select(live, ct_f, state.f),
            ts=ts,
            arrays=[a + jnp.where(some, b, 0) for a, b in zip(state.arrays, arrays, strict=True)],
            left=step.left,
        )

    def given(self, state: AdjointState, live, y: State) -> StepCotangents:
        """Of a step's parts, before what lies within it gives its own."""
        zero = y.map(jnp.zeros_like)
        slopes = (zero,) * self.plan.method.stages
        if self.plan.carries_slope:
            slopes = (*slopes[:-1], select(live, state.f, zero))
        t, h, ts = self.no_times()
        return StepCotangents(left=state.left, y=zero, y1=select(live, state.y, zero), slopes=slopes, t=t, h=h, ts=ts)

    def has_maximum(self, name: str, sigma, h):
        """Whether this step counts for a measure: of a maximum over steps, the one that began near enough to it."""
        return abs(self.cotangents.maximum_at[name] - sigma) < h / 2 if is_largest(name) else True

    def at_ends(self, live, sigma, h, ct_t, ct_h):
        """The step from a to b has t = a and h = b - a: a is t0 of the first step, b is t1 of the last."""
        first = jnp.where(live & (sigma == 0), ct_t - ct_h, 0)
        last = jnp.where(live & (end_of(sigma, h) == 1), ct_h, 0)
        ts = jnp.zeros((self.lanes.number, self.times.sigma.shape[1]), ct_t.dtype)
        return ts.at[:, 0].add(first).at[:, -1].add(last)

    def take_again(self, start: tuple[Array, State, State], h) -> tuple[Array, State, State]:
        """The step once more, forwards: sigma, state and slope at its end, from those at its start."""
        sigma, y, f = start
        live = self.live(sigma, h)
        y1, slopes = self.step(*self.lanewise(live, sigma, h, y, f))
        f1 = select(live, slopes[-1], f) if self.plan.carries_slope else f
        return jnp.where(h > 0, end_of(sigma, h), sigma), select(live, y1, y), f1
