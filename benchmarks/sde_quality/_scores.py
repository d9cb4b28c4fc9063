"""Scores of a set of generated paths against observed ones, both with the same gaps.

After Kidger, Foster, Li, Oberhauser, Lyons, "Neural SDEs as infinite-dimensional GANs" (2021): whether a classifier
tells them apart, and whether a forecaster that learned from generated paths forecasts observed ones.
"""

import functools
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

SEEN = 0.8  # the part of a path that a forecaster reads


class Size(NamedTuple):
    """Of the models that score, and of their training."""

    hidden: int = 16
    width: int = 32
    steps: int = 300
    batch: int = 128


def scores(train: ct.Series, test: ct.Series, generated: np.ndarray, size: Size, seed: int) -> dict[str, float]:
    """`generated`: paths without gaps, as many as train and test have; the first take the gaps of `train`, the others
    those of `test`, as the models that score learn from the former and are asked about the latter."""
    n, ts = len(train.ts), test.ts[0]
    first, last = with_gaps_of(train, generated[:n]), with_gaps_of(test, generated[n:])
    masks = dict(mask_x=test.mask, mask_y=test.mask)
    variation = ct.metrics.quadratic_variation_ratio(test.ys, last.ys, test.mask, test.mask)
    return {
        "accuracy": accuracy(train, first, test, last, size, seed),
        "prediction": prediction(first, test, size, seed),
        "mmd": float(ct.losses.truncated_signature_mmd(test.ys, last.ys, 4, ts=ts, scale=0.5, **masks)),
        "variation": float(variation[0]),
        **marginals(test, last),
    }


def with_gaps_of(series: ct.Series, ys: np.ndarray) -> ct.Series:
    return ct.Series(series.ts, jnp.where(series.mask, jnp.asarray(ys, series.ys.dtype), 0), series.mask)


def marginals(real: ct.Series, fake: ct.Series) -> dict[str, float]:
    """`mean_off`: root mean square over time of the difference of means, in deviations of the data there;
    `deviation_ratio`: that of the data over that of generated paths, mean over time."""
    of_real, of_fake = real.to_nan()[..., 0], fake.to_nan()[..., 0]
    deviations = np.nanstd(of_real, axis=0)
    off = (np.nanmean(of_fake, axis=0) - np.nanmean(of_real, axis=0)) / deviations
    ratio = np.mean(deviations / np.nanstd(of_fake, axis=0))
    return {"mean_off": float(np.sqrt(np.mean(off**2))), "deviation_ratio": float(ratio)}


def accuracy(real: ct.Series, fake: ct.Series, test_real: ct.Series, test_fake: ct.Series, size: Size, seed) -> float:
    """Of a neural CDE that learned to tell observed paths from generated ones, on new ones of each."""
    label = lambda *sets: np.repeat(np.arange(2), [len(x.ts) for x in sets])
    xs, labels = both(real, fake), label(real, fake)
    model = ct.NeuralCDE(1, size.hidden, 2, intensity=False, width=size.width, key=jax.random.key(seed))
    model = trained(model, ct.Example(xs, jnp.asarray(labels)), ct.losses.cross_entropy, size, seed)
    said = np.asarray(jnp.argmax(_at_the_end(model, both(test_real, test_fake)), axis=1))
    return float(np.mean(said == label(test_real, test_fake)))


def prediction(learned_from: ct.Series, test: ct.Series, size: Size, seed) -> float:
    """Root mean square error of a forecast of the last fifth of observed paths, by a neural CDE that learned from
    others; in deviations of those values."""
    cut = int(SEEN * test.ts.shape[1])
    part = lambda series, rows: jax.tree.map(lambda x: x[:, rows], series)
    example = lambda series: ct.Example(part(series, slice(cut)), part(series, slice(cut, None)))
    model = ct.NeuralCDE(1, size.hidden, 1, intensity=False, width=size.width, key=jax.random.key(seed))
    model, asked = trained(model, example(learned_from), ct.losses.squared, size, seed), example(test)
    values = asked.target.to_nan()
    errors = np.asarray(_at_times(model, asked.x, asked.target.ts)) - values
    return float(np.sqrt(np.nanmean(errors**2)) / np.nanstd(values))


_at_the_end = eqx.filter_jit(lambda model, xs: jax.vmap(lambda x: model(x, x.end).ys[0])(xs))
_at_times = eqx.filter_jit(lambda model, xs, ts: jax.vmap(lambda x, ts: model(x, ts).ys)(xs, ts))


def both(a: ct.Series, b: ct.Series) -> ct.Series:
    return jax.tree.map(lambda x, y: jnp.concatenate([x, y]), a, b)


@functools.cache
def step_of(loss, steps: int):
    """One for all who are scored: it is compiled once."""
    adam = optax.adam(optax.cosine_decay_schedule(5e-3, steps))
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), adam)
    return ct.make_step(ct.objective(loss), optimiser, compiler_options=options(steps))


def options(steps: int) -> dict | None:
    """XLA's: where few steps are taken, its optimisations cost more than they save."""
    return {"xla_backend_optimization_level": 0} if steps < 50 else None


def trained(model, examples: ct.Example, loss, size: Size, seed: int):
    step = step_of(loss, size.steps)
    state = step.init(model, key=jax.random.key(seed))
    number = len(jax.tree.leaves(examples)[0])
    fitted = ct.fit(
        step,
        state,
        ct.ArrayDataset(examples),
        steps=size.steps,
        batch_size=min(size.batch, number),
        seed=seed,
        progress=False,
    )
    return fitted.model
