"""Find an equation: which terms make predators and prey go round?

Sparse regression on the weak form of the law, so that no derivative of noisy data is taken. (Where the terms are not
known beforehand, `ct.symbolic` searches over expressions.)
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np

import ctmodels as ct

NAMES = ("prey", "predators")


def main(samples=400, noise=0.02, seed=0, figure=None):
    truth = ct.systems.LotkaVolterra(growth=1.3, predation=0.9, gain=0.8, death=1.8)
    clean = ct.systems.simulate(truth, jnp.array([1.0, 1.0]), dt=0.05, steps=samples)[:samples]
    noisy = np.asarray(clean) * (1 + noise * np.random.default_rng(seed).normal(size=clean.shape))
    series = ct.Series.from_nan(0.05 * np.arange(samples), noisy, names=NAMES)
    model, fit = ct.regression.sparse_law(series, bags=20, key=jax.random.key(seed))
    print(model.field.formula(NAMES))
    print(f"{int(model.field.active.sum())} terms; the law has 4")
    if figure is not None:
        again = eqx.filter_jit(model)(clean[0], series.ts).ys
        _, axes = plt.subplots(figsize=(5, 4), layout="constrained")
        axes.plot(*noisy.T, ".", color="0.6", markersize=3, label="seen")
        axes.plot(*np.asarray(again).T, label="the equation found")
        axes.set(xlabel=NAMES[0], ylabel=NAMES[1])
        axes.legend(frameon=False, loc="center")
        plt.savefig(figure)
    return {"terms": int(model.field.active.sum()), "error": float(jnp.mean(fit.error))}


if __name__ == "__main__":
    main(figure="find_an_equation.svg")
