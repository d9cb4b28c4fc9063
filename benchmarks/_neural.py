"""Neural ODEs of many systems side by side: a model each, one program for all of one dimension."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

import ctmodels as ct

LONGEST = 0.25  # a step, where the data move at speed one


class Recipe(NamedTuple):
    """How to train: windows of so many samples, and of so many of these a step."""

    steps: int = 3000
    window: int = 20
    batch: int = 16
    rate: float = 1e-2
    width: int = 64


class ManyWindows(eqx.Module):
    """Windows of series of one shape, as data for an ensemble of which each member has its own."""

    ts: Float[Array, "system time"]
    ys: Float[Array, "system time channel"]
    mask: Bool[Array, "system time channel"]
    starts: Float[Array, "system time channel"]
    length: int = eqx.field(static=True)

    def __len__(self) -> int:
        return self.ts.shape[1] - self.length + 1

    def __getitem__(self, index: Int[Array, "system batch"]) -> ct.Example:
        return jax.vmap(lambda *of: jax.vmap(lambda at: self._cut(*of[:-1], at))(of[-1]))(
            self.ts, self.ys, self.mask, self.starts, index
        )

    def _cut(self, ts, ys, mask, starts, at) -> ct.Example:
        ts, ys, mask = (jax.lax.dynamic_slice_in_dim(x, at, self.length) for x in (ts, ys, mask))
        # What is given teaches nothing.
        return ct.Example(starts[at], ct.Series(ts - ts[0], ys, mask.at[0].set(False)))


def networks(systems: int, channels: int, recipe: Recipe, seed: int = 0) -> ct.NeuralODE:
    """As they begin, every array with a leading axis of systems."""
    integrate = ct.Integrate(ct.RK4(), ct.Substeps(1, longest=LONGEST), max_steps=4096)

    def build(key):
        return ct.NeuralODE(ct.fields.MLPField(channels, width=recipe.width, key=key), channels, 0, integrate)

    return eqx.filter_vmap(build)(jax.random.split(jax.random.key(seed), systems))


def trained(models: ct.NeuralODE, data: ManyWindows, recipe: Recipe, seed: int = 0) -> ct.NeuralODE:
    """Each on the windows of its own series."""
    rate = optax.cosine_decay_schedule(recipe.rate, recipe.steps, alpha=0.01)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    horizon = optax.linear_schedule(recipe.window / 4, recipe.window, recipe.steps // 4 + 1)
    step = ct.make_step(
        ct.objective(ct.losses.squared, transform=ct.growing_horizon(horizon), failed="drop"), optimiser, ensemble=True
    )
    state = step.init(models, key=jax.random.key(seed + 1))
    return ct.fit(step, state, data, steps=recipe.steps, batch_size=recipe.batch, seed=seed, progress=False).model


@eqx.filter_jit
def solved(models: ct.NeuralODE, starts: Float[Array, "system channel"], ts: Float[Array, "system time"]) -> Array:
    """`(system, time, channel)` from these starts, at `ts[:, 0]`."""
    return eqx.filter_vmap(lambda model, y0, ts: model(y0, ts).ys)(models, starts, ts)


def on_the_host(models: ct.NeuralODE, starts: np.ndarray, ts: np.ndarray) -> np.ndarray:
    return np.asarray(solved(models, jnp.asarray(starts), jnp.asarray(ts)))
