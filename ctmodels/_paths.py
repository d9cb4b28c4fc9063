"""Paths: a Series as a function of time, to be the control of a field."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, Real

from ctmodels._series import Series


class LinearPath(eqx.Module):
    """Piecewise linear in time through `ys`, constant outside; missing values are filled forward.

    `path(t) -> (channel,)`. Filling forward is causal, the line between two knots is not: it looks one
    knot ahead.
    """

    ts: Float[Array, "*batch time"]
    ys: Float[Array, "*batch time channel"]

    @classmethod
    def from_series(cls, series: Series) -> "LinearPath":
        """The path through one series' observed values."""
        return cls(series.ts, series.fill_forward())

    def __call__(self, t: Real[Array, ""]) -> Float[Array, " channel"]:
        i = jnp.clip(jnp.searchsorted(self.ts, t, side="right") - 1, 0, self.ts.shape[0] - 2)
        width = self.ts[i + 1] - self.ts[i]
        # A padded step has width zero: guarded, so that its gradient is zero and not NaN.
        s = jnp.clip((t - self.ts[i]) / jnp.where(width > 0, width, 1), 0, 1)
        return self.ys[i] + s * (self.ys[i + 1] - self.ys[i])
