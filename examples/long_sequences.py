"""Classify long noisy signals by a slow beat, then at half the rate, and at random rows, without training again.

Each signal of a thousand rows and more is a tone whose loudness rises and falls at one of four slow rates, under as
much noise; what tells the classes apart takes hundreds of rows to see. Rows are equally spaced in training, so that
each layer is one convolution. The same parameters then answer at half the rate, with twice the spacing, and at a random
half of the rows, from row to row: a layer knows time, not numbers of rows.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

BEATS = (2.0, 3.0, 4.0, 5.0)  # per record


def signals(seed, number, length, noise):
    """Series of one channel, at times 0, 1, ..., and the numbers of their beats."""
    rng = np.random.default_rng(seed)
    ts = np.arange(length, dtype=np.float32)
    beat = rng.integers(len(BEATS), size=number)
    phase, tone = rng.uniform(0, 2 * np.pi, (2, number, 1))
    slow = 2 * np.pi * np.take(BEATS, beat)[:, None] * ts / length + phase
    fast = 2 * np.pi * rng.uniform(0.02, 0.06, (number, 1)) * ts + tone
    ys = (1 + np.sin(slow)) * np.sin(fast) + noise * rng.normal(size=(number, length))
    ys = jnp.asarray(ys[..., None], jnp.float32)
    series = ct.Series(jnp.broadcast_to(jnp.asarray(ts), (number, length)), ys, jnp.ones(ys.shape, bool))
    return ct.Example(series, jnp.asarray(beat))


def half_the_rate(data):
    return ct.Example(jax.tree.map(lambda a: a[:, ::2], data.x), data.target)


def at_random(data, seed):
    """Half of the rows, of each series its own, and the last."""
    rng, (number, length) = np.random.default_rng(seed), data.x.ts.shape
    at = np.sort(np.argsort(rng.uniform(size=(number, length)), axis=1)[:, : length // 2], axis=1)
    pick = lambda a: jnp.take_along_axis(a, jnp.asarray(at.reshape(*at.shape, *[1] * (a.ndim - 2))), axis=1)
    return ct.Example(jax.tree.map(pick, data.x), data.target)


@eqx.filter_jit
def right(model, data):
    score = lambda example: jnp.argmax(model(example.x, example.x.end).ys[0]) == example.target
    return jnp.mean(jax.lax.map(score, data, batch_size=32))


def draw(data, rates, figure):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure_, axes = plt.subplots(2, 1, figsize=(6, 4.5), layout="constrained")
    axes[0].plot(data.x.ts[0], data.x.ys[0, :, 0], lw=0.5)
    axes[0].set(xlabel="time", title=f"{BEATS[int(data.target[0])]:g} beats")
    axes[1].barh(list(rates), [100 * rate for rate in rates.values()])
    axes[1].set(xlim=(0, 100), xlabel="right on new signals, %")
    axes[1].axvline(100 / len(BEATS), color="k", ls=":")
    figure_.savefig(figure)
    plt.close(figure_)


def main(
    number=512,
    length=1024,
    noise=1.0,
    features=32,
    depth=3,
    modes=16,
    steps=400,
    batch_size=32,
    learning_rate=4e-3,
    seed=0,
    figure=None,
):
    data, test = signals(seed, number, length, noise), signals(seed + 1, number // 2, length, noise)
    layer = functools.partial(ct.layers.S4D, modes=modes, steps=(1e-3, 1e-1))
    key = jax.random.key(seed)
    model = ct.StateSpace(1, len(BEATS), layer=layer, features=features, depth=depth, pooled=True, spacing=1.0, key=key)
    schedule = optax.warmup_cosine_decay_schedule(0.0, learning_rate, steps // 10 + 1, steps)
    slow = optax.warmup_cosine_decay_schedule(0.0, learning_rate / 4, steps // 10 + 1, steps)
    optimiser = optax.multi_transform({"slow": optax.adam(slow), "other": optax.adamw(schedule)}, ct.layers.label)
    step = ct.make_step(ct.objective(ct.losses.cross_entropy), optimiser)
    state = step.init(model, key=jax.random.key(seed + 1))
    model = ct.fit(step, state, ct.ArrayDataset(data), steps=steps, batch_size=min(batch_size, number)).model
    rates = {
        "as trained": float(right(model, test)),
        "half the rate": float(right(model.with_spacing(2.0), half_the_rate(test))),
        "half of the rows": float(right(model.with_spacing(None), at_random(test, seed + 2))),
    }
    for name, rate in rates.items():
        print(f"{name:>16}: {100 * rate:.1f} % right")
    if figure is not None:
        draw(test, rates, figure)
    return {name.replace(" ", "_"): rate for name, rate in rates.items()}


if __name__ == "__main__":
    main(figure="long_sequences.svg")
