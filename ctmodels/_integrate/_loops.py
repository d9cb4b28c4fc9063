"""Loops, and what varies over the devices of a `jax.shard_map`: JAX tells the two kinds of arrays apart by type."""

from collections.abc import Callable

import jax
from jaxtyping import PyTree


def varying_alike(tree: PyTree, like: PyTree = ()) -> PyTree:
    """Each array as one that varies over every axis of the mesh over which any of them, or of `like`, does. Outside of
    `shard_map`, the tree itself."""
    axes = frozenset().union(*map(_axes, jax.tree.leaves((tree, like))))

    def vary(x):
        more = tuple(sorted(axes - _axes(x)))
        return jax.lax.pcast(x, more, to="varying") if more else x

    return jax.tree.map(vary, tree) if axes else tree


def _axes(x) -> frozenset:
    kind = jax.typeof(x)
    if hasattr(kind, "manual_axis_type"):  # JAX 0.10; before that, `vma`
        return kind.manual_axis_type.varying
    return getattr(kind, "vma", frozenset())


def while_loop(condition: Callable, body: Callable, state: PyTree, like: PyTree = ()) -> PyTree:
    """As `jax.lax.while_loop`, which wants what it begins with to vary as what it ends with does."""
    return jax.lax.while_loop(condition, body, varying_alike(state, like))
