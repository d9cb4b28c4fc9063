"""Encoders of latent models: networks that read a series, most of them from its end.

`(Series or Record, t0) -> code`: the state at the first observation, how far that is from `t0`, and what is known
beforehand. `states(x)`: that at each observation, for posteriors of whole paths. Rows at which nothing was
observed, and padding, change nothing. Rubanova, Chen, Duvenaud (2019).
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels._core._output import SUCCESS
from ctmodels._core._series import Record, Series
from ctmodels._core._times import increasing
from ctmodels._integrate import RK4, Integrate, Substeps
from ctmodels._online import ObservedRows, flow_of_field, observed_first, scan_rows
from ctmodels.fields._fields import MLPField
from ctmodels.paths._paths import HeldPath


class ReverseGRUEncoder(eqx.Module):
    """A gated recurrent unit that reads last values, mask, and how much later the observation was that it read before.

    **Arguments:** `channels`, `hidden`: sizes; `static`: how many static features a record has. `size` is that of the
    code, `hidden + 1 + 2 * static`.
    """

    cell: eqx.nn.GRUCell
    size: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    static: int = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(self, channels: int, hidden: int, *, static: int = 0, key: PRNGKeyArray):
        self.channels, self.static = channels, static
        self.cell = eqx.nn.GRUCell(2 * channels + 1, hidden, key=key)
        self.size = hidden + 1 + 2 * static

    def __call__(self, x: Series | Record, t0: Float[Array, ""]) -> Float[Array, " size"]:
        return self.states(x).code(t0)

    def states(self, x: Series | Record) -> "States":
        """After each row that was seen, and all that follow."""
        rows = reversed_rows(x, self.channels, self.static)
        return States.turned(*read_rows(self.cell, rows), rows)


class GRUEncoder(eqx.Module):
    """As [`ctmodels.ReverseGRUEncoder`][], but it reads in the order of time: what it says of a row knows that row and
    those before it, so that a posterior of this encoder is causal. Its code knows the first row alone.

    **Arguments:** `channels`, `hidden`: sizes; `static`: how many static features a record has. `size` is that of the
    code, `hidden + 1 + 2 * static`.
    """

    cell: eqx.nn.GRUCell
    size: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    static: int = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(self, channels: int, hidden: int, *, static: int = 0, key: PRNGKeyArray):
        self.channels, self.static = channels, static
        self.cell = eqx.nn.GRUCell(2 * channels + 1, hidden, key=key)
        self.size = hidden + 1 + 2 * static

    def __call__(self, x: Series | Record, t0: Float[Array, ""]) -> Float[Array, " size"]:
        return self.states(x).code(t0)

    def states(self, x: Series | Record) -> "States":
        """After each row that was seen, and all before it."""
        rows = ObservedRows.of(x, self.channels, self.static)
        hs, h0 = read_rows(self.cell, rows)
        return States(hs, h0, hs[0], rows.ts, rows.seen, rows.static)


class BidirectionalGRUEncoder(eqx.Module):
    """A [`ctmodels.GRUEncoder`][] and a [`ctmodels.ReverseGRUEncoder`][] side by side: of a row both what came before
    and what follows, itself in both. Its code has both networks' states after all rows.

    **Arguments:** `channels`, `hidden`: sizes, the latter of each of the two; `static`: how many static features a
    record has. `size` is that of the code, `2 * hidden + 1 + 2 * static`.
    """

    forwards: GRUEncoder
    backwards: ReverseGRUEncoder
    size: int = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(self, channels: int, hidden: int, *, static: int = 0, key: PRNGKeyArray):
        a, b = jax.random.split(key)
        self.forwards = GRUEncoder(channels, hidden, static=static, key=a)
        self.backwards = ReverseGRUEncoder(channels, hidden, static=static, key=b)
        self.size = self.forwards.size + hidden

    def __call__(self, x: Series | Record, t0: Float[Array, ""]) -> Float[Array, " size"]:
        return self.states(x).code(t0)

    def states(self, x: Series | Record) -> "States":
        """After each row that was seen, from either side."""
        forth, back = self.forwards.states(x), self.backwards.states(x)
        rows = jnp.arange(forth.seen.shape[0])
        # Rows stand in front of those that repeat the last, and behind those that repeat the first.
        at = jnp.minimum(rows + jnp.sum(~forth.seen), rows[-1])
        beside = lambda a, b: jnp.concatenate([a, b], axis=-1)
        ends = beside(forth.hs[-1], back.hs[0])
        return States(beside(forth.hs, back.hs[at]), beside(forth.h0, back.h0), ends, *forth[3:])


def read_rows(cell: eqx.nn.GRUCell, rows: ObservedRows) -> tuple[Float[Array, "row hidden"], Float[Array, " hidden"]]:
    """The states of a gated recurrent unit after each row, and before any."""
    gaps = jnp.diff(rows.ts, prepend=rows.ts[:1]).astype(rows.ys.dtype)

    def one(h, row):
        y, mask, gap, seen = row
        new = cell(jnp.concatenate([y, mask.astype(y.dtype), gap[None]]), h)
        h = jnp.where(seen, new, h)
        return h, h

    h0 = jnp.zeros(cell.hidden_size, rows.ys.dtype)
    return jax.lax.scan(one, h0, (rows.ys, rows.mask, gaps, rows.seen))[1], h0


class ReverseODERNNEncoder(eqx.Module):
    """As [`ctmodels.ReverseGRUEncoder`][], but between observations its state follows a field of its own, dh/ds = f(h),
    s running backwards: for long and very unequal gaps.

    **Arguments:** `channels`, `hidden`: sizes; `static`: how many static features a record has; `width`, `depth`: of
    the field, whose place any `f(s, h, args)` may take; `integrate`: how it is solved over each gap, by
    default in steps of at most 1 unit of time. `size` is that of the code, `hidden + 1 + 2 * static`. Its evaluations
    are in no statistics.
    """

    cell: eqx.nn.GRUCell
    field: Callable
    integrate: Integrate
    size: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    static: int = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(
        self,
        channels: int,
        hidden: int,
        *,
        static: int = 0,
        width: int = 64,
        depth: int = 1,
        integrate: Integrate = Integrate(RK4(), Substeps(1, longest=1.0)),
        key: PRNGKeyArray,
    ):
        self.channels, self.static = channels, static
        a, b = jax.random.split(key)
        self.cell = eqx.nn.GRUCell(2 * channels, hidden, key=a)
        self.field = MLPField(hidden, width=width, depth=depth, activation=jnp.tanh, key=b)
        self.integrate, self.size = integrate, hidden + 1 + 2 * static

    def __call__(self, x: Series | Record, t0: Float[Array, ""]) -> Float[Array, " size"]:
        return self.states(x).code(t0)

    def states(self, x: Series | Record) -> "States":
        """After each row that was seen."""
        rows = reversed_rows(x, self.channels, self.static)
        jump = lambda h, y, mask: (self.cell(jnp.concatenate([y, mask.astype(y.dtype)]), h), None)
        h0 = jnp.zeros(self.cell.hidden_size, rows.ys.dtype)
        hs, _, stats = scan_rows(flow_of_field(self.integrate, self.field), jump, h0, rows)
        # In no statistics, so that it has to show in what is begun from: what a failed solve holds is finite.
        return States.turned(jnp.where(stats.status == SUCCESS, hs, jnp.nan), h0, rows)


class WindowEncoder(eqx.Module):
    """An MLP of each observation and the few that follow it, and of the gaps between these: no memory, so that what it
    says of a time does not depend on how much is known of later ones, as where a forecast begins from a few rows.

    **Arguments:** `channels`, `hidden`: sizes; `window`: rows that it reads; `static`: how many static features a
    record has; `width`, `depth`: of the MLP. `size` is that of the code, `hidden + 1 + 2 * static`. At the end of a
    series its last row is read again.
    """

    mlp: eqx.nn.MLP
    size: int = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    window: int = eqx.field(static=True)
    static: int = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(
        self,
        channels: int,
        hidden: int,
        *,
        window: int = 3,
        static: int = 0,
        width: int = 64,
        depth: int = 1,
        key: PRNGKeyArray,
    ):
        check_whole("window", window, 1)
        self.channels, self.window, self.static = channels, window, static
        self.mlp = eqx.nn.MLP(window * (2 * channels + 1), hidden, width, depth, jnp.tanh, key=key)
        self.size = hidden + 1 + 2 * static

    def __call__(self, x: Series | Record, t0: Float[Array, ""]) -> Float[Array, " size"]:
        return self.states(x).code(t0)

    def states(self, x: Series | Record) -> "States":
        """Of each row that was seen."""
        rows = reversed_rows(x, self.channels, self.static)
        i = jnp.arange(rows.ts.shape[0])
        last = jnp.maximum(jnp.sum(rows.seen) - 1, 0)
        at = jnp.maximum(
            jnp.minimum(i, last)[:, None] - jnp.arange(self.window)[None], 0
        )  # from later to earlier: backwards
        gaps = (rows.ts[at[:, :1]] - rows.ts[at]).astype(rows.ys.dtype)
        read = jnp.concatenate([rows.ys[at], rows.mask[at].astype(rows.ys.dtype), gaps[..., None]], axis=2)
        hs = jax.vmap(self.mlp)(read.reshape(i.size, -1))
        h0 = jnp.zeros(hs.shape[1], hs.dtype)
        return States.turned(jnp.where(jnp.any(rows.seen), hs, h0[None]), h0, rows)


class States(NamedTuple):
    """What an encoder made of a series: `hs` `(row, hidden)`, its states at the rows that were `seen`, in the order of
    time, among others that repeat the first or the last of them; `h0`, before it read any; `start`: what it says of
    where a path begins; `static`: what is known beforehand."""

    hs: Float[Array, "row hidden"]
    h0: Float[Array, " hidden"]
    start: Float[Array, " hidden"]
    ts: Float[Array, " row"]
    seen: Bool[Array, " row"]
    static: Float[Array, " code"]

    @classmethod
    def turned(cls, hs: Float[Array, "row hidden"], h0: Float[Array, " hidden"], rows: ObservedRows) -> "States":
        """Of rows that were read from the last to the first."""
        return cls(hs[::-1], h0, hs[-1], -rows.ts[::-1], rows.seen[::-1], rows.static)

    def code(self, t0: Float[Array, ""]) -> Float[Array, " size"]:
        """The state of the start, how far after `t0` the first row is, and what is known beforehand; of a series of
        which nothing was seen, the state that it began from and no distance."""
        away = jnp.where(jnp.any(self.seen), self.ts[0] - t0, 0)
        return jnp.concatenate([self.start, away[None].astype(self.hs.dtype), self.static])

    def context(self, t0: Float[Array, ""]) -> HeldPath:
        """At each time what is said of the next row: the state there, its time from `t0` on, and whether there is any,
        1 or 0; `(hidden + 2,)`, held from row to row. Of an encoder that reads from the end: what is still to come."""
        rows = self.hs.shape[0]
        following = jnp.concatenate([self.ts, self.ts[-1:]]) - t0
        there = jnp.any(self.seen) & (jnp.arange(rows + 1) < rows)
        values = [following[:, None], there[:, None]]
        values = [jnp.concatenate([self.hs, self.h0[None]]), *(x.astype(self.hs.dtype) for x in values)]
        return HeldPath(jnp.maximum(jnp.append(t0, self.ts), t0), jnp.concatenate(values, axis=1))


def reversed_rows(x: Series | Record, channels: int, static: int) -> ObservedRows:
    """The rows that were seen, from the last to the first; times become s = -t, which increases."""
    record = x if isinstance(x, Record) else Record(x)
    series = record.series
    at = observed_first(series)[0]
    increasing(series.ts[at], "x.ts", at)  # what is wrong is said of the times as they were given
    turned = Series(-series.ts[::-1], series.ys[::-1], series.mask[::-1])
    return ObservedRows.of(Record(turned, record.static, record.known), channels, static)
