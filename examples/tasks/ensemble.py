"""An ensemble: eight neural ODEs of lynx and hare, trained side by side in one compiled step.

Each has a start and batches of its own. How far they part says where a forecast is not to be trusted; it does not say
how far the truth may be, for which see Uncertainty.
"""

import equinox as eqx
import jax
import matplotlib.pyplot as plt
import numpy as np
import optax

import ctmodels as ct


def main(members=8, steps=400, window=6, ahead=12, seed=0, figure=None):
    table = ct.data.lynx_hare()
    scaling = ct.Scaling.fit(table.time, table.values, log=True)
    series = scaling.series(table.time, table.values, names=table.names)
    solver = ct.Integrate(ct.RK4(), ct.Substeps(4))
    make = lambda key: ct.NeuralODE(ct.fields.MLPField(2, key=key), 2, integrate=solver)
    models = eqx.filter_vmap(make)(jax.random.split(jax.random.key(seed), members))
    step = ct.make_step(ct.objective(ct.losses.squared), optax.adam(3e-3), ensemble=True)
    data, state = ct.Windows(series, window, starts=series.ys), step.init(models, key=jax.random.key(seed))
    models = ct.fit(step, state, data, steps=steps, batch_size=16).model
    solve = eqx.filter_jit(eqx.filter_vmap(lambda model: model(series.ys[-1], series.ts[:ahead]).ys))
    forecasts = np.stack([scaling.unscale(ys) for ys in solve(models)])
    spread = float(np.mean(np.std(np.log(forecasts[:, -1]), axis=0)))
    print(f"after {ahead - 1} years the {members} forecasts differ by a factor of {np.exp(spread):.2f}")
    if figure is not None:
        _, axes = plt.subplots(figsize=(7, 3), layout="constrained")
        axes.plot(table.time[-40:], table.values[-40:], "o-", color="0.6", markersize=2)
        for i, name in enumerate(table.names):
            axes.plot(table.time[-1] + np.arange(ahead), forecasts[:, :, i].T, color=f"C{i}", linewidth=0.8)
            axes.plot([], color=f"C{i}", label=name)
        axes.set(xlabel="year", ylabel="pelts [thousands]", yscale="log")
        axes.legend(frameon=False)
        plt.savefig(figure)
    return {"spread": spread}


if __name__ == "__main__":
    main(figure="ensemble.svg")
