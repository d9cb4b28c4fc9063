"""A batch of van der Pol oscillators, from easy to stiff: a step for each sample or one for all, the statistics of the
work, and a sample that cannot be solved.
"""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct


def van_der_pol(t, y, mu):
    return jnp.stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])


@eqx.filter_jit
def solve(integrate, ts, y0s, mus):
    """Written for one sample, run for the batch."""
    return jax.vmap(lambda y0, mu: integrate(van_der_pol, ts, y0, mu))(y0s, mus)


@eqx.filter_jit
def sensitivity(integrate, ts, y0s, mus):
    """Each sample's d|y(t1)|^2 / d mu: the gradient of the steps as taken."""
    last = lambda mu, y0: jnp.sum(integrate(van_der_pol, ts, y0, mu)[0][-1] ** 2)
    return jax.vmap(jax.grad(last))(mus, y0s)


def draw(mus, evaluations, errors, path):
    """The work that each sample took, and how far it was off."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.4), layout="constrained")
    for batching in evaluations:
        label = {"per_sample": "steps of its own", "shared": "steps in common"}[batching]
        axes[0].plot(mus, evaluations[batching], label=label)
        axes[1].semilogy(mus, errors[batching], label=label)
    axes[0].set(xlabel="stiffness μ", ylabel="evaluations of the field", ylim=(0, None))
    axes[1].set(xlabel="stiffness μ", ylabel="error (root mean square)")
    axes[0].legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def main(samples=64, t1=10.0, stiffest=20.0, tolerance=1e-4, figure=None):
    ts = jnp.linspace(0.0, t1, 11)
    mus = jnp.linspace(0.5, stiffest, samples)
    y0s = jnp.tile(jnp.array([2.0, 0.0]), (samples, 1))
    controller = diffrax.PIDController(rtol=tolerance, atol=tolerance)
    reference, _ = solve(ct.Integrate(diffrax.Dopri8(), diffrax.PIDController(rtol=1e-6, atol=1e-6)), ts, y0s, mus)

    errors, evaluations, each, off = {}, {}, {}, {}
    print(f"{'steps':12} {'evaluations':>22} {'shortest':>9} {'longest':>9} {'error':>9}")
    for batching in ("per_sample", "shared"):
        ys, stats = solve(ct.Integrate(controller=controller, batching=batching), ts, y0s, mus)
        stats.check()
        errors[batching] = float(jnp.sqrt(jnp.mean((ys - reference) ** 2)))
        evaluations[batching] = float(jnp.mean(stats.evaluations, dtype=ys.dtype))
        each[batching], off[batching] = stats.evaluations, jnp.sqrt(jnp.mean((ys - reference) ** 2, axis=(1, 2)))
        work = f"{evaluations[batching]:.0f} ({int(stats.evaluations.min())} to {int(stats.evaluations.max())})"
        shortest, longest = float(stats.shortest.min()), float(stats.longest.max())
        print(f"{batching:12} {work:>22} {shortest:9.2g} {longest:9.2g} {errors[batching]:9.2g}")

    gradient = sensitivity(ct.Integrate(controller=controller), ts, y0s, mus)
    print(f"d|y(t1)|^2 / d mu of the first sample: {float(gradient[0]):.4f}")

    # One far too stiff for explicit steps: it fails with words, and harms no other.
    few = ct.Integrate(controller=controller, max_steps=300)
    ys, stats = solve(few, ts, y0s[:3], jnp.array([1.0, 1e4, 2.0]))
    try:
        stats.check()
    except RuntimeError as error:
        print(error)
    if figure is not None:
        draw(mus, each, off, figure)
    return {
        "error": errors["per_sample"],
        "error_shared": errors["shared"],
        "saved_by_own_steps": 1 - evaluations["per_sample"] / evaluations["shared"],
        "failed": int(np.sum(stats.status != 0)),
        "sensitivity": float(gradient[0]),
    }


if __name__ == "__main__":
    main(figure="batched_solves.svg")
