"""Sparse regression: sequentially thresholded ridge, and how sure it is by resampled rows.

Brunton, Proctor and Kutz, PNAS 113, 3932 (2016); the rounds are those of pysindy 2 (de Silva et al., JOSS 5, 2104
(2020)): ridge on the terms that are left, small coefficients set to zero, until none goes; then least squares without a
penalty on those that stayed. Ensembles: Fasel, Kutz, Brunton and Brunton, Proc. R. Soc. A 478, 20210904 (2022).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ctmodels.regression._ridge import Rows, Targets, compressed, root_mean_squares, solve_ridge


class Sparse(NamedTuple):
    """`coefficients`: `(feature, target)`; `active`: which are not zero; `inclusion`: in what share of the resampled
    data sets they were not, None without resampling."""

    coefficients: Float[Array, "feature target"]
    active: Bool[Array, "feature target"]
    inclusion: Float[Array, "feature target"] | None = None


def stlsq(
    features: Rows,
    targets: Targets,
    *,
    threshold: float | Float[Array, ""] = 0.1,
    penalty: float | Float[Array, ""] = 0.05,
    normalise: bool = False,
    rounds: int = 20,
    weights: Float[Array, " row"] | None = None,
) -> Sparse:
    """Few coefficients by sequentially thresholded ridge regression. Pure, but has no gradient: jit and vmap it.

    **Arguments:**

    - `features`: `(row, feature)`; `targets`: `(row, target)`.
    - `threshold`: coefficients smaller than this become zero; in units of target per feature.
    - `penalty`: of the rounds' ridge; what is returned is without.
    - `normalise`: whether features and targets are first scaled to root mean square one and the penalty counted for
        each row, so that neither depends on units: `threshold` is then the share of the target that a term must at
        least make. (pysindy's `normalize_columns` scales features alone, to norm one.)
    - `rounds`: at most so many.
    - `weights`: of the rows' squares.

    **Good values:** 0.1 for laws whose coefficients are about one; normalised, 0.02 to 0.1.
    """
    weights = jnp.ones(features.shape[0], features.dtype) if weights is None else weights
    if normalise:
        of_features, of_targets = (root_mean_squares(x, weights) for x in (features, targets))
        penalty = penalty * jnp.maximum(jnp.sum(weights), 1)
    else:
        of_features, of_targets = (jnp.ones(x.shape[1], x.dtype) for x in (features, targets))
    features, targets = compressed(features / of_features[None], targets / of_targets[None], weights)
    one = lambda target: _of_one_target(features, target, threshold, penalty, rounds)
    coefficients, active = jax.vmap(one, in_axes=1, out_axes=1)(targets)
    return Sparse(coefficients * of_targets[None] / of_features[:, None], active)


def bagged_stlsq(
    features: Rows,
    targets: Targets,
    *,
    key: PRNGKeyArray,
    bags: int = 50,
    inclusion: float = 0.5,
    weights: Float[Array, " row"] | None = None,
    **kwargs,
) -> Sparse:
    """The same of `bags` data sets, whose rows are drawn with replacement: terms that stayed in a share of at least
    `inclusion` of them, fitted to all rows by least squares.

    **Arguments:** as of [`ctmodels.regression.stlsq`][], and a `key` that draws.
    """
    weights = jnp.ones(features.shape[0], features.dtype) if weights is None else weights
    rows = features.shape[0]

    def bag(key):
        drawn = jnp.bincount(jax.random.randint(key, rows, 0, rows), length=rows)
        return stlsq(features, targets, weights=weights * drawn.astype(weights.dtype), **kwargs).active

    stayed = jnp.mean(jax.lax.map(bag, jax.random.split(key, bags)), axis=0, dtype=features.dtype)
    active = stayed >= inclusion
    features, targets = compressed(features, targets, weights)
    fit = lambda active, target: solve_ridge(jnp.where(active[None], features, 0), target[:, None], 0.0)[:, 0]
    return Sparse(jax.vmap(fit, in_axes=1, out_axes=1)(active, targets), active, stayed)


def _of_one_target(features: Rows, target: Float[Array, " row"], threshold, penalty, rounds: int):
    """Features that are out have columns of zeros: so they get none, and shapes stay."""
    fit = lambda active, penalty: solve_ridge(jnp.where(active[None], features, 0), target[:, None], penalty)[:, 0]

    def again(state):
        active, _, count = state
        left = active & (jnp.abs(fit(active, penalty)) >= threshold)
        return left, jnp.any(left != active), count + 1

    everything = jnp.ones(features.shape[1], bool)
    more = lambda state: state[1] & (state[2] < rounds)
    active, _, _ = jax.lax.while_loop(more, again, (everything, jnp.asarray(True), jnp.asarray(0)))
    return fit(active, 0.0), active
