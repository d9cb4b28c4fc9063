"""Echo-state networks, whose radius, leak, input scale and penalty the library's own sweep chooses."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks.dysts._past import as_series, errors_of, origins_of, standardised

UNITS, CONFIGURATIONS = 200, 40


def echo_state(past: np.ndarray, steps: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    scaled, centre, spread = standardised(past)
    rows, (cut, origins) = past.shape[1], origins_of(past.shape[1])
    of_reservoir, of_sweep = jax.random.split(jax.random.key(seed))
    washout = min(50, rows // 4)
    reservoir = ct.EchoState(past.shape[2], UNITS, dt=1.0, washout=washout, max_steps=1, key=of_reservoir)
    one = functools.partial(_one, reservoir, tuple(int(at) for at in origins), cut, steps, of_sweep)
    each = [one(jnp.asarray(ys)) for ys in scaled]
    together = lambda parts: centre + spread * np.stack([np.asarray(part) for part in parts])
    before = [together(parts) for parts in zip(*(before for _, before in each), strict=True)]
    return together([last for last, _ in each]), errors_of(past, origins, before)


@eqx.filter_jit
def _one(reservoir, origins: tuple[int, ...], cut: int, steps: int, key, ys):
    rows = ys.shape[0]
    how = dict(configurations=CONFIGURATIONS, batch=20, starts=4, horizon=min(steps, cut // 10))
    tuned, _ = ct.regression.tune_echo_state(reservoir, as_series(ys[:cut]), key=key, **how)
    whole, _ = ct.regression.echo_state(tuned, as_series(ys))
    return _run_on(whole, ys, steps), [_run_on(tuned, ys[:at], min(steps, rows - at)) for at in origins]


def _run_on(model, past, steps: int):
    z = model.listen(as_series(past))[-1]
    return model(z, jnp.arange(steps + 1, dtype=z.dtype)).ys[1:]
