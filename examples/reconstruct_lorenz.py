"""The main job from Python: a chaotic system, its forecast and its exponents from noisy samples.

The same as `ctmodels reconstruct` does with a file; `out` gets the models, the numbers and a report
to open.
"""

import dataclasses

from ctmodels.demo import noisy_lorenz63
from ctmodels.reconstruction import Recipe, reconstruct


def main(
    samples=6000,
    noise=0.05,  # standard deviations
    members=3,
    steps=4000,
    seed=0,
    out="runs/lorenz63",
):
    table = noisy_lorenz63(samples, noise=noise, seed=seed)

    def recipe(samples):
        return dataclasses.replace(Recipe.default(samples), members=members, steps=steps)

    result = reconstruct(table, recipe=recipe, seed=seed, out=out)
    scores = result.fitted["neural"].scores
    print(result.verdict)
    print(f"largest Lyapunov exponent: {scores['lyapunov_max'].value:.3f} (true: 0.906)")
    print(f"report: {out}/report.html")
    return {name: score.value for name, score in scores.items() if score.value is not None}


if __name__ == "__main__":
    main()
