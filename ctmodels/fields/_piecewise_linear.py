r"""Right-hand sides that are linear in regions, for maps and for differential equations alike.

??? cite

    Hess, Monfared, Brenner and Durstewitz, "Generalized teacher forcing for learning chaotic dynamics", ICML 2023: the
    shallow one and its clipped form. Brenner, Hemmer, Monfared and Durstewitz, "Almost-linear RNNs yield highly
    interpretable symbolic codes in dynamical systems reconstruction", NeurIPS 2024.
"""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels.fields._fields import input_of


def _check_shallow(size, width, inputs, key, **_) -> None:
    _check_sizes(size=(size, 1), width=(width, 1), inputs=(inputs, 0))
    check_key(key, needed=True)


def _check_almost(size, rectified, inputs, key, **_) -> None:
    _check_sizes(size=(size, 1), inputs=(inputs, 0))
    check_whole("rectified", rectified, 0, size)
    check_key(key, needed=True)


def _check_sizes(**sizes) -> None:
    for name, (value, least) in sizes.items():
        check_whole(name, value, least)


class ShallowPLRNN(eqx.Module):
    r"""$G(z) = A z + W_1 [\phi(W_2 z + h_2) - \phi(W_2 z)] + h_1 + C u$, with $\phi$ = relu and A diagonal.

    The map $z_t = G(z_{t-1})$ under [`ctmodels.PLRNN`][], or the field $dz/dt = G(z)$ under [`ctmodels.NeuralODE`][].
    Clipped, as it stands here, what the network adds is bounded; not `clipped`, it has no second relu. Where A is below
    one, orbits of the clipped map never leave a box; those of the plain one may diverge.

    **Arguments:** `size`: of the state; `width`: rows of $W_2$; `inputs`: channels of the control.

    **Good values:** clipped, width 50 for three channels, 250 to 512 for more.
    """

    A: Float[Array, " state"]
    W1: Float[Array, "state unit"]
    W2: Float[Array, "unit state"]
    h1: Float[Array, " state"]
    h2: Float[Array, " unit"]
    C: Float[Array, "state input"] | None
    clipped: bool = eqx.field(static=True)

    @before(_check_shallow)
    def __init__(self, size: int, width: int = 50, *, inputs: int = 0, clipped: bool = True, key: PRNGKeyArray):
        of_a, of_w1, of_w2, of_h2, of_c = jax.random.split(key, 5)
        uniform = lambda key, shape, fan: jax.random.uniform(key, shape, minval=-1, maxval=1) / math.sqrt(fan)
        self.A = normalised_diagonal(of_a, size)
        self.W1, self.W2 = uniform(of_w1, (size, width), width), uniform(of_w2, (width, size), size)
        self.h1, self.h2 = jnp.zeros(size), uniform(of_h2, (width,), width)
        self.C = uniform(of_c, (size, inputs), inputs) if inputs else None
        self.clipped = clipped

    def __call__(self, t, z: Float[Array, " state"], args: PyTree = None) -> Float[Array, " state"]:
        drive = self.W2 @ z
        hidden = jax.nn.relu(drive + self.h2)
        if self.clipped:
            hidden = hidden - jax.nn.relu(drive)
        return _driven("ShallowPLRNN", self.A * z + self.W1 @ hidden + self.h1, self.C, t, args)

    def region(self, z: Float[Array, " state"]) -> Bool[Array, " kink"]:
        """On which side of each kink a state lies: as many as relus."""
        drive = self.W2 @ z
        sides = drive + self.h2 > 0
        return jnp.concatenate([sides, drive > 0]) if self.clipped else sides

    def affine(self, region: Bool[Array, " kink"]) -> tuple[Float[Array, "state state"], Float[Array, " state"]]:
        """Matrix and offset of a region, without a control: there, $G(z) = J z + b$, and J is the Jacobian."""
        sides = region.astype(self.A.dtype)
        on = sides[: self.h2.shape[0]]
        gain = on - sides[self.h2.shape[0] :] if self.clipped else on
        return jnp.diag(self.A) + self.W1 @ (gain[:, None] * self.W2), self.W1 @ (on * self.h2) + self.h1

    @property
    def kinks(self) -> int:
        """How many sides a region is told by."""
        return self.h2.shape[0] * (2 if self.clipped else 1)

    def jacobian_bound(self) -> Float[Array, ""]:
        r"""$\max |A| + \|W_1\| \|W_2\|$, which no Jacobian's norm exceeds."""
        norm = lambda W: jnp.linalg.norm(W, 2)
        return jnp.max(jnp.abs(self.A)) + norm(self.W1) * norm(self.W2)


class AlmostLinear(eqx.Module):
    r"""$G(z) = A z + W \phi^*(z) + h + C u$, with A diagonal and $\phi^*$ a relu on the last few entries of the state
    alone: so few regions that each can be looked at. For maps and fields, as [`ctmodels.fields.ShallowPLRNN`][].

    **Arguments:** `size`: of the state; `rectified`: how many entries have a relu; `inputs`: channels of the control.

    **Good values:** ten times as many entries as channels, of which 2 to 10 are rectified.
    """

    A: Float[Array, " state"]
    W: Float[Array, "state state"]
    h: Float[Array, " state"]
    C: Float[Array, "state input"] | None
    rectified: int = eqx.field(static=True)

    @before(_check_almost)
    def __init__(self, size: int, rectified: int = 2, *, inputs: int = 0, key: PRNGKeyArray):
        of_a, of_w, of_c = jax.random.split(key, 3)
        self.A = normalised_diagonal(of_a, size)
        self.W = 0.01 * jax.random.normal(of_w, (size, size))
        self.h = jnp.zeros(size)
        self.C = 0.01 * jax.random.normal(of_c, (size, inputs)) if inputs else None
        self.rectified = rectified

    def __call__(self, t, z: Float[Array, " state"], args: PyTree = None) -> Float[Array, " state"]:
        linear = z.shape[0] - self.rectified
        rectified = jnp.where(jnp.arange(z.shape[0]) < linear, z, jax.nn.relu(z))
        return _driven("AlmostLinear", self.A * z + self.W @ rectified + self.h, self.C, t, args)

    def region(self, z: Float[Array, " state"]) -> Bool[Array, " kink"]:
        """Which of the rectified entries are positive."""
        return z[z.shape[0] - self.rectified :] > 0

    def affine(self, region: Bool[Array, " kink"]) -> tuple[Float[Array, "state state"], Float[Array, " state"]]:
        """Matrix and offset of a region, without a control: there, $G(z) = J z + b$, and J is the Jacobian."""
        linear = jnp.ones(self.A.shape[0] - self.rectified, self.A.dtype)
        gain = jnp.concatenate([linear, region.astype(self.A.dtype)])
        return jnp.diag(self.A) + self.W * gain[None], self.h

    @property
    def kinks(self) -> int:
        """How many sides a region is told by."""
        return self.rectified

    def jacobian_bound(self) -> Float[Array, ""]:
        r"""$\max |A| + \|W\|$, which no Jacobian's norm exceeds."""
        return jnp.max(jnp.abs(self.A)) + jnp.linalg.norm(self.W, 2)


def normalised_diagonal(key: PRNGKeyArray, size: int) -> Float[Array, " state"]:
    """The diagonal of $R^T R / M + I$ over its largest eigenvalue, R normal: positive, and at most one."""
    r = jax.random.normal(key, (size, size))
    matrix = r.T @ r / size + jnp.eye(size)
    return jnp.diagonal(matrix) / jnp.linalg.eigvalsh(matrix)[-1]


def _driven(who: str, moved: Array, C: Array | None, t, path: PyTree) -> Array:
    return moved if C is None else moved + C @ input_of(who, C.shape[1], t, path)
