"""Losses: (model, example, key) -> (sum, weight, Output), each for one example.

The objective divides the batch's sum by its weight: a pooled mean over what was observed, not a mean of means.
"""

import jax
import jax.numpy as jnp

from ctmodels._output import Output
from ctmodels._series import Example, Record, Series


def squared(model, example: Example, key=None) -> tuple:
    """Squared error of the outputs over the observed entries of the target.

    **Returns:** the sum, how many entries it pools, and the model's `Output`.
    """
    out = model(example.x, example.target.ts, key=key)
    return _squared(out, example.target)


def absolute(model, example: Example, key=None) -> tuple:
    """Absolute error, likewise: for data with outliers."""
    out = model(example.x, example.target.ts, key=key)
    target = example.target
    # `where` on the difference and not on the sum: what lies under the mask gets no gradient.
    error = jnp.where(target.mask, jnp.abs(out.ys - target.ys), 0)
    return jnp.sum(error), jnp.sum(target.mask, dtype=error.dtype), out


def gaussian(deviation: float):
    """Negative logarithm of the likelihood of the observed entries, normal about the outputs with this deviation,
    its constant left out: with `regularisers.kl` the negative evidence bound of a latent model."""
    if not deviation > 0:
        raise ValueError(f"gaussian: deviation={deviation} must be a positive number, in units of the data")

    def loss(model, example: Example, key=None) -> tuple:
        error, weight, out = squared(model, example, key)
        return error / (2 * deviation**2), weight, out

    return loss


def cross_entropy(model, example: Example, key=None) -> tuple:
    """Of a class: `example.target` is its number, the logits are the model's outputs at the last observation of
    `example.x`, a [`ctmodels.Series`][] or [`ctmodels.Record`][]."""
    out = model(example.x, _series(example.x).end, key=key)
    logits = out.ys[-1]
    return -jax.nn.log_softmax(logits)[example.target], jnp.ones((), logits.dtype), out


def foretold(model, example: Example, key=None) -> tuple:
    """Negative logarithm of the likelihood of each observation of `example.x` under what the model said just before it
    ([`ctmodels.GRUODEBayes`][]), its constant left out. The target's times are the outputs'; its values are not looked
    at."""
    out = model(example.x, example.target.ts, key=key)
    ys, mask, (mean, log_variance) = *out.latents.seen, jnp.moveaxis(out.latents.foretold, 1, 0)
    terms = 0.5 * (jnp.where(mask, ys - mean, 0) ** 2 * jnp.exp(-log_variance) + log_variance)
    return jnp.sum(jnp.where(mask, terms, 0)), jnp.sum(mask, dtype=terms.dtype), out


def _series(x: Series | Record) -> Series:
    return x.series if isinstance(x, Record) else x


def shooting(continuity: float):
    """Loss of [`ctmodels.Shooting`][]: squared error, plus `continuity` times the squared gap between the end
    of a window and the (free) start of the next (multiple shooting, Bock 1983)."""

    def loss(model, example: Example, key=None) -> tuple:
        out = model(example.x, example.target.ts, key=key)
        error, weight, out = _squared(out, example.target)
        return error + continuity * model.gap(example.x, out.latents[-1]), weight, out

    return loss


def _squared(out: Output, target: Series) -> tuple:
    error = jnp.where(target.mask, out.ys - target.ys, 0)
    return jnp.sum(error**2), jnp.sum(target.mask, dtype=error.dtype), out
