r"""A window of the past as Legendre polynomials, $x' = A (x - u e_0)$, over gaps of any length.

The system is that of [`ctmodels.ssm.lmu`][] for a window of one, in orthonormal polynomials, $x_n = m_n/\sqrt{2n+1}$;
there $B = -A e_0$. Its modes are no basis to compute in: the condition number of the eigenvectors is 3e3 for an order
of 8, 1e8 for 16, and beyond all digits from 28 on, so that in single precision a memory of 16 would be noise. But
$A + A^\top \le 0$: nothing that $e^{gA}$ carries grows, and so a product of exponentials loses no digits. Here a gap is
a series of Taylor's for what is short of $\delta = 2^{-p} \le 1/\lVert A \rVert$, and a product of
$e^{\delta A}, e^{2\delta A}, e^{4\delta A}, \ldots$, made on the host, for the rest.
"""

import functools
import math
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels._core._arguments import check_whole
from ctmodels.ssm._hippo import lmu
from ctmodels.ssm._transitions import AbstractTransition

LARGEST_ORDER = 256  # the tables take 18 MB in double precision, and were compared with extended precision up to here
States = Float[Array, "*memory order"]


class Delay(AbstractTransition):
    r"""$e^{gA}$, exact to rounding for each gap: over a gap and another one it is that over their sum.

    `gap`: in windows; `order`: of the polynomials, up to 256. States are `(..., order)`.
    """

    gap: Float[Array, ""]
    order: int = eqx.field(static=True)

    def __call__(self, x: States) -> States:
        return x + self.change(x)

    def __matmul__(self, other: "Delay") -> "Delay":
        return Delay(self.gap + other.gap, self.order)

    def change(self, x: States) -> States:
        r"""$e^{gA} x - x$, which keeps its digits over short gaps: nothing over a gap of none."""
        table = _table(self.order)
        gap = jnp.minimum(self.gap, table.longest) / table.shortest
        whole = jnp.floor(gap)
        series = jnp.asarray(table.series[: _terms(x.dtype)], x.dtype)
        change = jnp.tensordot(x, series, (-1, 2), precision=jax.lax.Precision.HIGHEST)
        change = jnp.einsum("...kn,k->...n", change, _powers(gap - whole, len(series)))
        for k, more in enumerate(table.doublings):
            bit = (whole.astype(jnp.int32) >> k & 1).astype(x.dtype)
            moved = jnp.matmul(x + change, jnp.asarray(more.T, x.dtype), precision=jax.lax.Precision.HIGHEST)
            change = change + bit * moved
        return change

    def drive(self) -> Float[Array, " order"]:
        r"""What an input of one, held over the gap, adds: $(I - e^{gA}) e_0$."""
        return -self.change(jnp.zeros(self.order, self.gap.dtype).at[0].set(1))


def delay_kernel(order: int, gap: Float[Array, ""], length: int) -> Float[Array, "length order"]:
    r"""States at rows that are a gap apart, after an input of one in the first alone: $e^{lgA} (I - e^{gA}) e_0$, the
    first `order` of them each by itself, and from there on twice as many by each square of one map."""
    # Else XLA makes the kernel of a constant gap while it compiles, slowly.
    gap, eye = jax.lax.optimization_barrier((gap, jnp.eye(order, dtype=gap.dtype)))
    first = min(length, order)
    lags = jnp.arange(first, dtype=gap.dtype) * gap
    drive = Delay(gap, order).drive()
    states = jax.vmap(lambda lag: Delay(lag, order)(drive))(lags)
    onward = Delay(first * gap, order)(eye)
    while len(states) < length:
        further = jnp.matmul(states, onward, precision=jax.lax.Precision.HIGHEST)
        states = jnp.concatenate([states, further])
        onward = jnp.matmul(onward, onward, precision=jax.lax.Precision.HIGHEST)
    return states[:length]


def recall(order: int, delays: Float[np.ndarray, " delay"]) -> Float[np.ndarray, "delay order"]:
    r"""The rows of $u(t - d\theta) = \sum_n P_n(2d - 1) m_n(t)$, the delays d in windows, from 0 to 1: they read the
    memory of [`ctmodels.ssm.lmu`][]."""
    check_whole("order", order, 1)
    return np.polynomial.legendre.legvander(2 * np.asarray(delays, np.float64) - 1, order - 1)


def delay_rate(order: int) -> Float[np.ndarray, "order order"]:
    """A, of a window of one, in orthonormal polynomials."""
    scale = delay_scale(order)
    return lmu(order).A / scale[:, None] * scale


def delay_scale(order: int) -> Float[np.ndarray, " order"]:
    r"""$\sqrt{2n + 1}$: a state times this is the memory m."""
    return np.sqrt(2 * np.arange(order) + 1.0)


class _Table(NamedTuple):
    r"""`series`: $(\delta A)^k/k!$ from k = 1 on; `doublings`: $e^{2^k \delta A} - I$ until nothing is left;
    `shortest`: $\delta$; `longest`: beyond which nothing is remembered."""

    series: Float[np.ndarray, "term order order"]
    doublings: list[Float[np.ndarray, "order order"]]
    shortest: float
    longest: float


@functools.lru_cache(maxsize=16)
def _table(order: int) -> _Table:
    A, eye = delay_rate(check_whole("order", order, 1, LARGEST_ORDER)), np.eye(order)
    delta = 2.0 ** -math.ceil(math.log2(max(1, np.linalg.norm(A, 2))))
    series = [delta * A]
    while len(series) < _terms(np.float64):
        series.append(series[-1] @ (delta * A) / (len(series) + 1))
    change = np.sum(series[::-1], axis=0)
    doublings = []
    while np.max(np.abs(eye + change)) > 1e-18:
        doublings.append(change)
        change = 2 * change + change @ change
    return _Table(np.stack(series), doublings, delta, delta * (2 ** len(doublings) - 1))


def _terms(dtype) -> int:
    """Until 1/k! is below rounding."""
    return 18 if dtype == np.float64 else 11


def _powers(x: Float[Array, ""], count: int) -> Float[Array, " power"]:
    powers = [x]
    while len(powers) < count:
        powers.append(powers[-1] * x)
    return jnp.stack(powers)
