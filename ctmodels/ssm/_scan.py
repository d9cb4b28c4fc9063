r"""Linear recurrences $x_k = A_k x_{k-1} + b_k$, $y_k = \mathrm{read}(x_k, u_k)$, from row to row or all at once."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree


def linear_scan(
    transition: Callable,
    read: Callable,
    x0: PyTree,
    us: PyTree,
    gaps: Float[Array, " row"],
    *,
    every: bool = True,
    parallel: bool | None = None,
) -> tuple[PyTree, PyTree]:
    """States and outputs at each row.

    **Arguments:**

    - `transition`: `(u, gap) -> (A, b)`, a linear map of states ([`ctmodels.ssm.Diagonal`][] and its like) and what is
      added.
    - `read`: `(x, u) -> y`.
    - `x0`: the state before the first row.
    - `us`, `gaps`: of each row, along the leading axis.
    - `every`: whether the state after each row is wanted, else only the last of them.
    - `parallel`: whether by an associative scan, whose depth is logarithmic in the rows and whose work is twice as
      large; by default everywhere but on the CPU.

    **Returns:** states, along a leading axis if `every`, and outputs.
    """
    if in_parallel(parallel):
        xs, ys = _all_at_once(transition, read, x0, us, gaps)
        return (xs if every else jax.tree.map(lambda a: a[-1], xs)), ys

    def step(x, u, gap):
        A, b = transition(u, gap)
        x = _sum(A(x), b)
        return x, read(x, u)

    return scan_rows(step, x0, us, gaps, every=every)


def in_parallel(parallel: bool | None) -> bool:
    """What None means: by an associative scan everywhere but on the CPU, where it only costs."""
    return jax.default_backend() != "cpu" if parallel is None else parallel


def _all_at_once(transition, read, x0, us, gaps):
    def combine(earlier, later):
        (A, b), (C, d) = earlier, later
        return C @ A, _sum(C(b), d)

    As, bs = jax.vmap(transition)(us, gaps)
    powers, sums = jax.lax.associative_scan(jax.vmap(combine), (As, bs))
    xs = jax.vmap(lambda A, b: _sum(A(x0), b))(powers, sums)
    return xs, jax.vmap(read)(xs, us)


def scan_rows(step: Callable, x0: PyTree, us: PyTree, gaps: Float[Array, " row"], *, every: bool = True) -> tuple:
    """From row to row by `step(x, u, gap) -> (x, y)`: states, all or the last, and outputs."""

    def row(x, given):
        x, y = step(x, *given)
        return x, ((x if every else None), y)

    last, (xs, ys) = scan_in_blocks(row, x0, (us, gaps))
    return (xs if every else last), ys


def scan_in_blocks(step: Callable, x0: PyTree, rows: PyTree) -> tuple[PyTree, PyTree]:
    """`jax.lax.scan` whose backward pass keeps the states at the root of so many rows, and makes the others anew."""
    length = jax.tree.leaves(rows)[0].shape[0]
    size = max(1, math.isqrt(length))
    if length < 64:
        return jax.lax.scan(step, x0, rows)
    whole = length // size * size
    blocks = jax.tree.map(lambda a: a[:whole].reshape(-1, size, *a.shape[1:]), rows)
    x, ys = jax.lax.scan(jax.checkpoint(lambda x, block: jax.lax.scan(step, x, block)), x0, blocks)
    ys = jax.tree.map(lambda a: a.reshape(whole, *a.shape[2:]), ys)
    if whole == length:
        return x, ys
    x, rest = jax.lax.scan(step, x, jax.tree.map(lambda a: a[whole:], rows))
    return x, jax.tree.map(lambda a, b: jnp.concatenate([a, b]), ys, rest)


def _sum(a: PyTree, b: PyTree) -> PyTree:
    return jax.tree.map(jnp.add, a, b)
