"""The states behind a noisy, partly observed series, under any flow.

z_{i+1} = flow(t_i, t_{i+1}, z_i) + N(0, h_i Q),  x_i = z_i[:channels] + N(0, R),  Q and R diagonal.

Forward an extended Kalman filter, backward Rauch, Tung and Striebel's smoother (1965); Q and R by expectation
maximisation on the linearised flow (Shumway and Stoffer 1982; Ghahramani and Roweis 1999). Särkkä, "Bayesian
Filtering and Smoothing" (2013), chapters 5, 9 and 12.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ctmodels._series import Series

Flow = Callable[[Float[Array, ""], Float[Array, ""], Float[Array, " state"]], Float[Array, " state"]]


class Noise(eqx.Module):
    """`process`: variance that the flow's error gains per unit of time, `(state,)`; `observation`: variance of
    the measurement, `(channel,)`."""

    process: Float[Array, "*batch state"]
    observation: Float[Array, "*batch channel"]


class Smoothed(eqx.Module):
    """What the data and the flow say about the states.

    - `mean` `(time, state)`, `cov` `(time, state, state)`: given the whole series.
    - `filtered` `(time, state)`, `filtered_cov`: given the series up to each time; start a forecast from the last.
    - `log_likelihood`: of the observations, a scalar.
    - `noise`: the expectation-maximisation update of the noise that was assumed.
    """

    mean: Float[Array, "*batch time state"]
    cov: Float[Array, "*batch time state state"]
    filtered: Float[Array, "*batch time state"]
    filtered_cov: Float[Array, "*batch time state state"]
    log_likelihood: Float[Array, "*batch"]
    noise: Noise


def smooth(
    flow: Flow,
    series: Series,
    noise: Noise,
    *,
    prior: tuple[Float[Array, " state"], Float[Array, "state state"]] | None = None,
) -> Smoothed:
    """Filter and smooth one series, missing values included. Pure: jit and vmap it.

    **Arguments:**

    - `flow(t0, t1, z) -> z1`: the solution from t0 to t1. Any: a learned field's, a random walk, a map.
    - `series`: `(time, channel)`; its channels are the first ones of the state.
    - `noise`: variances assumed.
    - `prior`: mean and covariance of the first state; default zero and one, as fits z-scored data.

    **Returns:** [`ctmodels.Smoothed`][]; its `noise` is the update to assume next time.
    """
    size = noise.process.shape[0]
    dtype = series.ys.dtype
    mean, cov = (jnp.zeros(size, dtype), jnp.eye(size, dtype=dtype)) if prior is None else prior
    first = _update(mean, cov, series.ys[0], series.mask[0], noise.observation)
    forward = _filter(flow, series, noise, first[:2])
    (filtered, covs), (predicted, predicted_covs, transitions), gains = forward
    filtered = jnp.concatenate([first[0][None], filtered])
    covs = jnp.concatenate([first[1][None], covs])
    inside = (filtered[:-1], covs[:-1], predicted, predicted_covs, transitions)
    means_s, covs_s, backs = _rts(inside, (filtered[-1], covs[-1]))
    update = Noise(_process(series.ts, means_s, covs_s, backs, inside), _observation(series, means_s, covs_s))
    return Smoothed(means_s, covs_s, filtered, covs, first[2] + jnp.sum(gains), update)


def tune_noise(flow: Flow, series: Series, noise: Noise, *, rounds: int = 4, prior=None) -> Noise:
    """The noise under which the series is likeliest.

    Expectation maximisation finds the observation noise in a few iterations, but creeps when the process noise
    is orders of magnitude off; so each round also tries multiples of it and keeps the likeliest. A stretch of
    one or two thousand samples is enough.
    """
    multiples = jnp.asarray([0.01, 0.1, 0.3, 1.0, 3.0, 10.0], series.ys.dtype)

    def again(noise, _):
        trials = jax.vmap(lambda m: smooth(flow, series, Noise(m * noise.process, noise.observation), prior=prior))(
            multiples
        )
        best = jnp.argmax(jnp.where(jnp.isnan(trials.log_likelihood), -jnp.inf, trials.log_likelihood))
        return jax.tree.map(lambda a: a[best], trials.noise), None

    return jax.lax.scan(again, noise, length=rounds)[0]


def coast(t0, t1, z):
    """The flow of free motion, z = (q, q'): with process noise on q' it smooths without knowing any law."""
    half = z.shape[0] // 2
    return jnp.concatenate([z[:half] + (t1 - t0) * z[half:], z[half:]])


def _filter(flow: Flow, series: Series, noise: Noise, first):
    def step(carry, now):
        mean, cov = carry
        t0, t1, y, mask = now
        predicted, F = flow(t0, t1, mean), jax.jacfwd(lambda z: flow(t0, t1, z))(mean)
        predicted_cov = _symmetric(F @ cov @ F.T) + jnp.abs(t1 - t0) * jnp.diag(noise.process)
        mean, cov, gain = _update(predicted, predicted_cov, y, mask, noise.observation)
        return (mean, cov), ((mean, cov), (predicted, predicted_cov, F), gain)

    _, out = jax.lax.scan(step, first, (series.ts[:-1], series.ts[1:], series.ys[1:], series.mask[1:]))
    return out


def _update(mean, cov, y, mask: Bool[Array, " channel"], observation):
    """Condition on the observed entries. A missing one has a row of zeros in H and variance one, so that it
    changes nothing and the shapes stay."""
    H = jnp.where(mask[:, None], jnp.eye(y.shape[0], mean.shape[0], dtype=mean.dtype), 0)
    R = jnp.diag(jnp.where(mask, observation, 1))
    residual = jnp.where(mask, y, 0) - H @ mean
    factor = jax.scipy.linalg.cho_factor(H @ cov @ H.T + R, lower=True)
    K = jax.scipy.linalg.cho_solve(factor, H @ cov).T
    left = jnp.eye(mean.shape[0], dtype=mean.dtype) - K @ H
    # Joseph's form keeps the covariance positive in float32.
    cov = _symmetric(left @ cov @ left.T + K @ R @ K.T)
    whitened = residual @ jax.scipy.linalg.cho_solve(factor, residual)
    log_det = 2 * jnp.sum(jnp.log(jnp.diagonal(factor[0])))
    count = jnp.sum(mask, dtype=mean.dtype)
    return mean + K @ residual, cov, -0.5 * (whitened + log_det + count * jnp.log(2 * jnp.pi))


def _rts(inside, last):
    def step(carry, now):
        mean_next, cov_next = carry
        mean, cov, predicted, predicted_cov, F = now
        G = jnp.linalg.solve(_regular(predicted_cov), F @ cov).T
        mean = mean + G @ (mean_next - predicted)
        cov = _symmetric(cov + G @ (cov_next - predicted_cov) @ G.T)
        return (mean, cov), (mean, cov, cov_next @ G.T)

    _, (means, covs, cross) = jax.lax.scan(step, last, inside, reverse=True)
    return jnp.concatenate([means, last[0][None]]), jnp.concatenate([covs, last[1][None]]), cross


def _process(ts, means, covs, cross, inside):
    """E[(z_{i+1} - flow(z_i))^2] / h_i, averaged; the flow linearised at the filtered mean."""
    filtered, _, predicted, _, F = inside
    residual = means[1:] - predicted - jnp.einsum("tij,tj->ti", F, means[:-1] - filtered)
    spread = covs[1:] + F @ covs[:-1] @ F.mT - F @ cross.mT - cross @ F.mT
    h = jnp.abs(jnp.diff(ts))[:, None]
    rate = (residual**2 + jnp.diagonal(spread, axis1=1, axis2=2)) / jnp.where(h > 0, h, 1)
    mean = jnp.sum(jnp.where(h > 0, rate, 0), axis=0) / jnp.maximum(jnp.sum(h > 0, dtype=h.dtype), 1)
    return jnp.maximum(mean, 1e-8)


def _observation(series: Series, means, covs):
    channels = series.ys.shape[1]
    variance = jnp.diagonal(covs, axis1=1, axis2=2)[:, :channels]
    square = jnp.where(series.mask, (series.ys - means[:, :channels]) ** 2 + variance, 0)
    return jnp.maximum(jnp.sum(square, axis=0) / jnp.maximum(jnp.sum(series.mask, axis=0, dtype=square.dtype), 1), 1e-8)


def _symmetric(A):
    return 0.5 * (A + A.T)


def _regular(A):
    # A state that nothing disturbs has a singular covariance; the jitter is far below any noise of interest.
    return A + 1e-8 * jnp.eye(A.shape[0], dtype=A.dtype)
