r"""Least squares of parameters that all windows share, and of the start that each window has to itself.

$$\min_{q, s}\ \tfrac12 \sum_w \| r_w(q, s_w) \|^2$$

by Levenberg (1944) and Marquardt (1963), on sensitivities along the solution. The matrix of the normal equations is an
arrow: starts meet no other window's, and are eliminated window by window (Schur). Libraries' solvers take it as a full
one, whose columns are as many as all starts: that of 30 trials costs them 15 times as many solves.
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ctmodels._core._series import Series

Flow = Callable[[Array, Array, Array, Array, PyTree], Array]  # (q, t0, t1, z, control) -> z1
LARGEST_DAMPING = 1e8


class Trials(NamedTuple):
    """Series padded to one length, and their controls, or None; `(trial, time, ...)`."""

    series: Series
    control: Series | None


class Sensitivities(NamedTuple):
    """What is expected of each row, and its slope along parameters and the start of the row's own window."""

    ys: Float[Array, "*batch time channel"]
    slopes: Float[Array, "*batch time channel unknown"]


class Fit(NamedTuple):
    """`q` `(parameter,)`; `starts` `(trial, window, state)`; `cost`: half the sum of squares, infinite where the
    solution is not finite; `iterations`."""

    q: Float[Array, "*member parameter"]
    starts: Float[Array, "*member trial window state"]
    cost: Float[Array, "*member"]
    iterations: Int[Array, "*member"]


def sensitivities(
    flow: Flow,
    channels: int,
    q: Float[Array, " parameter"],
    starts: Float[Array, "window state"],
    ts: Float[Array, " time"],
    control: PyTree,
    window: Int[Array, " time"],
) -> Sensitivities:
    """Of one trial, whose rows are of so many windows: at the first row of each, the state is its start."""
    parameters, states = q.shape[0], starts.shape[1]
    fresh = jnp.eye(states, parameters + states, parameters, dtype=q.dtype)
    along_q = jnp.eye(parameters, parameters + states, dtype=q.dtype)

    def move(carry, row):
        z, S = carry
        t0, t1, before, now = row
        push = lambda dq, dz: jax.jvp(lambda q, z: flow(q, t0, t1, z, control), (q, z), (dq, dz))
        z1, S1 = jax.vmap(push, in_axes=1, out_axes=(0, 1))(along_q, S)
        new = now != before
        carry = jnp.where(new, starts[now], z1[0]), jnp.where(new, fresh, S1)
        return carry, carry

    first = starts[window[0]], fresh
    _, rest = jax.lax.scan(move, first, (ts[:-1], ts[1:], window[:-1], window[1:]))
    zs, Ss = (jnp.concatenate([a[None], b]) for a, b in zip(first, rest, strict=True))
    return Sensitivities(zs[:, :channels], Ss[:, :channels])


def normal_equations(
    found: Sensitivities, series: Series, window: Int[Array, " time"], count: int, deviation: Float[Array, " channel"]
) -> Float[Array, "window row row"]:
    """Of each window of one trial, the products of its slopes and residuals with one another, the residuals last."""
    mask = series.mask[..., None]
    rows = jnp.concatenate([found.slopes, (series.ys - found.ys)[..., None]], axis=-1)
    rows = jnp.where(mask, rows / deviation[None, :, None], 0)
    products = jnp.einsum("tci,tcj->tij", rows, rows)
    return jax.ops.segment_sum(products, window, count)


def cost_of(M: Float[Array, "trial window row row"]) -> Float[Array, ""]:
    """Half the sum of squares; infinite where it is not finite."""
    cost = 0.5 * jnp.sum(M[..., -1, -1])
    return jnp.where(jnp.all(jnp.isfinite(M)), cost, jnp.inf)


def damped_step(
    M: Float[Array, "trial window row row"], damping: Float[Array, ""], weights: Float[Array, " parameter"]
):
    """The step of parameters and of starts, and by how much the linear model expects the cost to fall. `weights`: of
    the damping of parameters."""
    p = weights.shape[0]
    qq, gq = jnp.sum(M[..., :p, :p], (0, 1)) + damping * jnp.diag(weights), jnp.sum(M[..., :p, -1], (0, 1))
    zq, zz, gz = M[..., p:-1, :p], _damped(M[..., p:-1, p:-1], damping), M[..., p:-1, -1]
    solved = jnp.linalg.solve(zz, jnp.concatenate([zq, gz[..., None]], axis=-1))
    G, own = solved[..., :p], solved[..., p]
    schur = qq - jnp.einsum("nksi,nksj->ij", zq, G)
    dq = jnp.linalg.solve(schur, gq - jnp.einsum("nksi,nks->i", zq, own))
    dz = own - jnp.einsum("nksi,i->nks", G, dq)
    # Of a damped step: half of its gain to first order, and half of what damping takes.
    taken = jnp.sum(weights * dq**2) + jnp.sum(_weights(M[..., p:-1, p:-1]) * dz**2)
    expected = 0.5 * (jnp.sum(gq * dq) + jnp.sum(gz * dz) + damping * taken)
    return dq, dz, expected


def _weights(H: Float[Array, "*batch n n"]) -> Float[Array, "*batch n"]:
    """Of the damping: the diagonal (Marquardt), and one where nothing is observed."""
    diagonal = jnp.diagonal(H, axis1=-2, axis2=-1)
    return jnp.where(diagonal > 0, diagonal, 1)


def _damped(H: Float[Array, "*batch n n"], damping: Float[Array, ""]) -> Float[Array, "*batch n n"]:
    diagonal = jnp.diagonal(H, axis1=-2, axis2=-1)
    extra = jnp.where(diagonal > 0, damping * diagonal, 1)
    return H + jnp.einsum("...i,ij->...ij", extra, jnp.eye(H.shape[-1], dtype=H.dtype))


def levenberg_marquardt(
    equations: Callable[[Array, Array], Array],
    q: Float[Array, " parameter"],
    starts: Float[Array, "trial window state"],
    tolerance: Float[Array, ""],
    most: int = 100,
) -> Fit:
    """From a first guess to the least squares nearby. `equations(q, starts)`: the products of all windows;
    `tolerance`: the share of the cost that a step must still be expected to gain."""

    def go_on(carry):
        *_, count, done = carry
        return ~done & (count < most)

    def move(carry):
        q, starts, M, weights, damping, count, _ = carry
        cost = cost_of(M)
        weights = jnp.maximum(weights, of_parameters(M))
        dq, dz, expected = damped_step(M, damping, weights)
        tried = equations(q + dq, starts + dz)
        better = cost_of(tried) < cost
        small = (expected <= tolerance * cost) & (damping <= 1e-2)
        take = lambda new, old: jnp.where(better, new, old)
        next_damping = jnp.where(better, jnp.maximum(damping / 10, least), damping * 5)
        done = small | (next_damping > LARGEST_DAMPING)
        return take(q + dq, q), take(starts + dz, starts), take(tried, M), weights, next_damping, count + 1, done

    least = 10 * jnp.finfo(q.dtype).eps
    first = equations(q, starts)
    of_parameters = lambda M: _weights(jnp.sum(M[..., : q.shape[0], : q.shape[0]], (0, 1)))
    # The largest so far (Moré 1978): by those of the moment, steps along what nothing depends on would grow and grow.
    carry = q, starts, first, of_parameters(first), jnp.asarray(1e-2, q.dtype), jnp.asarray(0), jnp.asarray(False)
    q, starts, M, _, _, count, _ = jax.lax.while_loop(go_on, move, carry)
    return Fit(q, starts, cost_of(M), count)
