"""log p(y, z) of a stochastic equation on a grid of times, its expectation under a Gaussian Markov chain, and the
gradient of that in the chain's mean parameters.

As the noise does not depend on the state, all expectations are over one state (Stein's lemma), none over a pair.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.scipy.linalg import cho_solve, solve_triangular
from jaxtyping import Array, Bool, Float

from ctmodels._core._series import Series
from ctmodels.trajectories._chain import Moments
from ctmodels.trajectories._expectations import Nodes, default_nodes
from ctmodels.trajectories._smoothing import Prior

Drift = Callable[[Float[Array, ""], Float[Array, " state"]], Float[Array, " state"]]
Diffusion = Callable[[Float[Array, ""]], Float[Array, " state"]]
Likelihood = Callable[[Float[Array, " state"], Float[Array, " channel"], Bool[Array, " channel"]], Float[Array, ""]]


class Joint(NamedTuple):
    """log p(y, z) on the grid: of steps `h` and variances `variance`, both of each interval."""

    drift: Drift
    likelihood: Likelihood
    series: Series
    h: Float[Array, " rest"]
    variance: Float[Array, "rest state"]
    prior: Prior
    nodes: Nodes


def joint_density(drift, diffusion, likelihood, series, prior, nodes) -> Joint:
    """With the defaults filled in, and nothing under the mask."""
    h = jnp.diff(series.ts)
    rates = jax.vmap(diffusion)(series.ts[:-1]) ** 2
    size, dtype = rates.shape[1], series.ys.dtype
    prior = (jnp.zeros(size, dtype), jnp.eye(size, dtype=dtype)) if prior is None else prior
    # A padded step takes no time. Any noise will do for it, as nothing observed comes after.
    variance = rates * jnp.where(h > 0, h, 1)[:, None]
    seen = eqx.tree_at(lambda s: s.ys, series, jnp.where(series.mask, series.ys, 0))
    nodes = jax.tree.map(lambda a: a.astype(dtype), default_nodes(size)) if nodes is None else nodes
    return Joint(drift, likelihood, seen, h, variance, prior, nodes)


def stopped(joint: Joint) -> Joint:
    """Without gradients in anything but states, also not in what drift and likelihood close over."""
    t, y, mask = (
        jax.ShapeDtypeStruct(a.shape[1:], a.dtype) for a in (joint.series.ts, joint.series.ys, joint.series.mask)
    )
    z = jax.ShapeDtypeStruct(joint.prior[0].shape, y.dtype)
    drift = eqx.filter_closure_convert(joint.drift, t, z)
    likelihood = eqx.filter_closure_convert(joint.likelihood, z, y, mask)
    constant = lambda a: jax.lax.stop_gradient(a) if eqx.is_inexact_array(a) else a
    return jax.tree.map(constant, joint._replace(drift=drift, likelihood=likelihood))


def target(joint: Joint, mean, cov, cross):
    """The gradient of E_q[log p(y, z)] in the mean parameters, that is in E[z] and E[z z'] about the present mean."""
    pull, of_cov, of_cross = jax.grad(_expected, argnums=(1, 2, 3))(joint, mean, cov, cross)
    return pull, -(of_cov + of_cov.mT), -of_cross


def _expected(joint: Joint, mean, cov, cross):
    """E_q[log p(y, z)] but for constants, in moments of which it is a simple function: for its gradient."""
    change, slope, rest = _linearised(joint, mean, cov)
    h = joint.h[:, None]
    apart, spread = cross - cov[:-1], jnp.diagonal(cov[1:] + cov[:-1] - 2 * cross, axis1=1, axis2=2)
    bent = jnp.einsum("tij,tjk,tik->ti", slope, cov[:-1], slope) + rest
    moment = (jnp.diff(mean, axis=0) - h * change) ** 2 + spread - 2 * h * jnp.sum(apart * slope, axis=2) + h**2 * bent
    return _observed(joint, mean, cov) - 0.5 * (jnp.sum(moment / joint.variance) + _of_prior(joint, mean[0], cov[0]))


def bound(joint: Joint, found: Moments):
    """E_q[log p(y, z)] and the entropy of q, as a sum of terms that are small each where q is near p: for its value."""
    mean, cov, gain, spread, log_det = found
    change, slope, rest = _linearised(joint, mean, cov)
    h = joint.h[:, None]
    missed = gain - jnp.eye(mean.shape[1], dtype=mean.dtype)[None] - h[:, None] * slope
    moment = (jnp.diff(mean, axis=0) - h * change) ** 2 + jnp.diagonal(spread[1:], axis1=1, axis2=2)
    moment = moment + jnp.einsum("tij,tjk,tik->ti", missed, cov[:-1], missed) + h**2 * rest
    steps = jnp.sum(moment / joint.variance - 1 + jnp.log(joint.variance), axis=1) - log_det[1:]
    log_det_prior = 2 * jnp.sum(jnp.log(jnp.diagonal(jnp.linalg.cholesky(joint.prior[1]))))
    first = _of_prior(joint, mean[0], cov[0]) - mean.shape[1] + log_det_prior - log_det[0]
    return _observed(joint, mean, cov) - 0.5 * (jnp.sum(steps) + first)


def _of_prior(joint: Joint, mean, cov):
    """E[(z - m)' inverse(P) (z - m)] of the first state."""
    error = mean - joint.prior[0]
    factor = jnp.linalg.cholesky(joint.prior[1])
    return jnp.trace(cho_solve((factor, True), jnp.outer(error, error) + cov))


def _linearised(joint: Joint, mean, cov):
    """Of the drift at each time but the last: its mean, its regression on the state, and the variance left over."""
    points, weights = joint.nodes.points, joint.nodes.weights

    def at(t, mean, cov):
        zs, factor = _spread(mean, cov, points)
        f = jax.vmap(lambda z: joint.drift(t, z))(zs)
        change = weights @ f
        on_points = (weights[:, None] * (f - change[None])).T @ points
        rest = weights @ (f - change[None] - points @ on_points.T) ** 2
        return change, solve_triangular(factor, on_points.T, lower=True, trans="T").T, rest

    return jax.vmap(at)(joint.series.ts[:-1], mean[:-1], cov[:-1])


def _observed(joint: Joint, mean, cov):
    """E_q[log p(y | z)]."""

    def at(mean, cov, y, mask):
        zs, _ = _spread(mean, cov, joint.nodes.points)
        expected = joint.nodes.weights @ jax.vmap(lambda z: joint.likelihood(z, y, mask))(zs)
        return jnp.where(jnp.any(mask), expected, 0)

    return jnp.sum(jax.vmap(at)(mean, cov, joint.series.ys, joint.series.mask))


def _spread(mean, cov, points):
    factor = jnp.linalg.cholesky(cov)
    return mean[None] + points @ factor.T, factor
