"""Sparse regression by sequentially thresholded ridge.

Brunton, Proctor and Kutz, PNAS 113, 3932 (2016); the rounds are those of pysindy 2 (de Silva et al., JOSS 5, 2104
(2020)): ridge on the terms that are left, small coefficients set to zero, until none goes; then least squares without a
penalty on those that stayed.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels.regression._ridge import Rows, Targets, compressed, root_mean_squares
from ctmodels.regression._sparse import Sparse, fit_active


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


def _of_one_target(features: Rows, target: Float[Array, " row"], threshold, penalty, rounds: int):
    """Its coefficients, and which are not zero."""

    def again(state):
        active, _, count = state
        left = active & (jnp.abs(fit_active(features, target, active, penalty)) >= threshold)
        return left, jnp.any(left != active), count + 1

    everything = jnp.ones(features.shape[1], bool)
    more = lambda state: state[1] & (state[2] < rounds)
    active, _, _ = jax.lax.while_loop(more, again, (everything, jnp.asarray(True), jnp.asarray(0)))
    return fit_active(features, target, active), active
