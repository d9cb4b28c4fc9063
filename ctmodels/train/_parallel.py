"""Data parallel: each device solves its share of the batch in a loop of its own, and gradients are summed once.

What is here knows of samples and shards, not of losses: `axis` is the mesh's axis inside a shard, None on one device.
"""

import inspect
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec as P
from jaxtyping import Array, PRNGKeyArray, PyTree

from ctmodels.train._structure import is_key, on_host


def keys_of(key: PRNGKeyArray, samples: int, axis: str | None) -> Array:
    """A key for each sample here: those that it would have on one device."""
    if axis is None:
        return jax.random.split(key, samples)
    keys = jax.random.split(key, samples * jax.lax.axis_size(axis))
    return jax.lax.dynamic_slice_in_dim(keys, jax.lax.axis_index(axis) * samples, samples)


def gather_shards(x: Array, axis: str | None) -> Array:
    """The whole batch's, of what has an entry for each sample here."""
    return x if axis is None else jax.lax.all_gather(x, axis, tiled=True)


def summed(tree: PyTree, axis: str | None) -> PyTree:
    """The sum over all shards. It carries no gradient, which would pass through it once per shard."""
    tree = jax.lax.stop_gradient(tree)
    return tree if axis is None else jax.lax.psum(tree, axis)


def in_shards(gradient: Callable, mesh: Mesh, trained, rest, batch, key, step) -> tuple:
    """`gradient(..., axis=axis)` in each shard -> the whole batch's ((value, metrics), gradient), the same on each."""
    (axis,) = mesh.axis_names
    (rest, batch), fixed = eqx.partition((rest, batch), eqx.is_array)

    def shard(trained, rest, batch, key, step):
        rest, batch = eqx.combine((rest, batch), fixed)
        (value, metrics), slopes = gradient(trained, rest, batch, key, step, axis=axis)
        value, slopes = jax.lax.psum((value, slopes), axis)
        return (value, metrics), slopes

    # Without JAX's own bookkeeping of what varies over the mesh: it would sum the gradient by itself, and loops and
    # rules for derivatives inside a model need not know of it.
    run = jax.shard_map(shard, mesh=mesh, in_specs=(P(), P(), P(axis), P(), P()), out_specs=P(), check_vma=False)
    return run(trained, rest, batch, key, step)


def one_axis(mesh: Mesh, objective: Callable) -> Mesh:
    """The mesh, whose axis JAX may handle by itself outside of the shards; or an error that says what is wanted."""
    if not isinstance(mesh, Mesh) or len(mesh.axis_names) != 1:
        found = getattr(mesh, "axis_names", type(mesh).__name__)
        raise ValueError(f'mesh={found}: a mesh of one axis is wanted: jax.make_mesh((len(jax.devices()),), ("data",))')
    parameters = inspect.signature(objective).parameters.values()
    if not any(p.name == "axis" or p.kind is p.VAR_KEYWORD for p in parameters):
        name = getattr(objective, "__qualname__", type(objective).__name__)
        raise ValueError(
            f"objective={name}{inspect.signature(objective)}: with a mesh it is called as (model, batch, key, step, "
            "axis=name) on each device's share of the batch; take `axis=None`, and return this share's part of the "
            "value (the parts are summed over `axis`) and metrics that are the same on all devices"
        )
    return Mesh(mesh.devices, mesh.axis_names, axis_types=(AxisType.Auto,))


def shard_batch(batch: PyTree, mesh: Mesh, over: int) -> PyTree:
    """A batch, the same in every process, on the mesh, cut along axis `over`. What is there already stays."""
    sharding = NamedSharding(mesh, P(*(None,) * over, *mesh.axis_names))

    def put(x):
        samples = x.shape[over]
        if samples % mesh.size:
            fits = samples - samples % mesh.size
            raise ValueError(
                f"a batch of {samples} samples on {mesh.size} devices, which must take as many each: let batch_size be "
                f"a multiple of {mesh.size}, such as {fits or mesh.size}, or make the mesh of fewer devices"
            )
        if jax.process_count() == 1 or getattr(x, "sharding", None) == sharding:
            return jax.device_put(x, sharding)
        return jax.make_array_from_callback(x.shape, sharding, lambda at: x[at])

    return jax.tree.map(lambda x: put(x) if eqx.is_array(x) or isinstance(x, np.ndarray) else x, batch)


def replicated(tree: PyTree, mesh: Mesh) -> PyTree:
    """On each device of the mesh; an error if processes differ."""
    sharding = NamedSharding(mesh, P())

    def put(x):
        if is_key(x):
            return jax.random.wrap_key_data(put(jax.random.key_data(x)), impl=jax.random.key_impl(x))
        # Of several processes JAX takes, and compares, what lies on the host.
        return jax.device_put(x if jax.process_count() == 1 else on_host(x), sharding)

    return _arrays(put, tree)


def is_on(x: Array, mesh: Mesh) -> bool:
    """Not merely on the same devices: to JAX, an array of a mesh of one device is another than one of that device."""
    return isinstance(x.sharding, NamedSharding) and x.sharding.mesh == mesh


def stay_replicated(tree: PyTree, mesh: Mesh) -> PyTree:
    """The same inside compiled code: no compiler is to cut it."""
    return _arrays(lambda x: jax.lax.with_sharding_constraint(x, NamedSharding(mesh, P())), tree)


def to_default_device(tree: PyTree) -> PyTree:
    """Copies of replicated arrays on this process's default device, where they meet any others."""

    def home(x):
        if is_key(x):
            return jax.random.wrap_key_data(home(jax.random.key_data(x)), impl=jax.random.key_impl(x))
        return jnp.array(on_host(x))

    return _arrays(home, tree)


def _arrays(function: Callable, tree: PyTree) -> PyTree:
    return jax.tree.map(lambda x: function(x) if eqx.is_array(x) else x, tree)
