"""How near a free run comes to a recording: the numbers of Hess et al. (2023), and what two parts of the truth have."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.chaos._data import System
from ctmodels import metrics

BINS, WIDEN, ALPHA = 30, 0.1, 1e-5
AHEAD, EVERY = 20, 5  # steps that are foretold, and from every which row on


class Learned(NamedTuple):
    """What a method made of a recording: `continued(rows, steps)` are the rows that follow `(warm, channel)` ones, a
    pure function of one sample; `facts`: more to tell, name -> number."""

    continued: Callable
    warm: int = 1
    facts: dict = {}


def d_stsp(true: np.ndarray, generated: np.ndarray, key=None) -> float:
    """By a grid below six channels, by mixtures above; as [`ctmodels.metrics.d_stsp`][], which goes over to mixtures
    above three, as its grid has a number for each cell, and this one but for those that are not empty."""
    if true.shape[1] > 5:
        key = jax.random.key(0) if key is None else key
        return float(jax.jit(metrics.d_stsp_gmm)(jnp.asarray(true), jnp.asarray(generated), key=key))
    if not np.isfinite(generated).all():
        return float("inf")
    margin = WIDEN * true.std(axis=0)
    low, high = true.min(axis=0) - margin, true.max(axis=0) + margin
    p, q = (_cells(points, low, high) for points in (true, generated))
    return float("inf") if not q else _divergence(p, q, BINS ** true.shape[1])


def _cells(points, low, high) -> dict[int, int]:
    """How many points each cell has that has any."""
    inside = points[((points >= low) & (points <= high)).all(axis=1)]
    index = np.minimum(np.floor((inside - low) / (high - low) * BINS), BINS - 1).astype(np.int64)
    cells, counts = np.unique(index @ BINS ** np.arange(points.shape[1]), return_counts=True)
    return dict(zip(cells.tolist(), counts.tolist(), strict=True))


def _divergence(p: dict[int, int], q: dict[int, int], cells: int) -> float:
    """Smoothed, over all cells, of which most are empty in both."""
    of_p, of_q = (sum(counts.values()) + ALPHA * cells for counts in (p, q))
    either = sorted(p.keys() | q.keys())
    share = lambda counts, total: (np.array([counts.get(cell, 0) for cell in either]) + ALPHA) / total
    ps, qs = share(p, of_p), share(q, of_q)
    empty = (cells - len(either)) * ALPHA / of_p * np.log(of_q / of_p)
    return float(np.sum(ps * np.log(ps / qs)) + empty)


def d_h(true: np.ndarray, generated: np.ndarray) -> float:
    return float(jax.jit(metrics.d_hellinger)(jnp.asarray(true), jnp.asarray(generated)))


def free_run(learned: Learned, rows: np.ndarray, steps: int) -> np.ndarray:
    """After the first rows; a quarter more is run before, and forgotten."""
    start, forgotten = jnp.asarray(rows[: learned.warm]), steps // 4
    run = jax.jit(learned.continued, static_argnums=1)(start, forgotten + steps)
    return np.asarray(run)[forgotten:]


def prediction_error(learned: Learned, rows: np.ndarray) -> float:
    """Mean square error so many steps ahead."""
    at = np.arange(learned.warm, len(rows) - AHEAD, EVERY)
    starts = np.stack([rows[i - learned.warm : i] for i in at])
    last = jax.jit(jax.vmap(lambda start: learned.continued(start, AHEAD)[-1]))
    return float(np.mean((np.asarray(last(jnp.asarray(starts))) - rows[at + AHEAD - 1]) ** 2))


def scores(learned: Learned, system: System) -> dict[str, float]:
    generated = free_run(learned, system.test, len(system.test))
    return {
        "d_stsp": d_stsp(system.test, generated),
        "d_h": d_h(system.test, generated),
        "prediction_error": prediction_error(learned, system.test),
    }


def floors(system: System) -> dict[str, float]:
    """What was learned from against the test, as much of both; where they are the same, two halves of it."""
    true, other = system.test, system.train
    if true is other:
        true, other = true[: len(true) // 2], true[len(true) // 2 :]
    n = min(len(true), len(other))
    return {"floor_d_stsp": d_stsp(true, other), "floor_d_h": d_h(true[:n], other[:n])}
