"""Whether a selected model is to be trusted: noise, where there is nothing to find, and systems, where there is.

40 series of white noise and 40 of AR(1) (coefficients 0.3 to 0.95), 200 rows each; 20 of Lorenz-63, FitzHugh-Nagumo,
a pendulum (both channels, and its angle alone), 360 rows each, with 2 to 20 % noise, and the lynx and hare. Each is
reconstructed with default models and a short recipe; only the pelts, that have 21 rows, get the law and the whole one.
A false selection: a model selected on noise. A missed one: none selected on a system with up to 5 % noise, or on the
pelts. Coverage: of the best model's 90 % band, over all scored forecasts, mean over series. Two processes, a core each.
"""

import concurrent.futures
import dataclasses
import itertools
import multiprocessing
import os
import sys
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from benchmarks._harness import main
from benchmarks._timing import ONE_THREAD

SEED = 130_000
ROWS, SAMPLES = 200, 360  # of noise, of a system
STEPS, MEMBERS = {"noise": 300, "system": 500}, 3
FINE = 20  # steps of the solver from sample to sample
LITTLE = 0.05  # noise, up to which a system must be found


class Case(NamedTuple):
    """A series to be judged: `kind`, its noise (None: it is nothing but noise), and its number."""

    kind: str
    noise: float | None
    number: int


def cases() -> list[list[Case]]:
    """For each of two processes."""
    levels = (0.02, 0.05, 0.05, 0.1, 0.2)
    systems = {
        kind: [Case(kind, noise, i) for i, noise in enumerate(levels)]
        for kind in ("Lorenz-63", "FitzHugh-Nagumo", "pendulum")
    }
    angle = [Case("pendulum's angle", noise, i) for i, noise in enumerate((0.05, 0.05, 0.2))]
    pelts = [Case("lynx and hare", 0.0, i) for i in range(2)]
    white, ar = ([Case(kind, None, i) for i in range(40)] for kind in ("white noise", "AR(1)"))
    return [white + systems["Lorenz-63"] + systems["pendulum"], ar + systems["FitzHugh-Nagumo"] + angle + pelts]


def run(quick: bool) -> tuple[list[dict], dict]:
    lists = cases()
    if quick:
        lists = [[next(g) for _, g in itertools.groupby(cases, lambda c: c.kind)] for cases in lists]
    begun = time.monotonic()
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}".strip()
    cores = sorted(os.sched_getaffinity(0))[:2] if sys.platform == "linux" else [0, 0]
    with concurrent.futures.ProcessPoolExecutor(2, multiprocessing.get_context("spawn")) as pool:
        jobs = [pool.submit(several, list_, cores[i % len(cores)], quick) for i, list_ in enumerate(lists)]
        found = [row for job in jobs for row in job.result()]
    rows = [_pooled(list(group)) for _, group in itertools.groupby(sorted(found, key=_group), _group)]
    return rows, {**summary(found), "seconds": time.monotonic() - begun}


def several(cases: list[Case], core: int, quick: bool) -> list[dict]:
    if sys.platform == "linux":
        os.sched_setaffinity(0, {core})  # before JAX has threads
    return [one(case, quick) for case in cases]


def one(case: Case, quick: bool) -> dict:
    from ctmodels import data
    from ctmodels.data import Table
    from ctmodels.reconstruction import Recipe, reconstruct

    begun = time.monotonic()
    pelts = case.kind == "lynx and hare"
    changes = {} if pelts else {"steps": STEPS["noise" if case.noise is None else "system"], "members": MEMBERS}
    how = lambda n: dataclasses.replace(Recipe.default(n), **(changes | ({"steps": 20, "members": 2} if quick else {})))
    options = {"models": ["lotka-volterra"], "held_out": 7, "season": 10, "log": True} if pelts else {}
    if pelts:
        table = data.lynx_hare()
    else:
        ts, ys = series(case)
        table = Table(ts, ys, tuple("xyz"[: ys.shape[1]]), "t", "", "", case.kind)
    result = reconstruct(table, recipe=how, seed=case.number, progress=False, **options)
    scores = result.fitted[result.best].scores
    row = {
        "kind": case.kind,
        "noise": case.noise,
        "selected": result.selected is not None,
        "coverage": scores["coverage"].value,
        "error": scores[result.measure].value,
        "baseline": min(s[result.measure].value for s in result.baselines.values()),
        "seconds": time.monotonic() - begun,
    }
    print(f"{case}: {row['seconds']:.0f} s. {result.verdict}", flush=True)
    return row


def series(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Times, and values `(time, channel)`."""
    rng = np.random.default_rng([SEED, case.number, sum(case.kind.encode())])
    if case.noise is None:
        return np.arange(float(ROWS)), _noise(rng, 0.0 if case.kind == "white noise" else rng.uniform(0.3, 0.95))
    field, start, dt = SYSTEMS[case.kind.removesuffix("'s angle")]
    clean = _solved(field, start(rng), dt)
    if case.kind.endswith("angle"):
        clean = clean[:, :1]
    return dt * np.arange(SAMPLES), clean + case.noise * clean.std(axis=0) * rng.normal(size=clean.shape)


def _noise(rng: np.random.Generator, memory: float) -> np.ndarray:
    values = rng.normal(size=ROWS + 200)
    for i in range(1, len(values)):
        values[i] += memory * values[i - 1]
    return values[200:, None]


def _solved(field: Callable, y: np.ndarray, dt: float) -> np.ndarray:
    """The classical Runge-Kutta method, after a transient."""
    h, states = dt / FINE, []
    for i in range((SAMPLES + 200) * FINE):
        if i % FINE == 0:
            states.append(y)
        a = field(y)
        b = field(y + h / 2 * a)
        c = field(y + h / 2 * b)
        y = y + h / 6 * (a + 2 * b + 2 * c + field(y + h * c))
    return np.array(states[200:])


def _lorenz(y: np.ndarray) -> np.ndarray:
    return np.array([10 * (y[1] - y[0]), y[0] * (28 - y[2]) - y[1], y[0] * y[1] - 8 / 3 * y[2]])


def _fitzhugh_nagumo(y: np.ndarray) -> np.ndarray:
    return np.array([y[0] - y[0] ** 3 / 3 - y[1] + 0.5, 0.08 * (y[0] + 0.7 - 0.8 * y[1])])


def _pendulum(y: np.ndarray) -> np.ndarray:
    return np.array([y[1], -np.sin(y[0])])


SYSTEMS = {
    "Lorenz-63": (_lorenz, lambda rng: np.array([0.0, 1.0, 20.0]) + rng.normal(size=3), 0.06),
    "FitzHugh-Nagumo": (_fitzhugh_nagumo, lambda rng: np.array([rng.uniform(-1, 1), 0.0]), 1.0),
    "pendulum": (_pendulum, lambda rng: np.array([rng.uniform(1.0, 2.5), 0.0]), 0.25),
}


def summary(found: list[dict]) -> dict:
    noise = [r["selected"] for r in found if r["noise"] is None]
    clear = [not r["selected"] for r in found if r["noise"] is not None and r["noise"] <= LITTLE]
    kinds = sorted({r["kind"] for r in found})
    covered = {kind: float(np.mean([r["coverage"] for r in found if r["kind"] == kind])) for kind in kinds}
    return {"false_selections": float(np.mean(noise)), "missed_selections": float(np.mean(clear)), "coverage": covered}


def _group(row: dict) -> tuple[str, float]:
    return row["kind"], -1.0 if row["noise"] is None else row["noise"]


def _pooled(rows: list[dict]) -> dict:
    middle = {key: float(np.median([r[key] for r in rows])) for key in ("error", "baseline", "seconds")}
    return {
        "kind": rows[0]["kind"],
        "noise": "all" if rows[0]["noise"] is None else rows[0]["noise"],
        "series": len(rows),
        "selected": sum(r["selected"] for r in rows),
        "coverage": float(np.mean([r["coverage"] for r in rows])),
        **middle,
    }


if __name__ == "__main__":
    main("reconstruct.verdicts", run)
