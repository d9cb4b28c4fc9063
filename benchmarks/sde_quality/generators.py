"""Generators of paths that are trained by whole paths: an SDE-GAN, and a neural SDE trained by a distance of laws.

The data are the thesis's time-dependent Ornstein-Uhlenbeck process (`_paths.py`), 64 samples, 30 % of them missing;
2048 paths to learn from, 1024 to be judged by. The generator is that of Kidger et al. (2021): state 16, noise 3, widths
16, tanh at the end of drift and diffusion, one step of reversible Heun from sample to sample.

- `real`: new paths of the truth, which is the floor of each score.
- `increments`: the baseline: independent normal increments, with each step's mean and deviation.
- `sde_gan`: against a neural CDE, hidden 16, which reads observed and generated paths through the same gaps. Adam
  without momentum, weights clipped to 1 / outputs, the mean of the weights of the second half. The published run has
  Adadelta, batches of 1024 and 10 000 steps; here 1500 of 128.
- `signature_mmd`: by the signature kernel's distance to the batch, seen through its gaps; 300 steps of 32.
- `sde_gan_filled`: the SDE-GAN where observed paths are filled in by lines and generated ones are whole, as in the code
  that was published.

`accuracy`: of a classifier between observed and generated paths, on new ones: 0.5 is best. `prediction`: error of a
forecast of the last fifth of observed paths by a model that learned from generated ones, in deviations. `mmd`: of
signatures to depth 4 of (t, Y / 2), t from 0 to 1. `variation`: quadratic variation of observed paths over that of
generated ones, both with gaps: 1 is right. `mean_off`, `deviation_ratio`: of the marginals (`_scores.py`).
Rates of the GAN were chosen with other data, of seed 9, by `mmd` and `variation` of paths to choose by; its
number of steps after one row of seed 0's test paths had been seen; those of `signature_mmd` after one short look.
"""

import functools
import time
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks._reproduction import main
from benchmarks.sde_quality._paths import draw, increments, observed
from benchmarks.sde_quality._scores import Size, options, scores
from examples.sde_gan import critic, generator


class Training(NamedTuple):
    steps: int
    batch: int
    rate: float
    of_critic: float = 0.0


STATE, NOISE, WIDTH = 16, 3, 16
GAN, MMD = Training(1500, 128, 1e-3, 5e-3), Training(300, 32, 5e-3)
TOY = Training(4, 8, 1e-3, 1e-3)


def filled(series: ct.Series) -> ct.Series:
    """Its gaps are on the lines between their neighbours."""
    whole = ct.paths.LinearPath.between(series).ys
    return ct.Series(series.ts, whole, jnp.ones(whole.shape, bool))


def signature_distance(model, batch: ct.Example, key, step):
    """An objective of the batch as a whole."""
    series = batch.target
    keys = jax.random.split(key, len(series.ts))
    ys = jax.vmap(lambda ts, key: model(None, ts, key=key).ys)(series.ts, keys)
    masks = dict(mask_x=series.mask, mask_y=series.mask)
    distance = ct.losses.signature_mmd(ys, series.ys, ts=series.ts[0], scale=0.5, **masks)
    return distance, {"loss": distance}


@functools.cache
def adversarial_step(training: Training):
    adam = lambda rate: optax.adam(rate, b1=0.0, b2=0.99)
    of_each = {
        "generator": adam(training.rate),
        "critic": optax.chain(adam(training.of_critic), ct.clip_weights()),
    }
    players = optax.partition(of_each, ("generator", "critic"))
    averaged = optax.chain(players, ct.average_weights(training.steps // 2))
    return ct.make_step(ct.objective(ct.losses.adversarial), averaged, compiler_options=options(training.steps))


@functools.cache
def distance_step(training: Training):
    rate = optax.cosine_decay_schedule(training.rate, training.steps)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate))
    return ct.make_step(signature_distance, optimiser, compiler_options=options(training.steps))


def fitted(step, model, series: ct.Series, training: Training, seed: int):
    state = step.init(model, key=jax.random.key(seed))
    rows = ct.ArrayDataset(ct.Example(None, series))
    return ct.fit(step, state, rows, steps=training.steps, batch_size=training.batch, seed=seed, progress=False)


def sde_gan(series: ct.Series, training: Training, seed: int) -> ct.NeuralSDE:
    of_generator, of_critic = jax.random.split(jax.random.key(seed))
    players = generator(STATE, NOISE, WIDTH, of_generator), critic(STATE, WIDTH, of_critic)
    return ct.averaged(fitted(adversarial_step(training), players, series, training, seed).state)[0]


def by_distance(series: ct.Series, training: Training, seed: int) -> ct.NeuralSDE:
    return fitted(
        distance_step(training), generator(STATE, NOISE, WIDTH, jax.random.key(seed)), series, training, seed
    ).model


LEARNED = {
    "sde_gan": lambda series, quick, seed: sde_gan(series, TOY if quick else GAN, seed),
    "signature_mmd": lambda series, quick, seed: by_distance(series, TOY if quick else MMD, seed),
    "sde_gan_filled": lambda series, quick, seed: sde_gan(jax.vmap(filled)(series), TOY if quick else GAN, seed),
}
METHODS = ["real", "increments", *LEARNED]


def one(method: str, seed: int, data, quick: bool) -> dict:
    sizes, size = ((32, 8, 16), Size(4, 4, 4, 8)) if quick else ((2048, 512, 1024), Size())
    data = observed(np.random.default_rng(seed), sizes, 10 if quick else 64)
    begun, number = time.perf_counter(), len(data.again)
    if method == "real":
        paths = data.again
    elif method == "increments":
        paths = increments(data.train, number, seed)
    else:
        paths = draw(LEARNED[method](data.train, quick, seed), data.train.ts[0], number, seed)
    seconds = time.perf_counter() - begun
    return {**scores(data.train, data.test, paths, size, seed), "seconds": seconds}


def compared(methods: dict[str, dict]) -> dict:
    keys = "accuracy", "prediction", "mmd", "variation"
    return {method: {key: row[key] for key in keys} for method, row in methods.items()}


if __name__ == "__main__":
    main("sde_quality.generators", one, METHODS, compared)
