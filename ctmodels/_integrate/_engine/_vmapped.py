"""A function with a rule of its own for `vmap`, and for that of its derivatives forwards: what `custom_vmap` does not
have (JAX 0.10) where a rule calls what has a rule again."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun


@functools.cache
def _vmap_tracer() -> type:
    seen = []
    jax.vmap(lambda x: seen.append(type(x)) or x)(jnp.zeros(1))
    return seen[0]


def vmapped(tree) -> bool:
    """Whether the transformation that a function of these arrays meets first is a vmap over one of them.

    JAX traces a `custom_vmap` as if it were not vmapped, even where it is: then shapes are all that is asked for. That
    an array is some vmap's does not tell, as it may come from outside of a `scan` or `cond` that is traced first: so we
    look at what becomes of it here.
    """
    mapped = lambda x: isinstance(x, _vmap_tracer()) and x.batch_dim is not None
    return any(mapped(x) and mapped(jax.lax.expand_dims(x, (0,))) for x in jax.tree.leaves(tree))


def vmapped_by(rule: Callable, run: Callable, *args):
    """run(*args), for which `rule` stands in wherever it is vmapped.

    What `run` holds constant is handed in beside its arguments: a `cond` around it gives every array of its branches
    the axis of a vmap, and JAX expects constants of a `custom_vmap` to have none.
    """
    traced, shapes = jax.make_jaxpr(run, return_shape=True)(*args)

    def closed(constants, *args):
        out = jaxpr_as_fun(ClosedJaxpr(traced.jaxpr, constants))(*jax.tree.leaves(args))
        return jax.tree.unflatten(jax.tree.structure(shapes), out)

    of_all = lambda size, batched, constants, *args: rule(size, batched[1:], *args)
    return in_all_orders(of_all, closed)(traced.consts, *args)


def pushed(f: Callable, args, tangents):
    """f(*args) and its tangents, None for what has none: where f is constant they are zero."""
    out, found = eqx.filter_jvp(f, args, tangents)
    zero = lambda x: jnp.zeros_like(x) if eqx.is_inexact_array(x) else None
    return out, jax.tree.map(lambda x, tangent: zero(x) if tangent is None else tangent, out, found)


def in_all_orders(rule: Callable, run: Callable) -> Callable:
    """`run`, for which `rule` stands in wherever it, or a derivative of it forwards, is vmapped.

    For a derivative JAX's own way is to hand the rule those axes only that an argument shares with its tangent, and to
    vmap what comes of it over the others: our rules call what has a rule again, so that this would never end.
    """
    vmapped = custom_vmap(run)
    vmapped.def_vmap(rule)
    differentiable = eqx.filter_custom_jvp(vmapped)

    @differentiable.def_jvp
    def _(args, tangents):
        return in_all_orders(pushed_rule, functools.partial(pushed, run))(args, tangents)

    def pushed_rule(size, batched, args, tangents):
        b_args, b_tangents = batched
        either = jax.tree.map(lambda b, b_tangent: b or bool(b_tangent), b_args, b_tangents)
        add = lambda wanted, b, x: jnp.broadcast_to(x, (size, *x.shape)) if x is not None and wanted and not b else x
        args, tangents = (jax.tree.map(add, either, *of) for of in ((b_args, args), (b_tangents, tangents)))
        b_outs = []

        def wider(*args):
            out, b_out = rule(size, either, *args)
            b_outs.append(b_out)
            return out

        out, out_tangents = pushed(wider, args, tangents)
        (b_out,) = b_outs
        b_tangents = jax.tree.map(lambda b, tangent: None if tangent is None else b, b_out, out_tangents)
        if not any(jax.tree.leaves(b_args)):  # many directions at one point, whose value is one
            out = jax.tree.map(lambda b, x: x[0] if b else x, b_out, out)
            b_out = jax.tree.map(lambda _: False, b_out)
        return (out, out_tangents), (b_out, b_tangents)

    return differentiable
