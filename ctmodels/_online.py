"""Reading a series as it comes in: the control that drives a state, and how the state is carried on between rows.

A row at which nothing was observed is no row: the control stands still there, and the state with it. So padding, and
fully masked rows, change nothing. What is known at a time is what was observed by then.
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from ctmodels._core._output import Stats
from ctmodels._core._series import Record, Series, last_observed
from ctmodels._core._times import increasing
from ctmodels._integrate import Integrate


class ObservedRows(eqx.Module):
    """The rows of one record at which anything was observed, in order; after them the last of these, again and again.

    `ts`: their times, `(row,)`. `ys`: the last value observed of each channel, zero before its first observation.
    `mask`: what was observed; nothing in the rows after. `counts`: how often each channel was, so far. `static`: what
    is known beforehand, zero where it is not, and its mask.
    """

    ts: Float[Array, " row"]
    ys: Float[Array, "row channel"]
    mask: Bool[Array, "row channel"]
    counts: Float[Array, "row channel"]
    static: Float[Array, " code"]

    @classmethod
    def of(cls, x: Series | Record, channels: int, static: int) -> "ObservedRows":
        record = x if isinstance(x, Record) else Record(x)
        _check(record, channels, static)
        rows = max(record.series.ts.shape[0], 2)  # there is a way from one row to the next, of length zero if need be
        series, i = record.series.pad(rows), jnp.arange(rows)
        at, number = observed_first(series)
        mask = series.mask[at] & (i < number)[:, None]
        last = last_observed(mask)
        clean = jnp.where(mask, series.ys[at], 0)  # whatever lies under the mask
        ys = jnp.where(last < 0, 0, jnp.take_along_axis(clean, jnp.maximum(last, 0), axis=0))
        return cls(
            increasing(series.ts[at], "x.ts", at),
            ys,
            mask,
            jnp.cumsum(mask, axis=0, dtype=ys.dtype),
            record.code(ys.dtype),
        )

    def control(self, intensity: bool) -> Float[Array, "row control"]:
        """Time and values side by side, and with `intensity` how often each channel was observed."""
        parts = [self.ts.astype(self.ys.dtype)[:, None], self.ys] + [self.counts] * intensity
        return jnp.concatenate(parts, axis=1)

    @property
    def start(self) -> Float[Array, " code"]:
        """What the state begins from: values and mask of the first row, and what is known beforehand."""
        return jnp.concatenate([self.ys[0], self.counts[0], self.static])

    @property
    def unseen(self) -> Float[Array, " code"]:
        """The same, before anything was seen."""
        return jnp.concatenate([jnp.zeros(2 * self.ys.shape[1], self.ys.dtype), self.static])

    @property
    def seen(self) -> Bool[Array, " row"]:
        """Which are rows, and not the last one repeated."""
        return jnp.any(self.mask, axis=1)


def observed_first(series: Series) -> tuple[Int[Array, " row"], Int[Array, ""]]:
    """Indices of the rows at which anything was observed, then of the last of these again and again; their number."""
    seen = jnp.any(series.mask, axis=1)
    order, number = jnp.argsort(~seen, stable=True), jnp.sum(seen)
    return order[jnp.minimum(jnp.arange(seen.shape[0]), jnp.maximum(number - 1, 0))], number


def _check(record: Record, channels: int, static: int) -> None:
    """Refuse what a model was not made for; of a batch, and of channels in another number, something would come out."""
    series, features = record.series, 0 if record.static is None else record.static.shape[-1]
    if not isinstance(series, Series):
        raise ValueError(f"x is a {type(series).__name__}: the model reads a ctmodels.Series or a Record of one")
    if series.ts.ndim != 1:
        raise ValueError(
            f"x has times of shape {series.ts.shape}: the model reads one series, of times (time,); for a batch, "
            "jax.vmap it"
        )
    if (series.ys.shape[1], features) != (channels, static):
        raise ValueError(
            f"x has {series.ys.shape[1]} channels and {features} static features: the model was made with "
            f"channels={channels} and static={static}"
        )


def times_of(x: Series | Record) -> Float[Array, " time"]:
    """Of all rows, seen or not: where a model answers if it is not told."""
    return x.series.ts if isinstance(x, Record) else x.ts


def start_time(x: Series | Record, t0: float | None) -> Float[Array, ""]:
    """At which a latent path begins: `t0`, or that of the first row that was seen."""
    series = x.series if isinstance(x, Record) else x
    return series.start[0] if t0 is None else jnp.asarray(t0, series.ts.dtype)


class StatesAtRows(NamedTuple):
    """Where a state is known: states and times of rows, the last of them repeated, and the state before any of them."""

    zs: Float[Array, "row state"]
    ts: Float[Array, " row"]
    before: Float[Array, " state"]


def predict_at(flow: Callable, known: StatesAtRows, ts: Float[Array, " out"]) -> tuple:
    """States at `ts`: that of the last row by then, carried on by `flow(z, t0, t1) -> (z, stats)` from there, or from
    the output before if no row came between. Outputs change nothing for the rows, and none sees what comes later.

    **Returns:** `(out, state)`, and the statistics of the flow.
    """

    def one(carry, query):
        z, t, base = carry
        at, now = query
        new, i = at != base, jnp.maximum(at, 0)
        t = jnp.where(at < 0, now, jnp.where(new, known.ts[i], t))
        z, stats = flow(jnp.where(new, known.zs[i], z), t, now)
        return (z, now, at), (z, stats)

    # Where the rows' times are bad, there are no answers, before the first of them either.
    ts = jnp.where(jnp.isfinite(known.ts[0]), increasing(ts, "ts"), jnp.nan)
    with jax.numpy_dtype_promotion("standard"):
        dtype = jnp.promote_types(ts.dtype, known.ts.dtype)
    ts, known = ts.astype(dtype), known._replace(ts=known.ts.astype(dtype))
    row = jnp.searchsorted(known.ts, ts, side="right") - 1
    zs, stats = jax.lax.scan(one, (known.before, ts[0], jnp.full_like(row[0], -1)), (row, ts))[1]
    return zs, Stats.in_sequence(stats)


def flow_of_field(integrate: Integrate, field: Callable) -> Callable:
    """`flow(z, t0, t1) -> (z, stats)` of dz/dt = field(t, z, args)."""

    def flow(z, t0, t1):
        zs, stats = integrate(field, jnp.stack([t0, t1]), z)
        return zs[-1], stats

    return flow


def scan_rows(flow: Callable, jump: Callable, h: Float[Array, " state"], rows: ObservedRows) -> tuple:
    """From row to row: `flow(h, t0, t1) -> (h, stats)` over the gap, then `jump(h, y, mask) -> (h, said)` at what was
    observed, y being the last value of each channel. What is said is kept of each row, the last one repeated included.

    **Returns:** the states after each row, `(row, state)`, what was said, and the statistics of the flow.
    """

    @jax.checkpoint
    def one(carry, row):
        h, before = carry
        t, y, mask, seen = row
        moved, stats = flow(h, before, t)
        jumped, emitted = jump(moved, y, mask)
        h = jnp.where(seen, jumped, h)
        return (h, t), (h, emitted, stats)

    _, (hs, emitted, stats) = jax.lax.scan(one, (h, rows.ts[0]), (rows.ts, rows.ys, rows.mask, rows.seen))
    return hs, emitted, Stats.in_sequence(stats)
