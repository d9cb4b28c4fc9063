"""Encoders of latent models: recurrent networks that read a series from its end.

`(Series or Record, t0) -> code`: the state after the first observation, how far that is from `t0`, and what is known
beforehand. `states(x)`: that after each observation, for posteriors of whole paths. Rows at which nothing was
observed, and padding, change nothing. Rubanova, Chen, Duvenaud (2019).
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

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
        """After each row that was seen."""
        rows = reversed_rows(x, self.channels, self.static)
        gaps = jnp.diff(rows.ts, prepend=rows.ts[:1]).astype(rows.ys.dtype)

        def one(h, row):
            y, mask, gap, seen = row
            new = self.cell(jnp.concatenate([y, mask.astype(y.dtype), gap[None]]), h)
            h = jnp.where(seen, new, h)
            return h, h

        h0 = jnp.zeros(self.cell.hidden_size, rows.ys.dtype)
        return States(jax.lax.scan(one, h0, (rows.ys, rows.mask, gaps, rows.seen))[1], h0, rows)


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
        return States(jnp.where(stats.status == SUCCESS, hs, jnp.nan), h0, rows)


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
        return States(jnp.where(jnp.any(rows.seen), hs, h0[None]), h0, rows)


class States(NamedTuple):
    """What an encoder made of a series: `hs` `(row, hidden)`, its states after each of `rows`, which are those that
    were seen from the last to the first, and then the first again; `h0`, before any."""

    hs: Float[Array, "row hidden"]
    h0: Float[Array, " hidden"]
    rows: ObservedRows

    def code(self, t0: Float[Array, ""]) -> Float[Array, " size"]:
        """The state after all rows, how far after `t0` the first of them is, and what is known beforehand; of a series
        of which nothing was seen, the state that it began from and no distance."""
        away = jnp.where(jnp.any(self.rows.mask), -self.rows.ts[-1] - t0, 0)
        return jnp.concatenate([self.hs[-1], away[None].astype(self.hs.dtype), self.rows.static])

    @property
    def ts(self) -> Float[Array, " row"]:
        """Times of the rows, in order, the first of them again and again in front."""
        return -self.rows.ts[::-1]

    def to_come(self, t0: Float[Array, ""]) -> HeldPath:
        """At each time what is still to come: the state after reading the rows beyond it, the time of the next of them
        from `t0` on, and whether there is any, 1 or 0; `(hidden + 2,)`, held from row to row."""
        rows, ts = self.hs.shape[0], self.ts
        hs = jnp.concatenate([self.hs[-1:], self.hs[-2::-1], self.h0[None]])
        following = jnp.concatenate([ts, ts[-1:]]) - t0
        any_seen = jnp.any(self.rows.mask)
        there = any_seen & (jnp.arange(rows + 1) < rows)
        values = [hs, following[:, None].astype(hs.dtype), there[:, None].astype(hs.dtype)]
        return HeldPath(jnp.maximum(jnp.append(t0, ts), t0), jnp.concatenate(values, axis=1))


def reversed_rows(x: Series | Record, channels: int, static: int) -> ObservedRows:
    """The rows that were seen, from the last to the first; times become s = -t, which increases."""
    record = x if isinstance(x, Record) else Record(x)
    series = record.series
    at = observed_first(series)[0]
    increasing(series.ts[at], "x.ts", at)  # what is wrong is said of the times as they were given
    turned = Series(-series.ts[::-1], series.ys[::-1], series.mask[::-1])
    return ObservedRows.of(Record(turned, record.static, record.known), channels, static)
