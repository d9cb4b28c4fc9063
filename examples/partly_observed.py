"""A chaotic system of which one channel is seen: states made of delays, a forecast, and the largest exponent.

Of Lorenz' system x alone is measured. One value of it does not tell what comes next, but a few values, so many samples
apart, do (Takens): how far apart says the mutual information of x now and x before, and how many say false neighbours,
which are near only as long as too few values are looked at. A map of these vectors, fitted in closed form, goes on as
the system does: its nearby states part as fast.
"""

import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from ctmodels.reconstruction import Recipe, reconstruct

EXPONENT = 0.906  # the largest of Lorenz' system


def draw(result, name, path):
    """What was chosen and by what, and the data with the forecast."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    found, fitted, table = result.embedding, result.fitted[name], result.table
    figure, ((left, right), (portrait, ahead)) = plt.subplots(2, 2, figsize=(9, 6), layout="constrained")
    left.plot(found.delays[0].lags[1:], found.delays[0].information[1:])
    left.axvline(found.delay, color="0.7")
    left.set_xlabel("delay, in samples")
    left.set_ylabel("mutual information [nats]")
    right.plot(found.dimensions[0].dimensions, 100 * found.dimensions[0].false, "o-")
    right.axvline(found.dimension, color="0.7")
    right.set_xlabel("dimension")
    right.set_ylabel("false neighbours [%]")
    x, free = table.values[:, 0], fitted.generated[:, 0]
    for values, label in ((x, "observed"), (free, "free run")):
        portrait.plot(values[found.delay :], values[: -found.delay], linewidth=0.5, label=label)
    portrait.set_xlabel("x")
    portrait.set_ylabel(f"x, {found.delay} samples before")
    portrait.legend(frameon=False)
    tail = slice(result.n_train, result.n_train + 200)
    few = len(table.time[tail])
    ahead.plot(table.time[tail], x[tail], color="0.3", label="held out")
    ahead.plot(table.time[tail], fitted.median[:few, 0], label="forecast")
    ahead.fill_between(table.time[tail], fitted.lower[:few, 0], fitted.upper[:few, 0], alpha=0.2)
    ahead.set_ylim(1.3 * x.min(), 1.3 * x.max())
    ahead.set_xlabel("time")
    ahead.set_ylabel("x")
    ahead.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def main(samples=3000, dt=0.05, model="kernel", embed="auto", members=4, seed=0, figure=None):
    # Data: x of an orbit; the other two are not looked at.
    start = jnp.array([1.0, 2.0, 20.0])
    orbit = ct.systems.simulate(ct.systems.Lorenz63(), start, dt=dt, steps=samples, transient=500)
    series = ct.Series.from_nan(dt * np.arange(samples), np.asarray(orbit)[:samples, :1])

    # The main job, with states of delays.
    recipe = lambda rows: Recipe(members=members)
    result = reconstruct(series, models=[model], embed=embed, recipe=recipe, seed=seed, progress=False)
    chosen, scores = result.embedding, result.fitted[model].scores
    assert chosen is not None
    exponent, nrmse = (float(scores[name].value or np.nan) for name in ("lyapunov_max", "nrmse"))
    print(chosen.rule)
    print(f"largest exponent {exponent:.3f}, of the whole system {EXPONENT}; error of forecasts {nrmse:.3f} deviations")
    if figure is not None:
        draw(result, model, figure)
    numbers = {"delay": chosen.delay, "dimension": chosen.dimension, "nrmse": nrmse}
    return numbers | {"off": exponent / EXPONENT - 1}


if __name__ == "__main__":
    main(figure="partly_observed.svg")
