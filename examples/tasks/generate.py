"""Generate: new paths like those that were seen, from a neural SDE that is trained without being solved.

The particle in a double well was seen at steps of 0.1; each is taken for one of Euler's, whose density is known.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import optax

import ctmodels as ct

TS = 0.1 * jnp.arange(100.0)


def noise(logarithm):  # one number for all states, positive, and a parameter
    return eqx.Partial(lambda log, t, y, args: jnp.exp(log) + 0 * y, jnp.asarray(logarithm))


def unlikelihood(sde, example, key=None):
    steps = ct.losses.euler_transition_likelihood(sde.drift, sde.diffusion, example.target)
    return -jnp.sum(steps), jnp.asarray(steps.size, steps.dtype), ct.Output(example.target.ys, ct.Stats.none(steps[0]))


@eqx.filter_jit
def paths(sde, number, key):
    solve = lambda key: ct.Integrate(ct.SRI(), ct.Substeps(2))(sde, TS, jnp.ones(1), key=key)[0]
    return jax.vmap(solve)(jax.random.split(key, number))


def main(number=128, steps=800, seed=0, figure=None):
    seen = paths(ct.fields.SDE(lambda t, y, args: y - y**3, noise(-0.5)), number, jax.random.key(seed))
    target = jax.vmap(lambda ys: ct.Series(TS, ys, jnp.ones(ys.shape, bool)))(seen)
    sde = ct.fields.SDE(ct.fields.MLPField(1, width=32, key=jax.random.key(seed + 1)), noise(0.0))
    step = ct.make_step(ct.objective(unlikelihood), optax.adam(5e-3))
    data, state = ct.ArrayDataset(ct.Example(seen[:, 0], target)), step.init(sde, key=jax.random.key(seed))
    new = paths(ct.fit(step, state, data, steps=steps, batch_size=32).model, number, jax.random.key(seed + 2))
    left = {name: float(jnp.mean(ys[:, -1] < 0)) for name, ys in (("seen", seen), ("new", new))}
    print(f"in the other well at the end: {left['seen']:.2f} of the paths seen, {left['new']:.2f} of the new ones")
    if figure is not None:
        _, axes = plt.subplots(figsize=(7, 3), subplot_kw={"title": "seen (grey), new (blue)"})
        axes.plot(TS, seen[:12, :, 0].T, "0.6", TS, new[:12, :, 0].T, "C0", linewidth=0.7)
        plt.savefig(figure)
    return left


if __name__ == "__main__":
    main(figure="generate.svg")
