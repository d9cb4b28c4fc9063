"""What latent models have in common whose cause is a start: all that follows from it is certain."""

import abc
import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before
from ctmodels._core._model import AbstractLatent
from ctmodels._core._output import Output
from ctmodels._core._promises import check_reads
from ctmodels._core._series import Record, Series
from ctmodels._online import start_time, times_of
from ctmodels.distributions import Gaussian, standard


class AbstractLatentStart(AbstractLatent):
    """p(z0) = N(0, 1), q(z0 | x) = N(mean, deviation^2), and `decode`, what follows from z0."""

    if TYPE_CHECKING:

        @property
        def encoder(self) -> Callable: ...

        @property
        def posterior(self) -> Callable: ...

        @property
        def t0(self) -> float | None: ...

    else:
        encoder: eqx.AbstractVar[Callable]
        posterior: eqx.AbstractVar[Callable]
        t0: eqx.AbstractVar[float | None]

    @abc.abstractmethod
    def decode(
        self,
        z0: Float[Array, " latent"],
        t0: Float[Array, ""],
        ts: Float[Array, " out"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Output:
        """The outputs that follow from one start."""

    @before(check_reads)
    def __call__(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> Output:
        ts = times_of(x) if ts is None else ts
        if key is not None:
            return self.draw(x, ts, key=key)[0]
        q, p, t0 = self.infer(x)
        return dataclasses.replace(self.decode(q.mean, t0, ts), kl=jnp.sum(q.kl(p)))

    @before(lambda self, x, ts, key: check_reads(self, x, ts, key))
    def draw(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray
    ) -> tuple[Output, Float[Array, ""]]:
        """What follows from one start of q, and log p(z0) - log q(z0) of it."""
        ts = times_of(x) if ts is None else ts
        q, p, t0 = self.infer(x)
        of_start, of_solve = jax.random.split(key)
        z0 = q.sample(of_start)
        out = dataclasses.replace(self.decode(z0, t0, ts, key=of_solve), kl=jnp.sum(q.kl(p)))
        return out, jnp.sum(p.log_prob(z0) - q.log_prob(z0))

    def infer(self, x: Series | Record) -> tuple[Gaussian, Gaussian, Float[Array, ""]]:
        """What z0 is believed to be once `x` was read, and before; and the time at which it lies."""
        t0 = start_time(x, self.t0)
        mean, log_deviation = jnp.split(self.posterior(self.encoder(x, t0)), 2)
        q = Gaussian(mean, log_deviation=log_deviation)
        return q, standard(q), t0
