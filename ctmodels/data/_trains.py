"""Times of spikes, however they are kept, as an array for each neuron."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument


class Spikes(NamedTuple):
    """Spikes of several neurons, for [`ctmodels.bin_spikes`][].

    - `times`: of each neuron's spikes, float64, `(spike,)` each, in the order that they had.
    - `ids`: what each neuron is called: its number, the id that it has in the file, or its array's name.
    """

    times: list[np.ndarray]
    ids: list[Any]


# What arguments are called in messages; of a file, after the arrays that they came from.
ARGUMENTS = {"times": "times", "units": "units", "index": "index"}


def trains_of(times: Any, units: Any, index: Any, neurons: Any, called: Mapping[str, str] = ARGUMENTS) -> Spikes:
    """One array for each neuron, of those wanted; times checked, but not sorted: a count knows no order."""
    if units is not None and index is not None:
        raise DataError(
            f"{called['units']} and {called['index']}: both say whose each spike is; give one of the two, and "
            f"{argument('neurons')} for a choice among the neurons"
        )
    if units is None and index is None:
        return _chosen(Spikes(_listed(times, called), []), neurons)
    flat = _finite(_flat(times, called["times"]), called["times"])
    if index is not None:
        return _chosen(Spikes(np.split(flat, _ends(index, len(flat), called)[:-1]), []), neurons)
    ids = _whole(units, called["units"])
    if ids.shape != flat.shape:
        raise DataError(
            f"{called['units']}: {len(ids)} ids for the {len(flat)} spikes of {called['times']}: each spike has the id "
            "of its neuron; give as many"
        )
    wanted = np.unique(ids) if neurons is None else _distinct(_whole(neurons, "neurons"))
    order = np.argsort(ids, kind="stable")
    flat, ids = flat[order], ids[order]
    spans = zip(np.searchsorted(ids, wanted), np.searchsorted(ids, wanted, "right"), strict=True)
    return Spikes([flat[a:b] for a, b in spans], wanted.tolist())


def _listed(times: Any, called: Mapping[str, str]) -> list[np.ndarray]:
    """Times that came as one array for each neuron."""
    times = times if isinstance(times, list | tuple) else np.atleast_1d(np.asarray(times))
    if len(times) and all(np.ndim(train) == 0 for train in times):
        raise DataError(
            f"{called['times']}: one list of {len(times)} times: nothing says whose each spike is; give "
            f"{argument('units', ...)} or {argument('index', ...)}, or [times] for one neuron"
        )
    if not len(times):
        raise DataError(f"{called['times']}: empty: a list of arrays is needed, one for each neuron; give one at least")
    return [_finite(_flat(train, name := f"{called['times']}[{i}]"), name) for i, train in enumerate(times)]


def _chosen(found: Spikes, neurons: Any) -> Spikes:
    """Those of the numbered neurons that are wanted."""
    n = len(found.times)
    at = np.arange(n) if neurons is None else _distinct(_whole(neurons, "neurons"))
    bad = np.flatnonzero((at < 0) | (at >= n))
    if len(bad):
        i = int(bad[0])
        raise DataError(f"neurons[{i}] is {at[i]}: the neurons are numbered from 0 to {n - 1}; give one of these")
    return Spikes([found.times[i] for i in at], at.tolist())


def _ends(index: Any, count: int, called: Mapping[str, str]) -> np.ndarray:
    """Where each neuron's spikes end, as NWB keeps it."""
    name, ends = called["index"], _whole(index, called["index"])
    down = np.flatnonzero(np.diff(ends, prepend=0) < 0)
    if len(down):
        i = int(down[0])
        before = f"after {ends[i - 1]}" if i else "and they begin at 0"
        raise DataError(
            f"{name}[{i}] is {ends[i]} {before}: it says after how many spikes each neuron's end, and never falls; "
            "give the ends in the order of the neurons"
        )
    if not len(ends) or ends[-1] != count:
        i = int(np.argmax(ends > count)) if len(ends) and ends[-1] > count else len(ends) - 1
        found = f"{name}[{i}] is {ends[i]}" if len(ends) else f"{name} is empty"
        raise DataError(
            f"{found}, where {called['times']} has {count} spikes: the last neuron's end is where all end; give the "
            "index that belongs to these times"
        )
    return ends


def _flat(x: Any, name: str) -> np.ndarray:
    """Numbers along one axis, in float64."""
    x = np.asarray(x)
    x = x.astype(np.float64) if x.size == 0 else x
    if x.ndim != 1 or x.dtype.kind not in "iuf":
        raise DataError(f"{name}: shape {x.shape} of {x.dtype}: times of spikes are numbers along one axis, (spike,)")
    return x.astype(np.float64)


def _finite(x: np.ndarray, name: str) -> np.ndarray:
    bad = np.flatnonzero(~np.isfinite(x))
    if len(bad):
        i = int(bad[0])
        raise DataError(
            f"{name}[{i}] is {x[i]:g}, and so {len(bad)} of {len(x)}: each spike has a time; leave those "
            "without one out"
        )
    return x


def _whole(x: Any, name: str) -> np.ndarray:
    """Whole numbers along one axis."""
    x = np.asarray(x)
    if x.ndim != 1 or (x.dtype.kind not in "iuf" and x.size):
        raise DataError(f"{name}: shape {x.shape} of {x.dtype}: whole numbers along one axis are needed")
    with np.errstate(invalid="ignore"):
        bad = np.flatnonzero(~(x == np.round(x))) if x.dtype.kind == "f" else []
    if len(bad):
        i = int(bad[0])
        raise DataError(f"{name}[{i}] is {x[i]:g}: whole numbers are needed; number the neurons")
    return x.astype(np.int64)


def _distinct(at: np.ndarray) -> np.ndarray:
    values, times = np.unique(at, return_counts=True)
    if not len(at) or (times > 1).any():
        found = f"{values[times > 1][0]} is there twice" if len(at) else "empty"
        raise DataError(f"neurons: {found}: each that is wanted is named once; correct the list")
    return at
