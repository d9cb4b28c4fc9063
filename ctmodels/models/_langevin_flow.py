r"""The Langevin flow: an unseen position and velocity under a potential, friction and noise,
$dz = v\,dt$, $dv = (-\nabla U(z) - \gamma v)\,dt + \sqrt{2 \gamma T}\,dW$, of which bins of counts tell something.

Song, Keller, Yue, Perona, Welling, "Langevin Flows for Modeling Neural Latent Dynamics" (2025, arXiv 2507.11531), from
its equations. The code that was released with it differs: its posterior has no force, so that its divergence does not
see the dynamics, and its potential is an indefinite form, of which there is no stationary distribution.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._attention import TransformerLayer
from ctmodels._core._arguments import before, check_key
from ctmodels._core._model import AbstractLatent
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_reads
from ctmodels._core._series import Record, Series
from ctmodels._core._times import times_from
from ctmodels._core._words import kind_of
from ctmodels._integrate import BAOAB, Integrate, Substeps, without_noise
from ctmodels._observations import AbstractObservation, PoissonCounts
from ctmodels._online import start_time, times_of
from ctmodels._posteriors import ControlPosterior, Inferred, follow
from ctmodels.distributions import Gaussian
from ctmodels.fields import Langevin
from ctmodels.fields._boundedness import check_bounded


def _check(self, x, ts, key, **_) -> None:
    check_reads(self, x, ts, key)


def _checked_dynamics(dynamics: Any) -> Any:
    if not isinstance(dynamics, Langevin):
        raise TypeError(f"dynamics: {kind_of(dynamics)}, where the prior's are wanted: ct.fields.Langevin(potential)")
    if dynamics.control is not None or dynamics.weighed:
        raise ValueError("dynamics: the prior has no control, which is the posterior's: give ct.fields.Langevin(U)")
    return dynamics


class LangevinFlow(AbstractLatent):
    r"""p: $(z_0, v_0) \sim$ `start`, then `dynamics`; q: another start, and a force r more,
    $dv = (-\nabla U(z) - \gamma v + r)\,dt + \sqrt{2 \gamma T}\,dW$, which knows the series. The divergence of the
    paths is a sum over steps, each exact: with $a = e^{-\gamma h}$, the velocity after a step of length h is normal in
    both, of variance $T (1 - a^2)$, and the means are $(1 - a)\,r / \gamma$ apart. Beyond the last row r is 0.

    `x` is a [`ctmodels.Series`][] or a [`ctmodels.Record`][] of bins. **Times are the ends of bins**, the first of
    which begins at `t0`: a bin is as wide as its time is after the one before, and rates are per unit of time. Bins in
    which nothing was observed stay in the series, with a mask. `ts` are the ends of the bins that are wanted, those of
    `x` if not given, beyond the data too. `ys` is `(out, channel)`: what is expected of each bin; `predictive` its
    distribution; `latents` are positions and velocities, `(out, 2 * latent)`; `kl` is of start and path together, one
    sample of the latter. A `key` draws start and path from q; without, they are the start's mean and the path without
    noise. Of channels that are wanted there may be others than are read, such as held-out neurons.

    It is trained by the evidence bound, [`ctmodels.losses.likelihood`][] with [`ctmodels.regularisers.kl`][] of weight
    one over the number of observed entries, or by [`ctmodels.losses.iwae`][].

    **Arguments:**

    - `posterior`: [`ctmodels.ControlPosterior`][]. What it reads says whether an output knows what came later.
    - `dynamics`: the prior's, [`ctmodels.fields.Langevin`][] without control; of friction and temperature above zero,
      as the divergence divides by both.
    - `start`: of position and velocity, a [`ctmodels.distributions.Gaussian`][] of shape `(2 * latent,)`, learned.
    - `decoder`: position and velocity -> channels: what `observation` takes, log rates per unit of time by default.
    - `observation`: [`ctmodels.PoissonCounts`][], [`ctmodels.NegativeBinomialCounts`][],
      [`ctmodels.GaussianValues`][].
    - `attention`: of the whole path before the decoder, [`ctmodels.TransformerLayer`][]; causal or not, as it says.
    - `integrate`: its method is [`ctmodels.BAOAB`][], [`ctmodels.OBABO`][], or one of additive noise.
    - `t0`: where the first bin begins, for all series; None: at the first row that was seen, which then has no width.
    - `at_observations`: as of [`ctmodels.LatentSDE`][].
    - `reads_context`: whether the decoder is told, besides, of the encoder's state over the bin,
      `(2 * latent + hidden,)`, as in the code that was released; it can then leave the dynamics aside.

    **Good values:** times in units of some ten bins; friction that forgets a velocity within some bins, gamma h of 0.1
    to 1; a temperature of 1, as the scales of potential and decoder are free;
    [`ctmodels.fields.MLPPotential`][] or `CoupledOscillators`; `at_observations=False` where what is asked are the
    data's bins; coordinated dropout, and the divergence weighted from zero to one in the first fifth of training.
    """

    posterior: ControlPosterior
    dynamics: Langevin = eqx.field(converter=_checked_dynamics)
    start: Gaussian
    decoder: Callable
    observation: AbstractObservation = PoissonCounts()
    attention: TransformerLayer | None = None
    integrate: Integrate = Integrate(BAOAB(), Substeps(1))
    t0: float | None = eqx.field(static=True, default=0.0)
    at_observations: bool = eqx.field(static=True, default=True)
    reads_context: bool = eqx.field(static=True, default=False)

    @before(_check)
    def __call__(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> Output:
        return self._drawn(x, ts, key)[0]

    @before(_check)
    def draw(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray
    ) -> tuple[Output, Float[Array, ""]]:
        """What follows from one path of q, and log p - log q of it."""
        check_key(key, needed=True)
        return self._drawn(x, ts, key)

    def prior(self, ts: Float[Array, " out"], *, key: PRNGKeyArray | None = None) -> Output:
        """Bins of a path that knows no series, the first of which begins at `t0`; without a key, of the mean start and
        without noise. A potential that falls without bound is refused, as its paths run away."""
        check_bounded(self.dynamics.potential, self.start.mean.shape[0] // 2)
        if self.reads_context:
            raise ValueError("reads_context: the decoder is told of a series, and the prior knows none: give False")
        integrate, dynamics, s0 = *without_noise(self.integrate, self.dynamics), self.start.mean
        if key is not None:
            of_start, key = jax.random.split(key)
            integrate, dynamics, s0 = self.integrate, self.dynamics, self.start.sample(of_start)
        t0 = ts[0] if self.t0 is None else jnp.asarray(self.t0, ts.dtype)
        at = times_from(t0, ts)
        states, stats = integrate(dynamics, at, s0, key=key)
        return self._observed(states[1:], jnp.diff(at), stats)

    def infer(self, x: Series | Record) -> tuple[Inferred, Float[Array, ""]]:
        """What is believed of the path once `x` was read, and the time at which it begins."""
        t0 = start_time(x, self.t0)
        q = self.posterior.read(x, t0)
        if q.start.mean.shape != self.start.mean.shape:
            raise ValueError(
                f"start: of shape {self.start.mean.shape}, and the posterior's of {q.start.mean.shape}: make both "
                "(2 * latent,), of position and velocity"
            )
        return q, t0

    def _drawn(self, x, ts, key) -> tuple[Output, Float[Array, ""]]:
        (q, t0), ts = self.infer(x), times_of(x) if ts is None else ts
        of_start, of_path = (None, None) if key is None else jax.random.split(key)
        s0 = q.start.mean if of_start is None else q.start.sample(of_start)
        n, at = s0.shape[0], times_from(t0, ts)
        told = self.dynamics if self.posterior.control is None else self._controlled(q)
        extra = 2 * told.weighed
        integrate, told = (self.integrate, told) if of_path is not None else without_noise(self.integrate, told)
        states, last, stats = follow(
            integrate, told, q.path, jnp.pad(s0, (0, extra)), at, key=of_path, at_knots=self.at_observations
        )
        path_kl, path_weight = last[n:] if extra else jnp.zeros(2, s0.dtype)
        context = jax.vmap(q.path)(at[:-1])[:, :-2] if self.reads_context else None
        out = self._observed(states[:, :n], jnp.diff(at), stats, context)
        weight = jnp.sum(self.start.log_prob(s0) - q.start.log_prob(s0)) + path_weight
        return dataclasses.replace(out, kl=jnp.sum(q.start.kl(self.start)) + path_kl), weight

    def _controlled(self, q: Inferred) -> Langevin:
        """The dynamics under the posterior's force, which ends with the last row."""
        force = lambda t, state, path: jnp.where(path(t)[-1] > 0, q.drift(t, state, path(t)), 0)
        return dataclasses.replace(self.dynamics, control=force, weighed=True)

    def _observed(self, states: Float[Array, "out state"], widths, stats: Stats, context=None) -> Output:
        read = states if self.attention is None else self.attention(states, widths > 0)
        read = read if context is None else jnp.concatenate([read, context], axis=1)
        predictive = self.observation(jax.vmap(self.decoder)(read), widths)
        return Output(predictive.mean, stats, states, predictive=predictive)
