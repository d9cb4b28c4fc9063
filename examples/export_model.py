"""A trained model as one file that runs where ctmodels is not installed."""

import tempfile
from pathlib import Path

import jax
import jax.export
import numpy as np
import optax

import ctmodels as ct


def draw(starts, years, ahead, table, path):
    """What the file says of two starts, and what was counted."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for axis, row, forecast in zip(axes, (0, 5), ahead, strict=True):
        for channel, name in enumerate(table.names):
            axis.plot(range(4), table.values[row : row + 4, channel], "o", color=f"C{channel}", label=name)
            axis.plot(years[0], forecast[:, channel], color=f"C{channel}")
        axis.set(title=f"from {table.time[row]:.0f}", xlabel="years ahead", ylabel="pelts [thousands]", xticks=range(4))
    axes[0].legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def main(steps=500, window=6, width=32, batch_size=8, seed=0, figure=None):
    # Training: two coupled populations, on logarithms.
    table = ct.data.lynx_hare()
    scaling = ct.Scaling.fit(table.time, table.values, log=True)
    series = scaling.series(table.time, table.values, names=table.names)
    data = ct.Windows(series, window, starts=series.ys)
    field = ct.fields.MLPField(2, width=width, key=jax.random.key(seed))
    model = ct.NeuralODE(field, 2, integrate=ct.Integrate(ct.RK4(), ct.Substeps(4)))
    step = ct.make_step(ct.objective(ct.losses.squared), optax.adam(3e-3))
    state = step.init(model, key=jax.random.key(seed + 1))
    model = ct.fit(step, state, data, steps=steps, batch_size=batch_size, progress=False).model

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "pelts.stablehlo"
        ct.export(path, model, scaling)
        kilobytes = path.stat().st_size / 1024
        # From here on only JAX is needed: starts and times in the data's own units, two starts at once.
        solve = jax.export.deserialize(bytearray(path.read_bytes())).call
        starts = table.values[[0, 5]].astype(series.ys.dtype)
        years = np.broadcast_to(np.arange(4, dtype=starts.dtype), (2, 4))
        ahead = np.asarray(solve(starts, years))

    wanted = scaling.unscale(model(series.ys[0], series.ts[:4]).ys)
    difference = float(np.max(np.abs(ahead[0] / wanted - 1)))
    print(f"{kilobytes:.0f} kB; differs from the model in Python by {difference:.1e} at most")
    if figure is not None:
        draw(starts, years, ahead, table, figure)
    return {"difference": difference, "kilobytes": kilobytes}


if __name__ == "__main__":
    main(figure="export_model.svg")
