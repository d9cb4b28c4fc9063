"""Encoders of the latent ODE: recurrent networks that read a series from its end.

`(Series or Record, t0) -> code`: the state after the first observation, how far that is from `t0`, and what is known
beforehand. Rows at which nothing was observed, and padding, change nothing. Rubanova, Chen, Duvenaud (2019).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key
from ctmodels._core._output import SUCCESS
from ctmodels._core._series import Record, Series
from ctmodels._core._times import increasing
from ctmodels._integrate import RK4, Integrate, Substeps
from ctmodels._online import ObservedRows, flow_of_field, observed_first, scan_rows
from ctmodels.fields._fields import MLPField


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
        rows = reversed_rows(x, self.channels, self.static)
        gaps = jnp.diff(rows.ts, prepend=rows.ts[:1]).astype(rows.ys.dtype)

        def one(h, row):
            y, mask, gap, seen = row
            new = self.cell(jnp.concatenate([y, mask.astype(y.dtype), gap[None]]), h)
            return jnp.where(seen, new, h), None

        h0 = jnp.zeros(self.cell.hidden_size, rows.ys.dtype)
        return encode(jax.lax.scan(one, h0, (rows.ys, rows.mask, gaps, rows.seen))[0], rows, t0)


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
        rows = reversed_rows(x, self.channels, self.static)
        jump = lambda h, y, mask: (self.cell(jnp.concatenate([y, mask.astype(y.dtype)]), h), None)
        h0 = jnp.zeros(self.cell.hidden_size, rows.ys.dtype)
        hs, _, stats = scan_rows(flow_of_field(self.integrate, self.field), jump, h0, rows)
        # In no statistics, so that it has to show in what is begun from: what a failed solve holds is finite.
        return encode(jnp.where(stats.status == SUCCESS, hs[-1], jnp.nan), rows, t0)


def reversed_rows(x: Series | Record, channels: int, static: int) -> ObservedRows:
    """The rows that were seen, from the last to the first; times become s = -t, which increases."""
    record = x if isinstance(x, Record) else Record(x)
    series = record.series
    at = observed_first(series)[0]
    increasing(series.ts[at], "x.ts", at)  # what is wrong is said of the times as they were given
    turned = Series(-series.ts[::-1], series.ys[::-1], series.mask[::-1])
    return ObservedRows.of(Record(turned, record.static, record.known), channels, static)


def encode(h: Float[Array, " hidden"], rows: ObservedRows, t0: Float[Array, ""]) -> Float[Array, " size"]:
    """The code: of a series of which nothing was seen, the state that it began from and no distance."""
    away = jnp.where(jnp.any(rows.mask), -rows.ts[-1] - t0, 0)
    return jnp.concatenate([h, away[None].astype(h.dtype), rows.static])
