"""Transforms of the example, (example, key, step) -> example, before each solve: `ctmodels.objective(transform=...)`."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp

from ctmodels._core._series import Example


def steer(width: float | int) -> Callable:
    """STEER: the last time is moved by a random length, uniform from -width to width, with each step of training
    (Ghosh et al. 2020); never before the time in front of it.

    **Returns:** a transform for [`ctmodels.objective`][].
    """
    if not width > 0:
        raise ValueError(f"steer: width={width} must be a positive length of time")

    def moved(example: Example, key, step) -> Example:
        ts = example.target.ts
        at_end = ts == ts[-1]
        before = jnp.max(jnp.where(at_end, ts[0], ts))
        most = jnp.minimum(jnp.asarray(width, ts.dtype), ts[-1] - before)
        draw = jax.random.uniform(jax.random.fold_in(key, 1), (), ts.dtype, -1, 1)
        return eqx.tree_at(lambda e: e.target.ts, example, jnp.where(at_end, ts + draw * most, ts))

    return moved
