"""What a solve draws, and the measures of one step that it samples."""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import jax
from jaxtyping import Array, Float

from ctmodels._integrate._engine._control import tolerance
from ctmodels._integrate._engine._tableau import Method
from ctmodels.measures import Measure


class Chance(NamedTuple):
    """What a solve draws once, if its account asks for it: noise shaped as the state, a number from 0 to 1."""

    noise: Float[Array, " state"] | None
    draw: Float[Array, ""] | None

    @classmethod
    def drawn(cls, measures, key, y0) -> "Chance":
        noisy, drawing = any(m.needs_noise for m in measures), any(m.sampling for m in measures)
        if not noisy and not drawing:
            return cls(None, None)
        of_noise, of_draw = jax.random.split(jax.random.key(0) if key is None else key)
        return cls(
            jax.random.rademacher(of_noise, y0.shape, y0.dtype) if noisy else None,
            jax.random.uniform(of_draw, (), y0.dtype) if drawing else None,
        )


def one_step_from(
    measure: Measure, method: Method, controller: diffrax.PIDController, field: Callable, t, h, y
) -> Float[Array, ""]:
    """The measure of a step of length `h` from (t, y)."""
    t, h, y = jax.lax.stop_gradient((t, h, y))
    y1, fs = method.step(field, t, h, y, field(t, y))
    return measure.of(method.taken(field, t, h, y, y1, fs, tolerance=tolerance(controller, y, y1)))


def solution_at(method: Method, field: Callable, t, start: tuple[Array, Array]) -> Array:
    """The solution at `t`, by one step from where the solver's step that contains it began."""
    t0, y0 = start
    return method.step(field, t0, t - t0, y0, field(t0, y0))[0]
