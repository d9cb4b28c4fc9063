"""The time-dependent Ornstein-Uhlenbeck process of Kidger et al. (2021), and who makes paths like it."""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
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


class Field(eqx.Module):
    """tanh(MLP(y, t)), in whatever shape."""

    mlp: eqx.nn.MLP
    shape: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, shape, width, key):
        self.mlp = eqx.nn.MLP(1 + shape[0], int(np.prod(shape)), width, 1, ct.fields.lipswish, jnp.tanh, key=key)
        self.shape = shape

    def __call__(self, t, y, args):
        return self.mlp(jnp.append(y, t)).reshape(self.shape)


def generator(key, state: int = 16, noise: int = 3, width: int = 16) -> ct.NeuralSDE:
    """Stratonovich, of general noise; one step of reversible Heun a sample."""
    of_drift, of_diffusion, of_start, of_readout = jax.random.split(key, 4)
    drift, diffusion = Field((state,), width, of_drift), Field((state, noise), width, of_diffusion)
    return ct.NeuralSDE(
        ct.fields.SDE(drift, diffusion, noise="general", interpretation="stratonovich"),
        channels=1,
        augment=state - 1,
        integrate=ct.Integrate(diffrax.ReversibleHeun(), ct.Substeps(1)),
        readout=eqx.nn.Linear(state, 1, key=of_readout),
        initial=eqx.nn.MLP(5, state, width, 1, ct.fields.lipswish, key=of_start),
    )


def critic(key, hidden: int = 16, width: int = 16) -> ct.NeuralCDE:
    """All of whose activations have a slope of one at most. It takes Euler's steps along the data: with one channel a
    solution in Stratonovich's sense is a continuous function of the path, and sees less of how rough it is."""
    of_start, of_field, of_readout, key = jax.random.split(key, 4)
    model = ct.NeuralCDE(1, hidden, 1, intensity=False, width=width, key=key)
    start = eqx.nn.MLP(2, hidden, width, 1, ct.fields.lipswish, key=of_start)
    field = ct.fields.MatrixField(hidden, 2, width=width, activation=ct.fields.lipswish, key=of_field)
    readout = eqx.nn.Linear(hidden, 1, use_bias=False, key=of_readout)  # of a bias nothing is left in a difference
    return eqx.tree_at(lambda model: (model.initial, model.field, model.readout), model, (start, field, readout))


def draw(model: ct.NeuralSDE, ts, number: int, seed: int) -> np.ndarray:
    return np.asarray(_draw(model, ts, jax.random.split(jax.random.key(seed), number)))


_draw: Callable = eqx.filter_jit(lambda model, ts, keys: jax.vmap(lambda key: model(None, ts, key=key).ys)(keys))


def increments(train: ct.Series, number: int, seed: int) -> np.ndarray:
    """The baseline: normal, independent increments, of each step the mean and deviation of those that were observed."""
    ys, rng = train.to_nan()[..., 0], np.random.default_rng(seed)
    steps = np.concatenate([ys[:, :1], np.diff(ys, axis=1)], axis=1)
    mean, deviation = np.nanmean(steps, axis=0), np.nanstd(steps, axis=0)
    return np.cumsum(mean + deviation * rng.normal(size=(number, len(mean))), axis=1)[..., None]
