"""A latent SDE of stochastic Lorenz paths, by both protocols in use: explained, and generated three times as long.

dX = 10 (Y - X) dt + .1 X dW, dY = (28 X - Y - XZ) dt + .28 Y dW, dZ = (XY - 8/3 Z) dt + .3 Z dW from N(0, I); 100
samples on [0, 2], 1024 paths, z-scored over all of them, noise of deviation 0.01 added; 256 more to be judged by.

`github`: fields of two hidden layers of 128 (softplus), a context of 64, the divergence weighted from zero to one in
the first fifth. `paper`: fields of one hidden layer of 100 (sigmoid), a context of one number, the weight reached in
the first hundredth. Both: 4 latent channels, each with a diffusion of its own, a sigmoid; a GRU of as many units reads
from the end, the context at t is its state at the next sample; normal about the outputs with deviation 0.01; Euler's
steps from sample to sample, 0.02 (0.01 there); Adam 1e-2, falling by a cosine. `matching`: the fields of `github`, a
posterior of marginals, learned without a solve; Adam 1e-3; its prior in steps of 0.002. Batches of 64 (1024 there),
1500 steps (5000).

`rmse`: of the posterior's mean path against held-out paths. `d_stsp`, `d_h`: of 256 paths of the prior on [0, 6],
against new true ones, which `real` compares with others of their kind. `variation`: quadratic variation of true paths
over the prior's, worst channel. `step_ms`: of a gradient step, the median.

The held-out paths of seed 0 were looked at before: `matching` was first solved along its posterior in steps of 0.02,
which are unstable where it is sure, and gave no path at all; so it is explained by its marginals.
"""

import time
from typing import NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from benchmarks._reproduction import main

NOISE, LATENT = 0.01, 4


class Protocol(NamedTuple):
    hidden: int
    depth: int
    context: int
    activation: object
    anneal: float
    rate: float
    matched: bool = False


PROTOCOLS = {
    "github": Protocol(128, 2, 64, jax.nn.softplus, 0.2, 1e-2),
    "paper": Protocol(100, 1, 1, jax.nn.sigmoid, 0.01, 1e-2),
    "matching": Protocol(128, 2, 64, jax.nn.softplus, 0.2, 1e-3, matched=True),
}
METHODS = ["real", *PROTOCOLS]


def lorenz(t, y, args):
    a, b, c = y
    return jnp.stack([10 * (b - a), a * (28 - c) - b, a * b - 8 / 3 * c])


TRUTH = ct.fields.SDE(lorenz, lambda t, y, args: jnp.array([0.1, 0.28, 0.3], y.dtype) * y)


@eqx.filter_jit
def truth(ts, keys):
    solver = ct.Integrate(diffrax.ItoMilstein(), ct.Substeps(20))
    start = lambda key: jax.random.normal(jax.random.fold_in(key, 1), (3,), ts.dtype)
    return jax.vmap(lambda key: solver(TRUTH, ts, start(key), key=key)[0])(keys)


class Data(NamedTuple):
    train: ct.Series
    test: ct.Series
    long: np.ndarray
    again: np.ndarray
    ts: np.ndarray


def observed(seed: int, number: int, held_out: int, samples: int) -> Data:
    """Z-scored by the training paths."""
    ts = np.linspace(0, 2, samples)
    long_ts = np.arange(3 * samples) * ts[1]
    of = lambda i, n: jax.random.split(jax.random.fold_in(jax.random.key(seed), i), n)
    train, test = (np.asarray(truth(jnp.asarray(ts), of(i, n))) for i, n in enumerate((number, held_out)))
    long, again = (np.asarray(truth(jnp.asarray(long_ts), of(i, held_out))) for i in (2, 3))
    mean, deviation = train.mean((0, 1)), train.std((0, 1))
    rng, scaled = np.random.default_rng(seed), lambda ys: (ys - mean) / deviation
    noisy = lambda ys: scaled(ys) + NOISE * rng.normal(size=ys.shape)
    series = lambda ys: ct.collate([ct.Series.from_nan(ts, y) for y in ys])
    return Data(series(noisy(train)), series(noisy(test)), scaled(long), scaled(again), long_ts)


def model_of(protocol: Protocol, key):
    a, b, c, d, e, f = jax.random.split(key, 6)
    reads = ct.ReverseGRUEncoder(3, protocol.context, key=a)
    shape = dict(width=protocol.hidden, depth=protocol.depth, activation=protocol.activation)
    if protocol.matched:
        marginals = eqx.nn.MLP(reads.size + 2, 2 * LATENT, protocol.hidden, protocol.depth, jax.nn.softplus, key=b)
        posterior = ct.MarginalPosterior(reads, marginals, focus=25.0)
    else:
        start = eqx.nn.Linear(reads.size, 2 * LATENT, key=b)
        posterior = ct.DriftPosterior(reads, start, ct.fields.MLPField(LATENT, inputs=reads.size, **shape, key=c))
    each = ct.fields.Elementwise(LATENT, width=protocol.hidden, activation=protocol.activation, key=d)
    sde = ct.fields.SDE(ct.fields.MLPField(LATENT, **shape, key=e), ct.fields.Positive(each, jax.nn.sigmoid, 1e-3))
    prior = ct.distributions.Gaussian(jnp.zeros(LATENT), log_deviation=jnp.zeros(LATENT))
    solver = ct.Integrate(diffrax.Euler(), ct.Substeps(10 if protocol.matched else 1))
    decoder = eqx.nn.Linear(LATENT, 3, key=f)
    return ct.LatentSDE(posterior, sde, prior, decoder, solver, t0=0.0, at_observations=False)


def learned(protocol: Protocol, data: Data, steps: int, batch: int, seed: int):
    family = lambda ys: ct.distributions.Gaussian(ys, jnp.full((), NOISE, ys.dtype))
    loss = ct.losses.matching(32, family) if protocol.matched else ct.losses.likelihood(family)
    each = data.train.ys[0].size
    weight = optax.linear_schedule(0.0, 1 / each, max(1, int(protocol.anneal * steps)))
    rate = optax.cosine_decay_schedule(protocol.rate, steps)
    optimiser = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate))
    step = ct.make_step(ct.objective(loss, {"kl": (weight, ct.regularisers.kl)}), optimiser)
    state = step.init(model_of(protocol, jax.random.key(seed)), key=jax.random.key(seed + 1))
    rows, took = ct.ArrayDataset(ct.Example(data.train, data.train)), []
    for index in np.random.default_rng(seed).integers(len(rows), size=(steps, batch)):
        begun = time.perf_counter()
        state, _ = jax.block_until_ready(step(state, rows[jnp.asarray(index)]))
        took.append(1e3 * (time.perf_counter() - begun))
    return state.model, float(np.median(took))


@eqx.filter_jit
def explained(model, x, keys, matched: bool):
    """The mean over draws: of paths; of a matched posterior by its marginals, as its drift is stiff where it is
    sure."""
    one = lambda x, key: model.match(x, points=1, key=key) if matched else model(x, key=key)
    return jnp.mean(jax.lax.map(lambda key: jax.vmap(lambda x: one(x, key).ys)(x), keys), axis=0)


@eqx.filter_jit
def generated(model, ts, keys):
    return jax.vmap(lambda key: model.prior(ts, key=key).ys)(keys)


def one(method: str, seed: int, data, quick: bool) -> dict:
    number, held_out, samples, steps, batch = (16, 8, 20, 6, 8) if quick else (1024, 256, 100, 1500, 64)
    data = observed(seed, number, held_out, samples)
    if method == "real":
        return dict(rmse=0.0, **alike(data.long, data.again), step_ms=0.0)
    protocol = PROTOCOLS[method]._replace(**(dict(hidden=8, context=4) if quick else {}))
    model, step_ms = learned(protocol, data, steps, batch, seed)
    mean = explained(model, data.test, jax.random.split(jax.random.key(2), 8), protocol.matched)
    paths = generated(model, jnp.asarray(data.ts), jax.random.split(jax.random.key(3), held_out))
    rmse = float(jnp.sqrt(jnp.mean((mean - data.test.ys) ** 2)))
    return dict(rmse=rmse, **alike(data.long, np.asarray(paths)), step_ms=step_ms)


def alike(true: np.ndarray, paths: np.ndarray) -> dict:
    """The two sets' states, pooled; their spectra, path by path; and how much they vary."""
    pooled = lambda ys: jnp.asarray(ys.reshape(-1, 3))
    spectra = jax.vmap(lambda a, b: ct.metrics.d_hellinger(a, b, sigma=2.0))(jnp.asarray(true), jnp.asarray(paths))
    variation = np.asarray(ct.metrics.quadratic_variation_ratio(jnp.asarray(true), jnp.asarray(paths)))
    worst = float(variation[np.argmax(np.abs(np.log(variation)))])
    return dict(
        d_stsp=float(ct.metrics.d_stsp(pooled(true), pooled(paths))), d_h=float(jnp.mean(spectra)), variation=worst
    )


def compared(methods: dict[str, dict]) -> dict:
    """Of each, what was reached; `real` is the floor."""
    return {name: {key: row[key] for key in ("rmse", "d_stsp", "d_h", "variation")} for name, row in methods.items()}


if __name__ == "__main__":
    main("sde_quality.lorenz", one, METHODS, compared, quick=["real", "github", "matching"])
