"""Losses: (model, example, key) -> (sum, weight, Output), each for one example.

The objective divides the batch's sum by its weight: a pooled mean over what was observed, not a mean of means.
"""

import math

import jax
import jax.numpy as jnp

from ctmodels._arguments import before
from ctmodels._integrate import total
from ctmodels._output import Output
from ctmodels._promises import check_example
from ctmodels._series import Example, Record, Series


@before(check_example)
def squared(model, example: Example, key=None) -> tuple:
    """Squared error of the outputs over the observed entries of the target.

    **Returns:** the sum, how many entries it pools, and the model's `Output`.
    """
    out = model(example.x, example.target.ts, key=key)
    return _squared(out, example.target)


@before(check_example)
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

    @before(check_example)
    def loss(model, example: Example, key=None) -> tuple:
        error, weight, out = squared(model, example, key)
        return error / (2 * deviation**2), weight, out

    return loss


def iwae(deviation: float, samples: int):
    """The importance-weighted bound of [`ctmodels.LatentODE`][], negative: -log mean_k p(y | z_k) p(z_k) / q(z_k | x)
    over samples z_k of q, observed entries being normal about the outputs with this deviation, the constant of that
    left out. With one sample its mean is the ELBO's, and it falls with more to the likelihood itself. The divergence is
    within: no `regularisers.kl` is added. The output is the samples' mean, with the work of all of them. Burda, Grosse,
    Salakhutdinov (2016).

    **Good values:** 5 samples, and a model that was trained by the ELBO with its divergence annealed: from the start,
    with the whole divergence, `examples/latent_ode.py` learnt nothing.
    """
    if not deviation > 0:
        raise ValueError(f"iwae: deviation={deviation} must be a positive number, in units of the data")
    if samples < 1:
        raise ValueError(f"iwae: samples={samples} must be at least 1")

    @before(check_example)
    def loss(model, example: Example, key) -> tuple:
        target = example.target
        q, t0 = model.infer(example.x)

        def one(key) -> tuple:
            of_start, of_solve = jax.random.split(key)
            z0 = q.sample(of_start)
            out = model.unroll(q, z0, t0, target.ts, key=of_solve)
            error, _, _ = _squared(out, target)
            return q.log_prior_over(z0) - error / (2 * deviation**2), out

        log_weights, outs = jax.vmap(one)(jax.random.split(key, samples))
        mean = jax.tree.map(lambda x: jnp.mean(x, axis=0), (outs.ys, outs.kl, outs.latents))
        bound = jax.nn.logsumexp(log_weights) - math.log(samples)
        return -bound, jnp.sum(target.mask, dtype=bound.dtype), Output(mean[0], total(outs.stats), *mean[1:])

    return loss


@before(check_example)
def cross_entropy(model, example: Example, key=None) -> tuple:
    """Of a class: `example.target` is its number, the logits are the model's outputs at the last observation of
    `example.x`, a [`ctmodels.Series`][] or [`ctmodels.Record`][]."""
    out = model(example.x, _series(example.x).end, key=key)
    logits = out.ys[-1]
    return -jax.nn.log_softmax(logits)[example.target], jnp.ones((), logits.dtype), out


@before(check_example)
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

    @before(check_example)
    def loss(model, example: Example, key=None) -> tuple:
        out = model(example.x, example.target.ts, key=key)
        error, weight, out = _squared(out, example.target)
        return error + continuity * model.gap(example.x, out.latents[-1]), weight, out

    return loss


def _squared(out: Output, target: Series) -> tuple:
    error = jnp.where(target.mask, out.ys - target.ys, 0)
    return jnp.sum(error**2), jnp.sum(target.mask, dtype=error.dtype), out
