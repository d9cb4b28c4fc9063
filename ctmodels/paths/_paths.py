"""Paths: a Series as a function of time, to be the control of a field.

A path is of one series, and a batch is made by `vmap`. `path(t) -> (channel,)`, `path.derivative(t) -> (channel,)`;
`path.ts` are its knots, `path.jumps` those of them at which value or derivative jump (None: there are no such),
`path.causal` whether its value at t needs nothing that is seen after t. Each class says what it looks ahead to.

At a knot the derivative is that of the piece on the left (torchcde's convention); values are continuous, but for
[`ctmodels.paths.HeldPath`][]. No NaN is made: neither by padding nor by what lies under a mask. Adaptive steps have to
be told of jumps:

    controller = diffrax.ClipStepSizeController(diffrax.PIDController(rtol=1e-4, atol=1e-6), jump_ts=path.jumps)
    integrate = ctmodels.Integrate(diffrax.Tsit5(), controller)
"""

from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from ctmodels._core._series import Series
from ctmodels.paths._check import check_knots, check_one, check_values
from ctmodels.paths._interpolation import divided, fill_between, fill_held, hermite, natural, on_line, piece_at

Time = Real[Array, ""]
Knots = Float[Array, "*batch time"]
Values = Float[Array, "*batch time channel"]
Pieces = Float[Array, "*batch time-1 channel"]


class _Lines(eqx.Module):
    """Straight from each knot to the next, constant outside."""

    ts: eqx.AbstractVar[Knots]
    ys: eqx.AbstractVar[Values]

    def __check_init__(self):
        check_knots(self.ts)
        check_values(self.ts, self.ys)

    def __call__(self, t: Time) -> Float[Array, " channel"]:
        return _on_lines(self.ts, self.ys, t)

    def derivative(self, t: Time) -> Float[Array, " channel"]:
        """The slope of the piece that ends at t, or that t is in; zero beyond the ends."""
        return _slope(self.ts, self.ys, t)

    @property
    def jumps(self) -> Knots:
        """The knots: there the derivative jumps."""
        return self.ts


class LinearPath(_Lines):
    """Piecewise linear in time, through `ys` at `ts`, constant outside.

    Looks ahead: one knot, to which the line goes; and, where a channel is missing at the start, to its first
    observation. Made by [`ctmodels.paths.LinearPath.between`][], also to the next observation wherever one is missing.

    The derivative outside is zero, and at `ts[0]` the first piece's. (torchcde goes on along the end pieces.)
    """

    ts: Knots
    ys: Values
    causal: ClassVar[bool] = False

    @classmethod
    def from_series(cls, series: Series) -> "LinearPath":
        """Through one series' observed values, missing ones filled forward: before the first observation, that one;
        zero in a channel without any."""
        check_one(series, "LinearPath.from_series")
        return cls(series.ts, series.fill_forward())

    @classmethod
    def between(cls, series: Series) -> "LinearPath":
        """Through one series' observed values, missing ones on the line between their neighbours (torchcde's): beyond
        the first and the last observation, that one; zero in a channel without any."""
        check_one(series, "LinearPath.between")
        return cls(series.ts, fill_between(series))


class RectilinearPath(_Lines):
    """Time moves while the values stay, then the values move while time stays (torchcde's rectilinear control).

    A function not of time but of an index s in [0, 2 time - 2], as time is a channel: the first. At s = 2 i the path is
    at `(ts[i], ys[i])`, at 2 i + 1 at `(ts[i + 1], ys[i])`; missing values are filled forward. Solve over
    `path.ts[::2]` to have a state at each time. `ts`: the index of the knots; `ys`: time and values there.

    Looks ahead: not at all (of the time between two rows it knows where it ends, once it has ended). What is missing at
    the start is therefore zero until it is observed; torchcde wants the first row complete. After Morrill, Kidger,
    Yang, Lyons, Neural controlled differential equations for online prediction tasks, 2021.
    """

    ts: Knots
    ys: Values
    causal: ClassVar[bool] = True

    @classmethod
    def from_series(cls, series: Series) -> "RectilinearPath":
        """Of one series, with one channel more. Padding adds knots at which nothing moves."""
        check_one(series, "RectilinearPath.from_series")
        held = fill_held(series)
        ts = jnp.repeat(series.ts, 2)[1:, None]
        ys = jnp.concatenate([ts, jnp.repeat(held, 2, axis=0)[:-1]], axis=1)
        return cls(jnp.arange(ts.shape[0], dtype=series.ts.dtype), ys)


class CubicPath(eqx.Module):
    """Piecewise cubic: a + b s + (2c) s^2 / 2 + (3d) s^3 / 3 with s = t - t_i on [t_i, t_{i+1}], once or twice
    continuously differentiable. Outside, the end pieces go on, as torchcde's do: that far only as one would trust a
    cubic.

    `a`, `b`, `two_c`, `three_d`: `(time - 1, channel)`, torchcde's order and factors.

    Looks ahead: [`ctmodels.paths.CubicPath.natural`][] to the whole series, with a weight that falls by about four with
    each knot; [`ctmodels.paths.CubicPath.hermite`][] one knot, and to the next observation wherever one is missing.
    """

    ts: Knots
    a: Pieces
    b: Pieces
    two_c: Pieces
    three_d: Pieces
    causal: ClassVar[bool] = False

    def __check_init__(self):
        check_knots(self.ts)

    @classmethod
    def natural(cls, series: Series) -> "CubicPath":
        """The natural cubic spline through each channel's observed knots: the interpolant of least integrated squared
        second derivative. The times before the first and after the last observation take that one and are knots too
        (torchcde's `natural_cubic_coeffs`); a channel with one observation is constant, one without is zero."""
        check_one(series, "CubicPath.natural")
        return cls(series.ts, *natural(series.ts, series.fill_forward(), series.mask))

    @classmethod
    def hermite(cls, series: Series) -> "CubicPath":
        """Cubic Hermite pieces with backward differences: at a knot the slope is that of the line before it (at the
        first, of the line after). Missing values are filled as by [`ctmodels.paths.LinearPath.between`][] first
        (torchcde's `hermite_cubic_coefficients_with_backward_differences`)."""
        check_one(series, "CubicPath.hermite")
        return cls(series.ts, *hermite(series.ts, fill_between(series)))

    def _at(self, t: Time):
        t = jnp.asarray(t, self.ts.dtype)
        i = piece_at(self.ts, t)
        return t - self.ts[i], self.a[i], self.b[i], self.two_c[i], self.three_d[i]

    def __call__(self, t: Time) -> Float[Array, " channel"]:
        s, a, b, two_c, three_d = self._at(t)
        return a + s * (b + s * (two_c / 2 + s * three_d / 3))

    def derivative(self, t: Time) -> Float[Array, " channel"]:
        """dx/dt of the cubic, continuous."""
        s, _, b, two_c, three_d = self._at(t)
        return b + s * (two_c + s * three_d)

    @property
    def jumps(self) -> None:
        """None: value and derivative are continuous."""
        return None


class HeldPath(eqx.Module):
    """Zero-order hold: from each knot on the value there, up to the next knot (right-continuous); before `ts[0]`, the
    first. The derivative is zero.

    Looks ahead: not at all. What is missing at the start is therefore zero until it is observed.

    The value jumps, and a Runge-Kutta step that ends at a knot takes its last slope there, with the next value (and a
    left-continuous hold would give the step after it the last value, at its first stage): on a fixed grid the error is
    of first order whatever the method, silently. Solve with [`ctmodels.solve_piecewise_constant`][], or with adaptive
    steps that know of `jumps`.
    """

    ts: Knots
    ys: Values
    causal: ClassVar[bool] = True

    def __check_init__(self):
        check_knots(self.ts)
        check_values(self.ts, self.ys)

    @classmethod
    def from_series(cls, series: Series) -> "HeldPath":
        """The last observed value of each channel of one series; zero in a channel without any."""
        check_one(series, "HeldPath.from_series")
        return cls(series.ts, fill_held(series))

    def __call__(self, t: Time) -> Float[Array, " channel"]:
        at = jnp.searchsorted(self.ts, jnp.asarray(t, self.ts.dtype), side="right")
        return self.ys[jnp.clip(at - 1, 0, self.ts.shape[0] - 1)]

    def derivative(self, t: Time) -> Float[Array, " channel"]:
        """Zero between the jumps."""
        return jnp.zeros_like(self.ys[0])

    @property
    def jumps(self) -> Knots:
        """The knots: there the value jumps."""
        return self.ts


def _on_lines(ts: Float[Array, " time"], ys: Float[Array, "time channel"], t: Time) -> Float[Array, " channel"]:
    t = jnp.asarray(t, ts.dtype)
    i = piece_at(ts, t)
    # Not clipped by minimum and maximum, whose derivative on a tie, at the ends, is a half.
    t = jnp.where(t < ts[0], ts[0], jnp.where(t > ts[-1], ts[-1], t))
    return on_line(divided(t - ts[i], ts[i + 1] - ts[i]), ys[i], ys[i + 1])


def _slope(ts: Float[Array, " time"], ys: Float[Array, "time channel"], t: Time) -> Float[Array, " channel"]:
    t = jnp.asarray(t, ts.dtype)
    i = piece_at(ts, t)
    inside = (ts[0] <= t) & (t <= ts[-1])
    return jnp.where(inside, divided(ys[i + 1] - ys[i], ts[i + 1] - ts[i]), 0)
