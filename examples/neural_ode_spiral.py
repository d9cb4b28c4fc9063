"""A neural ODE learns spirals from noisy samples at irregular times, with missing values.

The truth is y' = A y^3 (Chen et al. 2018). The series differ in length, so they are padded and
masked; the solver's steps adapt to each. Their local error is measured, and punished a little, as in
ERNODE (Pal et al. 2021).
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct


def spiral(t, y, args):
    return jnp.array([[-0.1, 2.0], [-2.0, -0.1]]) @ y**3


@eqx.filter_jit
def solve(field, ts, y0):
    integrate = ct.Integrate(ct.RK4(), ct.Substeps(10))
    return jax.vmap(lambda ts, y0: integrate(field, ts, y0)[0])(ts, y0)


def spirals(rng, count, samples, t1):
    """Times (count, samples) and clean states (count, samples, 2)."""
    gaps = rng.uniform(0.2, 1.8, (count, samples - 1)) * t1 / samples
    ts = np.concatenate([np.zeros((count, 1)), np.cumsum(gaps, axis=1)], axis=1)
    angle, radius = rng.uniform(0, 2 * np.pi, count), rng.uniform(0.8, 1.5, count)
    y0 = radius[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return ts, np.asarray(solve(spiral, jnp.asarray(ts), jnp.asarray(y0)))


def draw(target, ts, clean, ys, path):
    """Series to learn from, and new spirals beside the model's."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), sharex=True, sharey=True, layout="constrained")
    for i in range(5):
        seen = np.asarray(target.mask[i].all(axis=1))
        left.plot(*target.ys[i, seen].T, "o", markersize=3)
        right.plot(*clean[i].T, "k--", linewidth=0.8, label="true" if i == 0 else None)
        right.plot(*ys[i].T, color=f"C{i}")
    left.set(title="five series to learn from", xlabel="first", ylabel="second")
    right.set(title="new spirals", xlabel="first")
    right.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def main(
    series=128,
    samples=30,
    t1=4.0,
    noise=0.02,
    missing=0.3,
    width=64,
    steps=1500,
    batch_size=32,
    learning_rate=3e-3,
    weight=10.0,  # of the solver's local error; at 100 it costs accuracy
    seed=0,
    figure=None,
):
    rng = np.random.default_rng(seed)

    # Data: the first sample is complete, as the start of the solution; NaN is missing.
    ts, clean = spirals(rng, series, samples, t1)
    ys = clean + noise * rng.normal(size=clean.shape)
    ys[:, 1:][rng.uniform(size=ys[:, 1:].shape) < missing] = np.nan
    lengths = rng.integers(samples // 2, samples + 1, series)
    target = ct.collate([ct.Series.from_nan(t[:n], y[:n]) for t, y, n in zip(ts, ys, lengths, strict=True)])
    data = ct.ArrayDataset(ct.Example(target.ys[:, 0], target))

    # Model: what is measured is asked of Integrate, what is punished of the objective.
    field = ct.fields.MLPField(2, width=width, key=jax.random.key(seed))
    model = ct.NeuralODE(field, 2, integrate=ct.Integrate(measures=(ct.measures.local_error,)))
    schedule = optax.cosine_decay_schedule(learning_rate, steps)
    step = ct.make_step(
        ct.objective(ct.losses.squared, {"local_error": (weight, ct.measures.local_error)}),
        optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule)),
    )
    state = step.init(model, key=jax.random.key(seed + 1))
    result = ct.fit(step, state, data, steps=steps, batch_size=min(batch_size, series))

    # Judged on new spirals, without noise.
    ts, clean = spirals(rng, series, samples, t1)
    predict = eqx.filter_jit(lambda model, y0, ts: jax.vmap(model)(y0, ts))
    out = predict(result.model, jnp.asarray(clean[:, 0]), jnp.asarray(ts))
    out.stats.check()
    rmse = float(ct.metrics.rmse(clean, out.ys))
    evaluations = float(np.mean(np.asarray(out.stats.evaluations)))
    print(f"root mean square error on new spirals: {rmse:.4f} (noise in training: {noise})")
    print(f"field evaluations for one of them: {evaluations:.0f}")
    penalty = result.history[-1]["local_error"]
    if figure is not None:
        draw(target, ts, clean, out.ys, figure)
    return {"rmse": rmse, "evaluations": evaluations, "local_error": penalty, "traces": step.traces}


if __name__ == "__main__":
    main(figure="neural_ode_spiral.svg")
