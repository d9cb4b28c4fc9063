"""Sparse laws in continuous time, by weak forms, of scaled variables that are not centred."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks.dysts._past import as_series, errors_of, origins_of, speeds, standardised

LIBRARIES, WIDTHS, THRESHOLDS = ((2, 0), (3, 0), (2, 1)), (10, 20), (0.0, 1e-3, 1e-2, 5e-2)


def sparse_law(past: np.ndarray, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    spread = standardised(past)[2]
    scaled, origins = past / spread, origins_of(past.shape[1])[1]
    errors, forecasts = [], []
    for (degree, waves), width in itertools.product(LIBRARIES, WIDTHS):
        how = dict(degree=degree, waves=waves, penalty=1e-9, width=width, stride=1)
        last, before = _many(how, steps, jnp.asarray(scaled), jnp.asarray(speeds(scaled)))
        out = lambda ys, j: spread * np.asarray(ys)[:, j]
        for j in range(len(THRESHOLDS)):
            errors.append(errors_of(past, origins, [out(ys, j) for ys in before]))
            forecasts.append(out(last, j))
    best, at = np.argmin(errors, axis=0), np.arange(len(past))
    return np.stack(forecasts)[best, at], np.stack(errors)[best, at]


@eqx.filter_jit
def _many(how: dict, steps: int, scaled, dts):
    """Of each system and threshold: what follows the past, and what the first part of it foretells of the rest."""
    rows, (cut, origins) = scaled.shape[1], origins_of(scaled.shape[1])
    solver = ct.Integrate(ct.RK4(), ct.Substeps(4))

    def one(ys, dt, threshold):
        fit = lambda ys: ct.regression.sparse_law(as_series(ys, dt), threshold=threshold, integrate=solver, **how)[0]
        run = lambda model, y0, n: model(y0, dt * jnp.arange(n + 1, dtype=y0.dtype)).ys[1:]
        model = fit(ys[:cut])
        before = [run(model, ys[o - 1], min(steps, rows - int(o))) for o in origins]
        return run(fit(ys), ys[-1], steps), before

    over_thresholds = lambda ys, dt: jax.vmap(lambda threshold: one(ys, dt, threshold))(jnp.asarray(THRESHOLDS))
    return jax.vmap(over_thresholds)(scaled, dts)
