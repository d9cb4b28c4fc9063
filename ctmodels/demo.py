"""The demonstration: the main job on a century-old ecological record and on a noisy chaotic system."""

from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ctmodels import data, systems
from ctmodels.data import Table
from ctmodels.reconstruction import Recipe, Reconstruction, reconstruct


def demo(out: str | Path = "runs/demo") -> dict[str, Reconstruction]:
    """Run both reconstructions, write their reports below `out`, and say where they are."""
    out = Path(out)
    print("Hudson's Bay lynx and hare, 1900-1920: a law against two networks. Trained to 1913, judged on 1914-1920.")
    pelts = reconstruct(
        data.lynx_hare(),
        models=["lotka-volterra", "hybrid-lotka-volterra", "neural"],
        held_out=7,
        season=10,
        log=True,
        out=out / "lynx_hare",
        overwrite=True,
    )
    print(f"{pelts.verdict}\n")
    print("Lorenz-63 with 5 % noise, 6000 samples: a network that must find the field by itself.")
    # Half the steps of a good fit and fewer members: this is a demonstration, and should be over soon.
    short = lambda samples: Recipe(members=3, steps=2500)
    lorenz = reconstruct(noisy_lorenz63(6000), recipe=short, out=out / "lorenz63", overwrite=True)
    exponent = lorenz.fitted["neural"].scores["lyapunov_max"].value
    print(f"{lorenz.verdict} Largest Lyapunov exponent {exponent:.3g} (true: 0.906).\n")
    for name in ("lynx_hare", "lorenz63"):
        print(f"report: {out / name / 'report.html'}")
    return {"lynx_hare": pelts, "lorenz63": lorenz}


def noisy_lorenz63(samples: int, *, dt: float = 0.02, noise: float = 0.05, seed: int = 0) -> Table:
    """A trajectory on the attractor plus Gaussian noise, of `noise` standard deviations of each channel."""
    rng = np.random.default_rng(seed)
    y0 = jnp.asarray(np.array([0.0, 0.0, 25.0]) + rng.normal(size=3), jnp.zeros(()).dtype)
    clean = np.asarray(systems.simulate(systems.Lorenz63(), y0, dt=dt, steps=samples, transient=1000), np.float64)
    values = clean + noise * clean.std(axis=0) * rng.normal(size=clean.shape)
    return Table(dt * np.arange(samples), values, ("x", "y", "z"), "t", "", "", "noisy Lorenz-63")
