"""Which way does a spiral turn, when seven values in ten are missing? A neural CDE reads what is left.

Each spiral has times of its own; each coordinate is observed by itself, at random. The same model, asked at other
times, says after every observation what it thinks so far.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct


def spirals(rng, number, samples, missing):
    """Half of them turn to the left, half to the right."""
    found, labels = [], np.arange(number) % 2
    for label in labels:
        ts = 4 * np.pi * np.cumsum(rng.uniform(0.2, 1.8, samples)) / samples
        turn = (1 if label else -1) * ts + rng.uniform(0, 2 * np.pi)
        ys = np.exp(-ts[:, None] / 6) * np.stack([np.cos(turn), np.sin(turn)], axis=1)
        ys[rng.uniform(size=ys.shape) < missing] = np.nan
        found.append(ct.Series.from_nan(ts / 4, ys, one_of_many=True))
    return ct.collate(found), jnp.asarray(labels)


def draw(series, labels, ts, online, path):
    """Two of the spirals as they are seen, and how many are right so far."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained")
    for axis, i in zip(axes, (0, 1), strict=False):
        seen = np.asarray(series.mask[i])
        for channel, name in enumerate("xy"):
            at = seen[:, channel]
            axis.plot(series.ts[i, at], series.ys[i, at, channel], ".", label=name)
        axis.set(title=("to the right", "to the left")[int(labels[i])], xlabel="time")
    axes[0].legend(frameon=False)
    axes[2].plot(ts, 100 * online, "o-")
    axes[2].axhline(50, color="0.7", linestyle="--")
    axes[2].set(title="right so far", xlabel="time", ylabel="of new spirals [%]", ylim=(40, 102))
    figure.savefig(path)
    plt.close(figure)


def main(number=256, samples=100, missing=0.7, hidden=16, width=64, steps=400, batch_size=64, seed=0, figure=None):
    rng = np.random.default_rng(seed)
    train, test = (spirals(rng, number, samples, missing) for _ in range(2))

    model = ct.NeuralCDE(2, hidden, 2, width=width, key=jax.random.key(seed))
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.cosine_decay_schedule(5e-3, steps)))
    step = ct.make_step(ct.objective(ct.losses.cross_entropy), optimiser)
    state = step.init(model, key=jax.random.key(seed + 1))
    model = ct.fit(step, state, ct.ArrayDataset(ct.Example(*train)), steps=steps, batch_size=batch_size).model

    # At the end of each, and on the way: how sure it is after a quarter, a half, ... of the time.
    series, labels = test
    answers = eqx.filter_jit(lambda model, series: jax.vmap(lambda x: model(x, x.end).ys[-1])(series))
    accuracy = float(jnp.mean(jnp.argmax(answers(model, series), axis=1) == labels))
    online = eqx.filter_jit(lambda model, series, ts: jax.vmap(lambda x: model(x, ts).ys)(series))
    ts = jnp.linspace(0, np.pi, 5)[1:]
    so_far = jnp.mean(jnp.argmax(online(model, series, ts), axis=2) == labels[:, None], axis=0)
    print(f"{number} spirals, {missing:.0%} of the values missing: {accuracy:.1%} right")
    print("after a quarter, a half, ... of the time: " + ", ".join(f"{right:.1%}" for right in so_far))
    if figure is not None:
        draw(series, labels, ts, so_far, figure)
    return {"accuracy": accuracy, "halfway": float(so_far[1])}


if __name__ == "__main__":
    main(figure="classify_spirals.svg")
