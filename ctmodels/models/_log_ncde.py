"""Log neural controlled differential equations: dz = F(z) dX by the log-ODE method, one step for a window of rows.

Over a window, z' = sum_i L^i F_i + sum_(i<j) L^ij [F_i, F_j] + ..., L being the window's log-signature, for unit time.
Walker, McLeod, Qin, Cheng, Li, Lyons (2024); log-ODE for neural CDEs: Morrill, Salvi, Kidger, Foster (2021).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key
from ctmodels._core._model import AbstractModel
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_reads
from ctmodels._core._series import Record, Series
from ctmodels._integrate import RK4, Integrate, Substeps
from ctmodels._online import ObservedRows, StatesAtRows, flow_of_field, predict_at, times_of
from ctmodels.fields._fields import MatrixField
from ctmodels.signatures import lie_field, logsignature_windows


class LogNCDE(AbstractModel):
    """A neural CDE for long series: it goes by windows of rows, and takes from each its increment and areas.

    `x`, `ts`, outputs and control are those of [`ctmodels.NeuralCDE`][]; the state is known at the ends of windows and
    at that of the series, so that an output knows what the windows have that were over by then (it is causal, and lags
    by up to one). Rows at which nothing was observed, and padding, are in no window.

    **Arguments:** `channels`, `hidden`, `outputs`: sizes; `window`: rows a step, at least 1; `depth`: of the
    log-signature, 1 to 3 (the field is differentiated `depth - 1` times, in the direction of each channel); `static`,
    `intensity`: as there; `width`, `layers`: of [`ctmodels.fields.MatrixField`][]; `forecast_solver`: what solves
    after the last window, by default in steps of at most 1 unit of time.

    **Good values:** depth 2; windows such that a series makes 100 to 500 of them; a smooth activation, as derivatives
    are taken; z-scored channels; Adam 1e-3; for windows of many rows `intensity=False`, as each count grows by a
    window's length from step to step (17 000 rows in windows of 100: the loss went to thousands with, to 1e-4 without).
    """

    initial: eqx.nn.MLP
    field: Callable
    readout: eqx.nn.Linear
    forecast_solver: Integrate
    window: int = eqx.field(static=True)
    depth: int = eqx.field(static=True)
    intensity: bool = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    static: int = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(
        self,
        channels: int,
        hidden: int,
        outputs: int,
        *,
        window: int,
        depth: int = 2,
        static: int = 0,
        intensity: bool = True,
        width: int = 64,
        layers: int = 1,
        forecast_solver: Integrate = Integrate(RK4(), Substeps(1, longest=1.0)),
        key: PRNGKeyArray,
    ):
        self.channels, self.static = channels, static
        if not 1 <= depth <= 3:
            raise ValueError(f"LogNCDE: depth={depth} must be 1, 2 or 3: the field is differentiated depth - 1 times")
        if window < 1:
            raise ValueError(f"LogNCDE: window={window} must be at least 1 step, from one row to the next")
        a, b, c = jax.random.split(key, 3)
        self.initial = eqx.nn.MLP(2 * (channels + static), hidden, width, 1, key=a)
        self.field = MatrixField(
            hidden, 1 + channels * (1 + intensity), width=width, depth=layers, activation=jax.nn.silu, key=b
        )
        self.readout = eqx.nn.Linear(hidden, outputs, key=c)
        self.forecast_solver, self.window, self.depth, self.intensity = forecast_solver, window, depth, intensity

    @before(check_reads)
    def __call__(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> Output:
        ts = times_of(x) if ts is None else ts
        rows = ObservedRows.of(x, self.channels, self.static)
        zs = self._windows(
            self.initial(rows.start), logsignature_windows(rows.control(self.intensity), self.window, self.depth)
        )
        ends = jnp.minimum(self.window * jnp.arange(zs.shape[0]), rows.ts.shape[0] - 1)
        known = StatesAtRows(zs, rows.ts[ends], self.initial(rows.unseen))
        flow = flow_of_field(self.forecast_solver, lambda t, z, args: self.field(z)[:, 0])
        latents, more = predict_at(flow, known, ts)
        stats = Stats.of_grid(2, known.ts, zs) + more
        return Output(jax.vmap(self.readout)(latents), stats, latents)

    def _windows(self, z0: Float[Array, " hidden"], levels) -> Float[Array, "end hidden"]:
        """By Heun's method, one step a window."""

        @jax.checkpoint
        def step(z, window):
            V = lie_field(self.field, window)
            k = V(z)
            z = z + 0.5 * (k + V(z + k))
            return z, z

        return jnp.concatenate([z0[None], jax.lax.scan(step, z0, levels)[1]])
