"""What is wrong with a recurrence before it begins: types and shapes."""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ctmodels._core._arguments import check_array, check_called, check_whole
from ctmodels._core._words import argument, kind_of
from ctmodels.ssm._linearise import AbstractLinearisation


def check_linearisation(value: Any) -> AbstractLinearisation:
    if not isinstance(value, AbstractLinearisation):
        raise TypeError(
            f"linearisation: {kind_of(value)}, where an object is wanted: ssm.FullJacobian(), ssm.BlockJacobian() or "
            "ssm.DiagonalJacobian()"
        )
    return value


def check_limit(name: str) -> Callable:
    """Of rows or iterations; None stays what it is, where it is the default."""
    return lambda value: None if value is None and name == "chunk" else check_whole(name, value, 1)


def check_damping(value: Any) -> float:
    if isinstance(value, jax.Array | np.ndarray | str | bool) or not (math.isfinite(value) and value >= 0):
        raise ValueError(
            f"{argument('damping')}: {kind_of(value)}: a finite number of at least 0 is needed; 0 for none"
        )
    return float(value)


def check_tolerance(name: str) -> Callable:
    def check(value: Any) -> float | None:
        if value is None:
            return None
        if isinstance(value, jax.Array | np.ndarray | str | bool) or not (math.isfinite(value) and value >= 0):
            raise ValueError(
                f"{argument(name)}: {kind_of(value)}: a tolerance is a finite number of at least 0, or None"
            )
        return float(value)

    return check


def check_recurrence(step, h0, xs, **_) -> None:
    """A start and what drives it, as long as one another."""
    check_called("step", step, "(h, x) -> h", "such as an eqx.nn.GRUCell with its arguments turned round")
    check_array("h0", h0, "(state,)", "jnp.asarray(h0), of floats")
    if not jnp.issubdtype(h0.dtype, jnp.floating):
        raise TypeError(f"h0: {kind_of(h0)}: a state is of floating point numbers; jnp.asarray(h0, float)")
    rows = {np.shape(x)[:1] for x in jax.tree.leaves(xs) if eqx.is_array_like(x)}
    if not rows:
        raise ValueError("xs: no array in it, so that nothing says how many rows there are: give jnp.zeros(rows)")
    if () in rows:
        raise ValueError("xs: a number in it has no axis of time: all of its arrays are (time, ...)")
    if len(rows) > 1:
        lengths = ", ".join(str(n) for (n,) in sorted(rows))
        raise ValueError(f"xs: its arrays have {lengths} rows: all have the same leading axis, of time")
    if rows == {(0,)}:
        raise ValueError("xs: 0 rows: a recurrence needs at least one")


def check_step(step, h0, xs) -> None:
    """It makes a state of a state."""
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x)[1:], x.dtype), xs)
    found = eqx.filter_eval_shape(step, h0, first)
    if not isinstance(found, jax.ShapeDtypeStruct) or (found.shape, found.dtype) != (h0.shape, h0.dtype):
        raise ValueError(f"step: of h0, {kind_of(h0)}, it makes {kind_of(found)}: it returns a state like h0")


def check_guess(guess, h0, xs, name: str = "guess") -> None:
    if guess is None:
        return
    wanted = (*np.shape(jax.tree.leaves(xs)[0])[:1], *h0.shape)
    check_array(name, guess, "(time, *h0.shape)", "or None")
    if (guess.shape, guess.dtype) != (wanted, h0.dtype):
        raise ValueError(f"{name}: {kind_of(guess)}, where an array of {h0.dtype}, shape {wanted} is wanted")
