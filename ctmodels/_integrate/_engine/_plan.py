"""What is known before a solve runs: its plan, and its times."""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._integrate._engine._control import tolerance
from ctmodels._integrate._engine._draws import Draws
from ctmodels._integrate._engine._lanes import Lanes
from ctmodels._integrate._engine._state import State
from ctmodels._integrate._engine._tableau import Method
from ctmodels.measures import Measure
from ctmodels.measures._measure import measured
from ctmodels.measures._step import rms, rms_over

FEW = 8  # what part of a batch may be left when the loop goes on with a few lanes at a time, which are at most
WIDTH, SMALL_WIDTH = 8, 128  # so many, where states are whole and by components: a step of these costs that of a few


class Attempt(NamedTuple):
    """What a step of one lane comes to, before it is accepted or rejected."""

    y1: State
    slopes: tuple[State, ...]
    error: State | None
    measured: dict[str, Float[Array, "*lane"]]


class Plan(NamedTuple):
    """What is known before anything runs."""

    method: Method
    controller: diffrax.PIDController
    max_steps: int
    buffer: int  # states kept on the way, an even number
    measures: tuple[Measure, ...]  # of each accepted step
    shared: bool  # one step for all lanes
    summed: bool  # cotangents of what lanes have in common: summed over them, or one for each
    hold: bool  # what a failed lane did not reach is its initial state, not NaN
    sampling: tuple[str, ...]  # rules by which one step of each lane is sampled
    by_components: bool  # how states are laid out
    backwards: bool = True  # whether there will be a backward pass, for which states are kept

    @property
    def stride(self) -> int:
        """The largest number of steps from one kept state to the next: a power of two."""
        stride = 1
        while self.backwards and stride * self.buffer < self.max_steps:
            stride *= 2
        return stride

    @property
    def carries_slope(self) -> bool:
        """Whether a step's first slope is kept for the backward pass, and its cotangent goes on to the step before, of
        which it is the last one: of large states, where a slope is what costs."""
        return self.method.fsal and not self.by_components

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(m.name for m in self.measures)

    def step(
        self, field: Callable, axes: tuple[str, ...], arrays, draws: Draws, alive, t, h, y: State, f: State
    ) -> Attempt:
        """One lane's step. `axes`: names of the lanes' axes, over which lanes with a common step take their norm."""
        y1, slopes = self.method.step(lambda t, y: field(arrays, t, y), t, h, y, f)
        found = self.measure(field, axes, arrays, draws, alive, t, h, y, y1, slopes)
        return Attempt(y1=y1, slopes=slopes, error=self.method.error(h, slopes), measured=found)

    def measure(
        self, field: Callable, axes: tuple[str, ...], arrays, draws: Draws, alive, t, h, y: State, y1: State, slopes
    ) -> dict[str, Float[Array, ""]]:
        """The measures of one lane's step."""
        if not self.measures:
            return {}
        norm = rms_over(alive, axes) if self.shared and axes else rms
        of_array = lambda t, x: field(arrays, t, y.like(x)).array()
        ends, k = (y.array(), y1.array()), [f.array() for f in slopes]
        by = tolerance(self.controller, *ends)
        step = self.method.taken(of_array, t, h, *ends, k, tolerance=by, noise=draws.noise, norm=norm)
        return measured(self.measures, step)

    def few(self, lanes: Lanes) -> tuple[int, int] | None:
        """How many lanes may be left when the loop goes on with few at a time, and how many these are; None: it goes on
        with all. Where steps are common there are no few, and in an exported model, which takes any batch, the number
        is not known."""
        part = FEW**2 if self.by_components else FEW
        if self.shared or not lanes.simple or not isinstance(lanes.number, int) or lanes.number < 4 * part:
            return None
        few = lanes.number // part
        return few, min(few, SMALL_WIDTH if self.by_components else WIDTH)


class Times(NamedTuple):
    """`t0`, `span`, and the save times as `sigma`: for all lanes alike (a leading axis of one), or for each."""

    t0: Float[Array, " clock"]
    span: Float[Array, " clock"]
    sigma: Float[Array, "clock time"]

    @classmethod
    def of(cls, ts: Float[Array, "clock time"]) -> "Times":
        t0, span = ts[:, 0], ts[:, -1] - ts[:, 0]
        rise = ts - ts[:, :1]
        sigma = jnp.where(span[:, None] == 0, 0, rise / jnp.where(span == 0, 1, span)[:, None])
        return cls(t0=t0, span=span, sigma=sigma)

    @property
    def common(self) -> bool:
        """Whether all lanes have the same."""
        return self.t0.shape[0] == 1

    def at(self, sigma: Float[Array, " group"]) -> Float[Array, " lane"]:
        """The time t that is `sigma` of the way from t0 to t1."""
        return self.t0 + self.span * sigma

    def nth(self, i: Int[Array, " clock"]) -> Float[Array, " clock"]:
        """Sigma of the i-th save time of each lane, or of all."""
        if self.sigma.shape[0] == 1:
            return self.sigma[0, i]
        return jnp.take_along_axis(self.sigma, i[:, None], 1)[:, 0]

    def for_lanes(self, lane: Int[Array, " lane"]) -> "Times":
        return self if self.common else jax.tree.map(lambda x: x[lane], self)


def end_of(sigma, h):
    """Where a step ends: a rest too short to be a step is taken along."""
    return jnp.where(sigma + h >= 1 - 16 * jnp.finfo(h.dtype).eps, 1, sigma + h)
