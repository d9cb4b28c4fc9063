r"""LSSL: for each feature a system $x' = A x + B u$ that remembers by HiPPO, of which M channels are read,
$y = C x + D u$.

Gu, Johnson, Goel, Saab, Dao, Rudra, Ré (2021). From row to row by the generalised bilinear transform with the gap of
the row, each feature having a step of its own by which gaps are multiplied:
$x_k = (I - \alpha g_k A)^{-1} ((I + (1 - \alpha) g_k A) x_{k-1} + g_k B u_k)$.
That is no exact solution: over a gap and over its two halves it differs by a term in $g^3$ for `alpha` of 1/2, and in
$g^2$ for another; an exact step would take an exponential of a matrix for each row and feature.
[`ctmodels.layers.S4D`][] and [`ctmodels.layers.S5`][] have exact steps for O(N).
"""

import functools
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_whole
from ctmodels.layers._columns import Affine, Columns
from ctmodels.layers._layer import AbstractStateSpace, Features, Gap, Rows
from ctmodels.layers._steps import check_sizes, draw_log_steps, spread_steps
from ctmodels.ssm._hippo import Hippo, legs, normal_plus_low_rank
from ctmodels.ssm._kernels import convolve, kernel
from ctmodels.ssm._low_rank import DiagonalPlusLowRank
from ctmodels.ssm._transitions import Dense
from ctmodels.ssm._tridiagonal import TridiagonalInverse

Measure = Callable[[int], Hippo]
States = Float[Array, "feature N"]


class Channels(eqx.Module):
    r"""What is read of the states of all features: $C x + D u$; of more channels than one, their GELU mixed to as many
    features as there are."""

    C: Float[Array, "feature channel N"]
    D: Float[Array, "feature channel"]
    mix: Affine | None

    def __init__(self, features: int, channels: int, state: int, *, key: PRNGKeyArray):
        check_whole("channels", channels, 1)
        a, b, c = jax.random.split(key, 3)
        self.C = jax.random.normal(a, (features, channels, state))
        self.D = jax.random.normal(b, (features, channels))
        self.mix = None if channels == 1 else Affine(channels * features, features, key=c)

    def __call__(self, x: States, u: Features) -> Features:
        return self.mixed(jnp.einsum("fcn,fn->fc", self.C, x), u)

    def mixed(self, y: Float[Array, "feature channel *row"], u: Columns) -> Columns:
        y = y + self.D.reshape(*self.D.shape, *[1] * (u.ndim - 1)) * u[:, None]
        return y[:, 0] if self.mix is None else self.mix(jax.nn.gelu(y.reshape(-1, *u.shape[1:]), approximate=False))


class AbstractLSSL(AbstractStateSpace):
    """What both have in common. A step costs O(N) operations for a feature, by the form that A has; the product of two
    such steps has no form, so that rows are gone through one by one, on every device."""

    channels: eqx.AbstractVar[Channels]
    alpha: eqx.AbstractVar[float]
    multiplies: ClassVar[bool] = False

    def start(self) -> States:
        return jnp.zeros_like(self.channels.C[:, 0])

    def read(self, x: States, u: Features) -> Features:
        return self.channels(x, u)

    def transition(self, u: Features, gap: Gap) -> tuple[Dense, States]:
        A, b = self._matrices(gap)
        return Dense(A), b * u[:, None]

    def kernel(self, length: int, gap: Gap) -> Float[Array, "feature channel length"]:
        """Of rows a gap apart, without D."""
        A, b = self._matrices(gap)
        return jax.vmap(functools.partial(kernel, length=length))(A, b, self.channels.C)

    def convolve(self, us: Rows, gap: Gap) -> Rows:
        u = us.T
        ys = jax.vmap(jax.vmap(convolve, in_axes=(0, None)))(self.kernel(us.shape[0], gap), u)
        return self.channels.mixed(ys, u).T

    def _matrices(self, gap: Gap) -> tuple[Float[Array, "feature N N"], States]:
        """Of a step of each feature: what it makes of each state of a basis, and of an input of one."""
        features, _, N = self.channels.C.shape
        still, held = jnp.zeros((2, features), gap.dtype).at[1].set(1)
        basis = jnp.broadcast_to(jnp.eye(N, dtype=gap.dtype)[:, None], (N, features, N))
        columns = jax.vmap(lambda x: self.move(x, still, gap))(basis)
        return jnp.moveaxis(columns, 0, 2), self.move(self.start(), held, gap)


class LSSL(AbstractLSSL):
    r"""LSSL-fixed: A, B and the steps are given, C and D are learned.

    **Arguments:** `features`: of a row; `state`: how large each feature's is, an even number; `channels`: how many are
    read of each, whose GELU is mixed to as many features as came in, if they are more than one; `measure`: what is
    remembered, one of [`ctmodels.ssm.legs`][], `legt`, `lagt`, `fout`, or another `N -> ctmodels.ssm.Hippo` whose `P`
    is known; `alpha`: of the transform: 1/2 is bilinear, 1 backward Euler, and with less than 1/2 what is remembered
    grows where gaps are long; `steps`: the shortest and the longest, between which there is one for each feature,
    evenly spaced in their logarithm.

    A, B and the steps are no arrays of the model but made on the host from `measure`, `state` and `steps`, where they
    are used: so no optimiser sees them, and models of different keys have one program. States are in coordinates in
    which A is normal plus low rank ([`ctmodels.ssm.rotation`][] leads there).

    **Good values:** a state of 64 to 256; LegS; steps from 1e-3 to 1e-1 for about a thousand rows a unit of gap apart,
    a factor of 100 around one over the rows to be remembered; 1 channel. Where the rate is to change, try an
    `alpha` of 1: at half the rate outputs of layers that were not trained differed by a quarter, with 1/2 by 0.9.
    """

    channels: Channels
    features: int = eqx.field(static=True)
    state: int = eqx.field(static=True)
    measure: Measure = eqx.field(static=True)
    alpha: float = eqx.field(static=True)
    steps: tuple[float, ...] = eqx.field(static=True)

    @before(check_sizes)
    def __init__(
        self,
        features: int,
        state: int = 64,
        *,
        channels: int = 1,
        measure: Measure = legs,
        alpha: float = 0.5,
        steps: tuple[float, float] = (1e-3, 1e-1),
        key: PRNGKeyArray,
    ):
        _system(measure, state, normal_plus_low_rank)
        self.features, self.state, self.measure = features, state, measure
        self.alpha, self.steps = _checked_alpha(alpha), spread_steps(features, steps)
        self.channels = Channels(features, channels, state, key=key)

    def derivative(self, x: States, u: Features) -> States:
        return self._gaps(1, u)[:, None] * jax.vmap(self._law().derivative)(x, u)

    def move(self, state: States, u: Features, gap: Gap) -> States:
        return jax.vmap(functools.partial(self._law().step, alpha=self.alpha))(state, u, self._gaps(gap, u))

    def _law(self) -> DiagonalPlusLowRank:
        return DiagonalPlusLowRank.of(_system(self.measure, self.state, normal_plus_low_rank))

    def _gaps(self, gap: Gap | int, u: Features) -> Features:
        return jnp.asarray(self.steps, u.dtype) * gap


class TrainableLSSL(AbstractLSSL):
    r"""LSSL whose A, B and steps are learned too: $A = -P (D + T^{-1}) Q$ of diagonal P, D and Q and a tridiagonal T,
    the family that has HiPPO's A, in which it begins. P, Q and the steps stay above zero; that A stays stable is not
    promised, as it is not in the paper.

    **Arguments:** as those of [`ctmodels.layers.LSSL`][], but that `state` is odd or even, `measure` is one of
    [`ctmodels.ssm.legs`][], `legt`, `lagt`, `lmu`, or another whose A has that form, and the steps are drawn, uniform
    in their logarithm; `per_feature`: whether each feature has an A and a B of its own, else they share one.

    **Good values:** for A and B a learning rate of 1e-4, for the steps 1e-3, and no weight decay for either; one A for
    all.
    """

    system: TridiagonalInverse
    channels: Channels
    log_step: Float[Array, " feature"]
    features: int = eqx.field(static=True)
    per_feature: bool = eqx.field(static=True)
    alpha: float = eqx.field(static=True)
    slow: ClassVar[tuple[str, ...]] = ("system", "log_step")

    @before(check_sizes)
    def __init__(
        self,
        features: int,
        state: int = 64,
        *,
        channels: int = 1,
        measure: Measure = legs,
        alpha: float = 0.5,
        steps: tuple[float, float] = (1e-3, 1e-1),
        per_feature: bool = False,
        key: PRNGKeyArray,
    ):
        a, b = jax.random.split(key)
        system = _system(measure, state, TridiagonalInverse.of)
        copied = lambda leaf: jnp.broadcast_to(leaf, (features, *leaf.shape))
        self.system = jax.tree.map(copied, system) if per_feature else system
        self.features, self.per_feature, self.alpha = features, per_feature, _checked_alpha(alpha)
        self.log_step = draw_log_steps(a, features, steps)
        self.channels = Channels(features, channels, state, key=b)

    def derivative(self, x: States, u: Features) -> States:
        return jnp.exp(self.log_step)[:, None] * self._each(TridiagonalInverse.derivative, x, u)

    def move(self, state: States, u: Features, gap: Gap) -> States:
        move = functools.partial(TridiagonalInverse.step, alpha=self.alpha)
        return self._each(move, state, u, gap * jnp.exp(self.log_step))

    def _each(self, function: Callable, *given: Array) -> States:
        """Of the system of each feature."""
        own = 0 if self.per_feature else None
        return jax.vmap(function, in_axes=(own, *[0] * len(given)))(self.system, *given)


@functools.lru_cache(64)
def _system(measure: Measure, state: int, form: Callable):
    """What `measure` gives, in a form of it, as it is to be."""
    check_whole("state", state, 1)
    system = measure(state)
    shapes = tuple(np.shape(a) for a in system[:2])
    if shapes != ((state, state), (state,)):
        raise ValueError(f"measure: A and B of shapes {shapes}, for state={state}: give ctmodels.ssm.legs or its like")
    growth = float(np.max(np.linalg.eigvals(system.A).real))
    if not growth <= 1e-6 * np.abs(system.A).max():
        raise ValueError(
            f"measure: an A with an eigenvalue of real part {growth:.3g}, at most 0: what it remembers grows"
        )
    try:
        return form(system)
    except ValueError as reason:
        raise ValueError(f"measure, for state={state}: of its {reason}") from None


def _checked_alpha(alpha: float) -> float:
    if not 0 <= alpha <= 1:
        raise ValueError(f"alpha={alpha}: from 0 (Euler) to 1 (backward Euler); 1/2 is bilinear, of second order")
    return alpha
