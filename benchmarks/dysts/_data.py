"""What is forecast: 1200 points of each system, 100 to a period; of all components, or of the first alone."""

import gzip
import json
import tempfile
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

import ctmodels as ct

POINTS, PAST, TRANSIENT = 1200, 1000, 200


class Board(NamedTuple):
    """Systems by name: orbits `(time, channel)`, with what is known of them, in order."""

    orbits: dict[str, np.ndarray]
    exponents: np.ndarray
    dimensions: np.ndarray
    periods: np.ndarray

    def groups(self) -> dict[int, list[int]]:
        """Of each number of channels, which systems."""
        channels = [orbit.shape[1] for orbit in self.orbits.values()]
        return {c: [i for i, d in enumerate(channels) if d == c] for c in sorted(set(channels))}


def board(orbits: dict[str, np.ndarray]) -> Board:
    known = [ct.systems.catalogue[name] for name in orbits]
    of = lambda attribute: np.array([getattr(system, attribute) for system in known])
    return Board(orbits, of("largest_exponent"), of("kaplan_yorke"), of("period"))


def univariate(file: Path) -> Board:
    """The published series of first components."""
    kept = json.loads(gzip.open(file).read())
    orbits = {name: np.asarray(one["values"], float).reshape(-1, 1) for name, one in kept.items()}
    return board({name: orbit for name, orbit in orbits.items() if name in ct.systems.catalogue})


def multivariate(names: list[str] | None = None) -> Board:
    """Our own orbits of all components; scalar equations with a delay are left out. They are kept for the next run."""
    names = [name for name, system in ct.systems.catalogue.items() if not system.delay] if names is None else names
    place = Path(tempfile.gettempdir()) / f"ctmodels-dysts-{POINTS}-{TRANSIENT}-{len(names)}.npz"
    if not place.exists():
        np.savez(place, **{name: _orbit(name) for name in names})
    with np.load(place) as kept:
        return board({name: kept[name] for name in names})


def _orbit(name: str) -> np.ndarray:
    system = ct.systems.catalogue[name]
    ys = ct.systems.simulate(system, steps=POINTS, transient=TRANSIENT)
    return np.asarray(system.observe(jnp.asarray(ys)))
