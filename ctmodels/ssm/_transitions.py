"""What carries a state from row to row: linear maps that can be applied, and multiplied with each other."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ctmodels.ssm._pairs import Pair


class AbstractTransition(eqx.Module):
    """A linear map of states."""

    @abc.abstractmethod
    def __call__(self, x: PyTree) -> PyTree:
        """Of one state."""

    @abc.abstractmethod
    def __matmul__(self, other):
        """First the other one, then this one."""


class Diagonal(AbstractTransition):
    """Each mode by itself: a complex factor."""

    a: Pair

    def __call__(self, x: Pair) -> Pair:
        return self.a * x

    def __matmul__(self, other: "Diagonal") -> "Diagonal":
        return Diagonal(self.a * other.a)


class RealDiagonal(AbstractTransition):
    """Each state by itself: a real factor."""

    a: Float[Array, "..."]

    def __call__(self, x: Float[Array, "..."]) -> Float[Array, "..."]:
        return self.a * x

    def __matmul__(self, other: "RealDiagonal") -> "RealDiagonal":
        return RealDiagonal(self.a * other.a)


class Blocks(AbstractTransition):
    r"""Each oscillator by itself: $(z, y) \mapsto (m_{zz} z + m_{zy} y,\ m_{yz} z + m_{yy} y)$, of real factors."""

    zz: Float[Array, "... mode"]
    zy: Float[Array, "... mode"]
    yz: Float[Array, "... mode"]
    yy: Float[Array, "... mode"]

    def __call__(self, x: tuple) -> tuple:
        z, y = x
        return self.zz * z + self.zy * y, self.yz * z + self.yy * y

    def __matmul__(self, other: "Blocks") -> "Blocks":
        return Blocks(
            self.zz * other.zz + self.zy * other.yz,
            self.zz * other.zy + self.zy * other.yy,
            self.yz * other.zz + self.yy * other.yz,
            self.yz * other.zy + self.yy * other.yy,
        )


class Dense(AbstractTransition):
    """A matrix, `(..., N, N)`, of states `(..., N)`."""

    A: Float[Array, "... N N"]

    def __call__(self, x: Float[Array, "... N"]) -> Float[Array, "... N"]:
        return jnp.einsum("...ij,...j->...i", self.A, x)

    def __matmul__(self, other: "Dense") -> "Dense":
        return Dense(self.A @ other.A)
