"""The main job from Python: a chaotic system, its forecast and its exponents from noisy samples.

The same as `ctmodels reconstruct` does with a file; `out` gets the models, the numbers and a report
to open.
"""

import dataclasses

from ctmodels.demo import noisy_lorenz63
from ctmodels.reconstruction import Recipe, reconstruct


def draw(result, path):
    """The held-out rows with the forecast, and the orbit beside a free run."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    table, fitted = result.table, result.fitted["neural"]
    tail = slice(result.n_train, result.n_train + 200)
    times, few = table.time[tail], len(table.time[tail])
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained", width_ratios=(1.6, 1))
    left.plot(times, table.values[tail, 0], "k.", markersize=3, label="held out")
    left.plot(times, fitted.median[:few, 0], label="forecast")
    left.fill_between(times, fitted.lower[:few, 0], fitted.upper[:few, 0], alpha=0.2, label="90 %")
    left.set(xlabel="time", ylabel=table.names[0])
    left.legend(frameon=False)
    right.plot(table.values[:, 0], table.values[:, 2], color="0.6", linewidth=0.4, label="observed")
    right.plot(fitted.generated[:, 0], fitted.generated[:, 2], linewidth=0.5, label="free run")
    right.set(xlabel=table.names[0], ylabel=table.names[2])
    right.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def main(
    samples=6000,
    noise=0.05,  # standard deviations
    members=3,
    steps=4000,
    seed=0,
    out="runs/lorenz63",
    figure=None,
):
    table = noisy_lorenz63(samples, noise=noise, seed=seed)

    def recipe(samples):
        return dataclasses.replace(Recipe.default(samples), members=members, steps=steps)

    result = reconstruct(table, recipe=recipe, seed=seed, out=out)
    scores = result.fitted["neural"].scores
    print(result.verdict)
    print(f"largest Lyapunov exponent: {scores['lyapunov_max'].value:.3f} (true: 0.906)")
    print(f"report: {out}/report.html")
    if figure is not None:
        draw(result, figure)
    return {name: score.value for name, score in scores.items() if score.value is not None}


if __name__ == "__main__":
    main(figure="reconstruct_lorenz.svg")
