r"""The latent SDE: an unseen path $dz = h(t, z)\,dt + g(t, z)\,dW$, of which a series tells something.

Li, Wong, Chen, Duvenaud (2020), whose posterior is a drift; Bartosh, Vetrov, Naesseth (2025), whose posterior is its
marginals.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key
from ctmodels._core._model import AbstractMatched
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_reads
from ctmodels._core._series import Record, Series
from ctmodels._core._times import increasing, times_from
from ctmodels._core._words import kind_of
from ctmodels._integrate import Integrate, Substeps, without_noise
from ctmodels._online import start_time, times_of
from ctmodels._posteriors import AbstractPosterior, Inferred, follow
from ctmodels.distributions import Gaussian
from ctmodels.fields import SDE, AbstractSDE
from ctmodels.fields._sde import checked_sde


def _check(self, x, ts, key, **_) -> None:
    check_reads(self, x, ts, key)


def _checked_posterior(posterior: Any) -> Any:
    if not isinstance(posterior, AbstractPosterior):
        raise TypeError(
            f"posterior: {kind_of(posterior)}, where a posterior of paths is wanted: ct.DriftPosterior(encoder, start, "
            "drift) or ct.MarginalPosterior(encoder, marginals, focus)"
        )
    return posterior


class LatentSDE(AbstractMatched):
    r"""p: $z_0 \sim$ `start`, $dz = h\,dt + g\,dW$, y = decoder(z) and what scatters about it; q: another start and
    another drift f, which know the series, and the same g. The divergence of the paths is
    $E \int \frac12 |(f - h) / g|^2 dt$, up to the last time that is asked; beyond the last observation f is h.

    `x` is a [`ctmodels.Series`][] or a [`ctmodels.Record`][]; `ts` are the times at which outputs are wanted, those of
    `x` if not given. Steps go from each of these, and from each observation, to the next. z0 is the latent state at
    `t0`, before which it is held. `ys` is `(out, channel)`, `latents` is `(out, latent)`, `kl` is of start and path
    together, one sample of the latter; `predictive` is normal about `ys`, where `log_deviation` is given. A `key` draws
    start and path from q; without, it is the start's mean and the path without noise. An output at t knows what came
    later.

    It is trained by the evidence bound, [`ctmodels.losses.likelihood`][] with [`ctmodels.regularisers.kl`][] of weight
    one over the number of observed entries; by [`ctmodels.losses.iwae`][], which takes Euler's steps; or, with a
    posterior of marginals, without a solve by [`ctmodels.losses.matching`][].

    **Arguments:**

    - `posterior`: [`ctmodels.DriftPosterior`][] or [`ctmodels.MarginalPosterior`][].
    - `sde`: the prior, an Ito SDE of diagonal noise, `args` being None. The divergence divides by its diffusion: keep
      that from zero by [`ctmodels.fields.Positive`][]; where it is zero the solve fails with a status.
    - `start`: p(z0), a [`ctmodels.distributions.Gaussian`][] of shape `(latent,)`, learned.
    - `decoder`: latent state -> channels.
    - `integrate`: the solver.
    - `log_deviation`: of the observations, `(channel,)`, learned; None: the loss says what it is.
    - `t0`: the time at which z0 lies, for all series; None: at the first observation of each.
    - `at_observations`: whether steps begin at each observation too, and not at asked times alone. Where these are the
      observations', steps of no length lie between: False is twice as fast and the same.
    - `sticking`: whether a `kl` with a key is $\log q / p$ of the path that was drawn, noise and all, without the score
      of q in its gradient. With $u = (f - h) / g$, and a bar over what has the same value as a constant,

        $$\log\frac{\bar q(z_0)}{p(z_0)} + \int \tfrac12 |u|^2 dt + \int \bar u(t, z)\,dW$$

        In the mean it is the divergence, and so is its gradient. Where q is the true posterior, each path by itself
        gives the evidence, and no gradient for q to move by: training does not wander about it. Roeder, Wu, Duvenaud,
        "Sticking the landing" (2017); for SDEs, Xu, Chen, Li, Duvenaud (2022). It takes Euler's steps, each up
        to a third dearer.

    **Good values:** `Integrate(diffrax.Euler(), Substeps(1))` where observations are dense; the divergence weighted
    from zero to one in the first fifth of training; `sticking` where the bound is to be tight. A deviation that is
    learned takes over what the diffusion should say: look at [`ctmodels.metrics.quadratic_variation_ratio`][] of data
    to what is drawn.
    """

    posterior: AbstractPosterior = eqx.field(converter=_checked_posterior)
    sde: AbstractSDE = eqx.field(converter=checked_sde)
    start: Gaussian
    decoder: Callable
    integrate: Integrate = Integrate(diffrax.Euler(), Substeps(1))
    log_deviation: Float[Array, " channel"] | None = None
    t0: float | None = eqx.field(static=True, default=None)
    at_observations: bool = eqx.field(static=True, default=True)
    sticking: bool = eqx.field(static=True, default=False)

    def __check_init__(self):
        said = self.sde.noise, self.sde.interpretation
        if said != ("diagonal", "ito"):
            raise ValueError(
                f"sde: noise={said[0]!r}, interpretation={said[1]!r}: the divergence of two paths is known here of "
                "diagonal noise in Ito's sense: SDE(drift, diffusion)"
            )

    @before(_check)
    def __call__(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> Output:
        if self.sticking and key is not None:
            out, log_weight = self._weighed(x, ts, key, _constant)
            return dataclasses.replace(out, kl=-log_weight)
        q, t0 = self.infer(x)
        of_start, of_path = (None, None) if key is None else jax.random.split(key)
        z0 = q.start.mean if of_start is None else q.start.sample(of_start)
        # The divergence of the path is one more state, without noise.
        drift = lambda t, s, path: self._with_rates(t, s, path, q, lambda u: [_rate(u)])
        diffusion = lambda t, s, path: jnp.append(self.sde.diffusion(t, s[: z0.shape[0]], None), 0)
        out, (path_kl,) = self._follow(SDE(drift, diffusion), q, z0, t0, times_of(x) if ts is None else ts, of_path, 1)
        return dataclasses.replace(out, kl=jnp.sum(q.start.kl(self.start)) + path_kl)

    @before(_check)
    def draw(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray
    ) -> tuple[Output, Float[Array, ""]]:
        """What follows from one path of q, and log p - log q of it, by Girsanov's theorem for Euler's steps."""
        check_key(key, needed=True)
        return self._weighed(x, ts, key, lambda tree: tree)

    @before(_check)
    def match(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, points: int, key: PRNGKeyArray
    ) -> Output:
        """Outputs and divergence by the posterior's marginals, without a solve."""
        check_key(key, needed=True)
        q, t0 = self.infer(x)
        marginal = q.marginal
        if marginal is None:
            name = type(self.posterior).__name__
            raise ValueError(f"posterior: {name} has no marginals, which matching needs: take ct.MarginalPosterior")
        at = times_from(t0, times_of(x) if ts is None else ts)[1:]
        of_states, of_times, of_points = jax.random.split(key, 3)
        draw = lambda t, key: marginal(t).sample(key)
        zs = jax.vmap(draw)(at, jax.random.split(of_states, len(at)))

        parts = (jnp.arange(points, dtype=at.dtype) + jax.random.uniform(of_times, (points,), at.dtype)) / points
        mid = at[0] + (at[-1] - at[0]) * parts
        rates = jax.vmap(lambda t, key: self._mismatch(q, t, draw(t, key)))(mid, jax.random.split(of_points, points))
        path_kl = (at[-1] - at[0]).astype(rates.dtype) * jnp.mean(rates)
        stats = dataclasses.replace(Stats.of_grid(0, at, zs), evaluations=jnp.asarray(points, jnp.int32))
        return dataclasses.replace(self._observed(zs, stats), kl=jnp.sum(q.start.kl(self.start)) + path_kl)

    def prior(self, ts: Float[Array, " out"], *, key: PRNGKeyArray | None = None) -> Output:
        """A path that knows no series, from `ts[0]` on; without a key, of the mean start and without noise."""
        integrate, field, z0 = *without_noise(self.integrate, self.sde), self.start.mean
        if key is not None:
            of_start, key = jax.random.split(key)
            integrate, field, z0 = self.integrate, self.sde, self.start.sample(of_start)
        zs, stats = integrate(field, increasing(ts, "ts"), z0, key=key)
        return self._observed(zs, stats)

    def infer(self, x: Series | Record) -> tuple[Inferred, Float[Array, ""]]:
        """What is believed of the path once `x` was read, and the time at which it begins."""
        t0 = start_time(x, self.t0)
        q = self.posterior.read(x, t0, self.sde)
        if q.start.mean.shape != self.start.mean.shape:
            raise ValueError(
                f"start: of shape {self.start.mean.shape}, and the posterior's of {q.start.mean.shape}: make both "
                "(latent,), as the SDE's state is"
            )
        return q, t0

    def _follow(
        self, sde: AbstractSDE, q: Inferred, z0, t0, ts, key, extra: int, integrate: Integrate | None = None
    ) -> tuple:
        """Outputs at `ts`, and the last values of so many states more, which begin at zero."""
        integrate, field = self.integrate if integrate is None else integrate, sde
        if key is None:
            integrate, field = without_noise(self.integrate, sde)
        at, s0 = times_from(t0, ts), jnp.pad(z0, (0, extra))
        states, last, stats = follow(integrate, field, q.path, s0, at, key=key, at_knots=self.at_observations)
        return self._observed(states[:, :-extra], stats), last[-extra:]

    def _weighed(self, x, ts, key, hold: Callable) -> tuple[Output, Float[Array, ""]]:
        """As `draw`. What weighs is a function of z, of which `hold` says whether it is a constant."""
        (q, t0), scored, of_start, of_path = self.infer(x), hold(self), *jax.random.split(key)
        held, z0, n = scored.infer(hold(x))[0], q.start.sample(of_start), q.start.mean.shape[0]

        def diffusion(t, s, path):
            g, u = self.sde.diffusion(t, s[:n], None), scored._slopes(t, s[:n], hold(path), held)[2]
            return jnp.concatenate([jnp.diag(g), jnp.zeros_like(u)[None], -u[None]])

        rates = lambda u: [_rate(u), -_rate(u)]
        sde = SDE(lambda t, s, path: self._with_rates(t, s, path, q, rates), diffusion, noise="general")
        euler, ts = dataclasses.replace(self.integrate, method=diffrax.Euler()), times_of(x) if ts is None else ts
        out, (path_kl, log_weight) = self._follow(sde, q, z0, t0, ts, of_path, 2, euler)
        out = dataclasses.replace(out, kl=jnp.sum(q.start.kl(self.start)) + path_kl)
        return out, log_weight + jnp.sum(self.start.log_prob(z0) - held.start.log_prob(z0))

    def _slopes(self, t, z, path, q: Inferred) -> tuple[Array, Array, Array]:
        """The drift of q, the diffusion, and u = (f - h) / g."""
        held = path(t)
        known, h, g = held[-1] > 0, self.sde.drift(t, z, None), self.sde.diffusion(t, z, None)
        f = jnp.where(known, q.drift(t, z, held), h)
        return f, g, (f - h) / jnp.where(known, g, 1)

    def _with_rates(self, t, s, path, q: Inferred, rates: Callable) -> Float[Array, " states"]:
        f, _, u = self._slopes(t, s[: q.start.mean.shape[0]], path, q)
        return jnp.concatenate([f, jnp.stack(rates(u))])

    def _mismatch(self, q: Inferred, t, z) -> Float[Array, ""]:
        h, g = self.sde.drift(t, z, None), self.sde.diffusion(t, z, None)
        return _rate((q.drift(t, z, jnp.zeros(0)) - h) / g)

    def _observed(self, zs: Float[Array, "out latent"], stats: Stats) -> Output:
        ys = jax.vmap(self.decoder)(zs)
        if self.log_deviation is None:
            return Output(ys, stats, zs)
        spread = jnp.broadcast_to(self.log_deviation, ys.shape)
        return Output(ys, stats, zs, predictive=Gaussian(ys, log_deviation=spread))


def _rate(u: Float[Array, " latent"]) -> Float[Array, ""]:
    """Of the divergence, per unit of time."""
    return 0.5 * jnp.sum(u**2)


def _constant(tree):
    """The same, without gradient."""
    return jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_inexact_array(x) else x, tree)
