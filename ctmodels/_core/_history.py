"""States that remember the past: the last outputs first, and whatever else."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

from ctmodels._core._model import AbstractDynamics
from ctmodels._core._series import Series


def history_of(
    ys: Float[Array, " channel"], slopes: Float[Array, " channel"] | None, rows: int, dt: float
) -> Float[Array, " state"]:
    """The last `rows` outputs, newest first, of what has always been `ys`, or has moved there by `slopes`."""
    if slopes is None:
        return jnp.tile(ys, rows)
    ago = dt * jnp.arange(rows, dtype=ys.dtype)
    return (ys[None] - ago[:, None] * slopes[None]).reshape(-1)


def ends_of(control: PyTree, t: Float[Array, ""], dt: float) -> Float[Array, " input"]:
    """What drives a step from t on: the control's values at its beginning and at its end, so that a map may make of
    them what was held, or went on a line."""
    if control is None:
        raise ValueError("control: none is given, and the model has inputs: its x is Driven(y0, control)")
    return jnp.concatenate([control(t), control(t + jnp.asarray(dt, t.dtype))])


def pushed(z: Float[Array, " state"], newest: Float[Array, " channel"]) -> Float[Array, " state"]:
    """A history with one more output, the oldest forgotten."""
    return jnp.concatenate([newest, z])[: z.shape[0]]


def overheard(
    z: Float[Array, " state"], y: Float[Array, " channel"], mask: Bool[Array, " channel"]
) -> Float[Array, " state"]:
    """A state whose newest output is what was observed; where nothing was, it stays as foretold."""
    channels = y.shape[0]
    return jnp.concatenate([jnp.where(mask, y, z[:channels]), z[channels:]])


def listen_by_steps(
    dynamics: AbstractDynamics, z0: Float[Array, " state"], series: Series, control: PyTree
) -> Float[Array, "time state"]:
    """The state after each row, from `z0` before the first: it flows to the row, and hears what was observed there.
    A state of which anything is not known is NaN."""

    def hear(carry, row):
        t0, z = carry
        t, y, mask = row
        z = overheard(dynamics.flow(t0, t, z, control)[0], y, mask)
        return (t, z), z

    _, zs = jax.lax.scan(hear, (series.ts[0], z0), (series.ts, series.ys, series.mask))
    return jnp.where(jnp.all(jnp.isfinite(zs), axis=1, keepdims=True), zs, jnp.nan)
