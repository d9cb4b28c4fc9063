"""One system in seven kinds of figures: what was seen and forecast, what was learned, where it goes, how it was solved.

A nerve cell by FitzHugh and Nagumo, seen with noise and two gaps. A sparse law is found from that; each panel is one
function of `ct.plot`, drawn on axes that are given.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import ctmodels as ct

TRUE = {
    "v": {"v": 1.0, "v^3": -1 / 3, "w": -1.0, "1": 0.5},
    "w": {"v": 0.08, "1": 0.056, "w": -0.064},
}


def cell(t, y, *, drive=0.5):
    v, w = y
    return [v - v**3 / 3 - w + drive, 0.08 * (v + 0.7 - 0.8 * w)]


MOSAIC = """
vvf
wwf
acs
bes
"""


def draw(path, ts, seen, held_out, ahead, orbit, free, law, steps):
    figure, at = plt.subplot_mosaic(MOSAIC, figsize=(12, 9), layout="constrained")
    names = ["v", "w"]
    ct.plot.forecast(ts[held_out:], *ahead, observed=(ts, seen), names=names, ax=[at["v"], at["w"]])
    ct.plot.field(law, (-2.5, 2.5), (-1, 2.2), names=names, ax=at["f"])
    at["f"].plot(*orbit.T, color="black", linewidth=0.8)
    starts = jnp.asarray(orbit[:: max(1, len(orbit) // 20)])
    ct.plot.fixed_points(ct.analysis.fixed_points(law, starts), ax=at["f"])
    ct.plot.terms(law, TRUE, names=names, ax=[at["a"], at["b"]])
    ct.plot.solver_steps(*steps, ax=at["c"])
    exponents = {
        name: ct.analysis.lyapunov(field, starts[-1], dt=0.1, steps=2000)
        for name, field in (("cell", ct.fields.Law(cell)), ("law", law))
    }
    ct.plot.lyapunov(exponents, ax=at["e"]).legend(frameon=False)
    ct.plot.spectra(orbit[:, 0], ts[1] - ts[0], generated={"law": free[:, 0]}, names=["v"], ax=at["s"])
    figure.savefig(path)
    plt.close(figure)


def main(samples=1200, dt=0.25, noise=0.02, draws=40, seed=0, figure=None):
    rng = np.random.default_rng(seed)
    truth, held_out = ct.NeuralODE(ct.fields.Law(cell), 2), 2 * samples // 3

    # Data: an orbit with noise, of which two stretches are missing.
    ts = dt * np.arange(samples)
    orbit = np.asarray(eqx.filter_jit(truth)(jnp.array([-1.0, 1.0]), jnp.asarray(ts)).ys)
    seen = orbit + noise * rng.normal(size=orbit.shape)
    seen[samples // 4 : samples // 4 + samples // 20] = seen[samples // 2 : samples // 2 + samples // 40, 0] = np.nan

    # A law of few terms, from the first two thirds, and its forecast of the rest from many starts about the last datum.
    series = ct.Series.from_nan(ts[:held_out], seen[:held_out])
    model, _ = ct.regression.sparse_law(series, degree=3, width=24, stride=1)
    print(model.field.formula(["v", "w"]))
    starts = seen[held_out - 1] + noise * rng.normal(size=(draws, 2))
    solve = eqx.filter_jit(jax.vmap(lambda y0: model(y0, jnp.asarray(ts[held_out - 1 :])).ys[1:]))
    ahead = np.quantile(np.asarray(solve(jnp.asarray(starts))), [0.5, 0.05, 0.95], axis=0)
    nrmse = float(ct.metrics.nrmse(orbit[held_out:], ahead[0]))
    print(f"forecast of {samples - held_out} samples: error {nrmse:.3f} of the data's spread")

    # What the solver did along the data's first spikes.
    integrate, span = ct.Integrate(), jnp.array([0.0, 60.0])
    _, stats = integrate(model.field, span, jnp.asarray(orbit[0]))
    steps = ct.accepted_times(integrate, model.field, span, jnp.asarray(orbit[0])), stats
    print(f"solver: {int(stats.accepted)} steps accepted, {int(stats.rejected)} rejected")
    if figure is not None:
        free = np.asarray(eqx.filter_jit(model)(jnp.asarray(orbit[0]), jnp.asarray(ts)).ys)
        draw(figure, ts, seen, held_out, ahead, orbit, free, model.field, steps)
    return {"nrmse": nrmse, "rejected": int(stats.rejected)}


if __name__ == "__main__":
    main(figure="figures.svg")
