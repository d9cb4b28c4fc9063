"""Spikes: a row for each neuron, a mark for each spike."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._series import Series
from ctmodels.data import Spikes, Table
from ctmodels.data._trains import trains_of
from ctmodels.plot._axes import ONE, check_limits, panel, plain
from ctmodels.plot._style import INK
from ctmodels.plot._values import called, values_of

NAMED = 12  # neurons, up to so many each with its name


def raster(
    spikes: Spikes | Series | Table | Sequence[ArrayLike],
    *,
    limits: Sequence[float | int] | None = None,
    names: Sequence[str] | None = None,
    color: str = INK,
    ax: Any = None,
) -> Any:
    """Times of spikes as marks, a row for each neuron (or each trial of one), the first on top; of counts in bins, the
    darker the more.

    **Arguments:**

    - `spikes`: an array of times for each neuron, or [`ctmodels.data.Spikes`][]; or counts, a [`ctmodels.Series`][] or
        a [`ctmodels.data.Table`][] as [`ctmodels.bin_spikes`][] makes them. Bins that were not observed stay white.
    - `limits`: `(from, to)` of the axis of time; None: all.
    - `names`: of the neurons.
    - `color`: of the marks.
    - `ax`: axes of matplotlib; None: of a new figure.

    **Returns:** the axes.
    """
    counted = isinstance(spikes, Series | Table)
    seen = values_of(spikes, names=names) if counted else None
    trains = Spikes([], []) if counted else _trains(spikes)
    labels = called(trains.ids if names is None else names, len(trains.times)) if seen is None else seen.labels
    count = len(labels)
    between = None if limits is None else check_limits("limits", limits)
    with panel(ax, height=min(6.0, ONE + 0.06 * max(0, count - 20))) as axes:
        if seen is None:
            length = 0.8 if count <= 60 else 1.0
            axes.eventplot(trains.times, lineoffsets=range(count), linelengths=length, linewidths=0.8, colors=color)
        else:
            _draw_counts(axes, seen.ts, seen.ys)
        axes.set_ylim(count - 0.4, -0.6)
        axes.grid(visible=False)
        _name_rows(axes, labels)
        if between is not None:
            axes.set_xlim(*between)
        axes.set_xlabel("t" if seen is None else seen.time, parse_math=False)
        return axes


def _trains(spikes: Any) -> Spikes:
    return spikes if isinstance(spikes, Spikes) else trains_of(spikes, None, None, None)


def _draw_counts(axes: Any, ts: np.ndarray, ys: np.ndarray) -> None:
    most = max(1.0, float(np.nanmax(ys, initial=0.0)))
    rows = np.arange(ys.shape[1])
    axes.pcolormesh(ts, rows, ys.T, shading="nearest", cmap="Greys", vmin=0, vmax=most, rasterized=ys.size > 20_000)


def _name_rows(axes: Any, labels: Sequence[str]) -> None:
    if len(labels) <= NAMED:
        axes.set_yticks(range(len(labels)), [plain(str(n), 16) for n in labels], parse_math=False)
    else:
        axes.locator_params(axis="y", integer=True)
    axes.set_ylabel("neuron")
