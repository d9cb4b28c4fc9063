"""A stack of state-space layers that reads a series as it was sampled: rows at any times, and values missing.

The layers are in `ctmodels/layers/`, the recurrences that they make in `ctmodels/ssm/`.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, replaced
from ctmodels._core._model import AbstractOnline
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_reads
from ctmodels._core._series import Record, Series
from ctmodels._core._times import evenly_spaced, increasing
from ctmodels._memory import Known, Mask, Memory, Static, Time, Values, answer, from_now_on, observe
from ctmodels._online import ObservedRows, times_of
from ctmodels._stack import Stack
from ctmodels.layers._s5 import S5


class StateSpace(AbstractOnline):
    r"""Layers whose states carry the past over gaps of any length, and between them maps of each row's features.

    `x` is a [`ctmodels.Series`][] or a [`ctmodels.Record`][]; `ts`, increasing, are the times at which outputs are
    wanted, those of `x` if not given. `ys` is `(out, outputs)`, `latents` is `(out, features)`. The same model is all
    of these, by `ts` and the loss:

    - *classification, regression*: `ts=series.end`, as [`ctmodels.losses.cross_entropy`][] does, with `pooled` or
      without;
    - *online prediction, sequence to sequence*: at the times of `x`: an output knows what was observed by then, that
      row included;
    - *forecasting*: at times after the last observation; each layer's input is held there.

    Each row is read as the last value of each channel (zero before its first) and what was observed. Rows at which
    nothing was observed, and padding, change nothing. A key drops features, where there is `dropout`.

    **Arguments:** `channels`, `outputs`: sizes; `layer`: `(features, key=key) -> layer`, one of
    [`ctmodels.layers`](state-space.md) or a `functools.partial` of it; `features`, `depth`, `glu`, `dropout`,
    `norm_first`: of the stack; `encoder`: `(inputs, features, key=key) -> map` of what is read of a row, a linear one
    by default (of images, another); `static`: how many static features a record has, which are read with each row;
    `pooled`: whether an output is of the mean of the features over all rows by then, else of those there; `scale`: the
    time that is a gap of one to a layer; `first`: the gap before the first row, in that unit (with a `spacing` it is
    that); `spacing`: for rows that are all so far apart and all observed, so that the whole is a convolution (Fourier
    transforms): then an output is that of the last row by then, and what is not so spaced is refused.

    A model that was trained with a spacing answers at irregular times, and row by row, without it,
    `model.with_spacing(None)`; and at another rate with another one.

    **Good values:** z-scored channels; `scale` the median gap; features 64, depth 4; AdamW, 1e-3 to 4e-3 with warm-up
    and a cosine, and 1e-3 without weight decay for poles and steps, which [`ctmodels.layers.label`][] tells apart.
    Dropout 0.1 to 0.2 where data are few.
    """

    stack: Stack
    readout: eqx.nn.Linear
    channels: int = eqx.field(static=True)
    static: int = eqx.field(static=True)
    pooled: bool = eqx.field(static=True)
    scale: float = eqx.field(static=True)
    first: float = eqx.field(static=True)
    spacing: float | None = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(
        self,
        channels: int,
        outputs: int,
        *,
        layer: Callable = S5,
        features: int = 64,
        depth: int = 4,
        static: int = 0,
        glu: bool = True,
        dropout: float = 0.0,
        norm_first: bool = True,
        encoder: Callable = eqx.nn.Linear,
        pooled: bool = False,
        scale: float = 1.0,
        first: float = 1.0,
        spacing: float | None = None,
        key: PRNGKeyArray,
    ):
        _check_times(scale, first, spacing)
        a, b = jax.random.split(key)
        blocks = dict[str, Any](glu=glu, dropout=dropout, norm_first=norm_first, encoder=encoder)
        self.stack = Stack(2 * (channels + static), features, depth, layer, **blocks, key=a)
        self.readout = eqx.nn.Linear(features, outputs, key=b)
        self.channels, self.static, self.pooled = channels, static, pooled
        self.scale, self.first, self.spacing = scale, first, spacing

    @before(check_reads)
    def __call__(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> Output:
        rows = ObservedRows.of(x, self.channels, self.static)
        ts = increasing(times_of(x) if ts is None else ts, "ts")
        asked = _Asked.of(rows, ts, self.scale)
        xs = jax.vmap(self._input, in_axes=(0, 0, None))(rows.ys, rows.mask, rows.static)
        row_ts = self._row_times(rows)
        gaps = self._gaps(row_ts, rows)
        nothing = self._nothing(rows.static)
        if self.spacing is None and not self.pooled:
            hs, latents = self._branch_off(xs, gaps, asked, nothing, key)
        else:
            hs = self._at_rows(xs, gaps, key)
            before = self.stack.after(self.stack.start(), nothing, jnp.zeros_like(gaps[0]))
            latents = (_mean_held if self.pooled else _held)(hs, before, asked)
        # Where the rows' times are bad there are no answers, before the first of them either.
        latents = jnp.where((jnp.isfinite(ts) & jnp.isfinite(row_ts[-1]))[:, None], latents, jnp.nan)
        stats = Stats.of_grid(1, row_ts, hs) + Stats.of_grid(0, ts[-1:], latents[-1:])
        return Output(jax.vmap(self.readout)(latents), stats, latents)

    def init(self, static: Static = None, known: Known = None) -> Memory:
        start = self.stack.start()

        def state(code):
            nothing = self._nothing(code)
            before = self.stack.after(start, nothing, jnp.zeros((), code.dtype))
            return start, nothing, before if self.pooled else None

        return Memory.of_nothing(self.channels, self.static, static, known, state)

    def observe(self, memory: Memory, t: Time, y: Values, mask: Mask = None) -> Memory:
        def move(before, row, mask):
            states, _, mean = before.state
            gap = jnp.where(before.number == 0, self._first, (row.t - before.t) / self.scale)
            x = self._input(row.ys, mask, row.static)
            states, h = self.stack.step(states, x, gap.astype(x.dtype))
            if self.pooled:
                mean = jnp.where(before.number == 0, h, mean + (h - mean) / row.number.astype(h.dtype))
            return row.moved((states, x, mean))

        return observe(memory, t, y, mask, move)

    def predict(self, memory: Memory, ts: Float[Array, " out"]) -> Output:
        ts, (states, x, mean) = from_now_on(memory, ts), memory.state
        still = (memory.number == 0) | (self.spacing is not None)
        gaps = jnp.where(still, 0, (ts - memory.t.astype(ts.dtype)) / self.scale).astype(x.dtype)
        if self.pooled:
            latents = jnp.broadcast_to(mean, (ts.shape[0], mean.shape[0]))
        else:
            latents = jax.vmap(self.stack.after, in_axes=(None, None, 0))(states, x, gaps)
        latents = jnp.where(jnp.isfinite(ts)[:, None], latents, jnp.nan)
        stats = Stats.of_grid(0, ts[-1:], latents[-1:])
        return answer(memory, jax.vmap(self.readout)(latents), stats, latents)

    def with_spacing(self, spacing: float | None) -> "StateSpace":
        """The same model for rows that are so far apart, or, with None, at any times."""
        _check_times(self.scale, self.first, spacing)
        return replaced(self, spacing=spacing)

    def _at_rows(self, xs, gaps, key) -> Float[Array, "row feature"]:
        if self.spacing is None:
            return self.stack.scan(self.stack.start(), xs, gaps, every=False, key=key)[1]
        hs = self.stack.convolve(xs, jnp.asarray(self.spacing / self.scale, xs.dtype), key=key)
        return jnp.where(jnp.isfinite(gaps[-1]), hs, jnp.nan)

    def _branch_off(self, xs, gaps, asked: "_Asked", nothing, key) -> tuple:
        """Features at rows, and those asked for: of the state at the last row by then, carried on from there."""
        start, once = self.stack.start(), asked.at.shape[0] == 1
        if once:  # rows after it are as if they were not there, and no state is kept but the last
            gaps = jnp.where(jnp.arange(gaps.shape[0]) <= asked.at[0], gaps, 0)
        states, hs = self.stack.scan(start, xs, gaps, every=not once, key=key)
        if once:
            states = jax.tree.map(lambda a: a[None], states)
        else:
            states = jax.tree.map(lambda a, b: jnp.concatenate([a[None], b])[asked.at + 1], start, states)
        held = jnp.concatenate([nothing[None], xs])[asked.at + 1]
        return hs, jax.vmap(self.stack.after)(states, held, asked.since.astype(xs.dtype))

    @property
    def _first(self) -> float:
        """The gap before the first row: of a convolution that of all rows."""
        return self.first if self.spacing is None else self.spacing / self.scale

    def _input(self, y, mask, static) -> Float[Array, " input"]:
        return jnp.concatenate([y, mask.astype(y.dtype), static])

    def _nothing(self, static) -> Float[Array, " input"]:
        return jnp.concatenate([jnp.zeros(2 * self.channels, static.dtype), static])

    def _row_times(self, rows: ObservedRows) -> Float[Array, " row"]:
        if self.spacing is None:
            return rows.ts
        return evenly_spaced(rows.ts, self.spacing, jnp.sum(rows.seen), "x.ts")

    def _gaps(self, ts: Float[Array, " row"], rows: ObservedRows) -> Float[Array, " row"]:
        """Before each row, in units of `scale`; none before the last row repeated."""
        gaps = jnp.diff(ts, prepend=ts[:1]) / self.scale
        first = jnp.where(rows.seen[0], self._first, 0) + 0 * ts[0]
        return gaps.at[0].set(first.astype(gaps.dtype)).astype(rows.ys.dtype)


class _Asked(NamedTuple):
    """`at`: the last row that was seen by each time, -1 before the first; `since`: how long ago that was."""

    at: Int[Array, " out"]
    since: Float[Array, " out"]

    @classmethod
    def of(cls, rows: ObservedRows, ts: Float[Array, " out"], scale: float) -> "_Asked":
        with jax.numpy_dtype_promotion("standard"):
            at = jnp.searchsorted(rows.ts, ts, side="right") - 1
            at = jnp.minimum(at, jnp.sum(rows.seen) - 1)
            since = (ts - rows.ts[jnp.maximum(at, 0)]) / scale
        return cls(at, jnp.where(at < 0, jnp.where(jnp.isfinite(since), 0, jnp.nan), since))


def _held(hs: Float[Array, "row feature"], before: Float[Array, " feature"], asked: _Asked):
    return jnp.concatenate([before[None], hs])[asked.at + 1]


def _mean_held(hs: Float[Array, "row feature"], before: Float[Array, " feature"], asked: "_Asked"):
    """The mean of all rows by then. Where one is asked for it is one sum: running ones cost ten times that on a CPU."""
    if asked.at.shape[0] > 1:
        count = jnp.arange(1, hs.shape[0] + 1, dtype=hs.dtype)
        return _held(jnp.cumsum(hs, axis=0) / count[:, None], before, asked)
    last = asked.at[0]
    total = jnp.sum(jnp.where((jnp.arange(hs.shape[0]) <= last)[:, None], hs, 0), axis=0)
    return jnp.where(last < 0, before, total / jnp.maximum(last + 1, 1).astype(hs.dtype))[None]


def _check_times(scale: float, first: float, spacing: float | None) -> None:
    for name, value in (("scale", scale), ("spacing", spacing)):
        if value is not None and not 0 < value < float("inf"):
            raise ValueError(f"{name}={value}: a time above zero, such as the median gap between rows")
    if not 0 <= first < float("inf"):
        raise ValueError(f"first={first}: the gap before the first row, in units of scale: 1, or another from 0 on")
