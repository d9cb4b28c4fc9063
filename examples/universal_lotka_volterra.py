"""A universal differential equation: half of a law is known, a network learns the other half.

Prey grow and predators die, at rates to be fitted; what the two do to each other is left to an MLP
(Rackauckas et al. 2020). Trained on two noisy cycles, it forecasts the next two.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float

import ctmodels as ct


class Uncoupled(eqx.Module):
    """The known part. The rates are positive: their logarithms are trained."""

    log_rates: Float[Array, "2"]

    def __call__(self, t, y, args):
        growth, death = jnp.exp(self.log_rates)
        return jnp.stack([growth * y[0], -death * y[1]])


def draw(ts, clean, noisy, ahead, learned, true, path):
    """The forecast of two more cycles, and the learned law beside the true one."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    samples = len(noisy)
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.6), layout="constrained", width_ratios=(2, 1))
    for channel, name in enumerate(("prey", "predators")):
        left.plot(ts[:samples], noisy[:, channel], ".", color=f"C{channel}", markersize=3)
        left.plot(ts, clean[:, channel], "k--", linewidth=0.8)
        left.plot(ts[samples - 1 :], ahead[:, channel], color=f"C{channel}", label=name)
        right.plot(true[:, channel], learned[:, channel], ".", color=f"C{channel}", markersize=4, label=name)
    left.axvline(ts[samples - 1], color="0.7", linewidth=0.8)
    left.set(title="observed, then forecast (dashed: true)", xlabel="time")
    left.legend(frameon=False, loc="upper left")
    low, high = float(true.min()), float(true.max())
    right.plot((low, high), (low, high), "k--", linewidth=0.8)
    right.set(title="the law along the orbit", xlabel="true", ylabel="learned")
    figure.savefig(path)
    plt.close(figure)


def main(
    samples=80,
    dt=0.1,
    noise=0.01,
    window=20,
    width=32,
    steps=2000,
    learning_rate=3e-3,
    seed=0,
    figure=None,
):
    rng = np.random.default_rng(seed)

    # Data: the first half is to learn from, the second to be forecast.
    truth = ct.systems.LotkaVolterra(growth=1.3, predation=0.9, gain=0.8, death=1.8)
    clean = ct.systems.simulate(truth, jnp.array([1.0, 1.0]), dt=dt, steps=2 * samples)
    ts = dt * np.arange(2 * samples)
    noisy = np.asarray(clean) * np.exp(noise * rng.normal(size=clean.shape))
    series = ct.Series.from_nan(ts[:samples], noisy[:samples])
    data = ct.Windows(series, window, starts=series.ys)

    # Model: a sum of fields, each with parameters of its own.
    known = Uncoupled(jnp.log(jnp.array([1.0, 1.0])))
    unknown = ct.fields.MLPField(2, width=width, key=jax.random.key(seed))
    model = ct.NeuralODE(ct.fields.SumField(known, unknown), 2, integrate=ct.Integrate(ct.RK4(), ct.Substeps(1)))

    # Training.
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    step = ct.make_step(
        ct.objective(ct.losses.squared),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
    )
    state = step.init(model, key=jax.random.key(seed + 1))
    model = ct.fit(step, state, data, steps=steps, batch_size=len(data)).model

    # Judged by the forecast from the last clean state, and by the field along the true orbit.
    ahead = eqx.filter_jit(model)(clean[samples - 1], jnp.asarray(ts[samples - 1 :])).ys
    nrmse = float(ct.metrics.nrmse(clean[samples - 1 :], ahead))
    t = jnp.zeros(())
    learned = jax.vmap(lambda y: model.field(t, y, None))(clean)
    true = jax.vmap(lambda y: truth(t, y, None))(clean)
    field_error = float(jnp.linalg.norm(learned - true) / jnp.linalg.norm(true))
    print(f"forecast of {samples} samples: error {nrmse:.3f} standard deviations (the mean has 1)")
    print(f"learned field along the true orbit: relative error {field_error:.3f}")
    if figure is not None:
        draw(ts, clean, noisy[:samples], ahead, learned, true, figure)
    return {"nrmse": nrmse, "field_error": field_error, "traces": step.traces}


if __name__ == "__main__":
    main(figure="universal_lotka_volterra.svg")
