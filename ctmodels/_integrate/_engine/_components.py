"""A function of small arrays, run by their components: one number for each, which under `vmap` is one array over lanes.

The user's field sees an array and returns one, and takes it apart and puts it together as it likes: `y[0]`,
`jnp.stack`, `jnp.roll`. On the CPU, XLA makes of the transposes of these ever longer chains of pads (JAX 0.10). So the
traced program is run anew by its entries: what moves them about is done while tracing, what acts on each is done to
each, and what has no such rule is given its array and returns one.
"""

import functools
import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

SMALL = 16  # entries, up to which an array is taken apart

# By JAX's names of its operations. These act on each entry alone:
EACH = frozenset(
    "add sub mul div rem pow max min atan2 nextafter neg abs sign integer_pow square sqrt rsqrt cbrt exp exp2 "
    "log log1p expm1 sin cos tan asin acos atan sinh cosh tanh asinh acosh atanh logistic erf erfc floor ceil "
    "round eq ne lt le gt ge and or xor not is_finite select_n clamp convert_element_type copy stop_gradient "
    "real imag conj".split()
)


def _sliced(x, start_indices, limit_indices, strides):
    return x[tuple(map(slice, start_indices, limit_indices, strides or (1,) * x.ndim))]


def _broadcast(x, shape, broadcast_dimensions, **_):
    axes = np.ones(len(shape), int)
    axes[list(broadcast_dimensions)] = x.shape
    return np.broadcast_to(x.reshape(axes), shape)


MOVES: dict[str, Callable] = {  # and these move them. Of arrays that number the entries: where each goes
    "slice": _sliced,
    "squeeze": lambda x, dimensions: x.squeeze(tuple(dimensions)),
    "reshape": lambda x, new_sizes, **_: x.reshape(new_sizes),
    "broadcast_in_dim": _broadcast,
    "concatenate": lambda *x, dimension: np.concatenate(x, dimension),
    "stack": lambda *x, axis: np.stack(x, axis),
    "unstack": lambda x, axis: list(np.moveaxis(x, axis, 0)),
    "split": lambda x, sizes, axis: np.split(x, np.cumsum(sizes)[:-1], axis),
    "transpose": lambda x, permutation: x.transpose(permutation),
    "rev": lambda x, dimensions: np.flip(x, dimensions),
}


def is_small(shape: tuple) -> bool:
    """Whether an array is to be taken apart; in an exported model an axis may have no length yet."""
    return all(isinstance(n, int) for n in shape) and math.prod(shape) <= SMALL


class Parts(NamedTuple):
    """A small array by its entries, in C order."""

    entries: tuple
    shape: tuple[int, ...]

    @classmethod
    def of(cls, x) -> "Parts":
        """Of an array, of which each entry is taken once."""
        if isinstance(x, Parts):
            return x
        flat = x.reshape(-1)
        known = isinstance(flat, np.ndarray)
        one = lambda i: flat[i] if known else jax.lax.index_in_dim(flat, i, keepdims=False)
        return cls(tuple(map(one, range(flat.shape[0]))), x.shape)

    @classmethod
    def taken(cls, entries: Iterator, shape: tuple[int, ...]) -> "Parts":
        """The next of many entries."""
        return cls(tuple(itertools.islice(entries, math.prod(shape))), shape)

    def array(self):
        return self.entries[0] if not self.shape else jnp.stack(self.entries).reshape(self.shape)

    def numbers(self, first: int = 0) -> np.ndarray:
        return np.arange(first, first + len(self.entries)).reshape(self.shape)


def has_products(traced: ClosedJaxpr) -> bool:
    """Whether it multiplies matrices, or vectors by them, in more than a few multiplications: a network, be it as small
    as can be, is slower by entries, and slower to compile."""
    return _multiplications(traced.jaxpr) > SMALL


def _multiplications(jaxpr: Jaxpr) -> int:
    """Of products of matrices."""
    return sum(_of_product(eqn) + sum(map(_multiplications, inner_of(eqn))) for eqn in jaxpr.eqns)


def _of_product(eqn) -> int:
    if eqn.primitive.name not in ("dot_general", "conv_general_dilated"):
        return 0
    if eqn.primitive.name != "dot_general" or not all(map(is_small, shapes_of(eqn))):
        return SMALL + 1
    (contracted, _), _ = eqn.params["dimension_numbers"]
    return math.prod(eqn.outvars[0].aval.shape) * math.prod(eqn.invars[0].aval.shape[i] for i in contracted)


def shapes_of(eqn) -> list[tuple]:
    return [v.aval.shape for v in (*eqn.invars, *eqn.outvars)]


def inner_of(eqn) -> list[Jaxpr]:
    """The programs that an operation holds: of a `scan`, a `cond`, ..."""
    held = jax.tree.leaves(list(eqn.params.values()), is_leaf=lambda x: isinstance(x, ClosedJaxpr | Jaxpr))
    return [x.jaxpr if isinstance(x, ClosedJaxpr) else x for x in held if isinstance(x, ClosedJaxpr | Jaxpr)]


def by_entries(traced: ClosedJaxpr) -> Callable:
    """A traced function that returns one array, as a function of `Parts` or arrays that returns `Parts`."""

    def of_parts(*args) -> Parts:
        (out,) = _evaluate(traced, jax.tree.leaves(args, is_leaf=lambda x: isinstance(x, Parts)))
        return Parts.of(out)

    return of_parts


def _evaluate(closed: ClosedJaxpr, args: Sequence) -> list:
    jaxpr = closed.jaxpr
    known = dict(zip([*jaxpr.constvars, *jaxpr.invars], [*closed.consts, *args], strict=True))
    read = lambda v: np.asarray(v.val, v.aval.dtype) if isinstance(v, Literal) else known[v]  # pyright: ignore
    for eqn in jaxpr.eqns:
        known.update(zip(eqn.outvars, _apply(eqn, [read(v) for v in eqn.invars]), strict=True))
    return [read(v) for v in jaxpr.outvars]


def _apply(eqn, args: list) -> list:
    """One operation's results."""
    name, small = eqn.primitive.name, all(map(is_small, shapes_of(eqn)))
    apart = small and any(isinstance(x, Parts) for x in args)
    if name == "jit":
        return _evaluate(eqn.params["jaxpr"], args)
    if apart and name in EACH:
        return [_each(eqn, [Parts.of(x) for x in args])]
    if apart and name in MOVES:
        return _moved(eqn, [Parts.of(x) for x in args])
    if apart and name == "reduce_sum":
        return [_summed(eqn, Parts.of(args[0]))]
    if apart and name == "dot_general":
        return [_product(eqn, *map(Parts.of, args))]
    return _as_it_is(eqn, [x.array() if isinstance(x, Parts) else x for x in args])


def _each(eqn, args: list[Parts]) -> Parts:
    shape = eqn.outvars[0].aval.shape
    places = zip(*(np.broadcast_to(x.numbers(), shape).flat for x in args), strict=True)
    of_one = ([x.entries[i] for x, i in zip(args, place, strict=True)] for place in places)
    return Parts(tuple(eqn.primitive.bind(*xs, **eqn.params) for xs in of_one), shape)


def _moved(eqn, args: list[Parts]) -> list[Parts]:
    firsts = itertools.accumulate((len(x.entries) for x in args), initial=0)
    numbers = [x.numbers(first) for x, first in zip(args, firsts, strict=False)]
    entries = [entry for x in args for entry in x.entries]
    places = MOVES[eqn.primitive.name](*numbers, **eqn.params)
    places = places if isinstance(places, list) else [places]
    return [Parts(tuple(entries[i] for i in at.flat), at.shape) for at in places]


def _summed(eqn, x: Parts) -> Parts:
    axes, shape = eqn.params["axes"], eqn.outvars[0].aval.shape
    rows = np.moveaxis(x.numbers(), axes, range(len(axes))).reshape(-1, math.prod(shape))
    add = lambda places: functools.reduce(operator.add, (x.entries[i] for i in places))
    return Parts(tuple(map(add, rows.T)), shape)


def _product(eqn, x: Parts, y: Parts) -> Parts:
    (of_x, of_y), (batch_x, batch_y) = eqn.params["dimension_numbers"]

    def rows(numbers, batch, contracted):
        """(batch, free, contracted)"""
        free = [i for i in range(numbers.ndim) if i not in (*batch, *contracted)]
        lengths = (math.prod(numbers.shape[i] for i in axes) for axes in (batch, free, contracted))
        return numbers.transpose(*batch, *free, *contracted).reshape(*lengths)

    of = eqn.outvars[0].aval  # it may be summed in a wider type
    left, right = ([jax.lax.convert_element_type(entry, of.dtype) for entry in z.entries] for z in (x, y))
    a, b = rows(x.numbers(), batch_x, of_x), rows(y.numbers(), batch_y, of_y)
    dot = lambda i, j: functools.reduce(operator.add, (left[k] * right[m] for k, m in zip(i, j, strict=True)))
    entries = tuple(dot(i, j) for i_rows, j_rows in zip(a, b, strict=True) for i in i_rows for j in j_rows)
    return Parts(entries, of.shape)


def _as_it_is(eqn, args: list) -> list:
    """Of arrays."""
    with eqn.ctx.manager:
        out = eqn.primitive.bind(*args, **eqn.primitive.get_bind_params(eqn.params))
    return out if eqn.primitive.multiple_results else [out]
