r"""The linear recurrent unit in continuous time: modes $\lambda = e^{-e^\nu + i\theta}$ over a gap of one, raised to
the gap.

Orvieto, Smith, Gu, Fernando, Gulcehre, Pascanu, De (2023), for gaps of one. In other gaps the input is held:
$\bar A(g) = \lambda^g$, $\bar B(g) = \gamma \tfrac{\lambda^g - 1}{\lambda - 1} B$, $\gamma = \sqrt{1 - |\lambda|^2}$,
which for a gap of one is the paper's, and of two halves of a gap the same as of the whole.
"""

from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before
from ctmodels.layers._layer import AbstractStateSpace, Features, Gap, Rows, carried, equal_gaps
from ctmodels.layers._modes import StablePoles
from ctmodels.layers._steps import check_sizes
from ctmodels.ssm._discretise import hold_modes
from ctmodels.ssm._pairs import Pair
from ctmodels.ssm._transitions import Diagonal


class LRU(AbstractStateSpace):
    r"""All features drive all modes, $y = \mathrm{Re}(C x) + D u$; there is no step: a gap of one is the paper's.

    **Arguments:** `features`: of a row; `modes`: complex; `radius`: between which the modes' $|\lambda|$ are drawn, as
    uniform over the ring; `phase`: the largest angle that a mode turns over a gap of one.

    **Good values:** twice as many modes as features; for long memory a radius from 0.9 to 0.999 and a phase of 0.3.
    """

    poles: StablePoles
    B: Pair
    C: Pair
    D: Float[Array, " feature"]
    features: int = eqx.field(static=True)
    slow: ClassVar[tuple[str, ...]] = ("poles",)

    @before(check_sizes)
    def __init__(
        self,
        features: int,
        modes: int = 64,
        *,
        radius: tuple[float, float] = (0.0, 1.0),
        phase: float = 2 * np.pi,
        key: PRNGKeyArray,
    ):
        low, high = radius
        if not 0 <= low < high <= 1:
            raise ValueError(f"radius={radius}: the smallest and the largest |lambda|, 0 <= smallest < largest <= 1")
        b, c, d, of_ring = jax.random.split(key, 4)
        self.features = features
        where, angle = jax.random.uniform(of_ring, (2, modes))
        squared = jnp.clip(where * (high**2 - low**2) + low**2, 1e-6, 1 - 1e-6)
        self.poles = StablePoles(jnp.log(-0.5 * jnp.log(squared)), phase * angle)
        real, imaginary = jax.random.normal(b, (2, modes, features)) / np.sqrt(2 * features)
        self.B = Pair(real, imaginary)
        real, imaginary = jax.random.normal(c, (2, features, modes)) / np.sqrt(modes)
        self.C = Pair(real, imaginary)
        self.D = jax.random.normal(d, (features,))

    def start(self) -> Pair:
        return Pair(jnp.zeros_like(self.poles.frequency), jnp.zeros_like(self.poles.frequency))

    def transition(self, u: Features, gap: Gap) -> tuple[Diagonal, Pair]:
        a, hold = hold_modes(self.poles(), gap)
        return Diagonal(a), hold * self._drive(u)

    def move(self, state: Pair, u: Features, gap: Gap) -> Pair:
        return carried(state, self.transition(u, gap))

    def read(self, x: Pair, u: Features) -> Features:
        return self.C.re @ x.re - self.C.im @ x.im + self.D * u

    def derivative(self, x: Pair, u: Features) -> Pair:
        return self.poles() * x + self._drive(u)

    def convolve(self, us: Rows, gap: Gap) -> Rows:
        return self.scan(self.start(), us, equal_gaps(us, gap))[1]

    def _drive(self, u: Features) -> Pair:
        r"""$\gamma\, \tfrac{\log \lambda}{\lambda - 1}\, B u$."""
        poles = self.poles()
        over_one = hold_modes(poles, jnp.ones((), u.dtype))[1]
        gamma = jnp.sqrt(-jnp.expm1(2 * poles.re))
        normed = Pair(gamma, jnp.zeros_like(gamma)).over(over_one)
        return normed * Pair(self.B.re @ u, self.B.im @ u)
