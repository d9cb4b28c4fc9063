"""A run that is stopped and goes on: in two parts it ends in the same bits as in one.

The folder holds the checkpoints. The same call begins a run, goes on with one, and returns at once when there is
nothing left to do; so the script of a long job is started again as it is, after whatever stopped it.
"""

import tempfile
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct


def draw(broken, whole, path):
    """The loss of the broken run and of the whole one."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(6, 3.4), layout="constrained")
    for history, label, style in ((whole, "in one part", "-"), (broken, "the second of two", "o")):
        axes.semilogy([row["step"] for row in history], [row["loss"] for row in history], style, label=label)
    axes.set(xlabel="step", ylabel="loss")
    axes.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def main(samples=200, window=10, width=32, steps=1000, save_every=100, batch_size=32, seed=0, figure=None):
    ts = 0.1 * np.arange(samples)
    series = ct.Series.from_nan(ts, np.stack([np.cos(ts), -np.sin(ts)], axis=1))
    data = ct.Windows(series, window, starts=series.ys)
    step = ct.make_step(ct.objective(ct.losses.squared), optax.adam(optax.cosine_decay_schedule(1e-2, steps)))

    def train(folder, steps):
        field = ct.fields.MLPField(2, width=width, key=jax.random.key(seed))
        model = ct.NeuralODE(field, 2, integrate=ct.Integrate(ct.RK4(), ct.Substeps(1)))
        state = step.init(model, key=jax.random.key(seed + 1))
        about = {"width": width, "peak_rate": 1e-2}
        return ct.fit(step, state, data, steps=steps, batch_size=batch_size, folder=folder, resume=True,
                      save_every=save_every, every=save_every, about=about, progress=False)  # fmt: skip

    with tempfile.TemporaryDirectory() as runs:
        train(Path(runs) / "broken", steps // 2)
        broken = train(Path(runs) / "broken", steps)
        whole = train(Path(runs) / "whole", steps)
        ct.save(Path(runs) / "model.safetensors", broken.model, about={"width": width})
        kept = ct.load(Path(runs) / "model.safetensors", whole.model)
    leaves = [jax.tree.leaves(eqx.filter(m, eqx.is_array)) for m in (kept, whole.model)]
    differ = sum(not bool(jnp.array_equal(a, b)) for a, b in zip(*leaves, strict=True))
    print(f"loss {broken.history[-1]['loss']:.2e}; arrays that differ from the unbroken run: {differ}")
    if figure is not None:
        draw(broken.history, whole.history, figure)
    return {"differ": differ, "loss": broken.history[-1]["loss"]}


if __name__ == "__main__":
    main(figure="resume_training.svg")
