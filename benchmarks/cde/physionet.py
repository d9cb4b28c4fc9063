"""Hospital records (PhysioNet 2012, sets a and b): what was measured, explained by a latent ODE; who will die.

8000 records of 37 channels, rounded to the hour; a fifth, drawn by the seed, is held out. A run looks at it once; two
choices in the models were made by seed 0's (docs/design.md: a cell's values, a matrix field's start). All are z-scored.

`interpolation`: a latent ODE explains all that was measured from one start; `mse`: mean squared error over the observed
entries of the held-out part, of the posterior's mean, in the papers' scaling (each channel from 0 to 1 over all
records: Kelly et al. 2020, Pal et al. 2021, whose best is 3.55e-3). The loss weighs errors in that scaling too. A GRU
of 64 reads backwards; 20 latent channels; a field of two layers of 64, tanh; Tsit5 at 1e-3, one step for the batch of
256; Adam 5e-3, warm and cosine, 1500 steps; a deviation of 0.01.

All others: in-hospital death from 48 hours and age, gender, height, kind of ward; `auroc` of the held-out part. The
same for each: values beyond five deviations are cut, hidden 64 (32 of the neural CDEs, whose field is a matrix), one
answer at the last observation, Adam 2e-3 with a cosine over 15 epochs of batches of 64, gradient clipped at 1, weight
decay 1e-2; a tenth of the training part says which epoch's weights are kept, and which of our models is the best, by
its area (`validation`). `gru_dt` and `gru_d` are the baselines (`_baselines.py`).
`state_space`: two blocks of S5, the mean of their features, a fifth of which is dropped.

`seconds`: of training, compilation and validation counted.
"""

import functools
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy.stats import rankdata

import ctmodels as ct
from benchmarks._physionet import STATIC, Records, read
from benchmarks._reproduction import main
from benchmarks.cde._baselines import Recurrent

DEVIATION, CUT = 0.01, 5.0
STATICS = len(STATIC) + 3  # the kind of ward is one of four


class Sizes(NamedTuple):
    hidden: int = 64
    of_matrix: int = 32
    width: int = 64
    steps: int = 1500
    epochs: int = 15
    batch: int = 64


MODELS = {
    "gru_dt": lambda c, s, key: Recurrent.gru_dt(c, s.hidden, 1, static=STATICS, key=key),
    "gru_d": lambda c, s, key: Recurrent.gru_d(c, s.hidden, 1, static=STATICS, key=key),
    "ode_rnn": lambda c, s, key: ct.ODERNN(c, s.hidden, 1, static=STATICS, width=s.width, key=key),
    "state_space": lambda c, s, key: ct.StateSpace(c, 1, features=s.hidden, **STATE_SPACE, key=key),
    "gru_ode_bayes": lambda c, s, key: Answering.made(c, s, key),
    "neural_cde": lambda c, s, key: ct.NeuralCDE(c, s.of_matrix, 1, static=STATICS, width=s.width, key=key),
    "log_ncde": lambda c, s, key: ct.LogNCDE(
        c, s.of_matrix, 1, static=STATICS, width=s.width, window=4, depth=1, key=key
    ),
}
HOUR = 1 / 48  # of times from 0 to 1
STATE_SPACE = dict[str, Any](
    layer=functools.partial(ct.layers.S5, modes=16, steps=(1e-2, 1.0)),
    static=STATICS,
    depth=2,
    dropout=0.2,
    pooled=True,
    scale=HOUR,
)
OURS = [name for name in MODELS if not name.startswith("gru_d")]
METHODS = ["interpolation", *MODELS]


class Answering(eqx.Module):
    """A logit from the hidden state of a GRU-ODE-Bayes."""

    filtered: ct.GRUODEBayes
    readout: eqx.nn.Linear

    @classmethod
    def made(cls, channels: int, sizes: Sizes, key) -> "Answering":
        a, b = jax.random.split(key)
        filtered = ct.GRUODEBayes(channels, sizes.hidden, static=STATICS, prepared=4, key=a)
        return cls(filtered, eqx.nn.Linear(sizes.hidden, 1, key=b))

    def __call__(self, x, ts=None, *, key=None) -> ct.Output:
        out = self.filtered(x, ts)
        return ct.Output(jax.vmap(self.readout)(out.latents), out.stats, out.latents)


def one(method: str, seed: int, data: Records, quick: bool) -> dict:
    order = np.random.default_rng(seed).permutation(len(data.ys))
    train, test = np.split(order, [len(order) * 4 // 5])
    sizes = Sizes(6, 4, 6, 40, 6, 16) if quick else Sizes()
    begun = time.monotonic()
    found = {"mse": None, "auroc": None, "validation": None}
    if method == "interpolation":
        found["mse"] = interpolated(data, train, test, sizes, seed)
    else:
        found["validation"], found["auroc"] = mortality(MODELS[method], data, train, test, sizes, seed)
    return {**found, "seconds": time.monotonic() - begun}


# What was measured, explained.


def interpolated(data: Records, train, test, sizes: Sizes, seed: int) -> float:
    zs, scale = scaled(data, train)
    low = np.min(data.ys, axis=(0, 1), where=data.mask, initial=np.inf)
    high = np.max(data.ys, axis=(0, 1), where=data.mask, initial=-np.inf)
    worth = jnp.asarray(scale / np.where(high > low, high - low, 1), jnp.float32)  # of one deviation, in that scaling
    entries, ts = data.mask[train].sum() / len(train), jnp.asarray(data.ts)

    def loss(model, record, key=None):
        z, mask = record
        out = model(ct.Series(ts, z, mask), key=key)
        error = jnp.sum(jnp.where(mask, worth * (out.ys - z), 0) ** 2)
        return error / (2 * DEVIATION**2), jnp.sum(mask, dtype=error.dtype), out

    annealed = lambda n: jnp.minimum(1, 3 * n / sizes.steps) / entries
    warm = optax.warmup_cosine_decay_schedule(0, 5e-3, sizes.steps // 30, sizes.steps)
    step = ct.make_step(ct.objective(loss, {"kl": (annealed, ct.regularisers.kl)}), optax.adam(warm))
    model = latent_ode(zs.shape[2], sizes, jax.random.key(seed))
    state = step.init(model, key=jax.random.key(seed + 1))
    batch = min(256, len(train) // 2)
    state = ct.fit(step, state, ct.ArrayDataset((zs[train], data.mask[train])), steps=sizes.steps, batch_size=batch)
    judged = eqx.filter_jit(lambda model, records: jax.vmap(lambda r: loss(model, r)[:2])(records))
    totals = [judged(state.model, part) for part in parts((zs[test], data.mask[test]), 400)]
    error, weight = (sum(float(jnp.sum(t[i])) for t in totals) for i in range(2))
    return 2 * DEVIATION**2 * error / weight


def latent_ode(channels: int, sizes: Sizes, key, latent: int = 20) -> ct.LatentODE:
    a, b, c, d = jax.random.split(key, 4)
    encoder = ct.ReverseGRUEncoder(channels, sizes.hidden, key=a)
    posterior = eqx.nn.MLP(encoder.size, 2 * latent, sizes.width, 1, jnp.tanh, key=b)
    field = ct.fields.MLPField(latent, width=sizes.width, depth=2, activation=jnp.tanh, key=c)
    steps = diffrax.PIDController(rtol=1e-3, atol=1e-3)
    integrate = ct.Integrate(diffrax.Tsit5(), steps, batching="shared", max_steps=256)
    return ct.LatentODE(encoder, posterior, field, eqx.nn.Linear(latent, channels, key=d), integrate, t0=0.0)


# Who will die.


def mortality(make: Callable, data: Records, train, test, sizes: Sizes, seed: int) -> tuple[float, float]:
    """Area of the part that judges epochs, at its best, and of the held-out part."""
    zs, _ = scaled(data, train)
    x = records(data, np.clip(zs, -CUT, CUT), train)
    died = np.asarray(data.died, np.float32)
    train, judges = np.split(train, [len(train) * 9 // 10])
    step = ct.make_step(ct.objective(died_or_not), optimiser(sizes, len(train)))
    state = step.init(make(zs.shape[2], sizes, jax.random.key(seed)), key=jax.random.key(seed + 1))
    logits = eqx.filter_jit(lambda model, xs: jax.vmap(lambda x: model(x, x.series.end).ys[-1, 0])(xs))

    def judged(model, at) -> float:
        of = [np.asarray(logits(model, part)) for part in parts(taken(x, at), 400)]
        return area(np.concatenate(of), died[at])

    rng, kept = np.random.default_rng(seed), []
    for _ in range(sizes.epochs):
        for at in np.array_split(rng.permutation(train), len(train) // sizes.batch):
            at = at[: len(train) // (len(train) // sizes.batch)]  # all of one size: one compilation
            state, _ = step(state, ct.Example(taken(x, at), jnp.asarray(died[at])))
        kept.append(
            (judged(state.model, judges), jax.tree.map(lambda a: jnp.copy(a) if eqx.is_array(a) else a, state.model))
        )  # a step donates its state
    best, model = max(kept, key=lambda pair: pair[0])
    return best, judged(model, test)


def optimiser(sizes: Sizes, number: int) -> optax.GradientTransformation:
    steps = sizes.epochs * (number // sizes.batch)
    rate = optax.warmup_cosine_decay_schedule(0, 2e-3, steps // 30, steps)
    return optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(rate, weight_decay=1e-2))


def died_or_not(model, example: ct.Example, key=None) -> tuple:
    """Binary cross entropy."""
    out = model(example.x, example.x.series.end, key=key)
    logit = out.ys[-1, 0]
    return optax.sigmoid_binary_cross_entropy(logit, example.target), jnp.ones((), logit.dtype), out


def records(data: Records, zs, train) -> ct.Record:
    """Minus one stands for a weight that is not known; the kind of ward becomes four features."""
    age, gender, height, ward = np.moveaxis(data.static, 1, 0)
    wards = np.where(np.isnan(ward)[:, None], np.nan, ward[:, None] == np.arange(1, 5))
    static = np.concatenate([np.stack([age, gender, height], axis=1), wards], axis=1)
    mean, scale = np.nanmean(static[train], axis=0), np.nanstd(static[train], axis=0)
    static = np.clip((static - mean) / np.where(scale > 0, scale, 1), -CUT, CUT)
    known, mask = ~np.isnan(static), data.mask & (data.ys != -1)
    ts = np.broadcast_to(data.ts, zs.shape[:2])
    series = ct.Series(ts, np.where(mask, zs, 0), mask)
    return ct.Record(series, np.where(known, static, 0).astype(np.float32), known)


def area(scores, labels) -> float:
    """Under the receiver operating characteristic: how often one who died has the higher score."""
    ranks, n = rankdata(scores)[labels == 1], np.sum(labels)
    return float((ranks.sum() - n * (n + 1) / 2) / (n * (len(labels) - n)))


# Both.


def scaled(data: Records, train) -> tuple[np.ndarray, np.ndarray]:
    """Values z-scored by the training part, zero where missing, and the deviations."""
    ys, mask = data.ys[train], data.mask[train]
    count = np.maximum(mask.sum(axis=(0, 1)), 1)
    mean = np.sum(ys, axis=(0, 1), where=mask) / count
    scale = np.sqrt(np.sum((ys - mean) ** 2, axis=(0, 1), where=mask) / count)
    scale = np.where(scale > 1e-6 * np.maximum(np.abs(mean), 1), scale, 1)
    return np.where(data.mask, (data.ys - mean) / scale, 0).astype(np.float32), scale


def taken(tree, at):
    return jax.tree.map(lambda a: jnp.asarray(a[at]), tree)


def parts(tree, size: int):
    """A tree of arrays by parts of `size` rows; the last is shorter."""
    at = np.arange(len(jax.tree.leaves(tree)[0]))
    return [taken(tree, at[first : first + size]) for first in range(0, len(at), size)]


def toy() -> Records:
    """Two channels of oscillations, a third of them observed; those who die go down in the first."""
    rng = np.random.default_rng(0)
    ts, died = np.linspace(0, 1, 12, dtype=np.float32), rng.random(160) < 0.3
    phase = rng.random((160, 1, 1)) + np.array([0.0, 0.25])
    ys = np.sin(2 * np.pi * (ts[:, None] + phase)) - np.where(died, 2.0, 0)[:, None, None] * ts[:, None]
    mask = rng.random(ys.shape) < 0.4
    mask[:, 0] = True
    static = np.stack(
        [rng.normal(size=160), died * 0.0, np.where(rng.random(160) < 0.5, 1.0, np.nan), rng.integers(1, 5, 160)],
        axis=1,
    )
    return Records(ts, np.where(mask, ys, 0), mask, ["a", "b"], static, died)


def compared(methods: dict[str, dict]) -> dict:
    ours = [m for m in OURS if m in methods]
    best = max(ours, key=lambda m: methods[m]["validation"], default=None)
    of = lambda method, what: methods.get(method, {}).get(what)
    return {
        "interpolation_mse": of("interpolation", "mse"),
        "interpolation_mse_deviation": of("interpolation", "deviation_of_mse"),
        "mortality_auroc": of(best, "auroc"),
        "mortality_auroc_deviation": of(best, "deviation_of_auroc"),
        "mortality_best": best,
        "gru_d_auroc": of("gru_d", "auroc"),
        "gru_d_auroc_deviation": of("gru_d", "deviation_of_auroc"),
        "seeds": of(best, "seeds"),
    }


if __name__ == "__main__":
    main("cde.physionet", one, METHODS, compared, load=read, toy=toy)
