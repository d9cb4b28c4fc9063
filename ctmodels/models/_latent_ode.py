"""The latent ODE: a recurrent network reads a series backwards, an ODE starts from what it read.

Rubanova, Chen, Duvenaud (2019); Chen, Rubanova, Bettencourt, Duvenaud (2018).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._integrate import Integrate
from ctmodels._model import AbstractModel
from ctmodels._output import Output
from ctmodels._series import Series


class BackwardGRU(eqx.Module):
    """A gated recurrent unit that reads a series from its end: values, mask, and how much later the observation was
    that it read before. A step at which nothing was observed leaves it as it is.

    `(Series, t0) -> (hidden + 1,)`: its state, and how far the first observation is from `t0`.
    """

    cell: eqx.nn.GRUCell

    def __init__(self, channels: int, hidden: int, *, key: PRNGKeyArray):
        self.cell = eqx.nn.GRUCell(2 * channels + 1, hidden, key=key)

    @property
    def size(self) -> int:
        return self.cell.hidden_size + 1

    def __call__(self, x: Series, t0: Float[Array, ""]) -> Float[Array, " size"]:
        def read(carry, row):
            h, later = carry
            t, y, mask = row
            seen = jnp.any(mask)
            gap = jnp.where(jnp.isnan(later), 0, later - t).astype(y.dtype)
            new = self.cell(jnp.concatenate([jnp.where(mask, y, 0), mask.astype(y.dtype), gap[None]]), h)
            return (jnp.where(seen, new, h), jnp.where(seen, t, later)), None

        begun = jnp.zeros(self.cell.hidden_size, x.ys.dtype), jnp.full((), jnp.nan, x.ts.dtype)
        (h, first), _ = jax.lax.scan(read, begun, (x.ts, x.ys, x.mask), reverse=True)
        return jnp.append(h, jnp.where(jnp.isnan(first), 0, first - t0).astype(h.dtype))


class LatentODE(AbstractModel):
    """p(z0) = N(0, 1), dz/dt = f(t, z), y = decoder(z); q(z0 | x) = N(mean, deviation^2).

    `x` is a [`ctmodels.Series`][]; `ts` are the times at which outputs are wanted, those of `x` if not given, and z0 is
    the latent state at the first of them. `ys` is `(out, channel)`, `latents` is `(out, latent)`, `kl` is KL(q || p),
    summed over the latent channels. A `key` draws z0 from q; without, it is q's mean.

    **Arguments:**

    - `encoder`: (Series, t0) -> code, such as [`ctmodels.BackwardGRU`][].
    - `posterior`: code -> (2 * latent,), the mean and the logarithm of the deviation.
    - `field`: `f(t, z, args)`, args being None. `decoder`: latent state -> channels.
    - `integrate`: the solver.

    **Good values:** a latent state of 10 to 20 channels, an encoder of twice to three times as many; data scaled to
    [0, 1] or to deviation one, times to [0, 1]; [`ctmodels.losses.gaussian`][] with a deviation of 0.01 for the
    former; Adamax or Adam 1e-2 with a decay; KL weighted from zero to one in the first tenth of training.
    """

    encoder: Callable
    posterior: Callable
    field: Callable
    decoder: Callable
    integrate: Integrate = Integrate()

    def __call__(self, x: Series, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None) -> Output:
        ts = x.ts if ts is None else ts
        mean, log_deviation = jnp.split(self.posterior(self.encoder(x, ts[0])), 2)
        z0 = mean
        if key is not None:
            of_noise, key = jax.random.split(key)
            z0 = mean + jnp.exp(log_deviation) * jax.random.normal(of_noise, mean.shape, mean.dtype)
        zs, stats = self.integrate(self.field, ts, z0, key=key)
        return Output(jax.vmap(self.decoder)(zs), stats, kl_from_standard(mean, log_deviation), zs)


def kl_from_standard(mean: Float[Array, " latent"], log_deviation: Float[Array, " latent"]) -> Float[Array, ""]:
    """KL(N(mean, deviation^2) || N(0, 1)), summed."""
    return jnp.sum(0.5 * (mean**2 + jnp.exp(2 * log_deviation) - 1) - log_deviation)
