"""The smallest model and data that train, shared by the tests of training."""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct


def model(key=0):
    field = ct.MLPField(2, width=4, depth=1, key=jax.random.key(key))
    return ct.NeuralODE(field, 2, 0, ct.Integrate(ct.RK4(), ct.Substeps(1)))


def series(n=16):
    ts = 0.2 * np.arange(n)
    return ct.Series.from_nan(ts, np.stack([np.cos(ts), -np.sin(ts)], axis=1))


def windows(length=4):
    s = series()
    return ct.Windows(s, length, starts=s.ys)


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
