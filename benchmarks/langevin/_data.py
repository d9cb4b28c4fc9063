"""Spike counts of which the rates are known: trials of a Lorenz system's, from a file, and of a chaotic network's.

A trial has `BINS` bins of `WIDTH` seconds; times are in tenths of a second, as the models see them.
"""

from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

import ctmodels as ct

BINS, WIDTH, UNIT = 100, 0.01, 0.1


class Trials(NamedTuple):
    """`counts`, `rates` (in spikes a bin) `(trial, bin, neuron)`; `states` `(trial, bin, state)` of what drives them;
    `conditions` `(trial,)`, which trials have one start."""

    counts: np.ndarray
    rates: np.ndarray
    states: np.ndarray
    conditions: np.ndarray

    def __getitem__(self, at) -> "Trials":
        return Trials(*(a[at] for a in self))


class Split(NamedTuple):
    """`judges` choose, by their spikes; `test` is looked at once."""

    train: Trials
    judges: Trials
    test: Trials


def of_file(path: Path) -> Split:
    """The Lorenz system of the LFADS tutorial: 640 trials and 160 more; the last eighth of the former are judges."""
    import h5py

    with h5py.File(path) as file:
        trials = lambda part: Trials(
            file[f"{part}_data"][:],
            WIDTH * file[f"{part}_truth"][:],
            file[f"{part}_lowd"][:],
            file[f"{part}_inds"][:] // int(file["n_trials_per_init_cond"][0]),
        )
        every, test = trials("train"), trials("valid")
    return split(every, test)


def split(every: Trials, test: Trials) -> Split:
    judges = np.arange(len(every.counts)) % 8 == 7
    return Split(every[~judges], every[judges], test)


def of_network(
    conditions: int = 20, trials: int = 40, neurons: int = 60, bins: int = BINS, *, gain: float = 1.8, seed: int = 0
) -> Split:
    r"""A chaotic network, $\tau \dot u = -u + g J \tanh(u)$, of 100 units of which some are read:
    $\lambda = \exp(a + b\,\tanh(u))$ with a mean of 2 Hz. The states are the first six principal components of its
    rates. Sussillo et al. (2016) have another of its kind."""
    rng, units, dt, tau = np.random.default_rng(seed), 100, 0.001, 0.025
    J = rng.normal(size=(units, units)) / np.sqrt(units)
    u = rng.normal(size=(conditions, units))
    kept = []
    for step in range(-1000, round(WIDTH / dt) * bins):
        u = u + dt / tau * (-u + gain * np.tanh(u) @ J.T)
        if step >= 0 and (step + 1) % round(WIDTH / dt) == 0:
            kept.append(np.tanh(u))
    tanh = np.stack(kept, axis=1)
    rates = np.exp(1.5 * tanh[..., rng.permutation(units)[:neurons]])
    rates = rates * (2.0 * WIDTH / rates.mean(axis=(0, 1)))
    flat = tanh.reshape(-1, units) - tanh.mean(axis=(0, 1))
    states = (flat @ np.linalg.svd(flat, full_matrices=False)[2][:6].T).reshape(conditions, bins, 6)
    which = np.repeat(np.arange(conditions), trials)
    all_of_them = Trials(rng.poisson(rates[which]).astype(np.float32), rates[which], states[which], which)
    tested = np.tile(np.arange(trials) >= 0.8 * trials, conditions)
    return split(all_of_them[~tested], all_of_them[tested])


def small() -> Split:
    """Few and short trials."""
    return of_network(conditions=4, trials=10, neurons=5, bins=12)


def series(counts: np.ndarray) -> ct.Series:
    """A batch, of times at the ends of bins."""
    ends = (WIDTH / UNIT * np.arange(1, counts.shape[1] + 1)).astype(np.float32)
    ts = np.broadcast_to(ends, counts.shape[:2])
    return ct.Series(jnp.asarray(ts), jnp.asarray(counts, jnp.float32), jnp.ones(counts.shape, bool))
