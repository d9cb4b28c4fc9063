"""What noisy, irregular series tell of an unseen path that is itself noisy: a latent SDE.

Particles in a double well, each seen 12 times at times of its own, through noise. A prior SDE is common to all; a
posterior drift is told by a GRU what is still to come. Trained by the evidence bound, where the divergence of the two
paths is one more state of the solve. Then: bands of where a particle was between its observations, of where it goes
after the last, and how often they hold the truth.
"""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

NOISE, DIFFUSION, BAND = 0.2, 0.5, 0.9
TRUTH = ct.fields.SDE(lambda t, y, args: y - y**3, lambda t, y, args: jnp.full_like(y, DIFFUSION))


@eqx.filter_jit
def truth(ts, keys):
    start = lambda key: jax.random.normal(jax.random.fold_in(key, 1), (1,), ts.dtype)
    solver = ct.Integrate(diffrax.Euler(), ct.Substeps(10))
    return jax.vmap(lambda key: solver(TRUTH, ts, start(key), key=key)[0])(keys)


def particles(seed, number, samples):
    """What was seen until t = 6, and the paths themselves on a grid until 8."""
    rng, grid = np.random.default_rng(seed), np.linspace(0, 8, 81)
    paths = np.asarray(truth(jnp.asarray(grid, jnp.zeros(()).dtype), jax.random.split(jax.random.key(seed), number)))
    at = np.sort(np.stack([rng.choice(np.arange(61), samples, replace=False) for _ in range(number)]))
    ys = np.take_along_axis(paths, at[..., None], axis=1) + NOISE * rng.normal(size=(number, samples, 1))
    return ct.collate([ct.Series.from_nan(grid[i], y) for i, y in zip(at, ys, strict=True)]), paths, grid


def latent_sde(hidden, width, key):
    a, b, c, d, e = jax.random.split(key, 5)
    reads = ct.ReverseGRUEncoder(1, hidden, key=a)
    drift = lambda inputs, key: ct.fields.MLPField(1, inputs=inputs, width=width, key=key)
    posterior = ct.DriftPosterior(reads, eqx.nn.MLP(reads.size, 2, width, 1, jnp.tanh, key=b), drift(reads.size, c))
    sde = ct.fields.SDE(drift(0, d), ct.fields.Positive(ct.fields.Constant(jnp.zeros(1)), floor=0.05))
    prior = ct.distributions.Gaussian(jnp.zeros(1), log_deviation=jnp.zeros(1))
    solver = ct.Integrate(diffrax.Euler(), ct.Substeps(1, longest=0.1))
    return ct.LatentSDE(posterior, sde, prior, eqx.nn.Linear(1, 1, key=e), solver, t0=0.0)


@eqx.filter_jit
def drawn(model, x, ts, keys):
    """Paths without what scatters about them, `(draw, series, time)`."""
    each = lambda key: jax.vmap(lambda x, key: model(x, ts, key=key).ys[:, 0])(x, jax.random.split(key, x.ts.shape[0]))
    return jax.lax.map(each, keys)


def draw(grid, x, paths, low, high, figure):
    """Of some series: what was seen, the path, and the band."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure_, axes = plt.subplots(2, 2, figsize=(6, 5), layout="constrained", sharex=True, sharey=True)
    for i, axis in enumerate(axes.ravel()):
        axis.fill_between(grid, low[i], high[i], alpha=0.3, label="90 % of what is drawn")
        axis.plot(grid, paths[i, :, 0], "k", linewidth=0.8, label="true")
        axis.plot(np.asarray(x.ts[i]), np.asarray(x.ys[i, :, 0]), "o", color="C1", markersize=4, label="seen")
        axis.axvline(6.0, color="0.7", linewidth=0.8)
    axes[0, 0].legend(frameon=False, fontsize=8)
    for axis in axes[1]:
        axis.set_xlabel("t")
    figure_.savefig(figure)
    plt.close(figure_)


def main(number=512, samples=12, hidden=16, width=32, steps=1500, batch_size=64, draws=200, seed=0, figure=None):
    (x, _, _), (new, paths, grid) = particles(seed, number, samples), particles(seed + 1, 64, samples)
    weight = optax.linear_schedule(0.0, 1 / samples, max(1, steps // 5))
    # How much an observation errs is known: learned along, it takes over what the diffusion should say.
    likelihood = ct.losses.likelihood(lambda ys: ct.distributions.Gaussian(ys, jnp.full((), NOISE, ys.dtype)))
    objective = ct.objective(likelihood, {"kl": (weight, ct.regularisers.kl)})
    rate = optax.cosine_decay_schedule(5e-3, steps)
    step = ct.make_step(objective, optax.chain(optax.clip_by_global_norm(10.0), optax.adam(rate)))
    state = step.init(latent_sde(hidden, width, jax.random.key(seed)), key=jax.random.key(seed + 1))
    data = ct.ArrayDataset(ct.Example(x, x))
    model = ct.fit(step, state, data, steps=steps, batch_size=min(batch_size, number)).model

    ys = np.asarray(drawn(model, new, jnp.asarray(grid, x.ts.dtype), jax.random.split(jax.random.key(9), draws)))
    low, high = np.quantile(ys, [0.5 - BAND / 2, 0.5 + BAND / 2], axis=0)
    held, within = (low < paths[..., 0]) & (paths[..., 0] < high), grid <= 6
    sde = model.sde
    noise = abs(float(model.decoder.weight[0, 0])) * float(sde.diffusion(x.ts[0, 0], jnp.zeros(1), None)[0])
    found = {
        "coverage": float(held[:, within].mean()),
        "coverage_beyond": float(held[:, ~within].mean()),
        "error": float(np.sqrt(np.mean((ys.mean(0) - paths[..., 0])[:, within] ** 2))),
        "diffusion": noise,
    }
    print(f"90 % bands hold {found['coverage']:.2f} of the paths, {found['coverage_beyond']:.2f} after what was seen")
    print(f"error of the mean {found['error']:.3f}; an observation errs by {NOISE}")
    print(f"diffusion {noise:.2f} (true {DIFFUSION})")
    if figure is not None:
        draw(grid, new, paths, low, high, figure)
    return found


if __name__ == "__main__":
    main(figure="latent_sde.svg")
