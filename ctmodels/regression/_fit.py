"""How well a regression went."""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels.regression._ridge import root_mean_squares


class Fit(NamedTuple):
    """How well a model fits what it was fitted to.

    - `error`: of one step, as a share of what a step changes (of a law: of slopes, as a share of these), root mean
        square, `(channels,)`: 1 is no better than to say that nothing moves.
    - `rows`: how many rows were used: those of which all was observed.
    - `inclusion`: of a law, in what share of resampled data sets each term stayed, `(channels, term)`; else None.
    """

    error: Float[Array, "*batch channel"]
    rows: Float[Array, "*batch"]
    inclusion: Float[Array, "*batch channel term"] | None = None


def judged(found, wanted, changes, weights, inclusion=None) -> Fit:
    """By rows `(row, channel)` that have a weight."""
    of = lambda columns: root_mean_squares(columns, weights)
    error = jnp.where(weights[:, None] > 0, found - wanted, 0)
    # What is zero throughout counts as one there: a perfect fit would have an error of one.
    perfect = jnp.all(error == 0, axis=0)
    return Fit(jnp.where(perfect, 0, of(error)) / of(changes), jnp.sum(weights), inclusion)
