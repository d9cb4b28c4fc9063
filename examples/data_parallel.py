"""One model on all devices: each takes its share of every batch, and the gradients are summed once a step.

    python examples/data_parallel.py
    XLA_FLAGS=--xla_force_host_platform_device_count=8 python examples/data_parallel.py
    python examples/data_parallel.py --processes 2 --process 0 --coordinator 127.0.0.1:9911 & \
    python examples/data_parallel.py --processes 2 --process 1 --coordinator 127.0.0.1:9911

The first takes what devices there are, the second makes eight of one CPU, the third has two processes, on one machine
or on two. What is learned is the same but for rounding; nothing but the call of `initialize` differs.
"""

import argparse
import json

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct


def oscillations(rng, count, samples):
    """Series of one damped oscillator at irregular times, a fifth of the values missing."""
    ts = np.cumsum(rng.uniform(0.05, 0.25, (count, samples)), axis=1)
    radius, angle = rng.uniform(0.5, 1.5, (count, 1)), rng.uniform(0, 2 * np.pi, (count, 1))
    ys = radius[..., None] * np.exp(-0.1 * ts)[..., None] * np.stack([np.cos(ts + angle), np.sin(ts + angle)], axis=2)
    ys[:, 1:][rng.uniform(size=ys[:, 1:].shape) < 0.2] = np.nan
    target = ct.collate([ct.Series.from_nan(t, y) for t, y in zip(ts, ys, strict=True)])
    return ct.Example(target.ys[:, 0], target)


def draw(truth, model, history, path):
    """The loss on the way, and some of the new series."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    left.semilogy([row["step"] for row in history], [row["loss"] for row in history])
    left.set(xlabel="step", ylabel="loss of a batch")
    for i in range(3):
        seen, ys = np.asarray(truth.target.mask[i, :, 0]), model(truth.x[i], truth.target.ts[i]).ys
        right.plot(truth.target.ts[i, seen], truth.target.ys[i, seen, 0], "o", color=f"C{i}", markersize=4)
        right.plot(truth.target.ts[i], ys[:, 0], color=f"C{i}")
    right.set(title="new series, and the model from their start", xlabel="time", ylabel="first coordinate")
    figure.savefig(path)
    plt.close(figure)


def main(series=128, samples=20, width=32, steps=1000, batch_size=64, learning_rate=1e-2, seed=0, figure=None):
    # The same in every process: data and their order, the model, its start.
    rng = np.random.default_rng(seed)
    data, new = ct.ArrayDataset(oscillations(rng, series, samples)), oscillations(rng, series, samples)
    field = ct.fields.MLPField(2, width=width, key=jax.random.key(seed))
    model = ct.NeuralODE(field, 2, integrate=ct.Integrate(ct.RK4(), ct.Substeps(2)))

    # All devices of all processes, in a row; their number divides the batch size.
    devices = len(jax.devices())
    mesh = jax.make_mesh((devices,), ("data",))
    optimiser = optax.adam(optax.cosine_decay_schedule(learning_rate, steps))
    step = ct.make_step(ct.objective(ct.losses.squared), optimiser, mesh=mesh)
    state = step.init(model, key=jax.random.key(seed + 1))

    # The error on new series is judged by each process for itself, on one device.
    judge = eqx.filter_jit(ct.pooled(ct.losses.squared))
    error = lambda model, _: judge(model, new, jax.random.key(0))[0]
    result = ct.fit(step, state, data, steps=steps, batch_size=batch_size, validate=error,
                    progress=jax.process_index() == 0)  # fmt: skip

    rmse = float(jnp.sqrt(error(result.model, new)))
    print(f"root mean square error on new series: {rmse:.4f}, from {devices} device(s)")
    if figure is not None:
        draw(new, result.model, result.history, figure)
    return {"rmse": rmse, "loss": result.history[-1]["loss"], "devices": devices, "traces": step.traces}


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--process", type=int, default=0, help="which of them this is, from 0")
    parser.add_argument("--coordinator", help="host:port of process 0, free there")
    parser.add_argument("--steps", type=int, default=1000)
    said = parser.parse_args()
    if said.processes > 1:
        jax.distributed.initialize(said.coordinator, said.processes, said.process)
    print(json.dumps(main(steps=said.steps, figure="data_parallel.svg" if said.process == 0 else None)))
