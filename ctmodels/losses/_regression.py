"""Errors of the outputs."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ctmodels._core._arguments import before
from ctmodels._core._promises import check_example
from ctmodels._core._series import Example
from ctmodels.losses._targets import of_its_shape, series_target, squared_error


@before(check_example)
def squared(model: Callable, example: Example, key: PRNGKeyArray | None = None) -> tuple:
    """Squared error of the outputs over the observed entries of the target.

    **Returns:** the sum, how many entries it pools, and the model's `Output`. Raises `ValueError` where outputs and
    target differ in shape, as all losses do that hold one against the other.
    """
    target = series_target(example, "squared")
    return squared_error(model(example.x, target.ts, key=key), target, "squared")


@before(check_example)
def absolute(model: Callable, example: Example, key: PRNGKeyArray | None = None) -> tuple:
    """Absolute error, likewise: for data with outliers."""
    target = series_target(example, "absolute")
    out = of_its_shape(model(example.x, target.ts, key=key), target, "absolute")
    # `where` on the difference and not on the sum: what lies under the mask gets no gradient.
    error = jnp.where(target.mask, jnp.abs(out.ys - target.ys), 0)
    return jnp.sum(error), jnp.sum(target.mask, dtype=error.dtype), out


def gaussian(deviation: float):
    """Negative logarithm of the likelihood of the observed entries, normal about the outputs with this deviation,
    its constant left out: with `regularisers.kl` the negative evidence bound of a latent model."""
    if not deviation > 0:
        raise ValueError(f"gaussian: deviation={deviation} must be a positive number, in units of the data")

    @before(check_example)
    def loss(model, example: Example, key=None) -> tuple:
        error, weight, out = squared(model, example, key)
        return error / (2 * deviation**2), weight, out

    return loss
