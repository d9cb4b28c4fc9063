"""What is known before a solve runs: its plan, and its times."""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._integrate._engine._control import tolerance
from ctmodels._integrate._engine._lanes import Lanes, Size
from ctmodels._integrate._engine._tableau import Method
from ctmodels.measures import Measure
from ctmodels.measures._measure import measured
from ctmodels.measures._step import rms, rms_over

NARROWER = 8  # a batch whose lanes are nearly all done goes on with this fraction of its width


class Plan(NamedTuple):
    """What is known before anything runs."""

    method: Method
    controller: diffrax.PIDController
    max_steps: int
    buffer: int  # states kept on the way, an even number
    measures: tuple[Measure, ...]
    shared: bool  # one step for all lanes
    summed: bool  # cotangents of what lanes have in common: summed over them, or one for each
    hold: bool  # what a failed lane did not reach is its initial state, not NaN
    noisy: bool  # the last array (but one, if there are visits) is the noise that measures ask for
    visits: tuple[str, ...]  # rules by which one step of each lane is remembered; the last array draws it
    backwards: bool = True  # whether there will be a way back, for which states are kept

    @property
    def stride(self) -> int:
        """The largest number of steps from one kept state to the next: a power of two."""
        stride = 1
        while self.backwards and stride * self.buffer < self.max_steps:
            stride *= 2
        return stride

    @property
    def names(self) -> tuple[str, ...]:
        return tuple(m.name for m in self.measures)

    def step(self, field: Callable, axes: tuple[str, ...], arrays, alive, t, h, y, f) -> tuple:
        """One lane's step: new state, slopes, error and measures."""
        method, at = self.method, lambda t, y: field(arrays, t, y)
        y1, fs = method.step(at, t, h, y, f)
        found = {}
        if self.measures:
            noise = arrays[-1 - bool(self.visits)] if self.noisy else None
            norm = rms_over(alive, axes) if self.shared and axes else rms
            by = tolerance(self.controller, y, y1)
            found = measured(self.measures, method.taken(at, t, h, y, y1, fs, tolerance=by, noise=noise, norm=norm))
        return y1, fs, method.error(h, fs), found

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


def end_of(sigma, h):
    """Where a step ends: a rest too short to be a step is taken along."""
    return jnp.where(sigma + h >= 1 - 16 * jnp.finfo(h.dtype).eps, 1, sigma + h)
