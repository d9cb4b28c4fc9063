"""Likelihoods under a distribution: a model's own, or one of a family that its outputs stand for."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from ctmodels._core._arguments import before
from ctmodels._core._model import AbstractFilter
from ctmodels._core._output import Output
from ctmodels._core._promises import check_example
from ctmodels._core._series import Example, Series
from ctmodels.distributions import AbstractDistribution
from ctmodels.losses._targets import series_target


def likelihood(family: Callable | None = None):
    """Negative logarithm of the likelihood of the observed entries of the target: under the model's `predictive`
    distribution, or under `family(ys)` of its outputs, one of [`ctmodels.distributions`][]:
    `likelihood(ct.distributions.Poisson)` has counts whose log rates are the outputs,
    `likelihood(lambda ys: ct.distributions.Gaussian(ys, 0.1))` the normal's with its constant.

    Raises `ValueError` where there is neither, or where the distribution and the target differ in shape.
    """

    @before(check_example)
    def loss(model, example: Example, key=None) -> tuple:
        target = series_target(example, "likelihood")
        out = model(example.x, target.ts, key=key)
        predictive = predictive_of(out, model, "likelihood") if family is None else family(out.ys)
        return *likelihood_of(predictive, target), out

    return loss


@before(check_example)
def one_step_likelihood(model: AbstractFilter, example: Example, key: PRNGKeyArray | None = None) -> tuple:
    """Negative logarithm of the likelihood of each observation of `example.x` under what a
    [`ctmodels.AbstractFilter`][] expected just before it. The target's times are the outputs'; its values are not
    looked at."""
    out, expected, rows = model.filter(example.x, series_target(example, "one_step_likelihood").ts, key=key)
    return *likelihood_of(expected, rows), out


def predictive_of(out: Output, model, name: str) -> AbstractDistribution:
    """What the model says of its outputs, if it says anything."""
    if out.predictive is None:
        raise ValueError(
            f"{name}: {type(model).__name__} returns no `predictive`: give a family of its outputs, "
            "ct.losses.likelihood(lambda ys: ct.distributions.Gaussian(ys, 0.1)), or a deviation"
        )
    return out.predictive


def likelihood_of(predictive: AbstractDistribution, target: Series) -> tuple:
    """The sum over what was observed, negative, and how many entries that are."""
    # Under the mask lies a zero, whose density may be infinite, and the gradient NaN; one is a value of every family.
    terms = predictive.log_prob(jnp.where(target.mask, target.ys, 1))
    if terms.shape != target.ys.shape or predictive.mean.shape[:2] != target.ys.shape:
        raise ValueError(
            f"likelihood: the distribution has entries of shape {predictive.mean.shape} and target has values of shape "
            f"{target.ys.shape}, (time, channel): make them equal"
        )
    return -jnp.sum(jnp.where(target.mask, terms, 0)), jnp.sum(target.mask, dtype=terms.dtype)
