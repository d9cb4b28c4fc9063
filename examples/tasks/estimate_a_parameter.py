"""Estimate a parameter with its interval: gravity over length of a pendulum, from the angles of a few noisy swings."""

from typing import Annotated

import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import ctmodels as ct


def pendulum(t, y, *, ratio: Annotated[ct.fields.PositiveFloat, "1/s²"] = 5.0):
    return [y[1], -ratio * jnp.sin(y[0])]


def main(swings=6, samples=30, noise=0.05, seed=0, figure=None):
    rng, ts, series = np.random.default_rng(seed), 0.1 * np.arange(samples), []
    for start in rng.uniform(-1.5, 1.5, (swings, 2)):
        law = ct.fields.Law(pendulum, {"ratio": 9.0})
        angles = ct.systems.simulate(law, jnp.asarray(start, float), dt=0.1, steps=samples)[:samples, :1]
        series.append(ct.Series.from_nan(ts, np.asarray(angles) + noise * rng.normal(size=angles.shape)))
    fit = ct.reconstruction.fit_law(pendulum, series)
    print(fit.parameters)
    if figure is not None:
        _, axes = plt.subplots(figsize=(7, 3), layout="constrained")
        for i, (one, line) in enumerate(zip(series, fit.fitted, strict=True)):
            axes.plot(ts, one.ys[:, 0], "o", color=f"C{i}", markersize=3)
            axes.plot(ts, line[:, 0], color=f"C{i}")
        axes.set(xlabel="time [s]", ylabel="angle [rad]")
        plt.savefig(figure)
    found = fit.parameters["ratio"]
    return {"ratio": found.value, "lower": found.lower, "upper": found.upper}


if __name__ == "__main__":
    main(figure="estimate_a_parameter.svg")
