"""Slopes of noisy, irregular series, for laws to be fitted to."""

from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._series import Series
from ctmodels.trajectories.smoothing import Noise, constant_velocity, smooth, tune_noise

TUNED_ON = 1500  # rows of the stretch on which the smoother's noise is estimated


def smoothed_slopes(
    many: Sequence[Series],
) -> list[tuple[Float[Array, "time channel"], Float[Array, "time channel"]]]:
    """Values and slopes of each series by a smoother that knows no law, free motion that noise disturbs, the noise
    being the likeliest of the longest series; in units in which values vary by one and move at speed one."""
    mean, std, speed = _units(many)
    scaled = [Series(one.ts * speed, (one.ys - mean[None]) / std[None], one.mask) for one in many]
    longest = max(scaled, key=lambda one: one.ts.shape[0])
    noise = _tuned(longest[:TUNED_ON])
    found = [_smoothed(one, noise) for one in scaled]
    split = mean.shape[0]
    return [(z[:, :split] * std[None] + mean[None], z[:, split:] * std[None] * speed) for z in found]


@eqx.filter_jit
def _tuned(series: Series) -> Noise:
    channels, dtype = series.ys.shape[1], series.ys.dtype
    first = Noise(jnp.repeat(jnp.asarray([1e-4, 1.0], dtype), channels), jnp.full(channels, 1e-2, dtype))
    return tune_noise(constant_velocity, series, first)[0]


@eqx.filter_jit
def _smoothed(series: Series, noise: Noise) -> Float[Array, "time state"]:
    return smooth(constant_velocity, series, noise).mean


def _units(many: Sequence[Series]) -> tuple[Array, Array, Array]:
    """Mean and standard deviation of each channel, and how many of these it moves in a unit of time."""
    ys, mask = (jnp.concatenate([getattr(one, name) for one in many]) for name in ("ys", "mask"))
    count = jnp.maximum(jnp.sum(mask, axis=0, dtype=ys.dtype), 1)
    mean = jnp.sum(jnp.where(mask, ys, 0), axis=0) / count
    std = jnp.sqrt(jnp.sum(jnp.where(mask, ys - mean[None], 0) ** 2, axis=0) / count)
    std = jnp.where(std > 0, std, 1)
    squares, gaps = zip(*(_moves(one, std) for one in many), strict=True)
    return mean, std, jnp.sqrt(sum(squares[1:], squares[0]) / sum(gaps[1:], gaps[0]))


def _moves(series: Series, std: Array) -> tuple[Array, Array]:
    """Squared difference quotients of neighbours that were observed, summed, and how many there are."""
    gaps = jnp.diff(series.ts)
    both = series.mask[1:] & series.mask[:-1] & (gaps > 0)[:, None]
    rate = jnp.diff(series.ys, axis=0) / std[None] / jnp.where(gaps > 0, gaps, 1)[:, None]
    tiny = jnp.finfo(rate.dtype).tiny
    return jnp.sum(jnp.where(both, rate, 0) ** 2) + tiny, jnp.sum(both, dtype=rate.dtype) + tiny


def weak_rows(
    series: Series, features: Float[Array, "time term"], *, width: int, stride: int
) -> tuple[Float[Array, "window term"], Float[Array, "window channel"], Float[Array, " window"]]:
    r"""The law in its weak form, $\int \phi\, \theta(y)\, dt\; \Xi^\top = -\int \dot\phi\, y\, dt$ with a bump
    $\phi = (1 - s^2)^4$ on each window of `width` rows: no noisy value is differentiated (Messenger and Bortz, J.
    Comput. Phys. 443, 110525 (2021)). At any times; windows with anything missing have no weight.
    """
    at = jnp.arange(0, series.ts.shape[0] - width + 1, stride)[:, None] + jnp.arange(width)[None]
    # The bump and three of its derivatives vanish at its ends, so that shares of the whole series serve each window.
    shares = quadrature(series.ts)

    def window(at):
        ts, ys, terms, mask, share = (x[at] for x in (series.ts, series.ys, features, series.mask, shares))
        span = ts[-1] - ts[0]
        span = jnp.where(span > 0, span, 1)
        s = 2 * (ts - ts[0]) / span - 1
        bump, slope = (1 - s**2) ** 4, -16 * s * (1 - s**2) ** 3 / span
        share = share / span
        known = jnp.all(mask) & (ts[-1] > ts[0])
        return (share * bump) @ terms, -(share * slope) @ ys, known.astype(ys.dtype)

    return jax.vmap(window)(at)


def quadrature(ts: Float[Array, " time"]) -> Float[Array, " time"]:
    """The share of each value in an integral over all times, by the cubic through the four around each gap; by the
    trapezoidal rule where times repeat."""
    rows, gaps = ts.shape[0], jnp.diff(ts)
    first = jnp.clip(jnp.arange(rows - 1) - 1, 0, rows - 4)

    def of_gap(i, gap, j):
        unit = jnp.where(gap > 0, gap, 1)
        x = (ts[j + jnp.arange(4)] - ts[i]) / unit
        distinct = jnp.all(jnp.diff(x) > 0)
        x = jnp.where(distinct, x, jnp.arange(4, dtype=ts.dtype))
        moments = 1 / jnp.arange(1, 5, dtype=ts.dtype)
        cubic = jnp.linalg.solve(jnp.vander(x, increasing=True).T, moments)
        ends = jnp.where((j + jnp.arange(4) == i) | (j + jnp.arange(4) == i + 1), 0.5, 0).astype(ts.dtype)
        return gap * jnp.where(distinct, cubic, ends)

    shares = jax.vmap(of_gap)(jnp.arange(rows - 1), gaps, first)
    return jnp.zeros(rows, ts.dtype).at[first[:, None] + jnp.arange(4)[None]].add(shares)
