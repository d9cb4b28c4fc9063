"""How well a parameter is known: g/L of a pendulum, of which only the angle was seen, by every method there is.

Intervals of 90 % by the curvature of the likelihood (Laplace), by fits to simulated data, to reordered residuals and
to drawn trials, and by a profile; and, as a warning, the spread of an ensemble that sees the same data over and over.
Then a rate that the data only bound from below: its profile has one end, and says so.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np

import ctmodels as ct

TRUTH = {"damping": 0.3, "gravity": 9.0}


def pendulum(
    t,
    y,
    *,
    damping: Annotated[ct.fields.PositiveFloat, "1/s"] = 1.0,
    gravity: Annotated[ct.fields.PositiveFloat, "1/s²"] = 5.0,
):
    angle, velocity = y
    return [velocity, -damping * velocity - gravity * jnp.sin(angle)]


def warm(t, y, *, rate: Annotated[ct.fields.PositiveFloat, "1/min"] = 2.0, room=1.0):
    return [rate * (room - y[0])]


def swings(trials, samples, noise, rng):
    law = ct.fields.Law(pendulum, TRUTH)
    series = []
    for start in rng.uniform(-1.5, 1.5, (trials, 2)):
        clean = ct.systems.simulate(law, jnp.asarray(start, float), dt=0.1, steps=samples)[:, :1]
        series.append(ct.Series.from_nan(0.1 * np.arange(samples), clean + noise * rng.normal(size=clean.shape)))
    return series


def cup(rng):
    """Read when it was set down, and not again before it was as warm as the room."""
    ts = np.array([0.0, *np.linspace(1, 2, 11)])
    ys = np.where(ts > 0, 3.0, 0.0) + 0.05 * rng.normal(size=12)
    return ct.Series.from_nan(ts, ys[:, None])


def intervals_of(fit, draws, searches):
    """Name of the method -> the interval of g/L."""
    found = {"Laplace": ct.uncertainty.intervals(fit)}
    for method in ("bootstrap", "blocks", "trials"):
        found[method] = ct.uncertainty.intervals(fit, method, draws=draws)
    found["ensemble"] = ct.uncertainty.intervals(fit, "ensemble", draws=searches)
    rows = {name: parameters["gravity"] for name, parameters in found.items()}
    return {**rows, "profile": ct.uncertainty.profile(fit, "gravity")}


def draw(rows, rate, path):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6), layout="constrained")
    for at, (name, row) in enumerate(rows.items()):
        color = "C3" if name == "ensemble" else "C0"
        left.plot([row.lower, row.upper], [at, at], "|-", color=color, linewidth=2, markersize=9)
        left.plot(row.value, at, "o", color=color, markersize=4)
    left.axvline(TRUTH["gravity"], color="0.3", linestyle="--")
    left.set(
        title="g/L of a pendulum at 90 %; dashed, the truth",
        xlabel="1/s²",
        yticks=range(len(rows)),
        yticklabels=list(rows),
    )
    left.invert_yaxis()
    rate.plot(right)
    right.set(title="a rate that is only known to be large", xscale="log")
    figure.savefig(path)
    plt.close(figure)


def main(trials=8, samples=30, noise=0.1, draws=400, searches=4, seed=0, figure=None):
    rng = np.random.default_rng(seed)
    fit = ct.reconstruction.fit_law(pendulum, swings(trials, samples, noise, rng))
    print(fit.parameters)
    rows = intervals_of(fit, draws, searches)
    for name, row in rows.items():
        print(f"{name:10} {row.lower:.3f} to {row.upper:.3f}, {'holds' if row.holds(TRUTH['gravity']) else 'misses'} 9")
    rate = ct.uncertainty.profile(ct.reconstruction.fit_law(warm, cup(rng)), "rate")
    print(rate)
    if figure is not None:
        draw(rows, rate, figure)
    width = {name: row.upper - row.lower for name, row in rows.items()}
    return {"bootstrap": width["bootstrap"] / width["Laplace"], "ensemble": width["ensemble"] / width["Laplace"]}


if __name__ == "__main__":
    main(figure="parameter_intervals.svg")
