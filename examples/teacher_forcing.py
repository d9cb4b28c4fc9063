"""Teacher forcing: a map that goes on as a Lorenz system does, from noisy samples of it.

The longer a window of a chaotic series, the more its gradient explodes; drawn a little toward what was observed, it
does not (Hess et al. 2023). A shallow piecewise linear map learns so. Then it runs freely, and as it is linear in
regions, its fixed points are found exactly: those of the Lorenz system, from an orbit that never rests there.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import ctmodels as ct

DT = 0.02


def recorded(samples, noise, seed):
    """Noisy, z-scored; the clean orbit after it; and the fixed points in these units."""
    orbit = ct.systems.simulate(ct.systems.Lorenz63(), jnp.array([1.0, 2.0, 20.0]), dt=DT, steps=2 * samples + 500)
    orbit = np.asarray(orbit)[500:]
    mean, deviation = orbit.mean(axis=0), orbit.std(axis=0)
    ring = np.sqrt(8 / 3 * 27)
    rests = np.array([[0, 0, 0], [ring, ring, 27], [-ring, -ring, 27]])
    clean = (orbit - mean) / deviation
    noisy = clean[:samples] + noise * np.random.default_rng(seed).normal(size=(samples, 3))
    return ct.Series.from_nan(DT * np.arange(samples), noisy), clean[samples:], (rests - mean) / deviation


def gradients(model, series, lengths, alphas):
    """Norms, of windows from the first sample on: `(length, alpha)`."""
    norm = lambda example, alpha: optax.global_norm(
        eqx.filter_grad(lambda m: (lambda found: found[0] / found[1])(ct.losses.teacher_forcing(alpha)(m, example)))(
            model
        )
    )
    first = lambda length: ct.Windows(series, length, starts=series.to_nan())[jnp.asarray(0)]
    each = jax.jit(jax.vmap(norm, in_axes=(None, 0)))
    return np.array([each(first(length), jnp.asarray(alphas)) for length in lengths])


def draw(clean, run, lengths, norms, rests, figure):
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure_, axes = plt.subplots(1, 3, figsize=(11, 3.4), layout="constrained")
    for axis, orbit, title in ((axes[0], clean, "Lorenz"), (axes[1], run, "learned, free")):
        axis.plot(orbit[:, 0], orbit[:, 2], linewidth=0.3)
        axis.set(xlabel="x", ylabel="z", xlim=(-3, 3), ylim=(-3, 3.2), title=title)
    axes[1].plot(rests[:, 0], rests[:, 2], "r+", label="exact fixed points")
    axes[1].legend(frameon=False, fontsize=8)
    axes[2].loglog(lengths, norms[:, 0], "o-", label="free")
    axes[2].loglog(lengths, norms[:, 1], "o-", label="forced")
    axes[2].set(xlabel="samples of a window", ylabel="norm of the gradient")
    axes[2].legend(frameon=False, fontsize=8)
    figure_.savefig(figure)
    plt.close(figure_)


def main(
    samples=10_000,
    noise=0.05,
    width=50,
    window=100,
    alpha=0.15,
    steps=6000,
    batch_size=32,
    lengths=(50, 100, 200, 400, 800, 1600),
    seed=0,
    figure=None,
):
    series, clean, rests = recorded(samples, noise, seed)
    cell = ct.fields.ShallowPLRNN(3, width, key=jax.random.key(seed))
    model = ct.PLRNN(cell, ct.FirstChannels(3), dt=DT)

    # Training.
    rate = optax.exponential_decay(3e-3, steps, 1e-2)
    step = ct.make_step(ct.objective(ct.losses.teacher_forcing(alpha)), optax.radam(rate))
    windows = ct.Windows(series, window, starts=series.to_nan())
    state = step.init(model, key=jax.random.key(seed))
    model = ct.fit(step, state, windows, steps=steps, batch_size=batch_size, seed=seed).model

    # A free run, from where the series ends; how much forcing Jacobians ask for; gradients with and without it.
    ahead = jnp.asarray(DT * np.arange(len(clean)))
    run = np.asarray(eqx.filter_jit(model)(jnp.asarray(clean[0]), ahead).ys)
    wanted = float(ct.forcing.estimate(model, windows[jnp.arange(8) * (len(windows) // 8)]))
    norms = gradients(model, series, lengths, [0.0, wanted])
    d_stsp, d_h = ct.metrics.d_stsp(clean, run), ct.metrics.d_hellinger(clean, run)
    print(f"free run: D_stsp {d_stsp:.2f}, D_H {d_h:.3f}")
    print(f"forcing that Jacobians ask for: {wanted:.3f}; gradient over {lengths[-1]} samples: {norms[-1, 0]:.3g} free,"
          f" {norms[-1, 1]:.3g} forced")  # fmt: skip

    # Fixed points, exactly.
    found = ct.analysis.exact_cycles(model.cell, orbit=jnp.asarray(run[:1000])).found
    points = np.array([cycle.points[0] for cycle in found]).reshape(-1, 3)
    apart = [np.linalg.norm(points - rest, axis=1).min(initial=9.0) for rest in rests]
    print(f"{len(found)} fixed points; from each of the Lorenz system's, the nearest is {np.round(apart, 2)} away")
    if figure is not None:
        draw(clean, run, lengths, norms, points, figure)
    return {"d_stsp": float(d_stsp), "forced": float(norms[-1, 1]), "apart": float(max(apart))}


if __name__ == "__main__":
    main(figure="teacher_forcing.svg")
