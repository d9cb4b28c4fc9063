"""All known systems of the catalogue, each simulated from its own start and drawn: two components of what is observed,
of an equation with a delay the state against itself a delay earlier.

It also compares how far each spreads with what the catalogue says of it.
"""

import math

import numpy as np

from ctmodels import systems


def plane(system, ys, points_per_period):
    """Two columns to draw: x and z where both are free, else the first two, which are no clock."""
    if system.delay:
        lag = round(float(system.field.tau) * points_per_period / system.period)
        return ys[lag:, 0], ys[: len(ys) - lag, 0]
    first, second = (0, 2) if system.dimension > 2 and not system.unbounded and not system.driven else (0, 1)
    return ys[:, first], ys[:, second]


def draw(orbits, path, across):
    import matplotlib.pyplot as plt

    down = math.ceil(len(orbits) / across)
    figure, axes = plt.subplots(down, across, figsize=(1.1 * across, 1.25 * down), layout="constrained", squeeze=False)
    for axis in axes.flat:
        axis.axis("off")
    for axis, (name, (x, y)) in zip(axes.flat, orbits.items(), strict=False):
        axis.plot(x, y, color="#20506f", linewidth=0.25, rasterized=True)
        axis.set_title(name, fontsize=5.5, pad=1)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def main(names=None, periods=20, points_per_period=100, across=15, figure=None):
    chosen = list(systems.catalogue) if names is None else names
    orbits, spreads = {}, {}
    for name in chosen:
        system = systems.catalogue[name]
        # An equation with a delay begins at rest, and is longer on its way; the others start on their attractors.
        transient = 10 * points_per_period if system.delay else 0
        ys = systems.simulate(
            system, steps=periods * points_per_period, points_per_period=points_per_period, transient=transient
        )
        ys = np.asarray(system.observe(ys))
        orbits[name] = plane(system, ys, points_per_period)
        spreads[name] = float(np.max(np.abs(np.log(ys.std(axis=0) / system.std))))
    if figure is not None:
        draw(orbits, figure, across)
    print("spread over what the catalogue says, the furthest apart:")
    for name in sorted(spreads, key=spreads.__getitem__, reverse=True)[:8]:
        print(f"  {name:24} {math.exp(spreads[name]):.2f}")
    return {"systems": len(orbits), "spread": float(np.median(list(spreads.values())))}


if __name__ == "__main__":
    main(figure="known_systems.png")
