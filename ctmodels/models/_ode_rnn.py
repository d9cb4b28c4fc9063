"""ODE-RNN: between observations the state follows dh/dt = f(h), at each it jumps: h = cell(observation, h).

Rubanova, Chen, Duvenaud (2019).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key
from ctmodels._core._model import AbstractOnline
from ctmodels._core._output import Output
from ctmodels._core._promises import check_reads
from ctmodels._core._series import Record, Series
from ctmodels._integrate import RK4, Integrate, Substeps
from ctmodels._memory import Known, Mask, Memory, Static, Time, Values, answer, observe_by_flow, predict_by_flow
from ctmodels._online import ObservedRows, StatesAtRows, flow_of_field, predict_at, scan_rows, times_of
from ctmodels.fields._fields import MLPField


class ODERNN(AbstractOnline):
    """A recurrent network whose state moves between observations.

    `x` is a [`ctmodels.Series`][] or a [`ctmodels.Record`][]; `ts`, increasing, are the times at which outputs are
    wanted, those of `x` if not given. `ys` is `(out, outputs)`, `latents` is `(out, hidden)`. It is causal: an output
    knows what was observed by then, that row included; after the last observation the state follows its field
    (forecasting). Rows at which nothing was observed, and padding, change nothing.

    **Arguments:** `channels`, `hidden`, `outputs`: sizes; `static`: how many static features a record has, which the
    cell gets with each observation; `width`, `depth`: of the field, whose place any `f(t, h, args)` may take;
    `integrate`: how it is solved over each gap, by default in steps of at most 1 unit of time. The cell, a gated
    recurrent unit, gets the last value of each channel
    (the paper: zero where it is missing now) and the mask; any `cell(input, h)` may take its place (h + MLP(input, h)
    makes a neural jump ODE).

    **Good values:** hidden 32 to 64, width 64; times such that gaps are of order 0.1 to 1; Adam 1e-3 to 1e-2.
    """

    cell: Callable
    field: Callable
    readout: eqx.nn.Linear
    integrate: Integrate
    hidden: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    static: int = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(
        self,
        channels: int,
        hidden: int,
        outputs: int,
        *,
        static: int = 0,
        width: int = 64,
        depth: int = 1,
        integrate: Integrate = Integrate(RK4(), Substeps(1, longest=1.0)),
        key: PRNGKeyArray,
    ):
        self.channels, self.static = channels, static
        a, b, c = jax.random.split(key, 3)
        self.cell = eqx.nn.GRUCell(2 * (channels + static), hidden, key=a)
        self.field = MLPField(hidden, width=width, depth=depth, activation=jnp.tanh, key=b)
        self.readout = eqx.nn.Linear(hidden, outputs, key=c)
        self.integrate, self.hidden = integrate, hidden

    @before(check_reads)
    def __call__(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> Output:
        ts = times_of(x) if ts is None else ts
        rows = ObservedRows.of(x, self.channels, self.static)
        unseen = jnp.zeros(self.hidden, rows.ys.dtype)
        hs, _, stats = scan_rows(self._flow, self._jump(rows.static), unseen, rows)
        latents, more = predict_at(self._flow, StatesAtRows(hs, rows.ts, unseen), ts)
        return Output(jax.vmap(self.readout)(latents), stats + more, latents)

    def init(self, static: Static = None, known: Known = None) -> Memory:
        start = lambda code: jnp.zeros(self.hidden, code.dtype)
        return Memory.of_nothing(self.channels, self.static, static, known, start)

    def observe(self, memory: Memory, t: Time, y: Values, mask: Mask = None) -> Memory:
        return observe_by_flow(memory, t, y, mask, self._flow, self._jump(memory.static))

    def predict(self, memory: Memory, ts: Float[Array, " out"]) -> Output:
        latents, stats = predict_by_flow(memory, self._flow, ts)
        return answer(memory, jax.vmap(self.readout)(latents), stats, latents)

    @property
    def _flow(self) -> Callable:
        return flow_of_field(self.integrate, self.field)

    def _jump(self, static: Float[Array, " code"]) -> Callable:
        return lambda h, y, mask: (self.cell(jnp.concatenate([y, mask.astype(y.dtype), static]), h), None)
