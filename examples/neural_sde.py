"""A neural SDE learns a drift and a diffusion from observed paths, without solving anything.

The truth is a double well whose noise grows with the state. Each step between two observations is taken for one of
Euler-Maruyama's, whose density is known (Florens-Zmirou 1989); then the learned SDE is solved, and its paths are
compared with new ones of the truth: their marginals, and how much they vary.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct


class Diffusion(eqx.Module):
    """Positive: a softplus, and a little more."""

    mlp: eqx.nn.MLP

    def __call__(self, t, y, args):
        return 0.01 + jax.nn.softplus(self.mlp(y))


TRUTH = ct.fields.SDE(lambda t, y, args: y - y**3, lambda t, y, args: 0.3 + 0.2 * y**2)


@eqx.filter_jit
def paths(sde, ts, y0, keys, method=ct.SRI(), steps=8):
    """Of each start, with noise of its own: `(path, time, 1)`."""
    solver = ct.Integrate(method, ct.Substeps(steps))
    ys, stats = jax.vmap(lambda y0, key: solver(sde, ts, y0, key=key))(y0, keys)
    return ys, stats


def transitions(sde, example, key=None):
    """The likelihood of the observed steps, as a loss."""
    series = example.target
    log_density = ct.losses.euler_transition_likelihood(sde.drift, sde.diffusion, series)
    weight = jnp.sum(series.mask[1:], dtype=series.ys.dtype)
    return -jnp.sum(log_density), weight, ct.Output(series.ys, ct.Stats.none(series.ts[0]))


def draw(ts, observed, drawn, grid, slopes, noises, path):
    """Observed paths and new ones of the learned SDE; its drift and its diffusion, beside the truth's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(3, 1, figsize=(6, 8), layout="constrained")
    for ys, colour, label in ((observed, "0.6", "observed"), (drawn, "C0", "of the learned SDE")):
        axes[0].plot(ts, np.asarray(ys)[:12, :, 0].T, color=colour, linewidth=0.7)
        axes[0].plot([], color=colour, label=label)
    for axis, (true, learned), title in ((axes[1], slopes, "drift"), (axes[2], noises, "diffusion")):
        axis.plot(grid, true, "k--", label="true")
        axis.plot(grid, learned, label="learned")
        axis.set(title=title, xlabel="y")
    axes[0].set(title="paths", xlabel="t", ylabel="y")
    for axis in axes:
        axis.legend(framealpha=0.8)
    figure.savefig(path)
    plt.close(figure)


def main(number=256, samples=60, dt=0.05, width=32, steps=1500, batch_size=64, learning_rate=3e-3, seed=0, figure=None):
    of_starts, of_noise, of_model, of_fit, of_new = jax.random.split(jax.random.key(seed), 5)
    ts = jnp.linspace(0.0, dt * (samples - 1), samples)
    starts = jax.random.normal(of_starts, (2 * number, 1))
    ys, stats = paths(TRUTH, ts, starts, jax.random.split(of_noise, 2 * number))
    stats.check()
    observed, held_out = ys[:number], ys[number:]
    target = ct.collate([ct.Series.from_nan(np.asarray(ts), np.asarray(y)) for y in observed])
    data = ct.ArrayDataset(ct.Example(target.ys[:, 0], target))

    of_drift, of_diffusion = jax.random.split(of_model)
    drift = ct.fields.MLPField(1, width=width, key=of_drift)
    diffusion = Diffusion(eqx.nn.MLP(1, 1, width, 1, jax.nn.gelu, key=of_diffusion))
    step = ct.make_step(ct.objective(transitions), optax.adam(optax.cosine_decay_schedule(learning_rate, steps)))
    state = step.init(ct.fields.SDE(drift, diffusion), key=of_fit)
    learned = ct.fit(step, state, data, steps=steps, batch_size=min(batch_size, number)).model

    # Judged where the paths were, and by new paths from the starts of those that were held out.
    low, high = np.quantile(np.asarray(observed), [0.05, 0.95])
    grid = jnp.linspace(low, high, 50)[:, None]
    along = lambda f: np.asarray(jax.vmap(lambda y: f(ts[0], y, None))(grid))[:, 0]
    slopes, noises = ([along(of(sde)) for sde in (TRUTH, learned)] for of in (lambda s: s.drift, lambda s: s.diffusion))
    error = lambda pair: float(np.linalg.norm(pair[1] - pair[0]) / np.linalg.norm(pair[0]))
    drawn, _ = paths(learned, ts, starts[number:], jax.random.split(of_new, number))
    ratio = float(np.mean(ct.metrics.quadratic_variation_ratio(held_out, drawn)))
    deviations = [float(np.std(np.asarray(x)[:, -1])) for x in (held_out, drawn)]
    print(f"relative error of the drift {error(slopes):.3f}, of the diffusion {error(noises):.3f}")
    print(f"quadratic variation of held-out paths over drawn ones: {ratio:.3f}")
    print(f"deviation at the end: {deviations[0]:.3f} held out, {deviations[1]:.3f} drawn")
    if figure is not None:
        draw(ts, observed, drawn, grid[:, 0], slopes, noises, figure)
    return {"drift_error": error(slopes), "diffusion_error": error(noises), "variation": ratio, "traces": step.traces}


if __name__ == "__main__":
    main(figure="neural_sde.svg")
