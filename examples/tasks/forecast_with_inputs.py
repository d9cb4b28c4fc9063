"""Forecast with inputs: a driven oscillator goes on under an input that is known ahead.

The law is found from a noisy record and its input by regression, in one step; then it is solved under the new input.
"""

import equinox as eqx
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import ctmodels as ct


def duffing(t, y, args):
    return jnp.stack([y[1], -y[0] - y[0] ** 3 - 0.3 * y[1] + args(t)[0]])


def main(samples=600, ahead=300, noise=0.01, seed=0, figure=None):
    rng, ts = np.random.default_rng(seed), 0.05 * np.arange(samples + ahead)
    us = np.sin(0.7 * ts) + np.sin(1.9 * ts + 1) + np.sin(0.31 * ts + 2)
    series = ct.Series.from_nan(ts, us[:, None], names=("force",))
    driven = lambda y0: ct.Driven(y0, ct.paths.LinearPath.from_series(series))
    clean = np.asarray(eqx.filter_jit(ct.NeuralODE(duffing, 2))(driven(jnp.array([1.0, 0.0])), series.ts).ys)
    seen = (clean + noise * rng.normal(size=clean.shape))[:samples]
    record, force = ct.Series.from_nan(ts[:samples], seen), ct.Series.from_nan(ts[:samples], us[:samples, None])
    model, _ = ct.regression.sparse_law(record, force, degree=3)
    print(model.field.formula(("x", "v"), ("u",)))
    forecast = eqx.filter_jit(model)(driven(jnp.asarray(clean[samples - 1])), series.ts[samples - 1 :]).ys[1:]
    nrmse = float(ct.metrics.nrmse(clean[samples:], np.asarray(forecast)))
    print(f"the forecast of {ahead} rows is off by {nrmse:.3f} standard deviations")
    if figure is not None:
        _, axes = plt.subplots(figsize=(7, 3), layout="constrained")
        axes.plot(ts[:samples], seen[:, 0], ".", color="0.6", markersize=2, label="seen")
        axes.plot(ts[samples:], forecast[:, 0], label="forecast")
        axes.plot(ts[samples:], clean[samples:, 0], "k--", linewidth=1, label="true")
        axes.set(xlabel="time", ylabel="x", ylim=(-3, 3))
        axes.legend(frameon=False, ncols=3)
        plt.savefig(figure)
    return {"nrmse": nrmse}


if __name__ == "__main__":
    main(figure="forecast_with_inputs.svg")
