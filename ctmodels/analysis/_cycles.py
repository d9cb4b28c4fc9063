r"""What a dynamics repeats: $\Phi_T(z) = z$ with an unknown period, by shooting; and cycles of maps, $f^k(z) = z$.

The eigenvalues of $D\Phi_T(z)$ are the Floquet multipliers: of a flow one of them is 1, along the orbit; the others say
whether neighbours come closer with each turn.
"""

import dataclasses
import math
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._words import argument
from ctmodels.analysis._fixed_points import points_of, search, separation_of
from ctmodels.analysis._motion import AbstractMotion, Map, check_states, check_step, motion
from ctmodels.analysis._root import Least, least_squares

FEWEST = 16  # steps of a turn


@dataclasses.dataclass(frozen=True)
class Cycle:
    """A closed orbit. NumPy's arrays.

    - `orbit`: `(point, state)`, once around; of a map, all its states.
    - `period`: of time; `gap`: how far from its start it ends.
    - `multipliers`: `(state,)`, complex, the largest first; of a flow without the one along the orbit, which is
        `trivial` and tells by its distance from 1 how precise they are.
    - `stable`: whether neighbours come closer.
    """

    orbit: np.ndarray
    period: float
    gap: float
    multipliers: np.ndarray
    trivial: complex | None
    stable: bool

    def __str__(self) -> str:
        sizes = ", ".join(f"{abs(m):.4g}" for m in self.multipliers)
        return (
            f"{'stable' if self.stable else 'unstable'} cycle of period {self.period:.6g}; multipliers of size {sizes}"
        )


def _check(dynamics, z0, dt, period, transient, steps, **_) -> None:
    check_step(dynamics, dt)
    if isinstance(dynamics, Map):
        raise TypeError("dynamics: an analysis.Map: its cycles are found by analysis.map_cycles")
    check_states("z0", z0, "(state,)")
    check_whole("transient", transient, 0)
    check_whole("steps", steps, FEWEST)
    if period is not None and not period > 0:
        raise ValueError(f"{argument('period', period)}: above 0 is needed, or None")


@before(_check)
def limit_cycle(
    dynamics: AbstractDynamics | Callable,
    z0: Float[Array, " state"],
    *,
    dt: float,
    period: float | None = None,
    transient: int = 0,
    steps: int = 2000,
    control: PyTree = None,
) -> Cycle:
    """The closed orbit near an orbit, and its Floquet multipliers. On the host.

    **Arguments:**

    - `dynamics`: any [`ctmodels.AbstractDynamics`][] of continuous time, or a field f(t, z, args). What changes with
        time is taken as at time zero.
    - `z0`: `(state,)`; close to the cycle, or in its basin and far enough before it, by `transient`.
    - `dt`: the time of a step, as many as go into a period: a field goes by Runge-Kutta steps, a dynamics by its
        solver.
    - `period`: a guess; None: the time in which the orbit comes back to where it is after `transient` steps, through
        the plane across it, looked for in `steps` steps.
    - `control`: a path; its value at time zero is what drives.

    **Returns:** [`ctmodels.analysis.Cycle`][]. An unstable one is found as well, from a start and a period close to its
    own. Raises where the orbit does not come back, or where no closed one is close.
    """
    moving = motion(dynamics, dt, control)
    orbit = np.asarray(_orbit(moving, z0, transient, steps if period is None else 1))
    guess = _return_time(orbit, dt) if period is None else float(period)
    start, across = jnp.asarray(np.append(orbit[0], guess), z0.dtype), jnp.asarray(orbit[1] - orbit[0])
    found = jax.device_get(_closed(moving, start, across, max(FEWEST, math.ceil(guess / dt))))
    _check_closed(found, guess, float(np.linalg.norm(orbit[1] - orbit[0])))
    values = np.linalg.eigvals(np.asarray(found.aux[0], np.float64)).astype(complex)
    along = int(np.argmin(np.abs(values - 1)))
    others = np.delete(values, along)
    others = others[np.argsort(-np.abs(others))]
    stable = bool(np.all(np.abs(others) < 1))
    return Cycle(found.aux[1], float(found.x[-1]), float(found.size), others, complex(values[along]), stable)


def _check_closed(found: Least, guess: float, step: float) -> None:
    """That it is closed, and neither a point nor no time at all, which are closed too."""
    gap, period, orbit = float(found.size), float(found.x[-1]), found.aux[1]
    extent = float(np.linalg.norm(np.ptp(orbit, axis=0)))
    moves = np.linalg.norm(orbit[1] - orbit[0]) > 1e-3 * step and period > 0.1 * guess
    if not (found.converged and moves and gap <= np.sqrt(np.finfo(orbit.dtype).eps) * extent):
        raise ValueError(
            f"z0: no closed orbit is close: the best has a gap of {gap:.3g} at a period of {period:.3g}; give a longer "
            f"{argument('transient')}, or a {argument('period')}"
        )


@eqx.filter_jit
def _orbit(moving: AbstractMotion, z0, transient: int, steps: int) -> Array:
    """The states after a transient, and after each of so many steps more."""

    def move(z, _):
        z = moving.step(z)
        return z, z

    _, zs = jax.lax.scan(move, z0, length=transient + steps)
    return jnp.concatenate([z0[None], zs])[transient:]


def _return_time(orbit: np.ndarray, dt: float) -> float:
    """When an orbit comes back to its start, through the plane across it, and closely."""
    ahead = np.sum((orbit - orbit[0]) * (orbit[1] - orbit[0]), axis=1)
    crossed = np.flatnonzero((ahead[1:-1] < 0) & (ahead[2:] >= 0)) + 1
    extent = np.linalg.norm(np.ptp(orbit, axis=0))
    if not np.isfinite(extent) or not extent > 0 or not len(crossed):
        raise ValueError(
            f"{argument('steps')}: the orbit does not come back in {len(orbit) - 1} steps of {argument('dt', dt)}: it "
            "rests, runs away, or needs more steps; analysis.fixed_points finds where it rests"
        )
    part = -ahead[crossed] / (ahead[crossed + 1] - ahead[crossed])
    there = orbit[crossed] + part[:, None] * (orbit[crossed + 1] - orbit[crossed])
    apart = np.linalg.norm(there - orbit[0], axis=1)
    first = int(np.argmax(apart <= max(2 * apart.min(), 1e-3 * extent)))
    return float((crossed[first] + part[first]) * dt)


@eqx.filter_jit
def _closed(moving: AbstractMotion, start: Float[Array, " more"], across: Float[Array, " state"], count: int) -> Least:
    """A state in the plane of the start, and a period, after which it is there again."""
    across = across / jnp.linalg.norm(across)
    size = across.shape[0]

    def evaluate(x):
        z, h = x[:-1], x[-1] / count
        of_h = jnp.append(jnp.zeros(size, x.dtype), 1 / count).astype(x.dtype)[None]

        def move(carry, _):
            z, tangents = carry
            return moving.stretch(z, h, jnp.concatenate([tangents, of_h])), z

        (end, J), orbit = jax.lax.scan(move, (z, jnp.eye(size, size + 1, dtype=x.dtype)), length=count)
        gap = jnp.append(end - z, jnp.vdot(across, z - start[:-1]))
        rows = jnp.concatenate([J - jnp.eye(size, size + 1, dtype=x.dtype), jnp.append(across, 0)[None]])
        return gap, rows, (J[:, :-1], orbit)

    return least_squares(evaluate, start)


class _Repeated(AbstractMotion):
    """So many steps as one."""

    moving: AbstractMotion
    order: int = eqx.field(static=True)
    dt: float = eqx.field(static=True)
    control: PyTree = None

    def advance(self, t, z, h):
        return jax.lax.fori_loop(0, self.order, lambda _, z: self.moving.step(z), z)

    def spread(self, t, z, tangents):
        return jax.lax.fori_loop(0, self.order, lambda _, carry: self.moving.spread(t, *carry), (z, tangents))


def _check_map(dynamics, starts, order, dt, **_) -> None:
    check_step(dynamics, dt)
    check_states("starts", starts, "(start, state)")
    check_whole("order", order, 1)


@before(_check_map)
def map_cycles(
    dynamics: AbstractDynamics | Map,
    starts: Float[Array, "start state"],
    order: int,
    *,
    dt: float | None = None,
    control: PyTree = None,
    tolerance: float | None = None,
    separation: float | None = None,
) -> list[Cycle]:
    """The cycles of a map of so many steps, and of no fewer, that a search from many starts finds. On the host.

    **Arguments:** `dynamics`, `starts`, `dt`, `control`, `tolerance`, `separation`: as of
    [`ctmodels.analysis.fixed_points`][]; `order`: how many states a cycle has.

    **Returns:** a list of [`ctmodels.analysis.Cycle`][], the stable ones first.
    """
    one = motion(dynamics, dt, control)
    repeated = _Repeated(one, order, order * one.dt)
    found = jax.device_get(search(repeated, starts))
    points = points_of(found, repeated, np.asarray(starts), False, tolerance, separation)
    apart = separation_of(np.asarray(starts)) if separation is None else separation
    cycles = []
    for point in points:
        orbit = np.asarray(_orbit(one, jnp.asarray(point.z), 0, order))[:order]
        near = lambda other, z=point.z: np.linalg.norm(other - z, axis=-1) <= apart
        if not near(orbit[1:]).any() and not any(near(cycle.orbit).any() for cycle in cycles):
            values = point.linear.multipliers
            gap = point.speed * repeated.dt
            cycles.append(Cycle(orbit, repeated.dt, gap, values, None, bool(np.all(np.abs(values) < 1))))
    return sorted(cycles, key=lambda cycle: not cycle.stable)
