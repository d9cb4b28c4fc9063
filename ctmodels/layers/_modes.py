"""Poles of modes: where they begin, and how they are kept as real parameters that stay stable."""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float

from ctmodels._core._arguments import check_whole
from ctmodels.ssm._hippo import legs, normal_plus_low_rank
from ctmodels.ssm._pairs import Pair

Poles = Complex[np.ndarray, " mode"]
Init = Callable[[int], Poles]


class StablePoles(eqx.Module):
    r"""$\lambda = -e^{\rho} + i \omega$: every mode fades, whatever the parameters are."""

    log_decay: Float[Array, "*feature mode"]
    frequency: Float[Array, "*feature mode"]

    @classmethod
    def of(cls, poles: Complex[np.ndarray, "*feature mode"]) -> "StablePoles":
        """**Arguments:** `poles`: with real parts below zero; another is refused."""
        if not np.all(np.real(poles) < 0):
            raise ValueError(
                f"poles: a real part of {float(np.max(np.real(poles))):.3g}: a stable mode's is below zero; "
                "start from ctmodels.layers.linear_poles or another of these"
            )
        dtype = jnp.zeros(()).dtype
        return cls(jnp.asarray(np.log(-np.real(poles)), dtype), jnp.asarray(np.imag(poles), dtype))

    def __call__(self) -> Pair:
        return Pair(-jnp.exp(self.log_decay), self.frequency)


def linear_poles(modes: int) -> Poles:
    r"""S4D-Lin: $-\tfrac12 + i \pi n$, a Fourier series over a window."""
    return -0.5 + 1j * np.pi * _numbers(modes)


def inverse_poles(modes: int) -> Poles:
    r"""S4D-Inv: $-\tfrac12 + i \tfrac{N}{\pi} (\tfrac{N}{2n + 1} - 1)$, near those of LegS, N being twice `modes`."""
    N = 2 * modes
    return -0.5 + 1j * N / np.pi * (N / (2 * _numbers(modes) + 1) - 1)


def quadratic_poles(modes: int) -> Poles:
    r"""S4D-Quad: $-\tfrac12 + \tfrac{i}{\pi} (1 + 2n)^2$."""
    return -0.5 + 1j / np.pi * (1 + 2 * _numbers(modes)) ** 2


def real_poles(modes: int) -> Poles:
    r"""S4D-Real: $-(n + 1)$, decays alone."""
    return -(_numbers(modes) + 1) + 0j


def legs_poles(modes: int) -> Poles:
    """S4D-LegS: the normal part of HiPPO's LegS of twice as many states."""
    return normal_plus_low_rank(legs(2 * modes)).poles.conj()


def _numbers(modes: int) -> np.ndarray:
    check_whole("modes", modes, 1)
    return np.arange(modes, dtype=np.float64)
