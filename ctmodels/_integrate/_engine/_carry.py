"""The carry of the forward loop: where a solve is."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._integrate._engine._control import Memory
from ctmodels._integrate._engine._lanes import select
from ctmodels._integrate._engine._state import State


class SampledStep(NamedTuple):
    """One step of each lane, for a local measure, by where it began and its length. `draw`, from 0 to 1, decides
    which."""

    sigma: Float[Array, " l"]
    h: Float[Array, " l"]
    y: State
    draw: Float[Array, " l"]

    @classmethod
    def before_any(cls, y0: State, draw: Float[Array, " l"]) -> "SampledStep":
        none = jnp.zeros_like(draw)
        return cls(sigma=none, h=none, y=y0, draw=draw)

    def uniform_in_time(self, moves, sigma, h, y, nth) -> "SampledStep":
        """The step that contains sigma = draw."""
        return self.replaced(moves & (sigma <= self.draw), sigma, h, y)

    def uniform_over_steps(self, moves, sigma, h, y, nth) -> "SampledStep":
        """Each step is as likely as the others, however many there will be: the n-th takes the place of the one
        sampled so far with probability 1 / n. What this decision leaves of the draw is uniform again."""
        chance = 1 / nth.astype(self.draw.dtype)
        take = self.draw < chance
        rest = (self.draw - chance) / jnp.where(chance < 1, 1 - chance, 1)
        draw = jnp.where(take, self.draw / chance, rest)
        return self.replaced(moves & take, sigma, h, y)._replace(draw=jnp.where(moves, draw, self.draw))

    def replaced(self, take, sigma, h, y) -> "SampledStep":
        """Of the lanes that `take` it, the new step."""
        return self._replace(
            sigma=jnp.where(take, sigma, self.sigma), h=jnp.where(take, h, self.h), y=select(take, y, self.y)
        )


# The rules of `measures.local_measure`: whether the next accepted step takes the place of the one sampled.
RULES: dict[str, Callable[..., SampledStep]] = {
    "unbiased": SampledStep.uniform_in_time,
    "biased": SampledStep.uniform_over_steps,
}


class Carry(NamedTuple):
    """Where each lane (l) or group (g) is."""

    y: State
    f: State  # the slope there, if the method is FSAL; else without entries
    sigma: Float[Array, " g"]
    h: Float[Array, " g"]  # the next step's length
    memory: Memory
    accepted: Int[Array, " g"]
    rejected: Int[Array, " g"]
    shortest: Float[Array, " g"]
    longest: Float[Array, " g"]
    status: Int[Array, " l"]
    failures: Int[Array, " l"]  # tries that were not finite, less those that were
    saved: Int[Array, " clock"]  # save times behind
    reached: Int[Array, " l"]  # the same, of lanes that have not failed
    sigma_reached: Float[Array, " l"]  # likewise
    measured: dict[str, Float[Array, " l"]]
    maximum_at: dict[str, Float[Array, " l"]]  # of a maximum over steps, sigma of the step that has it
    sampled: dict[str, SampledStep]  # by rule
