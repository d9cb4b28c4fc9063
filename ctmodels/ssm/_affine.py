r"""Linear recurrences $h_t = A_t h_{t-1} + b_t$ of all rows at once, and what grows in them.

Two steps in a row are one of the same kind, $(A_2, b_2) \circ (A_1, b_1) = (A_2 A_1, A_2 b_1 + b_2)$, and this product
is associative: so T rows take log2(T) sweeps (Blelloch, "Prefix sums and their applications", 1990).
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._arguments import before, check_array
from ctmodels.ssm._scan import in_parallel


def _check_affine(A, b, **_) -> None:
    check_array("A", A, "(time, ..., n, n), or (time, ..., n) of diagonal matrices", "jnp.asarray(A)")
    check_array("b", b, "(time, ..., n)", "jnp.asarray(b)")
    if A.shape != b.shape and A.shape != (*b.shape, b.shape[-1]):
        raise ValueError(
            f"A: shape {A.shape}, and b has {b.shape}: A is (time, ..., n, n), or (time, ..., n) of diagonal matrices, "
            "where b is (time, ..., n)"
        )
    if A.dtype != b.dtype:
        raise TypeError(f"A: {A.dtype}, and b is {b.dtype}: one precision is needed; A.astype(b.dtype)")


@before(_check_affine)
def affine_scan(
    A: Float[Array, "time ..."], b: Float[Array, "time ..."], *, reverse: bool = False, parallel: bool | None = None
) -> Float[Array, "time ..."]:
    r"""Solve $h_t = A_t h_{t-1} + b_t$ from $h_{-1} = 0$, or $h_t = A_t h_{t+1} + b_t$ from beyond the end.

    **Arguments:**

    - `A`: `(time, ..., n, n)`, or `(time, ..., n)` of diagonal matrices. The first one counts for nothing: a start
      $h_{-1}$ is handed over as `b[0] = A[0] h + b[0]`; in reverse, the last one.
    - `b`: `(time, ..., n)`.
    - `reverse`: from the end to the start.
    - `parallel`: all rows at once, in log2(T) sweeps of matrix products (T n^3 operations); or row by row (T n^2). None
      means the former everywhere but on the CPU, where it only costs.

    **Returns:** h, shaped as `b`.
    """
    if in_parallel(parallel):
        return jax.lax.associative_scan(_compose, (A, b), reverse=reverse)[1]

    return _row_by_row(A[::-1], b[::-1])[::-1] if reverse else _row_by_row(A, b)


def _row_by_row(A: Array, b: Array) -> Array:
    def move(h, row):
        h = apply(row[0], h) + row[1]
        return h, h

    return jnp.concatenate([b[:1], jax.lax.scan(move, b[0], (A[1:], b[1:]))[1]])


def apply(A: Array, h: Array) -> Array:
    """A h, of full matrices or diagonal ones."""
    return A * h if A.ndim == h.ndim else jnp.einsum("...ij,...j->...i", A, h)


def _compose(first: tuple[Array, Array], second: tuple[Array, Array]) -> tuple[Array, Array]:
    (A1, b1), (A2, b2) = first, second
    A = A2 * A1 if A1.ndim == b1.ndim else A2 @ A1
    return A, apply(A2, b1) + b2


def transposed(A: Array, like: Array) -> Array:
    """The transposes of the matrices that act on `like`."""
    return A if A.ndim == like.ndim else jnp.swapaxes(A, -1, -2)


def growth(A: Float[Array, "time ..."], diagonal: bool) -> Float[Array, ""]:
    r"""$\max \log \left( \|A_T \cdots A_1\|_F / \sqrt{n} \right)$ over the blocks: the logarithm of how much the rows
    multiply a tangent vector by, in the root mean square over all directions of it.

    The product is a tree of log2(T) sweeps, and each is scaled to one as it goes: it neither overflows nor vanishes.

    **Arguments:** `A`: `(time, ..., n, n)`, or `(time, ..., n)` of diagonal matrices.

    **Returns:** a scalar; minus infinity where the product is zero.
    """
    if diagonal:
        return jnp.max(jnp.sum(jnp.log(jnp.abs(A)), axis=0))
    logs = jnp.zeros(A.shape[:-2], A.dtype)
    while A.shape[0] > 1:
        last, pairs = (A[-1:], logs[-1:]) if A.shape[0] % 2 else (A[:0], logs[:0]), A.shape[0] // 2 * 2
        A, size = _scaled(A[1:pairs:2] @ A[:pairs:2])
        A = jnp.concatenate([A, last[0]])
        logs = jnp.concatenate([logs[1:pairs:2] + logs[:pairs:2] + size, last[1]])
    return jnp.max(logs[0] + _scaled(A)[1][0])


def _scaled(A: Array) -> tuple[Array, Array]:
    """Matrices of root mean square growth one, and the logarithms of what they had."""
    size = jnp.sqrt(jnp.sum(jnp.square(A), axis=(-2, -1)) / A.shape[-1])
    zero = size == 0
    return A / jnp.where(zero, 1, size)[..., None, None], jnp.log(size)
