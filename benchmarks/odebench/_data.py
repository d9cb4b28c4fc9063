"""What is seen of ODEBench's systems: the orbit from the first start, with noise or without, all points or half."""

import functools
from typing import NamedTuple

import diffrax
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct

CONDITIONS = {"clean": (0.0, 1.0), "noisy": (0.05, 1.0), "half": (0.0, 0.5), "noisy_half": (0.05, 0.5)}


class Seen(NamedTuple):
    """Of one system: its number, the points seen, and its orbits from both starts, at `ts`, `(start, time, state)`."""

    id: int
    series: ct.Series
    ts: np.ndarray
    orbits: np.ndarray


@functools.cache
def orbits(id: int) -> np.ndarray:
    """To twelve digits or so."""
    system = ct.systems.odebench[id]
    controller = diffrax.PIDController(rtol=1e-10, atol=1e-12)
    solve = ct.Integrate(diffrax.Kvaerno5(), controller, max_steps=100_000)
    ys, stats = jax.vmap(lambda y0: solve(system.field, jnp.asarray(system.ts), y0))(jnp.asarray(system.starts))
    stats.check()
    return np.asarray(ys)


def seen(id: int, condition: str, seed: int, every: int = 1) -> Seen:
    """Each value times one plus noise; points are dropped at random, the first and the last being kept."""
    noise, share = CONDITIONS[condition]
    rng = np.random.default_rng((id, seed, list(CONDITIONS).index(condition)))
    ts, whole = ct.systems.odebench[id].ts, orbits(id)
    kept = np.sort(rng.permutation(np.arange(1, len(ts) - 1))[: round(share * len(ts)) - 2])
    kept = np.concatenate([[0], kept, [len(ts) - 1]])[::every]
    ys = whole[0, kept] * (1 + noise * rng.normal(size=whole[0, kept].shape))
    series = ct.Series(jnp.asarray(ts[kept]), jnp.asarray(ys), jnp.ones(ys.shape, bool))
    return Seen(id, series, ts, whole)


def r2(true: np.ndarray, found: np.ndarray) -> float:
    """The mean over components; one that rests has to be met to a thousandth of its size."""
    if not np.all(np.isfinite(found)):
        return -np.inf
    spread = true.var(axis=0)
    least = (1e-3 * np.abs(true).max(axis=0)) ** 2
    return float(np.mean(1 - np.mean((true - found) ** 2, axis=0) / np.maximum(spread, least + 1e-300)))
