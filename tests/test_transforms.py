"""Transforms of the example: what they draw, and that no gradient sees an input that it predicts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

pytestmark = pytest.mark.only("float32")

same = np.testing.assert_array_equal


def keys(n, seed=3):
    return jax.random.split(jax.random.key(seed), n)


def each(transform, example, number=500):
    """The example, transformed with so many keys."""
    return jax.jit(jax.vmap(lambda key: transform(example, key, 0)))(keys(number))


# -- steer


def test_steer_moves_the_end_by_no_more_than_it_may():
    ts = jnp.linspace(0.0, 1.5, 4)
    target = ct.Series(ts, jnp.ones((4, 2)), jnp.ones((4, 2), bool))
    example, padded = ct.Example(None, target), ct.Example(None, target.pad(6))
    moved = each(ct.transforms.steer(0.3), padded)
    ends = np.asarray(moved.target.ts)[:, 3:]
    assert np.all(ends == ends[:, :1])  # the padding goes along
    assert np.all(np.asarray(moved.target.ts)[:, :3] == np.asarray(ts[:3]))
    assert ends.min() < 1.25 and ends.max() > 1.75 and ends.min() >= 1.2 and ends.max() <= 1.8 + 1e-6
    assert abs(ends.mean() - 1.5) < 0.05
    far = each(ct.transforms.steer(9.0), example)
    assert np.all(np.diff(np.asarray(far.target.ts), axis=1) >= 0)  # never before the time in front of it
    with pytest.raises(ValueError, match="width=0"):
        ct.transforms.steer(0)
