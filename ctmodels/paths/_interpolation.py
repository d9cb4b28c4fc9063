"""What a path is made of: missing values filled, and the polynomial of each piece. One series, static shapes, O(time).

No width is divided by before it is known to be positive, so that padding (a last time that repeats) gives zeros where
it would give NaN, in derivatives too. Conventions are torchcde's (github.com/patrick-kidger/torchcde): the piece on
[t_i, t_{i+1}] is a + b s + (2c) s^2 / 2 + (3d) s^3 / 3 with s = t - t_i, and a knot belongs to the piece on its left.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ctmodels._core._series import Series, last_observed

Values = Float[Array, "time channel"]
Coefficients = tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "..."], Float[Array, "..."]]


def piece_at(ts: Float[Array, " time"], t: Float[Array, ""]) -> Int[Array, ""]:
    """The piece that holds `t`: a knot belongs to the one on its left, times outside to the first and the last.

    The last is the last of positive width: of times that repeat at the end, the first is found.
    """
    at = jnp.searchsorted(ts, jnp.minimum(t, ts[-1]), side="left")
    return jnp.clip(at - 1, 0, ts.shape[0] - 2)


def on_line(s: Array, y0: Array, y1: Array) -> Array:
    """From y0 (s = 0) to y1 (s = 1), exact at both ends and on a constant."""
    rise = y1 - y0
    return jnp.where(s < 0.5, y0 + s * rise, y1 - (1 - s) * rise)


def divided(rise: Array, width: Array) -> Array:
    """rise / width; zero, with zero gradients, where the width is."""
    return jnp.where(width > 0, rise / jnp.where(width > 0, width, 1), 0)


def fill_held(series: Series) -> Values:
    """The last observed value; zero before the first, since anything else would come from the future."""
    seen = jax.lax.cummax(series.mask.astype(jnp.int32), axis=0) > 0
    return jnp.where(seen, series.fill_forward(), 0)


def fill_between(series: Series) -> Values:
    """On the line between the observed neighbours; beyond the first and the last observation, that one; zero where
    a channel was never observed."""
    n = series.ts.shape[0]
    row, ys = jnp.arange(n)[:, None], jnp.where(series.mask, series.ys, 0)
    before = last_observed(series.mask)
    after = jax.lax.cummin(jnp.where(series.mask, row, n), axis=0, reverse=True)
    left = jnp.clip(jnp.where(before < 0, after, before), 0, n - 1)
    right = jnp.clip(jnp.where(after == n, before, after), 0, n - 1)
    s = divided(series.ts[:, None] - series.ts[left], series.ts[right] - series.ts[left])
    return on_line(s, jnp.take_along_axis(ys, left, axis=0), jnp.take_along_axis(ys, right, axis=0))


def hermite(ts: Float[Array, " time"], ys: Values) -> Coefficients:
    """Cubic Hermite pieces through every knot, whose slope at a knot is that of the line before it."""
    width = jnp.diff(ts)[:, None]
    slope = divided(jnp.diff(ys, axis=0), width)
    before = jnp.where(width > 0, jnp.concatenate([slope[:1], slope[:-1]]), 0)
    bend = divided(slope - before, width)
    return ys[:-1], before, 4 * bend, -3 * divided(bend, width)


def natural(ts: Float[Array, " time"], filled: Values, mask: Bool[Array, "time channel"]) -> Coefficients:
    """The natural cubic spline through each channel's observed knots, given anew for the piece at every knot.

    The times before the first and after the last observation are knots too, at the values of `filled` (which elsewhere
    is used only where `mask` is).
    """
    seen = mask.astype(jnp.int32)
    ends = jax.lax.cummax(seen, axis=0) * jax.lax.cummax(seen, axis=0, reverse=True) == 0
    # Of a last time that repeats (padding), the first: every channel then has one knot at the end.
    real = jnp.arange(ts.shape[0]) <= jnp.argmax(ts == ts[-1])
    return jax.vmap(_natural, in_axes=(None, 1, 1), out_axes=1)(ts, filled, mask | ends & real[:, None])


def _natural(ts: Float[Array, " time"], x: Float[Array, " time"], seen: Bool[Array, " time"]) -> Coefficients:
    """One channel's spline: second derivatives m at its knots, then each piece moved to the knots that lie within."""
    n = ts.shape[0]
    (knots,) = jnp.nonzero(seen, size=n, fill_value=n)
    # Behind the last knot it repeats, with pieces of width zero.
    knots = jnp.minimum(knots, jnp.max(jnp.where(seen, jnp.arange(n), 0)))
    t, x = ts[knots], x[knots]
    width = jnp.diff(t)
    slope = divided(jnp.diff(x), width)
    m = _second_derivatives(width, slope)
    b, three_d = slope - width * (2 * m[:-1] + m[1:]) / 6, divided(jnp.diff(m), 2 * width)
    k = jnp.cumsum(seen)[:-1] - 1
    s, a, b, two_c, three_d = ts[:-1] - t[k], x[k], b[k], m[k], three_d[k]
    # A polynomial moved by s: the derivatives there.
    a = a + s * (b + s * (two_c / 2 + s * three_d / 3))
    return a, b + s * (two_c + s * three_d), two_c + 2 * s * three_d, three_d


def _second_derivatives(width: Float[Array, " piece"], slope: Float[Array, " piece"]) -> Float[Array, " piece+1"]:
    """h_{k-1} m_{k-1} + 2 (h_{k-1} + h_k) m_k + h_k m_{k+1} = 6 (slope_k - slope_{k-1}); zero at the ends, and at
    knots beside a piece of width zero, whose rows are the identity's."""
    if width.shape[0] == 1:
        return jnp.zeros_like(width, shape=(2,))
    inner = (width[:-1] > 0) & (width[1:] > 0)
    row = lambda values, other: jnp.pad(jnp.where(inner, values, other), 1, constant_values=other)
    lower, upper = row(width[:-1], 0), row(width[1:], 0)
    middle = row(2 * (width[:-1] + width[1:]), 1)
    right = row(6 * jnp.diff(slope), 0)
    return jax.lax.linalg.tridiagonal_solve(lower, middle, upper, right[:, None])[:, 0]
