"""The equation behind a noisy orbit: which terms it has, how sure each is, and how far it forecasts.

Lorenz' system is seen at irregular times, with noise and values missing. The law's weak form takes no derivative; of
all terms that it might have, the one that is missed least goes, until one is missed. So it is done on many samples of
the rows, and each term has the share of samples in which it stayed.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct

NAMES = ("x", "y", "z")
TRUE = {"x": {"x": -10, "y": 10}, "y": {"x": 28, "y": -1, "x z": -1}, "z": {"z": -8 / 3, "x y": 1}}
EXPONENT = 0.906  # the largest of Lorenz' system


def draw(terms, true, found, inclusion, path):
    """Learned against true coefficients, and how often each term stayed."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(len(true), 2, figsize=(9, 6), sharex=True, layout="constrained")
    places = np.arange(len(terms))
    for row, (left, right), name in zip(range(len(true)), axes, NAMES, strict=True):
        left.bar(places - 0.2, true[row], 0.4, color="0.7", label="true")
        left.bar(places + 0.2, found[row], 0.4, label="found")
        left.set_yscale("symlog", linthresh=1)
        left.axhline(0, color="0.7", linewidth=0.8)
        left.set_ylabel(f"{name}'")
        colours = np.where(true[row] != 0, "C0", "C1")
        right.bar(places, inclusion[row], color=colours)
        right.set_ylim(0, 1.05)
    axes[0, 0].set_title("coefficients")
    axes[0, 0].legend(frameon=False)
    axes[0, 1].set_title("share of samples (orange: not of the law)")
    for axis in axes[-1]:
        axis.set_xticks(places, terms, rotation=90, fontsize=7)
    figure.savefig(path)
    plt.close(figure)


def main(samples=3000, dt=0.01, noise=0.02, missing=0.05, degree=2, bags=50, width=24, seed=0, figure=None):
    rng = np.random.default_rng(seed)

    # Data: an orbit at three quarters of the times of a grid, with noise; of some rows a value is missing.
    start = jnp.array([1.0, 2.0, 20.0])
    orbit = np.asarray(ct.systems.simulate(ct.systems.Lorenz63(), start, dt=dt, steps=2 * samples, transient=500))
    kept = np.flatnonzero(rng.random(samples) < 0.75)
    seen = orbit[kept] + noise * orbit.std(axis=0) * rng.normal(size=(len(kept), 3))
    seen[rng.random(len(kept)) < missing, rng.integers(3)] = np.nan
    series = ct.Series.from_nan(dt * kept, seen)

    # The law, and how sure it is of each term.
    model, fit = ct.regression.sparse_law(
        series,
        degree=degree,
        width=width,
        stride=1,
        bags=bags,
        key=jax.random.key(seed),
    )
    terms = model.field.library.names(NAMES)
    found = np.where(model.field.active, model.field.coefficients, 0)
    true = np.array([[TRUE[name].get(term, 0.0) for term in terms] for name in NAMES])
    print(model.field.formula(NAMES))

    # Judged by its terms, its coefficients, and the forecast from the end.
    wrong = int(np.sum((found != 0) != (true != 0)))
    error = float(np.linalg.norm(found - true) / np.linalg.norm(true))
    ts = dt * np.arange(samples)
    ahead = eqx.filter_jit(model)(jnp.asarray(orbit[samples - 1]), jnp.asarray(ts)).ys
    times = float(ct.metrics.valid_prediction_time(ts, orbit[samples - 1 : -1], np.asarray(ahead)))
    print(f"of {true.size} terms {wrong} are wrongly in or out; coefficients are off by {100 * error:.2f} %")
    print(f"a forecast from a true state is valid for {EXPONENT * times:.1f} Lyapunov times")
    if figure is not None:
        draw(terms, true, found, np.asarray(fit.inclusion), figure)
    return {"wrong": wrong, "error": error, "lyapunov_times": EXPONENT * times}


if __name__ == "__main__":
    main(figure="find_the_equation.svg")
