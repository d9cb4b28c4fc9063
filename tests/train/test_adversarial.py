"""A generator and a critic in closed form: their gradients, their bounds, the mean of their weights, their game."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import equal

import ctmodels as ct

pytestmark = pytest.mark.mostly("float64")


class Shifted(eqx.Module):
    """Normal numbers about a level, at whatever times."""

    level: jax.Array

    def __call__(self, x, ts, *, key):
        ys = self.level[None] + jax.random.normal(key, (ts.shape[0], 1), ts.dtype)
        return ct.Output(ys, ct.Stats.none(ts[0]))


class Weighed(eqx.Module):
    """Some number times the mean of what was observed."""

    linear: eqx.nn.Linear

    def __call__(self, x, ts=None):
        mean = jnp.sum(jnp.where(x.mask, x.ys, 0), axis=0) / jnp.sum(x.mask, axis=0, dtype=x.ys.dtype)
        return ct.Output(self.linear(mean)[None], ct.Stats.none(x.ts[0]))


def players(level=0.0, weight=0.5, outputs=1):
    linear = eqx.nn.Linear(1, outputs, use_bias=False, key=jax.random.key(0))
    linear = eqx.tree_at(lambda x: x.weight, linear, jnp.full((outputs, 1), weight, float))
    return Shifted(jnp.array([level])), Weighed(linear)


def data(number=64, level=2.0, missing=0.3):
    rng = np.random.default_rng(0)
    ys = level + rng.normal(size=(number, 8, 1))
    ys[rng.random(ys.shape) < missing] = np.nan
    return ct.ArrayDataset(ct.Example(None, ct.collate([ct.Series.from_nan(np.arange(8.0), y) for y in ys])))


def test_the_critic_descends_and_the_generator_climbs(tolerance):
    """One gradient: of the difference for the critic, and its negative for the generator."""
    example = jax.tree.map(lambda x: x[0], data().tree)
    series, key, pair = example.target, jax.random.key(3), players(0.7, 0.5)
    value, grads = eqx.filter_value_and_grad(lambda pair: ct.losses.adversarial(pair, example, key)[0])(pair)
    seen = lambda ys: np.asarray(ys)[np.asarray(series.mask)].mean()
    fake, real = seen(pair[0](None, series.ts, key=key).ys), seen(series.ys)
    np.testing.assert_allclose(value, 0.5 * (fake - real), **tolerance())
    np.testing.assert_allclose(grads[1].linear.weight, [[fake - real]], **tolerance())
    np.testing.assert_allclose(grads[0].level, [-0.5], **tolerance())


@pytest.mark.only("float64")
def test_what_cannot_play_is_refused():
    example, key = jax.tree.map(lambda x: x[0], data(2).tree), jax.random.key(0)
    with pytest.raises(TypeError, match=r"model: .*a pair \(generator, critic\) is wanted"):
        ct.losses.adversarial(players()[0], example, key)
    with pytest.raises(TypeError, match="key: None is no key"):
        ct.losses.adversarial(players(), example, None)
    with pytest.raises(ValueError, match=r"the critic answers .* shape \(1, 2\).*make it with outputs=1"):
        ct.losses.adversarial(players(outputs=2), example, key)
    step = ct.make_step(ct.objective(ct.losses.adversarial), optax.sgd(0.1))
    with pytest.raises(ValueError, match=r"keeps 0 averages.*ct.average_weights\(begin\)"):
        ct.averaged(step.init(players(), key=key))
    with pytest.raises(TypeError, match="state: .*fit"):
        ct.averaged(players())
    with pytest.raises(ValueError, match=r"begin=-1"):
        ct.average_weights(-1)
    for transform in (ct.clip_weights(), ct.average_weights(0)):
        with pytest.raises(ValueError, match="params: None"):
            transform.update(players(), transform.init(players()))


def test_weights_end_within_their_bounds_and_biases_where_they_would(tolerance):
    mlp = eqx.nn.MLP(3, 5, 4, 1, key=jax.random.key(0))
    trained = eqx.filter((mlp, jnp.ones((2, 2))), eqx.is_inexact_array)  # what is no layer goes free
    rng = np.random.default_rng(0)
    updates = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape), x.dtype), trained)
    clip = ct.clip_weights()
    moved = eqx.apply_updates(trained, clip.update(updates, clip.init(trained), trained)[0])
    free = eqx.apply_updates(trained, updates)
    for layer, other in zip(moved[0].layers, free[0].layers, strict=True):
        most = 1 / layer.weight.shape[0]
        np.testing.assert_allclose(layer.weight, np.clip(other.weight, -most, most), **tolerance())
        assert jnp.max(jnp.abs(other.weight)) > most
        np.testing.assert_array_equal(layer.bias, other.bias)
    np.testing.assert_array_equal(moved[1], free[1])


@pytest.mark.only("float64")
def test_a_clipped_network_has_a_slope_of_one_at_most():
    """In sums of absolute values; and nearly one where all of a layer's weights agree."""
    xs = np.linspace(-20.0, 20.0, 4001)
    slopes = jax.vmap(jax.grad(ct.fields.lipswish))(jnp.asarray(xs))
    assert 0.999 < jnp.max(jnp.abs(slopes)) <= 1.0
    mlp = eqx.nn.MLP(3, 5, 8, 2, ct.fields.lipswish, jnp.tanh, key=jax.random.key(0))
    far = jax.tree.map(lambda x: 1e3 * jnp.sign(x), eqx.filter(mlp, eqx.is_inexact_array))
    clip = ct.clip_weights()
    trained, rest = eqx.partition(mlp, eqx.is_inexact_array)
    updates = clip.update(far, clip.init(trained), trained)[0]
    no_bias = lambda layer: layer.bias
    for i in range(3):  # biases left to themselves would saturate every unit
        updates = eqx.tree_at(lambda m, i=i: no_bias(m.layers[i]), updates, replace_fn=lambda b: 0 * b)
    mlp = eqx.combine(eqx.apply_updates(trained, updates), rest)
    points = jnp.asarray(np.random.default_rng(0).normal(size=(50, 3)))
    jacobians = jax.vmap(jax.jacfwd(mlp))(points)
    assert 0 < jnp.max(jnp.sum(jnp.abs(jacobians), axis=1)) <= 1.0


def optimiser(steps, rate=0.05):
    of_each = {"generator": optax.sgd(rate), "critic": optax.chain(optax.sgd(rate), ct.clip_weights())}
    return optax.chain(optax.partition(of_each, ("generator", "critic")), ct.average_weights(begin=steps // 2))


def test_the_mean_of_the_weights_is_over_the_later_steps(tolerance):
    step = ct.make_step(ct.objective(ct.losses.adversarial), optimiser(6))
    state, rows, seen = step.init(players(), key=jax.random.key(1)), data(16), []
    batch = rows[jnp.arange(16)]
    for _ in range(6):
        state, _ = step(state, batch)
        seen.append([np.asarray(x) for x in jax.tree.leaves(eqx.filter(state.model, eqx.is_array))])
        if len(seen) <= 4:  # until there are two, the newest is the mean
            assert equal(ct.averaged(state), state.model)
    means = jax.tree.leaves(eqx.filter(ct.averaged(state), eqx.is_array))
    for mean, *values in zip(means, *seen[3:], strict=True):
        np.testing.assert_allclose(mean, np.mean(values, axis=0), **tolerance())
    before = jax.tree.map(np.array, eqx.filter(ct.averaged(state), eqx.is_array))  # the step reuses its buffers
    bad = eqx.tree_at(lambda x: x.target.ys, batch, jnp.full_like(batch.target.ys, jnp.nan))
    state, metrics = step(state, bad)
    assert metrics["skipped"] == 1 and equal(ct.averaged(state), before)


@pytest.mark.only("float64")
def test_the_game_finds_the_level_and_goes_on_in_the_same_bits(tmp_path):
    """The players circle; their mean is at the balance. A run in two parts is one run, the mean included."""
    rows, steps = data(256), 400
    step = ct.make_step(ct.objective(ct.losses.adversarial), optimiser(steps))
    run = lambda folder, n, **more: ct.fit(
        step, step.init(players(), key=jax.random.key(1)), rows, steps=n, batch_size=64, folder=folder, progress=False,
        save_every=200, **more,
    )  # fmt: skip
    whole = run(tmp_path / "a", steps)
    generator, critic = ct.averaged(whole.state)
    assert abs(generator.level[0] - 2) < 0.15 and abs(critic.linear.weight[0, 0]) < 0.3
    run(tmp_path / "b", 200)
    assert equal(ct.averaged(run(tmp_path / "b", steps, resume=True).state), ct.averaged(whole.state))
    assert step.traces == 1
