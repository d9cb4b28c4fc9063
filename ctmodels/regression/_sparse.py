"""What a sparse regression returns, and how sure it is, by resampled rows.

Ensembles: Fasel, Kutz, Brunton and Brunton, Proc. R. Soc. A 478, 20210904 (2022).
"""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ctmodels.regression._ridge import Rows, Targets, compressed, solve_ridge


class Sparse(NamedTuple):
    """`coefficients`: `(feature, target)`; `active`: which are not zero; `inclusion`: in what share of the resampled
    data sets they were not, None without resampling."""

    coefficients: Float[Array, "feature target"]
    active: Bool[Array, "feature target"]
    inclusion: Float[Array, "feature target"] | None = None


def bagged(
    select: Callable[..., Sparse],
    features: Rows,
    targets: Targets,
    *,
    key: PRNGKeyArray,
    bags: int = 50,
    inclusion: float = 0.5,
    weights: Float[Array, " row"] | None = None,
) -> Sparse:
    """A sparse regression of `bags` data sets, whose rows are drawn with replacement: terms that stayed in a share of
    at least `inclusion` of them, fitted to all rows by least squares.

    **Arguments:** `select(features, targets, weights=...)`: the regression, as [`ctmodels.regression.stepwise`][];
    `features`: `(row, feature)`; `targets`: `(row, target)`; `key`: what draws; `weights`: of the rows' squares.
    """
    weights = jnp.ones(features.shape[0], features.dtype) if weights is None else weights
    rows = features.shape[0]

    def bag(key):
        drawn = jnp.bincount(jax.random.randint(key, (rows,), 0, rows), length=rows)
        return select(features, targets, weights=weights * drawn.astype(weights.dtype)).active

    stayed = jnp.mean(jax.lax.map(bag, jax.random.split(key, bags)), axis=0, dtype=features.dtype)
    active = stayed >= inclusion
    features, targets = compressed(features, targets, weights)
    return Sparse(jax.vmap(fit_active, (None, 1, 1), 1)(features, targets, active), active, stayed)


def fit_active(features: Rows, target: Float[Array, " row"], active: Bool[Array, " feature"], penalty=0.0):
    """Coefficients of one target. Features that are out have columns of zeros: so they get none, and shapes stay."""
    return solve_ridge(jnp.where(active[None], features, 0), target[:, None], penalty)[:, 0]
