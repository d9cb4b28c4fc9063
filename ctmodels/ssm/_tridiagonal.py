r"""Matrices $A = -P (D + T^{-1}) Q$ of diagonal P, D and Q and a tridiagonal T: the family that has HiPPO's, and in
which they can be learned. An implicit step takes one tridiagonal system.

Gu, Johnson, Goel, Saab, Dao, Rudra, Ré (2021), where it is quasi-separable matrices of order 1.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels.ssm._hippo import Hippo

State = Float[Array, " N"]
Scalar = Float[Array, ""]


class Tridiagonal(NamedTuple):
    """A matrix by its diagonals: `lower` and `upper` are one shorter than `middle`."""

    lower: Float[Array, " less"]
    middle: State
    upper: Float[Array, " less"]

    def __call__(self, x: State) -> State:
        """Times a vector."""
        return self.middle * x + jnp.pad(self.upper * x[1:], (0, 1)) + jnp.pad(self.lower * x[:-1], (1, 0))

    def solve(self, right: State) -> State:
        """By elimination from the first row on (Thomas's algorithm), without exchanges of rows: a pivot of zero makes
        it infinite. For many systems at once a third of the time of LAPACK's, which exchanges rows, on one core.
        Its gradient is one more solution."""
        transposed = Tridiagonal(self.upper, self.middle, self.lower)
        solve, transpose_solve = (lambda _, b, T=T: T._eliminate(b) for T in (self, transposed))
        return jax.lax.custom_linear_solve(self, right, solve, transpose_solve)

    def _eliminate(self, right: State) -> State:
        first = jnp.zeros_like(right[0])

        def down(above, row):
            ratio, known = above
            lower, middle, upper, b = row
            pivot = middle - lower * ratio
            now = upper / pivot, (b - lower * known) / pivot
            return now, now

        def up(below, row):
            ratio, known = row
            x = known - ratio * below
            return x, x

        rows = jnp.pad(self.lower, (1, 0)), self.middle, jnp.pad(self.upper, (0, 1)), right
        return jax.lax.scan(up, first, jax.lax.scan(down, (first, first), rows)[1], reverse=True)[1]


class TridiagonalInverse(eqx.Module):
    r"""$x' = A x + B u$, $A = -P (D + T^{-1}) Q$, with P and Q above zero whatever the parameters are.

    `log_P`, `log_Q`, `D`, `B`: `(N,)`; `lower`, `middle`, `upper`: the diagonals of T, `(N - 1,)`, `(N,)`, `(N - 1,)`.
    """

    log_P: Float[Array, "*copy N"]
    log_Q: Float[Array, "*copy N"]
    D: Float[Array, "*copy N"]
    lower: Float[Array, "*copy less"]
    middle: Float[Array, "*copy N"]
    upper: Float[Array, "*copy less"]
    B: Float[Array, "*copy N"]

    @classmethod
    def of(cls, system: Hippo) -> "TridiagonalInverse":
        """In JAX's default float type, of a system that has this form, as [`ctmodels.ssm.legs`][], `legt`, `lagt` and
        `lmu` have; another is refused. Found on the host, in double precision."""
        P, D, T = _factors(system.A)
        diagonals = [np.diag(T, k) for k in (-1, 0, 1)]
        dtype = jnp.zeros(()).dtype
        return cls(*(jnp.asarray(a, dtype) for a in (np.log(P), np.log(P), D, *diagonals, system.B)))

    def derivative(self, x: State, u: Scalar) -> State:
        """$A x + B u$."""
        Qx = jnp.exp(self.log_Q) * x
        return self.B * u - jnp.exp(self.log_P) * (self.D * Qx + self._T.solve(Qx))

    def step(self, x: State, u: Scalar, gap: Scalar, alpha: float = 0.5) -> State:
        r"""By the generalised bilinear transform, $x + g (I - \alpha g A)^{-1} (A x + B u)$: a gap of none changes
        nothing. With $M = T (P^{-1} Q^{-1} + \alpha g D) + \alpha g I$, which is tridiagonal, what is added is
        $g\, Q^{-1} M^{-1} (T (P^{-1} B u - D Q x) - Q x)$."""
        T, Q, short = self._T, jnp.exp(self.log_Q), alpha * gap
        w = jnp.exp(-self.log_P - self.log_Q) + short * self.D
        M = Tridiagonal(T.lower * w[:-1], T.middle * w + short, T.upper * w[1:])
        right = T(jnp.exp(-self.log_P) * self.B * u - self.D * Q * x) - Q * x
        return x + gap * M.solve(right) / Q

    @property
    def _T(self) -> Tridiagonal:
        return Tridiagonal(self.lower, self.middle, self.upper)


def _factors(A: Float[np.ndarray, "N N"]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """P = Q, D and T."""
    with np.errstate(all="ignore"):  # what comes of a matrix without this form is looked at in the end
        P = np.sqrt(_diagonal_of_rest(A))
        X = -A / np.outer(P, P)
    D = np.diag(X) - 1
    try:
        T = np.triu(np.tril(np.linalg.inv(X - np.diag(D)), 1), -1)
        again = -P[:, None] * (np.diag(D) + np.linalg.inv(T)) * P
    except np.linalg.LinAlgError:
        T = again = np.full_like(A, np.nan)
    if not np.allclose(again, A, rtol=0, atol=1e-9 * np.abs(A).max()):
        raise ValueError(
            "system: A is not -P (D + T^-1) Q of diagonal P, D, Q and a tridiagonal T, as legs, legt, lagt, lmu are"
        )
    return P, D, T


def _diagonal_of_rest(A: Float[np.ndarray, "N N"]) -> np.ndarray:
    r"""Of $P T^{-1} Q$, up to signs. Below the diagonal that is a matrix $l m^\top$ of rank 1, and three entries there
    say what $l m$ is on it; its ends are free, and are such that $l = m$ there."""
    below, N = np.diag(A, -1), A.shape[0]
    if N < 3:
        return np.full(N, np.abs(A).max())
    inner = np.abs(below[:-1] * below[1:] / np.diag(A, -2))
    return np.concatenate([below[:1] ** 2 / inner[:1], inner, below[-1:] ** 2 / inner[-1:]])
