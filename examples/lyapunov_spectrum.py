"""Lyapunov spectra and Kaplan-Yorke dimensions of known systems, a flow and a map.

Published values: Lorenz-63 0.906, 0, -14.57 (Sprott 2003); Henon map 0.419, -1.623.
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np

from ctmodels import metrics, systems


def henon(y):
    return jnp.stack([1 - 1.4 * y[0] ** 2 + y[1], 0.3 * y[0]])


def draw(spectra, path):
    """The exponents of each system."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(spectra), figsize=(9, 3.2), layout="constrained")
    for axis, (name, spectrum) in zip(axes, spectra.items(), strict=True):
        places = np.arange(1, len(spectrum) + 1)
        bars = axis.bar(places, spectrum, color=np.where(np.asarray(spectrum) > 0.01, "C1", "C0"))
        axis.bar_label(bars, fmt="%.3f", fontsize="small", padding=2)
        axis.axhline(0, color="0.5", linewidth=0.8)
        axis.set(title=name, xticks=places, xlabel="exponent")
        axis.margins(y=0.15)
    axes[0].set_ylabel("rate [1/time]")
    figure.savefig(path)
    plt.close(figure)


def main(time=500.0, dt=0.01, iterations=50_000, figure=None):
    # A flow: a field is stepped by Runge-Kutta, so `dt` must resolve its fastest contraction.
    flow = eqx.filter_jit(metrics.lyapunov_spectrum_of_field)
    systems_at = {
        "Lorenz-63": (systems.Lorenz63(), jnp.array([1.0, 1.0, 25.0])),
        "Roessler": (systems.Roessler(), jnp.array([1.0, 1.0, 0.0])),
    }
    steps = round(time / dt)
    spectra = {
        name: flow(field, y0, dt=dt, steps=steps, transient=steps // 10) for name, (field, y0) in systems_at.items()
    }

    # A map: any function of the state.
    discrete = eqx.filter_jit(metrics.lyapunov_spectrum)
    spectra["Henon map"] = discrete(henon, jnp.zeros(2), steps=iterations, transient=1000)

    print(f"{'system':12} {'exponents':28} {'dimension':>9}")
    for name, spectrum in spectra.items():
        exponents = ", ".join(f"{x:.3f}" for x in np.asarray(spectrum))
        print(f"{name:12} {exponents:28} {float(metrics.kaplan_yorke(spectrum)):9.3f}")
    lorenz = spectra["Lorenz-63"]
    if figure is not None:
        draw(spectra, figure)
    return {
        "lorenz_max": float(lorenz[0]),
        "lorenz_sum": float(lorenz.sum()),
        "lorenz_dimension": float(metrics.kaplan_yorke(lorenz)),
        "henon_max": float(spectra["Henon map"][0]),
    }


if __name__ == "__main__":
    main(figure="lyapunov_spectrum.svg")
