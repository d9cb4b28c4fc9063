"""The likelihood of an observed path under a stochastic differential equation, as Euler's steps have it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jax.scipy.stats import norm
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before, check_called
from ctmodels._core._series import Series, last_observed


def _check(drift, diffusion, series, **_):
    for name, field in (("drift", drift), ("diffusion", diffusion)):
        check_called(name, field, "(t, y, args) -> array", "of a constant, lambda t, y, args: constant")
    if not isinstance(series, Series):
        raise TypeError(f"series: a {type(series).__name__}: it takes a ctmodels.Series; Series.from_nan makes one")
    if series.ts.ndim != 1:
        raise ValueError(f"series: times of shape {series.ts.shape}: it is of one path, (time,); jax.vmap for a batch")


@before(_check)
def euler_transition_likelihood(
    drift: Callable, diffusion: Callable, series: Series, args: PyTree = None
) -> Float[Array, " step"]:
    r"""Logarithm of the density of each step of an observed path under $dY = f(t, Y)\, dt + g(t, Y)\, dW$ (Itô), by one
    Euler step each (Florens-Zmirou 1989), and so exact for paths that such steps made:

    $$\log p(y_{k+1} \mid y_k) = \log N\big(y_{k+1};\; y_k + f(t_k, y_k)\, h,\; g g^T(t_k, y_k)\, h\big),
      \qquad h = t_{k+1} - t_k$$

    **Arguments:**

    - `drift`: `(t, y, args) -> (channel,)`, per unit of time.
    - `diffusion`: `(t, y, args)` -> `(channel,)`, a noise for each channel, or `(channel, noise)`, with as many noises
        as channels at least: of fewer the density is singular, and the result is NaN. Per root of the unit of time.
    - `series`: one path, `(time,)` and `(time, channel)`, with its mask. A step goes on from the last row that was
        observed whole, over whatever time has passed, to the channels that were observed: a row without any is as if
        it were not there. Of a row that is seen in part, what it says of later ones is not used.
    - `args`: handed to both.

    **Returns:** `(time - 1,)`, in nats; 0 for a step to a row of which nothing was observed, or before the first whole
    row. Their sum is that of the path given its start.

    As a loss of `(model, example, key)`: the sum, negative, and the number of entries, `jnp.sum(series.mask[1:])`, for
    its weight. Several paths with `jax.vmap`.

    !!! example "Good values"

        Steps by which the drift changes by less than a tenth; the error in the parameters is of the order of a step.
    """
    # One is a value that drifts of every kind know; what lies under the mask may be none.
    ts, ys = series.ts, jnp.where(series.mask, series.ys, 1)
    whole = jnp.all(series.mask, axis=1)
    last = last_observed(whole)[:-1]
    # Where there is none yet, the first whole row stands in, and does not count.
    start = jnp.where(last < 0, jnp.argmax(whole), last)
    seen = series.mask[1:] & (last >= 0)[:, None]

    def step(t0, y0, t1, y1, seen):
        h = jnp.where(jnp.any(seen), t1 - t0, 1)
        mean = y0 + h * _of_shape("drift", drift(t0, y0, args), y0, 1)
        noise = _of_shape("diffusion", diffusion(t0, y0, args), y0, 2)
        return _log_density(y1 - mean, noise * jnp.sqrt(h), seen)

    return jax.vmap(step)(ts[start], ys[start], ts[1:], ys[1:], seen)


def _log_density(error: Array, noise: Array, seen: Array) -> Float[Array, ""]:
    """Of the entries seen, normal about zero."""
    error = jnp.where(seen, error, 0)
    if noise.ndim == 1:
        return jnp.sum(jnp.where(seen, norm.logpdf(error, scale=jnp.where(seen, noise, 1)), 0))
    covariance = jnp.matmul(noise, noise.T, precision="highest")
    # Of an entry not seen: variance one, by itself, and no error.
    covariance = jnp.where(seen[:, None] & seen[None], covariance, jnp.eye(len(seen), dtype=noise.dtype))
    factor = jnp.linalg.cholesky(covariance)
    white = solve_triangular(factor, error, lower=True)
    return jnp.sum(jnp.where(seen, norm.logpdf(white), 0)) - jnp.sum(jnp.log(jnp.diagonal(factor)))


def _of_shape(name: str, value, y: Array, most: int) -> Array:
    value = jnp.asarray(value)
    if value.shape[:1] != y.shape or value.ndim > most:
        axes = "(channel,)" if most == 1 else "(channel,) or (channel, noise)"
        raise ValueError(f"{name}: returns shape {value.shape} for values of shape {y.shape}: it is {axes}")
    return value
