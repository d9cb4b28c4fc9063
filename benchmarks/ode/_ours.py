"""`benchmarks.ode`: the problem that all are given, our training step, and how steps are timed."""

from collections.abc import Callable
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

METHOD = diffrax.Dopri5()
SAVES, MAX_STEPS, BUFFER = 16, 64, 64
GAINS = 2.5, 2.5, 8.0  # of the layers' weights: the solver then takes some 10 to 40 steps
RATE = 1e-7  # Adam's: the weights, and with them the work, stay as they are while they are timed
OPTIMISER = optax.adam(RATE)
MEASURES = ct.measures.local_error, ct.measures.stiffness


class Setting(NamedTuple):
    name: str
    channels: int
    batch: int
    tol: float
    width: int = 64


class Problem:
    """A setting's weights, initial states and targets, as NumPy arrays for whatever library."""

    def __init__(self, setting: Setting, saves: int = SAVES):
        rng = np.random.default_rng(0)
        normal = lambda *shape: rng.normal(size=shape).astype(np.float32)
        sizes = [setting.channels, setting.width, setting.width, setting.channels]
        self.setting = setting
        self.weights = [
            normal(n, m) * np.float32(gain / m**0.5) for m, n, gain in zip(sizes, sizes[1:], GAINS, strict=False)
        ]
        self.biases = [np.float32(0.1) * normal(n) for n in sizes[1:]]
        self.y0 = normal(setting.batch, setting.channels)
        self.targets = normal(setting.batch, saves, setting.channels)
        self.ts = np.linspace(0, 1, saves, dtype=np.float32)

    def field(self) -> ct.fields.MLPField:
        s = self.setting
        field = ct.fields.MLPField(s.channels, width=s.width, depth=2, activation=jnp.tanh, key=jax.random.key(0))
        layers = lambda field: [x for layer in field.mlp.layers for x in (layer.weight, layer.bias)]
        ours = [jnp.asarray(x) for pair in zip(self.weights, self.biases, strict=True) for x in pair]
        return eqx.tree_at(layers, field, ours)

    def controller(self, **options) -> diffrax.PIDController:
        return diffrax.PIDController(rtol=self.setting.tol, atol=self.setting.tol, **options)

    def model(self, batching: str, **options) -> ct.NeuralODE:
        settings = dict(
            max_steps=MAX_STEPS, adjoint=ct.DiscreteAdjoint(buffer=BUFFER), measures=MEASURES, batching=batching
        )
        integrate = ct.Integrate(METHOD, **{"controller": self.controller(), **settings, **options})
        return ct.NeuralODE(self.field(), self.setting.channels, integrate=integrate)


def squared_at(ts) -> Callable:
    """`ct.losses.squared` of examples (x, ys) that have their times in common."""
    ts = jnp.asarray(ts)

    def loss(model, example, key):
        x, ys = example
        target = ct.Series(ts, ys, jnp.ones(ys.shape, bool))
        return ct.losses.squared(model, ct.Example(x, target), key)

    return loss


def training(problem: Problem, batching: str, **options) -> Callable[[], float]:
    """Our training step, on examples with common times; it returns the loss."""
    batch = jnp.asarray(problem.y0), jnp.asarray(problem.targets)
    return _training(squared_at(problem.ts), problem.model(batching, **options), batch)


def training_with_own_clocks(problem: Problem, batching: str) -> Callable[[], float]:
    """The same, each example with times of its own (though they are equal)."""
    ts = jnp.broadcast_to(jnp.asarray(problem.ts), problem.targets.shape[:2])
    target = ct.Series(ts, jnp.asarray(problem.targets), jnp.ones(problem.targets.shape, bool))
    return _training(ct.losses.squared, problem.model(batching), ct.Example(jnp.asarray(problem.y0), target))


def _training(loss, model, batch) -> Callable[[], float]:
    step = ct.make_step(ct.objective(loss), OPTIMISER)
    state = step.init(model, key=jax.random.key(0))

    def once():
        nonlocal state
        state, metrics = step(state, batch)
        return float(jax.block_until_ready((state, metrics))[1]["loss"])

    return once


def stats_of(problem: Problem, model: ct.NeuralODE, xs) -> ct.Stats:
    ts = jnp.asarray(problem.ts)
    stats = eqx.filter_jit(eqx.filter_vmap(lambda x: model(x, ts).stats))(xs)
    stats.check()
    return stats
