"""The states behind a noisy, partly observed series, under any flow.

z_{i+1} = flow(t_i, t_{i+1}, z_i) + N(0, h_i Q),  x_i = observe(z_i) + N(0, R),  Q and R diagonal.

Forward an extended Kalman filter, backward Rauch, Tung and Striebel's smoother (1965); Q and R by expectation
maximisation on the linearised flow (Shumway and Stoffer 1982; Ghahramani and Roweis 1999). Särkkä, "Bayesian
Filtering and Smoothing" (2013), chapters 5, 9 and 12.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ctmodels._core._series import Series

Observe = Callable[[Float[Array, " state"]], Float[Array, " channel"]]

Flow = Callable[[Float[Array, ""], Float[Array, ""], Float[Array, " state"]], Float[Array, " state"]]
Prior = tuple[Float[Array, " state"], Float[Array, "state state"]]


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
    prior: Prior | None = None,
    observe: Observe | None = None,
) -> Smoothed:
    """Filter and smooth one series, missing values included. Pure: jit and vmap it.

    **Arguments:**

    - `flow(t0, t1, z) -> z1`: the solution from t0 to t1. Any: a learned field's, a random walk, a map.
    - `series`: `(time, channel)`.
    - `noise`: variances assumed.
    - `prior`: mean and covariance of the first state; default zero and one, as fits z-scored data. Data in other units
        need one of their own; all else follows the units by itself.
    - `observe(z) -> channels`: what is observed of a state; default: its first channels.

    **Returns:** [`ctmodels.smoothing.Smoothed`][]; its `noise` is the update to assume next time.
    """
    size = noise.process.shape[0]
    dtype = series.ys.dtype
    mean, cov = (jnp.zeros(size, dtype), jnp.eye(size, dtype=dtype)) if prior is None else prior
    observe = observe or _first(series.ys.shape[1])
    first = _update(observe, mean, cov, series.ys[0], series.mask[0], noise.observation)
    forward = _filter(flow, observe, series, noise, first[:2])
    (filtered, covs), (predicted, predicted_covs, transitions), gains = forward
    filtered = jnp.concatenate([first[0][None], filtered])
    covs = jnp.concatenate([first[1][None], covs])
    inside = (filtered[:-1], covs[:-1], predicted, predicted_covs, transitions)
    means_s, covs_s, backs = _rts(inside, (filtered[-1], covs[-1]))
    update = Noise(_process(series.ts, means_s, covs_s, backs, inside), _observation(observe, series, means_s, covs_s))
    # Rounding may leave a variance of nothing or less. What was assumed gives the unit.
    floor = lambda new, old: jnp.maximum(new, jnp.finfo(dtype).eps * old)
    update = Noise(floor(update.process, noise.process), floor(update.observation, noise.observation))
    return Smoothed(means_s, covs_s, filtered, covs, first[2] + jnp.sum(gains), update)


def constant_velocity(t0: Float[Array, ""], t1: Float[Array, ""], z: Float[Array, " state"]) -> Float[Array, " state"]:
    """The flow of free motion, z = (q, q'): with process noise on q' it smooths without knowing any law."""
    half = z.shape[0] // 2
    return jnp.concatenate([z[:half] + (t1 - t0) * z[half:], z[half:]])


def _first(channels: int) -> Observe:
    return lambda z: z[:channels]


def _filter(flow: Flow, observe: Observe, series: Series, noise: Noise, first):
    def step(carry, now):
        mean, cov = carry
        t0, t1, y, mask = now
        predicted, F = flow(t0, t1, mean), jax.jacfwd(lambda z: flow(t0, t1, z))(mean)
        predicted_cov = _symmetric(F @ cov @ F.T) + jnp.abs(t1 - t0) * jnp.diag(noise.process)
        mean, cov, gain = _update(observe, predicted, predicted_cov, y, mask, noise.observation)
        return (mean, cov), ((mean, cov), (predicted, predicted_cov, F), gain)

    _, out = jax.lax.scan(step, first, (series.ts[:-1], series.ts[1:], series.ys[1:], series.mask[1:]))
    return out


def _update(observe: Observe, mean, cov, y, mask: Bool[Array, " channel"], observation):
    """Condition on the observed entries. A missing one has a row of zeros in H and variance one, so that it
    changes nothing and the shapes stay."""
    H = jnp.where(mask[:, None], jax.jacfwd(observe)(mean), 0)
    R = jnp.diag(jnp.where(mask, observation, 1))
    residual = jnp.where(mask, y - observe(mean), 0)
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
    _, covs, _, predicted_covs, transitions = inside
    gains = jax.vmap(_gain)(covs, predicted_covs, transitions)

    def step(carry, now):
        mean_next, cov_next = carry
        G, (mean, cov, predicted, predicted_cov, _) = now
        mean = mean + G @ (mean_next - predicted)
        cov = _symmetric(cov + G @ (cov_next - predicted_cov) @ G.T)
        return (mean, cov), (mean, cov, cov_next @ G.T)

    _, (means, covs, cross) = jax.lax.scan(step, last, (gains, inside), reverse=True)
    return jnp.concatenate([means, last[0][None]]), jnp.concatenate([covs, last[1][None]]), cross


def _gain(cov, predicted_cov, F):
    """cov F' inverse(predicted_cov), solved in units of the predicted deviations: correlations know no units.

    A state that nothing disturbs has a singular covariance; what is added to the correlations is of the size of their
    rounding.
    """
    variance = jnp.diagonal(predicted_cov)
    unit = jnp.sqrt(jnp.where(variance > 0, variance, 1))
    jitter = 8 * jnp.finfo(cov.dtype).eps * jnp.eye(unit.size, dtype=cov.dtype)
    correlation = predicted_cov / unit[:, None] / unit[None] + jitter
    return (jnp.linalg.solve(correlation, (F @ cov) / unit[:, None]) / unit[:, None]).T


def _process(ts, means, covs, cross, inside):
    """E[(z_{i+1} - flow(z_i))^2] / h_i, averaged; the flow linearised at the filtered mean."""
    filtered, _, predicted, _, F = inside
    residual = means[1:] - predicted - jnp.einsum("tij,tj->ti", F, means[:-1] - filtered)
    spread = covs[1:] + F @ covs[:-1] @ F.mT - F @ cross.mT - cross @ F.mT
    h = jnp.abs(jnp.diff(ts))[:, None]
    rate = (residual**2 + jnp.diagonal(spread, axis1=1, axis2=2)) / jnp.where(h > 0, h, 1)
    return jnp.sum(jnp.where(h > 0, rate, 0), axis=0) / jnp.maximum(jnp.sum(h > 0, dtype=h.dtype), 1)


def _observation(observe: Observe, series: Series, means, covs):
    H = jax.vmap(jax.jacfwd(observe))(means)
    variance = jnp.einsum("tci,tij,tcj->tc", H, covs, H)
    square = jnp.where(series.mask, (series.ys - jax.vmap(observe)(means)) ** 2 + variance, 0)
    return jnp.sum(square, axis=0) / jnp.maximum(jnp.sum(series.mask, axis=0, dtype=square.dtype), 1)


def _symmetric(A):
    return 0.5 * (A + A.T)
