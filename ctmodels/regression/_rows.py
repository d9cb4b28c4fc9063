"""Rows of one or several series on a regular grid, as maps are fitted to them."""

from collections.abc import Sequence
from typing import NamedTuple

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from ctmodels._core._series import Series
from ctmodels._core._times import evenly_spaced
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of
from ctmodels.paths import LinearPath
from ctmodels.trajectories._starts import filled_control

OFF = 1e-2  # of a step, as in _core/_steps.py


class Grid(NamedTuple):
    """One series in steps of one length: times, values (zero where missing), whether they were observed, and the input
    at each of them, None without."""

    ts: Float[Array, " time"]
    ys: Float[Array, "time channel"]
    mask: Bool[Array, "time channel"]
    us: Float[Array, "time input"] | None


def as_lists(series, control) -> tuple[list[Series], list[Series | None]]:
    """One series or several, each with its control or none."""
    many = [series] if isinstance(series, Series) else list(series)
    controls: list[Series | None] = [None] * len(many) if control is None else []
    controls += [control] if isinstance(control, Series) else list(control or [])
    if not many:
        raise ValueError("series is empty: a fit needs at least one")
    if len(controls) != len(many):
        raise ValueError(f"control: {len(controls)} of them for {len(many)} series: give one for each")
    for i, one in enumerate(many):
        if not isinstance(one, Series):
            raise TypeError(f"series[{i}]: {kind_of(one)}, where a Series is wanted")
        if one.ts.ndim != 1:
            raise ValueError(f"series[{i}]: a Series of shape {one.ys.shape}: a batch; for a batch, jax.vmap the fit")
        if one.ys.shape[1] != many[0].ys.shape[1]:
            raise ValueError(
                f"series[{i}]: {one.ys.shape[1]} channels, and series[0] has {many[0].ys.shape[1]}: trials of one "
                "system have the same channels; give one that was not observed there as NaN"
            )
    return many, controls


def grids(series, control, dt: float | None) -> tuple[list[Grid], float]:
    """Each series in steps of `dt`, and that: by default the median spacing, times being known. Rows that are missing
    altogether are filled in as unobserved; times off the grid are refused."""
    many, controls = as_lists(series, control)
    if dt is None:
        if any(isinstance(one.ts, jax.core.Tracer) for one in many):
            raise ValueError(f"{argument('dt', None)}: in compiled code times are not known: give the spacing, dt=...")
        dt = _spacing([np.asarray(one.ts, np.float64) for one in many])
    place = (lambda i: f"series[{i}]") if len(many) > 1 else (lambda i: "series")
    known = not any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(many))
    filled = [_filled(one, dt, place(i)) if known else _padded(one, dt, place(i)) for i, one in enumerate(many)]
    us = [_inputs(c, one, grid.ts) for c, one, grid in zip(controls, many, filled, strict=True)]
    return [Grid(one.ts, one.ys, one.mask, u) for one, u in zip(filled, us, strict=True)], dt


def inputs_of(found: list[Grid]) -> int:
    """How many a step has: the control's channels at both its ends."""
    return 0 if found[0].us is None else 2 * found[0].us.shape[1]


def _inputs(control: Series | None, series: Series, ts: Array) -> Array | None:
    if control is None:
        return None
    return jax.vmap(LinearPath.from_series(filled_control(control, series)))(ts)


def _spacing(times: list[np.ndarray]) -> float:
    """The mean of gaps of one step, the median gap being one."""
    gaps = np.concatenate([np.diff(ts) for ts in times])
    gaps = gaps[gaps > 0]
    if not len(gaps):
        raise DataError("series: only one time: a map needs two, a step apart; give more rows")
    return float(np.mean(gaps[np.abs(gaps - np.median(gaps)) <= OFF * np.median(gaps)]))


def _filled(series: Series, dt: float, place: str) -> Series:
    """On the host: each row where it belongs on the grid."""
    ts, ys, mask = (np.asarray(x) for x in (series.ts, series.ys, series.mask))
    kept = np.append(True, np.diff(ts) > 0)  # not what pads it
    ts, ys, mask = ts[kept], ys[kept], mask[kept]
    asked = np.diff(ts.astype(np.float64)) / dt
    wrong = np.flatnonzero(np.abs(asked - np.round(asked)) > OFF)
    if wrong.size:
        i = int(wrong[0]) + 1
        raise DataError(
            f"{place}.ts[{i}]: {ts[i]:.6g} follows {ts[i - 1]:.6g} by {asked[i - 1]:.4g} steps of "
            f"{argument('dt', dt)}: a map takes whole steps; give the true spacing as dt, interpolate to regular "
            "times, or fit a law in continuous time (ct.regression.sparse_law, NeuralODE)"
        )
    at = np.append(0, np.cumsum(np.round(asked).astype(int)))
    every = np.arange(at[-1] + 1)
    if len(every) == len(at):
        return Series(*(jnp.asarray(x) for x in (ts, ys, mask)))
    put = lambda values: np.zeros((len(every), *values.shape[1:]), values.dtype)
    grid_ys, grid_mask = put(ys), put(mask)
    grid_ys[at], grid_mask[at] = ys, mask
    grid_ts = np.interp(every, at, ts).astype(ts.dtype)
    return Series(*(jnp.asarray(x) for x in (grid_ts, grid_ys, grid_mask)))


def _padded(series: Series, dt: float, place: str) -> Series:
    """In compiled code: as it is, NaN where it is not regular up to the last row that was seen."""
    seen = jnp.any(series.mask, axis=1)
    number = series.ts.shape[0] - jnp.argmax(seen[::-1])
    ts = evenly_spaced(series.ts, dt, number, f"{place}.ts")
    return Series(ts, jnp.where(jnp.isfinite(ts)[:, None], series.ys, jnp.nan), series.mask)


class Pairs(NamedTuple):
    """What a step starts from and leads to, of all series one after the other: features, the outputs before and after,
    and a weight of one where all of it was observed."""

    features: Float[Array, "row feature"]
    before: Float[Array, "row channel"]
    after: Float[Array, "row channel"]
    weights: Float[Array, " row"]


def together(pairs: Sequence[Pairs]) -> Pairs:
    """Of several series."""
    return Pairs(*(jnp.concatenate(parts) for parts in zip(*pairs, strict=True)))


def check_enough(rows: Array, least: int, needs: str) -> None:
    """Refuse if fewer rows than these were usable, where that is known."""
    if not isinstance(rows, jax.core.Tracer) and int(rows) < least:
        raise DataError(
            f"series: {int(rows)} usable rows: {needs}; give longer series, or fill in what is "
            "missing (ctmodels.smoothing.smooth)"
        )


def histories(grid: Grid, memory: int) -> tuple[Float[Array, "row state"], Pairs]:
    """The last `memory` outputs before each step, newest first; and the pairs, whose features are still to come."""
    steps = grid.ts.shape[0] - memory
    if steps < 1:
        raise DataError(
            f"series: {grid.ts.shape[0]} rows, where one step from {memory} outputs takes {memory + 1}: give a longer "
            "series, or fewer delays"
        )
    back = lambda x: [x[memory - 1 - i : memory - 1 - i + steps] for i in range(memory)]
    known = jnp.all(jnp.concatenate([*back(grid.mask), grid.mask[memory:]], axis=1), axis=1)
    z = jnp.concatenate(back(grid.ys), axis=1)
    before, after = back(grid.ys)[0], grid.ys[memory:]
    return z, Pairs(z, before, after, known.astype(z.dtype))


def inputs_before(grid: Grid, memory: int) -> Float[Array, "row input"] | None:
    """The inputs at both ends of each of these steps."""
    return None if grid.us is None else ends(grid.us)[memory - 1 : -1]


def ends(us: Float[Array, "time input"]) -> Float[Array, "time inputs"]:
    """The inputs at both ends of the step from each row on; after the last they stay."""
    return jnp.concatenate([us, jnp.concatenate([us[1:], us[-1:]])], axis=1)
