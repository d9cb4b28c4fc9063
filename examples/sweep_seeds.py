"""How much of a comparison is chance? Two widths and three learning rates, by sixteen seeds each.

96 neural ODEs learn how a pendulum swings from four noisy series, in two compiled steps, one for each width. Members of
one seed see the same batches, so that a width is compared with another on the same luck. Three times the worse half
leaves: the sweep takes the steps of 30 trainings. What decides is the error on swings that were held out; the spread
over seeds says which differences between two single runs mean nothing.
"""

import jax.numpy as jnp
import numpy as np

import ctmodels as ct


def swings(rng, count, samples, noise):
    """Series of a pendulum, angle and speed, started at different heights."""
    starts = np.stack([rng.uniform(0.5, 2.5, count), np.zeros(count)], axis=1)
    law = lambda t, y, args: jnp.stack([y[1], -jnp.sin(y[0]) - 0.1 * y[1]])
    clean = [np.asarray(ct.systems.simulate(law, jnp.asarray(start), dt=0.2, steps=samples)) for start in starts]
    seen = [ct.Series.from_nan(0.2 * np.arange(samples), ys + noise * rng.normal(size=ys.shape)) for ys in clean]
    target = ct.collate(seen)
    return ct.ArrayDataset(ct.Example(target.ys[:, 0], target))


def main(
    widths=(8, 32),
    rates=(1e-3, 3e-3, 1e-2),
    seeds=16,
    series=4,
    samples=40,
    noise=0.05,
    steps=800,
    batch_size=4,
    halve=3,
    folder=None,
    figure=None,
):
    rng = np.random.default_rng(0)
    data, held_out = swings(rng, series, samples, noise), swings(rng, 2 * series, samples, noise)
    solver = ct.Integrate(ct.RK4(), ct.Substeps(1))

    # A float of the optimiser's is a number in its state; another width has arrays of another shape, and so a step of
    # its own.
    def build(key, width):
        return ct.NeuralODE(ct.fields.MLPField(2, width=width, depth=1, key=key), 2, integrate=solver)

    grid = {"width": widths, "learning_rate": rates}
    found = ct.sweep(build, grid, data, ct.losses.squared, validation=held_out, seeds=seeds, steps=steps,
                     batch_size=batch_size, every=max(1, steps // 40), halve=halve, folder=folder)  # fmt: skip

    print(found)
    for width in widths:
        for rate in rates:
            here = [row for row in found.members if (row["width"], row["learning_rate"]) == (width, rate)]
            best, last = min(row["validation"] for row in here), sum(row["steps"] == steps for row in here)
            print(f"width {width:2}, learning rate {rate:5.3f}: best {best:.4f}, {last} of {len(here)} to the end")
    if figure is not None:
        found.plot(by="learning_rate").figure.savefig(figure)
    work = sum(row["steps"] for row in found.members) / steps
    return {"best": found.members[found.order[0]]["validation"], "trainings": work}


if __name__ == "__main__":
    main(figure="sweep_seeds.svg")
