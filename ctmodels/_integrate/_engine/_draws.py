"""What a solve draws at random, by name."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
from jaxtyping import Array, Float

from ctmodels.measures import Measure


class Draws(NamedTuple):
    """What one sample's solve draws, once, before it begins; None for what nothing asks for.

    It is handed on by these names, with the axes of lanes in front where lanes are solved side by side.
    """

    noise: Float[Array, "*lane state"] | None = None  # -1 or 1 for each entry of the state: of measures that want it
    time: Float[Array, "*lane"] | None = None  # from 0 to 1: decides which step a local measure is of

    @classmethod
    def for_measures(cls, measures: Sequence[Measure], key, y0) -> "Draws":
        """Those that these measures ask for; `key`: None is for the same ones each time."""
        noisy, sampling = any(m.needs_noise for m in measures), any(m.sampling for m in measures)
        if not noisy and not sampling:
            return cls()
        of_noise, of_time = jax.random.split(jax.random.key(0) if key is None else key)
        return cls(
            noise=jax.random.rademacher(of_noise, y0.shape, y0.dtype) if noisy else None,
            time=jax.random.uniform(of_time, (), y0.dtype) if sampling else None,
        )
