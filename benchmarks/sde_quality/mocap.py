"""Walking (CMU motion capture, subject 35): three frames are read, the 297 that follow are foretold.

50 principal coordinates at 10 frames a unit of time; 16 sequences of 300 frames to learn from, 3 to choose by, 4 to be
judged by. The same networks for all: a window of three frames is read by an MLP of 64 (32 numbers), 6 latent channels,
fields of two layers of 64, a decoder of one; SDEs by Euler's steps of 0.02, the ODE by a Runge-Kutta step a frame.
Learned from pieces of 100 frames, of which a latent ODE is given the first three and latent SDEs, whose posterior is
of the whole path, all. Adam 3e-3 with a cosine, 2000 steps of 16 pieces, gradient clipped at 1; the divergence
weighted from zero to one in the first fifth. What is kept is the best of 20 by the validation's error.
`matching_longer` takes three times the steps, in half of the solver's time.

`mse`: mean squared error of the mean of 50 drawn forecasts, per frame and coordinate, in the units of the file;
`validation`: the same of what was chosen by. `coverage`: of 90 % intervals, with the observations' deviation.
`step_ms`: of one gradient step, the median. `mean`: the training mean; `last`: the third frame, again and again.

The test sequences were looked at before, of seed 0: by the ODE and by matching, when SDEs took a step a frame in
forecasts too; then steps became five a frame, and `matching_longer` was added after the other rows.

The file's scaling was not held against that of the literature (variance 34.5 about the mean), whose numbers therefore
do not stand here.
"""

import time

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from scipy import stats

import ctmodels as ct
from benchmarks._reproduction import main

READ, LATENT, DT, NOISE, SPREAD = 3, 6, 0.1, 0.3, 1.645
METHODS = ["mean", "last", "latent_ode", "latent_sde_solver", "latent_sde_matching", "latent_sde_matching_longer"]


def load(path) -> dict:
    with np.load(path / "mocap35.npz") as file:
        return {name: file[name].astype(np.float32) for name in ("train", "validation", "test")}


def toy() -> dict:
    rng, ts = np.random.default_rng(0), np.arange(40)[None, :, None]
    waves = lambda n: np.sin(0.3 * ts + rng.uniform(0, 6, (n, 1, 5))).astype(np.float32)
    return {"train": waves(4), "validation": waves(2), "test": waves(2)}


def series(ys, seen: int | None = None) -> ct.Series:
    """Sequences, of which so many frames were seen."""
    ts = np.broadcast_to(np.float32(DT) * np.arange(ys.shape[1], dtype=np.float32), ys.shape[:2])
    mask = np.broadcast_to((np.arange(ys.shape[1]) < (seen or ys.shape[1]))[None, :, None], ys.shape)
    return ct.Series(*map(jnp.asarray, (ts, np.where(mask, ys, 0), mask)))


def model_of(method: str, channels: int, width: int, key):
    a, b, c, d, e, f = jax.random.split(key, 6)
    reads = ct.WindowEncoder(channels, 32, window=READ, width=width, key=a)
    decoder = eqx.nn.MLP(LATENT, channels, width, 1, jnp.tanh, key=b)
    field = lambda key, inputs=0: ct.fields.MLPField(LATENT, inputs=inputs, width=width, key=key)
    net = lambda size: eqx.nn.MLP(size, 2 * LATENT, width, 1, jnp.tanh, key=c)
    if method == "latent_ode":
        return ct.LatentODE(reads, net(reads.size), field(d), decoder, ct.Integrate(ct.RK4(), ct.Substeps(1)), t0=0.0)
    if "matching" in method:
        posterior = ct.MarginalPosterior(reads, net(reads.size + 2), focus=0.5 / DT)
    else:
        posterior = ct.DriftPosterior(reads, net(reads.size), field(e, reads.size))
    sde = ct.fields.SDE(field(d), ct.fields.Positive(ct.fields.Elementwise(LATENT, key=f), floor=0.05))
    start = ct.distributions.Gaussian(jnp.zeros(LATENT), log_deviation=jnp.zeros(LATENT))
    solver = ct.Integrate(diffrax.Euler(), ct.Substeps(5))
    log_deviation = jnp.full(channels, np.log(NOISE))
    return ct.LatentSDE(posterior, sde, start, decoder, solver, log_deviation, t0=0.0, at_observations=False)


@eqx.filter_jit
def forecasts(model, x: ct.Series, keys):
    """`(draw, sequence, time, channel)`, and the observations' deviation: that of the loss where a model has none."""
    each = lambda x, key: model(x, x.ts, key=key)
    drawn = lambda key: jax.vmap(each)(x, jax.random.split(key, x.ts.shape[0]))
    out = jax.lax.map(drawn, keys)
    return out.ys, NOISE if out.predictive is None else out.predictive.deviation[0]


def judged(ys, model, scale: float, draws: int, seed: int) -> tuple[float, float]:
    """Error and coverage of forecasts from the first frames."""
    keys = jax.random.split(jax.random.key(seed), draws)
    drawn, noise = (np.asarray(a, np.float64) for a in forecasts(model, series(ys / scale, READ), keys))
    error = (scale * drawn.mean(0) - ys)[:, READ:]
    spread = scale * np.sqrt(drawn.var(0) + noise**2)[:, READ:]
    return float(np.mean(error**2)), float(np.mean(np.abs(error) < SPREAD * spread))


def loss_of(method: str):
    if method == "latent_ode":
        return ct.losses.likelihood(lambda ys: ct.distributions.Gaussian(ys, jnp.full((), NOISE, ys.dtype)))
    return ct.losses.matching(32) if "matching" in method else ct.losses.likelihood()


def one(method: str, seed: int, data: dict, quick: bool) -> dict:
    train, test, scale = data["train"], data["test"], float(data["train"].std())
    if method in ("mean", "last"):
        guess = train.mean((0, 1)) if method == "mean" else test[:, READ - 1 : READ]
        return dict(mse=float(np.mean((test - guess)[:, READ:] ** 2)), validation=0.0, coverage=0.0, step_ms=0.0)
    length, width, steps, draws = (20, 8, 10, 4) if quick else (100, 64, 2000, 50)
    steps = 3 * steps if "longer" in method else steps
    at = np.arange(0, train.shape[1] - length + 1, 5)
    pieces = np.concatenate([train[:, i : i + length] for i in at]) / scale
    target = series(pieces)
    data_set = ct.ArrayDataset(ct.Example(series(pieces, READ if method == "latent_ode" else None), target))
    weight = optax.linear_schedule(0.0, 1 / (length * train.shape[2]), steps // 5)
    objective = ct.objective(loss_of(method), {"kl": (weight, ct.regularisers.kl)})
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(3e-3, steps)))
    step = ct.make_step(objective, optimiser)
    model = model_of(method, train.shape[2], width, jax.random.key(seed))
    validate = lambda model, _: judged(data["validation"], model, scale, 10, 1)[0]
    every = max(1, steps // 20)
    settings = dict(steps=steps, batch_size=16, seed=seed, every=every, validate=validate, progress=False)
    fitted = ct.fit(step, step.init(model, key=jax.random.key(seed + 1)), data_set, **settings)
    error, coverage = judged(test, fitted.model, scale, draws, 2)
    chosen = min(line["validation"] for line in fitted.history)
    return dict(mse=error, validation=chosen, coverage=coverage, step_ms=step_time(step, model, data_set))


def step_time(step, model, data_set) -> float:
    """The median over 20 steps, in milliseconds."""
    state, batch, took = step.init(model, key=jax.random.key(0)), data_set[jnp.arange(16)], []
    for _ in range(22):
        begun = time.perf_counter()
        state, _ = jax.block_until_ready(step(state, batch))
        took.append(1e3 * (time.perf_counter() - begun))
    return float(np.median(took[2:]))


def interval(row: dict) -> float:
    """Half of that of 95 % of Student's, over runs."""
    runs = row["seeds"]
    return float(stats.t.ppf(0.975, runs - 1) * row["deviation_of_mse"] / runs**0.5)


def compared(methods: dict[str, dict]) -> dict:
    """Matching beside the solver: how many times as fast a step is, the ratio of errors, and errors with intervals."""
    of = lambda how, key: methods.get(f"latent_sde_{how}", {}).get(key, float("nan"))
    error = lambda how: of(how, "mse") / of("solver", "mse")
    learned = {name: row for name, row in methods.items() if "deviation_of_mse" in row and name.startswith("latent")}
    faster = of("solver", "step_ms") / of("matching", "step_ms")
    return {
        "matching_faster_x": faster,
        "matching_error_x": error("matching"),
        "longer_error_x": error("matching_longer"),
        "mse": {name: {"mean": row["mse"], "interval": interval(row)} for name, row in learned.items()},
    }


if __name__ == "__main__":
    main("sde_quality.mocap", one, METHODS, compared, load=load, toy=toy)
