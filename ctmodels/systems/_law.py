"""A law written as a function of its components, x' = f(x, y, z; parameters), and the field that it makes.

    @law
    def Chen(x, y, z, *, a=35.0, b=3.0, c=28.0):
        return a * (y - x), (c - a) * x - x * z + c * y, x * y - b * z

`Chen()` is a field f(t, y, args), `Chen(c=27.0)` another one; what stands after the star are its parameters.
"""

import dataclasses
import inspect
import types
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels.fields._potentials import number


class KnownLaw(eqx.Module):
    """A known system as a field `f(t, y, args)`: its class has the law's name, its attributes are the parameters.

    A parameter that is a number, or an array of NumPy's, is fixed, one that is an array of JAX's is learned:
    `jax.tree.map(jnp.asarray, field)` makes all of them so, `dataclasses.replace(field, rho=30.0)` changes one. They
    follow the precision of the state.

    A law with `delayed` has `tau`, and its `args` is the state at t - tau, shaped as y.
    """

    rule: ClassVar[Callable]
    seen: ClassVar[Callable | None] = None
    delayed: ClassVar[bool] = False
    timed: ClassVar[bool] = False
    split: ClassVar[bool] = True

    def __call__(self, t, y: Float[Array, " state"], args) -> Float[Array, " state"]:
        past = tuple(args) if self.delayed else ()
        time = {"t": t} if self.timed else {}
        return self._apply(self.rule, y, past, time)

    def observe(self, y: Float[Array, " state"]) -> Float[Array, " state"]:
        """What dysts shows of a state that grows without bound: sines and cosines of phases, Cartesian coordinates of
        polar ones. Of other systems the state as it is."""
        return y if self.seen is None else self._apply(self.seen, y, (), {})

    def _apply(self, function: Callable, y: Array, past: tuple, time: dict) -> Array:
        given = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        cast = {name: p if isinstance(p, float) else jnp.asarray(p, y.dtype) for name, p in given.items()}
        out = function(*(y if self.split else (y,)), *past, **time, **cast)
        return jnp.stack([jnp.asarray(component, y.dtype) for component in out]) if self.split else out


def law(function: Callable | None = None, *, observe: Callable | None = None, delayed: bool = False) -> Callable:
    """The class of fields of a function of components (of one argument: of the whole state), whose keywords are the
    parameters; one without a default, `t`, is time. `observe(x, ..., **parameters)` is how dysts shows it; one that is
    `delayed` is given the delayed components too."""
    if function is None:
        return lambda function: law(function, observe=observe, delayed=delayed)
    arguments = inspect.signature(function).parameters.values()
    keywords = [p for p in arguments if p.kind is p.KEYWORD_ONLY]
    parameters = {p.name: p.default for p in keywords if p.default is not p.empty}
    body = {
        "rule": staticmethod(function),
        "seen": None if observe is None else staticmethod(observe),
        "delayed": delayed,
        "timed": len(parameters) < len(keywords),
        "split": len(arguments) - len(keywords) > 1,
        "__annotations__": dict.fromkeys(parameters, float | Float[Array, "..."]),
        "__doc__": function.__doc__,
        "__module__": function.__module__,
        "__qualname__": function.__name__,
    }
    leaves = {name: eqx.field(default=value, converter=_parameter(name)) for name, value in parameters.items()}
    return types.new_class(function.__name__, (KnownLaw,), exec_body=lambda namespace: namespace.update(body | leaves))


def _parameter(name: str) -> Callable:
    """A number, an array, or the tuple in which a default one is written. Of NumPy's, as it keeps its digits whatever
    precision JAX is set to when the catalogue is read."""
    convert = number(name)
    return lambda value: np.asarray(value, float) if isinstance(value, tuple | np.ndarray) else convert(value)
