"""A function pulled back, with its value; what samples have in common is summed where that is wanted."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import PyTree

from ctmodels._integrate._samples import within_a_sample


def pull_back(f: Callable, sample, arrays: list, fixed: tuple, args: tuple, cotangent) -> tuple[PyTree, list, tuple]:
    """The value of f(arrays, *fixed, *args), which closes over no array, and the cotangents of the arrays and of
    `args`. `sample`: its number, where a vmap over samples is known to be summed: that of an array which they have in
    common is then their sum, made here."""

    def one(sample, arrays, fixed, args, cotangent):
        value, back = jax.vjp(lambda arrays, *args: f(arrays, *fixed, *args), arrays, *args)
        found = back(cotangent)
        return value, found[0], found[1:]

    if sample is None or within_a_sample():
        return one(sample, arrays, fixed, args, cotangent)
    summed = custom_vmap(one)

    @summed.def_vmap
    def _(size, batched, sample, arrays, fixed, args, cotangent):
        axis = lambda batched: jax.tree.map(lambda b: 0 if b else None, batched)
        all_of = lambda tree: jax.tree.map(lambda _: True, tree)
        b_sample, *others = batched
        if not b_sample:
            found = jax.vmap(one, axis(batched), axis_size=size)(sample, arrays, fixed, args, cotangent)
            return found, all_of(found)
        b_arrays, b_fixed, b_args, b_cotangent = others
        every = lambda tree, b: jax.tree.map(lambda x, b: x if b else jnp.broadcast_to(x, (size, *x.shape)), tree, b)
        args, cotangent = every(args, b_args), every(cotangent, b_cotangent)

        axes = axis(b_arrays), *axis(b_fixed), *(0 for _ in args)
        over = lambda arrays, *args: jax.vmap(f, axes, axis_size=size)(arrays, *fixed, *args)
        value, back = jax.vjp(over, arrays, *args)
        found = back(cotangent)
        return (value, found[0], found[1:]), (all_of(value), b_arrays, all_of(found[1:]))

    return summed(sample, arrays, fixed, args, cotangent)
