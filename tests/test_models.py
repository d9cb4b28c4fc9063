"""The table of models, and the laws that hold for each of them. A new model is one row here."""

import functools
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ctmodels as ct

FIXED = ct.Integrate(ct.RK4(), ct.Substeps(1))
TS = jnp.array([0.0, 0.2, 0.5, 0.6])


class Row(NamedTuple):
    """`make(key)`: the model; `x(key)`: one sample's input; `channels`: of the output."""

    name: str
    make: Any
    x: Any
    channels: int = 2


def mlp(channels, **kwargs):
    return lambda key: ct.MLPField(channels, width=4, depth=1, key=key, **kwargs)


def neural_ode(field, augment=0, integrate=FIXED):
    return lambda key: ct.NeuralODE(field(key), 2, augment, integrate)


def start(key):
    return jax.random.normal(key, (2,))


def driven(key):
    return ct.Driven(start(key), ct.LinearPath(TS, jnp.sin(TS)[:, None]))


def hybrid(key):
    return ct.SumField(ct.systems.LotkaVolterra(1.0, 0.5, 0.5, 1.0), mlp(2)(key))


def latent_ode(key):
    a, b, c, d = jax.random.split(key, 4)
    encoder = ct.ReverseGRUEncoder(2, 4, key=a)
    posterior = eqx.nn.Linear(encoder.size, 6, key=b)
    return ct.LatentODE(encoder, posterior, mlp(3)(c), eqx.nn.Linear(3, 2, key=d), FIXED)


def partly_observed(key):
    mask = jax.random.bernoulli(key, 0.6, (4, 2)).at[1].set(True)
    return ct.Series(TS, jnp.where(mask, jax.random.normal(key, (4, 2)), 0), mask)


MODELS = [
    Row("neural ODE, adaptive", neural_ode(mlp(2), integrate=ct.Integrate(max_steps=16)), start),
    Row("neural ODE, fixed grid", neural_ode(mlp(2)), start),
    Row("neural ODE, augmented", neural_ode(mlp(3), augment=1), start),
    Row("neural ODE, second order", neural_ode(lambda k: ct.SecondOrder(mlp((4, 2))(k)), augment=2), start),
    Row("neural ODE, hybrid", neural_ode(hybrid), start),
    Row("neural ODE, driven", neural_ode(mlp(2, inputs=1)), driven),
    Row("neural ODE, Heun", neural_ode(mlp(2), integrate=ct.Integrate(diffrax.Heun(), ct.Substeps(2))), start),
    Row("latent ODE", latent_ode, partly_observed),
]
each_model = pytest.mark.parametrize("row", MODELS, ids=[r.name for r in MODELS])


def batch_of(row, size=3):
    return jax.vmap(row.x)(jax.random.split(jax.random.key(1), size))


def assert_close(a, b, loose=1.0):
    scale = 1e-9 if jnp.zeros(()).dtype == jnp.float64 else 2e-5
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, rtol=scale * loose, atol=scale * loose)


@pytest.mark.mostly("float32")
@each_model
def test_finite_of_the_right_shape_and_vmap_equals_loop(row):
    model, xs = row.make(jax.random.key(0)), batch_of(row)
    call = eqx.filter_jit(lambda m, x: m(x, TS))
    out = eqx.filter_jit(lambda m, xs: jax.vmap(lambda x: m(x, TS))(xs))(model, xs)
    assert out.ys.shape == (3, len(TS), row.channels) and out.ys.dtype == TS.dtype
    assert np.isfinite(out.ys).all() and (np.asarray(out.stats.status) == 0).all()
    assert (out.kl is None or out.kl.shape == (3,)) and np.all(np.asarray(out.stats.evaluations) > 0)
    for i in range(3):
        alone = call(model, jax.tree.map(lambda a, i=i: a[i], xs))
        assert_close(alone.ys, out.ys[i])
        assert alone.stats.evaluations == out.stats.evaluations[i]


@pytest.mark.only("float64")
def test_a_held_input_jumps_between_steps_and_not_within():
    """dz/dt = u - z from one held value to the next is a sum of exponentials; through the jumps, the error is 1e-2."""
    ts, us, z = np.array([0.0, 0.5, 1.1, 2.0]), np.array([1.0, -1.0, 2.0, 0.0]), [0.0]
    for gap, u in zip(np.diff(ts), us, strict=False):
        z.append(u + (z[-1] - u) * np.exp(-gap))
    model = ct.NeuralODE(lambda t, z, u: u(t) - z, 1, 0, ct.Integrate(ct.RK4(), ct.Substeps(8)))
    x = ct.Driven(jnp.zeros(1), ct.HeldPath(jnp.asarray(ts), jnp.asarray(us)[:, None]))
    np.testing.assert_allclose(model(x).ys[:, 0], z, atol=2e-6)
    np.testing.assert_allclose(model(x, jnp.array([0.0, 0.8, 2.0])).ys[2, 0], z[3], atol=2e-6)


@pytest.mark.mostly("float32")
@each_model
def test_trains_compiles_once_and_same_key_gives_the_same_answer(row):
    target = ct.Series(TS, jnp.ones((4, row.channels)), jnp.ones((4, row.channels), bool))
    examples = jax.vmap(lambda x: ct.Example(x, target))(batch_of(row))
    step = ct.make_step(ct.objective(ct.losses.squared), optax.adam(0.03))

    def run():
        state, losses = step.init(row.make(jax.random.key(0)), key=jax.random.key(2)), []
        for _ in range(15):
            state, metrics = step(state, examples)
            losses.append(float(metrics["loss"]))
        assert step.traces == 1
        return losses

    losses = run()
    assert losses[-1] < 0.9 * losses[0]
    assert run() == losses


@functools.cache
def of_a_sample(row):
    """The value, outputs and gradient of one sample, as it is and padded: compiled once for the two tests of it."""
    model, x = row.make(jax.random.key(0)), row.x(jax.random.key(1))
    ys = jnp.ones((4, row.channels))
    target = ct.Series(TS, ys, jnp.ones(ys.shape, bool))

    def total(model, target):
        value, weight, out = ct.losses.squared(model, ct.Example(x, target))
        return value / weight, out.ys

    run = eqx.filter_jit(eqx.filter_value_and_grad(total, has_aux=True))
    return run(model, target), run(model, target.pad(6))


@pytest.mark.mostly("float32")
@each_model
def test_every_parameter_gets_a_finite_gradient(row):
    for path, leaf in jax.tree_util.tree_leaves_with_path(of_a_sample(row)[0][1]):
        assert np.isfinite(leaf).all() and np.any(np.asarray(leaf) != 0), jax.tree_util.keystr(path)


@pytest.mark.mostly("float32")
@each_model
def test_padding_changes_neither_outputs_nor_gradient(row):
    ((value, out), gradient), ((padded, out_padded), gradient_padded) = of_a_sample(row)
    # An adaptive solve of the same span takes the same steps: equal to rounding.
    assert_close((value, out), (padded, out_padded[:4]))
    assert_close(gradient, gradient_padded, 100)


@pytest.mark.mostly("float32")
@each_model
def test_serialises_and_comes_back(row, tmp_path):
    model, x = row.make(jax.random.key(0)), row.x(jax.random.key(1))
    eqx.tree_serialise_leaves(tmp_path / "model.eqx", model)
    back = eqx.tree_deserialise_leaves(tmp_path / "model.eqx", row.make(jax.random.key(9)))
    np.testing.assert_array_equal(back(x, TS).ys, model(x, TS).ys)


@pytest.mark.only("float32")
def test_neural_ode_takes_the_observed_or_the_whole_state():
    model = neural_ode(mlp(3), augment=1)(jax.random.key(0))
    y0 = jnp.array([0.1, 0.2])
    np.testing.assert_array_equal(model(y0, TS).latents, model(jnp.array([0.1, 0.2, 0.0]), TS).latents)
    with pytest.raises(ValueError, match=r"y0 has 4 channels.*2 \(observed\) or 3"):
        model(jnp.zeros(4), TS)
    with pytest.raises(ValueError, match="ts=None"):
        model(y0)


@pytest.mark.only("float32")
def test_neural_ode_without_times_answers_at_those_of_its_control():
    model = neural_ode(mlp(2, inputs=1))(jax.random.key(0))
    x = driven(jax.random.key(1))
    np.testing.assert_array_equal(model(x).ys, model(x, TS).ys)
