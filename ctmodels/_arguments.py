"""Arguments as the user typed them, and what is said of one that is not what is wanted.

Every message begins with the argument. `argument(name, value)` writes it in the language of whoever asked: Python's by
default (`held_out=0`), the command line's inside of `spoken(...)` (`--held-out 0`), so that one message serves both.

Checks look at types and shapes, which are known while a step is traced, so that a compiled one costs nothing more.
"""

import contextlib
import contextvars
import functools
import inspect
import operator
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import jax
import numpy as np

from ctmodels._door import DataError

MISSING = object()  # an argument without a value
LARGEST_SEED = 2**32 - 1  # what a random key of 32 bits tells apart


def in_python(name: str, value: Any = MISSING) -> str:
    """An argument as Python writes it."""
    return f"`{name}`" if value is MISSING else f"{name}={value!r}"


_language: contextvars.ContextVar[Callable[..., str]] = contextvars.ContextVar("language", default=in_python)


def argument(name: str, value: Any = MISSING) -> str:
    """An argument, by Python's name of it, as the user would type it."""
    return _language.get()(name) if value is MISSING else _language.get()(name, value)


@contextlib.contextmanager
def spoken(language: Callable[..., str]) -> Iterator[None]:
    """`language(name)` or `language(name, value)` writes arguments, in all that is called within."""
    before = _language.set(language)
    try:
        yield
    finally:
        _language.reset(before)


def kind_of(x: Any) -> str:
    """What something is, in a few words: `a Series`, `an array of float32, shape (3, 2)`."""
    if isinstance(x, type):
        return f"the class {x.__name__}"
    if isinstance(x, jax.Array | np.ndarray | jax.ShapeDtypeStruct):
        return f"an array of {x.dtype}, shape {tuple(x.shape)}"
    if isinstance(x, bool | int | float | complex | str | np.generic) or x is None:
        text = repr(x.item() if isinstance(x, np.generic) else x)
        return text if len(text) <= 40 else f"{text[:40]}..."
    if type(x).__name__ in ("function", "method", "builtin_function_or_method", "PjitFunction"):
        return f"the function {x.__name__}"
    name = type(x).__name__
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"


Function = TypeVar("Function", bound=Callable)


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


def check_whole(name: str, value: Any, least: int, most: int | None = None, *, what: str = "") -> int:
    """A whole number within limits: Python's or NumPy's, not a boolean, not a float."""
    said = f"{argument(name, value)}{what and f' ({what})'}"
    if isinstance(value, bool | np.bool_):
        raise DataError(f"{said}: a whole number is needed, and not a boolean")
    try:
        number = operator.index(value)
    except TypeError:
        raise DataError(f"{said}: a whole number is needed") from None
    if number < least or (most is not None and number > most):
        limit = f"of at least {least}" if most is None else f"from {least} to {most}"
        raise DataError(f"{said}: a whole number {limit} is needed")
    return number


def check_seed(value: Any, name: str = "seed") -> int:
    """A seed of random numbers: the same ones each time, and no two seeds alike."""
    return check_whole(name, value, 0, LARGEST_SEED)


def check_key(key: Any, *, needed: bool = False, name: str = "key") -> None:
    """A key of JAX's; or None, unless it is needed."""
    if (
        key is None
        and not needed
        or isinstance(key, jax.Array)
        and jax.dtypes.issubdtype(key.dtype, jax.dtypes.prng_key)
    ):
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
