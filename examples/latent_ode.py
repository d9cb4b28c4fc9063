"""Explain sparse, noisy series by a latent ODE: one start for each, one field for all; then draw what else may be true.

Waves of unknown height, frequency and phase, each seen at a few times of its own. An encoder reads them from the end,
as a GRU whose state follows a field of its own between observations; a start is drawn, an ODE goes on from it, a
decoder says what is seen, and what is seen later. Trained by the evidence bound (ELBO), and by the tighter one of
several samples (IWAE).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

NOISE = 0.1


def waves(rng, number, samples):
    """What was seen at times of [0, 5], that and what was seen until 7.5, and the truth on a grid."""
    grid, seen, whole, true = np.linspace(0, 7.5, 46), [], [], []
    for _ in range(number):
        height, frequency, phase = rng.uniform(0.5, 1.5), rng.uniform(0.2, 0.4), rng.uniform(0, 2 * np.pi)
        wave = lambda ts, a=height, f=frequency, p=phase: a * np.sin(2 * np.pi * f * ts + p)[:, None]
        ts = np.sort(rng.choice(np.arange(1, 150), samples, replace=False)) / 20
        ys = wave(ts) + NOISE * rng.normal(size=(samples, 1))
        whole.append(ct.Series.from_nan(ts, ys))
        seen.append(ct.Series.from_nan(ts, np.where(ts[:, None] <= 5, ys, np.nan), one_of_many=True))
        true.append(ct.Series.from_nan(grid, wave(grid)))
    return tuple(map(ct.collate, (seen, whole, true)))


def latent_ode(latent, hidden, width, key):
    a, b, c, d = jax.random.split(key, 4)
    encoder = ct.ReverseODERNNEncoder(1, hidden, width=width, key=a)
    posterior = eqx.nn.MLP(encoder.size, 2 * latent, width, 1, jnp.tanh, key=b)
    field = ct.fields.MLPField(latent, width=width, depth=2, activation=jnp.tanh, key=c)
    decoder = eqx.nn.MLP(latent, 1, width, 1, jnp.tanh, key=d)
    return ct.LatentODE(encoder, posterior, field, decoder, ct.Integrate(ct.RK4(), ct.Substeps(1)), t0=0.0)


def draw(new, true, drawn, path):
    """Three waves: what was seen, what may be true of them, and what is."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), sharey=True, layout="constrained")
    for i, axis in enumerate(axes):
        seen = np.asarray(new.mask[i, :, 0])
        axis.plot(true.ts[i], np.asarray(drawn[:, i, :, 0]).T, color="C0", alpha=0.25, linewidth=0.8)
        axis.plot([], color="C0", label="drawn")
        axis.plot(true.ts[i], true.ys[i, :, 0], "k--", label="true")
        axis.plot(new.ts[i, seen], new.ys[i, seen, 0], "ko", markersize=4, label="seen")
        axis.axvline(5, color="0.7", linewidth=0.8)
        axis.set_xlabel("time")
    axes[0].legend(frameon=False, fontsize="small", loc="lower left")
    figure.savefig(path)
    plt.close(figure)


def main(
    number=512, samples=25, latent=8, hidden=32, width=64, steps=1500, batch_size=64, draws=20, seed=0, figure=None
):
    rng = np.random.default_rng(seed)
    (seen, whole, _), (new, _, true) = waves(rng, number, samples), waves(rng, 128, samples)
    model, found = latent_ode(latent, hidden, width, jax.random.key(seed)), {}
    annealed = optax.linear_schedule(0.0, 1 / samples, steps // 3)
    # The tighter bound goes on from the other: from the start, with its whole divergence, nothing is learnt.
    stages = {
        "elbo": (ct.objective(ct.losses.gaussian(NOISE), {"kl": (annealed, ct.regularisers.kl)}), steps, 5e-3),
        "iwae": (ct.objective(ct.losses.iwae(NOISE, 5)), steps // 3, 1e-3),
    }
    for name, (objective, length, rate) in stages.items():
        schedule = optax.cosine_decay_schedule(rate, length)
        step = ct.make_step(objective, optax.chain(optax.clip_by_global_norm(10.0), optax.adam(schedule)))
        state = step.init(model, key=jax.random.key(seed + 1))
        model = ct.fit(step, state, ct.ArrayDataset(ct.Example(seen, whole)), steps=length, batch_size=batch_size).model

        said = eqx.filter_jit(lambda model, x, ts, key: jax.vmap(lambda x, k: model(x, ts, key=k).ys)(x, key))
        ts = true.ts[0]
        drawn = jnp.stack([said(model, new, ts, jax.random.split(jax.random.key(i), 128)) for i in range(draws)])
        error, spread = jnp.mean(drawn, axis=0) - true.ys, jnp.std(drawn, axis=0)
        rms = lambda x: float(jnp.sqrt(jnp.mean(x**2)))
        within = ts <= 5
        for part, at in (("within", within), ("beyond", ~within)):
            found[f"{name}_{part}"] = rms(error[:, at])
            print(f"{name}, {part}: error {rms(error[:, at]):.3f}, deviation of what is drawn {rms(spread[:, at]):.3f}")
    print(f"for comparison, the waves themselves: {float(jnp.sqrt(jnp.mean(true.ys**2))):.3f}")
    if figure is not None:
        draw(new, true, drawn, figure)
    return found


if __name__ == "__main__":
    main(figure="latent_ode.svg")
