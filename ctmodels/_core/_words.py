"""Words for what a user typed: one message, in the language of whoever reads it.

`argument(name, value)` writes an argument as Python does (`held_out=0`), and inside of `spoken(...)` as the command
line does (`--held-out 0`). A message never writes an argument by itself.
"""

import contextlib
import contextvars
import os
from collections.abc import Iterator, Mapping
from typing import Any, Protocol, runtime_checkable

import jax
import numpy as np

UNSAID = object()  # stands for no value


@runtime_checkable
class Language(Protocol):
    """How arguments are written; `knows(name)`: whether whoever reads can give this one at all; `called`: what was
    typed to call a function."""

    def argument(self, name: str, value: Any = UNSAID) -> str: ...

    def knows(self, name: str) -> bool: ...

    def called(self, function: str, arguments: Mapping[str, str]) -> str: ...


def plain(value: Any) -> Any:
    """A path as text, NumPy's numbers as Python's, whole ones without a point; so in lists."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return type(value)(map(plain, value))
    if isinstance(value, np.generic):
        value = value.item()
    return int(value) if isinstance(value, float) and value.is_integer() and abs(value) < 1e15 else value


class Python:
    """`held_out=0`, `sort=True`; `columns` where there is no value, `columns=...` for one of the user's choice."""

    def argument(self, name: str, value: Any = UNSAID) -> str:
        if value is UNSAID:
            return f"`{name}`"
        return f"{name}={'...' if value is ... else repr(plain(value))}"

    def knows(self, name: str) -> bool:
        return True

    def called(self, function: str, arguments: Mapping[str, str]) -> str:
        return f"{function}({', '.join(f'{name}={value}' for name, value in arguments.items())})"


PYTHON = Python()
_language: contextvars.ContextVar[Language] = contextvars.ContextVar("language")


def argument(name: str, value: Any = UNSAID) -> str:
    """An argument, by Python's name of it, as whoever reads would type it. The value `...` is one to be chosen."""
    return _language.get(PYTHON).argument(name, value)


def knows(name: str) -> bool:
    """Whether whoever reads can give this argument: a remedy is one only then."""
    return _language.get(PYTHON).knows(name)


def called(function: str, arguments: Mapping[str, str]) -> str:
    """The call that is under way, of a function with these arguments, written as Python has them; or the whole command
    line."""
    return _language.get(PYTHON).called(function, arguments)


@contextlib.contextmanager
def spoken(language: Language) -> Iterator[None]:
    """Messages that are made within are in this language."""
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
    name = type(x).__name__
    if name in ("function", "method", "builtin_function_or_method", "PjitFunction"):
        return f"the function {x.__name__}"
    return f"{'an' if name[0] in 'AEIOaeio' else 'a'} {name}"
