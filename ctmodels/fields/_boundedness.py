"""Whether a potential falls without bound, as far as numbers tell."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from ctmodels._core._words import kind_of

RADII = 1e2, 1e3, 1e4  # where it is looked at
MIXED = 16  # directions that are none of the Hessian's own
LOWEST, TURNS = 8, 64  # directions that are turned to where it is lowest, and how often


class AtZero(NamedTuple):
    """The slope at zero, the Hessian there, and whether it is the same elsewhere."""

    slope: Array
    hessian: Array
    quadratic: Array


class Along(NamedTuple):
    """The values along some directions, `(direction, radius)`, and by how much they change with the last digits."""

    directions: Array
    values: Array
    rounding: Array


def check_bounded(potential: Callable, size: int) -> None:
    """Refuse a potential that falls without bound: it has no stationary density, and what is generated from it runs
    away.

    Quadratic forms are told exactly, to rounding. Of others the values are looked at as far as 1e4, along the
    eigenvectors of the Hessian at zero, down the slope, and where it is lowest at a distance of 1e3: what falls from
    1e2 on, by each factor of ten no less than half as much as by the one before, is refused. A flat one passes.

    **Arguments:** `potential`: `U(z)`, a scalar of `(size,)`. One whose parameters are not known, within `jit`, passes.

    **Raises:** `ValueError`, with the Hessian's least eigenvalue, and where the potential falls.
    """
    with jax.ensure_compile_time_eval():
        unknown = lambda x: isinstance(x, jax.core.Tracer)
        origin = jnp.zeros(size, _precision_of(potential))
        if any(map(unknown, jax.tree.leaves((potential, potential(origin))))):
            return
        slope, hessian, quadratic = map(np.asarray, _at_zero(potential, origin))
        eigenvalues, vectors = _of_matrix(hessian)
        if quadratic:
            direction = _of_quadratic(slope, eigenvalues, vectors)
        else:
            direction = _of_values(_along(potential, jnp.asarray(slope), jnp.asarray(vectors.T, slope.dtype)))
        if direction is None:
            return
        at = lambda r: jnp.asarray(r * direction, slope.dtype)
        least = float(eigenvalues[0] if quadratic else _of_matrix(_hessian(potential, at(RADII[0])))[0][0])
        near, far = (float(potential(at(r))) for r in RADII[:2])
    remedy = (
        f"add c / 2 |z|^2 with c above {abs(min(least, 0)):.3g}"
        if quadratic
        else "add what grows faster, as c / 2 |z|^2"
    )
    raise ValueError(
        f"potential: {kind_of(potential)} falls without bound: the least eigenvalue of its Hessian is {least:.3g} at "
        f"{'any z' if quadratic else f'|z| = {RADII[0]:g}'}, and it falls to {near:.3g} at |z| = {RADII[0]:g} and to "
        f"{far:.3g} at {RADII[1]:g} {_named(direction)}, so that it has no stationary density, and what is generated "
        f"runs away: {remedy}, which is a `confinement` of the potentials here"
    )


def _precision_of(potential: Callable) -> Any:
    """That of its parameters, if it has some."""
    return next((x.dtype for x in jax.tree.leaves(potential) if eqx.is_inexact_array(x)), None)


def _of_matrix(hessian) -> tuple[np.ndarray, np.ndarray]:
    """Its eigenvalues and vectors; of one that is not finite these are zero, and the axes."""
    matrix = np.asarray(hessian, np.float64)
    return np.linalg.eigh(matrix if np.isfinite(matrix).all() else np.zeros_like(matrix))


@eqx.filter_jit
def _hessian(potential: Callable, z: Array) -> Array:
    return jax.hessian(potential)(z)


@eqx.filter_jit
def _at_zero(potential: Callable, zero: Array) -> AtZero:
    slope, size = jax.grad(potential), zero.size
    hessian = _hessian(potential, zero)
    elsewhere = jnp.asarray(_mixed(size)[:4] * np.array([[1.0], [-1.0], [RADII[0]], [-RADII[0]]]), zero.dtype)
    slopes, as_quadratic = jax.vmap(slope)(elsewhere), slope(zero)[None] + elsewhere @ hessian
    allowed = _digits(slopes) * jnp.max(jnp.abs(as_quadratic), axis=1, keepdims=True)
    return AtZero(slope(zero), hessian, jnp.all(jnp.abs(slopes - as_quadratic) <= allowed))


@eqx.filter_jit
def _along(potential: Callable, slope: Array, vectors: Array) -> Along:
    """`vectors`: one a row."""
    size, dtype = slope.size, slope.dtype
    of_unit = lambda x: x / jnp.maximum(jnp.sqrt(jnp.sum(x**2, axis=-1, keepdims=True)), jnp.finfo(dtype).tiny)
    mixed = jnp.asarray(_mixed(size), dtype)
    directions = jnp.concatenate([vectors, -vectors, mixed, of_unit(-slope)[None]])
    at = lambda r, directions: jax.vmap(lambda e: potential(r * e))(directions)
    lowest = directions[jnp.argsort(at(RADII[1], directions))[:LOWEST]]
    directions = jnp.concatenate([directions, jax.vmap(lambda e: _turned_down(potential, e, of_unit))(lowest)])
    values = jnp.stack([at(r, directions) for r in RADII], axis=1)
    moved = directions + 8 * jnp.finfo(dtype).eps * jnp.resize(mixed, directions.shape)
    change = jnp.abs(jnp.stack([at(r, moved) for r in RADII], axis=1) - values)
    return Along(directions, values, 8 * change + _digits(values) * jnp.abs(values))


def _turned_down(potential: Callable, direction: Array, of_unit: Callable) -> Array:
    """A direction, turned to where the potential is lower at a distance, by smaller angles where it is not."""
    at = lambda e: potential(RADII[1] * e)

    def turn(carry, _):
        e, angle = carry
        slope = jax.grad(at)(e)
        turned = of_unit(e - jnp.tan(angle) * of_unit(slope - jnp.sum(slope * e) * e))
        lower = at(turned) < at(e)
        return (jnp.where(lower, turned, e), jnp.where(lower, angle, 0.5 * angle)), None

    begun = direction, jnp.asarray(0.5, direction.dtype)
    return jax.lax.scan(turn, begun, None, length=TURNS)[0][0]


def _mixed(size: int) -> np.ndarray:
    """Some directions, the same ones each time."""
    drawn = np.random.default_rng(0).normal(size=(MIXED, size))
    return drawn / np.linalg.norm(drawn, axis=1, keepdims=True)


def _digits(x) -> float:
    return 64 * x.shape[-1] ** 0.5 * float(jnp.finfo(x.dtype).eps)


def _of_quadratic(slope: np.ndarray, eigenvalues: np.ndarray, vectors: np.ndarray) -> Any:
    """The direction in which it falls, or None: down a negative eigenvalue, or down a slope where none holds it."""
    none = _digits(slope)
    least = none * np.abs(eigenvalues).max()
    if eigenvalues[0] < -least:
        return vectors[:, 0]
    free = vectors[:, np.abs(eigenvalues) <= least]
    down = -free @ (free.T @ slope)
    length = np.linalg.norm(down)
    return down / length if length > none * np.linalg.norm(slope) else None


def _of_values(along: Along) -> Any:
    """The direction in which it falls most, or None."""
    directions, values, rounding = (np.asarray(x, np.float64) for x in along)
    with np.errstate(invalid="ignore"):  # infinity less infinity is no fall
        first, second = -np.diff(values, axis=1).T
        falls = (first > rounding[:, 1]) & (second > rounding[:, 2]) & (second >= 0.5 * first)
    return directions[np.argmax(np.where(falls, second, -np.inf))] if falls.any() else None


def _named(direction: np.ndarray) -> str:
    if direction.size <= 4:
        return f"along ({', '.join(f'{x:.2g}' for x in direction)})"
    return f"along a direction most of which is in z[{np.abs(direction).argmax()}]"
