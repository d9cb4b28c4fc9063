r"""Radial functions about given points: $\theta_k(x) = \exp\big(-|x - c_k|^2 / (2 w^2 n)\big)$, n numbers in x."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class RadialBasis(eqx.Module):
    """Gaussian bumps, one about each point: terms of a map that no monomials describe.

    **Arguments:**

    - `centres`: `(term, variable)`, most often the data themselves.
    - `width`: w, in units of the data, whatever the number of variables.

    **Good values:** a width of 0.5 to 4 for z-scored data: wide ones for smooth laws and little noise.
    """

    centres: Float[Array, "*batch term variable"]
    width: Float[Array, "*batch"]

    def __call__(self, x: Float[Array, " variable"]) -> Float[Array, " term"]:
        square = jnp.mean((self.centres - x[None]) ** 2, axis=-1)
        return jnp.exp(-square / (2 * self.width**2))

    @property
    def variables(self) -> int:
        """Of a point."""
        return self.centres.shape[-1]

    @property
    def size(self) -> int:
        """How many terms there are."""
        return self.centres.shape[-2]

    def describe(self) -> str:
        """In words."""
        return f"{self.size} radial functions"
