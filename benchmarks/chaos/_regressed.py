"""Maps in closed form: nonlinear autoregression and reservoirs, of which the free run nearest to rows before the test
chooses one."""

import itertools
import math
import time
from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks.chaos._data import System
from benchmarks.chaos._scores import Learned, d_h, d_stsp

ROWS, MOST_TERMS = 20_000, 400  # learned from, and of a step
SHAPES = (1, 1, 1), (4, 1, 1), (1, 1, 2), (2, 1, 2), (2, 5, 2), (1, 1, 3), (4, 5, 2)  # delays, skip, degree
PENALTIES = 1e-7, 1e-5, 1e-3
UNITS, WARM = 300, 200


def nvar(system: System, seed: int, quick: bool) -> Learned:
    return nearest(system, nvars(system, quick), quick)


def nvars(system: System, quick: bool) -> Iterator[tuple[ct.NVAR, int]]:
    """And how many rows each is told."""
    series, channels = learned_from(system, quick), system.train.shape[1]
    for (delays, skip, degree), penalty in itertools.product(SHAPES[:2] if quick else SHAPES, PENALTIES):
        if math.comb(delays * channels + degree, degree) <= MOST_TERMS:
            how = dict(delays=delays, skip=skip, degree=degree, penalty=penalty)
            model, _ = ct.regression.nvar(series, dt=1.0, **how)
            yield model, model.memory


def reservoir(system: System, seed: int, quick: bool) -> Learned:
    return nearest(system, reservoirs(system, seed, quick), quick)


def reservoirs(system: System, seed: int, quick: bool) -> Iterator[tuple[ct.EchoState, int]]:
    """With and without squares of units."""
    series = learned_from(system, quick)
    of_weights, of_sweep = jax.random.split(jax.random.key(seed))
    for squared in (False, True):
        made = ct.EchoState(system.train.shape[1], 20 if quick else UNITS, dt=1.0, squared=squared, key=of_weights)
        how = dict(configurations=4, batch=4) if quick else dict(configurations=100, batch=10)
        tuned, _ = ct.regression.tune_echo_state(made, series[: ROWS // 4], key=of_sweep, **how)
        for penalty in PENALTIES:
            yield ct.regression.echo_state(tuned, series, penalty=penalty)[0], WARM


def learned_from(system: System, quick: bool) -> ct.Series:
    rows = system.train[: 1000 if quick else ROWS]
    return ct.Series.from_nan(np.arange(len(rows)), rows)


def nearest(system: System, models, quick: bool) -> Learned:
    start, judged = time.perf_counter(), system.chosen_by[: 400 if quick else len(system.chosen_by)]
    scored = [(near(model, warm, judged, system.noise), model, warm) for model, warm in models]
    value, model, warm = min(scored, key=lambda one: one[0])
    facts = {"chosen_at": value, "seconds": time.perf_counter() - start}
    return Learned(lambda rows, steps: run(model, rows, steps), warm, facts)


def run(model, rows, steps: int):
    """From what was heard, freely."""
    series = ct.Series(jnp.arange(rows.shape[0], dtype=rows.dtype), rows, jnp.ones(rows.shape, bool))

    def step(z, _):
        z = model.step(jnp.zeros((), z.dtype), z)
        return z, model.observe(z)

    return jax.lax.scan(step, model.listen(series)[-1], length=steps)[1]


compiled_run = eqx.filter_jit(run)


def near(model, warm: int, rows: np.ndarray, noise: float) -> float:
    """A free run, as noisy as the rows, against these."""
    generated = np.asarray(compiled_run(model, jnp.asarray(rows[:warm]), len(rows) + len(rows) // 4))[-len(rows) :]
    if not np.isfinite(generated).all():
        return math.inf
    generated = generated + noise * np.random.default_rng(0).normal(size=rows.shape).astype(np.float32)
    value = d_stsp(rows, generated) + d_h(rows, generated)
    return value if math.isfinite(value) else math.inf
