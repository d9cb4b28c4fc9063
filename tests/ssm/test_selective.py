"""The selective layer: Mamba's numbers in its released form, and how the exact one differs; its forms:
`test_layers.py`."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

REFERENCE = Path(__file__).parents[1] / "reference" / "ssm_selective.json"
KEY, FEATURES, MODES, ROWS = jax.random.key(0), 3, 2, 9
GIVEN = ("u", "delta", "A", "B", "C", "D", "z", "delta_bias")
EULER = {"method": ct.ssm.euler_rates}


def array(x):
    return jnp.asarray(np.asarray(x), float)


def rows():
    return array(np.random.default_rng(0).normal(size=(ROWS, FEATURES)))


def layer(**kwargs):
    """With steps that are seen within a few rows."""
    return ct.layers.Selective(FEATURES, MODES, steps=(0.05, 0.5), key=KEY, **kwargs)


SCAN = eqx.filter_jit(lambda layer, us, gaps: layer.scan(layer.start(), us, gaps))
STEP = eqx.filter_jit(lambda layer, state, u, gap: layer.step(state, u, gap))


def of_mamba(given, parallel):
    """The part of Mamba's block of which the numbers are: axes are (batch, feature or mode, row)."""
    turned = lambda name: jnp.swapaxes(given[name], 1, 2)
    steps = jax.nn.softplus(turned("delta") + given["delta_bias"][None, None])
    gaps = jnp.ones(steps.shape[1])
    scan = lambda u, step, B, C: ct.ssm.selective_scan(u, step, given["A"], B, C, gaps, parallel=parallel, **EULER)
    xs, ys = jax.vmap(scan)(turned("u"), steps, turned("B"), turned("C"))
    y = (ys + given["D"][None, None] * turned("u")) * jax.nn.silu(turned("z"))
    y = jnp.swapaxes(y, 1, 2)
    return jnp.sum(y * jnp.cos(jnp.arange(y.size, dtype=y.dtype)).reshape(y.shape)), (y, xs[:, -1])


@pytest.mark.only("float64")
@pytest.mark.parametrize("parallel", [False, True])
def test_euler_equals_mamba_and_its_gradients(parallel, within):
    reference = json.loads(REFERENCE.read_text(encoding="utf-8"))
    run = jax.jit(jax.value_and_grad(of_mamba, has_aux=True), static_argnums=1)
    (loss, (y, last)), gradient = run({name: array(reference[name]) for name in GIVEN}, parallel)
    found = {"loss": loss, "y_BDL": y, "last_state": last} | {f"g_{name}": gradient[name] for name in GIVEN}
    for name, value in found.items():
        wanted = np.asarray(reference[name])
        value = value[..., ::8] if value.shape != wanted.shape else value
        np.testing.assert_allclose(value, wanted, **within(1e-9, 1e-10), err_msg=name)


@pytest.mark.only("float64")
def test_eulers_step_comes_to_the_exact_one_and_is_not_the_same_over_two_halves():
    exact, euler, us = layer(), layer(**EULER), rows()
    x = array(np.random.default_rng(1).normal(size=(FEATURES, MODES)))
    apart = lambda gap: np.abs(STEP(exact, x, us[0], array(gap))[0] - STEP(euler, x, us[0], array(gap))[0]).max()
    assert np.log2(apart(2e-3) / apart(1e-3)) == pytest.approx(2, abs=0.01)  # a method of order one
    twice = lambda made: STEP(made, STEP(made, x, us[0], array(0.5))[0], us[0], array(0.5))[0]
    defect = lambda made: np.abs(twice(made) - STEP(made, x, us[0], array(1.0))[0]).max()
    assert defect(exact) < 1e-14 and defect(euler) > 1e-4


def test_with_one_mode_it_is_a_gated_mean(tolerance):
    """Theorem 1 of the paper: for A = -1 and B = C = 1, x_k = (1 - g) x_(k-1) + g u_k, g = sigmoid(W u + b)."""
    made, us = ct.layers.Selective(1, 1, key=KEY), rows()
    us, ones = us[:, :1], jnp.ones((ROWS, 1))
    steps = jax.nn.softplus(us @ (made.up @ made.down) + made.bias[None])
    xs, ys = jax.jit(ct.ssm.selective_scan)(us, steps, -jnp.ones((1, 1)), ones, ones, jnp.ones(ROWS))
    x, gates = 0.0, np.asarray(jax.nn.sigmoid(us @ (made.up @ made.down) + made.bias[None]))[:, 0]
    for g, u, found in zip(gates, np.asarray(us)[:, 0], np.asarray(ys)[:, 0], strict=True):
        x = (1 - g) * x + g * u
        np.testing.assert_allclose(found, x, **tolerance(10))
    np.testing.assert_array_equal(xs[:, :, 0], ys)


def test_regular_rows_and_where_steps_and_rates_begin(tolerance):
    made, us = layer(), rows()
    wanted = SCAN(made, us, jnp.full(ROWS, 0.7))[1]
    found = eqx.filter_jit(lambda layer, us, gap: layer.convolve(us, gap))(made, us, array(0.7))
    np.testing.assert_allclose(found, wanted, **tolerance())
    many = ct.layers.Selective(200, 4, steps=(1e-6, 1e-1), key=KEY)
    steps = np.asarray(jax.nn.softplus(many.bias))
    assert steps.min() == pytest.approx(1e-4, rel=1e-3) and 0.05 < steps.max() <= 0.1001
    np.testing.assert_allclose(-jnp.exp(many.log_rate), -np.tile(np.arange(1.0, 5.0), (200, 1)), **tolerance())
    assert many.down.shape == (13, 200) and many.z is None


@pytest.mark.only("float32")
def test_what_cannot_be_is_refused():
    for changed, said in (
        (dict(modes=0), "modes=0: a whole number of at least 1"),
        (dict(features=0), "features=0"),
        (dict(rank=0), "rank=0: a whole number of at least 1"),
        (dict(rank=5), "rank=5: .* features=4 to as many: at most that"),
        (dict(steps=(0.1, 0.01)), "steps="),
    ):
        with pytest.raises(ValueError, match=said):
            ct.layers.Selective(**(dict(features=4, key=KEY) | changed))
    with pytest.raises(TypeError, match=r"key=jax.random.key\(0\)"):
        ct.layers.Selective(4, key=None)
