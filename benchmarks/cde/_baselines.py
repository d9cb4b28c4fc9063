"""Recurrent networks without continuous time, to compare with: GRU-dt and GRU-D (Che et al. 2018).

Both read a record row by row, as our models do, and answer at any time: at one between or after rows they are given a
row there at which nothing was observed.
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

import ctmodels as ct
from ctmodels._online import ObservedRows, StatesAtRows, predict_at, times_of


class Row(NamedTuple):
    """`y`: the last value of each channel; `mask`: which are seen now; `since`: how long ago the others were; `dt`:
    since the row before."""

    y: Float[Array, " channel"]
    mask: Float[Array, " channel"]
    since: Float[Array, " channel"]
    dt: Float[Array, ""]
    static: Float[Array, " code"]


class Recurrent(eqx.Module):
    """`x`, `ts` and outputs are those of [`ctmodels.ODERNN`][]."""

    step: eqx.Module
    readout: eqx.nn.Linear
    hidden: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    static: int = eqx.field(static=True)

    @classmethod
    def gru_dt(cls, channels: int, hidden: int, outputs: int, *, static: int = 0, key) -> "Recurrent":
        a, b = jax.random.split(key)
        sizes = hidden, channels, static
        return cls(GRUdt(channels, hidden, static, a), eqx.nn.Linear(hidden, outputs, key=b), *sizes)

    @classmethod
    def gru_d(cls, channels: int, hidden: int, outputs: int, *, static: int = 0, key) -> "Recurrent":
        a, b = jax.random.split(key)
        sizes = hidden, channels, static
        return cls(GRUD(channels, hidden, static, a), eqx.nn.Linear(hidden, outputs, key=b), *sizes)

    def __call__(self, x, ts=None, *, key=None) -> ct.Output:
        ts = times_of(x) if ts is None else ts
        read = ObservedRows.of(x, self.channels, self.static)
        dtype, channels = read.ys.dtype, read.ys.shape[1]
        last = seen_last(read)

        def one(h, row):
            y, mask, since, dt, seen = row
            new = self.step(h, Row(y, mask.astype(dtype), since, dt, read.static))
            return (h := jnp.where(seen, new, h)), h

        dts = jnp.diff(read.ts, prepend=read.ts[:1])
        before = jnp.concatenate([last[:1], last[:-1]])  # since when the value was known as this row came
        rows = read.ys, read.mask, read.ts[:, None] - before, dts, read.seen
        nothing = jnp.zeros(self.hidden, dtype)
        _, hs = jax.lax.scan(one, nothing, rows)

        def flow(z, t0, t1):
            h, y, known = jnp.split(z, [self.hidden, self.hidden + channels])
            new = self.step(h, Row(y, jnp.zeros(channels, dtype), t1 - known, t1 - t0, read.static))
            moved = jnp.where(t1 > t0, jnp.concatenate([new, y, known]), z)
            return moved, ct.Stats.of_grid(0, jnp.stack([t0, t1]), jnp.stack([z, moved]))

        zs = jnp.concatenate([hs, read.ys, last], axis=1)
        start = jnp.concatenate([nothing, jnp.zeros(channels, dtype), jnp.broadcast_to(ts[0], channels)])
        latents, stats = predict_at(flow, StatesAtRows(zs, read.ts, start), ts)
        states = latents[:, : self.hidden]
        return ct.Output(jax.vmap(self.readout)(states), stats, states)


def seen_last(read: ObservedRows) -> Float[Array, "row channel"]:
    """When each channel was observed last, that row included; before its first observation, when the record began."""
    return jax.lax.cummax(jnp.where(read.mask, read.ts[:, None], read.ts[0]), axis=0)


class GRUdt(eqx.Module):
    """A gated recurrent unit that gets last values, mask, and the time since the row before."""

    cell: eqx.nn.GRUCell

    def __init__(self, channels: int, hidden: int, static: int, key):
        self.cell = eqx.nn.GRUCell(2 * channels + 1 + 2 * static, hidden, key=key)

    def __call__(self, h, row: Row):
        return self.cell(jnp.concatenate([row.y, row.mask, row.dt[None], row.static]), h)


class GRUD(eqx.Module):
    """Values decay to their mean (zero, of z-scored channels) with the time since they were seen, and so does the
    state: gamma = exp(-max(0, W since + b)), W diagonal for the values."""

    cell: eqx.nn.GRUCell
    of_values: Float[Array, "two channel"]
    of_state: eqx.nn.Linear

    def __init__(self, channels: int, hidden: int, static: int, key):
        a, b = jax.random.split(key)
        self.cell = eqx.nn.GRUCell(2 * channels + 2 * static, hidden, key=a)
        self.of_values = jnp.stack([jnp.ones(channels), jnp.zeros(channels)])
        self.of_state = eqx.nn.Linear(channels, hidden, key=b)

    def __call__(self, h, row: Row):
        w, b = self.of_values
        kept = jnp.exp(-jax.nn.relu(w * row.since + b))
        values = row.mask * row.y + (1 - row.mask) * kept * row.y
        h = h * jnp.exp(-jax.nn.relu(self.of_state(row.since)))
        return self.cell(jnp.concatenate([values, row.mask, row.static]), h)
