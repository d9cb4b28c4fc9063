"""Losses: (model, example, key) -> (sum, weight, Output), each for one example.

The objective divides the batch's sum by its weight: a pooled mean over what was observed, not a mean of means.
"""

import math
from collections.abc import Callable

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Integer

from ctmodels._core._arguments import before
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_example
from ctmodels._core._series import Example, Record, Series
from ctmodels.distributions import AbstractDistribution


@before(check_example)
def squared(model, example: Example, key=None) -> tuple:
    """Squared error of the outputs over the observed entries of the target.

    **Returns:** the sum, how many entries it pools, and the model's `Output`. Raises `ValueError` where outputs and
    target differ in shape, as all losses do that hold one against the other.
    """
    target = _wanted(example, "squared")
    return _squared(model(example.x, target.ts, key=key), target, "squared")


@before(check_example)
def absolute(model, example: Example, key=None) -> tuple:
    """Absolute error, likewise: for data with outliers."""
    target = _wanted(example, "absolute")
    out = _like(model(example.x, target.ts, key=key), target, "absolute")
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
    """The importance-weighted bound of a [`ctmodels.AbstractLatent`][], negative:
    -log mean_k p(y | z_k) p(z_k) / q(z_k | x) over samples z_k of q, observed entries being normal about the outputs
    with this deviation, the constant of that left out. With one sample its mean is the ELBO's, and it falls with more
    to the likelihood itself. The divergence is within: no `regularisers.kl` is added. The output is the samples' mean,
    with the work of all of them. Burda, Grosse, Salakhutdinov (2016).

    **Good values:** 5 samples, and a model that was trained by the ELBO with its divergence annealed: from the start,
    with the whole divergence, `examples/latent_ode.py` learnt nothing.
    """
    if not deviation > 0:
        raise ValueError(f"iwae: deviation={deviation} must be a positive number, in units of the data")
    if samples < 1:
        raise ValueError(f"iwae: samples={samples} must be at least 1")

    @before(check_example)
    def loss(model, example: Example, key) -> tuple:
        target = _wanted(example, "iwae")
        q, p, t0 = model.infer(example.x)

        def one(key) -> tuple:
            of_start, of_solve = jax.random.split(key)
            z0 = q.sample(of_start)
            out = model.decode(z0, t0, target.ts, key=of_solve)
            error, _, _ = _squared(out, target, "iwae")
            return jnp.sum(p.log_prob(z0) - q.log_prob(z0)) - error / (2 * deviation**2), out

        log_weights, outs = jax.vmap(one)(jax.random.split(key, samples))
        ys, latents = jax.tree.map(lambda x: jnp.mean(x, axis=0), (outs.ys, outs.latents))
        out = Output(ys, Stats.in_sequence(outs.stats), latents, jnp.sum(q.kl(p)))
        bound = jax.nn.logsumexp(log_weights) - math.log(samples)
        return -bound, jnp.sum(target.mask, dtype=bound.dtype), out

    return loss


@before(check_example)
def cross_entropy(model, example: Example, key=None) -> tuple:
    """Of a class: `example.target` is its number, from 0 on, the logits are the model's outputs at the last observation
    of `example.x`, a [`ctmodels.Series`][] or [`ctmodels.Record`][].

    Raises `ValueError` for a label that is no whole number, or not one of the classes. Where labels are not known
    before the program runs, as under `jit` and `vmap`, the loss of such a label is NaN, and its gradient too; so
    `fit` skips that step and says so. Samples that have no label are not to be in the data.
    """
    out = model(example.x, _series(example.x).end, key=key)
    logits = out.ys[-1]
    label = _label(example.target, logits.shape[0])
    known = jnp.where((label >= 0) & (label < logits.shape[0]), 1, jnp.nan).astype(logits.dtype)
    return -jax.nn.log_softmax(logits)[label] * known, jnp.ones((), logits.dtype), out


@before(check_example)
def one_step_likelihood(model, example: Example, key=None) -> tuple:
    """Negative logarithm of the likelihood of each observation of `example.x` under what a
    [`ctmodels.AbstractFilter`][] expected just before it. The target's times are the outputs'; its values are not
    looked at."""
    out, expected, rows = model.filter(example.x, _wanted(example, "one_step_likelihood").ts, key=key)
    return *_likelihood(expected, rows), out


def likelihood(family: Callable | None = None):
    """Negative logarithm of the likelihood of the observed entries of the target: under the model's `predictive`
    distribution, or under `family(ys)` of its outputs, one of [`ctmodels.distributions`][]:
    `likelihood(ct.distributions.Poisson)` has counts whose log rates are the outputs,
    `likelihood(lambda ys: ct.distributions.Gaussian(ys, 0.1))` the normal's with its constant.

    Raises `ValueError` where there is neither, or where the distribution and the target differ in shape.
    """

    @before(check_example)
    def loss(model, example: Example, key=None) -> tuple:
        target = _wanted(example, "likelihood")
        out = model(example.x, target.ts, key=key)
        if family is None and out.predictive is None:
            raise ValueError(
                f"likelihood: {type(model).__name__} returns no `predictive`: give a family of its outputs, "
                "ct.losses.likelihood(lambda ys: ct.distributions.Gaussian(ys, 0.1))"
            )
        predictive = out.predictive if family is None else family(out.ys)
        return *_likelihood(predictive, target), out

    return loss


def _likelihood(predictive: AbstractDistribution, target: Series) -> tuple:
    """The sum over what was observed, negative, and how many entries that are."""
    # Under the mask lies a zero, whose density may be infinite, and the gradient NaN; one is a value of every family.
    terms = predictive.log_prob(jnp.where(target.mask, target.ys, 1))
    if terms.shape != target.ys.shape or predictive.mean.shape[:2] != target.ys.shape:
        raise ValueError(
            f"likelihood: the distribution has entries of shape {predictive.mean.shape} and target has values of shape "
            f"{target.ys.shape}, (time, channel): make them equal"
        )
    return -jnp.sum(jnp.where(target.mask, terms, 0)), jnp.sum(target.mask, dtype=terms.dtype)


def _series(x: Series | Record) -> Series:
    return x.series if isinstance(x, Record) else x


def shooting(continuity: float):
    """Loss of a [`ctmodels.AbstractShooting`][], as [`ctmodels.Shooting`][]: squared error, plus `continuity` times the
    squared gap between the end of a window and the (free) start of the next (multiple shooting, Bock 1983)."""

    @before(check_example)
    def loss(model, example: Example, key=None) -> tuple:
        target = _wanted(example, "shooting")
        error, weight, out = _squared(model(example.x, target.ts, key=key), target, "shooting")
        return error + continuity * model.gap(example.x, out.latents[-1]), weight, out

    return loss


def _squared(out: Output, target: Series, name: str) -> tuple:
    error = jnp.where(target.mask, _like(out, target, name).ys - target.ys, 0)
    return jnp.sum(error**2), jnp.sum(target.mask, dtype=error.dtype), out


def _wanted(example: Example, name: str) -> Series:
    """The target, if it is a series of one sample."""
    target = example.target
    if not isinstance(target, Series):
        raise ValueError(
            f"{name}: target is {_told(target)}: it takes a ctmodels.Series of what the model should return; the "
            "number of a class is for losses.cross_entropy"
        )
    if target.ts.ndim != 1:
        raise ValueError(
            f"{name}: target has times of shape {target.ts.shape}: a loss is of one sample, of times (time,); for a "
            "batch, ctmodels.objective or ctmodels.pooled, or jax.vmap"
        )
    return target


def _like(out: Output, target: Series, name: str) -> Output:
    """The output, if it has the target's shape: one that broadcasts is another sum."""
    if not out.ys.shape == target.ys.shape == target.mask.shape:
        raise ValueError(
            f"{name}: the model returns {out.ys.shape} and target has values of shape {target.ys.shape}, mask "
            f"{target.mask.shape}, (time, channel): make them equal; a target of some of the channels has the others "
            "too, masked out"
        )
    return out


def _label(target, classes: int) -> Integer[Array, ""]:
    """The number of a class, checked as far as it is known."""
    shape, dtype = jnp.shape(target), jnp.result_type(target)
    if classes < 2:
        raise ValueError(f"cross_entropy: the model has {classes} output(s): one for each class is needed, at least 2")
    if shape != ():
        hot = "one-hot rows are jnp.argmax(target, axis=-1)" if shape[-1:] == (classes,) else "give one sample"
        raise ValueError(f"cross_entropy: target has shape {shape}: the number of a class, from 0 on, is (); {hot}")
    if not jnp.issubdtype(dtype, jnp.integer):
        raise ValueError(f"cross_entropy: target has dtype {dtype}: the number of a class is an integer; .astype(int)")
    if not isinstance(target, jax.core.Tracer) and not 0 <= int(target) < classes:
        raise ValueError(
            f"cross_entropy: target is {int(target)}: with {classes} outputs, classes are numbered 0 to {classes - 1}; "
            "subtract the first number, or leave out samples without a label"
        )
    return jnp.asarray(target)


def _told(x) -> str:
    return f"of shape {jnp.shape(x)}" if isinstance(x, jax.Array) else f"a {type(x).__name__}"
