"""What a second device saves of a training step, and whether many devices compute what one does.

One batch of 4096 series through a neural ODE of width 64, on a fixed grid and with adaptive steps, by one device on one
core and by two devices on two cores: two processes that take turns, each with its cores to itself, and no threads
within a device. `speedup_2_devices`: the time of one over that of two; medians of the turns.
`equal_to`: on eight devices, the largest difference from one device in any parameter after three steps, relative to
the largest entry of its array; the larger of both solves.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from benchmarks._harness import main

SOLVES = ("fixed", "adaptive")


def run(quick: bool) -> tuple[list[dict], dict]:
    turns, steps = (2, 2) if quick else (5, 3)
    rows = []
    for solve in SOLVES:
        one, two = taking_turns([worker(1, solve, quick), worker(2, solve, quick)], turns, steps)
        difference = float(asked(worker(8, solve, quick), "compare"))
        rows.append({"solve": solve, "one_device_ms": 1e3 * one, "two_devices_ms": 1e3 * two, "speedup": one / two,
                     "equal_to": difference})  # fmt: skip
    return rows, {
        "speedup_2_devices": {row["solve"]: row["speedup"] for row in rows},
        "equal_to": max(row["equal_to"] for row in rows),
    }


def worker(devices: int, solve: str, quick: bool) -> subprocess.Popen:
    """A process with so many devices, on as many cores as there are for them, that waits to be asked."""
    flags = f"--xla_force_host_platform_device_count={devices} --xla_cpu_multi_thread_eigen=false"
    cores = sorted(os.sched_getaffinity(0))[:devices]
    # Before JAX is imported: it makes as many threads as it sees cores.
    pinned = f"import os; os.sched_setaffinity(0, {cores})"
    code = f"{pinned}; from benchmarks import parallel; parallel.serve({solve!r}, {quick})"
    environment = os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, cwd=Path(__file__).parents[1], text=True,
                            stdin=subprocess.PIPE, stdout=subprocess.PIPE)  # fmt: skip


def taking_turns(workers: list[subprocess.Popen], turns: int, steps: int) -> list[float]:
    """Median seconds of a step of each; the first turn, which compiles, left out."""
    times = [[asked(w, steps) for w in workers] for _ in range(turns + 1)][1:]
    for w in workers:
        asked(w, "end")
    return [statistics.median(each) / steps for each in zip(*times, strict=True)]


def asked(worker: subprocess.Popen, request) -> float:
    print(json.dumps(request), file=worker.stdin, flush=True)
    answer = worker.stdout.readline()
    if request in ("end", "compare"):
        worker.communicate()
    if not answer:
        raise RuntimeError(f"a worker ended, with status {worker.wait()}, when asked for {request!r}")
    return json.loads(answer)


def serve(solve: str, quick: bool) -> None:
    """Answers each line: the seconds of so many steps, or the difference between all devices and one."""
    import jax

    step, state, batch = problem(solve, quick, jax.make_mesh((len(jax.devices()),), ("data",)))
    for line in sys.stdin:
        request = json.loads(line)
        if request == "end":
            answer = 0.0
        elif request == "compare":
            answer = compared(solve, quick)
        else:
            begun = time.perf_counter()
            for _ in range(request):
                state, metrics = step(state, batch)
            jax.block_until_ready((state, metrics))
            answer = time.perf_counter() - begun
        print(json.dumps(answer), flush=True)
        if isinstance(request, str):
            return


def problem(solve: str, quick: bool, mesh):
    """A step, its state, and a batch of noisy spirals at irregular times."""
    import jax
    import numpy as np
    import optax

    import ctmodels as ct

    series, samples, width = (16, 5, 8) if quick else (4096, 16, 64)
    rng = np.random.default_rng(0)
    ts = np.cumsum(rng.uniform(0.05, 0.15, (series, samples)), axis=1)
    ys = np.stack([np.cos(ts), -np.sin(ts)], axis=2) * rng.uniform(0.5, 1.5, (series, 1, 1))
    target = ct.collate([ct.Series.from_nan(t, y) for t, y in zip(ts, ys, strict=True)])
    integrate = {"fixed": ct.Integrate(ct.RK4(), ct.Substeps(2)), "adaptive": ct.Integrate()}[solve]
    model = ct.NeuralODE(ct.fields.MLPField(2, width=width, key=jax.random.key(0)), 2, integrate=integrate)
    step = ct.make_step(ct.objective(ct.losses.squared), optax.sgd(0.1, momentum=0.9), mesh=mesh)
    batch = ct.Example(target.ys[:, 0], target)
    return step, step.init(model, key=jax.random.key(1)), batch


def compared(solve: str, quick: bool) -> float:
    import equinox as eqx
    import jax
    import numpy as np

    models = []
    for mesh in (None, jax.make_mesh((len(jax.devices()),), ("data",))):
        step, state, batch = problem(solve, quick, mesh)
        for _ in range(3):
            state, _ = step(state, batch)
        models.append([np.asarray(x) for x in jax.tree.leaves(eqx.filter(step.local(state.model), eqx.is_array))])
    return max(float(np.max(np.abs(a - b)) / np.max(np.abs(a))) for a, b in zip(*models, strict=True))


if __name__ == "__main__":
    main("parallel", run)
