"""A network's field in words: what was learned of an oscillator, as an equation with intervals.

A neural ODE follows noisy measurements. Its field can be asked anywhere, without noise and without differences, so that
terms of a library leave one by one where the orbits were; the data choose, through the solve, how many stay. The law
that is found is a field again, with constants that have intervals, and the report of the network says it.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct

NAMES = ("x", "y")


def measured(samples, dt, noise, seed):
    """Van der Pol's oscillator, from inside of its cycle and from outside, in trials of their own."""
    rng, truth, tables = np.random.default_rng(seed), ct.systems.VanDerPol(1.0), []
    for start in ([0.1, 0.1], [2.5, 2.5], [-2.5, -2.5], [-0.3, 0.6]):
        orbit = np.asarray(ct.systems.simulate(truth, jnp.asarray(start, float), dt=dt, steps=samples))
        seen = orbit + noise * rng.normal(size=orbit.shape)
        tables.append(ct.data.Table(dt * np.arange(samples), seen, NAMES, "t", "", "", "simulated"))
    return tables


def draw(model_field, law, tables, path):
    """The network's field and the law's, with what was measured."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 4.2), sharey=True, layout="constrained")
    for ax, field, title in zip(axes, (model_field, law), ("learned by a network", "in words"), strict=True):
        ct.plot.field(field, (-3, 3), (-3.5, 3.5), points=24, ax=ax)
        for table in tables:
            ax.plot(*table.values.T, ".", color="0.4", markersize=2)
        ax.set(title=title, xlabel=NAMES[0])
    axes[0].set_ylabel(NAMES[1])
    figure.savefig(path)
    plt.close(figure)


def main(samples=150, dt=0.1, noise=0.02, members=2, steps=1500, seed=0, figure=None):
    tables = measured(samples, dt, noise, seed)
    trials = ct.data.Trials(tuple("abcd"), tuple(tables))
    result = ct.reconstruct(trials, models=["neural"], members=members, steps=steps, seed=seed, progress=False)
    print(result.verdict)

    cubic = functools.partial(ct.symbolic.eliminate, library=ct.fields.Library(2, 3))
    explained = ct.symbolic.explain(result, "neural", cubic)
    print(f"\nfrom the network's field alone\n{explained.formula('neural')}")

    # The data have the last word: how many terms, and what their constants may be.
    learned = ct.symbolic.learned(result, "neural")
    series = [ct.Series.from_nan(table.time, table.values) for table in tables]
    found = ct.symbolic.choose(cubic(*learned), series)
    print("\nwith the data's word\n" + ct.symbolic.formula(found.law, NAMES, digits=3))
    print(found.fit.parameters)
    if figure is not None:
        draw(learned.field, found.law, tables, figure)
    truth = jax.vmap(lambda y: ct.systems.VanDerPol(1.0)(0.0, y, None))(learned.points)
    wrong = jax.vmap(lambda y: found.law(0.0, y, None))(learned.points) - truth
    return {"constants": len(found.law.names), "error": float(jnp.sqrt(jnp.mean(wrong**2) / jnp.mean(truth**2)))}


if __name__ == "__main__":
    main(figure="learned_field_to_equation.svg")
