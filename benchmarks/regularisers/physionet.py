"""Hospital records by a latent ODE, regularised (Pal et al. 2021, section 4.2; 2023, section 4.2): interpolation.

8000 records of 37 channels and 48 hours, rounded to the hour and scaled to [0, 1], 80 in 100 of them for training. The
paper's model: a GRU of 40 units reads a record backwards; 20 latent channels; a field of four layers 20-50-20, tanh;
a linear decoder. Tsit5, one step for the batch of 512, float32, rtol = atol = 1e-5 (theirs: 1.4e-8 in float64). Adamax
0.01, 1 / (1 + 1e-5 n); a deviation of the observations of 0.01; KL annealed over epochs by 1 - 0.99^(n - 10). Weights
of the regularisers as in their released code: 1000 to 100 for the error, falling exponentially; 1 for the
stiffness, as in the paper's text (with the code's 10: 20 evaluations too, and a loss of 1.026 times vanilla's).

`nfe`: evaluations of a batch of the test set, mean; `predict_s`: its seconds, median; `train_s`: of the steps,
compilation not counted; `test_loss`: mean squared error over the observed entries, of the posterior's mean. The papers'
numbers, for comparison (nfe, loss): vanilla 733, 3.55e-3; error 287, 3.57e-3; stiffness 273, 3.58e-3.
"""

import statistics
import time

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks._physionet import Records, load
from benchmarks._reproduction import as_in_flux, main, punished, ratio

METHODS = {
    "vanilla": None,
    "error": (ct.measures.scaled_error, 1000.0, 100.0),
    "stiffness": (ct.measures.largest_eigenvalue, 1.0, 1.0),
}
BATCH, TOLERANCE, EPOCHS, DEVIATION = 512, 1e-5, 100, 0.01


class Field(eqx.Module):
    layers: list[eqx.nn.Linear]

    @classmethod
    def made(cls, latent: int, width: int, key) -> "Field":
        sizes = [(latent, width), (width, latent)] * 4
        keys = jax.random.split(key, len(sizes))
        return cls([eqx.nn.Linear(*size, key=k) for size, k in zip(sizes, keys, strict=True)])

    def __call__(self, t, z, args):
        z = jnp.tanh(z)
        for layer in self.layers:
            z = jnp.tanh(layer(z))
        return z


def model(channels: int, measures: tuple, key, hidden=40, latent=20, width=50) -> ct.LatentODE:
    a, b, c, d = jax.random.split(key, 4)
    encoder = ct.ReverseGRUEncoder(channels, hidden, key=a)
    posterior = eqx.nn.MLP(encoder.size, 2 * latent, width, 1, jnp.tanh, key=b)
    controller = diffrax.PIDController(rtol=TOLERANCE, atol=TOLERANCE)
    integrate = ct.Integrate(
        diffrax.Tsit5(),
        controller,
        measures=measures,
        batching="shared",
        max_steps=512,
        adjoint=ct.DiscreteAdjoint(128),
    )
    field, decoder = Field.made(latent, width, c), eqx.nn.Linear(latent, channels, key=d)
    return ct.LatentODE(encoder, posterior, field, decoder, integrate, t0=0.0)


def one(method: str, seed: int, data: Records, quick: bool) -> dict:
    epochs, batch = (30, 32) if quick else (EPOCHS, BATCH)
    order = np.random.default_rng(seed).permutation(len(data.ys))
    train, test = np.split(order, [len(order) * 4 // 5])
    per_epoch = len(train) // batch
    steps = epochs * per_epoch
    entries = data.mask[train].sum() / len(train)
    annealed = lambda n: jnp.maximum(0, 1 - 0.99 ** (n / per_epoch - 10)) / entries
    measures, terms = punished(METHODS[method], steps)
    terms["kl"] = annealed, ct.regularisers.kl
    optimiser = optax.adamax(lambda n: 0.01 / (1 + 1e-5 * n))
    step = ct.make_step(ct.objective(likelihood(data.ts), terms), optimiser)
    sizes = dict(hidden=8, latent=4, width=8) if quick else {}
    start = as_in_flux(model(data.ys.shape[2], measures, jax.random.key(seed), **sizes), jax.random.key(seed + 2))
    state = step.init(start, key=jax.random.key(seed + 1))
    rng, left, train_s = np.random.default_rng(seed), np.empty(0, int), 0.0
    for n in range(steps):
        if len(left) < batch:
            left = rng.permutation(train)
        rows, left = left[:batch], left[batch:]
        begun = time.perf_counter()
        state, metrics = step(state, (jnp.asarray(data.ys[rows]), jnp.asarray(data.mask[rows])))
        jax.block_until_ready(state)
        train_s += (time.perf_counter() - begun) if n else 0.0  # the first compiles
        if not quick and n % (10 * per_epoch) == 10 * per_epoch - 1:
            said = ", ".join(f"{name} {float(metrics[name]):.4g}" for name in ("loss", "kl", "evaluations"))
            print(f"  {method}, epoch {n // per_epoch + 1}: {said}, {train_s:.0f} s", flush=True)
    plain = eqx.tree_at(lambda m: m.integrate, state.model, model(1, (), jax.random.key(0)).integrate)
    return {"train_s": train_s, **tested(plain, data, test, batch)}


def likelihood(ts):
    """Of records that have their times in common: all are saved at once."""
    ts, gaussian = jnp.asarray(ts), ct.losses.gaussian(DEVIATION)

    def loss(model, record, key):
        series = ct.Series(ts, *record)
        return gaussian(model, ct.Example(series, series), key)

    return loss


def tested(model: ct.LatentODE, data: Records, rows, batch: int) -> dict:
    ts = jnp.asarray(data.ts)
    predict = eqx.filter_jit(eqx.filter_vmap(lambda ys, mask: model(ct.Series(ts, ys, mask))))
    error, count, nfe, seconds = 0.0, 0, [], []
    for first in range(0, len(rows) - batch + 1, batch):
        some = rows[first : first + batch]
        ys, mask = jnp.asarray(data.ys[some]), jnp.asarray(data.mask[some])
        for _ in range(2):  # the first of all compiles
            begun = time.perf_counter()
            out = jax.block_until_ready(predict(ys, mask))
            seconds.append(time.perf_counter() - begun)
        out.stats.check()
        error += float(jnp.sum(jnp.where(mask, out.ys - ys, 0) ** 2))
        count += int(mask.sum())
        nfe.append(int(out.stats.evaluations[0]))
    return {"nfe": statistics.fmean(nfe), "predict_s": statistics.median(seconds), "test_loss": error / count}


def toy() -> Records:
    """Two channels of damped oscillations, a third of them observed."""
    rng = np.random.default_rng(0)
    ts = np.linspace(0, 1, 12, dtype=np.float32)
    phase = rng.random((160, 1, 1)) + np.array([0.0, 0.25])
    ys = 0.5 + 0.5 * np.exp(-ts[:, None]) * np.sin(2 * np.pi * (2 * ts[:, None] + phase))
    mask = rng.random(ys.shape) < 0.4
    return Records(ts, np.where(mask, ys, 0).astype(np.float32), mask, ["a", "b"])


def compared(methods: dict[str, dict]) -> dict:
    over = lambda what: {m: ratio(methods, m, "vanilla", what) for m in methods if m != "vanilla"}
    return {
        "test_loss_over_vanilla": over("test_loss"),
        "nfe_over_vanilla": over("nfe"),
        "predict_over_vanilla": over("predict_s"),
        "train_over_vanilla": over("train_s"),
    }


if __name__ == "__main__":
    main("regularisers.physionet", one, list(METHODS), compared, load=load, toy=toy)
