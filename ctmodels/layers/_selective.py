r"""A selective layer (S6): what is written, how much of the past is kept and what is read are functions of the row,
$x' = \Delta(u) (A x + B(u) u)$, $y = C(u) x + D u$.

Gu, Dao (2023), the state space within Mamba. Over a gap of g the learned step is g times as long, which is ours, and
the input is held, where Mamba takes a step of Euler's.

Of Mamba's block the short causal convolution before the layer is left out: it weighs the last four rows by their
number, which says nothing where rows are not equally far apart. What is around the layer is the stack's: norm, gate,
residual.
"""

import math
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels.layers._layer import AbstractStateSpace, Features, Gap, Rows, carried, equal_gaps
from ctmodels.layers._steps import draw_log_steps
from ctmodels.ssm._selective import hold_rates, selective_step
from ctmodels.ssm._transitions import RealDiagonal

States = Float[Array, "feature mode"]
FLOOR = 1e-4  # below which no step begins


class Selective(AbstractStateSpace):
    r"""$\Delta(u) = \mathrm{softplus}(W_2 W_1 u + b)$ of each feature, $B(u) = W_B u$ and $C(u) = W_C u$ of all
    features, $A < 0$ of each feature's modes; states are `(features, modes)`, of which a large $\Delta$ writes the row
    over the past, and none leaves the past as it is.

    **Arguments:** `features`: of a row; `modes`: of each, real; `rank`: of $W_2 W_1$, a sixteenth of `features` unless
    given; `steps`: between which $\mathrm{softplus}(b)$ is drawn, uniform in its logarithm, none below 1e-4; `method`:
    of one step, [`ctmodels.ssm.hold_rates`][] or the released [`ctmodels.ssm.euler_rates`][], which is not the same
    over a gap and over its two halves; `gate`: whether what comes out is multiplied by $\mathrm{silu}(W_z u)$, as
    in Mamba, where the stack has no gate of its own.

    **Good values:** 16 modes; steps from 1e-3 to 1e-1 for gaps about one; for A and b no weight decay.
    """

    log_rate: Float[Array, "feature mode"]
    down: Float[Array, "rank feature"]
    up: Float[Array, "feature rank"]
    bias: Float[Array, " feature"]
    B: Float[Array, "mode feature"]
    C: Float[Array, "mode feature"]
    D: Float[Array, " feature"]
    z: Float[Array, "feature feature"] | None
    method: Callable = eqx.field(static=True)
    features: int = eqx.field(static=True)
    slow: ClassVar[tuple[str, ...]] = ("log_rate", "bias")

    @before(lambda features, modes, rank, key, **_: _check(features, modes, rank, key))
    def __init__(
        self,
        features: int,
        modes: int = 16,
        *,
        rank: int | None = None,
        steps: tuple[float, float] = (1e-3, 1e-1),
        method: Callable = hold_rates,
        gate: bool = False,
        key: PRNGKeyArray,
    ):
        rank = math.ceil(features / 16) if rank is None else rank
        keys = jax.random.split(key, 6)
        self.features, self.method = features, method
        self.log_rate = jnp.log(jnp.zeros((features, 1)) + jnp.arange(1.0, modes + 1)[None])
        self.down, self.B, self.C = (_uniform(k, n, features) for k, n in zip(keys, (rank, modes, modes), strict=False))
        self.up = _uniform(keys[3], features, rank)
        step = jnp.maximum(jnp.exp(draw_log_steps(keys[4], features, steps)), FLOOR)
        self.bias = step + jnp.log(-jnp.expm1(-step))  # the inverse of softplus
        self.D = jnp.ones(features)
        self.z = _uniform(keys[5], features, features) if gate else None

    def start(self) -> States:
        return jnp.zeros_like(self.log_rate)

    def transition(self, u: Features, gap: Gap) -> tuple[RealDiagonal, States]:
        return selective_step(self._rates(), gap * self.steps(u), u, self.B @ u, self.method)

    def move(self, state: States, u: Features, gap: Gap) -> States:
        return carried(state, self.transition(u, gap))

    def read(self, x: States, u: Features) -> Features:
        y = x @ (self.C @ u) + self.D * u
        return y if self.z is None else y * jax.nn.silu(self.z @ u)

    def derivative(self, x: States, u: Features) -> States:
        return self.steps(u)[:, None] * (self._rates() * x + u[:, None] * (self.B @ u)[None])

    def convolve(self, us: Rows, gap: Gap) -> Rows:
        """A scan: what depends on the row is no convolution."""
        return self.scan(self.start(), us, equal_gaps(us, gap))[1]

    def steps(self, u: Features) -> Features:
        r"""$\Delta(u)$, for a gap of one."""
        return jax.nn.softplus(self.up @ (self.down @ u) + self.bias)

    def _rates(self) -> States:
        return -jnp.exp(self.log_rate)


def _uniform(key: PRNGKeyArray, outs: int, ins: int) -> Float[Array, "{outs} {ins}"]:
    return jax.random.uniform(key, (outs, ins), minval=-1, maxval=1) / np.sqrt(ins)


def _check(features, modes, rank, key) -> None:
    check_key(key, needed=True)
    check_whole("features", features, 1)
    check_whole("modes", modes, 1)
    if rank is not None and check_whole("rank", rank, 1) > features:
        raise ValueError(f"rank={rank}: of a map of features={features} to as many: at most that, or None, a sixteenth")
