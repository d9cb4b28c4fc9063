r"""The states behind a series under a stochastic differential equation, by natural-gradient variational inference.

$dz = f(t, z)\,dt + g(t)\,dW$ in Euler's steps, $y_i \sim p(y \mid z_i)$, and q a Gaussian Markov chain. Hu, Smith and
Linderman, "SING: SDE inference via natural gradients" (2025); conjugate steps: Khan and Lin (2017).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.stats import norm
from jaxtyping import Array, Bool, Float, Int

from ctmodels._core._arguments import before
from ctmodels._core._series import Series
from ctmodels.trajectories._chain import GaussianChain, Moments, moments
from ctmodels.trajectories._checks import check_model, check_refinement, check_search
from ctmodels.trajectories._expectations import Nodes
from ctmodels.trajectories._joint_density import (
    Diffusion,
    Drift,
    Joint,
    Likelihood,
    bound,
    joint_density,
    stopped,
    target,
)
from ctmodels.trajectories._smoothing import Observe, Prior

SMALLEST_RATE = 1e-6  # where so short a step does not raise the bound, none does


class GaussianLikelihood(eqx.Module):
    """y = observe(z) + N(0, variance), entry by entry: a likelihood for [`ctmodels.smoothing.smooth_sde`][].

    `variance` `(channel,)`; `observe(z) -> channels`, default: the first entries of the state.
    """

    variance: Float[Array, " channel"]
    observe: Observe | None = None

    def __call__(
        self, z: Float[Array, " state"], y: Float[Array, " channel"], mask: Bool[Array, " channel"]
    ) -> Float[Array, ""]:
        """The logarithm of the density of what was observed of a row."""
        expected = z[: y.size] if self.observe is None else self.observe(z)
        if self.variance.shape != y.shape:
            raise ValueError(f"variance: shape {self.variance.shape} for rows of shape {y.shape}: one for each channel")
        if expected.shape != y.shape:
            raise ValueError(
                f"observe: gives shape {expected.shape} for rows of shape {y.shape}: what is seen of a state"
            )
        return jnp.sum(jnp.where(mask, norm.logpdf(y, expected, jnp.sqrt(self.variance)), 0))


class SmoothedSDE(eqx.Module):
    """What the data and the equation say about the states.

    - `mean` `(time, state)`, `cov` `(time, state, state)`: given the whole series.
    - `cross` `(time - 1, state, state)`: covariance of each state with the one before it.
    - `elbo`: lower bound of the log-likelihood of the series, a scalar.
    - `chain`: [`ctmodels.smoothing.GaussianChain`][], to start from next time.
    - `iterations`: how many natural-gradient steps were tried; `converged`: whether the bound had settled.
    """

    mean: Float[Array, "*batch time state"]
    cov: Float[Array, "*batch time state state"]
    cross: Float[Array, "*batch rest state state"]
    elbo: Float[Array, "*batch"]
    chain: GaussianChain
    iterations: Int[Array, "*batch"]
    converged: Bool[Array, "*batch"]


@before(check_search)
def smooth_sde(
    drift: Drift,
    diffusion: Diffusion,
    likelihood: Likelihood,
    series: Series,
    *,
    prior: Prior | None = None,
    nodes: Nodes | None = None,
    start: GaussianChain | None = None,
    rate: float = 1.0,
    steps: int = 100,
    tolerance: float = 1e-6,
) -> SmoothedSDE:
    r"""Smooth one series under $dz = f(t, z)\,dt + g(t)\,dW$ and any likelihood, missing values included, without
    solving the equation. Pure: jit and vmap it.

    The posterior is a Gaussian Markov chain q with natural parameters $\eta$ and mean parameters $\mu$, the best by

    $$\mathrm{ELBO} = E_q\Big[\log p(z_0) + \sum_i \log N\big(z_{i+1};\, z_i + h_i f(t_i, z_i),\, h_i g(t_i)^2\big)
      + \sum_i \log p(y_i \mid z_i)\Big] - E_q[\log q(z)] \le \log p(y)$$

    found by natural-gradient steps, $\eta \leftarrow (1 - \rho)\,\eta + \rho\,\nabla_\mu E_q[\log p(y, z)]$ (Hu, Smith
    and Linderman 2025). Of a linear drift and a linear Gaussian likelihood one step of $\rho = 1$ is exact: the bound
    is the likelihood, the moments those of [`ctmodels.smoothing.smooth`][]. Elsewhere $\rho$ is halved where the
    bound would fall, and doubled after a step that was taken.

    The gradient of `elbo` is that at fixed q, which at the optimum is the whole: one call gives a step of expectation
    maximisation for whatever drift, diffusion, likelihood or prior are made of.

    **Arguments:**

    - `drift(t, z)`, `diffusion(t)` `-> (state,)`: diffusion of each entry, positive, the same for all states.
    - `likelihood(z, y, mask)`: scalar, of one row `(channel,)`, where `y` is 0 wherever it was not observed:
        [`ctmodels.smoothing.GaussianLikelihood`][] or one's own. What it says of rows without any observation does not
        count, but must be a number.
    - `series`: `(time, channel)`, whose times are the grid of Euler's steps: [`ctmodels.smoothing.refine`][] it.
    - `prior`: mean and covariance of the first state; default zero and one, as fits z-scored data.
    - `nodes`: how expectations over a state are taken; default: [`ctmodels.smoothing.gauss_hermite`][] for up to three
        dimensions, [`ctmodels.smoothing.cubature`][] for more. The bound is one as far as they are exact.
    - `start`: the chain of an earlier call. Default: the posterior without drift.
    - `rate`: the largest $\rho$, and the first; in (0, 1]. `steps`: at most so many; `tolerance`: a gain of so many
        nats, per unit of $\rho$, ends the search, and rounding may end it before.

    **Returns:** [`ctmodels.smoothing.SmoothedSDE`][]. Of what is no number, or of no diffusion, `elbo` is NaN.

    !!! example "Good values"

        Steps by which the drift changes by less than a tenth; z-scored data. A chaotic drift whose states are not all
        observed has poor local optima: smooth first with a diffusion a hundred times as large, then with a half, a
        fifth, a tenth of it and so on, each from the `chain` of the one before.
    """
    joint = joint_density(drift, diffusion, likelihood, series, prior, nodes)
    still = stopped(joint)
    first = _at(still, _first(still) if start is None else jax.lax.stop_gradient(start))
    search = _Search(first, jnp.asarray(rate, first.elbo.dtype), jnp.asarray(0), jnp.asarray(False))
    more = lambda s: (s.iterations < steps) & ~s.settled & (s.rate > SMALLEST_RATE)
    search = jax.lax.while_loop(more, lambda s: _again(still, s, rate, tolerance), search)
    chain, found, _ = jax.lax.stop_gradient(search.point)
    elbo = bound(joint, found)
    return SmoothedSDE(found.mean, found.cov, found.cross, elbo, chain, search.iterations, search.settled)


@before(check_model)
def evidence_bound(
    drift: Drift,
    diffusion: Diffusion,
    likelihood: Likelihood,
    series: Series,
    chain: GaussianChain,
    *,
    prior: Prior | None = None,
    nodes: Nodes | None = None,
) -> Float[Array, ""]:
    """The lower bound of the log-likelihood of a series that a chain gives, as in [`ctmodels.smoothing.smooth_sde`][]:
    for several steps of learning between two of smoothing.

    **Arguments:** `chain`: of `SmoothedSDE`; the others are those of `smooth_sde`. **Returns:** a scalar, in nats.
    """
    joint = joint_density(drift, diffusion, likelihood, series, prior, nodes)
    return bound(joint, moments(chain, jnp.zeros_like(chain.mean)))


@before(check_refinement)
def refine(series: Series, substeps: int) -> Series:
    """The series on a finer grid: between neighbouring rows `substeps - 1` more, equally spaced, unobserved.

    **Arguments:** `series`: `(time, channel)`; `substeps`: for each interval. **Returns:** a `Series`, whose rows
    `[::substeps]` are those given.
    """
    parts = jnp.arange(substeps, dtype=series.ts.dtype) / substeps
    inner = series.ts[:-1, None] + jnp.diff(series.ts)[:, None] * parts[None]
    spread = lambda a: jnp.zeros((inner.size + 1, a.shape[1]), a.dtype).at[::substeps].set(a)
    return Series(jnp.append(jnp.ravel(inner), series.ts[-1]), spread(series.ys), spread(series.mask))


class _Point(NamedTuple):
    chain: GaussianChain
    moments: Moments
    elbo: Float[Array, ""]


class _Search(NamedTuple):
    point: _Point
    rate: Float[Array, ""]
    iterations: Int[Array, ""]
    settled: Bool[Array, ""]


def _first(joint: Joint) -> GaussianChain:
    """The posterior without drift, its likelihood looked at under the prior of the first state; where that is none (the
    likelihood is not concave there), the random walk itself."""
    mean, cov = joint.prior
    rows, none = joint.series.ts.size, jnp.zeros((joint.h.size, *cov.shape), cov.dtype)
    around = jnp.tile(mean, (rows, 1)), jnp.tile(cov, (rows, 1, 1)), none
    pull, *precision = target(joint._replace(drift=lambda t, z: jnp.zeros_like(z)), *around)
    found = moments(GaussianChain(around[0], *precision), pull)
    informed = GaussianChain(found.mean, *precision)
    whole = jnp.all(jnp.isfinite(found.mean)) & jnp.all(jnp.isfinite(found.log_det))
    return jax.tree.map(lambda a, b: jnp.where(whole, a, b), informed, _walk(joint, around[0]))


def _walk(joint: Joint, mean) -> GaussianChain:
    """The diffusion alone."""
    steps = jax.vmap(jnp.diag)(1 / joint.variance)
    none = jnp.zeros_like(steps[:1])
    diagonal = jnp.concatenate([steps, none]) + jnp.concatenate([none, steps])
    return GaussianChain(mean, diagonal.at[0].add(jnp.linalg.inv(joint.prior[1])), -steps)


def _at(joint: Joint, chain: GaussianChain, pull=None) -> _Point:
    """The chain with `pull` added to its linear terms, and what the bound is there."""
    found = moments(chain, jnp.zeros_like(chain.mean) if pull is None else pull)
    return _Point(eqx.tree_at(lambda c: c.mean, chain, found.mean), found, bound(joint, found))


def _again(joint: Joint, search: _Search, most: float, tolerance: float) -> _Search:
    """A natural-gradient step, taken if the bound does not fall by more than rounding."""
    old, rate = search.point, search.rate
    pull, diagonal, below = target(joint, old.moments.mean, old.moments.cov, old.moments.cross)
    mix = lambda old, new: old + rate * (new - old)
    chain = GaussianChain(old.moments.mean, mix(old.chain.diagonal, diagonal), mix(old.chain.below, below))
    new = _at(joint, chain, rate * pull)
    gain = new.elbo - old.elbo
    rounding = 8 * jnp.finfo(gain.dtype).eps * (joint.series.ts.size + jnp.abs(old.elbo))
    taken = jnp.isfinite(new.elbo) & ~(gain < -rounding)
    settled = jnp.abs(gain) <= jnp.maximum(tolerance * rate, rounding)
    point = jax.tree.map(lambda new, old: jnp.where(taken, new, old), new, old)
    return _Search(point, jnp.where(taken, jnp.minimum(most, 2 * rate), rate / 2), search.iterations + 1, settled)
