"""Classify irregular series: which way does it turn, when half of the values are missing?

A neural CDE reads each record at times of its own. Nothing is filled in.
"""

import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import ctmodels as ct


def main(number=128, samples=40, steps=200, seed=0, figure=None):
    rng, series, labels = np.random.default_rng(seed), [], np.arange(2 * number) % 2
    for label in labels:
        ts = np.sort(rng.uniform(0, 6, samples))
        angle = (2 * label - 1) * ts + rng.uniform(0, 2 * np.pi)
        ys = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        ys[rng.uniform(size=ys.shape) < 0.5] = np.nan
        series.append(ct.Series.from_nan(ts, ys, one_of_many=True))
    data = ct.ArrayDataset(ct.Example(ct.collate(series), jnp.asarray(labels)))
    train, test = ct.ArrayDataset(data[jnp.arange(number)]), data[jnp.arange(number, 2 * number)]
    model = ct.NeuralCDE(2, 8, 2, key=jax.random.key(seed))
    step = ct.make_step(ct.objective(ct.losses.cross_entropy), optax.adam(5e-3))
    result = ct.fit(step, step.init(model, key=jax.random.key(seed)), train, steps=steps, batch_size=32)
    scores = jax.jit(jax.vmap(lambda x: result.model(x, x.end).ys[-1]))(test.x)
    accuracy = float(jnp.mean(jnp.argmax(scores, axis=1) == test.target))
    print(f"{accuracy:.0%} of {number} new records are right")
    if figure is not None:
        _, axes = plt.subplots(figsize=(6, 3), layout="constrained")
        axes.hist([scores[test.target == k] @ jnp.array([-1.0, 1.0]) for k in (0, 1)], 30, label=["right", "left"])
        axes.set(xlabel="evidence for a turn to the left", ylabel="records")
        axes.legend(title="turns to the", frameon=False)
        plt.savefig(figure)
    return {"accuracy": accuracy}


if __name__ == "__main__":
    main(figure="classify.svg")
