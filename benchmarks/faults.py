"""What a day does to a run: processes killed while they save, bits that flip, files cut short, runs broken and resumed.

`kills`: processes that took SIGKILL inside a save, at points spread over its bytes and its system calls; `lost`: of
these, after how many more than the newest checkpoint was gone. `flips`, `cuts`: damaged copies of a checkpoint;
`accepted_bad_files`: how many of them were read. `resume_equal`: whether a run in three parts ends in the same bits as
an unbroken one. `save_10mb_seconds`: one save of a 10 MB model, with its flush to the disk; `blocked_seconds`: for how
long the training loop waits for it. Medians of five.
"""

import itertools
import os
import signal
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks._harness import main
from ctmodels.train._checkpoint import encode
from ctmodels.train._run_folder import Run
from ctmodels.train._structure import on_host, sha256

CALLS = 14  # places before and after the seven system calls of a save


def run(quick: bool) -> tuple[list[dict], dict]:
    with tempfile.TemporaryDirectory() as folder:
        kills, lost = killed_saves(Path(folder) / "kills", 20 if quick else 200)
        flips, flipped = damaged(Path(folder) / "flips", bit_flips(20 if quick else 500))
        cuts, shortened = damaged(Path(folder) / "cuts", truncations())
        equal = resumed_equals_unbroken(Path(folder) / "runs")
        saving, blocked = save_times(Path(folder) / "times", 1e5 if quick else 1e7)
    rows = [
        {"fault": "SIGKILL in a save", "injected": kills, "harm": f"{lost} lost more than the newest checkpoint"},
        {"fault": "flipped bit", "injected": flips, "harm": f"{flipped} read"},
        {"fault": "cut short, each 1 kB", "injected": cuts, "harm": f"{shortened} read"},
        {"fault": "stopped and resumed", "injected": 2, "harm": "none" if equal else "other bits"},
    ]
    return rows, {
        "kills": kills,
        "lost": lost,
        "flips": flips,
        "cuts": cuts,
        "accepted_bad_files": flipped + shortened,
        "resume_equal": equal,
        "save_10mb_seconds": saving,
        "blocked_seconds": blocked,
    }


def killed_saves(folder: Path, points: int) -> tuple[int, int]:
    """Saves checkpoint after checkpoint in forked processes, each killed at another point of its save."""
    tree = {"weights": np.random.default_rng(0).normal(size=(64, 64)), "step": 0}
    size, kills, lost = len(encode(tree, {})), 0, 0
    with Run(folder, keep=2) as run:
        _save(run, 0, tree)
        whole = 0
        for i in range(points):
            point = ("call", i) if i < CALLS else ("byte", (i - CALLS) * size // (points - CALLS))
            child = os.fork()
            if child == 0:
                _kill_at(*point)
                _save(run, whole + 1, tree | {"step": whole + 1})
                os._exit(0)
            _, status = os.waitpid(child, 0)
            kills += os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
            found = _newest_step(run)
            lost += found not in (whole, whole + 1)
            whole = max(found, whole)
    return kills, lost


def _save(run: Run, step: int, tree) -> None:
    run._save(step, tree, {"step": step})
    if run.failure:
        raise OSError(run.failure)


def _newest_step(run: Run) -> int:
    found = run.newest()
    return -1 if found is None else found[1]["about"]["step"]


def _kill_at(kind: str, at: int) -> None:
    """From now on this process dies at its n-th system call of a save, or having written so many bytes."""
    calls, write = itertools.count(), os.write

    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    def mortal(function: Callable) -> Callable:
        def called(*args, **kwargs):
            n = next(calls)
            if (kind, at) == ("call", 2 * n):
                die()
            result = function(*args, **kwargs)
            if (kind, at) == ("call", 2 * n + 1):
                die()
            return result

        return called

    def partly(file, content):
        if kind == "byte":
            write(file, content[:at])
            die()
        return write(file, content)

    os.write = partly
    for name in ("open", "fsync", "replace", "close"):
        setattr(os, name, mortal(getattr(os, name)))


def sample() -> dict:
    """A small tree of all that is kept: arrays, typed and raw keys, numbers, functions, static fields."""
    field = ct.fields.MLPField(3, width=16, depth=1, key=jax.random.key(0))
    return {
        "model": ct.NeuralODE(field, 3, 0, ct.Integrate(ct.RK4(), ct.Substeps(1))),
        "half": jnp.arange(6, dtype=jnp.bfloat16),
        "keys": (jax.random.key(1), jax.random.PRNGKey(2)),
        "rate": 0.1,
        "host": np.arange(5.0),
        "empty": jnp.zeros((0, 3)),
    }


def damaged(folder: Path, copies: Callable[[bytes], Iterator[bytes]]) -> tuple[int, int]:
    """How many damaged copies there were, and how many of them `load` took."""
    folder.mkdir(parents=True)
    tree, tried, taken = sample(), 0, 0
    for content in copies(encode(tree, {"scaling": {"mean": [1.0, 2.0]}, "note": "ångström"})):
        path = folder / "copy.safetensors"
        path.write_bytes(content)
        tried += 1
        try:
            ct.load(path, tree)
            taken += 1
        except ct.DataError:
            pass
    return tried, taken


def bit_flips(count: int) -> Callable[[bytes], Iterator[bytes]]:
    """One flipped bit each: half of them anywhere, half in the header."""

    def copies(content: bytes):
        rng = np.random.default_rng(0)
        header = 8 + int.from_bytes(content[:8], "little")
        for i in range(count):
            at = int(rng.integers(header if i % 2 else len(content)))
            flipped = bytearray(content)
            flipped[at] ^= 1 << int(rng.integers(8))
            yield bytes(flipped)

    return copies


def truncations() -> Callable[[bytes], Iterator[bytes]]:
    """Cut at each kilobyte and each of the last nine bytes, and one byte too many."""

    def copies(content: bytes):
        for at in sorted({*range(0, len(content), 1024), *range(len(content) - 9, len(content))}):
            yield content[:at]
        yield content + b"\0"

    return copies


def resumed_equals_unbroken(folder: Path) -> bool:
    """Whether 30 steps at once and in three parts end in the same leaves, of state and best model, by sha256."""
    ts = 0.2 * np.arange(24)
    series = ct.Series.from_nan(ts, np.stack([np.cos(ts), np.sin(ts)], axis=1))
    data = ct.Windows(series, 4, starts=series.ys)

    optimiser = optax.chain(optax.clip(1.0), optax.adam(optax.cosine_decay_schedule(1e-2, 30)))
    step = ct.make_step(ct.objective(ct.losses.squared), optimiser)

    def part(name, steps):
        field = ct.fields.MLPField(2, width=4, depth=1, key=jax.random.key(0))
        model = ct.NeuralODE(field, 2, 0, ct.Integrate(ct.RK4(), ct.Substeps(1)))
        return ct.fit(
            step, step.init(model, key=jax.random.key(1)), data, steps=steps, batch_size=5, every=5, save_every=5,
            validate=lambda m, d: jnp.sum(m.field.mlp.layers[0].weight ** 2), folder=folder / name, resume=True,
            refresh=lambda m, d: eqx.tree_at(lambda d: d.starts, d, 1.01 * d.starts), refresh_every=10, progress=False,
        )  # fmt: skip

    for steps in (5, 15):
        part("broken", steps)
    broken, unbroken = part("broken", 30), part("unbroken", 30)
    return digests(broken) == digests(unbroken) and broken.history == unbroken.history


def digests(result) -> list[str]:
    leaves = jax.tree.leaves((result.state, result.model))
    return [sha256(on_host(leaf)) for leaf in leaves if isinstance(leaf, jax.Array)]


def save_times(folder: Path, size: float) -> tuple[float, float]:
    """Seconds of a whole save, and those in which the caller waits."""
    tree = {f"layer{i}": jnp.ones((int(size / 40), 1), jnp.float32) for i in range(10)}
    whole, waits = [], []
    with Run(folder, keep=2) as run:
        for step in range(6):
            begun = time.perf_counter()
            run.save(step, tree, {"step": step})
            waits.append(time.perf_counter() - begun)
            run.wait()
            whole.append(time.perf_counter() - begun)
    return statistics.median(whole[1:]), statistics.median(waits[1:])


if __name__ == "__main__":
    warnings.simplefilter("ignore", RuntimeWarning)  # of forking: the children touch no JAX
    sys.exit(main("faults", run))
