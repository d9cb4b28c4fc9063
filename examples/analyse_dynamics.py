"""What does a learned system do? Its fixed points, exponents and bifurcations, beside those of the truth.

A neural ODE learns Lorenz's system with one of its parameters, rho, as an input, from short stretches at a few values.
Then both are asked the same: where they rest and how fast they leave, how fast neighbours part, and what becomes of the
attractor as rho changes, also at values that were never seen.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct
from ctmodels import analysis

CENTRE, SIZE = np.array([0.0, 0.0, 23.0]), 10.0  # inside, states are near one


class Family(eqx.Module):
    """dz/dt = 10 MLP(z, rho): fields, one for each rho."""

    mlp: eqx.nn.MLP

    def at(self, rho):
        """The field of one value."""
        return lambda t, z, args: 10 * self.mlp(jnp.append(z, (rho - 28) / SIZE))


def truth(rho):
    """Lorenz's field in the same units."""
    lorenz = ct.systems.Lorenz63(rho=rho)
    centre = jnp.asarray(CENTRE)
    return lambda t, z, args: lorenz(t, SIZE * z + centre.astype(z.dtype), args) / SIZE


def slope_error(family, example, key=None):
    """As a loss; the slopes are the truth's, since what is shown here is what comes after."""
    rho, z = example.x
    error = family.at(rho)(0.0, z, None) - example.target
    return jnp.sum(error**2), jnp.asarray(3.0, z.dtype), ct.Output(z[None], ct.Stats.none(rho))


def learn(family, rhos, states, steps, batch_size, key):
    slopes = jax.jit(jax.vmap(lambda rho, z: truth(rho)(0.0, z, None)))(rhos, states)
    data = ct.ArrayDataset(ct.Example((rhos, states), slopes))
    step = ct.make_step(ct.objective(slope_error), optax.adam(optax.cosine_decay_schedule(3e-3, steps)))
    result = ct.fit(step, step.init(family, key=key), data, steps=steps, batch_size=batch_size)
    errors = jax.vmap(lambda *x: slope_error(result.model, ct.Example(x[:2], x[2]))[0])(rhos, states, slopes)
    return result.model, float(jnp.mean(errors) / 3)


def draw(path, diagrams, branches, values):
    """The maxima of z over rho, and the fixed points, stable ones full; of the truth and of what was learned."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 7), layout="constrained", sharex=True, sharey="row")
    for column, name in enumerate(diagrams):
        axes[0, column].set_title(name)
        rho, z = diagrams[name].maxima(2)
        axes[0, column].plot(rho, SIZE * z + CENTRE[2], ".k", markersize=1)
        for value, points in zip(values, branches[name], strict=True):
            for point in points:
                filled = "C0" if point.linear.stable else "white"
                x = SIZE * point.z[0]
                axes[1, column].plot(value, x, "o", markersize=4, markerfacecolor=filled, color="C0")
        axes[1, column].set_xlabel("rho")
    axes[0, 0].set_ylabel("maxima of z")
    axes[1, 0].set_ylabel("x of fixed points (full: stable)")
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main(
    seen=(5.0, 10.0, 15.0, 20.0, 24.0, 28.0, 32.0, 36.0),
    samples=2000,
    width=64,
    steps=10_000,
    batch_size=256,
    count=120,
    orbit=1500,
    figure="analyse_dynamics.png",
):
    # States that the truth visits at the values seen, and some around.
    dt, rng = 0.02, np.random.default_rng(0)
    start = jnp.array([0.1, 0.2, 0.0])
    visited = analysis.bifurcation(
        truth, jnp.asarray(seen), start, dt=dt, steps=samples, transient=0, exponents=False
    ).orbits
    around = visited + 0.3 * rng.normal(size=visited.shape)
    rhos, states = np.repeat(seen, samples), around.reshape(-1, 3)
    first, then = jax.random.split(jax.random.key(0))
    family = Family(eqx.nn.MLP(4, 3, width, 2, jax.nn.gelu, key=first))
    family, error = learn(family, jnp.asarray(rhos), jnp.asarray(states), steps, batch_size, then)

    starts = jnp.asarray(visited[:, :: max(1, samples // 20)].reshape(-1, 3))
    values = jnp.linspace(2.0, 38.0, count)
    few = values[:: max(1, count // 24)]
    diagrams, branches, found = {}, {}, {}
    for name, make in (("Lorenz's system", truth), ("learned", family.at)):
        print(f"{name}, at rho = 28")
        for point in analysis.fixed_points(make(28.0), starts):
            print(f"  {point}; rates {np.round(point.linear.rates, 2)}")
        spectrum = eqx.filter_jit(analysis.lyapunov)(make(28.0), start, dt=dt, steps=10 * orbit, transient=500)
        dimension = float(ct.metrics.kaplan_yorke(spectrum.exponents))
        rates = ", ".join(f"{x:.2f} +- {e:.2f}" for x, e in zip(spectrum.exponents, spectrum.error, strict=True))
        print(f"  exponents {rates}; dimension {dimension:.2f}")
        diagrams[name] = analysis.bifurcation(make, values, start, dt=dt, steps=orbit, transient=orbit)
        branches[name] = analysis.fixed_points_along(make, few, starts)
        found[name] = float(spectrum.exponents[0])
    draw(figure, diagrams, branches, few)
    true, learned = found.values()
    print(f"mean squared error of slopes {error:.2g}; see {figure}")
    return {"error": error, "exponent_true": true, "exponent_learned": learned}


if __name__ == "__main__":
    main()
