r"""Potentials: $U(z)$, a scalar of `z: (d,)`, whose gradient is a force, $-\nabla U$. Any such function is one.

A state at temperature T has the density $e^{-U(z) / T}$ up to a factor, if it has an integral: not where U falls
without bound.
"""

import math
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels._core._words import argument, kind_of


def number(name: str, least: int | None = None, above: bool = False) -> Callable[[Any], Any]:
    """A converter of what is a number, which is fixed, or an array of them, which is learned: finite, and of at least
    so much, or `above` it, where that is known."""

    def convert(value):
        if isinstance(value, bool) or not isinstance(value, int | float | np.generic | np.ndarray | jax.Array):
            raise TypeError(f"{name}: {kind_of(value)}, where a number is wanted, or an array of them to be learned")
        if not isinstance(value, jax.core.Tracer):
            values = np.asarray(value)
            bad = ~np.isfinite(values)
            if least is not None:
                bad |= (values <= least) if above else (values < least)
            if bad.any():
                limit = "" if least is None else f", {'above' if above else 'of at least'} {least:g}"
                raise ValueError(f"{argument(name, float(values[bad].flat[0]))}: a finite number{limit} is needed")
        return jnp.asarray(value) if isinstance(value, np.ndarray | jax.Array) else float(value)

    return convert


class Quadratic(eqx.Module):
    r"""$U = \frac12 (z - c)^\top K (z - c)$: springs.

    **Arguments:** `stiffness`: K, one number, one for each entry `(d,)`, or a matrix `(d, d)`, of which the symmetric
    part counts; `centre`: c, a number or `(d,)`. Numbers are fixed, arrays are learned.
    """

    stiffness: float | Float[Array, "..."] = eqx.field(converter=number("stiffness"))
    centre: float | Float[Array, "..."] = eqx.field(default=0.0, converter=number("centre"))

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        k, away = jnp.asarray(self.stiffness, z.dtype), z - jnp.asarray(self.centre, z.dtype)
        return 0.5 * jnp.sum(away * (k @ away if k.ndim == 2 else k * away))


class DoubleWell(eqx.Module):
    r"""$U = \sum_i a \left((z_i / w)^2 - 1\right)^2$: in each entry two wells at $\pm w$, and a barrier between.

    **Arguments:** `height`: a, of the barrier; `width`: w. Numbers are fixed, arrays are learned.

    **Good values:** a height of one to three temperatures: from one well to the other in about its exponential.
    """

    height: float | Float[Array, "..."] = eqx.field(default=1.0, converter=number("height"))
    width: float | Float[Array, "..."] = eqx.field(default=1.0, converter=number("width", 0, above=True))

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        height, width = jnp.asarray(self.height, z.dtype), jnp.asarray(self.width, z.dtype)
        return jnp.sum(height * ((z / width) ** 2 - 1) ** 2)


def _check_network(size, width, depth, key, **_) -> None:
    for name, value, least in (("size", size, 1), ("width", width, 1), ("depth", depth, 0)):
        check_whole(name, value, least)
    check_key(key, needed=True)


class MLPPotential(eqx.Module):
    r"""$U = \mathrm{MLP}(z) + \frac c2 |z|^2$, the activation smooth and of bounded slope: the network falls in
    proportion to $|z|$ at most, and any confinement c above zero bounds the sum below.

    **Arguments:** `size`: of z; `width`, `depth`: of the hidden layers; `confinement`: c, fixed; `activation`.

    **Good values:** width 32 to 64, depth 1 to 2; a confinement of the inverse square of how far z is to go, times the
    temperature: 1 where z is to be of the order of one.
    """

    mlp: eqx.nn.MLP
    confinement: float = eqx.field(static=True)

    @before(_check_network)
    def __init__(
        self,
        size: int,
        *,
        width: int = 64,
        depth: int = 2,
        confinement: float | int = 1.0,
        activation: Callable = jax.nn.softplus,
        key: PRNGKeyArray,
    ):
        # Without a last bias, which no force has use for.
        self.mlp = eqx.nn.MLP(size, "scalar", width, depth, activation, use_final_bias=False, key=key)
        self.confinement = number("confinement", 0)(confinement)

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        return self.mlp(z) + 0.5 * self.confinement * jnp.sum(z**2)


NOT_NORMALISED = 1e-3  # kernels of less than about this norm stay short, so that the gradient at zero is finite


def _check_oscillators(size, groups, reach, confinement, key, **_) -> None:
    for name, value in (("size", size), ("groups", groups), ("reach", reach)):
        check_whole(name, value, 1)
    if size % groups:
        raise ValueError(f"size={size}: not divisible by groups={groups}: take {groups * -(-size // groups)}")
    if not reach % 2:
        raise ValueError(f"reach={reach}: a kernel has a site in its middle: take {reach + 1}")
    check_key(key, needed=True)


class CoupledOscillators(eqx.Module):
    r"""The potential of LangevinFlow (Song, Keller, Yue, Perona, Welling 2025), confined: z as `groups` rows of sites,

    $$U = \sum_g \Bigl\langle \sum_{g'} \frac{K_{gg'}}{|K_{gg'}|} \star z_{g'},\; \sum_{g'} z_{g'} \Bigr\rangle
    + \frac c2 |z|^2$$

    with kernels of unit norm along the sites, and zeros beyond their ends. The first sum is an indefinite form, which
    falls without bound: as released, without confinement, it has no stationary density, and what is run freely runs
    away. Since a kernel of unit norm and `reach` taps stretches by $\sqrt{\mathrm{reach}}$ at most, and there are
    $G^2$ of them, the eigenvalues of its Hessian are within $\pm 2 G^2 \sqrt{\mathrm{reach}}$, `bound`, and kernels
    exist that come as near to it as one likes.

    **Arguments:**

    - `size`: of z, a multiple of `groups`. `reach`: taps of a kernel, odd.
    - `confinement`: c, fixed; None: `bound` plus one, so that z stays within about the root of the temperature, for
      whatever kernels training finds; 0.0: the potential as released.

    **Good values:** the published ones, 4 groups, reach 3, whose frequencies are 1 to 10 radians per unit of time where
    it is confined: choose the unit of time by that.
    """

    kernel: Float[Array, "group group tap"]
    confinement: float = eqx.field(static=True)
    size: int = eqx.field(static=True)

    @before(_check_oscillators)
    def __init__(
        self,
        size: int,
        *,
        groups: int = 4,
        reach: int = 3,
        confinement: float | int | None = None,
        key: PRNGKeyArray,
    ):
        self.kernel = jax.random.normal(key, (groups, groups, reach)) / math.sqrt(reach)
        self.size = size
        self.confinement = self.bound + 1 if confinement is None else number("confinement", 0)(confinement)

    @property
    def bound(self) -> float:
        """Of the absolute eigenvalues of the Hessian without confinement, for whatever kernels."""
        groups, _, reach = self.kernel.shape
        return 2 * groups**2 * math.sqrt(reach)

    def __call__(self, z: Float[Array, " d"]) -> Float[Array, ""]:
        if z.shape != (self.size,):
            raise ValueError(f"z: shape {z.shape}: this potential is of size={self.size}")
        kernel = self.kernel.astype(z.dtype)
        kernel = kernel / jnp.sqrt(jnp.sum(kernel**2, axis=2, keepdims=True) + NOT_NORMALISED**2)
        groups, _, reach = kernel.shape
        sites = z.reshape(groups, -1)
        # All groups' convolutions meet the same sum, so that one kernel for each z_g' does; taps are shifted last.
        taps = jnp.pad(jnp.sum(kernel, axis=0).T @ sites, ((0, 0), (reach // 2, reach // 2)))
        convolved = sum((taps[k, k : k + sites.shape[1]] for k in range(1, reach)), taps[0, : sites.shape[1]])
        return jnp.sum(convolved * jnp.sum(sites, axis=0)) + 0.5 * self.confinement * jnp.sum(z**2)


def least_eigenvalue(potential: Callable, z: Float[ArrayLike, " d"]) -> Float[Array, ""]:
    """Of the Hessian of a potential at z: the least stiffness there, negative where U curves down."""
    return jnp.linalg.eigvalsh(jax.hessian(potential)(jnp.asarray(z)))[0]
