"""A neural ODE that is cheap to solve: the solver's own error estimate, punished in training (ERNODE; Pal et al. 2021).

A disc and a ring around it cannot be pulled apart by a smooth flow of the plane (Dupont et al. 2019): the field that a
neural ODE finds all the same squeezes and tears, and takes ever more steps to solve. The same model is trained with
and without the regulariser; both classify new points, one in far fewer evaluations.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import ctmodels as ct


def disc_and_ring(rng, count):
    """Points, and whether they lie in the ring."""
    ring = rng.random(count) < 0.5
    radius, angle = np.where(ring, rng.uniform(1.0, 1.5, count), rng.uniform(0.0, 0.5, count)), rng.uniform(0, 7, count)
    points = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return jnp.asarray(points), jnp.asarray(ring)


class Classifier(eqx.Module):
    """A point flows from time 0 to 1, and a line decides."""

    field: ct.fields.MLPField
    readout: eqx.nn.Linear
    integrate: ct.Integrate

    def __call__(self, point, ts=None, *, key=None) -> ct.Output:
        zs, stats = self.integrate(self.field, jnp.array([0.0, 1.0]), point, key=key)
        return ct.Output(self.readout(zs[-1])[0], stats, zs)


def cross_entropy(model, example, key):
    point, ring = example
    out = model(point, key=key)
    return optax.sigmoid_binary_cross_entropy(out.ys, ring), jnp.ones(()), out


def train(points, ring, regularisers, measures, width, steps, batch_size, learning_rate, seed):
    a, b = jax.random.split(jax.random.key(seed))
    integrate = ct.Integrate(max_steps=256, batching="shared", measures=measures)
    model = Classifier(
        ct.fields.MLPField(2, width=width, activation=jnp.tanh, key=a), eqx.nn.Linear(2, 1, key=b), integrate
    )
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    step = ct.make_step(ct.objective(cross_entropy, regularisers), optax.adam(schedule))
    state = step.init(model, key=jax.random.key(seed + 1))
    rng = np.random.default_rng(seed)
    for n in range(steps):
        rows = rng.choice(len(points), batch_size)
        state, metrics = step(state, (points[rows], ring[rows]))
        if n % max(steps // 5, 1) == 0:
            print(f"  step {n:5d}: loss {metrics['loss']:.4f}, {metrics['evaluations']:.0f} evaluations")
    return state.model


def draw(models, points, path):
    """Paths of some points through each model, with a dot where each of the solver's steps ends."""
    figure, axes = plt.subplots(1, len(models), figsize=(8, 4), sharex=True, sharey=True, layout="constrained")
    fine = jnp.linspace(0.0, 1.0, 200)
    for axis, (name, model) in zip(axes, models.items(), strict=True):
        alone = eqx.tree_at(lambda m: m.integrate, model, ct.Integrate())
        ends = [ct.accepted_times(alone.integrate, alone.field, fine, point) for point in points]
        for point, times in zip(points, ends, strict=True):
            colour = "tab:blue" if jnp.linalg.norm(point) < 1 else "tab:orange"
            for ts, style in ((fine, "-"), (jnp.asarray(times, fine.dtype), ".")):
                path_of, _ = alone.integrate(alone.field, ts, point)
                axis.plot(*np.asarray(path_of).T, style, color=colour, linewidth=0.7, markersize=4)
        axis.set_title(f"{name}: {np.mean([len(times) - 1 for times in ends]):.0f} steps a point")
        axis.set_aspect("equal")
    figure.savefig(path)
    plt.close(figure)


def main(points=2000, width=32, steps=1500, batch_size=256, learning_rate=1e-2, weight=(1.0, 0.1), seed=0, figure=None):
    rng = np.random.default_rng(seed)
    data, new = disc_and_ring(rng, points), disc_and_ring(rng, points)

    # The weight falls by a schedule; what is measured is asked of the solver.
    falling = optax.exponential_decay(weight[0], steps, weight[1] / weight[0])
    error = {"error": (falling, ct.measures.scaled_error)}
    found, models = {}, {}
    for name, terms, measures in (("vanilla", {}, ()), ("regularised", error, (ct.measures.scaled_error,))):
        print(name)
        model = train(*data, terms, measures, width, steps, batch_size, learning_rate, seed)
        models[name] = model
        out = eqx.filter_jit(eqx.filter_vmap(model))(new[0])
        accuracy = float(np.mean((np.asarray(out.ys) > 0) == np.asarray(new[1])))
        found[name] = {"accuracy": accuracy, "evaluations": int(out.stats.evaluations[0])}

    if figure is not None:
        draw(models, new[0][:24], figure)
    print("\n             accuracy   evaluations")
    for name, row in found.items():
        print(f"{name:12} {100 * row['accuracy']:7.1f} % {row['evaluations']:10d}")
    return {f"{key}_{name}": value for name, row in found.items() for key, value in row.items()}


if __name__ == "__main__":
    main()
