"""Maps of features that come first: of one row, or of many of them as columns.

A convolution has rows last, where a Fourier transform wants them. On a CPU, maps of a row by `jax.vmap` between two
convolutions cost more than these, by transposing there and back: three blocks of 64 features, 784 rows and 50 series
took 1.75 times as long.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

Columns = Float[Array, "feature *row"]


class Affine(eqx.nn.Linear):
    """`eqx.nn.Linear`, of columns too."""

    bias: Array

    def __init__(self, inputs: int, outputs: int, *, key: PRNGKeyArray):
        super().__init__(inputs, outputs, key=key)

    def __call__(self, x: Float[Array, "input *row"], *, key: PRNGKeyArray | None = None) -> Columns:
        mapped = jnp.tensordot(self.weight, x, 1)
        return mapped + beside(self.bias, mapped)


class Norm(eqx.nn.LayerNorm):
    """`eqx.nn.LayerNorm`, of columns too."""

    weight: Array
    bias: Array

    def __init__(self, features: int):
        super().__init__(features)

    def __call__(self, x: Columns, *, key: PRNGKeyArray | None = None) -> Columns:
        x -= jnp.mean(x, axis=0, keepdims=True)
        x *= jax.lax.rsqrt(jnp.mean(x**2, axis=0, keepdims=True) + self.eps)
        return x * beside(self.weight, x) + beside(self.bias, x)


def beside(a: Float[Array, " feature"], x: Columns) -> Array:
    """A number of each feature, in the shape that goes with columns."""
    return a.reshape(-1, *[1] * (x.ndim - 1))
