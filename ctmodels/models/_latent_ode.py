"""The latent ODE: an encoder reads a series as a whole, an ODE starts from what it read.

Rubanova, Chen, Duvenaud (2019); Chen, Rubanova, Bettencourt, Duvenaud (2018).
"""

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._output import Output
from ctmodels._core._times import times_from
from ctmodels._integrate import Integrate
from ctmodels._latent_start import AbstractLatentStart


class LatentODE(AbstractLatentStart):
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

    def decode(
        self,
        z0: Float[Array, " latent"],
        t0: Float[Array, ""],
        ts: Float[Array, " out"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Output:
        """The outputs that follow from one start."""
        zs, stats = self.integrate(self.field, times_from(t0, ts), z0, key=key)
        return Output(jax.vmap(self.decoder)(zs[1:]), stats, zs[1:])
