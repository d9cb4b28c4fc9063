"""Lyapunov exponents of the catalogue's systems by QR, beside dysts' estimates of them.

All but equations with a delay and Torus (whose field depends on the time), in twice their own steps over a hundred
periods: good to about ten per cent, as chaos goes. A clock adds an exponent of zero.
"""

import math

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks._harness import main
from ctmodels import metrics, systems


def measured(system, periods: int) -> dict:
    """The spectrum over so many periods after a tenth of them."""
    each = 10 * math.ceil(system.period / system.dt / 20)
    steps, dt, y0 = periods * each, system.period / each, jnp.asarray(system.y0, float)
    spectrum = jax.jit(
        lambda y0: metrics.lyapunov_spectrum_of_field(
            system.field, y0, dt=dt, steps=steps, transient=steps // 10, every=10
        )
    )
    exponents = np.asarray(spectrum(y0), float)
    return {
        "system": system.name,
        "largest": float(exponents[0]),
        "dysts": system.largest_exponent,
        "ratio": float(exponents[0]) / system.largest_exponent,
        "kaplan_yorke": float(metrics.kaplan_yorke(jnp.asarray(exponents))),
        "dysts_kaplan_yorke": system.kaplan_yorke,
        "spectrum": exponents.tolist(),
        "time": periods * system.period,
    }


def run(quick: bool) -> tuple[list[dict], dict]:
    chosen = systems.catalogue.where(lambda s: not s.delay and s.name != "Torus")
    names = ["Lorenz", "Rossler"] if quick else list(chosen)
    rows = [measured(chosen[name], 3 if quick else 100) for name in names]
    ratios = np.array([row["ratio"] for row in rows])
    known = np.isfinite(ratios)
    summary = {
        "systems": len(rows),
        "lorenz": rows[names.index("Lorenz")]["spectrum"],
        "median_ratio": float(np.median(ratios[known])),
        "within_20_percent": float(np.mean(np.abs(ratios[known] - 1) < 0.2)),
        "not_chaotic": [row["system"] for row in rows if not row["largest"] * row["time"] > 3],
    }
    return rows, summary


if __name__ == "__main__":
    jax.config.update("jax_enable_x64", True)
    main("systems", run)
