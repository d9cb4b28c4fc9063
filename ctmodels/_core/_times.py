"""Times in order, on the host and in compiled code."""

import jax
import jax.core
import jax.numpy as jnp
import numpy as np


def increasing(ts, name: str, rows=None):
    """Times of rows: refused if they are known not to increase, repeats allowed. Where that shows only in compiled code
    all of them become NaN, so that what is solved between them fails with a status. `rows`: which of a whole they are.
    """
    known = None if isinstance(ts, jax.core.Tracer) else np.asarray(ts)
    if known is None:
        return jnp.where(jnp.all(jnp.isfinite(ts)) & jnp.all(jnp.diff(ts) >= 0), ts, jnp.nan)
    rows = np.arange(known.shape[0]) if rows is None else np.asarray(rows)
    bad = np.flatnonzero(~np.isfinite(known))
    if bad.size:
        raise ValueError(f"{name}[{rows[bad[0]]}] is {known[bad[0]]}: times must be finite; drop or mask that row")
    back = np.flatnonzero(np.diff(known) < 0)
    if back.size:
        i = int(back[0]) + 1
        raise ValueError(f"{name}[{rows[i]}] is {known[i]:g} after {known[i - 1]:g}: times increase; sort them")
    return ts


def times_from(t0, ts):
    """`t0`, and the times that are asked for, those before `t0` being moved there; refused as above."""
    ts = increasing(ts, "ts")
    t0 = t0.astype(ts.dtype)
    return jnp.concatenate([t0[None], jnp.maximum(ts, t0)])


def evenly_spaced(ts, spacing: float, number, name: str):
    """Times of which the first `number` are to be so far apart, to a thousandth; else refused, or NaN, as above."""
    off = jnp.abs(jnp.diff(ts) - spacing) > 1e-3 * spacing
    off = off & (jnp.arange(1, ts.shape[0]) < number)
    if isinstance(off, jax.core.Tracer):
        return jnp.where(jnp.any(off), jnp.nan, ts)
    if off.any():
        i = int(np.argmax(off)) + 1
        raise ValueError(
            f"{name}: row {i} of those that were seen is {float(ts[i] - ts[i - 1]):g} after the one before: the model "
            f"has spacing={spacing:g}, for rows that are all so far apart; give spacing=None, or fill the rows in"
        )
    return ts
