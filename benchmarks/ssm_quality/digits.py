"""Spoken digits, each by two blocks of a layer: 3000 utterances of unequal length, 13 coefficients in 6 to 92 rows.

`python -m benchmarks.ssm_quality.digits FOLDER` of `digits.npz`. By the seed 2100 utterances are trained on, 300 say
which epoch's weights are kept, and 600 are looked at once; speakers are the same in all. Coefficients are z-scored by
the training part. 64 features, the mean of the features over all rows; layers of about as many states (64), steps from
1e-2 to 1 of a row; AdamW 3e-3 (1e-3 for poles and steps, without decay) with warm-up and a cosine, dropout 0.2, 20
epochs of batches of 32. `gru` are gated recurrent units in the same blocks.

`accuracy`: percent of the 600. `seconds`: of training, compilation counted.
"""

import functools
import time
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks._reproduction import main
from benchmarks.ssm_quality._optimiser import optimiser

STEPS = (1e-2, 1.0)
LAYERS = {
    "gru": functools.partial(ct.layers.Recurrent, cell=ct.layers.GRU),
    "paragru": ct.layers.Recurrent,
    "s5": functools.partial(ct.layers.S5, modes=32, steps=STEPS),
    "s4d": functools.partial(ct.layers.S4D, modes=8, steps=STEPS),
    "lru": functools.partial(ct.layers.LRU, modes=32),
    "linoss": functools.partial(ct.layers.LinOSS, oscillators=32),
    "damped_linoss": functools.partial(ct.layers.LinOSS, oscillators=32, damped=True),
    "lssl": functools.partial(ct.layers.LSSL, state=16, steps=STEPS),
    "lmu": functools.partial(ct.layers.LMU, order=16, memories=4, window=40.0),
    "selective": functools.partial(ct.layers.Selective, modes=8, steps=STEPS),
}


class Utterances(NamedTuple):
    """A padded series of each, and what was said."""

    series: ct.Series
    labels: np.ndarray


def read(folder: Path) -> Utterances:
    with np.load(folder / "digits.npz") as saved:
        X, lengths, labels = saved["X"], saved["lengths"], saved["y"]
    return padded(np.split(X, np.cumsum(lengths)[:-1]), labels)


def toy() -> Utterances:
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=30)
    return padded([rng.normal(size=(rng.integers(3, 7), 13)) + 3 * label for label in labels], labels)


def padded(utterances: list, labels) -> Utterances:
    series = [ct.Series.from_nan(np.arange(len(x)), x, constant=True, one_of_many=True) for x in utterances]
    return Utterances(jax.device_get(ct.collate(series)), labels.astype(np.int32))


def scaled(series: ct.Series, train) -> ct.Series:
    seen = series.ys[train][series.mask[train]].reshape(-1, series.ys.shape[2])
    ys = np.where(series.mask, (series.ys - seen.mean(0)) / seen.std(0), 0)
    return ct.Series(series.ts, ys.astype(np.float32), series.mask)


def taken(data: Utterances, at) -> ct.Example:
    return jax.tree.map(lambda a: jnp.asarray(a[at]), ct.Example(data.series, data.labels))


@eqx.filter_jit
def right(model, data: ct.Example):
    score = lambda example: jnp.argmax(model(example.x, example.x.end).ys[0]) == example.target
    return 100 * jnp.mean(jax.vmap(score)(data))


def one(method: str, seed: int, data: Utterances, quick: bool) -> dict:
    sizes, epochs, features = ((20, 5), 2, 4) if quick else ((2100, 300), 20, 64)
    order = np.random.default_rng(seed).permutation(len(data.labels))
    train, judges, test = np.split(order, np.cumsum(sizes))
    data = Utterances(scaled(data.series, train), data.labels)
    batch = min(32, len(train) // 2)
    steps = epochs * (len(train) // batch)
    model = ct.StateSpace(
        13, 10, layer=LAYERS[method], features=features, depth=2, dropout=0.2, pooled=True, key=jax.random.key(seed)
    )
    step = ct.make_step(
        ct.objective(ct.losses.cross_entropy), optax.chain(optax.clip_by_global_norm(1.0), optimiser(steps, 3e-3))
    )
    state = step.init(model, key=jax.random.key(seed + 1))
    begun = time.monotonic()
    found = ct.fit(
        step,
        state,
        ct.ArrayDataset(taken(data, train)),
        steps=steps,
        batch_size=batch,
        validate=lambda model, _: 100 - right(model, taken(data, judges)),
        every=steps // epochs,
        progress=False,
    )
    seconds = time.monotonic() - begun
    score = lambda at: float(right(found.model, taken(data, at)))
    return {"accuracy": score(test), "validation": score(judges), "seconds": seconds}


def compared(methods: dict[str, dict]) -> dict:
    return {f"digits_{name}": found["accuracy"] for name, found in methods.items()}


if __name__ == "__main__":
    main("ssm_quality.digits", one, list(LAYERS), compared, load=read, toy=toy)
