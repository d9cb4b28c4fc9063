"""Lorenz-63 from 10 000 samples at dt 0.02 with 5 % noise: the main job, three seeds, the worst one counts.

A clean reference and a free run of 50 000 points each at dt 0.02, after a transient of 1000, z-scored by the training
data. Valid prediction time: first time that ||x^ - x|| / sqrt(<||x - mean||^2>) > 0.4, median over 200 clean starts
on the reference, in units of 1 / 0.906. D_stsp: 30 bins an axis on the true range widened by 0.1 standard deviations,
Laplace 1e-5, KL(true || generated). Largest exponent over 500 time units at least. Seconds: the whole of
`reconstruct`, compilation and report counted.
"""

import tempfile
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._harness import main
from ctmodels import metrics, systems
from ctmodels.demo import noisy_lorenz63
from ctmodels.reconstruction import MeanDynamics, Recipe, reconstruct

DT, EXPONENT = 0.02, 0.906


def run(quick: bool) -> tuple[list[dict], dict]:
    rows = [one(seed, quick) for seed in range(1 if quick else 3)]
    worst = {
        "vpt_median_lyapunov_times": min(r["vpt"] for r in rows),
        "d_stsp": max(r["d_stsp"] for r in rows),
        "d_hellinger": max(r["d_hellinger"] for r in rows),
        "lyapunov_relative_error": max(r["lyapunov_relative_error"] for r in rows),
        "seconds": max(r["seconds"] for r in rows),
    }
    return rows, worst


def one(seed: int, quick: bool) -> dict:
    samples, steps = (1000, 100) if quick else (10_000, Recipe().steps)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as out:
        data, recipe = noisy_lorenz63(samples, seed=seed), lambda n: Recipe(steps=steps)
        result = reconstruct(data, held_out=samples // 20, seed=seed, recipe=recipe, out=out, progress=False)
    seconds = time.monotonic() - begun
    scaling, trained = result.problem.scaling, result.fitted["neural"].trained
    points = 2000 if quick else 50_000
    true = reference(1000 + seed, points, scaling)
    dt = DT / scaling.time_scale
    model = MeanDynamics(trained.model)
    flow = eqx.filter_jit(lambda z, n: model(z, jnp.arange(n, dtype=z.dtype) * dt).ys)
    generated = flow(true[0], points + 1000)[1000:]
    step = lambda z: model.flow(jnp.zeros((), z.dtype), jnp.asarray(dt, z.dtype), z)[0]
    spectrum = metrics.lyapunov_spectrum(step, true[0], steps=points, dt=DT, transient=1000)
    return {
        "seed": seed,
        "vpt": valid_prediction_time(flow, true, 50 if quick else 600),
        "d_stsp": float(metrics.d_stsp(true, generated)),
        "d_hellinger": float(metrics.d_hellinger(true, generated)),
        "exponent": float(spectrum[0]),
        "lyapunov_relative_error": abs(float(spectrum[0]) / EXPONENT - 1),
        "seconds": seconds,
    }


def reference(seed: int, points: int, scaling):
    """A clean orbit, in the training data's units."""
    y0 = jnp.asarray(np.array([0, 0, 25]) + np.random.default_rng(seed).normal(size=3), jnp.zeros(()).dtype)
    orbit = systems.simulate(systems.Lorenz63(), y0, dt=DT, steps=points, transient=1000)
    return jnp.asarray(scaling.scale(np.asarray(orbit, np.float64)), orbit.dtype)


def valid_prediction_time(flow, true, horizon: int) -> float:
    """Median over 200 clean starts, in Lyapunov times."""
    starts = np.linspace(0, len(true) - horizon, 200).astype(int)
    ahead = true[starts[:, None] + np.arange(horizon)]
    predicted = jax.vmap(lambda z: flow(z, horizon))(ahead[:, 0])
    ts = DT * jnp.arange(horizon, dtype=true.dtype)
    scale = jnp.sqrt(jnp.mean(jnp.sum((true - true.mean(axis=0, keepdims=True)) ** 2, axis=1)))
    times = jax.vmap(lambda a, b: metrics.valid_prediction_time(ts, a, b, scale=scale))(ahead, predicted)
    return float(np.median(times)) * EXPONENT


if __name__ == "__main__":
    main("reconstruct", run)
