"""Multiple shooting: a second-order law from noisy positions alone.

A van der Pol oscillator is seen only in its position. The series is cut into windows that share
their edges; the state at the start of each, unseen velocity included, is a parameter beside the
model, and a penalty closes the gaps (Bock 1983). The horizon grows by a mask, so that the step is
compiled once.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct


def draw(ts, noisy, clean, ahead, first, path):
    """What was seen, and the free run from the last window's start."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(9, 3.4), layout="constrained")
    axes.plot(ts[: len(noisy)], noisy[:, 0], ".", color="0.6", markersize=3, label="observed")
    axes.plot(ts, clean[:, 0], "k--", linewidth=1, label="true")
    axes.plot(ts[first:], ahead[:, 0], color="C1", label="free run of the learned law")
    axes.axvline(ts[len(noisy)], color="0.7", linewidth=0.8)
    axes.set(xlabel="time", ylabel="position")
    axes.legend(frameon=False, loc="lower left", ncols=3)
    axes.margins(y=0.2)
    figure.savefig(path)
    plt.close(figure)


def main(
    windows=20,
    window=21,
    dt=0.1,
    noise=0.1,
    continuity=10.0,
    width=32,
    steps=3000,
    learning_rate=1e-2,
    seed=0,
    figure=None,
):
    rng = np.random.default_rng(seed)

    # Data: position only. As many samples again are to be forecast.
    samples = windows * (window - 1) + 1
    start = jnp.array([2.0, 0.0])
    clean = ct.systems.simulate(ct.systems.VanDerPol(), start, dt=dt, steps=2 * samples)[:, :1]
    ts = dt * np.arange(2 * samples)
    noisy = np.asarray(clean[:samples]) + noise * rng.normal(size=(samples, 1))
    series = ct.Series.from_nan(ts[:samples], noisy)
    data = ct.Windows(series, window, stride=window - 1)

    # Model: the velocity is a hidden channel; windows start at the observed position, at rest.
    field = ct.fields.SecondOrder(ct.fields.MLPField((2, 1), width=width, key=jax.random.key(seed)))
    model = ct.NeuralODE(field, 1, augment=1, integrate=ct.Integrate(ct.RK4(), ct.Substeps(1)))
    starts = jnp.pad(series.ys[data.at], ((0, 0), (0, 1)))

    # Training.
    horizon = optax.linear_schedule(2.0, float(window), steps // 2)
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    step = ct.make_step(
        ct.objective(ct.losses.shooting(continuity), transform=ct.growing_horizon(horizon)),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
    )
    state = step.init(ct.Shooting(model, starts), key=jax.random.key(seed + 1))
    shooting = ct.fit(step, state, data, steps=steps, batch_size=len(data)).model

    # Judged by a free run from the last window's start, to the end of the forecast.
    first = int(data.at[-1])
    ahead = eqx.filter_jit(shooting.model)(shooting.starts[-1], jnp.asarray(ts[first:])).ys
    cut = samples - first
    nrmse = float(ct.metrics.nrmse(clean[samples:], ahead[cut:]))
    period = dt * samples / 6.66  # of the van der Pol oscillator at mu = 1
    print(f"forecast over {period:.1f} periods: error {nrmse:.3f} standard deviations")
    if figure is not None:
        draw(ts, noisy, clean, ahead, first, figure)
    return {"nrmse": nrmse, "traces": step.traces}


if __name__ == "__main__":
    main(figure="multiple_shooting.svg")
