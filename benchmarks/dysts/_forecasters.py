"""What is compared: `(past (system, time, channel), steps, seed) -> (forecasts, error by which they were chosen)`, of
systems of one number of channels side by side. The error is the mean sMAPE of forecasts of the last fifth of the past,
from what is before it; nothing knows what comes after."""

from collections.abc import Callable

import jax.numpy as jnp
import numpy as np

from benchmarks._neural import ManyWindows, Recipe, networks, on_the_host, trained
from benchmarks.dysts._baselines import BASELINES
from benchmarks.dysts._laws import sparse_law
from benchmarks.dysts._maps import family, forecast
from benchmarks.dysts._past import errors_of, origins_of, speeds, standardised
from benchmarks.dysts._reservoirs import echo_state

Forecaster = Callable[[np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]
RECIPE = Recipe(steps=1500, batch=16, window=12)


def baseline(name: str) -> Forecaster:
    over = lambda past, steps: np.stack([BASELINES[name](ys, steps) for ys in past])

    def run(past, steps, seed):
        origins = origins_of(past.shape[1])[1]
        before = [over(past[:, :o], min(steps, past.shape[1] - o)) for o in origins]
        return over(past, steps), errors_of(past, origins, before)

    return run


def map_of(name: str) -> Forecaster:
    return lambda past, steps, seed: forecast(family(name, past.shape[2], past.shape[1]), past, steps)


def neural_ode(past: np.ndarray, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Trained twice: on the first four fifths, to be judged, and on all."""
    scaled, centre, spread = standardised(past)
    rows, (cut, origins) = past.shape[1], origins_of(past.shape[1])
    ts = (speeds(scaled)[:, None] * np.arange(rows + steps)).astype(np.float32)
    single = scaled.astype(np.float32)

    def train(until: int):
        ys, recipe = jnp.asarray(single[:, :until]), RECIPE._replace(window=min(RECIPE.window, until // 3))
        data = ManyWindows(jnp.asarray(ts[:, :until]), ys, jnp.ones(ys.shape, bool), ys, recipe.window)
        return trained(networks(len(ys), ys.shape[2], recipe, seed), data, recipe, seed)

    def run(models, at: int, n: int):
        asked = ts[:, at - 1 : at + n] - ts[:, at - 1 : at]
        return centre + spread * on_the_host(models, single[:, at - 1], asked)[:, 1:]

    first = train(cut)
    before = [run(first, int(o), min(steps, rows - int(o))) for o in origins]
    return run(train(rows), rows, steps), errors_of(past, origins, before)


OURS: dict[str, Forecaster] = {
    "nvar": map_of("nvar"),
    "kernel": map_of("kernel"),
    "echo_state": echo_state,
    "sparse_law": sparse_law,
    "neural_ode": neural_ode,
}
SIMPLE: dict[str, Forecaster] = {**{name: baseline(name) for name in BASELINES}, "linear": map_of("linear")}
