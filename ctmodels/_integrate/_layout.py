"""How states are laid out while they are solved: whole, or by components, and the field and its arrays with them."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
from jax.extend.core import ClosedJaxpr
from jaxtyping import Array

from ctmodels._integrate._engine._components import Parts, by_entries, has_products, is_small
from ctmodels._integrate._engine._state import State
from ctmodels._integrate._problem import Problem


class Layout(NamedTuple):
    """`field`: a function (arrays, t, State) that closes over nothing; its arrays, those with derivatives and those of
    whole numbers; and whether states are kept by components."""

    field: Callable
    inexact: list
    whole: list
    by_components: bool

    def state(self, x: Array) -> State:
        return State.of(x, self.by_components)

    def slope(self, t, y: State) -> State:
        return self.field([*self.inexact, *self.whole], t, y)

    def slope_of_array(self, t, y: Array) -> Array:
        return self.slope(t, self.state(y)).array()


def laid_out(problem: Problem) -> Layout:
    """By components where it pays, unless it is said: small states, of fields without products of matrices, on the
    CPU."""
    t, y, layout = problem.ts[0], problem.y0, problem.integrate.layout
    of, inexact, whole = closed_over(problem.field, t, y, problem.args)
    may = layout == "components" or (layout == "auto" and is_small(y.shape) and jax.default_backend() == "cpu")
    traced = jax.make_jaxpr(of)([*inexact, *whole], t, y) if may else None
    if traced is None or (layout == "auto" and has_products(traced)):
        return Layout(lambda arrays, t, y: State((of(arrays, t, y.array()),), whole=True), inexact, whole, False)
    return by_components(traced, inexact, whole)


def by_components(traced: ClosedJaxpr, inexact: list, whole: list) -> Layout:
    """Of a traced function (arrays, t, y): small arrays too are taken apart."""
    of_parts, shapes = by_entries(traced), [x.shape for x in inexact]
    taken_apart = [entry for x in inexact for entry in (Parts.of(x).entries if is_small(x.shape) else [x])]

    def field(arrays: Sequence, t, y: State) -> State:
        entries = iter(arrays)
        own = [Parts.taken(entries, shape) if is_small(shape) else next(entries) for shape in shapes]
        slope = of_parts([*own, *entries], Parts((t,), ()), Parts(y.parts, (len(y.parts),)))
        return State(slope.entries, whole=False)

    return Layout(field, taken_apart, whole, True)


def closed_over(field, t, y, args):
    """`field` as a function (arrays, t, y) that closes over nothing, and its arrays, those with derivatives first: so
    that a vmap or a gradient sees each of them."""
    closed = eqx.filter_closure_convert(lambda t, y: field(t, y, args), t, y)
    inexact, rest = eqx.partition(closed, eqx.is_inexact_array)
    whole, static = eqx.partition(rest, eqx.is_array)
    inexact, inexact_tree = jax.tree.flatten(inexact)
    whole, whole_tree = jax.tree.flatten(whole)

    def of(arrays, t, y):
        a, b = arrays[: len(inexact)], arrays[len(inexact) :]
        parts = jax.tree.unflatten(inexact_tree, a), jax.tree.unflatten(whole_tree, b), static
        return eqx.combine(*parts)(t, y)

    return of, inexact, whole
