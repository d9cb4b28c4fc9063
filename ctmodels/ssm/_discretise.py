r"""From $x' = A x + B u$ to $x_k = \bar A x_{k-1} + \bar B u_k$ over a gap of its own, u being held over the gap at
its new value."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import expm
from jaxtyping import Array, Float

from ctmodels.ssm._pairs import Pair, cosine_and_sine


def bilinear(
    A: Float[Array, "N N"], B: Float[Array, " N"], gap: Float[Array, ""], alpha: float = 0.5
) -> tuple[Float[Array, "N N"], Float[Array, " N"]]:
    r"""The generalised bilinear transform, $\bar A = (I - \alpha g A)^{-1}(I + (1 - \alpha) g A)$,
    $\bar B = (I - \alpha g A)^{-1} g B$: Euler's method for `alpha` 0, its backward form for 1, and of second order for
    1/2."""
    eye = jnp.eye(A.shape[-1], dtype=A.dtype)
    right = jnp.concatenate([eye + (1 - alpha) * gap * A, gap * B[:, None]], axis=1)
    solved = jnp.linalg.solve(eye - alpha * gap * A, right)
    return solved[:, :-1], solved[:, -1]


def zero_order_hold(
    A: Float[Array, "N N"], B: Float[Array, " N"], gap: Float[Array, ""]
) -> tuple[Float[Array, "N N"], Float[Array, " N"]]:
    r"""Exact where u is held: $\bar A = e^{gA}$, $\bar B = \int_0^g e^{sA} ds\, B$, by one exponential of both."""
    N = A.shape[-1]
    both = jnp.zeros((N + 1, N + 1), A.dtype).at[:N, :N].set(A).at[:N, N].set(B)
    whole = expm(gap * both)
    return whole[:N, :N], whole[:N, N]


def hold_modes(poles: Pair, gap: Float[Array, "..."]) -> tuple[Pair, Pair]:
    r"""The same for modes: $e^{\lambda g}$ and $(e^{\lambda g} - 1)/\lambda$, which keeps its digits over short gaps: a
    gap of none is the identity.

    **Arguments:** `poles`: none of them zero; `gap`: as broadcasts against them.
    """
    z = poles.times(gap)
    return _held(poles, z)


@jax.custom_jvp
def _held(poles: Pair, z: Pair) -> tuple[Pair, Pair]:
    """Of z, which is the gap's."""
    more = jnp.expm1(z.re)
    cosine, sine = cosine_and_sine(z.im / 2)
    less = 2 * sine**2  # than one by this is the cosine of the whole angle
    real, imaginary = more - less - more * less, (1 + more) * 2 * sine * cosine
    return Pair(1 + real, imaginary), Pair(real, imaginary).over(poles)


@_held.defjvp
def _(primals, tangents):
    """By what is there: without it the backward pass goes through the polynomials of sine and cosine."""
    (poles, _), (to_poles, to_z) = primals, tangents
    a, hold = _held(*primals)
    to_a = a * to_z
    less = hold * to_poles
    return (a, hold), (to_a, Pair(to_a.re - less.re, to_a.im - less.im).over(poles))


def bilinear_modes(poles: Pair, gap: Float[Array, "..."]) -> tuple[Pair, Pair]:
    r"""The bilinear transform for modes: $(1 + h\lambda)/(1 - h\lambda)$ and $2h/(1 - h\lambda)$, $h = g/2$."""
    half = poles.times(gap / 2)
    below = Pair(1 - half.re, -half.im)
    above = Pair(1 + half.re, half.im)
    ones = jnp.broadcast_to(jnp.asarray(gap, half.re.dtype), half.re.shape)
    return above.over(below), Pair(ones, jnp.zeros_like(ones)).over(below)
