"""A latent SDE learned without solving it, and then solved.

A noisy pendulum is seen in three mixtures of angle and speed. The posterior is given by its marginals: a mean and a
deviation at each time; which drift keeps them under the prior's diffusion is known, so that the divergence of the two
paths is an expectation at random times, and no step of training takes a solve (SDE matching: Bartosh, Vetrov, Naesseth
2025). What was learned is an SDE as any other: it is solved along what was seen, and beyond.
"""

import time

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

NOISE = 0.1
MIXING = np.array([[1.0, 0.0], [0.6, 0.4], [-0.5, 0.5]])
TRUTH = ct.fields.SDE(
    lambda t, y, args: jnp.stack([y[1], -4 * jnp.sin(y[0]) - 0.1 * y[1]]),
    lambda t, y, args: jnp.array([0.0, 0.5], y.dtype),
)


@eqx.filter_jit
def truth(ts, keys):
    start = lambda key: jax.random.normal(jax.random.fold_in(key, 1), (2,), ts.dtype)
    solver = ct.Integrate(diffrax.Euler(), ct.Substeps(20))
    return jax.vmap(lambda key: solver(TRUTH, ts, start(key), key=key)[0])(keys)


def pendulums(seed, number, samples):
    """What was seen, and what it would have been without noise; `samples` in four units of time, and as many again."""
    ts = 4 / samples * np.arange(2 * samples)
    clean = np.asarray(truth(jnp.asarray(ts, jnp.zeros(()).dtype), jax.random.split(jax.random.key(seed), number)))
    clean = clean @ MIXING.T
    ys = clean + NOISE * np.random.default_rng(seed).normal(size=clean.shape)
    seen = lambda n: ct.collate([ct.Series.from_nan(ts[:n], y[:n]) for y in ys])
    return seen(samples), clean, ts


def model_of(latent, hidden, width, dt, key):
    a, b, c, d, e = jax.random.split(key, 5)
    reads = ct.ReverseGRUEncoder(3, hidden, key=a)
    marginals = eqx.nn.MLP(reads.size + 2, 2 * latent, width, 2, jnp.tanh, key=b)
    sde = ct.fields.SDE(
        ct.fields.MLPField(latent, width=width, key=c),
        ct.fields.Positive(ct.fields.Elementwise(latent, key=d), floor=0.05),
    )
    prior = ct.distributions.Gaussian(jnp.zeros(latent), log_deviation=jnp.zeros(latent))
    posterior, decoder = ct.MarginalPosterior(reads, marginals, focus=0.5 / dt), eqx.nn.Linear(latent, 3, key=e)
    solver = ct.Integrate(diffrax.Euler(), ct.Substeps(4))
    return ct.LatentSDE(posterior, sde, prior, decoder, solver, jnp.zeros(3), t0=0.0, at_observations=False)


@eqx.filter_jit
def drawn(model, x, ts, keys):
    each = lambda key: jax.vmap(lambda x, key: model(x, ts, key=key).ys)(x, jax.random.split(key, x.ts.shape[0]))
    return jax.lax.map(each, keys)


def step_time(loss, model, batch):
    """Of one training step, in milliseconds: the median of ten."""
    step = ct.make_step(ct.objective(loss, {"kl": (0.01, ct.regularisers.kl)}), optax.adam(1e-3))
    state, took = step.init(model, key=jax.random.key(0)), []
    for _ in range(11):
        begun = time.perf_counter()
        state, _ = jax.block_until_ready(step(state, batch))
        took.append(1e3 * (time.perf_counter() - begun))
    return float(np.median(took[1:]))


def draw(ts, clean, ys, figure):
    """One channel of some series: the truth, and paths that are drawn."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure_, axes = plt.subplots(3, 1, figsize=(6, 6), layout="constrained", sharex=True)
    for i, axis in enumerate(axes):
        axis.plot(ts, ys[:10, i, :, 0].T, color="C0", linewidth=0.5, alpha=0.6)
        axis.plot(ts, clean[i, :, 0], "k", linewidth=1.2)
        axis.axvline(ts[len(ts) // 2 - 1], color="0.7", linewidth=0.8)
    axes[0].set_title("true (black) and drawn paths; beyond the line nothing was seen", fontsize=9)
    axes[-1].set_xlabel("t")
    figure_.savefig(figure)
    plt.close(figure_)


def main(
    number=256, samples=40, latent=2, hidden=32, width=64, steps=3000, batch_size=32, draws=50, seed=0, figure=None
):
    (x, _, ts), (new, clean, _) = pendulums(seed, number, samples), pendulums(seed + 1, 32, samples)
    weight = optax.linear_schedule(0.0, 1 / (3 * samples), max(1, steps // 5))
    loss = ct.losses.matching(points=32)
    optimiser = optax.chain(optax.clip_by_global_norm(10.0), optax.adam(optax.cosine_decay_schedule(3e-3, steps)))
    step = ct.make_step(ct.objective(loss, {"kl": (weight, ct.regularisers.kl)}), optimiser)
    model = model_of(latent, hidden, width, ts[1], jax.random.key(seed))
    state, data = step.init(model, key=jax.random.key(seed + 1)), ct.ArrayDataset(ct.Example(x, x))
    model = ct.fit(step, state, data, steps=steps, batch_size=min(batch_size, number)).model

    ys = np.asarray(drawn(model, new, jnp.asarray(ts, x.ts.dtype), jax.random.split(jax.random.key(9), draws)))
    error, spread = ys.mean(0) - clean, ys.std(0)
    rms, held = lambda a: float(np.sqrt(np.mean(a**2))), np.abs(error) < 1.645 * spread
    batch = data[jnp.arange(min(batch_size, number))]
    times = [step_time(loss, model, batch) for loss in (ct.losses.likelihood(), loss)]
    found = {
        "error_within": rms(error[:, :samples]),
        "error_beyond": rms(error[:, samples:]),
        "coverage_beyond": float(held[:, samples:].mean()),
        "faster": times[0] / times[1],
    }
    print(f"error {found['error_within']:.3f} where it was seen (noise {NOISE}), {found['error_beyond']:.3f} beyond")
    print(f"90 % bands hold {found['coverage_beyond']:.2f} of what came; the mean alone errs by {rms(clean):.3f}")
    print(f"a training step: {times[0]:.1f} ms by a solve, {times[1]:.1f} ms by matching")
    if figure is not None:
        draw(ts, clean, ys, figure)
    return found


if __name__ == "__main__":
    main(figure="sde_matching.svg")
