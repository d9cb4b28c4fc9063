"""How a dynamics changes with a parameter: its attractor, its exponents, its fixed points, for all values at once."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before, check_called, check_whole
from ctmodels._core._words import argument
from ctmodels.analysis._fixed_points import FixedPoint, points_of, search
from ctmodels.analysis._lyapunov import lyapunov
from ctmodels.analysis._motion import check_states, check_step, motion


@dataclasses.dataclass(frozen=True)
class Bifurcation:
    """The attractor at each value of a parameter. NumPy's arrays; NaN where the orbit diverged.

    - `values`: `(value,)`; `orbits`: `(value, step, state)`, on the attractor.
    - `exponents`: `(value, state)`, or None: Lyapunov's, in descending order.
    """

    values: np.ndarray
    orbits: np.ndarray
    exponents: np.ndarray | None

    @property
    def lowest(self) -> np.ndarray:
        """Of each coordinate, `(value, state)`."""
        return self.orbits.min(axis=1)

    @property
    def highest(self) -> np.ndarray:
        """Of each coordinate, `(value, state)`."""
        return self.orbits.max(axis=1)

    def maxima(self, coordinate: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The section of a flow: values of the parameter, and the local maxima of a coordinate there, `(maximum,)`
        each, by a parabola through three steps. An orbit that moves by less than a millionth of the diagram gives
        its resting place."""
        x = self.orbits[:, :, coordinate]
        left, mid, right = x[:, :-2], x[:, 1:-1], x[:, 2:]
        curve = 2 * mid - left - right
        finite = x[np.isfinite(x)]
        moves = np.ptp(x, axis=1) > 1e-6 * (np.ptp(finite) if finite.size else 1)
        top = (mid > left) & (mid >= right) & moves[:, None]
        peaks = mid + (right - left) ** 2 / (8 * np.where(top, curve, 1))
        rows, _ = np.nonzero(top)
        still = np.flatnonzero(~moves & np.isfinite(x[:, -1]))
        return np.append(self.values[rows], self.values[still]), np.append(peaks[top], x[still, -1])

    def states(self, coordinate: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """The section of a map: values of the parameter, and all states of a coordinate there, `(state,)` each."""
        x = self.orbits[:, :, coordinate]
        return np.repeat(self.values, x.shape[1]), x.reshape(-1)


def _check(make, values, z0, dt, steps, transient, exponents, **_) -> None:
    _check_sweep(make, values, dt)
    check_states("z0", z0, "(state,)")
    check_whole("transient", transient, 0)
    if check_whole("steps", steps, 10) % 10 and exponents:
        raise ValueError(f"{argument('steps', steps)}: a multiple of 10 is needed for exponents, or exponents=False")


def _check_sweep(make, values, dt) -> None:
    check_called("make", make, "(value) -> dynamics", "such as lambda rho: ct.systems.Lorenz63(rho=rho)")
    check_states("values", values, "(value,)")
    check_step(make(values[0]), dt)


@before(_check)
def bifurcation(
    make: Callable,
    values: Float[Array, " value"],
    z0: Float[Array, " state"],
    *,
    dt: float | None = None,
    steps: int,
    transient: int,
    exponents: bool = True,
    control: PyTree = None,
) -> Bifurcation:
    """What orbits settle on at each value of a parameter. On the host, around one program for all values.

    **Arguments:**

    - `make`: from a value, a scalar, to a dynamics, an [`ctmodels.analysis.Map`][] or a field; of a learned model such
        as `lambda c: eqx.tree_at(where, model, c)`.
    - `values`: `(value,)`; `z0`: where each orbit starts, `(state,)`. It finds the attractor in whose basin it is.
    - `dt`: the time of a step, as of [`ctmodels.analysis.lyapunov`][].
    - `steps`: how many are kept, `(value, steps, state)` in all; `transient`: how many go before.
    - `exponents`: whether Lyapunov exponents come too.

    **Returns:** [`ctmodels.analysis.Bifurcation`][].
    """
    orbits, spectra = jax.device_get(_sweep(make, values, z0, dt, steps, transient, exponents, control))
    orbits = np.where(np.isfinite(orbits).all(axis=(1, 2), keepdims=True), orbits, np.nan)
    return Bifurcation(np.asarray(values), orbits, spectra)


@eqx.filter_jit
def _sweep(make, values, z0, dt, steps, transient, exponents, control):
    def of(value):
        dynamics = make(value)
        moving = motion(dynamics, dt, control)
        settled, _ = jax.lax.scan(lambda z, _: (moving.step(z), None), z0, length=transient)
        end, orbit = jax.lax.scan(lambda z, _: (moving.step(z), z), settled, length=steps)
        if not exponents:
            return orbit, None
        # The tangent vectors turn into their directions meanwhile.
        turned = lyapunov(dynamics, end, dt=dt, steps=steps, transient=steps, control=control)
        return orbit, turned.exponents

    return jax.vmap(of)(values)


def _check_follow(make, values, starts, dt, **_) -> None:
    check_called("make", make, "(value) -> dynamics", "such as lambda rho: ct.systems.Lorenz63(rho=rho)")
    check_states("values", values, "(value,)")
    check_states("starts", starts, "(start, state)")


@before(_check_follow)
def fixed_points_along(
    make: Callable,
    values: Float[Array, " value"],
    starts: Float[Array, "start state"],
    *,
    dt: float | None = None,
    control: PyTree = None,
    slow: bool = False,
    tolerance: float | None = None,
    separation: float | None = None,
) -> list[list[FixedPoint]]:
    """The fixed points at each value of a parameter, with their stability: branches, where they fold, and what leaves
    them. Each value is searched anew from all starts, so that a branch that begins somewhere is not missed. On the
    host, around one program for all values.

    **Arguments:** `make`, `values`: as of [`ctmodels.analysis.bifurcation`][]; all others as of
    [`ctmodels.analysis.fixed_points`][].

    **Returns:** for each value a list of [`ctmodels.analysis.FixedPoint`][].
    """
    along = eqx.filter_jit(eqx.filter_vmap(lambda value: search(motion(make(value), dt, control), starts)))
    found = jax.device_get(along(values))
    moving = motion(make(values[0]), dt, control)
    of = lambda i: jax.tree.map(lambda a: a[i], found)
    return [points_of(of(i), moving, np.asarray(starts), slow, tolerance, separation) for i in range(len(values))]
