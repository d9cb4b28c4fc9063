"""Parameters of one's own law, with intervals: a damped pendulum, of which only the angle was seen.

Thirty short noisy trials, each from a start that nobody knows. The law is a plain function in its own units; damping
and stiffness come back with 90 % intervals. Then a law that asks too much: of mass, gravity and inertia only one number
shows, which is said, and no interval is given for what the data do not determine.
"""

from typing import Annotated

import jax.numpy as jnp
import numpy as np

import ctmodels as ct

TRUTH = {"damping": 0.3, "stiffness": 9.0}


def pendulum(
    t,
    y,
    *,
    damping: Annotated[ct.fields.PositiveFloat, "1/s"] = 1.0,
    stiffness: Annotated[ct.fields.PositiveFloat, "1/s²"] = 4.0,
):
    angle, velocity = y
    return [velocity, -damping * velocity - stiffness * jnp.sin(angle)]


def with_mass(t, y, *, damping=1.0, gravity=9.8, mass=1.0, inertia=2.0):
    angle, velocity = y
    return [velocity, -damping * velocity - mass * gravity / inertia * jnp.sin(angle)]


def measure(trials, samples, dt, noise, seed):
    """Angles with noise, `(time, 1)`, trials of several lengths."""
    rng = np.random.default_rng(seed)
    law = ct.fields.Law(pendulum, TRUTH)
    series = []
    for start in rng.uniform(-1.8, 1.8, (trials, 2)):
        rows = int(rng.integers(samples // 2, samples + 1))
        clean = ct.systems.simulate(law, jnp.asarray(start, float), dt=dt, steps=samples)[:rows, :1]
        series.append(ct.Series.from_nan(dt * np.arange(rows), clean + noise * rng.normal(size=clean.shape)))
    return series


def ellipse(parameters, level=4.605):
    """Where both parameters together lie nine times in ten (chi square of two)."""
    angle = np.linspace(0, 2 * np.pi, 200)
    a, b = parameters.table
    errors, r = np.array([a.error, b.error]), parameters.correlation[0, 1]
    root = np.linalg.cholesky([[1, r], [r, 1]])
    circle = np.sqrt(level) * root @ np.stack([np.cos(angle), np.sin(angle)])
    return (np.array([a.value, b.value]) + (errors[:, None] * circle).T).T


def draw(series, fit, drawn, path):
    """Trials with what the law has of them, and what is left open of its parameters."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 4.2), layout="constrained", width_ratios=(1.5, 1))
    for i, (one, line) in enumerate(list(zip(series, fit.fitted, strict=True))[:5]):
        left.plot(one.ts, one.to_nan()[:, 0] + 3 * i, "o", color=f"C{i}", markersize=3, alpha=0.6)
        left.plot(one.ts, line[:, 0] + 3 * i, color=f"C{i}", linewidth=1.5)
    left.set(title="five of the trials, and the law", xlabel="time [s]", ylabel="angle, each set off", yticks=[])
    damping, stiffness = fit.parameters.table
    right.axvspan(damping.lower, damping.upper, color="C0", alpha=0.1, linewidth=0)
    right.axhspan(stiffness.lower, stiffness.upper, color="C0", alpha=0.1, linewidth=0)
    right.plot(*ellipse(fit.parameters), color="C0", label="both, 90 %")
    right.plot(damping.value, stiffness.value, "o", color="C0", label="estimate")
    right.plot(TRUTH["damping"], TRUTH["stiffness"], "k*", markersize=11, label="truth")
    interval = (drawn["damping"].lower, drawn["damping"].upper)
    right.plot(interval, [stiffness.lower] * 2, "|-", color="C1", label="by bootstrap")
    right.plot([damping.lower] * 2, (drawn["stiffness"].lower, drawn["stiffness"].upper), "_-", color="C1")
    right.set(title="parameters, with 90 % intervals", xlabel="damping [1/s]", ylabel="stiffness [1/s²]")
    right.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2, frameon=False, fontsize="small")
    figure.savefig(path)
    plt.close(figure)


def main(trials=30, samples=30, dt=0.1, noise=0.1, bootstrap=200, seed=0, figure=None):
    series = measure(trials, samples, dt, noise, seed)
    fit = ct.reconstruction.fit_law(pendulum, series)
    print(fit.parameters)
    print(f"noise: {fit.noise[0]:.3f}, where {noise} was added")
    drawn = ct.uncertainty.intervals(fit, "bootstrap", draws=bootstrap)
    print(drawn)
    print(ct.reconstruction.fit_law(with_mass, series).parameters)
    if figure is not None:
        draw(series, fit, drawn, figure)
    found = [fit.parameters[name] for name in TRUTH]
    inside = sum(p.holds(true) for p, true in zip(found, TRUTH.values(), strict=True))
    error = max(abs(p.value / true - 1) for p, true in zip(found, TRUTH.values(), strict=True))
    return {"error": error, "inside": inside, "noise": float(fit.noise[0])}


if __name__ == "__main__":
    main(figure="fit_a_law.svg")
