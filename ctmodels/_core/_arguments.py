"""What is said of an argument that is not what is wanted. Every message begins with the argument.

Checks look at types and shapes, which are known while a step is traced, so that a compiled one costs nothing more.
"""

import dataclasses
import functools
import inspect
import operator
from collections.abc import Callable
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of

LARGEST_SEED = 2**32 - 1  # what a random key of 32 bits tells apart
Function = TypeVar("Function", bound=Callable)
Module = TypeVar("Module", bound=eqx.Module)


def before(check: Callable[..., None]) -> Callable[[Function], Function]:
    """`check(**arguments)` before a function is entered, defaults included: also before its annotations are run, where
    they are (as in the tests), so that what a user reads does not depend on that."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)

        @functools.wraps(function)
        def checked(*args, **kwargs):
            bound = signature.bind(*args, **kwargs)
            bound.apply_defaults()
            check(**bound.arguments)
            return function(*args, **kwargs)

        return checked  # pyright: ignore

    return decorate


def check_whole(name: str, value: Any, least: int | None, most: int | None = None) -> int:
    """A whole number within limits (None: of any size): Python's or NumPy's, not a boolean, not a float."""
    said = argument(name, value)
    if isinstance(value, bool | np.bool_):
        raise DataError(f"{said}: a whole number is needed, and not a boolean")
    try:
        number = operator.index(value)
    except TypeError:
        raise DataError(f"{said}: a whole number is needed") from None
    if least is None:
        return number
    if number < least or (most is not None and number > most):
        limit = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise DataError(f"{said}: a whole number {limit} is needed")
    return number


def check_seed(value: Any, name: str = "seed") -> int:
    """A seed of random numbers: the same ones each time, and no two seeds alike."""
    return check_whole(name, value, 0, LARGEST_SEED)


def check_key(key: Any, *, needed: bool = False, name: str = "key") -> None:
    """A key of JAX's; or None, unless it is needed."""
    if key is None and not needed or isinstance(key, jax.Array) and jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return
    if isinstance(key, jax.Array | np.ndarray) and key.dtype == np.uint32:
        return  # a raw key: the style of old
    remedy = f"jax.random.key({key})" if isinstance(key, int) else "jax.random.key(0)"
    raise TypeError(f"{name}: {kind_of(key)} is no key of random numbers: give {name}={remedy}")


def check_kept(name: str, value: Any, allowed: tuple[str, ...]) -> None:
    """One of a few words."""
    if value not in allowed:
        raise ValueError(f"{argument(name, value)}: must be one of {', '.join(map(repr, allowed))}")


def check_called(name: str, value: Any, wanted: str, remedy: str) -> None:
    """A function: `wanted` is its signature."""
    if isinstance(value, type) or not callable(value):
        raise TypeError(f"{name}: {kind_of(value)}, where a function {wanted} is wanted; {remedy}")


def check_array(name: str, x: Any, axes: str, remedy: str) -> None:
    """An array of JAX's or NumPy's of real numbers, its axes named by `axes`: "(state,)"."""
    if not isinstance(x, jax.Array | np.ndarray):
        raise TypeError(f"{name}: {kind_of(x)}, where an array {axes} is wanted; {remedy}")


def replaced(module: Module, **changes) -> Module:
    """With other values of some fields: `dataclasses.replace`, of a class that is made in its own way."""
    new = object.__new__(type(module))
    for field in dataclasses.fields(module):  # pyright: ignore
        object.__setattr__(new, field.name, changes.get(field.name, getattr(module, field.name)))
    return new
