"""Neurons that follow an unseen particle in two wells: a Langevin flow finds rates, path and potential from spikes.

In each trial noise kicks a particle from one well to the other, and 20 neurons fire by where it is. The flow reads
counts in bins, and is trained by the evidence bound. Then, of trials that it has not seen: rates and the information in
them (bits per spike) beside a Gaussian kernel and the true rates, and the potential that it learned, which is drawn
where the decoder puts the particle.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

NEURONS, WIDTH, RATE = 20, 0.2, 3.0
TRUTH = ct.fields.Langevin(ct.fields.DoubleWell(2.0, 1.5), gamma=1.0, temperature=1.0)
GAINS = np.random.default_rng(0).normal(size=NEURONS)


def true_rates(z):
    """Per unit of time, `(..., neuron)`; `RATE` where the particle is in the middle."""
    return RATE * np.exp(0.7 * z[..., None] * GAINS)


def recorded(seed, trials, bins):
    """Counts as a batch of series, times being the ends of bins, and the particle there."""
    ts = jnp.asarray(WIDTH * np.arange(bins + 1), jnp.zeros(()).dtype)
    solver, keys = ct.Integrate(ct.BAOAB(), ct.Substeps(4)), jax.random.split(jax.random.key(seed), trials)
    one = lambda key: solver(TRUTH, ts, TRUTH.state(1.5 * jax.random.normal(key, (1,), ts.dtype), ts[:1]), key=key)[0]
    z = np.asarray(jax.jit(jax.vmap(one))(keys))[:, 1:, 0]
    counts = np.random.default_rng(seed).poisson(WIDTH * true_rates(z)).astype(float)
    return ct.collate([ct.Series.from_nan(ts[1:], y, one_of_many=True) for y in counts]), z


class ByPosition(eqx.Module):
    """Log rates by where the particle is, whatever its velocity."""

    linear: eqx.nn.Linear

    def __call__(self, state):
        return self.linear(state[: state.shape[0] // 2])


def langevin_flow(hidden, width, key):
    a, b, c, d, e = jax.random.split(key, 5)
    reads = ct.BidirectionalGRUEncoder(NEURONS, hidden, key=a)
    force = ct.fields.MLPField((2, 1), inputs=reads.size, width=width, depth=1, key=b)
    posterior = ct.ControlPosterior(reads, eqx.nn.Linear(reads.size, 4, key=c), force)
    dynamics = ct.fields.Langevin(ct.fields.MLPPotential(1, width=width, depth=2, confinement=0.1, key=d))
    start = ct.distributions.Gaussian(jnp.zeros(2), log_deviation=jnp.zeros(2))
    rates = ByPosition(eqx.nn.Linear(1, NEURONS, key=e))
    return ct.LangevinFlow(posterior, dynamics, start, rates, at_observations=False)


def train(model, counts, steps, batch_size, seed):
    """By the evidence bound, of a divergence that is weighed from none to all in the first fifth."""
    weight = optax.linear_schedule(0.0, 1 / counts.ys[0].size, max(1, steps // 5))
    objective = ct.objective(ct.losses.likelihood(), {"kl": (weight, ct.regularisers.kl)})
    rate = optax.cosine_decay_schedule(1e-2, steps)
    step = ct.make_step(objective, optax.chain(optax.clip_by_global_norm(1.0), optax.adam(rate)))
    data = ct.ArrayDataset(ct.Example(counts, counts))
    state = step.init(model, key=jax.random.key(seed))
    return ct.fit(step, state, data, steps=steps, batch_size=batch_size, seed=seed).model


@eqx.filter_jit
def samples(model, x, ts, keys):
    """Expected counts and states of draws of the posterior, `(draw, trial, bin, ...)`."""
    one = lambda x, key: (lambda out: (out.ys, out.latents))(model(x, ts, key=key))
    each = lambda key: jax.vmap(one)(x, jax.random.split(key, x.ts.shape[0]))
    return jax.lax.map(each, keys)


def potential_of(model, z):
    """Of the particle: the learned one at the position that has the rates of each of `z`, `(z,)`, up to a constant."""
    linear = model.decoder.linear
    slope = np.asarray(linear.weight)[:, 0]
    scale = slope @ (0.7 * GAINS) / (slope @ slope)
    shift = slope @ (np.log(RATE) - np.asarray(linear.bias)) / (slope @ slope)
    found = jax.vmap(lambda z: model.dynamics.potential(z[None]))(jnp.asarray(scale * z + shift))
    return np.asarray(found) - float(jnp.min(found))


def draw(ts, z, rates, states, model, trial, figure):
    """One trial's rates and path, with bands, and the potential."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure_, axes = plt.subplots(3, 1, figsize=(6, 7), layout="constrained")
    neuron, position = int(np.argmax(GAINS)), states[:, trial, :, 0]
    low, high = np.quantile(rates[:, trial, :, neuron], [0.05, 0.95], axis=0) / WIDTH
    axes[0].fill_between(ts, low, high, alpha=0.3, label="90 % of what is drawn")
    axes[0].plot(ts, true_rates(z[trial])[:, neuron], "k", linewidth=0.8, label="true")
    axes[0].set(xlabel="t", ylabel="rate of one neuron")
    low, middle, high = np.quantile(position, [0.05, 0.5, 0.95], axis=0)
    axes[1].fill_between(ts, low, high, alpha=0.3)
    axes[1].plot(ts, middle)
    axes[1].set(xlabel="t", ylabel="latent position")
    at = np.linspace(-2.6, 2.6, 101)
    axes[2].plot(at, potential_of(model, at), label="learned")
    wells = np.asarray(jax.vmap(lambda z: TRUTH.potential(z[None]))(jnp.asarray(at)))
    axes[2].plot(at, wells, "k", linewidth=0.8, label="true")
    axes[2].set(xlabel="particle", ylabel="U / T", ylim=(-0.3, 6))
    for axis in (axes[0], axes[2]):
        axis.legend(frameon=False, fontsize=8)
    figure_.savefig(figure)
    plt.close(figure_)


def main(trials=200, bins=100, hidden=32, width=32, steps=2000, batch_size=50, draws=64, seed=0, figure=None):
    (counts, _), (new, z) = recorded(seed, trials, bins), recorded(seed + 1, max(2, trials // 4), bins)
    model = train(langevin_flow(hidden, width, jax.random.key(seed)), counts, steps, batch_size, seed)

    keys, known = jax.random.split(jax.random.key(9), draws), WIDTH * true_rates(z)
    expected, states = (np.asarray(a) for a in samples(model, new, new.ts[0], keys))
    rates, smooth = expected.mean(0), ct.data.gaussian_smoothing(np.asarray(new.ys), 3.0)
    reference = np.asarray(counts.ys).mean((0, 1))
    bits = lambda rates: float(ct.metrics.bits_per_spike(rates, new.ys, reference=reference))
    r2 = lambda rates: float(ct.metrics.rates_r2(true=known, estimated=rates, weighting="variance"))
    found = {"r2": r2(rates), "r2_kernel": r2(smooth), "bits": bits(rates), "bits_true": bits(known)}
    print(f"R2 of the rates {found['r2']:.2f}, of a Gaussian kernel {found['r2_kernel']:.2f}")
    print(f"bits per spike {found['bits']:.3f}, of the true rates {found['bits_true']:.3f}")
    wells = np.asarray(potential_of(model, np.array([-1.5, 0.0, 1.5])))
    found["barrier"] = float(wells[1] - 0.5 * (wells[0] + wells[2]))
    print(f"barrier between the wells {found['barrier']:.2f} T (true 2)")
    if figure is not None:
        draw(np.asarray(new.ts[0]), z, expected, states, model, 0, figure)
    return found


if __name__ == "__main__":
    main(figure="langevin_flow.svg")
