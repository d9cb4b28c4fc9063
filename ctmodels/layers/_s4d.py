r"""S4D: a bank of diagonal systems for each feature, $x' = \Lambda x + u$, $y = 2 \mathrm{Re}(C x) + D u$.

Gu, Gupta, Goel, Ré (2022). Between rows the input is held (zero-order hold), so that a gap and its two halves are the
same.
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before
from ctmodels.layers._layer import AbstractStateSpace, Features, Gap, Rows, carried, forward
from ctmodels.layers._modes import Init, StablePoles, linear_poles
from ctmodels.layers._steps import check_sizes, draw_log_steps
from ctmodels.ssm._discretise import hold_modes
from ctmodels.ssm._kernels import convolve, mode_kernel
from ctmodels.ssm._pairs import Pair, logarithm
from ctmodels.ssm._transitions import Diagonal


class S4D(AbstractStateSpace):
    r"""Each feature has modes, and a step, of its own; a gap is multiplied by the step.

    **Arguments:** `features`: of a row; `modes`: of each, complex (half of the state size N that papers give); `init`:
    where the poles begin, one of [`ctmodels.layers.linear_poles`][], `inverse_poles`, `quadratic_poles`, `real_poles`,
    `legs_poles`; `steps`:
    between which the steps are drawn, uniform in their logarithm; `method`: of one step, [`ctmodels.ssm.hold_modes`][],
    which is exact, or `bilinear_modes`, which is not the same over a gap and over its two halves.

    **Good values:** 32 modes; steps from 1e-3 to 1e-1 for about a thousand rows a unit of gap apart; for these
    parameters a learning rate of 1e-3 and no weight decay.
    """

    poles: StablePoles
    C: Pair
    D: Float[Array, " feature"]
    log_step: Float[Array, " feature"]
    method: Callable = eqx.field(static=True)
    features: int = eqx.field(static=True)
    slow: ClassVar[tuple[str, ...]] = ("poles", "log_step")

    @before(check_sizes)
    def __init__(
        self,
        features: int,
        modes: int = 32,
        *,
        init: Init = linear_poles,
        steps: tuple[float, float] = (1e-3, 1e-1),
        method: Callable = hold_modes,
        key: PRNGKeyArray,
    ):
        a, b, c = jax.random.split(key, 3)
        self.features, self.method = features, method
        self.poles = StablePoles.of(np.broadcast_to(init(modes), (features, modes)))
        real, imaginary = jax.random.normal(a, (2, features, modes)) * np.sqrt(0.5)
        self.C = Pair(real, imaginary)
        self.D = jax.random.normal(b, (features,))
        self.log_step = draw_log_steps(c, features, steps)

    def start(self) -> Pair:
        return Pair(jnp.zeros_like(self.C.re), jnp.zeros_like(self.C.im))

    def transition(self, u: Features, gap: Gap) -> tuple[Diagonal, Pair]:
        a, hold = self.method(self.poles(), (gap * jnp.exp(self.log_step))[:, None])
        return Diagonal(a), hold.times(u[:, None])

    def move(self, state: Pair, u: Features, gap: Gap) -> Pair:
        return carried(state, self.transition(u, gap))

    def read(self, x: Pair, u: Features) -> Features:
        return 2 * jnp.sum(self.C.re * x.re - self.C.im * x.im, axis=1) + self.D * u

    def derivative(self, x: Pair, u: Features) -> Pair:
        step = jnp.exp(self.log_step)[:, None]
        moved = self.poles() * x
        return Pair((moved.re + u[:, None]) * step, moved.im * step)

    def kernel(self, length: int, gap: Gap) -> Float[Array, "feature length"]:
        """Of rows a gap apart."""
        step = (gap * jnp.exp(self.log_step))[:, None]
        poles = self.poles()
        a, hold = self.method(poles, step)
        logs = poles.times(step) if self.method is hold_modes else logarithm(a)
        return mode_kernel(logs, (self.C * hold).times(jnp.asarray(2, step.dtype)), length)

    def convolve(self, us: Rows, gap: Gap) -> Rows:
        return convolve(self.kernel(us.shape[0], forward(gap)), us.T).T + self.D[None] * us
