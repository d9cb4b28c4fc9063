"""What is compared: `(past (system, time, channel), steps, seed) -> (forecasts, error by which they were chosen)`, of
systems of one number of channels side by side. The error is the mean sMAPE of forecasts of the last fifth of the past,
from the four before it on; nothing knows what comes after."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks._neural import ManyWindows, Recipe, fitted, on_the_host
from benchmarks.dysts._baselines import BASELINES
from benchmarks.dysts._maps import as_series, family, forecast, origins_of, smape

Forecaster = Callable[[np.ndarray, int, int], tuple[np.ndarray, np.ndarray]]


def baseline(name: str) -> Forecaster:
    one = BASELINES[name]

    def run(past, steps, seed):
        cut, origins = origins_of(past.shape[1])
        errors = [[smape_of(y[o : o + steps], one(y[:o], min(steps, len(y) - o))) for o in origins] for y in past]
        return np.stack([one(y, steps) for y in past]), np.mean(errors, axis=1)

    return run


def smape_of(true: np.ndarray, found: np.ndarray) -> float:
    return float(smape(true, found))


def map_of(name: str) -> Forecaster:
    return lambda past, steps, seed: forecast(family(name, past.shape[2], past.shape[1]), past, steps)


def standardised(past: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    centre, spread = past.mean(axis=1, keepdims=True), past.std(axis=1, keepdims=True) + 1e-300
    return (past - centre) / spread, centre, spread


def echo_state(past: np.ndarray, steps: int, seed: int, units: int = 200, configurations: int = 40):
    """Reservoirs whose radius, leak, input scale and penalty the library's own sweep chooses."""
    scaled, centre, spread = standardised(past)
    rows, (cut, origins) = past.shape[1], origins_of(past.shape[1])
    of_reservoir, of_sweep = jax.random.split(jax.random.key(seed))
    washout = min(50, rows // 4)
    reservoir = ct.EchoState(past.shape[2], units, dt=1.0, washout=washout, max_steps=1, key=of_reservoir)
    horizon = min(steps, max(2, (rows - cut) // 2))

    @jax.jit
    def one(ys):
        tuned, _ = ct.regression.tune_echo_state(
            reservoir, as_series(ys[:cut]), key=of_sweep, configurations=configurations, batch=20, starts=4,
            horizon=min(horizon, cut // 10),
        )  # fmt: skip
        whole = ct.regression.echo_state(tuned, as_series(ys))[0]
        ends = lambda model, at: run_on(model, ys[:at], steps if at == rows else min(steps, rows - at))
        return ends(whole, rows), [ends(tuned, int(at)) for at in origins]

    found, errors = [], []
    for i, ys in enumerate(scaled):
        last, before = one(jnp.asarray(ys))
        out = lambda ys, i=i: centre[i] + spread[i] * np.asarray(ys)
        found.append(out(last))
        errors.append(
            np.mean([smape_of(past[i, o : o + len(y)], out(y)) for o, y in zip(origins, before, strict=True)])
        )
    return np.stack(found), np.array(errors)


def run_on(model, past, steps: int):
    z = model.listen(as_series(past))[-1]
    return model(z, jnp.arange(steps + 1, dtype=z.dtype)).ys[1:]


def sparse_law(past: np.ndarray, steps: int, seed: int):
    """Polynomials up to degree two or three, of scaled variables that are not centred, by weak forms."""
    return law_of([(2, 0), (3, 0), (2, 1)], past, steps)


def law_of(libraries, past, steps):
    _, _, spread = standardised(past)
    rows, (cut, origins) = past.shape[1], origins_of(past.shape[1])
    scaled = jnp.asarray(past / spread)
    thresholds = jnp.asarray([0.0, 1e-3, 1e-2, 5e-2])
    speed = np.sqrt(np.mean(np.diff(past / spread, axis=1) ** 2, axis=(1, 2)))  # in a step: the unit of time
    errors, forecasts = [], []
    for degree, waves in libraries:
        for width in (10, 20):

            @eqx.filter_jit
            def one(ys, dt, threshold, degree=degree, waves=waves, width=width):
                def fit(ys):
                    ts = dt * jnp.arange(ys.shape[0])
                    series = ct.Series(ts, ys, jnp.ones(ys.shape, bool))
                    how = dict(degree=degree, waves=waves, threshold=threshold, penalty=1e-9, width=width, stride=1)
                    solver = ct.Integrate(ct.RK4(), ct.Substeps(4))
                    return ct.regression.sparse_law(series, integrate=solver, **how)[0]

                model, whole = fit(ys[:cut]), fit(ys)
                run = lambda model, y0, n: model(y0, dt * jnp.arange(n + 1)).ys[1:]
                before = [run(model, ys[o - 1], min(steps, rows - int(o))) for o in origins]
                return run(whole, ys[-1], steps), before

            many = jax.vmap(lambda ys, dt, one=one: jax.vmap(lambda t: one(ys, dt, t))(thresholds))
            last, before = many(scaled, jnp.asarray(speed))
            out = lambda ys: spread[:, None] * np.asarray(ys)
            error = [[[smape_of(past[i, o : o + y.shape[2]], y[i, j]) for o, y in zip(origins, map(out, before), strict=True)]
                      for j in range(len(thresholds))] for i in range(len(past))]  # fmt: skip
            errors.append(np.mean(error, axis=2))
            forecasts.append(out(last))
    errors, forecasts = np.concatenate(errors, axis=1), np.concatenate(forecasts, axis=1)
    best = errors.argmin(axis=1)
    at = np.arange(len(past))
    return forecasts[at, best], errors[at, best]


def neural_ode(past: np.ndarray, steps: int, seed: int, recipe: Recipe = Recipe(steps=1500, batch=16, window=12)):
    """Trained twice: on the first four fifths, to be judged, and on all."""
    scaled, centre, spread = standardised(past)
    rows, (cut, origins) = past.shape[1], origins_of(past.shape[1])
    speed = np.sqrt(np.mean(np.diff(scaled, axis=1) ** 2, axis=(1, 2)))
    ts = speed[:, None] * np.arange(rows + steps)
    out = lambda ys: centre + spread * ys

    def train(until: int):
        ys = jnp.asarray(scaled[:, :until], jnp.float32)
        kept = recipe._replace(window=min(recipe.window, until // 3))
        data = ManyWindows(jnp.asarray(ts[:, :until], jnp.float32), ys, jnp.ones(ys.shape, bool), ys, kept.window)
        return fitted(data, 1, kept, seed)

    def run(models, at: int, n: int):
        of = lambda x: x.astype(np.float32)
        return out(on_the_host(models, of(scaled[:, at - 1]), of(ts[:, at - 1 : at + n] - ts[:, at - 1 : at]))[:, 1:])

    first = train(cut)
    errors = [[smape_of(past[i, o : o + len(y)], y) for i, y in enumerate(run(first, int(o), min(steps, rows - int(o))))]
              for o in origins]  # fmt: skip
    return run(train(rows), rows, steps), np.mean(errors, axis=0)


OURS: dict[str, Forecaster] = {
    "nvar": map_of("nvar"),
    "kernel": map_of("kernel"),
    "echo_state": echo_state,
    "sparse_law": sparse_law,
    "neural_ode": neural_ode,
}
SIMPLE: dict[str, Forecaster] = {name: baseline(name) for name in BASELINES}
SIMPLE["linear"] = map_of("linear")
