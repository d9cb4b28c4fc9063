"""Local regularisation: the solver's heuristics at one random time (Pal, Edelman, Rackauckas 2023)."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import diffrax
import jax
from jaxtyping import Array, Float

from ctmodels._integrate._account import Measure, needs_noise
from ctmodels._integrate._control import tolerance
from ctmodels._integrate._measures import eigenvalue, scaled_error
from ctmodels._integrate._tableau import Method

RULES = ("unbiased", "biased")
OF = {"error": scaled_error, "stiffness": eigenvalue}


@dataclasses.dataclass(frozen=True)
class local:
    """One more step from a random time t_reg of the solution, as long as the solver's there: q |h| of it, or
    S / (stability size). The gradient is that of this step alone: neither where it begins nor its length carry any, so
    that every adjoint will do. Each sample has a time of its own, and it is new with each `key`.

    With the biased rule it is one term, drawn at random, of the mean that `scaled_error` takes over all steps, and
    weights are the same. The authors' code begins a new solve at t_reg, with the short step that begins a solve: in
    float32 the error of that is rounding.

    - `rule`: `"unbiased"` draws t_reg uniformly in time, `"biased"` uniformly from where the solver's steps began.
    - `of`: `"error"` or `"stiffness"`.
    """

    rule: str = "unbiased"
    of: str = "error"

    def __post_init__(self):
        for name, value, known in (("rule", self.rule, RULES), ("of", self.of, tuple(OF))):
            if value not in known:
                raise ValueError(f"local: {name}={value!r} must be one of {', '.join(map(repr, known))}")

    @property
    def __name__(self) -> str:
        return f"local_{self.of}_{self.rule}"

    @property
    def measure(self) -> Measure:
        return OF[self.of]


class Chance(NamedTuple):
    """What a solve draws once, if its account asks for it: noise shaped as the state, a number from 0 to 1."""

    noise: Float[Array, " state"] | None
    draw: Float[Array, ""] | None

    @classmethod
    def drawn(cls, measures, key, y0) -> "Chance":
        noisy, drawing = any(map(needs_noise, measures)), any(isinstance(m, local) for m in measures)
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
    return measure(method.taken(field, t, h, y, y1, fs, tolerance=tolerance(controller, y, y1)))


def solution_at(method: Method, field: Callable, t, start: tuple[Array, Array]) -> Array:
    """The solution at `t`, by one step from where the solver's step that contains it began."""
    t0, y0 = start
    return method.step(field, t0, t - t0, y0, field(t0, y0))[0]
