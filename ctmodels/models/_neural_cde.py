"""Neural controlled differential equations: dz = F(z) dX, y = readout(z).

Kidger, Morrill, Foster, Lyons (2020); read as it comes in: Morrill, Kidger, Yang, Lyons (2021).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key
from ctmodels._core._model import AbstractOnline
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_reads
from ctmodels._core._series import Record, Series
from ctmodels._integrate import RK4, Integrate, Substeps
from ctmodels._memory import Known, Mask, Memory, Static, Time, Values, answer, observe, predict_by_flow
from ctmodels._online import ObservedRows, StatesAtRows, flow_of_field, predict_at, times_of
from ctmodels.fields._fields import MatrixField
from ctmodels.paths._paths import CubicPath


class IncrementScheme(eqx.Module):
    """From row to row by one step of dz/ds = F(z) (X_i - X_(i-1)), s from 0 to 1: the control is a line between what is
    known at two rows. `heun`: two evaluations of F a row, and second order; else one, and first order (Euler)."""

    heun: bool = eqx.field(static=True, default=False)

    def __call__(self, F: Callable, z0, control: Float[Array, "time control"]) -> Float[Array, "time state"]:
        @jax.checkpoint
        def row(z, dX):
            k = F(z) @ dX
            z = z + (0.5 * (k + F(z + k) @ dX) if self.heun else k)
            return z, z

        return jnp.concatenate([z0[None], jax.lax.scan(row, z0, jnp.diff(control, axis=0))[1]])

    @property
    def evaluations(self) -> int:
        return 2 if self.heun else 1


class NeuralCDE(AbstractOnline):
    """A hidden state that is driven by what is observed, as it is observed.

    `x` is a [`ctmodels.Series`][] or a [`ctmodels.Record`][]; `ts`, increasing, are the times at which outputs are
    wanted, those of `x` if not given. `ys` is `(out, outputs)`, `latents` is `(out, hidden)`. The same model is all of
    these, by `ts` and the loss:

    - *classification, regression*: `ts=series.end`, as [`ctmodels.losses.cross_entropy`][] does;
    - *online prediction*: at the times of `x`: an output knows what was observed by then, that row included;
    - *forecasting*: at times after the last observation; the state goes on with the time alone as its control;
    - *sequence to sequence*: at any times.

    The control is time, the last value of each channel (zero before its first), and how often each was observed. It
    stands still at rows where nothing was observed: these, and padding, change nothing. Before the first row that was
    seen, outputs are those of a record of which nothing is known but its static features.

    **Arguments:** `channels`, `hidden`, `outputs`: sizes; `static`: how many static features a record has;
    `intensity`: whether the counts are part of the control, for records whose gaps say something (without, the model
    has a limit as rows become dense); `width`, `depth`: of [`ctmodels.fields.MatrixField`][], whose place any
    `F(z) -> (hidden, control)` may take; `solver`: [`ctmodels.IncrementScheme`][] from row to row (causal, and fast),
    or an [`ctmodels.Integrate`][]: dz/dt = F(z) dX/dt along the backward-Hermite cubic through the rows, by any solver,
    from row to row (the recipe of torchcde and diffrax, whose steps go over rows; it looks one row ahead);
    `forecast_solver`: what solves between and after rows, by default in steps of at most 1 unit of time.

    **Good values:** z-scored channels; times such that a series takes about one to ten units; hidden 32, width 64 to
    128; Adam 1e-3 to 1e-2, gradient clipping at 1.
    """

    initial: eqx.nn.MLP
    field: Callable
    readout: eqx.nn.Linear
    solver: IncrementScheme | Integrate
    forecast_solver: Integrate
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
        static: int = 0,
        intensity: bool = True,
        width: int = 64,
        depth: int = 1,
        solver: IncrementScheme | Integrate = IncrementScheme(),
        forecast_solver: Integrate = Integrate(RK4(), Substeps(1, longest=1.0)),
        key: PRNGKeyArray,
    ):
        self.channels, self.static = channels, static
        a, b, c = jax.random.split(key, 3)
        self.initial = eqx.nn.MLP(2 * (channels + static), hidden, width, 1, key=a)
        self.field = MatrixField(hidden, 1 + channels * (1 + intensity), width=width, depth=depth, key=b)
        self.readout = eqx.nn.Linear(hidden, outputs, key=c)
        self.solver, self.forecast_solver, self.intensity = solver, forecast_solver, intensity

    @before(check_reads)
    def __call__(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> Output:
        ts = times_of(x) if ts is None else ts
        rows = ObservedRows.of(x, self.channels, self.static)
        z0 = self.initial(rows.start)
        if isinstance(self.solver, Integrate):
            zs, stats = self._along_the_cubic(rows, z0)
        else:
            zs = self.solver(self.field, z0, rows.control(self.intensity))
            stats = Stats.of_grid(self.solver.evaluations, rows.ts, zs)
        known = StatesAtRows(zs, rows.ts, self.initial(rows.unseen))
        latents, more = predict_at(self._flow, known, ts)
        return Output(jax.vmap(self.readout)(latents), stats + more, latents)

    def init(self, static: Static = None, known: Known = None) -> Memory:
        nothing = jnp.zeros(2 * self.channels)
        start = lambda code: self.initial(jnp.concatenate([nothing, code]))
        return Memory.of_nothing(self.channels, self.static, static, known, start)

    def observe(self, memory: Memory, t: Time, y: Values, mask: Mask = None) -> Memory:
        """By an [`ctmodels.IncrementScheme`][] alone: the cubic looks one row ahead."""
        solver = self.solver
        if isinstance(solver, Integrate):
            raise TypeError("solver: an Integrate goes along a cubic that looks one row ahead; give IncrementScheme()")

        def move(before, row, mask):
            first = before.number == 0
            now = self._control(row)
            last = jnp.where(first, now, self._control(before))
            later = solver(self.field, before.state, jnp.stack([last, now]))[-1]
            start = self.initial(jnp.concatenate([row.ys, row.counts, row.static]))
            return row.moved(jnp.where(first, start, later))

        return observe(memory, t, y, mask, move)

    def predict(self, memory: Memory, ts: Float[Array, " out"]) -> Output:
        latents, stats = predict_by_flow(memory, self._flow, ts)
        return answer(memory, jax.vmap(self.readout)(latents), stats, latents)

    @property
    def _flow(self) -> Callable:
        """After a row: the control's time alone moves on."""
        return flow_of_field(self.forecast_solver, lambda t, z, args: self.field(z)[:, 0])

    def _control(self, row: Memory) -> Float[Array, " control"]:
        return jnp.concatenate([row.t[None].astype(row.ys.dtype), row.ys, *[row.counts] * self.intensity])

    def _along_the_cubic(self, rows: ObservedRows, z0) -> tuple[Float[Array, "time hidden"], Stats]:
        """From row to row: at rows the control has kinks, over which no error estimate of a step holds."""
        X = rows.control(self.intensity)
        path = CubicPath.hermite(Series(rows.ts, X, jnp.ones(X.shape, bool)))
        flow = flow_of_field(self.solver, lambda t, z, args: self.field(z) @ path.derivative(t))  # pyright: ignore

        @jax.checkpoint
        def row(z, edges):
            z, stats = flow(z, *edges)
            return z, (z, stats)

        _, (zs, stats) = jax.lax.scan(row, z0, jnp.stack([rows.ts[:-1], rows.ts[1:]], axis=1))
        return jnp.concatenate([z0[None], zs]), Stats.in_sequence(stats)
