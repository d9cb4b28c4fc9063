"""Which attractor each start goes to: by where its orbit is at the end, and by how far it ranges there."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._words import argument
from ctmodels.analysis._motion import AbstractMotion, Map, check_states, check_step, motion

DIVERGED = -1


@dataclasses.dataclass(frozen=True)
class Basins:
    """Where each start goes. NumPy's arrays.

    - `labels`: `(start,)`: the number of its attractor, -1 of an orbit that diverged.
    - `fractions`: `(attractor,)`, of the starts; the largest first. What is missing to 1 diverged.
    - `lowest`, `highest`, `means`: `(attractor, state)`, of the orbit on it; of a fixed point they are one.
    """

    labels: np.ndarray
    fractions: np.ndarray
    lowest: np.ndarray
    highest: np.ndarray
    means: np.ndarray


def _check(dynamics, starts, dt, steps, tail, separation, **_) -> None:
    check_step(dynamics, dt)
    check_states("starts", starts, "(start, state)")
    check_whole("steps", steps, 1)
    check_whole("tail", tail, 1)
    if not separation > 0:
        raise ValueError(f"{argument('separation', separation)}: a fraction above 0 is needed, such as 0.05")


@before(_check)
def basins(
    dynamics: AbstractDynamics | Map | Callable,
    starts: Float[Array, "start state"],
    *,
    dt: float | None = None,
    steps: int,
    tail: int,
    separation: float = 0.05,
    control: PyTree = None,
) -> Basins:
    """To which attractor each start goes. On the host, around one program for all starts.

    **Arguments:**

    - `dynamics`, `dt`: as of [`ctmodels.analysis.lyapunov`][].
    - `starts`: `(start, state)`, such as a grid.
    - `steps`: how many lead to the attractor; `tail`: how many are on it: a turn of a cycle at least, and of a chaotic
        attractor so many that its range is told to within `separation`.
    - `separation`: attractors whose ranges differ by less, as a fraction of the range of all of them, are one. Those of
        the same range are not told apart.

    **Returns:** [`ctmodels.analysis.Basins`][].
    """
    lowest, highest, means = jax.device_get(_ends(motion(dynamics, dt, control), starts, steps, tail))
    ranges = np.concatenate([lowest, highest], axis=1)
    bounded = np.isfinite(ranges).all(axis=1)
    labels = np.full(len(ranges), DIVERGED)
    labels[bounded] = _clusters(ranges[bounded], separation)
    numbers = range(labels.max() + 1)
    first = [int(np.argmax(labels == k)) for k in numbers]
    fractions = np.array([np.mean(labels == k) for k in numbers])
    return Basins(labels, fractions, lowest[first], highest[first], means[first])


def _clusters(ranges: np.ndarray, separation: float) -> np.ndarray:
    """The number of each range, those close to the first of a number having the same; the most frequent first."""
    labels, left, number = np.full(len(ranges), DIVERGED), np.arange(len(ranges)), 0
    if not len(ranges):
        return labels
    extent = np.ptp(ranges.reshape(-1, ranges.shape[1] // 2), axis=0).max()
    apart = separation * (extent if extent > 0 else 1)
    while len(left):
        near = np.abs(ranges[left] - ranges[left[0]]).max(axis=1) <= apart
        labels[left[near]] = number
        left, number = left[~near], number + 1
    order = np.argsort(-np.bincount(labels), kind="stable")
    return np.argsort(order)[labels]


@eqx.filter_jit
def _ends(moving: AbstractMotion, starts, steps: int, tail: int) -> tuple[Array, Array, Array]:
    """The lowest, the highest and the mean of each coordinate in the tail."""

    def of(z):
        z, _ = jax.lax.scan(lambda z, _: (moving.step(z), None), z, length=steps)

        def note(carry, _):
            z, low, high, total = carry
            z = moving.step(z)
            return (z, jnp.minimum(low, z), jnp.maximum(high, z), total + z), None

        (_, low, high, total), _ = jax.lax.scan(note, (z, z, z, jnp.zeros_like(z)), length=tail)
        return low, high, total / tail

    return jax.vmap(of)(starts)
