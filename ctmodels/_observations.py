"""Observations: of what distribution a bin's value is, given what a decoder says of it and how wide the bin is."""

import abc
import math

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._arguments import before
from ctmodels.distributions import AbstractDistribution, Gaussian, NegativeBinomial, Poisson

Bins = Float[Array, "out channel"]
SMALLEST = 1e-12  # of a rate times the width of a bin: what a bin of no width counts


class AbstractObservation(eqx.Module):
    """`observe(ys, widths)`: of bins of these widths, from what the decoder says of each."""

    @abc.abstractmethod
    def __call__(self, ys: Bins, widths: Float[Array, " out"]) -> AbstractDistribution:
        """The distribution of each bin's values."""


class PoissonCounts(AbstractObservation):
    """Counts of a rate whose logarithm, per unit of time, the decoder says."""

    def __call__(self, ys: Bins, widths: Float[Array, " out"]) -> Poisson:
        return Poisson(ys + _log_of(widths, ys))


class NegativeBinomialCounts(AbstractObservation):
    """As [`ctmodels.PoissonCounts`][], of variance mean + mean^2 / shape, one shape for each channel, which is learned.

    **Arguments:** `channels`; `shape`: to begin with.
    """

    log_shape: Float[Array, " channel"]

    @before(lambda shape, **_: _check_positive("shape", shape, "the larger it is, the nearer to Poisson's counts"))
    def __init__(self, channels: int, shape: float | int = 10.0):
        self.log_shape = jnp.full(channels, math.log(shape), jnp.zeros(()).dtype)

    def __call__(self, ys: Bins, widths: Float[Array, " out"]) -> NegativeBinomial:
        log_shape = jnp.broadcast_to(self.log_shape, ys.shape)
        return NegativeBinomial(ys + _log_of(widths, ys), log_shape)


class GaussianValues(AbstractObservation):
    """Values normal about what the decoder says, whatever the width, of one deviation for each channel, which is
    learned.

    **Arguments:** `channels`; `deviation`: to begin with.
    """

    log_deviation: Float[Array, " channel"]

    @before(lambda deviation, **_: _check_positive("deviation", deviation, "in units of the data"))
    def __init__(self, channels: int, deviation: float | int = 0.1):
        self.log_deviation = jnp.full(channels, math.log(deviation), jnp.zeros(()).dtype)

    def __call__(self, ys: Bins, widths: Float[Array, " out"]) -> Gaussian:
        return Gaussian(ys, log_deviation=jnp.broadcast_to(self.log_deviation, ys.shape))


def _log_of(widths: Float[Array, " out"], like: Bins) -> Float[Array, "out 1"]:
    return jnp.log(jnp.maximum(widths.astype(like.dtype), SMALLEST))[:, None]


def _check_positive(name: str, value, meaning: str) -> None:
    if not value > 0:
        raise ValueError(f"{name}={value}: must be a positive number, {meaning}")
