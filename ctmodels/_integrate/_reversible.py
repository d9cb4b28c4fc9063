r"""The reversible adjoint: steps that are taken back exactly, so that the backward pass keeps nothing of them.

Of reversible Heun (Kidger, Foster, Li, Lyons 2021), and of any explicit Runge-Kutta method, of which a pair of states
is made (McCallum, Foster 2024), with $\Psi_h(t, y)$ what a step of the method adds:
$y_1 = \lambda y + (1 - \lambda) z + \Psi_h(t, z)$, $\; z_1 = z - \Psi_{-h}(t_1, y_1)$.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, PRNGKeyArray

from ctmodels._integrate._fixed import OnGrid, finished, rk_step
from ctmodels._integrate._layout import closed_over
from ctmodels._integrate._problem import Problem, Solved
from ctmodels._integrate._samples import sample_number, within_a_sample
from ctmodels._integrate._stochastic import Reversed, Terms, begin_reversible_heun, move_by, reversible_heun
from ctmodels.noise import Brownian


class Steps(NamedTuple):
    """Of a reversible method, for one sample: its beginning, one step, and the same back. `slopes(t, y)` of the field,
    or of drift and diffusion; what is carried has the state in front."""

    begin: Callable  # (slopes, t, y) -> carry
    there: Callable  # (slopes, carry, t0, t1, increment) -> carry
    back: Callable  # (slopes, carry, t0, t1, increment) -> carry


def pair_of(tableau: diffrax.ButcherTableau, coupling: float) -> Steps:
    """A pair of states by a Runge-Kutta method."""

    def psi(slopes, t, y, h):
        return rk_step(tableau, lambda t, y, args: slopes(t, y), t, h, y).y1 - y

    def there(slopes, carry, t0, t1, increment):
        y, z = carry
        y = coupling * y + (1 - coupling) * z + psi(slopes, t0, z, t1 - t0)
        return y, z - psi(slopes, t1, y, t0 - t1)

    def back(slopes, carry, t0, t1, increment):
        y, z = carry
        z = z + psi(slopes, t1, y, t0 - t1)
        return (y - (1 - coupling) * z - psi(slopes, t0, z, t1 - t0)) / coupling, z

    return Steps(begin=lambda slopes, t, y: (y, y), there=there, back=back)


def reversible_heun_of(noise: str) -> Steps:
    terms = lambda slopes: Terms(lambda t, y: slopes(t, y)[0], lambda t, y: slopes(t, y)[1], noise)

    def there(slopes, carry, t0, t1, increment):
        y, kept = carry
        moved = reversible_heun(terms(slopes), t0, y, kept, move_by(increment, t1 - t0, y.dtype))
        return moved.y, moved.kept

    def back(slopes, carry, t0, t1, increment):
        (y, kept), of = carry, terms(slopes)
        move = move_by(increment, t1 - t0, y.dtype)
        rise = lambda f, g: move.h * f + of.along(g, move.dW)
        z = 2 * y - kept.z - rise(kept.f, kept.g)
        f, g = slopes(t0, z)
        return y - rise(0.5 * (f + kept.f), 0.5 * (g + kept.g)), Reversed(z, f, g)

    return Steps(begin=lambda slopes, t, y: (y, begin_reversible_heun(terms(slopes), t, y)), there=there, back=back)


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
    slopes_of = lambda inexact, whole: lambda t, y: of([*inexact, *whole], t, y)
    add = lambda a, b: jax.tree.map(jnp.add, a, b)

    def again(inexact, whole, i, dW, carry, t0, t1):
        return steps.there(slopes_of(inexact, whole), carry, *grid.ends(t0, t1, i), dW)

    def interval(state, x):
        (carry, ct, ct_arrays), ((number, t0, t1), ct_y) = state, x

        def one(state, i, dW):
            carry, ct, ct_arrays, ct_ends = state
            carry = steps.back(slopes_of(inexact, whole), carry, *grid.ends(t0, t1, i), dW)
            more, (ct, *of_ends) = pull_back(again, sample, inexact, (whole, i, dW), (carry, t0, t1), ct)
            return carry, ct, add(ct_arrays, more), add(ct_ends, of_ends)

        begun = carry, (ct[0] + ct_y, *ct[1:]), ct_arrays, [jnp.zeros_like(t0), jnp.zeros_like(t1)]
        carry, ct, ct_arrays, ct_ends = grid.along(one, begun, number, reverse=True)
        return (carry, ct, ct_arrays), ct_ends

    none = jax.tree.map(jnp.zeros_like, (end, inexact))
    back, (of_t0, of_t1) = jax.lax.scan(interval, (end, *none), (_intervals(ts), ct_ys), reverse=True)
    _, ct, ct_arrays = back
    begin = lambda inexact, whole, t, y0: steps.begin(slopes_of(inexact, whole), t, y0)
    more, (of_start, ct_y0) = pull_back(begin, sample, inexact, (whole,), (ts[0], y0), ct)
    ct_ts = jnp.zeros_like(ts).at[:-1].add(of_t0).at[1:].add(of_t1).at[0].add(of_start)
    return jax.tree.map(lambda p, x: x if p else None, perturbed, (add(ct_arrays, more), ct_ts, ct_y0))


def pull_back(f: Callable, sample, arrays: list, fixed: tuple, args: tuple, cotangent) -> tuple[list, tuple]:
    """Cotangents of the arrays and of `args`, for f(arrays, *fixed, *args), which closes over no array. `sample`: its
    number, where a vmap over samples is known to be summed: that of an array which they have in common is then their
    sum, made here."""

    def one(sample, arrays, fixed, args, cotangent):
        found = jax.vjp(lambda arrays, *args: f(arrays, *fixed, *args), arrays, *args)[1](cotangent)
        return found[0], found[1:]

    if sample is None or within_a_sample():
        return one(sample, arrays, fixed, args, cotangent)
    summed = custom_vmap(one)

    @summed.def_vmap
    def _(size, batched, sample, arrays, fixed, args, cotangent):
        axis = lambda batched: jax.tree.map(lambda b: 0 if b else None, batched)
        b_sample, *others = batched
        if not b_sample:
            found = jax.vmap(one, axis(batched), axis_size=size)(sample, arrays, fixed, args, cotangent)
            return found, jax.tree.map(lambda _: True, found)
        b_arrays, b_fixed, b_args, b_cotangent = others
        every = lambda tree, b: jax.tree.map(lambda x, b: x if b else jnp.broadcast_to(x, (size, *x.shape)), tree, b)
        args, cotangent = every(args, b_args), every(cotangent, b_cotangent)

        axes = axis(b_arrays), *axis(b_fixed), *(0 for _ in args)
        over = lambda arrays, *args: jax.vmap(f, axes, axis_size=size)(arrays, *fixed, *args)
        found = jax.vjp(over, arrays, *args)[1](cotangent)
        return (found[0], found[1:]), (b_arrays, jax.tree.map(lambda _: True, found[1:]))

    return summed(sample, arrays, fixed, args, cotangent)
