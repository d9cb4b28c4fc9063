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
data = numpy.load(sys.argv[1])
data = [data[name] for name in sorted(data)]
for path in sys.argv[2:]:
    with open(path, "rb") as file:
        solve = jax.export.deserialize(bytearray(file.read())).call
    for size in (1, 3):
        print(numpy.asarray(solve(*(x[:size] for x in data[: 3 if path.endswith("inputs") else 2]))).tobytes().hex())
assert not {"ctmodels", "equinox", "diffrax", "safetensors"} & set(sys.modules), "more than JAX was imported"
"""


def model(inputs=0, augment=0, key=0):
    field = ct.fields.MLPField(2 + augment, inputs=inputs, width=4, depth=1, key=jax.random.key(key))
    return ct.NeuralODE(field, 2, augment, ct.Integrate(diffrax.Heun(), ct.Substeps(1)))


def scaling(log=False):
    ts = 1900 + 0.5 * np.arange(20)
    return ct.Scaling.fit(ts, 2 + np.stack([np.cos(ts), np.sin(ts)], axis=1), log=log)


@pytest.fixture(scope="module")
def data():
    rng, dtype = np.random.default_rng(0), jnp.zeros(()).dtype
    ts = 0.5 * np.arange(6) + 0.05 * rng.random((3, 6))
    return [x.astype(dtype) for x in (2 + rng.random((3, 2)), ts, rng.normal(size=(3, 6, 1)))]


def ensemble():
    models = eqx.filter_vmap(lambda key: model(inputs=1, key=0))(jnp.arange(2))
    return jax.tree.map(lambda x: x.at[1].multiply(0.5) if eqx.is_inexact_array(x) else x, models)


def of_inputs():
    return ct.Scaling.fit(np.arange(4.0), np.array([[0.0], [1.0], [3.0], [4.0]]))


SINGLE = {
    "grid": (lambda: model(augment=1), scaling(log=True)),
    "adaptive": (lambda: eqx.tree_at(lambda m: m.integrate, model(), ct.Integrate(diffrax.Heun())), scaling()),
}


@pytest.fixture(scope="module")
def alone(data, tmp_path_factory):
    """What JAX alone makes of each file, for the first sample and for all three; in one process."""
    folder = tmp_path_factory.mktemp("alone")
    for name, (make, scales) in SINGLE.items():
        ct.export(folder / name, make(), scales)
    ct.export(folder / "inputs", ensemble(), scaling(), inputs=of_inputs(), ensemble=True, times=6)
    np.savez(folder / "data.npz", **{f"a{i}": x for i, x in enumerate(data)})
    names = [*SINGLE, "inputs"]
    command = [sys.executable, "-c", ALONE, *(str(folder / name) for name in ("data.npz", *names))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    ys = [np.frombuffer(bytes.fromhex(line), data[0].dtype) for line in done.stdout.split()]
    return dict(zip(names, zip(ys[::2], ys[1::2], strict=True), strict=True))


def assert_runs_alone(name, alone, data, close):
    """The file computes what the model does, in physical units, for one sample and for three."""
    (y0, ts, _), (make, scales) = data, SINGLE[name]
    taus = scales.times(ts) - scales.times(ts[:, :1])
    ys = jax.jit(lambda y, t: jax.vmap(lambda y, t: make()(y, t).ys)(y, t))
    wanted = scales.unscale(np.asarray(ys(jnp.asarray(scales.scale(y0)), jnp.asarray(taus, y0.dtype))))
    one, three = alone[name]
    np.testing.assert_allclose(one.reshape(6, 2), wanted[0], **close)
    np.testing.assert_allclose(three.reshape(3, 6, 2), wanted, **close)


def test_a_model_runs_with_jax_alone_in_physical_units(alone, data, tolerance):
    assert_runs_alone("grid", alone, data, tolerance(10))


def test_an_ensemble_with_inputs(alone, data, tolerance):
    (y0, ts, us), scales, inputs = data, scaling(), of_inputs()
    taus = jnp.asarray((ts[0] - ts[0, 0]) / scales.time_scale, y0.dtype)
    x = ct.Driven(jnp.asarray(scales.scale(y0[0])), ct.paths.LinearPath(taus, jnp.asarray(inputs.scale(us[0]))))
    wanted = scales.unscale(np.asarray(eqx.filter_jit(eqx.filter_vmap(lambda m: m(x, taus).ys))(ensemble())))
    one, three = alone["inputs"]
    assert three.size == 2 * 3 * 6 * 2
    np.testing.assert_allclose(one.reshape(2, 6, 2), wanted, **tolerance(10))


def test_adaptive_steps_are_written_for_any_batch_and_any_times(alone, data, tolerance):
    assert_runs_alone("adaptive", alone, data, tolerance(10))


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
