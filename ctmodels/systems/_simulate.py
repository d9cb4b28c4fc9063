"""Reference solutions of known systems."""

import math
from collections.abc import Callable

import diffrax
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels._integrate import RK4, rk_step
from ctmodels.systems._catalogue import System
from ctmodels.systems._delay import solve_delayed
from ctmodels.systems._law import KnownLaw

SUBSTEPS = 10  # of a field of which nothing is known
STABLE = 2.785  # h times a rate of decay: as far as classical Runge-Kutta is stable
MOST_STEPS = 1000  # of an adaptive solver, for each point


def _check(system, y0, dt, steps, substeps, transient, points_per_period, solver, tolerance) -> None:
    check_whole("steps", steps, 1)
    check_whole("transient", transient, 0)
    check_whole("points_per_period", points_per_period, 1)
    _check_start(system, y0, dt)
    if tolerance is not None and not 0 < tolerance < 1:
        raise DataError(f"{argument('tolerance', tolerance)}: a number between 0 and 1 is needed, such as 1e-8")
    if substeps is not None:
        check_whole("substeps", substeps, 1)
        if solver is not None:
            raise DataError(f"{argument('substeps', substeps)}: `solver` chooses its own steps; give one of the two")
    if solver is not None and _delayed(system):
        raise DataError("`solver`: a system with a delay is solved by RK4 alone; leave `solver` out")


def _check_start(system, y0, dt) -> None:
    for name, value in (("y0", y0), ("dt", dt)):
        if value is None and not isinstance(system, System):
            raise DataError(f"{argument(name, None)}: only systems of `systems.catalogue` know theirs; give {name}=...")
    if y0 is not None and isinstance(system, System) and np.shape(y0) != system.y0.shape:
        wanted = f"a state of {system.name} is of shape {system.y0.shape}"
        raise DataError(f"y0 is of shape {np.shape(y0)}, and {wanted}: give one such")
    if dt is None or isinstance(dt, jax.core.Tracer):
        return
    if not (math.isfinite(dt) and dt != 0 and (dt > 0 or not _delayed(system))):
        which = "a positive time" if _delayed(system) else "a finite time that is not zero"
        raise DataError(f"{argument('dt', dt)}: {which} is needed")


@before(_check)
def simulate(
    system: System | Callable,
    y0: Float[Array, " state"] | None = None,
    *,
    dt: float | None = None,
    steps: int,
    substeps: int | None = None,
    transient: int = 0,
    points_per_period: int = 100,
    solver: diffrax.AbstractSolver | None = None,
    tolerance: float | None = None,
) -> Float[Array, "time state"]:
    """The orbit of a system, saved every `dt`.

    By classical Runge-Kutta on a fixed grid, or by `solver` with steps of its own. A field that is too stiff at `y0`
    for the grid is solved by `diffrax.Kvaerno5()`, unless `substeps` or `solver` are given. Those of the catalogue are
    not: at their own `dt` none of the 135 is, and Runge-Kutta is faster and closer there. A system with a delay rests
    at `y0` before it starts, and is solved by Runge-Kutta with a cubic history.

    **Arguments:**

    - `system`: one of [`catalogue`][ctmodels.systems.catalogue], or any field `f(t, y, args)`.
    - `y0`: None: the system's own.
    - `dt`: None: `points_per_period` to a period of the system.
    - `steps`: how many points are returned; `transient`: how many are dropped before.
    - `substeps`: Runge-Kutta steps to each `dt`; None: steps no longer than the system's own `dt`, and 10 of any other
      field.
    - `solver`, `tolerance`: None, or any solver of diffrax, adaptive, and its tolerance, relative to the state and, in
      the catalogue, to its spread (None: 1e-8, in float32 1e-4).

    **Returns:** `(steps, state)`; the first point is the state after the transient. An orbit that is not finite raises;
    under `jit` and `vmap` it is NaN from there on.

    **Good values:** as they are; `points_per_period=100` is dysts'. `solver=diffrax.Dopri8()` with `tolerance=1e-11`
    for reference, and of InteriorSquirmer, which comes so near the pole of its coordinates that a grid loses the orbit.
    """
    field, known = (system.field, system) if isinstance(system, System) else (system, None)
    start = jnp.asarray(known.y0, float) if y0 is None else jnp.asarray(y0)  # pyright: ignore
    step = known.period / points_per_period if dt is None else dt  # pyright: ignore
    if solver is None and substeps is None and known is None and not _delayed(field):
        solver = diffrax.Kvaerno5() if _is_stiff(field, start, step / SUBSTEPS) else None
    if solver is not None:
        tolerance = tolerance or (1e-4 if start.dtype == jnp.float32 else 1e-8)
        spread = np.ones(start.shape) if known is None else np.where(known.std > 0, known.std, 1)
        ys = _adaptive(field, start, step, steps, transient, solver, tolerance, jnp.asarray(spread, start.dtype))
    else:
        each = substeps or (SUBSTEPS if known is None else max(1, math.ceil(abs(step) / known.dt)))
        solve = solve_delayed if _delayed(system) else _fixed
        ys = solve(field, start, step, steps, transient, each)
    _check_finite(ys, step, transient, "the field" if known is None else known.name)
    return ys


def _delayed(system) -> bool:
    field = system.field if isinstance(system, System) else system
    return isinstance(field, KnownLaw) and field.delayed


def _is_stiff(field: Callable, y0: Array, h: float) -> bool:
    """Whether something decays at `y0` so fast that steps of h make it grow; not asked while a step is traced."""
    if isinstance(y0, jax.core.Tracer) or isinstance(h, jax.core.Tracer):
        return False
    jacobian = jax.jit(jax.jacfwd(lambda y: field(jnp.zeros((), y.dtype), y, None)))(y0)
    if isinstance(jacobian, jax.core.Tracer) or not bool(jnp.all(jnp.isfinite(jacobian))):
        return False
    return bool(np.max(-np.linalg.eigvals(np.asarray(jacobian)).real) * h > STABLE)


def _fixed(field: Callable, y0: Array, dt: float, steps: int, transient: int, substeps: int) -> Array:
    h = jnp.asarray(dt / substeps, y0.dtype)

    def step(carry, _):
        i, y = carry
        return (i + 1, rk_step(RK4.tableau, field, h * i.astype(h.dtype), h, y, None).y1), None

    def save(carry, _):
        carry, _ = jax.lax.scan(step, carry, length=substeps)
        return carry, carry[1]

    def run(y0):
        start, _ = jax.lax.scan(save, (jnp.asarray(0), y0), length=transient)
        _, ys = jax.lax.scan(save, start, length=steps - 1)
        return jnp.concatenate([start[1][None], ys])

    return jax.jit(run)(y0)


def _adaptive(field, y0: Array, dt: float, steps: int, transient: int, solver, tolerance: float, unit: Array) -> Array:
    """Of the state in units of `unit`, so that one tolerance holds for all of its components."""
    times = jnp.arange(transient, transient + steps, dtype=y0.dtype) * jnp.asarray(dt, y0.dtype)
    ts = jnp.concatenate([jnp.zeros_like(times[:1]), times])
    term = diffrax.ODETerm(lambda t, z, args: field(t, z * unit, args) / unit)

    def run(y0):
        solution = diffrax.diffeqsolve(
            term,
            solver,
            ts[0],
            ts[-1],
            None,
            y0 / unit,
            saveat=diffrax.SaveAt(ts=ts),
            stepsize_controller=diffrax.PIDController(rtol=tolerance, atol=tolerance),
            max_steps=MOST_STEPS * (steps + transient),
            throw=False,  # what it did not come to is infinite
        )
        return solution.ys[1:] * unit[None]  # pyright: ignore

    return jax.jit(run)(y0)


def _check_finite(ys: Array, dt: float, transient: int, name: str) -> None:
    if isinstance(ys, jax.core.Tracer) or bool(jnp.all(jnp.isfinite(ys))):
        return
    row = int(jnp.argmin(jnp.all(jnp.isfinite(ys), axis=1)))
    raise DataError(
        f"{name} diverges before t={(transient + row) * dt:.6g} (row {row} of {len(ys)}): take a smaller `dt` or more "
        "`substeps`, or solver=diffrax.Kvaerno5() if it is stiff; or start from another `y0`, where it stays bounded"
    )
