"""Explain sparse, noisy series by a latent ODE: one start for each, one field for all; then draw what else may be true.

Waves of unknown height, frequency and phase, each seen at a few times of its own. An encoder reads them from the end,
as a GRU whose state follows a field of its own between observations; a start is drawn, an ODE goes on from it, a
decoder says what is seen. Trained by the evidence bound, and by the tighter one of several samples (IWAE).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

NOISE = 0.1


def waves(rng, number, samples):
    """What was seen, at times of [0, 1], and the whole without noise on a grid of [0, 1.5]."""
    grid, seen, true = np.linspace(0, 1.5, 46), [], []
    for _ in range(number):
        height, frequency, phase = rng.uniform(0.5, 1.5), rng.uniform(1.0, 2.0), rng.uniform(0, 2 * np.pi)
        wave = lambda ts, a=height, f=frequency, p=phase: a * np.sin(2 * np.pi * f * ts + p)[:, None]
        ts = np.sort(rng.choice(np.arange(1, 100), samples, replace=False)) / 100
        seen.append(ct.Series.from_nan(ts, wave(ts) + NOISE * rng.normal(size=(samples, 1))))
        true.append(ct.Series.from_nan(grid, wave(grid)))
    return ct.collate(seen), ct.collate(true)


def latent_ode(latent, hidden, width, key):
    a, b, c, d = jax.random.split(key, 4)
    encoder = ct.BackwardODERNN(1, hidden, width=width, key=a)
    posterior = eqx.nn.MLP(encoder.size, 2 * latent, width, 1, jnp.tanh, key=b)
    field = ct.MLPField(latent, width=width, depth=2, activation=jnp.tanh, key=c)
    decoder = eqx.nn.MLP(latent, 1, width, 1, jnp.tanh, key=d)
    return ct.LatentODE(encoder, posterior, field, decoder, ct.Integrate(ct.RK4(), ct.Substeps(1)))


def main(number=512, samples=15, latent=8, hidden=32, width=64, steps=1500, batch_size=64, draws=20, seed=0):
    rng = np.random.default_rng(seed)
    (seen, _), (new, true) = waves(rng, number, samples), waves(rng, 128, samples)
    annealed = optax.linear_schedule(0.0, 1 / samples, steps // 3)
    objectives = {
        "elbo": ct.objective(ct.losses.gaussian(NOISE), {"kl": (annealed, ct.regularisers.kl)}),
        "iwae": ct.objective(ct.losses.iwae(NOISE, 5)),
    }
    found = {}
    for name, objective in objectives.items():
        schedule = optax.cosine_decay_schedule(5e-3, steps)
        step = ct.make_step(objective, optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule)))
        state = step.init(latent_ode(latent, hidden, width, jax.random.key(seed)), key=jax.random.key(seed + 1))
        model = ct.fit(step, state, ct.Rows(ct.Example(seen, seen)), steps=steps, batch_size=batch_size).model

        said = eqx.filter_jit(lambda model, x, ts, key: jax.vmap(lambda x, k: model(x, ts, key=k).ys)(x, key))
        ts = true.ts[0]
        drawn = jnp.stack([said(model, new, ts, jax.random.split(jax.random.key(i), 128)) for i in range(draws)])
        error, spread = jnp.mean(drawn, axis=0) - true.ys, jnp.std(drawn, axis=0)
        rms = lambda x: float(jnp.sqrt(jnp.mean(x**2)))
        within = ts <= 1
        for part, at in (("within", within), ("beyond", ~within)):
            found[f"{name}_{part}"] = rms(error[:, at])
            print(f"{name}, {part}: error {rms(error[:, at]):.3f}, deviation of what is drawn {rms(spread[:, at]):.3f}")
    print(f"for comparison, the waves themselves: {float(jnp.sqrt(jnp.mean(true.ys**2))):.3f}")
    return found


if __name__ == "__main__":
    main()
