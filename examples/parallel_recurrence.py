"""A nonlinear recurrence, all rows at once: how many iterations that takes, and what says so beforehand.

A network h' = tanh(g W h + x) forgets its start where the gain g is small, and is chaotic where it is large. Newton's
method with the whole Jacobian, with its diagonal, and damped, comes to the states that `jax.lax.scan` finds row by row:
in few iterations where the largest exponent of the driven network is negative, and else in about as many as there are
rows. On a CPU that is no gain in time in any case: the figure counts iterations.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct

WAYS = {
    "full": dict(linearisation=ct.ssm.FullJacobian()),
    "diagonal": dict(linearisation=ct.ssm.DiagonalJacobian()),
    "damped": dict(linearisation=ct.ssm.FullJacobian(), damping=0.01),
}
SIZES = {"full": 5, "diagonal": 5, "damped": 9}  # of markers, some of which lie on one another


class Network(eqx.Module):
    weights: jax.Array

    def __call__(self, h, x):
        return jnp.tanh(self.weights @ h + x)


@eqx.filter_jit
def row_by_row(network, h0, xs):
    return jax.lax.scan(lambda h, x: (network(h, x),) * 2, h0, xs)[1]


@eqx.filter_jit
def errors_of_iterates(network, h0, xs, way, count):
    """How far each iterate is from the states, at most: `(count,)`."""
    true = row_by_row(network, h0, xs)

    def iterate(hs, _):
        hs = ct.ssm.newton_step(network, h0, xs, hs, **way)
        return hs, jnp.max(jnp.abs(hs - true))

    return jax.lax.scan(iterate, jnp.zeros_like(true), None, length=count)[1]


@eqx.filter_jit
def solve_all(networks, h0, xs, way, most):
    """The statistics for each gain, and how far the states are from those row by row."""

    def solve(network):
        hs, stats = ct.ssm.newton_scan(network, h0, xs, solver=ct.ssm.NewtonScan(max_iterations=most, **way))
        return stats, jnp.max(jnp.abs(hs - row_by_row(network, h0, xs)))

    return eqx.filter_vmap(solve)(networks)


def draw(errors, found, rows, path):
    """Errors against iterations, for one gain; iterations against exponents, for all of them."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (above, below) = plt.subplots(2, 1, figsize=(6, 6), layout="constrained")
    for (name, values), marker in zip(errors.items(), "osd", strict=True):
        above.semilogy(np.arange(1, len(values) + 1), values, marker + "-", markersize=3, label=name)
        exponents, iterations, converged = found[name]
        (line,) = below.semilogy(exponents, iterations, "-", linewidth=0.8)
        for kept, face in ((converged, line.get_color()), (~converged, "none")):
            below.semilogy(
                exponents[kept],
                iterations[kept],
                marker,
                color=line.get_color(),
                markerfacecolor=face,
                markersize=SIZES[name],
            )
    above.set(title="one network that forgets", xlabel="iteration", ylabel="largest error of a state")
    below.set(title=f"{len(exponents)} gains (open: given up)", xlabel="largest exponent per row", ylabel="iterations")
    below.axvline(0, color="0.7", linewidth=0.8, zorder=0)
    below.axhline(rows, color="0.7", linewidth=0.8, linestyle="--", zorder=0)
    below.text(exponents[0], 0.95 * rows, "as many as rows", va="top", color="0.4")
    above.legend(frameon=False)
    figure.savefig(path)
    plt.close(figure)


def main(units=24, rows=200, gains=(0.5, 0.8, 1.1, 1.4, 1.7, 2.0, 3.0), shown=1, most=200, seed=0, figure=None):
    of_weights, of_start, of_xs = jax.random.split(jax.random.key(seed), 3)
    weights = jax.random.normal(of_weights, (units, units)) / np.sqrt(units)
    h0, xs = jax.random.normal(of_start, (units,)), 0.3 * jax.random.normal(of_xs, (rows, units))
    networks = Network(jnp.asarray(gains)[:, None, None] * weights[None])
    one = jax.tree.map(lambda x: x[shown], networks)

    errors, found, numbers = {}, {}, {}
    for name, way in WAYS.items():
        errors[name] = np.asarray(errors_of_iterates(one, h0, xs, way, 20))
        stats, error = solve_all(networks, h0, xs, way, most)
        found[name] = (np.asarray(stats.exponent), np.asarray(stats.iterations), np.asarray(stats.converged))
        numbers[f"error_{name}"] = float(error[shown])
        numbers[f"iterations_{name}"] = int(stats.iterations[shown])
        numbers[f"converged_{name}"] = int(np.sum(stats.converged))
    if figure is not None:
        draw(errors, found, rows, figure)
    exponents = found["full"][0]
    print("gain, largest exponent per row, iterations: " + ", ".join(WAYS))
    for i, gain in enumerate(gains):
        counts = [f"{n[i]:4d}{' ' if done[i] else '*'}" for _, n, done in found.values()]
        print(f"{gain:4.1f} {exponents[i]:8.3f}  " + "  ".join(counts))
    print("(*: given up)")
    return numbers | {"least": float(exponents.min()), "largest": float(exponents.max())}


if __name__ == "__main__":
    main(figure="parallel_recurrence.svg")
