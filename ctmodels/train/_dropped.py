"""Gradients of a batch some of whose samples failed: those of the others.

What a failed sample was made of, a start, an input or a time that is not finite, or a state that overflowed, makes NaN
of a cotangent of zero wherever it meets one: in the solver, an encoder, a decoder. So where any sample failed, the way
back is that of a batch in which a good one stands in its place, with a cotangent of zero.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int, PyTree


@eqx.filter_custom_vjp
def without_failed(
    inputs: tuple[PyTree, PyTree], each: Callable, lost: Callable, keys: Array, rest: PyTree = None
) -> PyTree:
    """`each(model, batch, keys, rest)` -> what it is of each sample, whose gradient is zero for those samples that
    `lost(out)` says failed, whatever they were. `inputs`: model and batch."""
    return each(*inputs, keys, rest)


@without_failed.def_fwd
def _(perturbed, inputs, each, lost, keys, rest):
    diff, fixed = eqx.partition(inputs, perturbed)
    out, back = eqx.filter_vjp(lambda diff: each(*eqx.combine(diff, fixed), keys, rest), diff)
    return out, (back, lost(out), eqx.filter(out, eqx.is_inexact_array))


@without_failed.def_bwd
def _(residuals, cotangents, perturbed, inputs, each, lost, keys, rest):
    back, failed, shapes = residuals
    cotangents = jax.tree.map(lambda x, ct: _of_others(failed, x, ct), shapes, cotangents, is_leaf=lambda x: x is None)
    diff, fixed = eqx.partition(inputs, perturbed)

    def again(_):
        at = stand_ins(failed)

        def others(diff):
            model, batch = eqx.combine(diff, fixed)
            return each(model, take(batch, at), keys[at], rest)

        (of_others,) = eqx.filter_vjp(others, diff)[1](cotangents)
        return jnp.zeros((), bool), jax.tree.map(lambda x: jnp.where(jnp.all(failed), 0, x), of_others)

    # A loop of at most one turn, and no `cond`, of which an ensemble's vmap would always take both branches: the second
    # way back costs nothing where no sample failed.
    return jax.lax.while_loop(lambda s: s[0], again, (jnp.any(failed), back(cotangents)[0]))[1]


def _of_others(failed: Bool[Array, " sample"], x, ct):
    if x is None:
        return None
    if ct is None:
        return jnp.zeros_like(x)
    return jnp.where(failed.reshape(-1, *[1] * (ct.ndim - 1)), 0, ct)


def stand_ins(failed: Bool[Array, " sample"]) -> Int[Array, " sample"]:
    """Each sample's index, and for one that failed that of the first that did not."""
    return jnp.where(failed, jnp.argmin(failed), jnp.arange(failed.shape[0]))


def take(batch: PyTree, at: Int[Array, " sample"]) -> PyTree:
    return jax.tree.map(lambda x: x[at] if eqx.is_array(x) else x, batch)
