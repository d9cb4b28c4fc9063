"""Members side by side: a step, a judgement and a gathering of all lanes, each one compiled program."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
from jaxtyping import Array, Float, Int, PyTree

from ctmodels.sweeps._groups import Group
from ctmodels.train._parallel import to_default_device
from ctmodels.train._step import TrainStep


class Best(eqx.Module):
    """Of each lane: the arrays of its best model so far, how good it is, at which step it was, and how many
    judgements ago."""

    model: PyTree
    score: Float[Array, "*lane"]
    step: Int[Array, "*lane"]
    stale: Int[Array, "*lane"]


class Together(NamedTuple):
    """How lanes are solved: so many at once, on these devices."""

    at_once: int
    mesh: Mesh | None

    @classmethod
    def on(cls, mesh: Mesh | None, at_once: int) -> "Together":
        """On a mesh whose axis JAX may handle by itself outside of the shards."""
        if mesh is not None:
            mesh = Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,))
        return cls(at_once, mesh)

    @property
    def devices(self) -> int:
        """That share them."""
        return 1 if self.mesh is None else self.mesh.size

    def lanes(self, members: int) -> int:
        """The least number for so many members: as many on each device, in equal parts of at most `at_once`."""
        parts = -(-members // (self.devices * self.at_once))
        return -(-members // (self.devices * parts)) * self.devices * parts


def over_lanes(function: Callable, how: Together, *, donate: bool = False) -> Callable:
    """`function(shared, *of_a_lane)`, compiled for all lanes: part after part, those of a part side by side in one
    loop; of a mesh, on each device its share of them, so that none waits for the longest solve of another's."""

    def each(shared, *lanes):
        arrays, fixed = eqx.partition(lanes, eqx.is_array)
        one = lambda arrays: function(shared, *eqx.combine(arrays, fixed))
        number = jax.tree.leaves(arrays)[0].shape[0]
        parts = -(-number // how.at_once)
        return jax.vmap(one)(arrays) if parts == 1 else jax.lax.map(one, arrays, batch_size=number // parts)

    def over_mesh(*given):
        arrays, fixed = eqx.partition(given, eqx.is_array)
        (axis,) = how.mesh.axis_names  # pyright: ignore
        shard = lambda *arrays: each(*eqx.combine(arrays, fixed))
        specs = (P(), *(P(axis),) * (len(given) - 1))
        return jax.shard_map(shard, mesh=how.mesh, in_specs=specs, out_specs=P(axis), check_vma=False)(*arrays)

    return eqx.filter_jit(each if how.mesh is None else over_mesh, donate="all-except-first" if donate else "none")


class Program:
    """What one group compiles: `start`, `advance` and `judge`. `make`: optimiser -> a step."""

    def __init__(self, group: Group, make: Callable, optimiser: Any, validation: Callable, how: Together):
        self.group, self.how = group, how
        self._make, self._optimiser = make, optimiser
        traced = {name: values[0] for name, values in group.traced.items()}
        self._step = self._step_of(traced)
        first = jax.tree.map(lambda x: x[0], (group.arrays, group.keys))
        state = eqx.filter_eval_shape(lambda arrays, key: self._fresh(arrays, key, traced), *first)
        self._static = eqx.partition(state, lambda x: isinstance(x, jax.ShapeDtypeStruct))[1]
        self._start = over_lanes(lambda _, *given: eqx.filter(self._fresh(*given), eqx.is_array), how)
        self._advance = over_lanes(self._advanced, how, donate=True)
        self._judge = over_lanes(lambda shared, *given: _judged(validation, group.static, shared, *given), how)

    @property
    def lanes(self) -> int:
        """How many there are at the start."""
        return self.how.lanes(len(self.group.members))

    def start(self) -> tuple[PyTree, Best]:
        """The arrays of the states before the first step, and no best yet."""
        group = self.group
        index = padded(range(len(group.members)), self.lanes)
        arrays, keys, traced = self.put(take((group.arrays, group.keys, group.traced), index))
        states = self._start(None, arrays, keys, traced)
        lanes = len(index)
        zero = lambda: jnp.zeros(lanes, jnp.int32)
        best = Best(take(group.arrays, index), jnp.full(lanes, jnp.inf), zero(), zero())
        return states, self.put(best)

    def advance(self, batch: PyTree, on: np.ndarray, states: PyTree) -> tuple[PyTree, Array]:
        """One step of those that are on, and the losses. The states are consumed."""
        return self._advance(None, self.put(batch), self.put(jnp.asarray(on)), states)

    def judge(self, shared: PyTree, on: np.ndarray, step: int, states: PyTree, best: Best) -> tuple[Array, Best]:
        """The validation of each lane, and the best of those that are on."""
        on, steps = self.put((jnp.asarray(on), jnp.full(len(on), step, jnp.int32)))
        return self._judge(shared, on, steps, states.model, best)

    def gather(self, tree: PyTree, index: Sequence[int]) -> PyTree:
        """These lanes, in this order."""
        return self.put(take(self.home(tree), jnp.asarray(index)))

    def put(self, tree: PyTree) -> PyTree:
        """With its leading axis shared by the mesh."""
        if self.how.mesh is None:
            return tree
        sharding = NamedSharding(self.how.mesh, P(*self.how.mesh.axis_names))
        return jax.tree.map(lambda x: jax.device_put(x, sharding) if eqx.is_array(x) else x, tree)

    def home(self, tree: PyTree) -> PyTree:
        """On one device."""
        return tree if self.how.mesh is None else to_default_device(tree)

    def model(self, arrays: PyTree) -> PyTree:
        """A member's model, of its arrays."""
        return eqx.combine(arrays, self.group.static)

    def _step_of(self, traced: dict) -> TrainStep:
        return self._make(self.group.optimiser(self._optimiser, traced))

    def _fresh(self, arrays, key, traced):
        return self._step_of(traced).fresh(eqx.combine(arrays, self.group.static), key)

    def _advanced(self, _, batch, on, arrays):
        state, metrics = self._step.advance(batch, eqx.combine(arrays, self._static))
        new = eqx.filter(state, eqx.is_array)
        return jax.tree.map(lambda new, old: jnp.where(on, new, old), new, arrays), metrics["loss"]


def _judged(validation: Callable, static: PyTree, shared: PyTree, on, step, arrays: PyTree, best: Best):
    found = jnp.asarray(validation(eqx.combine(arrays, static), shared), best.score.dtype)
    better = on & (found < best.score)  # never of NaN
    chosen = on & (better | jnp.isinf(best.score))  # the last, as long as no validation was a number
    model = jax.tree.map(lambda new, old: jnp.where(chosen, new, old), arrays, best.model)
    score, at = jnp.where(better, found, best.score), jnp.where(better, step, best.step)
    return found, Best(model, score, at, jnp.where(better, 0, best.stale + on.astype(jnp.int32)))


@eqx.filter_jit
def take(tree: PyTree, index: Int[Array, "*lane"]) -> PyTree:
    """Lanes of a tree of arrays, or one of them."""
    return jax.tree.map(lambda x: x[index] if eqx.is_array(x) else x, tree)


def padded(index: Sequence[int], lanes: int) -> Array:
    """The indices, and the first of them again until there are so many."""
    return jnp.asarray([*index, *[index[0]] * (lanes - len(index))])
