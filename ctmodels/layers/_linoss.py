r"""LinOSS: a bank of forced oscillators, $y'' = -a y - c y' + B u$, of which the positions are read,
$\mathrm{Re}(C y) + D u$.

Rusch, Rus (2025); damped: Boyer, Rusch, Rus (2025). Solved exactly over each gap, which is ours: the implicit and the
implicit-explicit steps of the papers are not the same over a gap and over its two halves, so that what they learn hangs
on how the series was sampled.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before
from ctmodels.layers._layer import AbstractStateSpace, Features, Gap, Rows, carried, equal_gaps
from ctmodels.layers._steps import check_sizes
from ctmodels.ssm._oscillators import exact_step
from ctmodels.ssm._pairs import Pair
from ctmodels.ssm._transitions import Blocks


class LinOSS(AbstractStateSpace):
    r"""Oscillators whose stiffness $a = \max(0, \hat a)$ and step $\sigma(\hat\Delta)$ are learned; a gap is multiplied
    by the step.

    **Arguments:** `features`: of a row; `oscillators`: how many; `method`: of one step,
    [`ctmodels.ssm.exact_step`][], or the papers' `implicit_step` or `implicit_explicit_step`; `damped`: whether each
    oscillator has a damping $c = \max(0, \hat c)$ that is learned, else there is none.

    **Good values:** 64 oscillators; `implicit_step` forgets what turns fast, for long series of one rate; `exact_step`
    where gaps differ.
    """

    stiffness: Float[Array, " mode"]
    damping: Float[Array, " mode"] | None
    raw_step: Float[Array, " mode"]
    B: Pair
    C: Pair
    D: Float[Array, " feature"]
    method: Callable = eqx.field(static=True)
    features: int = eqx.field(static=True)
    slow: ClassVar[tuple[str, ...]] = ("stiffness", "damping", "raw_step")

    @before(check_sizes)
    def __init__(
        self,
        features: int,
        oscillators: int = 64,
        *,
        method: Callable = exact_step,
        damped: bool = False,
        key: PRNGKeyArray,
    ):
        a, b, c, d, e, f = jax.random.split(key, 6)
        self.features, self.method = features, method
        self.stiffness = jax.random.uniform(a, (oscillators,))
        self.damping = jax.random.uniform(f, (oscillators,)) if damped else None
        self.raw_step = jax.random.uniform(b, (oscillators,))
        real, imaginary = jax.random.uniform(c, (2, oscillators, features), minval=-1, maxval=1) / np.sqrt(features)
        self.B = Pair(real, imaginary)
        real, imaginary = jax.random.uniform(d, (2, features, oscillators), minval=-1, maxval=1) / np.sqrt(oscillators)
        self.C = Pair(real, imaginary)
        self.D = jax.random.normal(e, (features,))

    def start(self) -> tuple:
        """Velocity and position, each of a real and an imaginary part."""
        still = jnp.zeros((2, *self.stiffness.shape), self.stiffness.dtype)
        return still, still

    def transition(self, u: Features, gap: Gap) -> tuple[Blocks, tuple]:
        a, c = self._law()
        blocks, (to_z, to_y) = self.method(a, c, gap * jax.nn.sigmoid(self.raw_step))
        drive = jnp.stack([self.B.re @ u, self.B.im @ u])
        both = jax.tree.map(lambda m: m[None], blocks)
        return both, (to_z[None] * drive, to_y[None] * drive)

    def move(self, state: tuple, u: Features, gap: Gap) -> tuple:
        return carried(state, self.transition(u, gap))

    def read(self, x: tuple, u: Features) -> Features:
        real, imaginary = x[1]
        return self.C.re @ real - self.C.im @ imaginary + self.D * u

    def derivative(self, x: tuple, u: Features) -> tuple:
        z, y = x
        a, c = self._law()
        step = jax.nn.sigmoid(self.raw_step)[None]
        pull = jnp.stack([self.B.re @ u, self.B.im @ u]) - a[None] * y - (0 if c is None else c[None] * z)
        return step * pull, step * z

    def convolve(self, us: Rows, gap: Gap) -> Rows:
        return self.scan(self.start(), us, equal_gaps(us, gap))[1]

    def _law(self) -> tuple[Float[Array, " mode"], Float[Array, " mode"] | None]:
        return jax.nn.relu(self.stiffness), None if self.damping is None else jax.nn.relu(self.damping)
