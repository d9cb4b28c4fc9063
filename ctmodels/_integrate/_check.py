"""What is wrong with a solve before it begins. Values are looked at where they are known, which
under `jit` and `vmap` they are not; what shows only then is a status."""

from collections.abc import Callable
from typing import Any

import diffrax
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

ULPS = 8  # times closer than this many units in the last place are not distinguished reliably


def value_of(x) -> np.ndarray | None:
    """None where it is not known yet."""
    return None if isinstance(x, jax.core.Tracer) else np.asarray(x)


def check_settings(integrate: Any) -> None:
    """Tolerances, limits and choices of an `Integrate`."""
    for name, choices in (
        ("batching", ("per_sample", "shared")),
        ("cotangents", ("per_sample", "summed")),
        ("failed", ("nan", "hold")),
        ("layout", ("auto", "components", "whole")),
    ):
        if getattr(integrate, name) not in choices:
            raise ValueError(f"{name}={getattr(integrate, name)!r}: must be one of {', '.join(map(repr, choices))}")
    if integrate.max_steps is not None and integrate.max_steps < 1:
        raise ValueError(f"max_steps={integrate.max_steps}: at least one step is needed; the default is 4096")
    if type(integrate.controller) is diffrax.PIDController:
        _check_controller(integrate.controller)
    if isinstance(integrate.controller, diffrax.ConstantStepSize):
        raise ValueError(
            "controller=ConstantStepSize(): it has no step length here; give ctmodels.Substeps(n), n steps between "
            "each two save times, or diffrax.StepTo(ts)"
        )


def _check_controller(controller: diffrax.PIDController) -> None:
    for name in ("rtol", "atol"):
        _check_tolerance(name, getattr(controller, name))
    if not controller.rtol and not controller.atol:
        raise ValueError("rtol=0 and atol=0: no step is accurate enough; make one of them positive")
    for name in ("dtmin", "dtmax"):
        value = getattr(controller, name)
        if value is not None and not (np.isfinite(value) and value > 0):
            raise ValueError(f"{name}={value}: must be a positive number, or None")


def _check_tolerance(name: str, value) -> None:
    known = value_of(value)
    if known is None:
        raise ValueError(f"{name} is traced: a tolerance is a number, known before anything is compiled")
    if known.ndim or not np.isfinite(known) or known < 0:
        raise ValueError(f"{name}={value}: a tolerance is one number, finite and not negative, such as 1e-4")


def check_precision(controller: diffrax.PIDController, dtype) -> None:
    """Refuse a relative tolerance that states of this type cannot resolve."""
    eps = float(jnp.finfo(dtype).eps)
    if 0 < controller.rtol < 4 * eps:
        raise ValueError(
            f"rtol={controller.rtol:g} is below what {jnp.dtype(dtype).name} resolves ({4 * eps:.1e}): raise it, or "
            "use float64 (JAX_ENABLE_X64=1)"
        )


def check_times(ts) -> None:
    """Save times: at least two, finite, in one direction, and distinct in their type. Repeats are padding."""
    if ts.ndim != 1 or ts.shape[0] < 2:
        raise ValueError(f"ts has {ts.shape[0]} time(s): a solve needs at least two, its start and its end")
    if not jnp.issubdtype(ts.dtype, jnp.floating):
        raise ValueError(f"ts has dtype {ts.dtype}: times are floating point numbers")
    known = value_of(ts)
    if known is None:
        return
    bad = np.flatnonzero(~np.isfinite(known))
    if bad.size:
        raise ValueError(f"ts[{bad[0]}] is {known[bad[0]]}: times must be finite; drop or mask that row")
    gaps = np.diff(known)
    wrong = np.flatnonzero(gaps * (np.sign(known[-1] - known[0]) or 1) < 0)
    if wrong.size:
        i = int(wrong[0])
        raise ValueError(
            f"ts[{i + 1}] is {known[i + 1]:g} after {known[i]:g}: times go in one direction from ts[0] to ts[-1], "
            "repeats allowed; sort them"
        )
    ulp = np.spacing(np.maximum(np.abs(known[1:]), np.abs(known[:-1])))
    close = np.flatnonzero((gaps != 0) & (np.abs(gaps) < ULPS * ulp))
    if close.size:
        i = int(close[0])
        raise ValueError(
            f"ts[{i + 1}]: {abs(gaps[i]):.3g} from its neighbour at time {known[i + 1]:.9g}, under {ULPS} units in the "
            f"last place of {known.dtype.name}: take the origin off and scale (ctmodels.Scaling), or use float64 "
            "(JAX_ENABLE_X64=1)"
        )


def check_grid(controller: Any, ts) -> None:
    """A grid of its own goes from the first of the times to the last."""
    if not isinstance(controller, diffrax.StepTo):
        return
    grid, known = value_of(controller.ts), value_of(ts)
    if grid is None or known is None or meets(grid.astype(known.dtype), known, np):
        return
    if not meets(grid[[0, -1]], known, np):
        raise ValueError(
            f"StepTo goes from {grid[0]:.9g} to {grid[-1]:.9g} and ts from {known[0]:.9g} to {known[-1]:.9g}: a fixed "
            "grid begins at ts[0] and ends at ts[-1]; give these ends, or ctmodels.Substeps(n)"
        )
    raise ValueError("StepTo: its times go in one direction, from ts[0] to ts[-1], each of them once: sort them")


def meets(grid, ts, xp=jnp):
    """Whether a grid goes strictly from the first of the times to the last, but for rounding."""
    eps = ULPS * jnp.finfo(ts.dtype).eps * xp.max(xp.abs(ts))
    ends = (xp.abs(grid[0] - ts[0]) <= eps) & (xp.abs(grid[-1] - ts[-1]) <= eps)
    gaps = xp.diff(grid)
    return ends & (xp.all(gaps > 0) | xp.all(gaps < 0))


def in_order(ts):
    """Whether times are finite and go in one direction, repeats allowed."""
    finite = jnp.all(jnp.isfinite(ts))
    if ts.shape[0] == 2:
        return finite
    gaps = jnp.diff(ts)
    return finite & (jnp.all(gaps >= 0) | jnp.all(gaps <= 0))


def check_start(y0: PyTree) -> None:
    for path, leaf in jax.tree_util.tree_leaves_with_path(y0):
        name = "y0" + jax.tree_util.keystr(path)
        if not jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
            raise ValueError(f"{name} has dtype {jnp.result_type(leaf)}: a state is of floating point numbers")
        known = value_of(leaf)
        if known is not None and not np.all(np.isfinite(known)):
            at = tuple(int(i) for i in np.argwhere(~np.isfinite(known))[0])
            raise ValueError(f"{name}{list(at)} is {known[at]}: a solve starts from finite values; mask or drop it")


def check_field(field: Callable, ts, y0: PyTree, args: PyTree, name: str = "field") -> list:
    """Refuse a field, or what has this name, that returns another structure, shape or type than the state's:
    broadcasting would go unseen.

    **Returns:** the arrays that it closes over.
    """
    jaxpr, out = jax.make_jaxpr(lambda t, y: field(t, y, args), return_shape=True)(ts[0], y0)
    want, got = (jax.tree.map(lambda x: x.shape, tree) for tree in (jax.eval_shape(lambda: y0), out))
    if want != got:
        raise ValueError(f"{name} returns shape {got} for a state of shape {want}: make them equal")
    for (path, a), b in zip(jax.tree_util.tree_leaves_with_path(out), jax.tree.leaves(y0), strict=True):
        if a.dtype != jnp.result_type(b):
            place = jax.tree_util.keystr(path)
            raise ValueError(
                f"{name}{place} returns {a.dtype} for a state of {jnp.result_type(b)}: return `.astype(y.dtype)`"
            )
    return jaxpr.consts
