"""Stream: a model that reads row by row, keeps a memory of fixed size, and says what comes next.

A GRU-ODE-Bayes is trained to say each row before it sees it; then a record comes in, a row at a time.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import matplotlib.pyplot as plt
import numpy as np
import optax

import ctmodels as ct


def main(number=64, samples=30, hidden=16, steps=300, seed=0, figure=None):
    rng, records = np.random.default_rng(seed), []
    for ts in np.cumsum(rng.uniform(0.1, 0.5, (number + 1, samples)), axis=1):
        ys = np.sin(1.5 * ts + rng.uniform(0, 6.3))[:, None] + 0.05 * rng.normal(size=(samples, 1))
        records.append(ct.Series.from_nan(ts, ys, one_of_many=True))
    seen, new = ct.collate(records[:-1]), records[-1]
    model = ct.GRUODEBayes(1, hidden, key=jax.random.key(seed))
    step = ct.make_step(ct.objective(ct.losses.one_step_likelihood), optax.adam(5e-3))
    data, state = ct.ArrayDataset(ct.Example(seen, seen)), step.init(model, key=jax.random.key(seed))
    model = ct.fit(step, state, data, steps=steps, batch_size=32).model
    observe, predict, memory, said = eqx.filter_jit(model.observe), eqx.filter_jit(model.predict), model.init(), []
    for t, y, mask in zip(new.ts, new.ys, new.mask, strict=True):
        said.append(predict(memory, t[None]).ys[0])  # before the row is seen
        memory = observe(memory, t, y, mask)
    error = float(ct.metrics.rmse(new.ys[5:], jnp.stack(said[5:])))
    print(f"each row was said before it came, with an error of {error:.3f} from the sixth on")
    if figure is not None:
        _, axes = plt.subplots(figsize=(7, 3), layout="constrained")
        axes.plot(new.ts, new.ys, "k.", label="came in")
        axes.plot(new.ts, said, "o-", markersize=3, linewidth=0.8, label="said before")
        axes.legend(frameon=False)
        plt.savefig(figure)
    return {"error": error}


if __name__ == "__main__":
    main(figure="stream.svg")
