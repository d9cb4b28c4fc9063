r"""Covariances of a Kalman filter in parallel: of $h_t = A_t h_{t-1} + \epsilon$, $\epsilon \sim N(0, I)$, observed
with noise of variance $1/\lambda$, from a first row that is known.

Särkkä and García-Fernández, "Temporal parallelization of Bayesian smoothers" (2021), of which the means are left out:
once the gains are known, these are a linear recurrence.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._loops import varying_alike
from ctmodels.ssm._affine import affine_scan, apply
from ctmodels.ssm._scan import in_parallel


def filtered_correction(
    A: Float[Array, "time ..."], missing: Float[Array, "time ..."], damping: float, *, parallel: bool | None
) -> Float[Array, "time ..."]:
    r"""How far the filtered means are from what was observed, $y$: with the gain $K = \lambda P$,
    $d_t = (I - K_t) (A_t d_{t-1} + r_t)$, $r_t$ being by how much $A_t y_{t-1} + b_t$ misses $y_t$."""
    diagonal = A.ndim == missing.ndim
    gains = damping * filtered_covariances(A[..., None, None] if diagonal else A, damping, parallel=parallel)
    kept = _eye(gains) - gains
    if diagonal:
        kept = kept[..., 0, 0]
    return affine_scan(kept * A if diagonal else kept @ A, apply(kept, missing), parallel=parallel)


def filtered_covariances(
    A: Float[Array, "time ... n n"], damping: float, *, parallel: bool | None
) -> Float[Array, "time ... n n"]:
    r"""The covariance of each row given all rows up to it; $\lambda$ is `damping`."""
    rest, known = A[1:], jnp.zeros_like(A[:1])
    if not in_parallel(parallel):

        def move(P, A):
            P = _observe(A @ P @ _transpose(A), damping)
            return P, P

        return jnp.concatenate([known, jax.lax.scan(move, varying_alike(known[0], like=A), rest)[1]])
    kept = 1 / (1 + damping)
    elements = (rest * kept, _eye(rest) * kept, _transpose(rest) @ rest * (damping * kept))
    return jax.lax.associative_scan(_compose, [jnp.concatenate([known, x]) for x in elements])[1]


def _observe(P: Array, damping: float) -> Array:
    """The covariance P + I once it was observed."""
    predicted = P + _eye(P)
    return _solve(_eye(P) + damping * predicted, predicted)


def _compose(first: list[Array], second: list[Array]) -> list[Array]:
    """Of stretches in a row: how far one's start moves its end (A), its end's covariance from a known start (C), and
    what it tells of its start (J)."""
    (A1, C1, J1), (A2, C2, J2) = first, second
    A = A2 @ _solve(_eye(A1) + C1 @ J2, A1)
    C = A2 @ _solve(_eye(A1) + C1 @ J2, C1) @ _transpose(A2) + C2
    J = _transpose(A1) @ _solve(_eye(A1) + J2 @ C1, J2 @ A1) + J1
    return [A, C, J]


def _eye(A: Array) -> Array:
    return jnp.broadcast_to(jnp.eye(A.shape[-1], dtype=A.dtype), A.shape)


def _transpose(A: Array) -> Array:
    return jnp.swapaxes(A, -1, -2)


def _solve(A: Array, B: Array) -> Array:
    """A division, of numbers."""
    return B / A if A.shape[-1] == 1 else jnp.linalg.solve(A, B)
