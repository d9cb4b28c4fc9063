"""Sizes of layers, and steps by which gaps are multiplied."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import check_key, check_whole


def check_sizes(key, **given) -> None:
    """Before a layer is made: how many features, modes or oscillators, and a key."""
    for name in ("features", "modes", "oscillators"):
        if name in given:
            check_whole(name, given[name], 1)
    check_key(key, needed=True)


def draw_log_steps(key: PRNGKeyArray, size: int, steps: tuple[float, float]) -> Float[Array, " size"]:
    """Logarithms of steps, uniform between those of two."""
    low, high = _checked(steps)
    dtype = jnp.zeros(()).dtype
    return jax.random.uniform(key, (size,), dtype, np.log(low), np.log(high))


def spread_steps(size: int, steps: tuple[float, float]) -> tuple[float, ...]:
    """Steps that part the range between two, by logarithms, evenly: the middle of each of as many parts."""
    low, high = _checked(steps)
    parts = (np.arange(size) + 0.5) / size
    return tuple((low * (high / low) ** parts).tolist())


def _checked(steps: tuple[float, float]) -> tuple[float, float]:
    low, high = steps
    if not 0 < low <= high < np.inf:
        raise ValueError(
            f"steps={steps}: the shortest and the longest step, 0 < shortest <= longest, such as (1e-3, 1e-1)"
        )
    return low, high
