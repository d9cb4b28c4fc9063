"""What a loss holds the outputs against: a series of their shape."""

import jax
import jax.numpy as jnp

from ctmodels._core._output import Output
from ctmodels._core._series import Example, Series


def series_target(example: Example, name: str) -> Series:
    """The target, if it is a series of one sample."""
    target = example.target
    if not isinstance(target, Series):
        raise ValueError(
            f"{name}: target is {_described(target)}: it takes a ctmodels.Series of what the model should return; the "
            "number of a class is for losses.cross_entropy"
        )
    if target.ts.ndim != 1:
        raise ValueError(
            f"{name}: target has times of shape {target.ts.shape}: a loss is of one sample, of times (time,); for a "
            "batch, ctmodels.objective or ctmodels.pooled, or jax.vmap"
        )
    return target


def of_its_shape(out: Output, target: Series, name: str) -> Output:
    """The output, if it has the target's shape: one that broadcasts is another sum."""
    if not out.ys.shape == target.ys.shape == target.mask.shape:
        raise ValueError(
            f"{name}: the model returns {out.ys.shape} and target has values of shape {target.ys.shape}, mask "
            f"{target.mask.shape}, (time, channel): make them equal; a target of some of the channels has the others "
            "too, masked out"
        )
    return out


def squared_error(out: Output, target: Series, name: str) -> tuple:
    error = jnp.where(target.mask, of_its_shape(out, target, name).ys - target.ys, 0)
    return jnp.sum(error**2), jnp.sum(target.mask, dtype=error.dtype), out


def _described(x) -> str:
    return f"of shape {jnp.shape(x)}" if isinstance(x, jax.Array) else f"a {type(x).__name__}"
