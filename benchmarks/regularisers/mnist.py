"""Digits by a neural ODE, regularised (Pal et al. 2021, section 4.1; Pal et al. 2023, section 4.1).

The paper's model: dz/dt = tanh(W2 [tanh(W1 [z; t]); t]) of all 784 pixels from 0 to 1, 100 units between, and a linear
classifier of z(1). Tsit5, one step for the batch of 512 (as the papers have it), float32, rtol = atol = 1e-5 (theirs:
1.4e-8 in float64). Adam 1e-3 as in 2023 (momentum in 2021). Weights of the regularisers as in their released code:
100 to 10 for the error, falling exponentially over training. A local step is as long as the solver's there, and has the
weight of the error (in the code: as long as a first step, and 2.5 to 1; the error of that is rounding in float32).

`nfe`: evaluations of a batch of the test set, mean; `predict_s`: seconds for such a batch, median; `train_s`: of the
steps, compilation not counted; `test_accuracy` in percent. The papers' numbers, for comparison (nfe, accuracy):
vanilla 253, 97.94; error 177, 97.32 (2021, 75 epochs); vanilla 304, 97.61; local unbiased 188, 97.53, biased 183, 97.49
(2023, 64 epochs).
"""

import gzip
import statistics
import time
from pathlib import Path

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks._reproduction import main, punished, ratio

# Name -> what is measured and punished, and its weight at the beginning and at the end.
METHODS = {
    "vanilla": None,
    "error": (ct.measures.scaled_error, 100.0, 10.0),
    "stiffness": (ct.measures.largest_eigenvalue, 0.1, 0.1),
    "local_biased": (ct.measures.local_measure("biased"), 100.0, 10.0),
    "local_unbiased": (ct.measures.local_measure("unbiased"), 100.0, 10.0),
}
BATCH, TOLERANCE, STEPS = 512, 1e-5, 1500


class WithTime(eqx.Module):
    """tanh(W [z; t] + b), with the column of t apart: nothing has to be put together."""

    linear: eqx.nn.Linear
    of_time: jax.Array

    @classmethod
    def made(cls, inputs: int, outputs: int, key) -> "WithTime":
        whole = eqx.nn.Linear(inputs + 1, outputs, key=key)
        linear = eqx.nn.Linear(inputs, outputs, key=key)
        weights = lambda linear: (linear.weight, linear.bias)
        return cls(eqx.tree_at(weights, linear, (whole.weight[:, :-1], whole.bias)), whole.weight[:, -1])

    def __call__(self, t, z):
        return jnp.tanh(self.linear(z) + t.astype(z.dtype) * self.of_time)


class Field(eqx.Module):
    inner: WithTime
    outer: WithTime

    @classmethod
    def made(cls, pixels: int, width: int, key) -> "Field":
        a, b = jax.random.split(key)
        return cls(WithTime.made(pixels, width, a), WithTime.made(width, pixels, b))

    def __call__(self, t, z, args):
        return self.outer(t, self.inner(t, z))


class Classifier(eqx.Module):
    """An image in, logits out."""

    field: Field
    classifier: eqx.nn.Linear
    integrate: ct.Integrate

    def __call__(self, image, ts=None, *, key=None) -> ct.Output:
        ts = jnp.array([0.0, 1.0]) if ts is None else ts
        zs, stats = self.integrate(self.field, ts, image, key=key)
        return ct.Output(self.classifier(zs[-1]), stats, zs)


def model(pixels: int, width: int, measures: tuple, key) -> Classifier:
    a, b = jax.random.split(key)
    controller = diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE)
    integrate = ct.Integrate(
        diffrax.Tsit5(), controller, measures=measures, batching="shared", max_steps=256, adjoint=ct.DiscreteAdjoint(16)
    )
    return Classifier(Field.made(pixels, width, a), eqx.nn.Linear(pixels, 10, key=b), integrate)


def cross_entropy(model, example, key):
    image, label = example
    out = model(image, key=key)
    return optax.softmax_cross_entropy_with_integer_labels(out.ys, label), jnp.ones(()), out


def one(method: str, seed: int, data, quick: bool) -> dict:
    (images, labels), (test_images, test_labels) = data
    steps, batch, width = (40, 64, 16) if quick else (STEPS, BATCH, 100)
    measures, terms = punished(METHODS[method], steps)
    step = ct.make_step(ct.objective(cross_entropy, terms), optax.adam(3e-2 if quick else 1e-3))
    start = model(images.shape[1], width, measures, jax.random.key(seed))
    state = step.init(start, key=jax.random.key(seed + 1))
    rng, order, train_s = np.random.default_rng(seed), np.empty(0, int), 0.0
    for n in range(steps):
        if len(order) < batch:
            order = rng.permutation(len(images))
        rows, order = order[:batch], order[batch:]
        begun = time.perf_counter()
        state, metrics = step(state, (jnp.asarray(images[rows]), jnp.asarray(labels[rows])))
        jax.block_until_ready(state)
        train_s += (time.perf_counter() - begun) if n else 0.0  # the first compiles
        if not quick and n % 250 == 249:
            print(
                f"  {method} {n + 1}: loss {metrics['loss']:.4f}, evaluations {metrics['evaluations']:.0f}", flush=True
            )
    plain = eqx.tree_at(lambda m: m.integrate, state.model, model(1, 1, (), jax.random.key(0)).integrate)
    return {"train_s": train_s, **tested(plain, test_images, test_labels, batch)}


def tested(model: Classifier, images, labels, batch: int) -> dict:
    predict = eqx.filter_jit(eqx.filter_vmap(lambda image: model(image)))
    right, nfe, seconds = 0, [], []
    for first in range(0, len(images) - batch + 1, batch):
        rows = jnp.asarray(images[first : first + batch])
        for _ in range(2):  # the first of all compiles
            begun = time.perf_counter()
            out = jax.block_until_ready(predict(rows))
            seconds.append(time.perf_counter() - begun)
        out.stats.check()
        right += int(np.sum(np.argmax(out.ys, axis=1) == labels[first : first + batch]))
        nfe.append(int(out.stats.evaluations[0]))
    return {
        "nfe": statistics.fmean(nfe),
        "predict_s": statistics.median(seconds),
        "test_accuracy": 100 * right / (batch * len(nfe)),
    }


def load(folder: Path):
    def read(name: str, header: int) -> np.ndarray:
        return np.frombuffer(gzip.decompress((folder / name).read_bytes()), np.uint8, offset=header)

    def part(name: str):
        images = read(f"{name}-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32) / 255
        return images, read(f"{name}-labels-idx1-ubyte.gz", 8).astype(np.int32)

    return part("train"), part("t10k")


def toy():
    """Digits of 16 pixels: a pattern for each, and noise."""
    rng = np.random.default_rng(0)
    patterns = rng.random((10, 16))

    def part(n: int):
        labels = rng.integers(0, 10, n)
        return (patterns[labels] + 0.3 * rng.normal(size=(n, 16))).astype(np.float32), labels.astype(np.int32)

    return part(512), part(128)


def compared(methods: dict[str, dict]) -> dict:
    over = lambda what: {m: ratio(methods, m, "vanilla", what) for m in methods if m != "vanilla"}
    return {
        "test_accuracy": {m: row["test_accuracy"] for m, row in methods.items()},
        "nfe_over_vanilla": over("nfe"),
        "predict_over_vanilla": over("predict_s"),
        "train_over_vanilla": over("train_s"),
    }


if __name__ == "__main__":
    main("regularisers.mnist", one, list(METHODS), compared, load=load, toy=toy)
