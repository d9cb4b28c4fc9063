"""Export: a model as one file that needs nothing but JAX to run, in the data's own units."""

import tempfile
from pathlib import Path

import jax
import jax.export
import matplotlib.pyplot as plt
import numpy as np

import ctmodels as ct


def main(samples=300, ahead=200, figure=None):
    orbit = np.asarray(ct.systems.simulate(ct.systems.VanDerPol(), jax.numpy.array([2.0, 0.0]), dt=0.1, steps=samples))
    ts = 0.1 * np.arange(samples)
    scaling = ct.Scaling.fit(ts, orbit[:samples])
    model, _ = ct.regression.sparse_law(scaling.series(ts, orbit[:samples]), degree=3)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "oscillator.stablehlo"
        ct.export(path, model, scaling)
        kilobytes = path.stat().st_size / 1024
        solve = jax.export.deserialize(bytearray(path.read_bytes())).call  # from here on only JAX is needed
    starts = np.array([[2.0, 0.0], [0.1, 0.0]], np.float32)
    times = np.broadcast_to(0.1 * np.arange(ahead, dtype=np.float32), (2, ahead))
    ahead_of_both = np.asarray(solve(starts, times))
    error = float(np.max(np.abs(ahead_of_both[0] - orbit[:ahead])))
    print(f"{kilobytes:.0f} kB; from the first row on it is off by {error:.3f} at most")
    if figure is not None:
        _, axes = plt.subplots(figsize=(5, 4), layout="constrained")
        for ys in ahead_of_both:
            axes.plot(*ys.T)
        axes.set(xlabel="x", ylabel="x'", title="two starts, solved by the file")
        plt.savefig(figure)
    return {"error": error, "kilobytes": kilobytes}


if __name__ == "__main__":
    main(figure="export.svg")
