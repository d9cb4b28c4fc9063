"""The latent RNN: an encoder reads a series as a whole, a recurrent network starts from what it read, and is driven by
nothing else. A variational autoencoder of sequences; the generator of LFADS without inputs that are inferred.

Sussillo, Jozefowicz, Abbott, Pandarinath (2016); Pandarinath et al., Nature Methods 15 (2018).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._output import Output, Stats
from ctmodels._core._times import times_from
from ctmodels._latent_start import AbstractLatentStart


class LatentRNN(AbstractLatentStart):
    """p(z0) = N(0, 1), z_k = cell(gap, z_{k-1}), y = decoder(z_k); q(z0 | x) = N(mean, deviation^2).

    As [`ctmodels.LatentODE`][] in all but what moves z: one step of the cell from each time that is asked to the next,
    and none where they are the same. The cell is told how long the gap is, but over a gap and over its two halves it
    differs: it is for bins, asked as it was trained on them, or more of them.

    **Arguments:**

    - `encoder`: (x, t0) -> code: [`ctmodels.ReverseGRUEncoder`][].
    - `posterior`: code -> (2 * latent,), the mean and the logarithm of the deviation.
    - `cell`: (gap, z) -> z, such as `eqx.nn.GRUCell(1, latent)`; the gap is `(1,)`.
    - `decoder`: latent state -> channels. `t0`: as of [`ctmodels.LatentODE`][]; at the first bin's beginning.

    **Good values:** a latent state of 50 to 200; for counts, log rates by
    `ct.losses.likelihood(ct.distributions.Poisson)`.
    """

    encoder: Callable
    posterior: Callable
    cell: Callable
    decoder: Callable
    t0: float | None = eqx.field(static=True, default=None)

    def decode(
        self,
        z0: Float[Array, " latent"],
        t0: Float[Array, ""],
        ts: Float[Array, " out"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Output:
        """The outputs that follow from one start."""
        at = times_from(t0, ts)

        def step(z, gap):
            z = jnp.where(gap > 0, self.cell(gap[None], z), z)
            return z, z

        z0 = jnp.where(jnp.isfinite(at[-1]), z0, jnp.nan)
        zs = jax.lax.scan(step, z0, jnp.diff(at).astype(z0.dtype))[1]
        stats = Stats.of_grid(1, at, jnp.concatenate([z0[None], zs]))
        return Output(jax.vmap(self.decoder)(zs), stats, zs)
