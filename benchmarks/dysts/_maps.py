"""Maps fitted in closed form, side by side: which of a family's settings foretell the end of the past best."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import ctmodels as ct
from benchmarks.dysts._past import as_series, origins_of, standardised


class Family(NamedTuple):
    """`fit(past, *shape, *numbers) -> model` for each of `shapes`, a program each, and of `numbers`, side by side."""

    fit: Callable
    shapes: Sequence[tuple]
    numbers: Sequence[tuple]


def nvar(ys, delays, skip, degree, penalty):
    return ct.regression.nvar(as_series(ys), dt=1.0, delays=delays, skip=skip, degree=degree, penalty=penalty)[0]


def kernel(ys, delays, skip, width, penalty):
    return ct.regression.kernel(as_series(ys), dt=1.0, delays=delays, skip=skip, width=width, penalty=penalty)[0]


def family(name: str, channels: int, rows: int) -> Family:
    """What is tried of so many channels, seen for so many rows."""
    fits = lambda delays, skip: (delays - 1) * skip + 1 < rows // 4
    if name == "linear":
        return Family(nvar, [(k, 1, 1) for k in (1, 4, 12, 30) if fits(k, 1)], [(10.0**-e,) for e in (8, 5, 2)])
    if name == "nvar":
        many = [(k, s, p) for k, s, p in NVARS if fits(k, s) and terms(k * channels, p) <= min(rows // 2, 400)]
        return Family(nvar, many, [(10.0**-e,) for e in (10, 8, 6, 4)])
    many = [(k, s) for k, s in (KERNELS if channels == 1 else KERNELS_OF_MANY) if fits(k, s)]
    return Family(kernel, many, list(itertools.product((0.5, 1.5, 4.0), (1e-9, 1e-6, 1e-3))))


NVARS = [
    (1, 1, 1),
    (1, 1, 2),
    (1, 1, 3),
    (2, 1, 2),
    (2, 1, 3),
    (2, 5, 2),
    (3, 2, 2),
    (4, 5, 2),
    (4, 5, 3),
    (8, 2, 2),
    (8, 5, 2),
]
KERNELS = [(3, 2), (3, 5), (6, 2), (6, 5), (10, 2), (10, 5), (10, 10)]
KERNELS_OF_MANY = [(1, 1), (2, 1), (3, 2), (3, 5)]


def terms(variables: int, degree: int) -> int:
    return math.comb(variables + degree, degree)


def free_run(model, past: Float[Array, "time channel"], steps: int) -> Float[Array, "step channel"]:
    """From the end of the past."""

    def step(z, _):
        z = model.step(jnp.zeros(()), z)
        return z, model.observe(z)

    return jax.lax.scan(step, past[::-1][: model.memory].reshape(-1), length=steps)[1]


@eqx.filter_jit
def tried(fit, shape: tuple, numbers, past, centre, spread, horizon: int):
    """`(system, setting)`: the mean error of forecasts from several places in the end of the past."""
    rows = past.shape[1]
    cut, origins = origins_of(rows)

    def one(past, centre, spread, numbers):
        model = fit(past[:cut], *shape, *numbers)
        errors = []
        for origin in origins:
            steps = min(horizon, rows - int(origin))
            found = centre + spread * free_run(model, past[:origin], steps)
            true = centre + spread * past[origin : origin + steps]
            errors.append(ct.metrics.smape(true, jnp.where(jnp.isfinite(found), found, jnp.inf)))
        return jnp.mean(jnp.stack(errors))

    one_by_one = lambda args: jax.vmap(lambda *numbers: one(*args, numbers))(*numbers)
    return jax.lax.map(one_by_one, (past, centre, spread))


@eqx.filter_jit
def foretold(fit, shape: tuple, numbers, past, steps: int):
    def one(args):
        past, numbers = args
        return free_run(fit(past, *shape, *numbers), past, steps)

    return jax.lax.map(one, (past, numbers))


def forecast(family: Family, past: np.ndarray, steps: int) -> tuple[np.ndarray, np.ndarray]:
    """Of `(system, time, channel)`: forecasts `(system, step, channel)` by the settings that each system's own past
    chose, and the error by which it did."""
    scaled, centre, spread = standardised(past)
    scaled = jnp.asarray(scaled)
    numbers = tuple(jnp.asarray(column) for column in zip(*family.numbers, strict=True))
    units = jnp.asarray(centre[:, 0]), jnp.asarray(spread[:, 0])
    each = [tried(family.fit, shape, numbers, scaled, *units, steps) for shape in family.shapes]
    errors = np.stack([np.asarray(one) for one in each], axis=1)  # (system, shape, setting)
    errors = np.where(np.isfinite(errors), errors, 200.0)
    best = errors.reshape(len(past), -1).argmin(axis=1)
    shapes, settings = np.unravel_index(best, errors.shape[1:])
    found = np.zeros((len(past), steps, past.shape[2]))
    for i, shape in enumerate(family.shapes):
        mine = np.flatnonzero(shapes == i)
        if len(mine):
            of = tuple(column[settings[mine]] for column in numbers)
            found[mine] = np.asarray(foretold(family.fit, shape, of, scaled[mine], steps))
    return centre + spread * found, errors.reshape(len(past), -1).min(axis=1)
