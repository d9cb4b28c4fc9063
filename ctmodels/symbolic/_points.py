"""What a field says at points."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of


def check_points(points: Any, inputs: Any) -> None:
    """Rows of numbers."""
    for name, rows in (("points", points), ("inputs", inputs)):
        if rows is None and name == "inputs":
            continue
        if not isinstance(rows, jax.Array) or rows.ndim != 2 or not jnp.issubdtype(rows.dtype, jnp.floating):
            raise DataError(f"{name}: {kind_of(rows)}, where an array of floats, (point, variable), is wanted")
    if inputs is not None and inputs.shape[0] != points.shape[0]:
        raise DataError(f"{argument('inputs', inputs.shape)}: of {points.shape[0]} points: give a row for each")


def check_finite(slopes: Array) -> None:
    """On the host."""
    bad = ~jnp.all(jnp.isfinite(slopes), axis=1)
    if bool(jnp.any(bad)):
        raise DataError(
            f"field: not finite at {int(bad.sum())} of {len(bad)} points, first at points[{int(jnp.argmax(bad))}]: "
            "leave these points out"
        )


@eqx.filter_jit
def slopes_at(
    field: Callable, points: Float[Array, "point state"], inputs: Float[Array, "point input"] | None
) -> Float[Array, "point state"]:
    """f(0, y, u) at each."""
    zero = jnp.zeros((), points.dtype)
    if inputs is None:
        return jax.vmap(lambda y: field(zero, y, None))(points)
    return jax.vmap(lambda y, u: field(zero, y, lambda _: u))(points, inputs)


def variables(points: Array, inputs: Array | None) -> Float[Array, "point variable"]:
    """State and inputs side by side."""
    return points if inputs is None else jnp.concatenate([points, inputs], axis=1)


def rounding_of(slopes: Array) -> float:
    """A share of the mean square below which errors are not told from rounding."""
    return (100 * float(jnp.finfo(slopes.dtype).eps)) ** 2
