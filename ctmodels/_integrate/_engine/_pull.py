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
from ctmodels._integrate._engine._plan import Attempt, Plan, Times, end_of
from ctmodels._integrate._engine._saves import SaveCotangents, pull_back_saves


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

    ys: Float[Array, "lane time state"]
    measured: dict[str, Float[Array, " lane"]]
    reached: Int[Array, " lane"]  # how many of its states each lane did return
    maximum_at: dict[str, Float[Array, " lane"]]  # of a maximum over steps, sigma of the step that has it


class AdjointState(NamedTuple):
    """Cotangents on their way back: of the state, of the slope there, of the save times, of the arrays."""

    y: Float[Array, "lane state"]
    f: Float[Array, "lane state"]
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

    def step(self, arrays, draws, live, t, h, y, f) -> Attempt:
        """One lane's step, without the error, which carries no cotangent."""
        taken = self.plan.step(self.field, self.lanes.axes, arrays, draws, live, t, h, y, f)
        return taken._replace(error=None)

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
        own_or_taken = lambda x: select(live, x, x[a_live_one][None])
        return own_or_taken(t) if t.shape == live.shape else t, H, own_or_taken(y), own_or_taken(f)

    def pull_back(self, state: AdjointState, start: tuple[Array, Array, Array], h) -> AdjointState:
        """Cotangents at the end of a step as those at its start: sigma, state and slope."""
        sigma, y, f = start
        method, live = self.plan.method, self.live(sigma, h)
        moved = self.lanewise(live, sigma, h, y, f)
        zero = jnp.zeros_like(y)
        slopes = (zero,) * method.stages
        if method.fsal:
            slopes = (*slopes[:-1], select(live, state.f, zero))
        t, length, ts = self.no_times()
        saves = SaveCotangents(
            left=state.left, y=zero, y1=select(live, state.y, zero), slopes=slopes, t=t, h=length, ts=ts
        )
        saves = pull_back_saves(self, saves, live, sigma, h, moved)
        counts = {name: live & self.has_maximum(name, sigma, h) for name in self.cotangents.measured}
        measured = {name: jnp.where(counts[name], c, 0) for name, c in self.cotangents.measured.items()}
        end = Attempt(y1=saves.y1, slopes=saves.slopes, error=None, measured=measured)
        arrays, ct_t, ct_h, ct_y, ct_f = self.pull(self.step, moved, end, (self.draws, live))
        some = jnp.any(live)
        ts = state.ts
        if self.wanted.ts:
            ts = ts + saves.ts + self.at_ends(live, sigma, h, ct_t + saves.t, ct_h + saves.h)
        return AdjointState(
            y=select(live, ct_y + saves.y, state.y),
            f=select(live, ct_f, state.f),
            ts=ts,
            arrays=[a + jnp.where(some, b, 0) for a, b in zip(state.arrays, arrays, strict=True)],
            left=saves.left,
        )

    def has_maximum(self, name: str, sigma, h):
        """Whether this step counts for a measure: of a maximum over steps, the one that began near enough to it."""
        return abs(self.cotangents.maximum_at[name] - sigma) < h / 2 if is_largest(name) else True

    def at_ends(self, live, sigma, h, ct_t, ct_h):
        """The step from a to b has t = a and h = b - a: a is t0 of the first step, b is t1 of the last."""
        first = jnp.where(live & (sigma == 0), ct_t - ct_h, 0)
        last = jnp.where(live & (end_of(sigma, h) == 1), ct_h, 0)
        ts = jnp.zeros((self.lanes.number, self.times.sigma.shape[1]), ct_t.dtype)
        return ts.at[:, 0].add(first).at[:, -1].add(last)

    def take_again(self, start: tuple[Array, Array, Array], h) -> tuple[Array, Array, Array]:
        """The step once more, forwards: sigma, state and slope at its end, from those at its start."""
        sigma, y, f = start
        live = self.live(sigma, h)
        tried = self.lanes.map(self.step, self.arrays, self.draws, live, *self.lanewise(live, sigma, h, y, f))
        f1 = select(live, tried.slopes[-1], f) if self.plan.method.fsal else f
        return jnp.where(h > 0, end_of(sigma, h), sigma), select(live, tried.y1, y), f1
