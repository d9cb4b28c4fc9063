r"""Ridge regression in closed form: $\min_W \|\Theta W - Y\|^2 + \lambda \|W\|^2$."""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Float

Rows = Float[Array, "row feature"]
Targets = Float[Array, "row target"]


def ridge(
    features: Rows,
    targets: Targets,
    penalty: float | Float[ArrayLike, ""] | Float[Array, " penalty"] = 0.0,
    *,
    weights: Float[Array, " row"] | None = None,
    rank: int | None = None,
) -> Float[Array, "*penalty feature target"]:
    r"""$W = V \mathrm{diag}\big(s / (s^2 + \lambda)\big) U^\top Y$, from the singular values s of the features.

    These serve all penalties at once, no product with its transpose is made (which in float32 would leave three
    digits), and without a penalty it is the least of all that fit best, where features depend on one another. Pure:
    jit and vmap it; its gradient is that of singular values, which no two alike may be.

    **Arguments:**

    - `features`: `(row, feature)`; `targets`: `(row, target)`.
    - `penalty`: lambda, a number or several, `(penalty,)`.
    - `weights`: of the rows' squares; rows of weight zero are not looked at, NaN included.
    - `rank`: by so many of the largest singular values alone; default: by all.

    **Returns:** `(feature, target)`, or of several penalties `(penalty, feature, target)`.
    """
    return solve_ridge(*compressed(features, targets, weights), penalty, rank)


def compressed(
    features: Rows, targets: Targets, weights: Float[Array, " row"] | None = None
) -> tuple[Float[Array, "few feature"], Float[Array, "few target"]]:
    """As few rows as there are columns, from which every least-squares fit comes out as it does from all of them, with
    the same sum of squares left: the triangle of a QR factorisation of both side by side."""
    both = jnp.concatenate([features, targets], axis=1)
    if weights is not None:
        both = jnp.where(weights[:, None] > 0, both, 0) * jnp.sqrt(weights)[:, None]
    if both.shape[0] > both.shape[1]:
        both = jnp.linalg.qr(both, mode="r")
    return both[:, : features.shape[1]], both[:, features.shape[1] :]


def solve_ridge(
    features: Rows, targets: Targets, penalty, rank: int | None = None
) -> Float[Array, "*penalty feature target"]:
    """Of few rows."""
    U, s, Vt = jnp.linalg.svd(features, full_matrices=False)
    penalty = jnp.asarray(penalty, s.dtype)
    counts = s > max(features.shape) * jnp.finfo(s.dtype).eps * s[0]
    counts = counts if rank is None else counts & (jnp.arange(s.shape[0]) < rank)
    gains = jnp.where(counts, s, 0)[None] / jnp.where(counts[None], s[None] ** 2 + penalty.reshape(-1, 1), 1)
    found = jnp.einsum("kf,pk,kt->pft", Vt, gains, U.T @ targets)
    return found.reshape(*penalty.shape, *found.shape[1:])


def root_mean_squares(columns: Float[Array, "row column"], weights: Float[Array, " row"]) -> Float[Array, " column"]:
    """Of the rows that have a weight; one where all is zero."""
    square = jnp.where(weights[:, None] > 0, columns, 0) ** 2
    mean = jnp.sum(weights[:, None] * square, axis=0) / jnp.maximum(jnp.sum(weights), 1)
    return jnp.sqrt(jnp.where(mean > 0, mean, 1))


def relative_ridge(features: Rows, targets: Targets, penalty, weights: Float[Array, " row"], rank: int | None = None):
    """Ridge regression that knows no units: of features of root mean square one, and means over the rows."""
    unit, count = root_mean_squares(features, weights), jnp.maximum(jnp.sum(weights), 1)
    penalty = count * jnp.asarray(penalty, features.dtype)
    return ridge(features / unit[None], targets, penalty, weights=weights, rank=rank) / unit[:, None]
