"""Counts of spikes in bins: a recording, or its trials, as series."""

import math
from collections.abc import Sequence
from typing import Any, overload

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._arguments import before
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._bins import checked_edges, checked_pauses, grid, rounding_of, trial_spans
from ctmodels.data._table import Table
from ctmodels.data._trains import trains_of
from ctmodels.data._trials import Trials


def _check(width, edges, start, stop, trials, outside, **_) -> None:
    if (width is None) == (edges is None):
        both = "neither" if width is None else "both"
        raise DataError(f"{argument('width')} and {argument('edges')}: {both} given: bins are told by one of the two")
    if edges is not None and (start is not None or stop is not None):
        raise DataError(f"{argument('edges')}: bins begin and end with them; leave start and stop out")
    if width is not None and not (math.isfinite(width) and width > 0):
        raise DataError(f"{argument('width', width)}: a bin has a finite width above 0; give such as 0.01")
    if outside not in ("refuse", "drop"):
        raise DataError(
            f'{argument("outside", outside)}: spikes outside are refused or dropped; give "refuse" or "drop"'
        )
    if trials is not None and np.ndim(trials) == 2 and (edges is not None or stop is not None):
        raise DataError(
            f"trials: each has an end of its own, and {argument('edges' if stop is None else 'stop')} is one for all: "
            "give only the beginnings, trials[:, 0], or leave it out"
        )


@overload
def bin_spikes(
    times: Any, width: float | int | None = None, *, edges: ArrayLike | None = None, start: float | int | None = None,
    stop: float | int | None = None, units: ArrayLike | None = None, index: ArrayLike | None = None,
    neurons: ArrayLike | None = None, trials: None = None,
    unobserved: Sequence[tuple[float | int, float | int]] = (), outside: str = "refuse",
) -> Series: ...  # fmt: skip
@overload
def bin_spikes(
    times: Any, width: float | int | None = None, *, edges: ArrayLike | None = None, start: float | int | None = None,
    stop: float | int | None = None, units: ArrayLike | None = None, index: ArrayLike | None = None,
    neurons: ArrayLike | None = None, trials: ArrayLike,
    unobserved: Sequence[tuple[float | int, float | int]] = (), outside: str = "refuse",
) -> list[Series]: ...  # fmt: skip
@before(_check)
def bin_spikes(
    times: Any,
    width: float | int | None = None,
    *,
    edges: ArrayLike | None = None,
    start: float | int | None = None,
    stop: float | int | None = None,
    units: ArrayLike | None = None,
    index: ArrayLike | None = None,
    neurons: ArrayLike | None = None,
    trials: ArrayLike | None = None,
    unobserved: Sequence[tuple[float | int, float | int]] = (),
    outside: str = "refuse",
) -> Series | list[Series]:
    """Count the spikes of each neuron in bins. On the host.

    **The time of a bin is its end**: at `ts[k]` all of what `ys[k]` counts has happened. The first bin begins at
    `start`, so that the widths of the bins are `np.diff(ts, prepend=start)`. A bin holds what comes at its beginning,
    and not what comes at its end; a millionth of a bin is taken for rounding.

    **Arguments:**

    - `times`: of the spikes, in any order and in any unit: a list of arrays, one for each neuron, such as
        [`ctmodels.data.spike_times`][] has; or one array of the spikes of all, with `units` or `index`.
    - `width`: of every bin, in the unit of the times. Or `edges`: of bins of any widths, `(bins + 1,)`, increasing.
    - `start`, `stop`: where the bins of one `width` begin and end. Default: 0, and the end of the bin of the last
        spike.
    - `units`: the id of the neuron of each spike, `(spike,)`, whole numbers.
    - `index`: after how many spikes each neuron's end, `(neuron,)`, as NWB's `spike_times_index`; those without a spike
        repeat the number before.
    - `neurons`: the ids of `units`, or the numbers of the neurons, that are wanted as channels, in order; others are
        left out, and one that has no spike counts none. Default: all there are.
    - `trials`: beginnings and ends of trials on the clock of the spikes, `(trial, 2)`; or beginnings alone, `(trial,)`,
        and `stop` or `edges` for all. The clock of each trial is 0 at its beginning, and so are `start`, `stop` and
        `edges` meant; a negative `start` is before it.
    - `unobserved`: pauses `(begin, end)` on the clock of the spikes. A bin that has a part in one is not observed.
    - `outside`: what becomes of spikes in no bin, such as those between trials, and of the rest of a time that is no
        whole number of bins: "refuse", or "drop" without a word.

    **Returns:** a [`ctmodels.Series`][] of counts as floats, one channel for each neuron; a list of them, one for each
    of the `trials`, for [`ctmodels.collate`][]. A neuron, a bin or a trial without a spike counts 0. Raises `DataError`
    naming the place, the value and the remedy.
    """
    trains = [np.sort(train) for train in trains_of(times, units, index, neurons).times]
    start = 0.0 if start is None else float(start)
    begins, stops = ([0.0], [stop]) if trials is None else trial_spans(trials, stop)
    clocks = []
    for i, (begin, end) in enumerate(zip(begins, stops, strict=True)):
        what = "stop" if trials is None else f"trials[{i}]"
        own = checked_edges(edges) if width is None else grid(width, start, end, trains, outside, what)
        clocks.append((begin, own))
    if outside == "refuse":
        _check_inside(trains, [(begin + own[0], begin + own[-1], rounding_of(own)) for begin, own in clocks])
    pauses = checked_pauses(unobserved)
    series = [_series(own, _counts(trains, begin + own), _paused(begin + own, pauses)) for begin, own in clocks]
    return series[0] if trials is None else series


@overload
def count_series(table: Table) -> Series: ...
@overload
def count_series(table: Trials) -> list[Series]: ...
def count_series(table: Table | Trials) -> Series | list[Series]:
    """Counts that a file has already, one column for each neuron: as they are, where other columns would be scaled.

    **Arguments:**

    - `table`: as [`ctmodels.data.read`][] returns it, with `constant_ok` for neurons that may never fire. The time of a
        row is that of the end of its bin, as of [`ctmodels.bin_spikes`][]: add a width to times of beginnings. Missing
        counts were not observed.

    **Returns:** a [`ctmodels.Series`][], or a list of them for [`ctmodels.data.Trials`][]. Raises `DataError` naming
    the place of a count that is negative or no whole number.
    """
    if isinstance(table, Trials):
        return [count_series(one) for one in table.tables]
    values = table.values
    with np.errstate(invalid="ignore"):
        bad = np.argwhere((values < 0) | (values != np.round(values)) & ~np.isnan(values))
    if len(bad):
        i, j = bad[0].tolist()
        raise DataError(
            f"{table.place(i)}, column {table.names[j]!r}: {values[i, j]:g} is no count of spikes, and so are "
            f"{len(bad)} values: counts are whole numbers of at least 0; leave the column out, or undo what "
            "was done to the counts"
        )
    return Series.from_nan(table.time, values, names=table.names, one_of_many=True, at=table.place)


def _counts(trains: Sequence[np.ndarray], edges: np.ndarray) -> np.ndarray:
    """Of each neuron, in bins `[begin, end)` on the clock of the spikes."""
    at = edges - rounding_of(edges)
    return np.stack([np.diff(np.searchsorted(train, at)) for train in trains], axis=1).astype(np.float64)


def _check_inside(trains: Sequence[np.ndarray], spans: Sequence[tuple[float, float, float]]) -> None:
    """Refuse spikes that are in no bin."""
    lost, first = 0, ""
    for number, train in enumerate(trains):
        outside = np.ones(len(train), bool)
        for begin, end, rounding in spans:
            outside[np.searchsorted(train, begin - rounding) : np.searchsorted(train, end - rounding)] = False
        if outside.any() and not first:
            first = f"the first of them at {train[outside][0]:g} of neuron {number}"
        lost += int(outside.sum())
    if lost:
        where = f"from {spans[0][0]:g} to {spans[0][1]:g}" if len(spans) == 1 else f"of the {len(spans)} trials"
        raise DataError(
            f"times: {lost} of {sum(map(len, trains))} spikes are in no bin {where}, {first}: each is counted; give "
            f"bins that reach as far, or leave such spikes out ({argument('outside', 'drop')})"
        )


def _paused(edges: np.ndarray, pauses: np.ndarray) -> np.ndarray:
    """The bins that have a part in a pause."""
    rounding = rounding_of(edges)
    paused = np.zeros(len(edges) - 1, bool)
    for begin, end in pauses:
        paused |= (edges[:-1] + rounding < end) & (edges[1:] - rounding > begin)
    return paused


def _series(edges: np.ndarray, counts: np.ndarray, paused: np.ndarray) -> Series:
    return Series.from_nan(edges[1:], np.where(paused[:, None], np.nan, counts), one_of_many=True)
