"""A sweep: five learning rates by four seeds, twenty trainings in one compiled step.

The members of an ensemble may differ in what the optimiser keeps in its state. (`ct.sweep` does this for any setting,
stops the worst early, and returns a table.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import ctmodels as ct


def main(rates=(3e-4, 1e-3, 3e-3, 1e-2, 3e-2), seeds=4, steps=200, figure=None):
    orbit = ct.systems.simulate(ct.systems.VanDerPol(), jnp.array([2.0, 0.0]), dt=0.1, steps=300)
    series = ct.Series.from_nan(0.1 * np.arange(200), np.asarray(orbit)[:200])
    solver = ct.Integrate(ct.RK4(), ct.Substeps(1))
    make = lambda key: ct.NeuralODE(ct.fields.MLPField(2, width=32, key=key), 2, integrate=solver)
    keys = jnp.tile(jax.random.split(jax.random.key(0), seeds), len(rates))
    optimiser = optax.inject_hyperparams(optax.adam)(learning_rate=1e-3)
    step = ct.make_step(ct.objective(ct.losses.squared), optimiser, ensemble=True)
    state = step.init(eqx.filter_vmap(make)(keys), key=jax.random.key(1))
    rate = lambda state: state.opt_state.hyperparams["learning_rate"]
    state = eqx.tree_at(rate, state, jnp.repeat(jnp.asarray(rates), seeds))
    models = ct.fit(step, state, ct.Windows(series, 10, starts=series.ys), steps=steps, batch_size=16).model
    solve = eqx.filter_jit(eqx.filter_vmap(lambda model: model(orbit[200], series.ts[:100]).ys))
    errors = np.reshape(jax.vmap(lambda ys: ct.metrics.nrmse(orbit[200:300], ys))(solve(models)), (len(rates), seeds))
    for value, row in zip(rates, errors, strict=True):
        print(f"learning rate {value:7.1g}: error of the forecast {np.median(row):.3f} (median of {seeds} seeds)")
    if figure is not None:
        _, axes = plt.subplots(figsize=(5, 3), layout="constrained")
        axes.loglog(rates, errors, "o", color="C0", alpha=0.6)
        axes.loglog(rates, np.median(errors, axis=1), color="C0")
        axes.set(xlabel="learning rate", ylabel="error of the forecast")
        plt.savefig(figure)
    return {"best": float(np.min(np.median(errors, axis=1)))}


if __name__ == "__main__":
    main(figure="sweep.svg")
