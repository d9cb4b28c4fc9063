"""A liquid of spiking neurons: one of them by hand, its connections by their law, and a readout of its counts."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

KEY = jax.random.key(0)


def test_a_neuron_spikes_as_often_as_its_equation_says():
    """Alone under a current: none below the threshold; above, the time that v takes and the pause."""
    one = ct.LiquidState(1, (1, 1, 1), tau_u=1.0, key=KEY)  # u is the current of the moment
    one = eqx.tree_at(lambda m: m.W_in, one, jnp.ones((1, 1)))
    run = jax.jit(lambda current: one(current * jnp.ones((300, 1))))
    assert not np.any(run(jnp.asarray(0.31)))  # v tends to 64 times as much: 19.8
    times = np.flatnonzero(np.asarray(run(jnp.asarray(1.0)))[:, 0])
    first = int(np.ceil(np.log(1 - 20 / 64) / np.log(1 - 1 / 64)))  # steps until 64 (1 - (63/64)^n) is 20
    assert times[0] == first - 1 and set(np.diff(times)) == {first + 2}


@pytest.mark.only("float32")
def test_connections_fade_with_distance_and_have_the_sign_of_their_source(within):
    liquid = ct.LiquidState(3, (9, 9, 9), inhibitory=0.0, key=KEY)
    places = np.stack(np.meshgrid(*[np.arange(9)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    squares = ((places[:, None] - places[None]) ** 2).sum(axis=-1)
    W = np.asarray(liquid.W)
    for square in (1, 5, 14):
        np.testing.assert_allclose(np.mean(W[squares == square] != 0), 0.2 * np.exp(-square / 9), **within(0.15))
    assert set(np.unique(W)) == {0, 3} and not np.diag(W).any()
    signs = np.asarray(ct.LiquidState(3, (6, 6, 6), key=KEY).W)
    assert np.all((signs >= 0).all(axis=0) | (signs <= 0).all(axis=0)) and signs.min() == -3
    np.testing.assert_allclose(np.mean(liquid.W_in != 0), 0.15, **within(0.15))


@pytest.mark.only("float32")
def test_a_linear_readout_of_counts_tells_patterns_apart():
    """Of spikes at the same rate, one channel before the other or after it."""
    rng, number, steps = np.random.default_rng(1), 80, 60
    labels = np.arange(number) % 2
    early = np.arange(steps) < steps // 2
    rates = np.stack([early, ~early], axis=1) * 0.4
    xs = rng.random((number, steps, 2)) < np.where(labels[:, None, None] == 1, rates, rates[:, ::-1])
    liquid = ct.LiquidState(2, (4, 4, 4), input_density=0.4, input_weight=6.0, weight=2.0, key=KEY)
    spikes = jax.jit(jax.vmap(liquid))(jnp.asarray(xs.astype(np.float32)))
    assert 0.001 < np.mean(spikes) < 0.2
    late = np.asarray(spikes)[:, steps // 2 :].sum(axis=1)
    counts = np.concatenate([late, np.ones((number, 1))], axis=1).astype(np.float32)
    signs = (2.0 * labels - 1)[:, None].astype(np.float32)
    W = ct.regression.ridge(jnp.asarray(counts[:50]), jnp.asarray(signs[:50]), 10.0)
    assert np.mean(np.sign(counts[50:] @ W) == signs[50:]) > 0.9
