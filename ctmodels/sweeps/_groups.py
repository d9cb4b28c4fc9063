"""Members whose models differ in numbers only, and so train in one compiled step."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from ctmodels.sweeps._points import Point, make_optimiser


@dataclasses.dataclass
class Group:
    """- `members`: their numbers in the whole sweep; `seeds`: one for each.
    - `arrays`: of their models, a leading axis of members; `static`: what they share.
    - `keys`: with which each trains; `traced`: hyper-parameters of the optimiser, `(member,)`.
    """

    members: list[int]
    seeds: list[int]
    arrays: PyTree
    static: PyTree
    keys: jax.Array
    fixed: dict[str, Any]
    traced: dict[str, jax.Array]

    def optimiser(self, optimiser: Any, traced: dict) -> Any:
        """As this group's members have it."""
        return make_optimiser(optimiser, self.fixed, traced)


def grouped(build: Callable, points: Sequence[Point], seeds: Sequence[int]) -> list[Group]:
    """All members, `(point, seed)` in order, by what they have in common."""
    found: list[list[tuple]] = []
    for point in points:
        before = len(found)
        for seed in seeds:
            start, train = jax.random.split(jax.random.key(seed))
            arrays, static = eqx.partition(build(start, **point.model), eqx.is_array)
            member = (sum(map(len, found)), seed, arrays, static, train, point)
            alike = next((group for group in found if _are_alike(member, group[0])), None)
            found.append([member]) if alike is None else alike.append(member)
        if len(found) > before + 1:
            warnings.warn(
                f"build: its models differ in more than numbers from seed to seed at {point.hyper}, and train one "
                "after another: define functions outside of `build`, and draw numbers as JAX's arrays",
                RuntimeWarning,
                stacklevel=4,
            )
    return [_stacked(group) for group in found]


def _are_alike(a: tuple, b: tuple) -> bool:
    (_, _, arrays, static, _, point), (_, _, others, other, _, another) = a, b
    shapes = lambda tree: [(x.shape, x.dtype) for x in jax.tree.leaves(tree)]
    return (
        jax.tree.structure(arrays) == jax.tree.structure(others)
        and shapes(arrays) == shapes(others)
        and eqx.tree_equal(static, other) is True
        and point.fixed == another.fixed
    )


def _stacked(group: list[tuple]) -> Group:
    members, seeds, arrays, statics, keys, points = zip(*group, strict=True)
    names = points[0].traced
    return Group(
        list(members),
        list(seeds),
        jax.tree.map(lambda *leaves: jnp.stack(leaves), *arrays),
        statics[0],
        jnp.stack(keys),
        points[0].fixed,
        {name: jnp.asarray(np.array([float(point.traced[name]) for point in points])) for name in names},
    )
