"""The latent ODE: an encoder reads a series as a whole, an ODE starts from what it read.

Rubanova, Chen, Duvenaud (2019); Chen, Rubanova, Bettencourt, Duvenaud (2018).
"""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before
from ctmodels._core._model import AbstractLatent
from ctmodels._core._output import Output
from ctmodels._core._promises import check_reads
from ctmodels._core._series import Record, Series
from ctmodels._core._times import increasing
from ctmodels._integrate import Integrate
from ctmodels._online import times_of
from ctmodels.distributions import Gaussian, standard


class LatentODE(AbstractLatent):
    """p(z0) = N(0, 1), dz/dt = f(t, z), y = decoder(z); q(z0 | x) = N(mean, deviation^2).

    `x` is a [`ctmodels.Series`][] or a [`ctmodels.Record`][]; `ts` are the times at which outputs are wanted, those of
    `x` if not given; what else is asked changes no answer. z0 is the latent state at `t0`, before which it is held.
    `ys` is `(out, channel)`, `latents` is `(out, latent)`, `kl` is KL(q || p), summed over the latent channels; `stats`
    are those of the latent ODE, not of the encoder. A `key` draws z0 from q; without, it is q's mean. It looks at the
    whole series: an output at t knows what came later.

    With [`ctmodels.losses.gaussian`][] and [`ctmodels.regularisers.kl`][] it is trained by the evidence bound (ELBO),
    with [`ctmodels.losses.iwae`][] by the tighter one of several samples (IWAE).

    **Arguments:**

    - `encoder`: (x, t0) -> code: [`ctmodels.ReverseGRUEncoder`][], [`ctmodels.ReverseODERNNEncoder`][].
    - `posterior`: code -> (2 * latent,), the mean and the logarithm of the deviation.
    - `field`: `f(t, z, args)`, args being None. `decoder`: latent state -> channels.
    - `integrate`: the solver.
    - `t0`: the time at which z0 lies, for all series, such as the origin of the times that they have in common; None:
      at the first observation of each.

    **Good values:** a latent state of 10 to 20 channels, an encoder of twice to three times as many; channels of
    deviation one, each with its own weight in the loss where they differ in worth, and times to [0, 1];
    [`ctmodels.losses.gaussian`][] with a deviation of 0.01 to 0.1; Adam 1e-2 to 5e-3 with a decay; KL weighted from
    zero to one in the first tenth of training.
    """

    encoder: Callable
    posterior: Callable
    field: Callable
    decoder: Callable
    integrate: Integrate = Integrate()
    t0: float | None = eqx.field(static=True, default=None)

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
        series = x.series if isinstance(x, Record) else x
        t0 = series.start[0] if self.t0 is None else jnp.asarray(self.t0, series.ts.dtype)
        mean, log_deviation = jnp.split(self.posterior(self.encoder(x, t0)), 2)
        q = Gaussian(mean, log_deviation=log_deviation)
        return q, standard(q), t0

    def decode(
        self,
        z0: Float[Array, " latent"],
        t0: Float[Array, ""],
        ts: Float[Array, " out"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Output:
        """The outputs that follow from one start."""
        ts = increasing(ts, "ts")  # those before t0 included, at which z0 is held
        t0 = t0.astype(ts.dtype)
        zs, stats = self.integrate(self.field, jnp.concatenate([t0[None], jnp.maximum(ts, t0)]), z0, key=key)
        return Output(jax.vmap(self.decoder)(zs[1:]), stats, zs[1:])
