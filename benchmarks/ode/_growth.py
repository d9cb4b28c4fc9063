"""`benchmarks.ode`: one stiff sample among many, the first call, and how the time grows with the size."""

import itertools
import os
import statistics
import subprocess
import sys
import tempfile
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks._timing import contest
from benchmarks.ode._ours import Problem, Setting, squared_at, stats_of, training
from benchmarks.ode._peers import diffrax_vmap

# -- one stiff sample


class Pulled(eqx.Module):
    """dy/dt = MLP(y) - lam (y - cos t), with a `lam` for each sample."""

    field: ct.fields.MLPField

    def __call__(self, t, y, lam):
        return self.field(t, y, None) - lam * (y - jnp.cos(t))


def stiff_lane(setting: Setting, lam: float, seconds: float) -> tuple[list[dict], float]:
    """The last sample has `lam`, the others 1; forward and backward."""
    problem = Problem(setting)
    model = problem.model("per_sample", max_steps=4096)
    model = eqx.tree_at(lambda m: m.field, model, Pulled(model.field))
    xs = ct.Driven(jnp.asarray(problem.y0), jnp.ones(setting.batch).at[-1].set(lam))
    objective = ct.objective(squared_at(problem.ts))
    gradient = eqx.filter_jit(eqx.filter_grad(lambda model, batch: objective(model, batch, jax.random.key(0), 0)[0]))

    def of(part: slice):
        batch = jax.tree.map(lambda x: x[part], (xs, jnp.asarray(problem.targets)))
        return lambda: jax.block_until_ready(gradient(model, batch))

    parts = {"all": slice(None), "without it": slice(-1), "it alone": slice(-1, None)}
    taken = contest({name: of(part) for name, part in parts.items()}, seconds)
    evaluations = np.asarray(stats_of(problem, model, xs).evaluations)
    rows = [
        {"case": "one stiff sample", "solver": name, "ms": 1e3 * taken[name], "evaluations": evaluations[part].mean()}
        for name, part in parts.items()
    ]
    return rows, taken["all"] / (taken["without it"] + taken["it alone"])


# -- the first call


def first_call(setting: Setting, solver: str) -> float:
    """Seconds of the first call of a training step, ours with that batching or diffrax's: to be asked for in a fresh
    process."""
    problem = Problem(setting)
    step = diffrax_vmap(problem).step if solver == "diffrax" else training(problem, solver)
    begun = time.perf_counter()
    step()
    return time.perf_counter() - begun


def first_calls(setting: Setting, solvers: tuple[str, ...], repeats: int) -> tuple[list[dict], dict]:
    taken = {}
    for solver in solvers:
        taken[solver, "no cache"] = statistics.median(_apart(setting, solver) for _ in range(repeats))
        with tempfile.TemporaryDirectory() as cache:
            _apart(setting, solver, cache)  # fills it
            taken[solver, "cached"] = statistics.median(_apart(setting, solver, cache) for _ in range(repeats))
    rows = [{"case": f"first call, {how}", "solver": name, "ms": 1e3 * s} for (name, how), s in taken.items()]
    names = {"shared": "", "per_sample": "per_sample_", "diffrax": "diffrax_"}
    calls = {"no cache": "first_call_s", "cached": "cached_call_s"}
    return rows, {f"{names[solver]}{calls[how]}": s for (solver, how), s in taken.items()}


def _apart(setting: Setting, solver: str, cache: str | None = None) -> float:
    """`first_call` in a process of its own."""
    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    if cache is not None:
        environment |= {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
            "TF_CPP_MIN_LOG_LEVEL": "3",  # of each program from the cache XLA says at length which CPU it is for
        }
    code = f"from benchmarks.ode._growth import *; print(first_call(Setting{tuple(setting)!r}, {solver!r}))"
    command = [sys.executable, "-c", code]
    return float(subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout)


# -- how the time grows


def scaling(width: int, batchings: tuple[str, ...], sizes: int, seconds: float) -> tuple[list[dict], dict]:
    """Sizes ten times the one before, from 32 samples, 16 steps and 16 save points on."""
    axes = {"batch": _with_batch, "steps": _with_steps, "saves": _with_saves}
    rows, worst = [], {f"scaling_{axis}": 0.0 for axis in axes}
    for batching, (axis, make) in itertools.product(batchings, axes.items()):
        taken = contest(dict(make(batching, width, 10**k) for k in range(sizes)), seconds)
        each = {size: s / size for size, s in taken.items()}
        rows += [
            {
                "case": f"{n} {axis}",
                "solver": f"ctmodels, {batching}",
                "ms": 1e3 * taken[n],
                "us per unit": 1e6 * each[n],
            }
            for n in taken
        ]
        growth = max(larger / smaller for smaller, larger in itertools.pairwise(each.values()))
        worst[f"scaling_{axis}"] = max(worst[f"scaling_{axis}"], growth)
    return rows, worst


def _small(width: int, times: int = 1) -> Setting:
    return Setting("", 2, 32 * times, 1e-3, width)


def _with_batch(batching: str, width: int, times: int):
    return 32 * times, training(Problem(_small(width, times)), batching)


def _with_saves(batching: str, width: int, times: int):
    return 16 * times, training(Problem(_small(width), saves=16 * times), batching)


def _with_steps(batching: str, width: int, times: int):
    """No step longer than 1 / (16 times), and each accepted: the tolerance is loose."""
    problem = Problem(_small(width)._replace(tol=1.0))
    options = dict(controller=problem.controller(dtmax=1 / (16 * times)), max_steps=2**15)
    stats = stats_of(problem, problem.model(batching, **options), jnp.asarray(problem.y0))
    return int(stats.accepted.max()), training(problem, batching, **options)
