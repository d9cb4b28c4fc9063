"""Brownian increments by counter: the same path at every refinement, and the laws of Brownian motion."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ctmodels.noise import Brownian

pytestmark = pytest.mark.only("float64")
SHAPE = (2,)


def path(key, n, area, interval=0):
    """All increments of an interval, in units of its length: `w`, `h`, each `(n, 2)`."""
    brownian = Brownian(key, n, SHAPE, jnp.dtype("float64"), area)

    _, leaves = brownian.along(lambda carry, i, one: (carry, one), 0, interval)
    return [x / n**0.5 for x in leaves if x is not None]


@pytest.fixture(scope="module")
def drawn():
    """By (n, area): of 400 keys."""
    keys = jax.random.split(jax.random.key(0), 400)
    cases = [(n, area) for n in (3, 6, 12) for area in (False, True)] + [(16, False), (32, False)]
    of_case = lambda case: jax.vmap(lambda key: path(key, *case))
    return jax.jit(lambda keys: {case: of_case(case)(keys) for case in cases})(keys)


@pytest.mark.parametrize("area", [False, True])
def test_halves_add_up_to_what_they_are_of(drawn, area, tolerance):
    for n in (6, 12):
        coarse, fine = drawn[n // 2, area], drawn[n, area]
        first, second = (fine[0][:, i::2] for i in (0, 1))
        np.testing.assert_allclose(first + second, coarse[0], **tolerance())
        if area:
            area_of_both = (fine[1][:, ::2] + fine[1][:, 1::2]) / 2 + (first - second) / 4
            np.testing.assert_allclose(area_of_both, coarse[1], **tolerance())


def test_increments_that_are_halved_again_add_up_too(drawn, tolerance):
    pairs = drawn[32, False][0].reshape(400, 16, 2, *SHAPE)
    np.testing.assert_allclose(pairs.sum(2), drawn[16, False][0], **tolerance())


@pytest.mark.parametrize(("n", "area"), [(3, False), (12, False), (12, True), (32, False)])
def test_increments_are_normal_and_independent(drawn, n, area):
    found = drawn[n, area]
    for x, variance in zip(found, (1 / n, 1 / (12 * n)), strict=False):
        assert stats.kstest(np.ravel(x) / variance**0.5, "norm").pvalue > 1e-3
    # Of each sample, all its numbers: over steps, channels, and the areas beside.
    numbers = np.concatenate([np.reshape(x / jnp.std(x), (400, -1)) for x in found], axis=1)
    correlation = np.corrcoef(numbers, rowvar=False) - np.eye(numbers.shape[1])
    assert np.abs(correlation).max() < 5.2 / 400**0.5
    lanes = np.corrcoef(numbers[:40]) - np.eye(40)
    assert np.abs(lanes).max() < 5 / numbers.shape[1] ** 0.5


def test_intervals_have_increments_of_their_own():
    key = jax.random.key(3)
    one, other = (Brownian(key, 1, (200,), jnp.dtype("float64")).of_part(interval, 0).w for interval in (0, 1))
    assert abs(np.corrcoef(one, other)[0, 1]) < 4 / 200**0.5
