"""Complex numbers as pairs of real arrays, and their exponential.

XLA keeps a complex array interleaved, and its loops over such arrays are scalar on the CPU (jax 0.10): two real arrays
take a third of the time. So do parameters that an optimiser is to see as real numbers.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float


class Pair(eqx.Module):
    """A complex array `re + i im`."""

    re: Float[Array, "..."]
    im: Float[Array, "..."]

    def __mul__(self, other: "Pair") -> "Pair":
        return Pair(self.re * other.re - self.im * other.im, self.re * other.im + self.im * other.re)

    def __add__(self, other: "Pair") -> "Pair":
        return Pair(self.re + other.re, self.im + other.im)

    def times(self, real: Float[Array, "..."]) -> "Pair":
        """By a real array."""
        return Pair(self.re * real, self.im * real)

    def over(self, other: "Pair") -> "Pair":
        size = other.re**2 + other.im**2
        return Pair((self.re * other.re + self.im * other.im) / size, (self.im * other.re - self.re * other.im) / size)

    @property
    def shape(self) -> tuple[int, ...]:
        return jnp.shape(self.re)

    def complex(self) -> Complex[Array, "..."]:
        return jax.lax.complex(*jnp.broadcast_arrays(self.re, self.im))


def pair(z) -> Pair:
    """Of complex numbers, in JAX's default float type."""
    dtype = jnp.zeros(()).dtype
    return Pair(jnp.asarray(np.real(z), dtype), jnp.asarray(np.imag(z), dtype))


@jax.custom_jvp
def exponential(z: Pair) -> Pair:
    r"""$e^{a + ib} = e^a (\cos b + i \sin b)$."""
    size = jnp.exp(z.re)
    cosine, sine = cosine_and_sine(z.im)
    return Pair(size * cosine, size * sine)


@exponential.defjvp
def _(primals, tangents):
    e = exponential(*primals)
    return e, e * tangents[0]


def logarithm(z: Pair) -> Pair:
    """Of none that is zero; the imaginary part is from -pi to pi."""
    return Pair(jnp.log(z.re**2 + z.im**2) / 2, jnp.arctan2(z.im, z.re))


def cosine_and_sine(x: Float[Array, "..."]) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """Both. Where single precision is asked for on the CPU, by polynomials after taking off quarter turns in
    three parts: XLA calls a scalar routine there, 16 times slower. Right to the last two bits up to 1e4."""
    if x.dtype != jnp.float32 or jax.default_backend() != "cpu":
        return jnp.cos(x), jnp.sin(x)
    turns = jnp.round(x * np.float32(2 / np.pi))
    for part in QUARTER:
        x = x - turns * part
    x2 = x * x
    sine = x + x * x2 * _polynomial(x2, SINE)
    cosine = 1 - x2 / 2 + x2 * x2 * _polynomial(x2, COSINE)
    quarter = turns.astype(jnp.int32) & 3
    odd = (quarter & 1) == 1
    sine, cosine = jnp.where(odd, cosine, sine), jnp.where(odd, sine, cosine)
    return jnp.where((quarter == 1) | (quarter == 2), -cosine, cosine), jnp.where(quarter >= 2, -sine, sine)


# pi/2 in three parts: turns times each of the first two is exact. The figures are those of Cephes (Moshier, 1992).
QUARTER = tuple(np.float32(part) for part in (1.5703125, 4.837512969970703e-4, 7.549789948768648e-8))
SINE = tuple(np.float32(c) for c in (-1.6666654611e-1, 8.3321608736e-3, -1.9515295891e-4))
COSINE = tuple(np.float32(c) for c in (4.166664568298827e-2, -1.388731625493765e-3, 2.443315711809948e-5))


def _polynomial(x, coefficients):
    total = coefficients[-1]
    for c in reversed(coefficients[:-1]):
        total = total * x + c
    return total
