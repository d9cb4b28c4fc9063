"""Training that goes on, stops or resumes as it should: bad steps, signals, full disks, other data, two writers."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import arrays, compiled_once, equal, first, model, step_and_state, windows

import ctmodels as ct
from benchmarks import faults
from ctmodels.train._run_folder import Run, read_lines

pytestmark = pytest.mark.only("float32")


class Data(eqx.Module):
    """Windows of which some are bad."""

    windows: ct.Windows
    bad: tuple[int, ...]

    def __len__(self):
        return len(self.windows)

    def __getitem__(self, index):
        batch = self.windows[index]
        hit = jnp.isin(index, jnp.asarray(self.bad, int))
        return eqx.tree_at(lambda b: b.x.y0, batch, jnp.where(hit[:, None], jnp.nan, batch.x.y0))


def train(data=None, steps=12, **kwargs):
    step = compiled_once()
    state = step.init(model(), key=jax.random.key(1))
    arguments = dict(batch_size=4, every=2, save_every=4, progress=False) | kwargs
    return ct.fit(step, state, windows() if data is None else data, steps=steps, **arguments)


def test_a_bad_step_is_skipped_and_counted():
    step = compiled_once()
    state = step.init(model(), key=jax.random.key(1))
    batch = first(4)
    bad = eqx.tree_at(lambda b: b.x.y0, batch, batch.x.y0.at[1, 0].set(jnp.nan))
    state, _ = step(state, batch)
    traces = step.traces
    before = jax.tree.map(np.asarray, eqx.filter(state.model, eqx.is_array)), int(state.opt_state[0].count)
    state, metrics = step(state, bad)
    assert equal(state.model, before[0]) and int(state.opt_state[0].count) == before[1]
    assert metrics["skipped"] == 1 and int(state.step) == 2 and step.traces == traces
    state, metrics = step(state, batch)
    assert metrics["skipped"] == 1 and not equal(state.model, before[0]) and int(state.faults.streak) == 0


def test_one_bad_member_of_an_ensemble_harms_no_other():
    models = eqx.filter_vmap(lambda k: model())(jnp.arange(2))
    step = ct.make_step(ct.objective(ct.losses.squared), optax.adam(1e-2), ensemble=True)
    state = step.init(models, key=jax.random.key(0))
    batch = windows()[jnp.arange(8).reshape(2, 4)]
    batch = eqx.tree_at(lambda b: b.x.y0, batch, batch.x.y0.at[1].set(jnp.nan))
    state, metrics = step(state, batch)
    assert metrics["skipped"].tolist() == [0, 1]
    assert not equal(jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, state.model), model())
    assert equal(jax.tree.map(lambda x: x[1] if eqx.is_array(x) else x, state.model), model())


def test_bad_batches_now_and_then_do_not_stop_training():
    with pytest.warns(RuntimeWarning, match=r"of 12 steps were not finite, the last of them from `batch\.x\.y0` on"):
        result = train(Data(windows(), (3,)), steps=12, every=1)
    losses = np.array([line["loss"] for line in result.history])
    assert result.stopped == "finished" and 0 < np.isnan(losses).sum() == result.history[-1]["skipped"] < 12
    assert all(map(np.all, map(np.isfinite, arrays(result.model)))) and not equal(result.model, model())


def test_large_gradients_of_half_precision_are_no_fault():
    from ctmodels.train._nonfinite import Faults

    leaf = jnp.full(100, 6e4, jnp.float16)  # whose sum would be infinite
    _, faults = Faults.none(leaf).look((), jnp.ones(()), leaf, leaf)
    assert int(faults.skipped) == 0 and bool(faults.reached.all())
    _, faults = Faults.none(leaf).look((), jnp.ones(()), leaf.at[7].set(jnp.nan), leaf)
    assert int(faults.skipped) == 1


def test_five_bad_steps_in_a_row_stop_with_the_best_saved(tmp_path):
    poisoned = lambda model, data: Data(data.windows, tuple(range(13)))
    score = lambda model, data: jnp.sum(model.field.mlp.layers[0].weight ** 2)
    with pytest.warns(RuntimeWarning, match=r"5 steps in a row were not finite, from `batch\.x\.y0` on.*in the data"):
        result = train(
            Data(windows(), (99,)), steps=40, refresh=poisoned, refresh_every=6, validate=score, folder=tmp_path
        )
    assert result.stopped == "not finite" and result.history[-1]["step"] == 12
    good = train(steps=6)
    assert equal(result.state.model, good.model)
    with Run(tmp_path, 3) as run:
        _, said, saved = run.newest()
    assert said["about"]["step"] == 12
    weight = np.asarray(result.model.field.mlp.layers[0].weight)
    assert np.isfinite(weight).all() and np.array_equal(weight, saved[".best.model.field.mlp.layers[0].weight"])


def test_an_exploding_loss_is_told_from_bad_data():
    explode = optax.chain(optax.scale(jnp.inf))
    step = ct.make_step(ct.objective(ct.losses.squared), explode)
    with pytest.warns(RuntimeWarning, match="from `update.* on.*clip the gradient"):
        result = ct.fit(step, step.init(model(), key=jax.random.key(0)), windows(), steps=9, batch_size=4, every=9,
                        progress=False)  # fmt: skip
    assert equal(result.model, model())


def test_arrays_that_no_gradient_reaches_are_named():
    class Idle(eqx.Module):
        field: eqx.Module
        idle: jax.Array

        def __call__(self, t, y, args):
            return self.field(t, y, args)

    m = eqx.tree_at(lambda m: m.field, model(), Idle(model().field, jnp.ones(3)))
    step = ct.make_step(ct.objective(ct.losses.squared), optax.adam(1e-2))
    with pytest.warns(RuntimeWarning, match=r"no gradient reached \.field\.idle in 3 steps"):
        ct.fit(step, step.init(m, key=jax.random.key(0)), windows(), steps=3, batch_size=4, progress=False)


def test_a_loss_that_never_moves_is_said():
    step = ct.make_step(ct.objective(ct.losses.squared), optax.sgd(0.0))
    same = ct.ArrayDataset(windows()[jnp.zeros(8, int)])
    with pytest.warns(RuntimeWarning, match="the loss was .* at each of the last 5 lines"):
        ct.fit(step, step.init(model(), key=jax.random.key(0)), same, steps=5, batch_size=8, every=1, progress=False)


def test_resumed_equals_unbroken_in_all_bits(tmp_path):
    assert faults.resumed_equals_unbroken(tmp_path)


def test_early_stopping_is_resumed(tmp_path):
    kwargs = dict(folder=tmp_path, patience=1, validate=lambda m, d: jnp.asarray(1.0), every=2, resume=True)
    first = train(steps=40, **kwargs)
    again = train(steps=40, **kwargs)
    assert first.stopped == again.stopped == "early"
    assert equal(first.state.model, again.state.model) and len(again.history) == len(first.history) == 3


def test_another_run_is_refused_with_the_differences(tmp_path):
    train(folder=tmp_path, steps=4, about={"rate": 1})
    refused = [
        (dict(resume=False), r"holds a run of 4 steps; go on with it \(resume=True\)"),
        (dict(batch_size=5), "batch_size: 4 then, 5 now(.|\n)*accept=.*batch_size"),
        (dict(seed=1), "seed: 0 then, 1 now"),
        (dict(data=windows(5)), "data: .* then, .* now"),
        (dict(about={"rate": 2}), "about.rate: 1 then, 2 now"),
        (dict(refresh=lambda m, d: d), r"\.data.*None in the file"),
    ]
    for changes, words in refused:
        with pytest.raises(ct.DataError, match=words):
            train(**(dict(folder=tmp_path, steps=8, resume=True, about={"rate": 1}) | changes))
    with pytest.raises(ValueError, match="steps=3: the checkpoint is at step 4"):
        train(folder=tmp_path, steps=3, resume=True, about={"rate": 1})
    step = ct.make_step(ct.objective(ct.losses.squared), optax.sgd(1e-2))
    with pytest.raises(ct.DataError, match=r"another structure(.|\n)*\.state\.opt_state"):
        ct.fit(step, step.init(model(), key=jax.random.key(1)), windows(), steps=8, batch_size=4, folder=tmp_path,
               resume=True, about={"rate": 1}, progress=False)  # fmt: skip
    taken = train(folder=tmp_path, steps=8, resume=True, batch_size=5, accept=["batch_size", "about", "data"],
                  data=windows(5))  # fmt: skip
    assert taken.history[-1]["step"] == 8 and len(taken.history) == 4


def test_another_version_of_a_library_is_refused(tmp_path, monkeypatch):
    train(folder=tmp_path, steps=4)
    from ctmodels.train import _resume

    monkeypatch.setattr(_resume, "version", lambda name: "9.9")
    with pytest.raises(ct.DataError, match="environment.jax: .* then, 9.9 now"):
        train(folder=tmp_path, steps=8, resume=True)
    assert train(folder=tmp_path, steps=8, resume=True, accept=["environment"]).history[-1]["step"] == 8


def test_only_the_newest_checkpoints_stay_and_a_damaged_one_is_passed_over(tmp_path):
    result = train(folder=tmp_path, steps=24, save_every=2, keep_checkpoints=2)
    kept = sorted(p.name for p in tmp_path.glob("*.safetensors"))
    assert kept == ["checkpoint-0000000022.safetensors", "checkpoint-0000000024.safetensors"]
    newest = tmp_path / kept[-1]
    newest.write_bytes(newest.read_bytes()[:-1])
    with pytest.warns(RuntimeWarning, match="passed over: .*24.safetensors: damaged"):
        again = train(folder=tmp_path, steps=24, save_every=2, resume=True)
    assert equal(again.state.model, result.state.model)
    for path in tmp_path.glob("*.safetensors"):
        path.write_bytes(b"")
    with (
        pytest.warns(RuntimeWarning, match="passed over"),
        pytest.raises(ct.DataError, match="none of its check"),
    ):
        train(folder=tmp_path, steps=24, resume=True)


def test_a_torn_history_is_readable(tmp_path):
    whole = train(folder=tmp_path, steps=8)
    lines = tmp_path / "history.jsonl"
    lines.write_text(lines.read_text() + '{"step": 10, "lo')
    assert [line["step"] for line in read_lines(lines)] == [2, 4, 6, 8]
    resumed = train(folder=tmp_path, steps=12, resume=True)
    assert resumed.history[:4] == whole.history and [json.loads(t)["step"] for t in lines.read_text().splitlines()] == [
        2, 4, 6, 8, 10, 12]  # fmt: skip


def test_a_full_disk_does_not_stop_training_and_the_next_save_is_tried(tmp_path, monkeypatch, capfd):
    from ctmodels.train import _run_folder

    calls, write = [], _run_folder.write_whole

    def full(path, content):
        calls.append(path)
        if 1 < len(calls) < 4:
            raise OSError(28, "No space left on device")
        write(path, content)

    monkeypatch.setattr(_run_folder, "write_whole", full)
    result = train(folder=tmp_path, steps=12)
    said = capfd.readouterr().err
    assert said.count("not saved (No space left on device); training goes on") == 2
    assert result.history[-1]["step"] == 12 and len(list(tmp_path.glob("*.safetensors"))) == 1
    monkeypatch.setattr(
        _run_folder, "write_whole", lambda path, content: (_ for _ in ()).throw(OSError(30, "Read-only"))
    )
    monkeypatch.setattr(_run_folder.Run, "history", lambda self, until: [])
    with pytest.warns(RuntimeWarning, match="not saved"):
        train(folder=tmp_path / "other", steps=4)


def test_a_folder_that_cannot_be_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ct.DataError, match="cannot write there"):
        train(folder=tmp_path / "file")


def test_the_second_writer_is_refused(tmp_path):
    with Run(tmp_path, 1), pytest.raises(ct.DataError, match=f"process {os.getpid()} is writing there"):
        train(folder=tmp_path)
    train(folder=tmp_path, steps=2)


def test_ctrl_c_saves_and_resuming_equals_unbroken(tmp_path):
    def interrupt(state, line):
        if line["step"] == 6:
            os.kill(os.getpid(), signal.SIGINT)

    stopped = train(steps=12, folder=tmp_path, callbacks=[interrupt])
    assert stopped.stopped == "interrupted" and stopped.history[-1]["step"] == 6
    resumed, unbroken = train(steps=12, folder=tmp_path, resume=True), train(steps=12)
    assert faults.digests(resumed) == faults.digests(unbroken) and resumed.history == unbroken.history


def test_sigterm_saves_and_exits_with_its_own_status(tmp_path):
    def terminate(state, line):
        if line["step"] == 6:
            os.kill(os.getpid(), signal.SIGTERM)

    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as stop:
        train(steps=1000, folder=tmp_path, callbacks=[terminate])
    assert stop.value.code == 143 and signal.getsignal(signal.SIGTERM) is before
    with Run(tmp_path, 3) as run:
        assert run.newest()[1]["about"]["step"] == 6


def test_running_out_of_memory_names_the_batch():
    step, state = step_and_state()

    def starve(state, batch):
        raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory allocating 1 bytes")

    step._jitted = lambda batch, state: starve(state, batch)
    with pytest.raises(jax.errors.JaxRuntimeError) as error:
        ct.fit(step, state, windows(), steps=2, batch_size=4, progress=False)
    assert error.value.__notes__ == ["out of memory with batch_size=4: try 2, or shorter series"]


def test_data_that_are_no_pytree_have_a_fingerprint_too():
    from ctmodels.train._batches import Source
    from ctmodels.train._structure import fingerprint

    class Plain:
        def __init__(self, rows):
            self.rows = rows

        def __len__(self):
            return len(self.rows)

        def __getitem__(self, index):
            return self.rows[np.asarray(index)]

    of = lambda rows: fingerprint(Source(Plain(rows)).fingerprinted())
    assert of(np.arange(4.0)) == of(np.arange(4.0)) != of(np.arange(1.0, 5.0))


def test_an_unfriendly_environment_changes_nothing(tmp_path):
    """No UTF-8, spaces and umlauts in the path, Equinox's errors off: a failed solve is still told by its status."""
    code = """
import sys, jax.numpy as jnp, ctmodels as ct
from ctmodels.train._run_folder import Run
blown = ct.Integrate(ct.RK4(), ct.Substeps(1))(lambda t, y, args: 1e9 * y**2, jnp.arange(9.0), jnp.ones(1))[1]
with Run(sys.argv[1], 1) as run:
    run.save(1, jnp.arange(3.0), {"note": chr(229)})
    run.wait()
    path, said, arrays = run.newest()
print(int(blown.status), ascii(said["about"]["note"]), ct.data.lynx_hare().values.shape)
"""
    settings = {"EQX_ON_ERROR": "off", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "zwei Wörter")], env=os.environ | settings,
                          cwd=Path(__file__).parents[2], capture_output=True, text=True)  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split(" ", 1) == [str(ct._core._output.NON_FINITE), "'\\xe5' (21, 2)\n"]


@pytest.mark.slow
def test_a_run_killed_at_any_time_goes_on_as_if_unbroken(tmp_path):
    code = (
        "import sys; sys.path[:0] = ['.', 'tests']\n"
        "from benchmarks.faults import digests\nfrom test_interruptions import train\n"
        "print(digests(train(steps=4000, folder=sys.argv[1], save_every=20, every=20, resume=True)))"
    )
    command = lambda name: [sys.executable, "-c", code, str(tmp_path / name)]
    run = lambda name: (
        subprocess.run(command(name), cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True).stdout
    )
    for wait in (4, 5, 6):
        process = subprocess.Popen(command("broken"), cwd=Path(__file__).parents[2], stdout=subprocess.DEVNULL)
        time.sleep(wait)
        process.kill()
        process.wait()
    assert run("broken") == run("unbroken")
