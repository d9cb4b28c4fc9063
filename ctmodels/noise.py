r"""Brownian motion by counter: each increment is drawn from a key and its place, so that nothing is kept.

An interval of time is cut into $n = m \cdot 2^L$ equal steps, m odd. Its m parts have increments of their own, drawn by
their number; each is halved L times, the middle drawn given the ends (a bridge). So the same key gives the same path
for n, 2 n, 4 n, ... steps, in any order, forwards or backwards.

Where a method asks for it, an increment has its space-time Lévy area,
$H = \frac1h \int_0^h \bigl(W_s - \frac sh W_h\bigr)\,ds \sim \mathcal N(0, h/12)$, independent of $W_h$; halves are
drawn given both (Foster, Oberhauser, Lyons 2020).
"""

import functools
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

MOST = 2**32 - 1  # that a key is folded with
AT_ONCE = 4  # halvings that are made side by side, into sixteen increments


class Increment(NamedTuple):
    """Of Brownian motion, in units of the root of the time that it takes: `w` is normal with variance one, the area `h`
    with a twelfth, or None where no method asks for it."""

    w: Float[Array, "..."]
    h: Float[Array, "..."] | None = None

    @classmethod
    def drawn(cls, key: PRNGKeyArray, shape: tuple[int, ...], dtype, area: bool) -> "Increment":
        if not area:
            return cls(jax.random.normal(key, shape, dtype))
        w, h = jax.random.normal(key, (2, *shape), dtype)
        return cls(w, h / 12**0.5)


def _halves(one: Increment, drawn: Increment) -> tuple[Increment, Increment]:
    """Those of the first half of its time and of the second, each in units of its own, from an increment that was drawn
    for it."""
    if one.h is None or drawn.h is None:
        # Of unit time, the middle is w / 2 + z / 2; a half's unit is the root of a half.
        half = 0.5**0.5
        return Increment(half * (one.w + drawn.w)), Increment(half * (one.w - drawn.w))
    root, z = 2**0.5, drawn.w / 4
    bend, left = 1.5 * one.h + z, 0.25 * one.h - 0.5 * z
    first = Increment(root * (0.5 * one.w + bend), root * (left + 0.5 * drawn.h))
    return first, Increment(root * (0.5 * one.w - bend), root * (left - 0.5 * drawn.h))


@functools.cache
def _halving(times: int, area: bool) -> np.ndarray:
    """The matrix from an increment and those that are drawn, level by level, to its 2^times parts; with areas, those of
    the w above those of the h."""
    n = 2**times
    each: Any = np.eye(n * (1 + area)).reshape(1 + area, n, -1)
    at = lambda i, j: Increment(*each[:, i:j])
    some = at(0, 1)
    for level in range(times):
        first, second = _halves(some, at(2**level, 2 ** (level + 1)))
        both = [np.stack(xs, 1) for xs in zip(_known(first), _known(second), strict=True)]
        some = Increment(*[x.reshape(2 ** (level + 1), -1) for x in both])  # pyright: ignore
    return np.concatenate(_known(some))


def used(key: PRNGKeyArray) -> PRNGKeyArray:
    """The key, as one that is spent: `jax.debug_key_reuse` takes folding in for no use of it (JAX 0.10), and would let
    two solves have one path."""
    jax.random.bits(key, (0,))
    return key


def unwrapped(key: PRNGKeyArray) -> tuple[Array, Callable]:
    """A key's numbers, and what makes a key of them: a `cond` with a batched predicate cannot choose between keys, nor
    one with a derivative keep them (JAX 0.10)."""
    if not jnp.issubdtype(key.dtype, jax.dtypes.prng_key):
        return key, lambda numbers: numbers
    generator = jax.random.key_impl(key)
    return jax.random.key_data(key), lambda numbers: jax.random.wrap_key_data(numbers, impl=generator)


def _known(one: Increment) -> list[Any]:
    return [x for x in one if x is not None]


class Brownian(NamedTuple):
    """The increments of the intervals of a path, each of which is cut into `n` equal steps.

    - `key`: of the sample. `shape`, `dtype`: of an increment. `area`: whether it has a space-time Lévy area.
    """

    key: PRNGKeyArray
    n: int
    shape: tuple[int, ...]
    dtype: jnp.dtype
    area: bool = False

    @property
    def parts(self) -> int:
        """The parts of an interval that are not halves of others: the odd divisor of n."""
        return self.n // (self.n & -self.n)

    @property
    def halvings(self) -> tuple[int, ...]:
        """How often each part is halved: at once, then each of these again, ..."""
        left, found = (self.n & -self.n).bit_length() - 1, []
        while left:
            found.append(min(left, AT_ONCE))
            left -= found[-1]
        return tuple(found)

    def of_part(self, interval: Int[Array, ""] | int, part: Int[Array, ""] | int) -> Increment:
        """The increment of a part of an interval."""
        key = jax.random.fold_in(jax.random.fold_in(self.key, interval), part)
        return Increment.drawn(key, self.shape, self.dtype, self.area)

    def halved(self, one: Increment, interval, generation: int, number) -> Increment:
        """Those into which one of them is halved, `(2^k, ...)`. `generation`: how often that was done before; `number`:
        which one it is of all of the interval's."""
        key = jax.random.fold_in(jax.random.fold_in(self.key, interval), MOST - generation)
        key = jax.random.fold_in(key, number)
        times = self.halvings[generation]
        drawn = [
            Increment.drawn(jax.random.fold_in(key, level), (2**level, *self.shape), self.dtype, self.area)
            for level in range(times)
        ]
        # By one product of matrices: what is drawn is then made once, not anew for each half (XLA of JAX 0.10, CPU).
        first = jax.tree.map(lambda x: x[None], one)
        rows = jnp.concatenate([x for xs in zip(*map(_known, (first, *drawn)), strict=True) for x in xs])
        matrix = jnp.asarray(_halving(times, self.area), self.dtype)
        return Increment(*(matrix @ rows.reshape(rows.shape[0], -1)).reshape(1 + self.area, 2**times, *self.shape))

    def along(self, one: Callable, carry: PyTree, interval, reverse: bool = False) -> tuple[PyTree, PyTree]:
        """`one(carry, i, increment) -> (carry, out)` for each step of an interval, in order or in reverse; what comes
        out is stacked, `(n, ...)`."""

        def through(carry, increment: Increment, generation: int, i):
            if generation == len(self.halvings):
                return one(carry, i, increment)
            halves, of_each = self.halved(increment, interval, generation, i), 2 ** self.halvings[generation]
            each = of_each * i + jnp.arange(of_each, dtype=jnp.int32), halves
            next_one = lambda carry, x: through(carry, x[1], generation + 1, x[0])
            carry, out = jax.lax.scan(next_one, carry, each, reverse=reverse)
            return carry, out if generation == len(self.halvings) - 1 else jax.tree.map(_flat, out)

        part = lambda carry, i: through(carry, self.of_part(interval, i), 0, i)
        if self.parts == 1:
            carry, out = part(carry, jnp.zeros((), jnp.int32))
            return carry, out if self.halvings else jax.tree.map(lambda x: x[None], out)
        carry, out = jax.lax.scan(part, carry, jnp.arange(self.parts, dtype=jnp.int32), reverse=reverse)
        return carry, jax.tree.map(_flat, out) if self.halvings else out


def _flat(x: Array) -> Array:
    return x.reshape(-1, *x.shape[2:])
