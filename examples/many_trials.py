"""Many trials of one system, in one long table: learn from some, judge on others.

A damped oscillator is released again and again. A logger writes `run,t,q,v`, in the order in which the
samples came, so that the runs' rows may interleave; cells are missing, and no two runs need be of one
length. Whole runs are held out, and only the others say how the values are scaled.
"""

import csv
import tempfile
from pathlib import Path

import equinox as eqx
import jax
import numpy as np
import optax

import ctmodels as ct


def release(rng, samples, noise, missing):
    """Times from the release on, and noisy positions and velocities; the first are complete."""
    ts = np.concatenate([[0.0], np.cumsum(rng.uniform(0.1, 0.3, samples - 1))])
    z = rng.uniform(0.5, 2.0) * np.exp((-0.15 + 2.0j) * ts + 1j * rng.uniform(0, 2 * np.pi))
    ys = np.stack([z.real, ((-0.15 + 2.0j) * z).real], axis=1) + noise * rng.normal(size=(samples, 2))
    ys[1:][rng.uniform(size=(samples - 1, 2)) < missing] = np.nan
    return ts, ys


def log(path, rng, trials, samples, noise, missing):
    """Write the table."""
    rows = []
    for i in range(trials):
        begun, length = rng.uniform(0, 100), rng.integers(samples // 2, samples + 1)
        ts, ys = release(rng, length, noise, missing)
        rows += [(begun + t, f"run{i}", *y) for t, y in zip(ts, ys, strict=True)]
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["t", "run", "q", "v"])
        writer.writerows([t, run, *("" if np.isnan(y) else y for y in ys)] for t, run, *ys in sorted(rows))


def draw(unseen, predicted, path):
    """Runs that were held out, and the model from their first sample."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    shown = min(3, len(unseen.ts))
    figure, axes = plt.subplots(
        2, shown, figsize=(10, 4.4), sharex=True, sharey="row", squeeze=False, layout="constrained"
    )
    for i, column in enumerate(axes.T):
        for channel, axis in enumerate(column):
            seen = np.asarray(unseen.mask[i, :, channel])
            axis.plot(unseen.ts[i, seen], unseen.ys[i, seen, channel], "k.", label="observed")
            axis.plot(unseen.ts[i], predicted[i, :, channel], label="from the first sample")
        column[-1].set_xlabel("time, scaled")
    axes[0, 0].set_ylabel("q, scaled")
    axes[1, 0].set_ylabel("v, scaled")
    axes[0, 0].legend(frameon=False, fontsize="small")
    figure.savefig(path)
    plt.close(figure)


def main(
    trials=60,
    samples=40,
    noise=0.05,
    missing=0.2,
    held_out=0.25,
    width=32,
    steps=2000,
    batch_size=16,
    learning_rate=3e-3,
    seed=0,
    figure=None,
):
    rng = np.random.default_rng(seed)

    # Data: each run on a clock of its own. The held-out ones do not touch the scaling.
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "runs.csv"
        log(path, rng, trials, samples, noise, missing)
        runs = ct.data.read(path, "t", id="run").from_start()
    train, test = runs.split_by_trial(held_out, seed)
    scaling = train.scaling()
    seen, unseen = (ct.collate(part.series(scaling)) for part in (train, test))
    data = ct.ArrayDataset(ct.Example(seen.ys[:, 0], seen))

    # Model: started at the first sample of a run.
    field = ct.fields.MLPField(2, width=width, key=jax.random.key(seed))
    model = ct.NeuralODE(field, 2, integrate=ct.Integrate(ct.RK4(), ct.Substeps(1)))
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    step = ct.make_step(
        ct.objective(ct.losses.squared),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
    )
    state = step.init(model, key=jax.random.key(seed + 1))
    model = ct.fit(step, state, data, steps=steps, batch_size=min(batch_size, len(data))).model

    # Judged on the runs held out, where they were observed, against the first sample held.
    predicted = eqx.filter_jit(lambda model, runs: jax.vmap(model)(runs.ys[:, 0], runs.ts).ys)(model, unseen)
    still = np.broadcast_to(unseen.ys[:, :1], unseen.ys.shape)
    rmse, persistence = (float(ct.metrics.rmse(unseen.ys, ys, unseen.mask)) for ys in (predicted, still))
    print(f"{len(test)} runs held out: error {rmse:.3f} standard deviations, of persistence {persistence:.3f}")
    if figure is not None:
        draw(unseen, predicted, figure)
    return {"rmse": rmse, "persistence": persistence, "ratio": rmse / persistence, "traces": step.traces}


if __name__ == "__main__":
    main(figure="many_trials.svg")
