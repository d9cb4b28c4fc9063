"""What windows are given besides their series, checked where it comes in: starts and a control.

Values are looked at where they are known, which under `jit` and `vmap` they are not.
"""

import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels._core._series import Series


def known(x) -> np.ndarray | None:
    return None if isinstance(x, jax.core.Tracer) else np.asarray(x)


def check_one(series: Series, name: str) -> None:
    """Refuse what is no series, or several."""
    if not isinstance(series, Series):
        raise ValueError(f"{name} is a {type(series).__name__}: windows are cut from a ctmodels.Series")
    if series.ts.ndim != 1:
        raise ValueError(
            f"{name} has times of shape {series.ts.shape}: windows are cut from one series, of times (time,); make "
            "them of each"
        )


def checked_starts(starts, series: Series, at: np.ndarray) -> tuple[Float[Array, "time state"], np.ndarray]:
    """The starts, and of the samples `at` which windows begin those at which one is known."""
    shape, rows = np.shape(starts), series.ts.shape[0]
    if len(shape) != 2 or shape[0] != rows:
        raise ValueError(
            f"starts has shape {shape}: windows of a series of {rows} times take a state for each of them, "
            f"({rows}, state), not for each window"
        )
    if not jnp.issubdtype(jnp.result_type(starts), jnp.floating):
        raise ValueError(f"starts has dtype {jnp.result_type(starts)}: states are floating point numbers")
    values = known(starts)
    if values is None:
        return starts, at
    _refuse_unobserved(values, series, at)
    there = np.isfinite(values[at]).all(axis=1)
    if not there.any():
        raise ValueError(
            f"starts: none of the {len(at)} windows begins at a state that is known (all have NaN or infinity): give "
            "series.fill_forward(), smoothed states (ctmodels.smoothing.smooth), or None for free starts"
        )
    return jnp.asarray(starts), at[there]


def _refuse_unobserved(values: np.ndarray, series: Series, at: np.ndarray) -> None:
    """Refuse the series' own values for starts where nothing was observed: they are zero there."""
    ys, mask = known(series.ys), known(series.mask)
    if ys is None or mask is None or values.shape[1] < ys.shape[1]:
        return
    bad = np.argwhere(~mask[at])
    if len(bad) and np.array_equal(values[:, : ys.shape[1]], ys):
        row, channel = int(at[bad[0, 0]]), int(bad[0, 1])
        raise ValueError(
            f"starts[{row}, {channel}] is {values[row, channel]:g}, where nothing was observed, and so for "
            f"{len(np.unique(bad[:, 0]))} of {len(at)} windows: give series.to_nan(), which leaves these windows out, "
            "series.fill_forward(), smoothed states (ctmodels.smoothing.smooth), or None for free starts"
        )


def filled_control(control: Series, series: Series) -> Series:
    """The control, missing values filled forward before it is cut: a window begins with the last value before it."""
    check_one(control, "control")
    if control.ts.shape != series.ts.shape:
        raise ValueError(
            f"control has {control.ts.shape[0]} times and the series {series.ts.shape[0]}: give it on the times of the "
            "series"
        )
    times, own = known(series.ts), known(control.ts)
    if times is not None and own is not None and not np.array_equal(times, own):
        i = int(np.flatnonzero(times != own)[0])
        raise ValueError(
            f"control.ts[{i}] is {own[i]:g} and series.ts[{i}] is {times[i]:g}: give the control on the times of the "
            "series"
        )
    mask = known(control.mask)
    if mask is not None and not mask.any(axis=0).all():
        channel = int(np.flatnonzero(~mask.any(axis=0))[0])
        raise ValueError(f"control, channel {channel}: never observed: give some values, or leave it out")
    return Series(control.ts, control.fill_forward(), jnp.ones(control.mask.shape, bool))
