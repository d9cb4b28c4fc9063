"""Linear recurrences in two ways, what grows in them, and the filter behind the damped iteration."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctmodels import ssm
from ctmodels.ssm._affine import growth
from ctmodels.ssm._filter import filtered_correction, filtered_covariances

SHAPES = {
    "numbers": ((7,), (7,)),
    "diagonal": ((7, 3), (7, 3)),
    "full": ((7, 3, 3), (7, 3)),
    "blocks": ((7, 4, 2, 2), (7, 4, 2)),
}


def drawn(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype(jax.dtypes.canonicalize_dtype(float))


def loop(A, b):
    h = [b[0]]
    for matrix, x in zip(A[1:], b[1:], strict=True):
        h.append((matrix * h[-1] if matrix.ndim == x.ndim else (matrix @ h[-1][..., None])[..., 0]) + x)
    return np.stack(h)


@pytest.mark.parametrize("shapes", SHAPES.values(), ids=SHAPES)
def test_all_rows_at_once_are_those_of_a_loop(shapes, tolerance):
    """What the first matrix is, or in reverse the last, does not matter."""
    A, b = drawn(*shapes[0]), drawn(*shapes[1], seed=1)
    A[0], other = np.nan, A.copy()
    other[0], other[-1] = drawn(*shapes[0])[0], np.nan

    @jax.jit
    def solve(A, other, b):
        ways = [dict(parallel=False), dict(parallel=True)]
        return [ssm.affine_scan(A, b, **way) for way in ways], [
            ssm.affine_scan(other, b, reverse=True, **way) for way in ways
        ]

    forwards, backwards = solve(A, other, b)
    for h in forwards:
        np.testing.assert_allclose(h, loop(A, b), **tolerance(10))
    for h in backwards:
        np.testing.assert_allclose(h, loop(other[::-1], b[::-1])[::-1], **tolerance(10))


@pytest.mark.only("float32")
def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"A: shape \(3, 2\), and b has \(4, 2\)"):
        ssm.affine_scan(jnp.zeros((3, 2)), jnp.zeros((4, 2)))
    with pytest.raises(TypeError, match="A: float16, and b is float32"):
        ssm.affine_scan(jnp.zeros((4, 2), jnp.float16), jnp.zeros((4, 2)))


@pytest.mark.parametrize("rows", [1, 6, 7])
def test_growth_is_that_of_the_product(rows, tolerance):
    A = drawn(rows, 2, 3, 3)
    products = [np.linalg.multi_dot([*A[::-1, i], np.eye(3, dtype=A.dtype)]) for i in range(2)]
    wanted = max(np.log(np.linalg.norm(product) / np.sqrt(3)) for product in products)
    measure = jax.jit(growth, static_argnums=1)
    np.testing.assert_allclose(measure(A, False), wanted, **tolerance(10))
    np.testing.assert_allclose(
        measure(A[:, 0, 0], True), np.max(np.sum(np.log(np.abs(A[:, 0, 0])), axis=0)), **tolerance()
    )


def test_growth_neither_overflows_nor_vanishes(tolerance):
    A = np.zeros((400, 1, 2, 2), jax.dtypes.canonicalize_dtype(float)) + 1e3 * np.eye(2, dtype=np.float32)
    np.testing.assert_allclose(jax.jit(growth, static_argnums=1)(A, False), 400 * np.log(1e3), **tolerance())
    assert jax.jit(growth, static_argnums=1)(0 * A, False) == -np.inf


@pytest.mark.parametrize("kind", ["full", "diagonal"])
def test_the_damped_correction_is_a_kalman_filter(kind, tolerance):
    """Of h_t = A_t h_(t-1) + b_t, observed as the last iterate, by a loop in NumPy."""
    n, damping = (3, 0.4) if kind == "full" else (1, 0.4)
    A, b, ys = drawn(6, n, n), drawn(6, n, seed=1), drawn(6, n, seed=2)
    mean, cov, means, covs = b[0], np.zeros((n, n)), [b[0]], [np.zeros((n, n))]
    for matrix, x, y in zip(A[1:], b[1:], ys[1:], strict=True):
        mean, cov = matrix @ mean + x, matrix @ cov @ matrix.T + np.eye(n)
        gain = cov @ np.linalg.inv(cov + np.eye(n) / damping)
        mean, cov = mean + gain @ (y - mean), cov - gain @ cov
        means.append(mean)
        covs.append(cov)
    values = np.concatenate([b[:1], np.einsum("tij,tj->ti", A[1:], ys[:-1]) + b[1:]])
    matrices = A if kind == "full" else A[..., 0]

    @jax.jit
    def solve(A, matrices, values, ys):
        ways = (False, True)
        return (
            [filtered_covariances(A, damping, parallel=way) for way in ways],
            [ys + filtered_correction(matrices, values - ys, damping, parallel=way) for way in ways],
        )

    found_covs, found_means = solve(A, matrices, values, ys)
    for cov, mean in zip(found_covs, found_means, strict=True):
        np.testing.assert_allclose(cov, np.stack(covs), **tolerance(10))
        np.testing.assert_allclose(mean, np.stack(means), **tolerance(10))
