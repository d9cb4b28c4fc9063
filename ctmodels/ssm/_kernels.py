r"""Kernels $K_l = C \bar A^l \bar B$ of regular times, and convolution with them: $y_k = \sum_l K_l u_{k-l}$."""

import functools
import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels.ssm._pairs import Pair, exponential


def convolve(K: Float[Array, "*batch length"], us: Float[Array, "*batch row"]) -> Float[Array, "*batch row"]:
    """Causal convolution over the last axis, by Fourier transforms of twice the length. `K` is as long as `us` or
    longer; what is beyond is not asked for.

    On a CPU, products with blocks of the Toeplitz matrix (of 16 to 196 rows, with and without a Fourier transform over
    the blocks) were no faster for 784 rows, 64 features and 50 series: 1.5 to 6 times the time, and for the gradient as
    much to 10 times, most of it to copy blocks.
    """
    rows = us.shape[-1]
    size = 2 * rows
    product = jnp.fft.rfft(K[..., :rows], size) * jnp.fft.rfft(us, size)
    return jnp.fft.irfft(product, size)[..., :rows]


def mode_kernel(logs: Pair, weights: Pair, length: int) -> Float[Array, "*feature length"]:
    r"""$K_l = \mathrm{Re} \sum_n w_n e^{l z_n}$ for all $l$ below `length`, by about twice its root exponentials of
    each mode and one product of matrices: $e^{(iQ + j) z} = e^{iQz} e^{jz}$.

    **Arguments:** `logs`: the logarithm of each mode's factor, $\lambda g$, `(*feature, mode)`; `weights`: likewise.
    """
    Q = max(1, math.isqrt(length - 1) + 1)
    steps = jnp.arange(Q, dtype=logs.re.dtype).reshape(*[1] * len(logs.shape[:-1]), Q, 1)
    each = lambda z: Pair(z.re[..., None, :], z.im[..., None, :])
    far, near = exponential(each(logs).times(steps * Q)), each(weights) * exponential(each(logs).times(steps))
    left = jnp.concatenate([far.re, -far.im], axis=-1)
    right = jnp.concatenate([near.re, near.im], axis=-1)
    K = jnp.einsum("...in,...jn->...ij", left, right, precision=jax.lax.Precision.HIGHEST)
    return K.reshape(*K.shape[:-2], Q * Q)[..., :length]


def krylov(A: Float[Array, "N N"], b: Float[Array, " N"], length: int) -> Float[Array, "N length"]:
    r"""$b, A b, A^2 b, \ldots$: each squaring of A doubles what is known."""
    columns, power = b[:, None], A
    while columns.shape[1] < length:
        columns = jnp.concatenate([columns, power @ columns], axis=1)
        power = power @ power
    return columns[:, :length]


def kernel(
    A: Float[Array, "N N"], b: Float[Array, " N"], C: Float[Array, "channel N"], length: int
) -> Float[Array, "channel length"]:
    r"""$C A^l b$ for all $l$ below `length`: columns $A^j b$ and rows $C A^{iQ}$, about twice its root of them, and one
    product, so that no power of A is kept but the last."""
    times = functools.partial(jnp.matmul, precision=jax.lax.Precision.HIGHEST)
    columns, power = b[:, None], A
    while columns.shape[1] ** 2 < length:
        columns, power = jnp.concatenate([columns, times(power, columns)], axis=1), times(power, power)
    rows = C[None]
    while rows.shape[0] * columns.shape[1] < length:
        rows, power = jnp.concatenate([rows, times(rows, power)]), times(power, power)
    return jnp.moveaxis(times(rows, columns), 1, 0).reshape(C.shape[0], -1)[:, :length]
