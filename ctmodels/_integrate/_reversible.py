"""The reversible adjoint: steps that are taken back exactly, so that the backward pass keeps nothing of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray

from ctmodels._integrate._fixed import OnGrid, finished
from ctmodels._integrate._layout import closed_over
from ctmodels._integrate._problem import Problem, Solved
from ctmodels._integrate._pulled import pull_back
from ctmodels._integrate._samples import sample_number
from ctmodels._integrate._steps_back import Pull, Steps, pair_of, reversible_heun_of
from ctmodels.noise import Brownian, Increment


class Grid(NamedTuple):
    """The steps between save times, in either direction: `n` to each, with noise of this shape, if there is a key."""

    n: int
    key: Array | None  # its numbers: a `cond` with a batched predicate cannot choose between keys (JAX 0.10)
    shape: tuple[int, ...]
    dtype: Any
    generator: Any = None  # of the key

    @classmethod
    def of(cls, n: int, key: PRNGKeyArray, shape: tuple[int, ...], dtype) -> "Grid":
        """With noise."""
        if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
            return cls(n, key, shape, dtype)
        return cls(n, jax.random.key_data(key), shape, dtype, jax.random.key_impl(key))

    def along(self, one: Callable, carry, number, reverse: bool = False):
        """`one(carry, i, increment) -> carry` for each step of the interval with this number."""
        if self.key is None:
            steps = jnp.arange(self.n, dtype=jnp.int32)
            return jax.lax.scan(lambda carry, i: (one(carry, i, None), None), carry, steps, reverse=reverse)[0]
        key = self.key if self.generator is None else jax.random.wrap_key_data(self.key, impl=self.generator)
        brownian = Brownian(key, self.n, self.shape, self.dtype)
        return brownian.along(lambda carry, i, dW: (one(carry, i, dW), None), carry, number, reverse)[0]

    def increment(self) -> Increment | None:
        """One that is zero."""
        return None if self.key is None else Increment(jnp.zeros(self.shape, self.dtype))

    def ends(self, t0, t1, i) -> tuple[Array, Array]:
        """Of the i-th step."""
        at = lambda i: t0 + i.astype(t0.dtype) * ((t1 - t0) / self.n)
        return at(i), at(i + 1)


def solve(problem: Problem) -> Solved:
    """Steps between the save times, by an adjoint that takes them back."""
    integrate, ts, y0, noise = problem.integrate, problem.ts, problem.y0, problem.noise
    n = integrate.controller.n  # pyright: ignore
    if noise is None:
        tableau: Any = integrate.method.tableau  # pyright: ignore
        steps, fresh = pair_of(tableau, integrate.adjoint.coupling), 2 * len(tableau.b_sol)  # pyright: ignore
        slopes, grid = problem.field, Grid(n, None, (), y0.dtype)
    else:
        steps, fresh, grid = reversible_heun_of(noise.kind), 1, Grid.of(n, noise.key, noise.shape, y0.dtype)
        slopes = lambda t, y, args: (problem.field(t, y, args), noise.diffusion(t, y, args))
    of, inexact, whole = closed_over(slopes, ts[0], y0, problem.args)
    summed = integrate.cotangents == "summed"
    ys = _run((inexact, ts, y0), steps, grid, of, whole, sample_number() if summed else None)
    count = jnp.asarray((ts.shape[0] - 1) * n)
    solution = OnGrid(
        ys=jnp.concatenate([y0[None], ys]),
        evaluations=count * fresh + int(noise is not None),
        steps=count,
        measured={},
        lengths=jnp.abs(jnp.diff(ts)) / n,
        reached=ts.shape[0] - 1,
    )
    return finished(problem, solution)


@eqx.filter_custom_vjp
def _run(differentiable, steps: Steps, grid: Grid, of: Callable, whole, sample) -> Array:
    """States at all save times but the first. `differentiable`: what `of` closes over, the times, the start. `sample`:
    its number, in a vmap within which cotangents may be summed, or None."""
    return _there(differentiable, steps, grid, of, whole)[0]


def _there(differentiable, steps: Steps, grid: Grid, of: Callable, whole) -> tuple[Array, Any]:
    inexact, ts, y0 = differentiable
    slopes = lambda t, y: of([*inexact, *whole], t, y)

    def interval(carry, x):
        number, t0, t1 = x
        one = lambda carry, i, dW: steps.there(slopes, carry, *grid.ends(t0, t1, i), dW)
        carry = grid.along(one, carry, number)
        return carry, carry[0]

    carry, ys = jax.lax.scan(interval, steps.begin(slopes, ts[0], y0), _intervals(ts))
    return ys, carry


def _intervals(ts) -> tuple[Array, Array, Array]:
    return jnp.arange(ts.shape[0] - 1, dtype=jnp.int32), ts[:-1], ts[1:]


@_run.def_fwd
def _(perturbed, differentiable, steps, grid, of, whole, sample):
    return _there(differentiable, steps, grid, of, whole)


@_run.def_bwd
def _(end, ct_ys, perturbed, differentiable, steps: Steps, grid: Grid, of: Callable, whole, sample):
    inexact, ts, y0 = differentiable
    add = lambda a, b: jax.tree.map(jnp.add, a, b)
    nothing = jnp.zeros_like(y0)

    summing = lambda ct_arrays: _summing(of, inexact, whole, sample, ct_arrays)

    def interval(state, x):
        (at, ct_arrays), ((number, t0, t1), ct_y) = state, x
        ends = lambda i: jax.vjp(lambda t0, t1: grid.ends(t0, t1, i), t0, t1)

        def one(state, i, dW):
            at, ct_arrays, ct_y, ct_here, ct_later = state
            pull, by_now = summing(ct_arrays)
            last, (here, of_here) = i == grid.n - 1, ends(i)
            at, of_step, of_later = steps.back(pull, at, ct_y, *here, dW)
            later = list(ends(jnp.where(last, 0, i + 1))[1](of_later))
            ct_here = add(ct_here, add(list(of_here(of_step)), [jnp.where(last, 0, x) for x in later]))
            return at, by_now(), nothing, ct_here, add(ct_later, [jnp.where(last, x, 0) for x in later])

        none = [jnp.zeros_like(t0), jnp.zeros_like(t1)]
        begun = at, ct_arrays, ct_y, none, none
        at, ct_arrays, _, ct_here, ct_later = grid.along(one, begun, number, reverse=True)
        return (at, ct_arrays), (ct_here, ct_later)

    begun = steps.turn(end, ts[-1], grid.increment()), jax.tree.map(jnp.zeros_like, inexact)
    back, (here, later) = jax.lax.scan(interval, begun, (_intervals(ts), ct_ys), reverse=True)
    pull, by_now = summing(back[1])
    ct_y0, of_start, of_first = steps.finish(pull, back[0], nothing, ts[0])
    first = jax.vjp(lambda t0, t1: grid.ends(t0, t1, jnp.zeros((), jnp.int32)), ts[0], ts[1])[1](of_first)
    of_t0, of_t1 = (x.at[1:].add(y[:-1]).at[0].add(z) for x, y, z in zip(here, later, first, strict=True))
    ct_ts = jnp.zeros_like(ts).at[:-1].add(of_t0).at[1:].add(of_t1).at[0].add(of_start)
    return jax.tree.map(lambda p, x: x if p else None, perturbed, (by_now(), ct_ts, ct_y0))


def _summing(of: Callable, inexact: list, whole, sample, ct_arrays: list) -> tuple[Pull, Callable]:
    """What steps back take slopes by, and the arrays' cotangents by now: those given, and what each step adds."""
    found = [ct_arrays]

    def pull(f, args, cotangent):
        of_arrays = lambda inexact, whole, *args: f(lambda t, y: of([*inexact, *whole], t, y), *args)
        value, more, cts = pull_back(of_arrays, sample, inexact, (whole,), args, cotangent)
        found[0] = jax.tree.map(jnp.add, found[0], more)
        return value, cts

    return pull, lambda: found[0]
