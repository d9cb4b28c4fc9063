"""The past that is seen: how it is scaled, and what settings are judged by in it."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

import ctmodels as ct
from benchmarks.dysts._scores import smape

VALIDATION, ORIGINS = 0.2, 4  # the end of the past that is foretold, and from how many places


def origins_of(rows: int) -> tuple[int, np.ndarray]:
    """Where what is fitted ends, and from where the rest is foretold, the first being there."""
    cut = rows - max(round(VALIDATION * rows), ORIGINS)
    return cut, np.unique(np.linspace(cut, rows - max(rows // 20, 2), ORIGINS).astype(int))


def errors_of(past: np.ndarray, origins, found: list[np.ndarray]) -> np.ndarray:
    """Of each system, the mean sMAPE over origins; `found`: from each of them, `(system, step, channel)`."""
    of = lambda i: [smape(past[i, o : o + ys.shape[1]], ys[i]) for o, ys in zip(origins, found, strict=True)]
    return np.array([np.mean(of(i)) for i in range(len(past))])


def standardised(past: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """And the centre and spread of each channel."""
    centre, spread = past.mean(axis=1, keepdims=True), past.std(axis=1, keepdims=True) + 1e-300
    return (past - centre) / spread, centre, spread


def speeds(scaled: np.ndarray) -> np.ndarray:
    """How long a step is in the unit of time in which each system moves at speed one."""
    return np.sqrt(np.mean(np.diff(scaled, axis=1) ** 2, axis=(1, 2)))


def as_series(ys: Float[Array, "time channel"], dt=1.0) -> ct.Series:
    return ct.Series(dt * jnp.arange(ys.shape[0], dtype=ys.dtype), ys, jnp.ones(ys.shape, bool))
