"""The points of a grid, and whose each of their values is: the model's, or the optimiser's, where a float is traced."""

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
import optax

from ctmodels._core._words import kind_of


class Point(NamedTuple):
    """- `hyper`: as it was asked for.
    - `model`: what `build` is given of it; `fixed`: what the optimiser is made with.
    - `traced`: the floats among the optimiser's: numbers in its state, of which each member has its own.
    """

    hyper: dict[str, Any]
    model: dict[str, Any]
    fixed: dict[str, Any]
    traced: dict[str, Any]


def points_of(grid: Mapping | Sequence, build: Callable, optimiser: Any) -> list[Point]:
    """In the order of the grid, the last name's values the fastest."""
    asked = [dict(point) for point in grid] if not isinstance(grid, Mapping) else _product(grid)
    names = dict.fromkeys(name for point in asked for name in point)
    for name in names:
        _check_taken(name, build, optimiser)
    for point in asked:
        if set(point) != set(names):
            raise ValueError(f"grid: {point} names other hyper-parameters than {asked[0]}: each point has them all")
    theirs = _arguments(optimiser) if not is_made(optimiser) else {}
    split = lambda point, keep: {name: value for name, value in point.items() if keep(name, value)}
    points = [
        Point(
            point,
            split(point, lambda name, _: name not in theirs),
            split(point, lambda name, value: name in theirs and not _is_traced(value)),
            split(point, lambda name, value: name in theirs and _is_traced(value)),
        )
        for point in asked
    ]
    _check_enough(optimiser, names)
    return points


def is_made(optimiser: Any) -> bool:
    """Whether it is an optimiser already, the same for every point, or what makes one."""
    return callable(getattr(optimiser, "init", None)) and callable(getattr(optimiser, "update", None))


def make_optimiser(optimiser: Any, fixed: dict, traced: dict) -> Any:
    """The optimiser of a point, whose traced hyper-parameters are part of its state."""
    if is_made(optimiser):
        return optimiser
    if not traced:
        return optimiser(**fixed)
    made = lambda **values: optimiser(**fixed, **values)
    # optax reads from the signature what it may trace.
    made.__signature__ = inspect.Signature(  # pyright: ignore
        [inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY) for name in traced]
    )
    return optax.inject_hyperparams(made)(**traced)


def _product(grid: Mapping) -> list[dict]:
    for name, values in grid.items():
        if isinstance(values, str) or np.ndim(values) == 0 and not isinstance(values, Sequence):
            raise TypeError(f"grid: `{name}` is {kind_of(values)}, where the values to try are wanted: [{values!r}]")
        if len(values) == 0:
            raise ValueError(f"grid: `{name}` has no value to try: give one at least")
    plain = [[v.item() if isinstance(v, np.generic) else v for v in values] for values in grid.values()]
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*plain)]


def _is_traced(value: Any) -> bool:
    return isinstance(value, float) or isinstance(value, jax.Array) and value.ndim == 0


def _arguments(function: Callable) -> Mapping[str, inspect.Parameter]:
    """Those that have a name."""
    found = inspect.signature(function).parameters
    return {name: p for name, p in found.items() if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}


def _check_taken(name: str, build: Callable, optimiser: Any) -> None:
    """By one of the two, and not by both."""
    more = any(p.kind is p.VAR_KEYWORD for p in inspect.signature(build).parameters.values())
    by_build, by_optimiser = name in _arguments(build), not is_made(optimiser) and name in _arguments(optimiser)
    if by_build and by_optimiser:
        raise ValueError(f"grid: `{name}` is an argument of `build` and of `optimiser`: rename one of the two")
    if not (by_build or by_optimiser or more):
        made = ", or give the optimiser as a function of it: optimiser=optax.adam" if is_made(optimiser) else ""
        raise ValueError(f"grid: neither `build` nor `optimiser` takes `{name}`: let build(key, {name}) take it{made}")


def _check_enough(optimiser: Any, names: Mapping) -> None:
    wanted = {} if is_made(optimiser) else _arguments(optimiser)
    for name, parameter in wanted.items():
        if parameter.default is parameter.empty and name not in names:
            given = getattr(optimiser, "__name__", "make")
            raise ValueError(
                f"optimiser: {given} needs `{name}`, which is not in the grid: give its values there, or "
                f"optimiser=functools.partial({given}, {name}=...)"
            )
