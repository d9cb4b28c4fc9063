"""A driven system: the response of a Duffing oscillator to inputs that it has not met before.

q'' = -q - q^3 - 0.3 q' + u(t). The input is a control path, handed to the field as `args`. Learned
from smooth random inputs at irregular times, it is judged on square waves.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct


def duffing(t, y, args):
    q, v = y
    return jnp.stack([v, -q - q**3 - 0.3 * v + args(t)[0]])


def times(rng, count, samples, dt):
    return np.cumsum(rng.uniform(0.5 * dt, 1.5 * dt, (count, samples)), axis=1)


def waves(rng, ts):
    """Sums of three sines."""
    amplitude = rng.normal(size=(len(ts), 1, 3))
    frequency, phase = rng.uniform(0.3, 2.0, (len(ts), 1, 3)), rng.uniform(0, 6.3, (len(ts), 1, 3))
    return np.sum(amplitude * np.sin(frequency * ts[..., None] + phase), axis=-1, keepdims=True)


@eqx.filter_jit
def run(model, driven):
    return jax.vmap(model)(driven).ys


def respond(model, ts, us):
    """What drives each run from rest, and how the model responds."""
    inputs = ct.collate([ct.Series.from_nan(t, u, constant=True) for t, u in zip(ts, us, strict=True)])
    driven = ct.Driven(jnp.zeros((len(ts), 2)), jax.vmap(ct.paths.LinearPath.from_series)(inputs))
    return driven, run(model, driven)


def draw(ts, us, clean, ys, path):
    """Inputs that the model has not met, and its responses beside the truth's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(2, 2, figsize=(9, 4.2), sharex="col", layout="constrained", height_ratios=(1, 2))
    for i, (above, below) in enumerate(axes.T):
        above.plot(ts[i], us[i, :, 0], color="0.5")
        below.plot(ts[i], clean[i, :, 0], "k--", label="true")
        below.plot(ts[i], ys[i, :, 0], label="learned")
        below.set_xlabel("time")
    axes[0, 0].set_ylabel("input")
    axes[1, 0].set_ylabel("position")
    axes[1, 0].legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def main(
    runs=64,
    samples=100,
    dt=0.15,
    noise=0.02,
    width=64,
    steps=1500,
    batch_size=16,
    learning_rate=3e-3,
    seed=0,
    figure=None,
):
    rng = np.random.default_rng(seed)

    # Data: the truth is a model too, with a field that needs no training.
    integrate = ct.Integrate(ct.RK4(), ct.Substeps(1))
    truth = ct.NeuralODE(duffing, 2, integrate=ct.Integrate(ct.RK4(), ct.Substeps(4)))
    ts = times(rng, runs, samples, dt)
    driven, clean = respond(truth, ts, waves(rng, ts))
    noisy = np.asarray(clean) + noise * rng.normal(size=clean.shape)
    target = ct.collate([ct.Series.from_nan(t, y) for t, y in zip(ts, noisy, strict=True)])
    data = ct.ArrayDataset(ct.Example(driven, target))

    # Model: the acceleration is learned, as a function of state and input.
    field = ct.fields.SecondOrder(ct.fields.MLPField((2, 1), inputs=1, width=width, key=jax.random.key(seed)))
    model = ct.NeuralODE(field, 2, integrate=integrate)
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    step = ct.make_step(
        ct.objective(ct.losses.squared),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
    )
    state = step.init(model, key=jax.random.key(seed + 1))
    model = ct.fit(step, state, data, steps=steps, batch_size=min(batch_size, runs)).model

    # Judged on square waves.
    ts = times(rng, runs, samples, dt)
    us = np.sign(np.sin(0.7 * ts + rng.uniform(0, 6.3, (runs, 1))))[..., None]
    (_, clean), (_, ys) = respond(truth, ts, us), respond(model, ts, us)
    nrmse = float(jnp.mean(jax.vmap(ct.metrics.nrmse)(clean, ys)))
    print(f"response to square waves: error {nrmse:.3f} standard deviations (the mean has 1)")
    if figure is not None:
        draw(ts, us, clean, ys, figure)
    return {"nrmse": nrmse, "traces": step.traces}


if __name__ == "__main__":
    main(figure="driven_oscillator.svg")
