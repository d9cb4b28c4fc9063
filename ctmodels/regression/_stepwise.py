r"""Sparse regression by elimination: the term that is missed least goes, one after the other, and of all these models
the one of the least $n \log \mathrm{RSS} + k (\log n + 2 \log p)$ is taken, with k of p terms left.

Stepwise sparse regressor: Boninsegna, Nüske and Clementi, J. Chem. Phys. 148, 241723 (2018); the criterion is
Schwarz', extended for the number of models among which it chooses: Chen and Chen, Biometrika 95, 759 (2008).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ctmodels.regression._ridge import Rows, Targets, compressed, root_mean_squares
from ctmodels.regression._sparse import Sparse, fit_active


def stepwise(
    features: Rows,
    targets: Targets,
    *,
    independent: float | Float[Array, ""] = 1.0,
    weights: Float[Array, " row"] | None = None,
) -> Sparse:
    """Few coefficients by backward elimination: no threshold, and no unit, decides. Pure, but has no gradient: jit and
    vmap it.

    As many decompositions as there are features, each of as many columns: for up to a hundred or so; for more,
    [`ctmodels.regression.stlsq`][].

    **Arguments:**

    - `features`: `(row, feature)`; `targets`: `(row, target)`.
    - `independent`: what share of the rows counts as independent, as errors of windows that overlap are not.
    - `weights`: of the rows' squares.
    """
    weights = jnp.ones(features.shape[0], features.dtype) if weights is None else weights
    of_features, of_targets = (root_mean_squares(x, weights) for x in (features, targets))
    few = compressed(features / of_features[None], targets / of_targets[None], weights)
    total = jnp.sum(weights)
    count = jnp.maximum(independent * total, 3)
    one = lambda target: _eliminated(few[0], target, total, count)
    active = jax.vmap(one, in_axes=1, out_axes=1)(few[1])
    coefficients = jax.vmap(fit_active, (None, 1, 1), 1)(*few, active)
    return Sparse(coefficients * of_targets[None] / of_features[:, None], active)


def _eliminated(features: Rows, target: Float[Array, " row"], total, count) -> Bool[Array, " feature"]:
    """The best support on the way from all features to none."""
    tiny = (300 * jnp.finfo(target.dtype).eps) ** 2  # of what is explained, as rounding leaves no less

    def step(active, _):
        coefficients, variances = _estimates(features, target, active)
        left = jnp.sum((target - features @ coefficients) ** 2) / jnp.maximum(total, 1)
        price = jnp.log(count) + 2 * jnp.log(jnp.asarray(active.shape[0], left.dtype))
        score = count * jnp.log(left + tiny) + jnp.sum(active, dtype=left.dtype) * price
        gain = jnp.where(active, coefficients**2 / variances, jnp.inf)
        return active & (jnp.arange(active.shape[0]) != jnp.argmin(gain)), (active, score)

    everything = jnp.ones(features.shape[1], bool)
    _, (supports, scores) = jax.lax.scan(step, everything, length=features.shape[1] + 1)
    return supports[jnp.argmin(scores)]


def elimination(features: Rows, target: Float[Array, " row"]) -> Bool[Array, "size feature"]:
    """The supports on the way from all features to none, of rows that all count as one."""

    def step(active, _):
        coefficients, variances = _estimates(features, target, active)
        gain = jnp.where(active, coefficients**2 / variances, jnp.inf)
        return active & (jnp.arange(active.shape[0]) != jnp.argmin(gain)), active

    return jax.lax.scan(step, jnp.ones(features.shape[1], bool), length=features.shape[1] + 1)[1]


def _estimates(features: Rows, target: Float[Array, " row"], active: Bool[Array, " feature"]) -> tuple[Array, Array]:
    """Coefficients by least squares, and their variances in units of the error's: a coefficient's square over it is
    what the fit loses without that feature."""
    U, s, Vt = jnp.linalg.svd(jnp.where(active[None], features, 0), full_matrices=False)
    counts = s > max(features.shape) * jnp.finfo(s.dtype).eps * s[0]
    inverse = jnp.where(counts, 1 / jnp.where(counts, s, 1), 0)
    variances = jnp.sum((inverse[:, None] * Vt) ** 2, axis=0)
    return Vt.T @ (inverse * (U.T @ target)), jnp.where(variances > 0, variances, 1)
