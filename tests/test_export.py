"""A model as a file that needs JAX alone, and arrays that go to PyTorch and back."""

import subprocess
import sys

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

pytestmark = pytest.mark.only("float32")

ALONE = """
import sys, numpy, jax, jax.export
with open(sys.argv[1], "rb") as file:
    solve = jax.export.deserialize(bytearray(file.read())).call
data = numpy.load(sys.argv[2])
for size in (1, 3):
    print(numpy.asarray(solve(*(data[name][:size] for name in sorted(data)))).tobytes().hex())
assert not {"ctmodels", "equinox", "diffrax", "safetensors"} & set(sys.modules), "more than JAX was imported"
"""


def model(inputs=0, augment=0, key=0):
    field = ct.fields.MLPField(2 + augment, inputs=inputs, width=4, depth=1, key=jax.random.key(key))
    return ct.NeuralODE(field, 2, augment, ct.Integrate(ct.RK4(), ct.Substeps(1)))


def scaling(log=False):
    ts = 1900 + 0.5 * np.arange(20)
    return ct.Scaling.fit(ts, 2 + np.stack([np.cos(ts), np.sin(ts)], axis=1), log=log)


def run_alone(tmp_path, *data):
    """With JAX alone, for the first sample and for all three."""
    np.savez(tmp_path / "data.npz", **{f"a{i}": x for i, x in enumerate(data)})
    command = [sys.executable, "-c", ALONE, str(tmp_path / "model.stablehlo"), str(tmp_path / "data.npz")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [np.frombuffer(bytes.fromhex(line), data[0].dtype) for line in done.stdout.split()]


@pytest.fixture
def data():
    rng, dtype = np.random.default_rng(0), jnp.zeros(()).dtype
    ts = 0.5 * np.arange(6) + 0.05 * rng.random((3, 6))
    return [x.astype(dtype) for x in (2 + rng.random((3, 2)), ts, rng.normal(size=(3, 6, 1)))]


def assert_runs_alone(tmp_path, m, scales, data, close):
    """The file computes what the model does, in physical units, for one sample and for three."""
    y0, ts, _ = data
    taus = scales.times(ts) - scales.times(ts[:, :1])
    wanted = [
        scales.unscale(m(jnp.asarray(scales.scale(y)), jnp.asarray(t, y.dtype)).ys)
        for y, t in zip(y0, taus, strict=True)
    ]
    one, three = run_alone(tmp_path, y0, ts)
    np.testing.assert_allclose(one.reshape(6, 2), wanted[0], **close)
    np.testing.assert_allclose(three.reshape(3, 6, 2), np.stack(wanted), **close)


def test_a_model_runs_with_jax_alone_in_physical_units(tmp_path, data, tolerance):
    m, scales = model(augment=1), scaling(log=True)
    ct.export(tmp_path / "model.stablehlo", m, scales)
    assert_runs_alone(tmp_path, m, scales, data, tolerance(10))


def test_an_ensemble_with_inputs(tmp_path, data, tolerance):
    models = eqx.filter_vmap(lambda key: model(inputs=1, key=0))(jnp.arange(2))
    models = jax.tree.map(lambda x: x.at[1].multiply(0.5) if eqx.is_inexact_array(x) else x, models)
    scales, inputs = scaling(), ct.Scaling.fit(np.arange(4.0), np.array([[0.0], [1.0], [3.0], [4.0]]))
    ct.export(tmp_path / "model.stablehlo", models, scales, inputs=inputs, ensemble=True, times=6)
    y0, ts, us = data
    taus = jnp.asarray((ts[0] - ts[0, 0]) / scales.time_scale, y0.dtype)
    x = ct.Driven(jnp.asarray(scales.scale(y0[0])), ct.paths.LinearPath(taus, jnp.asarray(inputs.scale(us[0]))))
    wanted = [scales.unscale(jax.tree.map(lambda a, i=i: a[i] if eqx.is_array(a) else a, models)(x, taus).ys)
              for i in range(2)]  # fmt: skip
    one, three = run_alone(tmp_path, y0, ts, us)
    assert three.size == 2 * 3 * 6 * 2
    np.testing.assert_allclose(one.reshape(2, 6, 2), np.stack(wanted), **tolerance(10))


def test_adaptive_steps_are_written_for_any_batch_and_any_times(tmp_path, data, tolerance):
    m, scales = eqx.tree_at(lambda m: m.integrate, model(), ct.Integrate()), scaling()
    ct.export(tmp_path / "model.stablehlo", m, scales)
    assert_runs_alone(tmp_path, m, scales, data, tolerance(10))


def test_a_solver_that_cannot_be_written_is_said(tmp_path):
    implicit = eqx.tree_at(lambda m: m.integrate, model(), ct.Integrate(diffrax.Kvaerno3()))
    with pytest.raises(ct.DataError, match=r"model: this model's solver .*EQX_ON_ERROR=nan"):
        ct.export(tmp_path / "model", implicit, scaling(), times=4)
    assert not list(tmp_path.iterdir())


def test_arrays_go_to_torch_and_back():
    torch = pytest.importorskip("torch")
    ys = model()(jnp.ones(2), jnp.arange(4.0)).ys
    there = torch.from_dlpack(ys)
    assert there.shape == (4, 2) and np.array_equal(there.numpy(), ys)
    assert np.array_equal(jnp.from_dlpack(there + 1), np.asarray(ys) + 1)
