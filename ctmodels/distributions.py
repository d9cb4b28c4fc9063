"""Distributions of what is predicted: densities entry by entry, on `jax.scipy.stats`.

Parameters have the shape of what is distributed, those of classes and mixtures one axis more, the last. Entries are
independent, so that `log_prob` can be masked; who wants the density of all sums it.
"""

import abc

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy import stats
from jax.scipy.special import gammaln
from jaxtyping import Array, ArrayLike, Bool, Float, Int, PRNGKeyArray, Shaped

from ctmodels._core._arguments import check_key


class AbstractDistribution(eqx.Module):
    """Independent entries: `log_prob(y)` and `mean` have the shape of `y`, `sample(key)` is such a `y`."""

    @property
    @abc.abstractmethod
    def mean(self) -> Shaped[Array, "..."]:
        """Of each entry."""

    @abc.abstractmethod
    def log_prob(self, y: Shaped[ArrayLike, "..."]) -> Float[Array, "..."]:
        """The logarithm of the density, or of the probability, of each entry."""

    @abc.abstractmethod
    def sample(self, key: PRNGKeyArray) -> Shaped[Array, "..."]:
        """One draw of all entries."""


class Gaussian(AbstractDistribution):
    """N(mean, deviation^2). Given by `deviation` or, as a network may best give it, by its logarithm."""

    location: Float[Array, "..."]
    log_deviation: Float[Array, "..."]

    def __init__(self, mean, deviation=None, *, log_deviation=None):
        if (deviation is None) == (log_deviation is None):
            raise ValueError("Gaussian: give either `deviation` or `log_deviation`")
        self.location = jnp.asarray(mean)
        spread = log_deviation if deviation is None else jnp.log(deviation)
        self.log_deviation = jnp.broadcast_to(jnp.asarray(spread, self.location.dtype), self.location.shape)

    @property
    def mean(self) -> Float[Array, "..."]:
        """Of each entry."""
        return self.location

    @property
    def deviation(self) -> Float[Array, "..."]:
        """Of each entry."""
        return jnp.exp(self.log_deviation)

    def log_prob(self, y: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
        """The logarithm of the density of each entry."""
        return stats.norm.logpdf((y - self.location) * jnp.exp(-self.log_deviation)) - self.log_deviation

    def sample(self, key: PRNGKeyArray) -> Float[Array, "..."]:
        """One draw of all entries, differentiable in the parameters."""
        check_key(key, needed=True)
        return self.location + self.deviation * jax.random.normal(key, self.location.shape, self.location.dtype)

    def kl(self, other: "Gaussian") -> Float[Array, "..."]:
        """KL(self || other) of each entry."""
        error = (self.location - other.location) * jnp.exp(-other.log_deviation)
        spread = self.log_deviation - other.log_deviation
        return 0.5 * (jnp.exp(2 * spread) + error**2 - 1) - spread


def standard(like: Gaussian) -> Gaussian:
    """N(0, 1), of the shape of another."""
    return Gaussian(jnp.zeros_like(like.location), log_deviation=jnp.zeros_like(like.log_deviation))


class Poisson(AbstractDistribution):
    """Counts of a given rate, which is their mean; given by its logarithm."""

    log_rate: Float[Array, "..."]

    @property
    def mean(self) -> Float[Array, "..."]:
        """The rate."""
        return jnp.exp(self.log_rate)

    def log_prob(self, y: Shaped[ArrayLike, "..."]) -> Float[Array, "..."]:
        """Of counts; minus infinity of what is no count."""
        # By the logarithm: `stats.poisson` takes the rate, whose gradient is NaN where it underflows (jax 0.10).
        k = _counts(y, self.log_rate)
        return jnp.where(_whole(y), k * self.log_rate - self.mean - gammaln(k + 1), -jnp.inf)

    def sample(self, key: PRNGKeyArray) -> Int[Array, "..."]:
        """Counts."""
        check_key(key, needed=True)
        return jax.random.poisson(key, self.mean, self.log_rate.shape)


class NegativeBinomial(AbstractDistribution):
    """Counts that scatter more than Poisson's: of variance mean + mean^2 / shape, given by the logarithms of both."""

    log_mean: Float[Array, "..."]
    log_shape: Float[Array, "..."]

    @property
    def mean(self) -> Float[Array, "..."]:
        """Of each entry."""
        return jnp.exp(self.log_mean)

    def log_prob(self, y: Shaped[ArrayLike, "..."]) -> Float[Array, "..."]:
        """Of counts; minus infinity of what is no count."""
        k, r, odds = _counts(y, self.log_mean), jnp.exp(self.log_shape), self.log_mean - self.log_shape
        ways = gammaln(k + r) - gammaln(r) - gammaln(k + 1)
        return jnp.where(_whole(y), ways - r * jax.nn.softplus(odds) - k * jax.nn.softplus(-odds), -jnp.inf)

    def sample(self, key: PRNGKeyArray) -> Int[Array, "..."]:
        """Counts: Poisson's, of a rate that is drawn from a gamma distribution."""
        check_key(key, needed=True)
        of_rate, of_count = jax.random.split(key)
        shape = jnp.exp(jnp.broadcast_to(self.log_shape, self.log_mean.shape))
        rate = jax.random.gamma(of_rate, shape) * jnp.exp(self.log_mean) / shape
        return jax.random.poisson(of_count, rate, rate.shape)


class Categorical(AbstractDistribution):
    """Classes, numbered from 0; given by logits, whose last axis is that of classes."""

    logits: Float[Array, "... classes"]

    @property
    def mean(self) -> Float[Array, "... classes"]:
        """The probability of each class."""
        return jax.nn.softmax(self.logits)

    def log_prob(self, y: Shaped[ArrayLike, "..."]) -> Float[Array, "..."]:
        """Of the numbers of classes; NaN of what is none."""
        at = jnp.asarray(y).astype(int)[..., None]
        found = jnp.take_along_axis(jax.nn.log_softmax(self.logits), at, axis=-1, mode="clip")[..., 0]
        return jnp.where(_whole(y) & (at[..., 0] < self.logits.shape[-1]), found, jnp.nan)

    def sample(self, key: PRNGKeyArray) -> Int[Array, "..."]:
        """Numbers of classes."""
        check_key(key, needed=True)
        return jax.random.categorical(key, self.logits)


class LogNormalMixture(AbstractDistribution):
    """Positive numbers, such as times between events: a mixture of which the last axis is that of components, whose
    logarithms are N(location, deviation^2). Shchur, Bilos, Günnemann (2020)."""

    logits: Float[Array, "... components"]
    location: Float[Array, "... components"]
    log_deviation: Float[Array, "... components"]

    @property
    def mean(self) -> Float[Array, "..."]:
        """Of each entry."""
        each = jnp.exp(self.location + 0.5 * jnp.exp(2 * self.log_deviation))
        return jnp.sum(jax.nn.softmax(self.logits) * each, axis=-1)

    def log_prob(self, y: Float[ArrayLike, "..."]) -> Float[Array, "..."]:
        """Of positive numbers; minus infinity elsewhere."""
        positive = jnp.asarray(y) > 0
        log_y = jnp.log(jnp.where(positive, y, 1))
        each = Gaussian(self.location, log_deviation=self.log_deviation).log_prob(log_y[..., None])
        found = jax.nn.logsumexp(jax.nn.log_softmax(self.logits) + each, axis=-1) - log_y
        return jnp.where(positive, found, -jnp.inf)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "..."]:
        """Positive numbers."""
        check_key(key, needed=True)
        of_component, of_value = jax.random.split(key)
        at = jax.random.categorical(of_component, self.logits)[..., None]
        location, log_deviation = (
            jnp.take_along_axis(x, at, axis=-1)[..., 0] for x in (self.location, self.log_deviation)
        )
        return jnp.exp(Gaussian(location, log_deviation=log_deviation).sample(of_value))


def _whole(y) -> Bool[Array, "..."]:
    return (jnp.asarray(y) >= 0) & (jnp.asarray(y) == jnp.round(jnp.asarray(y)))


def _counts(y, like: Array) -> Float[Array, "..."]:
    """As floats; zero for what is no count, so that its gradient is finite."""
    return jnp.where(_whole(y), y, 0).astype(like.dtype)
