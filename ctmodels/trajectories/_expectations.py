"""Expectations under a normal distribution, as weighted sums over points."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import check_key, check_whole
from ctmodels._core._validation import DataError

PER_AXIS = {1: 10, 2: 7, 3: 5}  # by size of the state; in more dimensions a grid has too many points


class Nodes(eqx.Module):
    r"""$E[g(x)] \approx \sum_k w_k\, g(x_k)$ for x of N(0, I).

    `points` `(node, state)`, of mean zero and covariance one; `weights` `(node,)`, positive, of sum one.
    """

    points: Float[Array, "node state"]
    weights: Float[Array, " node"]


def gauss_hermite(size: int, per_axis: int = 10) -> Nodes:
    """A grid of Gauss and Hermite's points: exact for polynomials of a degree up to `2 per_axis - 1` in each entry.

    **Arguments:** `size`: of the state; `per_axis`: points of each axis, `per_axis ** size` in all: for up to three
    axes. **Returns:** [`ctmodels.smoothing.Nodes`][].
    """
    check_whole("size", size, 1)
    check_whole("per_axis", per_axis, 2)
    points, weights = np.polynomial.hermite_e.hermegauss(per_axis)
    grid = np.array(list(itertools.product(points, repeat=size)))
    mass = np.prod(list(itertools.product(weights / np.sum(weights), repeat=size)), axis=1)
    return _nodes(grid, mass)


def cubature(size: int) -> Nodes:
    """The third-degree spherical-radial rule (Arasaratnam and Haykin 2009), `2 size` points: exact for polynomials of a
    degree up to 3, and so for the bound of a linear drift, not of a quadratic one, which squares it.

    **Arguments:** `size`: of the state. **Returns:** [`ctmodels.smoothing.Nodes`][].
    """
    check_whole("size", size, 1)
    axes = np.sqrt(size) * np.eye(size)
    return _nodes(np.concatenate([axes, -axes]), np.full(2 * size, 0.5 / size))


def monte_carlo(key: PRNGKeyArray, size: int, count: int) -> Nodes:
    """Draws in pairs of opposite sign, made to have covariance one: exact for polynomials of degree 2, and to
    `1 / sqrt(count)` for others. Kept over the iterations, so that the bound has a maximum.

    **Arguments:** `key`; `size`: of the state; `count`: of draws, even, at least `2 size`.
    **Returns:** [`ctmodels.smoothing.Nodes`][].
    """
    check_key(key, needed=True)
    check_whole("size", size, 1)
    check_whole("count", count, 2 * size)
    if count % 2:
        raise DataError(f"count={count}: draws come in pairs, so that an even number is needed; give {count + 1}")
    half = jax.random.normal(key, (count // 2, size))
    factor = jnp.linalg.cholesky(half.T @ half / (count // 2))
    half = jax.scipy.linalg.solve_triangular(factor, half.T, lower=True).T
    return Nodes(jnp.concatenate([half, -half]), jnp.full(count, 1 / count))


def default_nodes(size: int) -> Nodes:
    """A grid where that is affordable."""
    return gauss_hermite(size, PER_AXIS[size]) if size in PER_AXIS else cubature(size)


def _nodes(points, weights) -> Nodes:
    dtype = jnp.zeros(()).dtype
    return Nodes(jnp.asarray(points, dtype), jnp.asarray(weights, dtype))
