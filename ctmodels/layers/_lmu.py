r"""LMU: a window of the past as Legendre polynomials, the Legendre memory unit, $\theta m' = A m + B u$.

Voelker, Kajić, Eliasmith (2019), without the recurrence through its nonlinearity, as in Chilkuri, Eliasmith (2021),
whence both a scan and a convolution. Between rows u is held, and the gap is exact.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels.layers._layer import AbstractStateSpace, Features, Gap, Rows
from ctmodels.ssm._delay import LARGEST_ORDER, Delay, delay_kernel, delay_rate, delay_scale, recall
from ctmodels.ssm._kernels import convolve

States = Float[Array, "memory order"]


class LMU(AbstractStateSpace):
    r"""$u = \phi(W_u x + b_u)$, a number for each memory; $m$, what each remembers of its u over the last window;
    out comes $W [m; x] + b$, around which the papers put a nonlinearity, and a stack its own.

    A and B are constants; only $W_u, W$ are learned. A state is m in orthonormal polynomials, `(memories, order)`,
    [`ctmodels.ssm.Delay`][] being the map of it.

    **Arguments:** `features`: of a row; `order`: how many polynomials, up to 256; `window`: how much of the past,
    $\theta$, in gaps of one; `memories`: how many; `activation`: $\phi$, none in the first paper, `jax.nn.relu` in
    LMUFormer.

    **Good values:** a window of the longest time that matters; an order of twice as many cycles as the fastest thing
    that matters makes in a window (1 to 4 where a trend is enough, 64 to 256 for a window of a thousand rows); one
    memory, or a few where several channels matter each by itself.
    """

    enter: eqx.nn.Linear
    leave: eqx.nn.Linear
    order: int = eqx.field(static=True)
    window: float = eqx.field(static=True)
    memories: int = eqx.field(static=True)
    activation: Callable = eqx.field(static=True)
    features: int = eqx.field(static=True)

    @before(lambda features, order, window, memories, key, **_: _check(features, order, window, memories, key))
    def __init__(
        self,
        features: int,
        order: int = 32,
        *,
        window: float,
        memories: int = 1,
        activation: Callable = jax.nn.identity,
        key: PRNGKeyArray,
    ):
        a, b = jax.random.split(key)
        self.features, self.order, self.window = features, order, window
        self.memories, self.activation = memories, activation
        self.enter = eqx.nn.Linear(features, memories, key=a)
        self.leave = eqx.nn.Linear(memories * order + features, features, key=b)

    def start(self) -> States:
        return jnp.zeros((self.memories, self.order), self.enter.weight.dtype)

    def transition(self, u: Features, gap: Gap) -> tuple[Delay, States]:
        over = Delay(gap / self.window, self.order)
        return over, self._held(u)[:, None] * over.drive()[None]

    def move(self, state: States, u: Features, gap: Gap) -> States:
        """With one map instead of the two of `transition`: the way to the held input, which lasts, is gone by it."""
        return state + Delay(gap / self.window, self.order).change(self._way(state, u))

    def read(self, x: States, u: Features) -> Features:
        return self.leave(jnp.concatenate([self.memory(x).reshape(-1), u]))

    def derivative(self, x: States, u: Features) -> States:
        A = jnp.asarray(delay_rate(self.order).T / self.window, x.dtype)
        return jnp.matmul(self._way(x, u), A, precision=jax.lax.Precision.HIGHEST)

    def convolve(self, us: Rows, gap: Gap) -> Rows:
        kernel = delay_kernel(self.order, gap / self.window, us.shape[0]).T
        of_all = jax.vmap(jax.vmap(convolve, in_axes=(0, None)), in_axes=(None, 0))  # one transform of each memory's u
        xs = of_all(kernel, jax.vmap(self._held)(us).T)
        return jax.vmap(self.read)(jnp.moveaxis(xs, -1, 0), us)

    def memory(self, x: States) -> States:
        """m, as the papers scale it."""
        return x * jnp.asarray(delay_scale(self.order)[None], x.dtype)

    def recall(self, x: States, delays: Float[np.ndarray, " delay"]) -> Float[Array, "memory delay"]:
        r"""What a state knows of u, so many windows ago, from 0 to 1: $\sum_n P_n(2d - 1) m_n$. It is exact of a
        polynomial of a degree below the order, once what was before it has faded, after some windows."""
        return self.memory(x) @ jnp.asarray(recall(self.order, delays).T, x.dtype)

    def _way(self, x: States, u: Features) -> States:
        """From where u, held for long, leads to."""
        return x.at[:, 0].add(-self._held(u))

    def _held(self, u: Features) -> Float[Array, " memory"]:
        return self.activation(self.enter(u))


def _check(features, order, window, memories, key) -> None:
    check_key(key, needed=True)
    check_whole("features", features, 1)
    check_whole("memories", memories, 1)
    check_whole("order", order, 1, LARGEST_ORDER)
    if not 0 < window < float("inf"):
        raise ValueError(f"window={window}: how much of the past is remembered, a time above zero, in gaps of one")
