"""The smallest model and data that train, shared by the tests of training."""

import dataclasses
import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from ctmodels.metrics import Score


@functools.cache
def model(key=0):
    with jax.ensure_compile_time_eval():  # kept, wherever it is asked for first
        field = ct.fields.MLPField(2, width=4, depth=1, key=jax.random.key(key))
    return ct.NeuralODE(field, 2, 0, ct.Integrate(diffrax.Heun(), ct.Substeps(1)))  # of two stages: compiled soon


def series(n=16):
    ts = 0.2 * np.arange(n)
    return ct.Series.from_nan(ts, np.stack([np.cos(ts), -np.sin(ts)], axis=1))


def windows(length=4):
    s = series()
    return ct.Windows(s, length, starts=s.ys)


taken = eqx.filter_jit(lambda data, index: data[index])  # in one program


@functools.cache
def first(n):
    """The first windows, as a batch."""
    with jax.ensure_compile_time_eval():
        return taken(windows(), np.arange(n))


def scores(**values) -> dict[str, Score]:
    """Of these values, and nothing else to say of them."""
    return {name: Score(value, name, "") for name, value in values.items()}


def on_a_grid(problem, key):
    """A neural ODE for the main job that is compiled soon: of one layer, and two stages on a fixed grid."""
    field = ct.fields.MLPField(problem.channels, width=32, depth=1, key=key)
    return ct.NeuralODE(field, problem.channels, 0, ct.Integrate(diffrax.Heun(), ct.Substeps(1)))


@functools.cache
def compiled_once():
    """A step that tests share where its compilation is not their matter."""
    return step_and_state()[0]


def step_and_state(**kwargs):
    step = ct.make_step(ct.objective(ct.losses.squared), optax.adam(1e-2), **kwargs)
    return step, step.init(model(), key=jax.random.key(1))


def equal(a, b):
    return all(np.array_equal(x, y) for x, y in zip(*map(arrays, (a, b)), strict=True))


def arrays(tree):
    keyless = jax.tree.map(
        lambda x: jax.random.key_data(x) if eqx.is_array(x) and jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x,
        tree,
    )
    return jax.tree.leaves(eqx.filter(keyless, eqx.is_array))


class Fragile(eqx.Module):
    """A model in closed form whose solve fails where a start is beyond 2: with NaN, or finite if told to hold."""

    slopes: jax.Array
    integrate: ct.Integrate

    def __init__(self):
        self.slopes = jnp.array([[0.1, -0.5], [0.4, 0.2]])
        self.integrate = ct.Integrate(diffrax.Heun(), ct.Substeps(1))

    def __call__(self, x, ts, *, key=None):
        lost = x.y0[0] > 2
        ys = x.y0[None] + jnp.outer(ts, jnp.tanh(self.slopes @ x.y0))
        ys = jnp.where(lost & (self.integrate.failed == "nan"), jnp.nan, ys)
        _, stats = self.integrate(lambda t, y, args: 0 * y, ts[:2], x.y0)
        stats = eqx.tree_at(lambda s: s.status, stats, jnp.where(lost, 1, 0))
        unmeasured = jax.lax.stop_gradient(jnp.where(lost, jnp.nan, 0))
        stats = dataclasses.replace(stats, measures={"work": jnp.sum(ys**2) + unmeasured})
        return ct.Output(ys, stats, ys)
