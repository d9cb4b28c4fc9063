"""One step on many devices is the step of one device: in one process with eight devices, and in two processes.

This process has one device. The file itself, run as a script, is the one with eight: it prints what it found as JSON.
"""

import functools
import json
import os
import runpy
import socket
import subprocess
import sys
import tempfile
import warnings
from pathlib import Path

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import AxisType, PartitionSpec as P
from toys import Fragile, arrays, first, model, taken, windows

import ctmodels as ct

pytestmark = pytest.mark.only("float32")

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "data_parallel.py"
DEVICES = 8


def noisy(example, key, step):
    """A transform that draws from each sample's key."""
    return eqx.tree_at(lambda e: e.x.y0, example, example.x.y0 + 0.1 * jax.random.normal(key, example.x.y0.shape))


@functools.cache
def unequal_batch():
    """Sixteen windows, of which the later ones are observed less and less: shards differ in weight."""
    batch = taken(windows(), np.arange(16) % 13)
    mask = (np.arange(16) < 12)[:, None, None] | (np.arange(4) == 1)[None, :, None]
    return eqx.tree_at(lambda b: b.target.mask, batch, batch.target.mask & mask)


def solved_by(integrate):
    return eqx.tree_at(lambda m: m.integrate, model(), integrate)


def size(model, output):
    return jnp.sum(output.ys**2)


def worst(a, b):
    """The largest difference among the leaves of two trees; relative to a leaf's largest entry, where that is large."""
    return max(map(difference, arrays(a), arrays(b)))


def difference(x, y):
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if np.array_equal(x, y, equal_nan=True):
        return 0.0
    return float(np.nan_to_num(np.max(np.abs(x - y)) / max(1, np.max(np.abs(x))), nan=np.inf))


class Squared(eqx.Module):
    w: jax.Array

    def __call__(self, t, y, args):
        return -self.w * y**2


def mesh():
    return jax.make_mesh((DEVICES,), ("data",))


def steps_on(mesh, objective, m, batch, steps=3, optimiser=optax.sgd(0.05, momentum=0.9), **kwargs):
    step = ct.make_step(objective, optimiser, mesh=mesh, **kwargs)
    state = step.init(m, key=jax.random.key(1))
    for _ in range(steps):
        state, metrics = step(state, batch)
    assert step.traces == 1
    return step.local((state, metrics))


def against_one_device(objective, m, batch, **kwargs):
    return worst(*(steps_on(on, objective, m, batch, **kwargs) for on in (None, mesh())))


@functools.cache
def plain_step(mesh):
    """Of batches of one sample for each device."""
    return ct.make_step(ct.objective(ct.losses.squared), optax.sgd(0.05), mesh=mesh)


def fixed_grid():
    objective = ct.objective(ct.losses.squared, {"size": (0.1, size)}, noisy)
    return against_one_device(objective, solved_by(ct.Integrate(diffrax.Heun(), ct.Substeps(2))), unequal_batch())


def adaptive():
    """Where samples take unlike numbers of steps, which are left out: rounding may decide on a rejection."""
    batch, turn = unequal_batch(), jnp.array([[-0.2, 2.0], [-2.0, -0.2]])
    longer = batch.target.ts * jnp.linspace(1.0, 3.0, 16)[:, None]
    batch = eqx.tree_at(lambda b: b.target.ts, batch, longer)
    field = ct.fields.SumField(lambda t, y, args: turn @ y, model().field)
    adapted = ct.NeuralODE(field, 2, 0, ct.Integrate(diffrax.Heun(), measures=(ct.measures.local_error,)))
    whole = ct.objective(ct.losses.squared, {"error": (1.0, ct.measures.local_error)})

    def objective(*args, **kwargs):
        value, metrics = whole(*args, **kwargs)
        return value, {name: metrics[name] for name in ("loss", "error")}

    return against_one_device(objective, adapted, batch)


def ensemble():
    models = eqx.filter_vmap(lambda factor: jax.tree.map(lambda x: factor * x if eqx.is_array(x) else x, model()))
    batches = jax.tree.map(lambda x: jnp.stack([x, x[::-1]]), unequal_batch())
    objective = ct.objective(ct.losses.squared, transform=noisy)
    return against_one_device(objective, models(jnp.array([1.0, 1.5])), batches, ensemble=True)


def own_objective_by_line_search():
    """The value that the search evaluates, and its derivative, are the whole batch's: of an objective of one's own, the
    mean of all states."""
    optimiser = optax.chain(optax.lbfgs(memory_size=2, linesearch=None), optax.scale_by_backtracking_linesearch(5))

    def mean(model, batch, key, step, axis=None):
        out = eqx.filter_vmap(lambda e: model(e.x, e.target.ts).ys)(batch)
        shards = 1 if axis is None else jax.lax.axis_size(axis)
        return jnp.mean(out) / shards, {}

    return against_one_device(mean, model(), unequal_batch(), optimiser=optimiser)


def failed(policy, compared):
    work = lambda model, output: output.stats.measures["work"] ** 2
    objective = ct.objective(ct.losses.squared, {"work": (0.1, work)}, failed=policy)
    batch = unequal_batch()
    batch = eqx.tree_at(lambda b: b.x.y0, batch, batch.x.y0.at[jnp.array([9, 14]), 0].set(5.0))
    many = steps_on(mesh(), objective, Fragile(), batch)
    said = {name: int(many[1][name]) for name in ("failed", "failed_sample", "failed_status", "skipped")}
    return said | ({"worst": worst(many, steps_on(None, objective, Fragile(), batch))} if compared else {})


def put_and_skipped():
    """A batch of NumPy's arrays and a state from one device; then NaN in the share of one device of eight."""
    batch = jax.tree.map(lambda x: np.asarray(x[:DEVICES]), unequal_batch())
    step = plain_step(mesh())
    state, _ = step(step.local(step.init(model(), key=jax.random.key(1))), batch)
    everywhere = [len(x.sharding.device_set) == DEVICES and x.sharding.is_fully_replicated for x in arrays(state)]
    before = step.local(state.model)
    bad = batch.x.y0.copy()
    bad[5, 0] = np.nan
    state, metrics = step(state, eqx.tree_at(lambda b: b.x.y0, batch, bad))
    place = step.places[int(state.faults.place)]
    return [all(everywhere), step.traces, int(metrics["skipped"]), worst(before, state.model), place]


def whole_fit():
    """`fit` with validation, checkpoints and a resumption on eight devices, and plainly on one."""

    loss = eqx.filter_jit(ct.pooled(ct.losses.squared))
    validate = lambda m, data: loss(m, data[jnp.arange(8)], jax.random.key(0))[0]

    def run(mesh, *parts, **kwargs):
        step = plain_step(mesh)
        for steps in parts:
            result = ct.fit(
                step, step.init(model(), key=jax.random.key(1)), windows(), steps=steps, batch_size=8, every=2,
                validate=validate, progress=False, **kwargs,
            )  # fmt: skip
        assert step.traces == 1
        return result

    with tempfile.TemporaryDirectory() as folder:
        one, many = run(None, 6), run(mesh(), 4, 6, folder=folder, resume=True)
    lines = lambda result: [jnp.asarray(list(line.values())) for line in result.history]
    return worst(*((r.model, r.state.model, lines(r)) for r in (one, many)))


def indivisible():
    step = plain_step(mesh())
    try:
        step(step.init(model(), key=jax.random.key(1)), first(12))
    except ValueError as error:
        return str(error)


def checked_by_jax():
    """A solve in `shard_map` as JAX has it by default, where samples take unlike numbers of steps: values, and the
    gradient from within or from outside; what is shared is held by a closure, by a module or handed over."""
    y0 = jnp.tile(jnp.geomspace(0.1, 30.0, 16)[:, None], 2)
    devices = jax.make_mesh((DEVICES,), ("data",), axis_types=(AxisType.Auto,))
    shards = functools.partial(jax.shard_map, mesh=devices, in_specs=(P(), P("data")))
    fields = {
        "closure": (ct.Integrate(diffrax.Heun()), lambda w: lambda t, y, _: -w * y**2),
        "module": (ct.Integrate(diffrax.Heun(), batching="shared"), Squared),
        "args": (ct.Integrate(diffrax.Heun(), adjoint=ct.DiscreteAdjoint(2)), lambda w: lambda t, y, w: -w * y**2),
    }
    w = jnp.array(0.3)

    def loss_of(name):
        integrate, field = fields[name]

        def loss(w, y0):
            solve = lambda y0: integrate(field(w), jnp.array([0.0, 0.5]), y0, w if name == "args" else None)[0]
            return jnp.sum(jax.vmap(solve)(y0)[:, -1] ** 2)

        return loss

    def alone(name):
        one = jax.jit(jax.value_and_grad(loss_of(name)))
        return jax.tree.map(lambda *x: sum(x), *(one(w, part) for part in y0.reshape(DEVICES, 2, 2)))

    def on_all(name):
        total = lambda w, y0: jax.lax.psum(loss_of(name)(w, y0), "data")
        outside = jax.value_and_grad(shards(total, out_specs=P()))
        inside = shards(jax.value_and_grad(total), out_specs=P())
        return jax.jit(outside if name == "module" else inside)(w, y0)

    each, shared = alone("closure"), alone("module")  # `args` takes the steps of `closure`
    return max(worst(on_all(name), shared if name == "module" else each) for name in fields)


def recurrences_in_parallel():
    """All loops of a solve by Newton's method, in `shard_map`: what is shared gets the gradient of all devices."""
    cell, xs = ct.ssm.TimeConstantRNN(2, 3, key=jax.random.key(0)), jnp.sin(jnp.arange(16 * 9 * 2.0)).reshape(16, 9, 2)
    solver = ct.ssm.NewtonScan(ct.ssm.DiagonalJacobian(), damping=0.1, chunk=4, max_iterations=400)
    devices = jax.make_mesh((DEVICES,), ("data",), axis_types=(AxisType.Auto,))
    parameters, rest = eqx.partition(cell, eqx.is_array)

    def loss(parameters, xs):
        cell = eqx.combine(parameters, rest)
        return jnp.sum(jax.vmap(lambda xs: ct.ssm.newton_scan(cell, cell.start, xs, solver=solver)[0])(xs) ** 2)

    on_all = jax.shard_map(jax.grad(loss), mesh=devices, in_specs=(P(), P("data")), out_specs=P())
    return worst(jax.jit(on_all)(parameters, xs), jax.jit(jax.grad(loss))(parameters, xs))


CHECKS = {
    "checked_by_jax": checked_by_jax,
    "recurrences_in_parallel": recurrences_in_parallel,
    "fixed_grid": fixed_grid,
    "adaptive": adaptive,
    "ensemble": ensemble,
    "own_objective_by_line_search": own_objective_by_line_search,
    "whole_fit": whole_fit,
    "put_and_skipped": put_and_skipped,
    "indivisible": indivisible,
    "drop": lambda: failed("drop", True),
    "raise": lambda: failed("raise", False),
}


@pytest.fixture(scope="module")
def found():
    command = [sys.executable, __file__]
    thorough = environment(DEVICES) | {"JAX_ENABLE_X64": "1"}  # where one step and another differ by less than 1e-12
    done = subprocess.run(command, env=thorough, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def environment(devices):
    """Of a process with so many devices; most of its time is compilation, which need not be thorough: as here."""
    flags = f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={devices}"
    flags += " --xla_backend_optimization_level=0"
    path = f"{ROOT}{os.pathsep}{ROOT / 'tests'}"
    programs = jax.config.jax_compilation_cache_dir  # kept with those of the tests
    kept = (
        {"JAX_COMPILATION_CACHE_DIR": programs, "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0"} if programs else {}
    )
    return os.environ | {"PYTHONPATH": path, "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags, **kept}


ROUNDING = 1e-12


@pytest.mark.parametrize("name", ["fixed_grid", "ensemble", "own_objective_by_line_search", "whole_fit"])
def test_eight_devices_are_one(found, name):
    assert found[name] < ROUNDING


def test_steps_adapt_on_each_device_as_on_one(found):
    assert found["adaptive"] < 10 * ROUNDING


def test_jax_follows_what_varies_over_devices(found):
    assert found["checked_by_jax"] < ROUNDING


def test_recurrences_are_solved_on_each_device_as_on_one(found):
    assert found["recurrences_in_parallel"] < ROUNDING


def test_failed_samples_are_those_of_the_whole_batch(found):
    assert found["drop"].pop("worst") < ROUNDING
    for policy, skipped in (("drop", 0), ("raise", 3)):
        assert found[policy] == {"failed": 2, "failed_sample": 9, "failed_status": 1, "skipped": skipped}


def test_all_is_put_onto_the_mesh_and_a_bad_share_is_a_bad_step_everywhere(found):
    assert found["put_and_skipped"] == [True, 1, 1, 0.0, "batch.x.y0"]


def test_a_batch_that_the_devices_do_not_divide_is_refused(found):
    assert "a batch of 12 samples on 8 devices" in found["indivisible"] and "such as 8" in found["indivisible"]


def test_a_mesh_of_one_device_is_no_mesh(tolerance):
    single = jax.make_mesh((1,), ("data",))
    objective, batch = ct.objective(ct.losses.squared), first(4)
    (one, _), (meshed, _) = (steps_on(on, objective, model(), batch) for on in (None, single))
    for a, b in zip(arrays(one), arrays(meshed), strict=True):
        np.testing.assert_allclose(a, b, **tolerance())


def test_an_objective_without_an_axis_and_a_mesh_of_two_are_refused():
    def plain(model, batch, key, step):
        return jnp.zeros(()), {}

    with pytest.raises(ValueError, match=r"plain\(model, batch, key, step\).*take `axis=None`"):
        ct.make_step(plain, optax.sgd(0.1), mesh=jax.make_mesh((1,), ("data",)))
    with pytest.raises(ValueError, match=r"mesh=\('data', 'model'\): a mesh of one axis is wanted"):
        two = jax.make_mesh((1, 1), ("data", "model"))
        ct.make_step(ct.objective(ct.losses.squared), optax.sgd(0.1), mesh=two)


@pytest.mark.slow  # three processes that import JAX and compile; what they add to one with eight devices is JAX's own
def test_two_processes_are_one():
    """The example, as two processes of one device each, and as one: this."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    two = ["--processes", "2", "--coordinator", address, "--process"]
    running = [start_example(*two, number) for number in "01"]
    try:
        alone = runpy.run_path(str(EXAMPLE))["main"](steps=3)
        first, second = (json.loads(output(process).splitlines()[-1]) for process in running)
    finally:
        for process in running:
            process.kill()
    assert first == second and first["devices"] == 2 and alone["devices"] == jax.device_count()
    assert first["loss"] == pytest.approx(alone["loss"], rel=1e-4)
    assert first["rmse"] == pytest.approx(alone["rmse"], rel=1e-4)


def start_example(*arguments):
    command = [sys.executable, str(EXAMPLE), "--steps", "3", *arguments]
    return subprocess.Popen(command, env=environment(1), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def output(process):
    out, err = process.communicate(timeout=300)
    assert process.returncode == 0, err
    return out


if __name__ == "__main__":
    warnings.simplefilter("error")
    jax.config.update("jax_numpy_rank_promotion", "raise")
    jax.config.update("jax_numpy_dtype_promotion", "strict")
    print(json.dumps({name: check() for name, check in CHECKS.items()}))
