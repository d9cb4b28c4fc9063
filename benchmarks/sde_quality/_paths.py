"""The time-dependent Ornstein-Uhlenbeck process of Kidger et al. (2021), and who makes paths like it."""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct


class Data(NamedTuple):
    """Sets of paths with gaps: to learn from, to choose by, to be judged by; `again`: new ones without
    gaps, as many as a generator is asked for."""

    train: ct.Series
    validation: ct.Series
    test: ct.Series
    again: np.ndarray


def observed(rng: np.random.Generator, sizes: tuple[int, int, int], samples: int) -> Data:
    """dY = (0.02 t - 0.1 Y) dt + 0.4 (2 t / 64) dW, Y_0 uniform from -1 to 1; Euler, dt 0.1; at t = 0, 1, ...; 30 % of
    the values are missing. In deviations from the mean at each time, both those of what is learned from; a unit of time
    is ten of these."""
    train, _, test = sizes
    number = sum(sizes) + train + test
    y, ys = rng.uniform(-1, 1, number), []
    for k in range(samples):
        ys.append(y)
        for t in k + 0.1 * np.arange(10):
            y = y + 0.1 * (0.02 * t - 0.1 * y) + 0.4 * (2 * t / 64) * 0.1**0.5 * rng.normal(size=number)
    ys = np.stack(ys, axis=1)[..., None]
    seen = rng.random(ys.shape) > 0.3
    known = np.where(seen, ys, np.nan)[:train]
    ys = (ys - np.nanmean(known, axis=0)) / np.nanstd(known, axis=0)
    ts = np.broadcast_to(np.arange(samples) / 10, ys.shape[:2])
    every = ct.Series(*(jnp.asarray(x, jnp.zeros(()).dtype) for x in (ts, np.where(seen, ys, 0))), jnp.asarray(seen))
    part = lambda i, j: jax.tree.map(lambda x: x[i:j], every)
    i, j, k = np.cumsum(sizes)
    return Data(part(0, i), part(i, j), part(j, k), ys[k:])


def draw(model: ct.NeuralSDE, ts, number: int, seed: int) -> np.ndarray:
    return np.asarray(_draw(model, ts, jax.random.split(jax.random.key(seed), number)))


_draw: Callable = eqx.filter_jit(lambda model, ts, keys: jax.vmap(lambda key: model(None, ts, key=key).ys)(keys))


def increments(train: ct.Series, number: int, seed: int) -> np.ndarray:
    """The baseline: normal, independent increments, of each step the mean and deviation of those that were observed."""
    ys, rng = train.to_nan()[..., 0], np.random.default_rng(seed)
    steps = np.concatenate([ys[:, :1], np.diff(ys, axis=1)], axis=1)
    mean, deviation = np.nanmean(steps, axis=0), np.nanstd(steps, axis=0)
    return np.cumsum(mean + deviation * rng.normal(size=(number, len(mean))), axis=1)[..., None]
