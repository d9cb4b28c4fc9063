r"""Where a dynamics rests: $f(z) = 0$ of a field, $f(z) = z$ of a map; and where it is slow.

From many starts at once by Levenberg and Marquardt's method, which ends in a local minimum of $|f|^2$ where it finds no
root: those are slow points (Sussillo and Barak, Neural Computation 25 (2013)).
"""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._words import argument
from ctmodels.analysis._linearise import Linearised, describe
from ctmodels.analysis._motion import AbstractMotion, Map, check_dynamics, check_states, motion
from ctmodels.analysis._root import least_squares

REACH = 10  # extents of the starts


@dataclasses.dataclass(frozen=True)
class FixedPoint:
    """A state where the dynamics rests, or is slow.

    - `z`: `(state,)`; `speed`: of the dynamics there, the length of the slope (of a map, of a step over its time).
    - `slow`: whether it is but a minimum of the speed.
    - `hits`: how many of the starts led to it.
    - `linear`: [`ctmodels.analysis.Linearised`][], with its kind in words.
    """

    z: np.ndarray
    speed: float
    slow: bool
    hits: int
    linear: Linearised

    def __str__(self) -> str:
        z = ", ".join(f"{x:.4g}" for x in np.where(np.abs(self.z) < 1e-12, 0, self.z))
        return f"({z}): {'slow point, ' if self.slow else ''}{self.linear.kind}; {self.hits} starts"


def _check(dynamics, starts, tolerance, separation, **_) -> None:
    check_dynamics(dynamics)
    check_states("starts", starts, "(start, state)")
    for name, value in (("tolerance", tolerance), ("separation", separation)):
        if value is not None and not value > 0:
            raise ValueError(f"{argument(name, value)}: above 0 is needed, or None")


@before(_check)
def fixed_points(
    dynamics: AbstractDynamics | Map | Callable,
    starts: Float[Array, "start state"],
    *,
    dt: float | None = None,
    control: PyTree = None,
    slow: bool = False,
    tolerance: float | None = None,
    separation: float | None = None,
) -> list[FixedPoint]:
    """The fixed points that a search from many starts finds, each once, the most often found first. On the host.

    **Arguments:**

    - `dynamics`: any [`ctmodels.AbstractDynamics`][], an [`ctmodels.analysis.Map`][], or a field f(t, z, args). Of a
        flow over `dt`, cycles of that very period are fixed points too.
    - `starts`: `(start, state)`: states of an orbit, and noise around them; some hundreds. What no start leads to is
        not found, nor what is further away than ten times their extent.
    - `dt`: the time of a step of a dynamics.
    - `control`: a path; its value at time zero is what drives.
    - `slow`: whether slow points are returned too.
    - `tolerance`: the speed of a fixed point, as a fraction of the median speed at the starts; None: 1e-5 in float32,
        1e-9 in float64.
    - `separation`: points closer than this are one; None: a thousandth of the extent of the starts.

    **Returns:** a list of [`ctmodels.analysis.FixedPoint`][].
    """
    moving = motion(dynamics, dt, control)
    found = jax.device_get(search(moving, starts))
    return points_of(found, moving, np.asarray(starts), slow, tolerance, separation)


class Search(eqx.Module):
    """What each start led to: a state, how fast it moves there, its Jacobian, and how fast the start itself moved."""

    zs: Float[Array, "*start state"]
    speeds: Float[Array, "*start"]
    jacobians: Float[Array, "*start state state"]
    at_starts: Float[Array, "*start"]


@eqx.filter_jit
def search(moving: AbstractMotion, starts: Float[Array, "start state"]) -> Search:
    """From each start to where the speed is least; NaN from where there is none."""

    def of(start):
        least = least_squares(moving.slope, start)
        return Search(jnp.where(least.converged, least.x, jnp.nan), least.size, least.aux, least.size_at_start)

    return jax.vmap(of)(starts)


def points_of(found: Search, moving: AbstractMotion, starts: np.ndarray, slow, tolerance, separation):
    """Each point once, with what is known of it."""
    eps = np.finfo(starts.dtype).eps
    tolerance = (1e-9 if eps < 1e-10 else 1e-5) if tolerance is None else tolerance
    median = np.median(found.at_starts[np.isfinite(found.at_starts)]) if np.isfinite(found.at_starts).any() else 1.0
    limit = tolerance * (median if median > 0 else 1.0)
    apart = separation_of(starts) if separation is None else separation
    points = []
    zs, jacobians = np.asarray(found.zs), np.asarray(found.jacobians)
    speeds = np.where(_near(zs, starts), found.speeds, np.inf)
    for members in _clusters(zs, speeds, apart):
        best = members[0]
        resting = bool(speeds[best] <= limit)
        if resting or slow:
            linear = describe(jacobians[best], moving.in_steps, moving.dt)
            points.append(FixedPoint(zs[best], float(speeds[best]), not resting, len(members), linear))
    return sorted(points, key=lambda p: (p.slow, -p.hits))


def _near(zs: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Which states are where the starts say anything of: where speeds fade out far away, nothing rests."""
    centre, extent = starts.mean(axis=0), np.linalg.norm(np.ptp(starts, axis=0))
    far = np.linalg.norm(zs - centre, axis=1) > REACH * extent if extent > 0 else np.zeros(len(zs), bool)
    return ~far & np.isfinite(zs).all(axis=1)


def separation_of(starts: np.ndarray) -> float:
    """Below which points are one."""
    extent = float(np.linalg.norm(np.ptp(starts, axis=0)))
    return 1e-3 * (extent if extent > 0 else max(1.0, float(np.abs(starts).max())))


def _clusters(zs: np.ndarray, speeds: np.ndarray, apart: float) -> list[np.ndarray]:
    """Which of the states are one, the slowest of each first."""
    left = [i for i in np.argsort(speeds) if np.isfinite(speeds[i])]
    clusters = []
    while left:
        near = np.linalg.norm(zs[left] - zs[left[0]], axis=1) <= apart
        clusters.append(np.array(left)[near])
        left = [i for i, close in zip(left, near, strict=True) if not close]
    return clusters
