"""Reconstruct trials: one system was measured again and again; whole trials are held out to judge what was learned.

The columns of the table are the time since each trial began, which trial it is, and what was measured.
"""

import matplotlib.pyplot as plt
import numpy as np

import ctmodels as ct


def main(trials=20, samples=40, noise=0.03, models=("sparse-law",), seed=0, figure=None):
    rng, tables = np.random.default_rng(seed), []
    for _ in range(trials):
        ts = np.cumsum(rng.uniform(0.1, 0.3, samples))
        z = rng.uniform(0.5, 2) * np.exp((-0.15 + 2j) * ts + 1j * rng.uniform(0, 2 * np.pi))
        ys = np.stack([z.real, z.imag], axis=1) + noise * rng.normal(size=(samples, 2))
        tables.append(ct.data.Table(ts, ys, ("q", "p"), "t", "", "", "pendulum"))
    data = ct.data.Trials(tuple(f"trial {i}" for i in range(trials)), tuple(tables))
    result = ct.reconstruct(data, models=list(models), seed=seed, progress=False)
    print(result.verdict)
    fitted, table, n = result.fitted[models[0]], result.table, result.n_train
    if figure is not None:
        _, axes = plt.subplots(figsize=(7, 3), layout="constrained")
        axes.plot(table.values[n:, 0], "k.", markersize=3, label="held out, end to end")
        axes.plot(fitted.median[:, 0], label="forecast")
        axes.fill_between(np.arange(len(fitted.median)), fitted.lower[:, 0], fitted.upper[:, 0], alpha=0.2)
        axes.set(xlabel="row", ylabel="q")
        axes.legend(frameon=False)
        plt.savefig(figure)
    return {name: score.value for name, score in fitted.scores.items() if score.value is not None}


if __name__ == "__main__":
    main(figure="reconstruct_trials.svg")
