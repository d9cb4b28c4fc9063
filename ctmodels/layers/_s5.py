r"""S5: one diagonal system for all features, $x' = \Lambda x + B u$, $y = 2 \mathrm{Re}(C x) + D u$.

Smith, Warrington, Linderman (2023).
"""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_whole
from ctmodels.layers._layer import AbstractStateSpace, Features, Gap, Rows, carried, equal_gaps
from ctmodels.layers._modes import StablePoles
from ctmodels.layers._steps import check_sizes, draw_log_steps
from ctmodels.ssm._discretise import hold_modes
from ctmodels.ssm._hippo import legs, normal_plus_low_rank
from ctmodels.ssm._pairs import Pair, pair
from ctmodels.ssm._transitions import Diagonal


class S5(AbstractStateSpace):
    r"""All features drive all modes, each mode with a step of its own; a gap is multiplied by the step.

    **Arguments:** `features`: of a row; `modes`: complex, half of the state size P that the paper gives; `blocks`: of
    HiPPO's LegS, in which the poles and the bases of `B` and `C` begin; it divides `modes`; `steps`: between which the
    steps are drawn, uniform in their logarithm; `method`: of one step, [`ctmodels.ssm.hold_modes`][], which is exact,
    or `bilinear_modes`, which is not the same over a gap and over its two halves.

    **Good values:** as many modes as features, or half; 8 blocks; steps from 1e-3 to 1e-1 for about a thousand rows a
    unit of gap apart; for poles and steps a learning rate of 1e-3 and no weight decay.
    """

    poles: StablePoles
    B: Pair
    C: Pair
    D: Float[Array, " feature"]
    log_step: Float[Array, " mode"]
    method: Callable = eqx.field(static=True)
    features: int = eqx.field(static=True)
    slow: ClassVar[tuple[str, ...]] = ("poles", "log_step")

    @before(check_sizes)
    def __init__(
        self,
        features: int,
        modes: int = 32,
        *,
        blocks: int = 1,
        steps: tuple[float, float] = (1e-3, 1e-1),
        method: Callable = hold_modes,
        key: PRNGKeyArray,
    ):
        check_whole("blocks", blocks, 1)
        if modes % blocks:
            raise ValueError(f"blocks={blocks} do not divide modes={modes}: give a number that does, such as 1")
        b, c, d, e = jax.random.split(key, 4)
        self.features, self.method = features, method
        poles, into, out = _bases(modes // blocks, blocks)
        self.poles = StablePoles.of(poles)
        # Drawn as real matrices of all states, and turned into the basis of the modes.
        real = jax.random.normal(b, (into.shape[1], features)) / np.sqrt(features)
        into, out = pair(into), pair(out)
        self.B = Pair(into.re @ real, into.im @ real)
        read = jax.random.normal(c, (features, out.shape[0])) / np.sqrt(out.shape[0])
        self.C = Pair(read @ out.re, read @ out.im)
        self.D = jax.random.normal(d, (features,))
        self.log_step = draw_log_steps(e, modes, steps)

    def start(self) -> Pair:
        return Pair(jnp.zeros_like(self.log_step), jnp.zeros_like(self.log_step))

    def transition(self, u: Features, gap: Gap) -> tuple[Diagonal, Pair]:
        a, hold = self.method(self.poles(), gap * jnp.exp(self.log_step))
        return Diagonal(a), hold * Pair(self.B.re @ u, self.B.im @ u)

    def move(self, state: Pair, u: Features, gap: Gap) -> Pair:
        return carried(state, self.transition(u, gap))

    def read(self, x: Pair, u: Features) -> Features:
        return 2 * (self.C.re @ x.re - self.C.im @ x.im) + self.D * u

    def derivative(self, x: Pair, u: Features) -> Pair:
        moved = self.poles() * x + Pair(self.B.re @ u, self.B.im @ u)
        return moved.times(jnp.exp(self.log_step))

    def convolve(self, us: Rows, gap: Gap) -> Rows:
        return self.scan(self.start(), us, equal_gaps(us, gap))[1]


def _bases(modes: int, blocks: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Poles of blocks of LegS, and the maps into their modes, `(mode, state)`, and out, `(state, mode)`."""
    form = normal_plus_low_rank(legs(2 * modes))
    eye = np.eye(blocks)
    return np.tile(form.poles, blocks), np.kron(eye, form.V.conj().T), np.kron(eye, form.V)
