"""How they are trained: on spikes alone, of which some are dropped from what is read and predicted instead."""

import functools
import time
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks._timing import contest
from benchmarks.langevin._data import Split, series
from benchmarks.langevin._models import Learner

KEEP, SAMPLES = 0.7, 32


class Trained(NamedTuple):
    model: eqx.Module
    seconds: float
    curve: list  # (step, bits of the judges' held-out spikes, R2 of their rates)


def step_of(learner: Learner, entries: int, steps: int, peak: float):
    """By the evidence bound, per entry; its divergence is weighed from none to all in the first fifth."""
    warm = optax.linear_schedule(0.0, 1.0 / entries, steps // 5 + 1)
    regularisers = {"kl": (warm, ct.regularisers.kl)} if learner.bound else {}
    rate = optax.warmup_cosine_decay_schedule(0.0, peak, steps // 20 + 1, steps)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1e-3))
    return ct.make_step(ct.objective(learner.loss, regularisers, ct.transforms.coordinated_dropout(KEEP)), optimiser)


def step_ratio(ours: Learner, other: Learner, data: Split, batch: int, quick: bool) -> float:
    """Of the times of a training step, in turns."""
    counts, taken = series(data.train.counts[:batch]), {}
    for name, learner in (("ours", ours), ("other", other)):
        step = step_of(learner, counts.ys[0].size, 100, 1e-3)
        held = [step.init(learner.model, key=jax.random.key(0))]

        def move(step=step, held=held):
            held[0], metrics = step(held[0], ct.Example(counts, counts))
            jax.block_until_ready(metrics)

        taken[name] = move
    seconds = contest(taken, 0.0 if quick else 20.0)
    return seconds["ours"] / seconds["other"]


def train(
    learner: Learner, data: Split, judge, *, steps: int, batch: int, peak: float, every: int, seed: int
) -> Trained:
    counts = series(data.train.counts)
    step = step_of(learner, counts.ys[0].size, steps, peak)
    state, curve, begun = step.init(learner.model, key=jax.random.key(seed + 1)), [], time.monotonic()

    def validate(model, _):
        bits, r2 = judge(model)
        curve.append((round(bits, 4), round(r2, 4)))
        return -bits

    told = dict(steps=steps, batch_size=batch, validate=validate, every=every, seed=seed, progress=False)
    fitted = ct.fit(step, state, ct.ArrayDataset(ct.Example(counts, counts)), **told)
    return Trained(fitted.model, time.monotonic() - begun, curve)


@functools.partial(eqx.filter_jit)
def _mean_rates(model, rates, xs: ct.Series, key, samples: int):
    one = lambda x, key: rates(model(x, key=key))
    many = lambda x, key: jnp.mean(jax.vmap(one, (None, 0))(x, jax.random.split(key, samples)), axis=0)
    return jax.vmap(many)(xs, jax.random.split(key, xs.ts.shape[0]))


@eqx.filter_jit
def latents(model, xs: ct.Series):
    return jax.vmap(lambda x: model(x).latents)(xs)


def mean_rates(learner: Learner, model, counts: np.ndarray, samples: int = SAMPLES) -> np.ndarray:
    """The mean over samples of the posterior."""
    parts = [counts[i : i + 40] for i in range(0, len(counts), 40)]
    each = [_mean_rates(model, learner.rates, series(part), jax.random.key(0), samples) for part in parts]
    return np.concatenate([np.asarray(x) for x in each])
