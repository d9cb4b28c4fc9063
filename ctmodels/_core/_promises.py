"""What is promised of the arguments of a model, a step of data and a loss, checked before they are used.

Types and shapes only, so that it costs nothing in a compiled step; each message begins with the argument.
"""

import inspect
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from ctmodels._core._arguments import check_key
from ctmodels._core._output import Output
from ctmodels._core._series import Driven, Example, Record, Series
from ctmodels._core._words import kind_of

VMAP = "for a batch: jax.vmap(model)(x, ts)"


def is_array(x: Any) -> bool:
    return isinstance(x, jax.Array | np.ndarray)


def check_ts(ts: Any) -> None:
    """Times of one sample, or None."""
    if ts is None:
        return
    if not is_array(ts):
        raise TypeError(f"ts: {kind_of(ts)}, where an array of times (time,) is wanted: jnp.asarray(ts), of floats")
    if ts.ndim != 1:
        remedy = VMAP if ts.ndim == 2 else "for one time: ts[None]"
        raise ValueError(f"ts: shape {ts.shape}: a model answers at the times of one sample, (time,); {remedy}")


def check_reads(self, x, ts, key, **_) -> None:
    """The arguments of a model that reads a series."""
    name = type(self).__name__
    series = x.series if isinstance(x, Record) else x
    if not isinstance(series, Series):
        raise TypeError(
            f"x: {kind_of(x)}, where {name} reads a Series, or a Record of one and static features: "
            f"ct.Series.from_nan(ts, ys), ys of shape (time, channel); {_hint(x)}"
        )
    if series.ts.ndim != 1:
        raise ValueError(
            f"x: a Series with times of shape {series.ts.shape}: {name} reads one series, of times (time,); {VMAP}"
        )
    check_ts(ts)
    check_key(key)


def check_starts(self, x, ts, key, **_) -> None:
    """The arguments of a model that starts from a state."""
    name, y0 = type(self).__name__, x.y0 if isinstance(x, Driven) else x
    wanted = f"where {name} starts from a state, an array (state,), or from ct.Driven(state, control)"
    if isinstance(y0, Series | Record):
        raise TypeError(
            f"x: {kind_of(x)}, {wanted}: its first values are series.ys[0], if they were observed; models that read a "
            "series are NeuralCDE, ODERNN, GRUODEBayes, LatentODE"
        )
    if not is_array(y0):
        raise TypeError(f"x: {kind_of(y0)}, {wanted}; {_hint(y0)}")
    if y0.ndim != 1:
        remedy = VMAP if y0.ndim > 1 else "of one channel: x[None]"
        raise ValueError(f"x: shape {y0.shape}: {name} starts from the state of one sample, (state,); {remedy}")
    check_ts(ts)
    check_key(key)


def _hint(x: Any) -> str:
    name = type(x).__name__
    if isinstance(x, list | tuple | int | float):
        return "jnp.asarray(x) makes an array of numbers"
    if name == "FreeStart":
        return (
            "these windows have no starts: give some, ct.Windows(series, length, starts=...), or train them too, "
            "ct.Shooting(model, starts)"
        )
    if name in ("Windows", "ArrayDataset"):
        return "these are data to draw batches from: windows[jnp.arange(8)] is a batch of examples"
    if isinstance(x, Example):
        return "an example is what a loss takes: model(example.x, example.target.ts)"
    return "one sample is what a model takes"


def check_example(example, **_) -> None:
    """What a loss takes."""
    if not isinstance(example, Example):
        raise TypeError(
            f"example: {kind_of(example)}, where a loss takes a ct.Example(x, target): let the data be "
            "ct.ArrayDataset(ct.Example(xs, targets))"
        )


def check_signature(name: str, function: Any, arguments: str, returned: str) -> None:
    """A function that is called with so many arguments, by position."""
    wanted = f"{name} is called as ({arguments}) and returns {returned}"
    if isinstance(function, str):
        raise TypeError(f"{name}: {function!r}, a text: {wanted}; as ct.losses.squared")
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"{name}: {kind_of(function)}: {wanted}")
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # of some functions there is none
        return
    try:
        signature.bind(*arguments.split(", "))
    except TypeError:
        called = getattr(function, "__name__", type(function).__name__)
        factory = "; if it makes one, call it first" if len(signature.parameters) < 3 else ""
        raise TypeError(f"{name}: {called}{signature}: {wanted}{factory}") from None


def check_returned(loss: Callable, found: Any) -> None:
    """What a loss of the user's gave back for one example."""
    name = getattr(loss, "__qualname__", type(loss).__name__)
    wanted = "a loss returns (sum, weight, Output): two scalars, and what the model returned"
    if not isinstance(found, tuple) or len(found) != 3:
        said = f"{len(found)} things" if isinstance(found, tuple) else kind_of(found)
        raise TypeError(f"loss: {name} returned {said}: {wanted}")
    total, weight, output = found
    if not isinstance(output, Output):
        raise TypeError(f"loss: {name} returned {kind_of(output)} as its third: {wanted}")
    for place, x in (("sum", total), ("weight", weight)):
        if np.shape(x) != ():
            raise ValueError(f"loss: {name} returned a {place} of shape {np.shape(x)}: {wanted}")
