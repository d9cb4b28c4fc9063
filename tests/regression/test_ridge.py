"""Ridge regression: by its normal equations, by a pseudo-inverse, and of rows that are not to be looked at."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    return rng.normal(size=(40, 5)), rng.normal(size=(40, 2))


def test_it_solves_the_normal_equations_for_all_penalties_at_once(rows, tolerance):
    X, Y = rows
    penalties, weights = [0.1, 3.0], np.arange(40.0) % 3
    seen = np.where(weights[:, None] > 0, X, np.nan)
    found = jax.jit(ct.regression.ridge)(
        *map(jnp.asarray, (seen, Y, np.asarray(penalties))), weights=jnp.asarray(weights)
    )
    for one, penalty in zip(found, penalties, strict=True):
        wanted = np.linalg.solve(X.T * weights @ X + penalty * np.eye(5), X.T * weights @ Y)
        np.testing.assert_allclose(one, wanted, **tolerance(10))


@pytest.mark.only("float64")
def test_without_a_penalty_it_is_the_pseudo_inverse_also_of_too_few_rows_and_too_few_directions(rows, tolerance):
    X, Y = rows
    double = np.concatenate([X, X[:, :2]], axis=1)
    for features, targets in ((double, Y), (double[:4], Y[:4])):
        found = ct.regression.ridge(jnp.asarray(features), jnp.asarray(targets))
        np.testing.assert_allclose(found, np.linalg.pinv(features) @ targets, **tolerance(10))
    U, s, Vt = np.linalg.svd(X, full_matrices=False)
    two = (Vt[:2].T / s[:2]) @ U[:, :2].T @ Y
    np.testing.assert_allclose(ct.regression.ridge(jnp.asarray(X), jnp.asarray(Y), rank=2), two, **tolerance(10))
