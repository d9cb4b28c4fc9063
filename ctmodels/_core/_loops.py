"""Loops, and what varies over the devices of a `jax.shard_map`: JAX tells the two kinds of arrays apart by type.

A loop ends with arrays that vary, so it has to begin with such. And what a field holds has to vary before the field is
traced: else the derivative of each step sums over devices, which take different numbers of steps.
"""

import types
from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import PyTree


def varying_alike(tree: PyTree, like: PyTree = ()) -> PyTree:
    """Each array as one that varies over every axis of the mesh over which any of them, or of `like`, does; of a
    function, those that it closes over. Outside of `shard_map`, the tree itself."""
    held = [*map(axes_of, _arrays(tree, {})), *map(axes_of, _arrays(like, {}))]
    axes = frozenset().union(*held)
    return _vary(tree, axes, {}) if axes else tree


def axes_of(x) -> frozenset:
    """Of the mesh: those over which an array varies."""
    kind = jax.typeof(x)
    if hasattr(kind, "manual_axis_type"):  # JAX 0.10; before that, `vma`
        return kind.manual_axis_type.varying
    return getattr(kind, "vma", frozenset())


def while_loop(condition: Callable, body: Callable, state: PyTree, like: PyTree = ()) -> PyTree:
    """As `jax.lax.while_loop`, which wants what it begins with to vary as what it ends with does."""
    return jax.lax.while_loop(condition, body, varying_alike(state, like))


def _cells(f: types.FunctionType) -> list:
    """What a function closes over; a cell may be empty still."""
    return [cell for cell in f.__closure__ or () if cell != types.CellType()]


def _arrays(tree: PyTree, seen: dict) -> list:
    """All arrays, those that functions close over included."""
    found = []
    for leaf in jax.tree.leaves(tree):
        if isinstance(leaf, types.MethodType):
            leaf = leaf.__self__, leaf.__func__
            found += _arrays(leaf, seen)
        elif isinstance(leaf, types.FunctionType) and id(leaf) not in seen:
            seen[id(leaf)] = leaf
            found += _arrays([cell.cell_contents for cell in _cells(leaf)], seen)
        elif eqx.is_array(leaf):
            found.append(leaf)
    return found


def _vary(tree: PyTree, axes: frozenset, seen: dict) -> PyTree:
    def one(x):
        if isinstance(x, types.MethodType):
            return types.MethodType(x.__func__, _vary(x.__self__, axes, seen))
        if isinstance(x, types.FunctionType) and x.__closure__:
            return _function_varied(x, axes, seen)
        more = tuple(sorted(axes - axes_of(x))) if eqx.is_array(x) else ()
        return jax.lax.pcast(x, more, to="varying") if more else x

    return jax.tree.map(one, tree)


def _function_varied(f: types.FunctionType, axes: frozenset, seen: dict) -> Callable:
    """The function, closing over arrays that vary. It may close over itself."""
    if id(f) not in seen:
        cells = [types.CellType() for _ in f.__closure__ or ()]
        seen[id(f)] = new = types.FunctionType(f.__code__, f.__globals__, f.__name__, f.__defaults__, tuple(cells))
        new.__kwdefaults__ = f.__kwdefaults__
        for cell, old in zip(cells, f.__closure__ or (), strict=True):
            if old != types.CellType():
                cell.cell_contents = _vary(old.cell_contents, axes, seen)
    return seen[id(f)]
