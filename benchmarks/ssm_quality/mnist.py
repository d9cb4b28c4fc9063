"""Digits pixel by pixel, in order (`..._s`) and in a fixed random order (`..._p`): series of 784 rows of one channel.

`python -m benchmarks.ssm_quality.mnist FOLDER` of MNIST's four files. The last 5000 training images say which epoch's
weights are kept; the test images are looked at once. Three blocks of 64 features (LSSL: its matrix fixed, 64 states;
S4D, S5: 32 modes), the mean of the features over all rows, rows equally spaced: one convolution a layer. AdamW 1e-2
(1e-3 for poles and steps, without decay) in batches of 25, with warm-up and a cosine of three epochs, of which two are
trained: that is what an hour of one core allows. After 8000 images, in batches of 50, LSSL was right of 77 % of 2000
others by 1e-2 and of 46 % by 4e-3.

`accuracy`: percent of the test images; `half_rate`: of every other row of them, with twice the spacing, without
training again (in order only). `seconds`: of training.
"""

import dataclasses
import functools
import gzip
import time
from pathlib import Path
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks._reproduction import main
from benchmarks.ssm_quality._optimiser import optimiser

LAYERS = {
    "lssl": ct.layers.LSSL,
    "s4d": functools.partial(ct.layers.S4D, modes=32),
    "s5": functools.partial(ct.layers.S5, modes=32),
}
METHODS = [f"{layer}_{order}" for layer in LAYERS for order in ("s", "p")]
EPOCHS, OF = 2, 3


class Digits(NamedTuple):
    """Pixels from 0 to 1, `(image, row)`, and labels."""

    pixels: np.ndarray
    labels: np.ndarray
    test_pixels: np.ndarray
    test_labels: np.ndarray


def read(folder: Path) -> Digits:
    def numbers(name: str, skipped: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((folder / f"{name}.gz").read_bytes()), np.uint8, offset=skipped)

    images = lambda part: numbers(f"{part}-images-idx3-ubyte", 16).reshape(-1, 784).astype(np.float32) / 255
    labels = lambda part: numbers(f"{part}-labels-idx1-ubyte", 8).astype(np.int32)
    return Digits(images("train"), labels("train"), images("t10k"), labels("t10k"))


def toy() -> Digits:
    """A bright stretch early or late."""
    rng = np.random.default_rng(0)
    labels = rng.integers(2, size=40).astype(np.int32)
    pixels = rng.uniform(size=(40, 16)).astype(np.float32)
    pixels[np.arange(40), 8 * labels] += 2
    return Digits(pixels[:30], labels[:30], pixels[30:], labels[30:])


def series(pixels, spacing: float = 1.0) -> ct.Series:
    """Z-scored, as a batch."""
    ys = jnp.asarray((pixels - 0.13) / 0.31)[..., None]
    ts = spacing * np.arange(pixels.shape[1], dtype=np.float32)
    return ct.Series(jnp.broadcast_to(jnp.asarray(ts), pixels.shape), ys, jnp.ones(ys.shape, bool))


@dataclasses.dataclass(frozen=True)
class Images:
    """Examples, made as they are drawn."""

    pixels: np.ndarray
    labels: np.ndarray

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, at):
        return ct.Example(series(self.pixels[at]), jnp.asarray(self.labels[at]))


@eqx.filter_jit
def right(model, xs: ct.Series, labels):
    answer = lambda x: jnp.argmax(model(x, x.end).ys[0])
    return jnp.sum(jax.vmap(answer)(xs) == labels)


def accuracy(model, pixels, labels, spacing: float = 1.0) -> float:
    size = min(500, len(labels))
    parts = [slice(i, i + size) for i in range(0, len(labels) // size * size, size)]
    counts = [right(model, series(pixels[at], spacing), jnp.asarray(labels[at])) for at in parts]
    return 100 * float(sum(counts)) / (len(parts) * size)


def one(method: str, seed: int, data: Digits, quick: bool) -> dict:
    layer, order = method.rsplit("_", 1)
    judges, epochs, of, batch, features, depth = (10, 1, 1, 10, 4, 1) if quick else (5000, EPOCHS, OF, 25, 64, 3)
    if order == "p":
        shuffled = np.random.default_rng(0).permutation(data.pixels.shape[1])
        data = data._replace(pixels=data.pixels[:, shuffled], test_pixels=data.test_pixels[:, shuffled])
    train, labels = data.pixels[:-judges], data.labels[:-judges]
    sizes = dict[str, Any](features=features, depth=depth, pooled=True, spacing=1.0)
    model = ct.StateSpace(1, 10, layer=LAYERS[layer], **sizes, key=jax.random.key(seed))
    epoch = len(labels) // batch
    step = ct.make_step(ct.objective(ct.losses.cross_entropy), optimiser(of * epoch, 1e-2))
    state = step.init(model, key=jax.random.key(seed + 1))
    validation_of = lambda model: accuracy(model, data.pixels[-judges:], data.labels[-judges:])
    begun = time.monotonic()
    model = ct.fit(
        step,
        state,
        Images(train, labels),
        steps=epochs * epoch,
        batch_size=batch,
        validate=lambda model, _: 100 - validation_of(model),
        every=epoch,
    ).model
    seconds, validation = time.monotonic() - begun, validation_of(model)
    half = None
    if order == "s":
        half = accuracy(model.with_spacing(2.0), data.test_pixels[:, ::2], data.test_labels, 2.0)
    test = accuracy(model, data.test_pixels, data.test_labels)
    return {"accuracy": test, "half_rate": half, "validation": validation, "seconds": seconds}


def compared(methods: dict[str, dict]) -> dict:
    return {f"accuracy_{name}": found["accuracy"] for name, found in methods.items()}


if __name__ == "__main__":
    main("ssm_quality.mnist", one, METHODS, compared, load=read, toy=toy)
