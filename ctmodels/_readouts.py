"""Readouts: what is observed of a state, and a state that is observed so."""

import abc
import math
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels._core._validation import DataError


class AbstractReadout(eqx.Module):
    """`observe(z) -> ys` and `lift(ys) -> z`, of `channels` and a state of `size`."""

    if TYPE_CHECKING:

        @property
        def channels(self) -> int: ...

        @property
        def size(self) -> int: ...

    else:
        channels: eqx.AbstractVar[int]
        size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """What is observed of a state."""

    @abc.abstractmethod
    def lift(self, ys: Float[Array, " channel"]) -> Float[Array, " state"]:
        """A state that is observed as `ys`, or as nearly so as any."""


def _check_first(channels, size, **_) -> None:
    check_whole("channels", channels, 1)
    if size is not None and check_whole("size", size, 1) < channels:
        raise DataError(f"size={size}: a state has as many entries as are observed, channels={channels}, or more")


class FirstChannels(AbstractReadout):
    """The first entries of the state, as they are; lifted, the others are zero.

    **Arguments:** `channels`; `size`: of the state; None: all of it is observed.
    """

    channels: int = eqx.field(static=True)
    size: int = eqx.field(static=True)

    @before(_check_first)
    def __init__(self, channels: int, size: int | None = None):
        self.channels, self.size = channels, channels if size is None else size

    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """The first entries."""
        return z[: self.channels]

    def lift(self, ys: Float[Array, " channel"]) -> Float[Array, " state"]:
        """With zeros."""
        return jnp.pad(ys, (0, self.size - self.channels))


def _check_affine(channels, size, key, **_) -> None:
    check_whole("channels", channels, 1)
    check_whole("size", size, 1)
    check_key(key, needed=True)


class AffineReadout(AbstractReadout):
    r"""$y = B z + b$; lifted by the pseudo-inverse, $z = B^+ (y - b)$. With fewer entries than channels, these are
    what is nearest to the observed, as in a principal subspace.

    **Arguments:** `channels`; `size`: of the state; `bias`: whether there is a b.
    """

    B: Float[Array, "channel state"]
    b: Float[Array, " channel"] | None

    @before(_check_affine)
    def __init__(self, channels: int, size: int, *, bias: bool = False, key: PRNGKeyArray):
        self.B = jax.random.normal(key, (channels, size)) * math.sqrt(2 / size)  # He et al. 2015
        self.b = jnp.zeros(channels) if bias else None

    @property
    def channels(self) -> int:
        """How many are observed."""
        return self.B.shape[-2]

    @property
    def size(self) -> int:
        """Of the state."""
        return self.B.shape[-1]

    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """B z + b."""
        return self.B @ z if self.b is None else self.B @ z + self.b

    def lift(self, ys: Float[Array, " channel"]) -> Float[Array, " state"]:
        """By the pseudo-inverse."""
        return jnp.linalg.pinv(self.B) @ (ys if self.b is None else ys - self.b)
