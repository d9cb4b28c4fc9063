r"""The block of LMUFormer: a Legendre memory, and a mixer of each row's features, each with a way past it.

Liu, Datta, Li, Beerel (2024). What is theirs: $a = u + P\,\mathrm{relu}(W [m; u])$, m of $\mathrm{relu}(W_u u)$, and
$a + \mathrm{mix}(a)$, the mixer four times as wide. What is not: they normalise over a batch after each linear map, by
which the answer to one series would hang on others, and here the mixer has a norm of each row's features before it;
their mixer ends in a relu, and this one does not; and five convolutions of three rows embed a spectrogram before the
blocks. These weigh a row's neighbours by their number and not by their time, the row to come among them: they are left
out.
"""

from collections.abc import Callable

import equinox as eqx
import jax
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels.layers._layer import AbstractStateSpace, Features, Gap, Rows
from ctmodels.layers._lmu import LMU
from ctmodels.ssm._delay import Delay

States = Float[Array, "memory order"]


class LMUFormer(AbstractStateSpace):
    r"""$a = u + P\,\mathrm{relu}(\mathrm{LMU}(u))$, $y = a + \mathrm{mix}(\mathrm{norm}(a))$.

    In a stack each of these has the stack's own norm before it and its mixing after it, and a residual around both.

    **Arguments:** `features`, `order`, `window`, `memories`: of the [`ctmodels.layers.LMU`][]; `width`: of the mixer's
    hidden layer, in features.

    **Good values:** those of the LMU; the paper has one memory, whose order is `features` and whose window is the whole
    series (128 rows).
    """

    lmu: LMU
    project: eqx.nn.Linear
    norm: Callable
    widen: eqx.nn.Linear
    narrow: eqx.nn.Linear
    features: int = eqx.field(static=True)

    @before(lambda width, key, **_: _check(width, key))
    def __init__(
        self,
        features: int,
        order: int = 32,
        *,
        window: float,
        memories: int = 1,
        width: int = 4,
        key: PRNGKeyArray,
    ):
        a, b, c, d = jax.random.split(key, 4)
        self.features = features
        self.lmu = LMU(features, order, window=window, memories=memories, activation=jax.nn.relu, key=a)
        self.project = eqx.nn.Linear(features, features, key=b)
        self.norm = eqx.nn.LayerNorm(features)
        self.widen = eqx.nn.Linear(features, width * features, key=c)
        self.narrow = eqx.nn.Linear(width * features, features, key=d)

    def start(self) -> States:
        return self.lmu.start()

    def transition(self, u: Features, gap: Gap) -> tuple[Delay, States]:
        return self.lmu.transition(u, gap)

    def derivative(self, x: States, u: Features) -> States:
        return self.lmu.derivative(x, u)

    def read(self, x: States, u: Features) -> Features:
        return self._leave(self.lmu.read(x, u), u)

    def move(self, state: States, u: Features, gap: Gap) -> States:
        return self.lmu.move(state, u, gap)

    def convolve(self, us: Rows, gap: Gap) -> Rows:
        return jax.vmap(self._leave)(self.lmu.convolve(us, gap), us)

    def _leave(self, h: Features, u: Features) -> Features:
        a = u + self.project(jax.nn.relu(h))
        return a + self.narrow(jax.nn.gelu(self.widen(self.norm(a)), approximate=False))


def _check(width, key) -> None:
    check_key(key, needed=True)
    check_whole("width", width, 1)
