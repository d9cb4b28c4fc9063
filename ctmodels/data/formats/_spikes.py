"""Times of spikes in a file: npz, and HDF5 with groups such as NWB's."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._cells import listed, short
from ctmodels.data._files import head, import_extra, readable
from ctmodels.data._memory import NUMBER, check_memory
from ctmodels.data._table import pick
from ctmodels.data._trains import Spikes, trains_of
from ctmodels.data.formats._npz import arrays_in, names_in

HDF5 = b"\x89HDF\r\n\x1a\n"
USUAL = ("units/spike_times", "spike_times")


def spike_times(
    path: str | os.PathLike[str],
    times: str | Sequence[str] | None = None,
    *,
    index: str | None = None,
    units: str | None = None,
) -> Spikes:
    """Read the times of spikes of several neurons from an npz file, or from HDF5 such as NWB is.

    HDF5 needs the extra `data`: `pip install 'ctmodels[data]'`. The first bytes of the file tell the format.

    **Arguments:**

    - `path`: the file.
    - `times`: the name of the array of all spikes, one neuron after another or with `units`, by its path in its group;
        or a list of names, an array for each neuron. Default: `units/spike_times`, where NWB has them, or
        `spike_times`.
    - `index`: the name of the array that says after how many spikes each neuron's end. Default: that of the times with
        `_index`, if it is there.
    - `units`: the name of an array of ids, one for each spike, in the place of an index.

    **Returns:** [`ctmodels.data.Spikes`][]: an array for each neuron, and their ids; those of NWB, in `id` beside the
    times, are kept. [`ctmodels.bin_spikes`][] counts them. Raises `DataError` naming the array and the place in it.
    """
    source = os.fspath(path)
    there = _names(source)
    if times is not None and not isinstance(times, str):
        pick(times, there, source)
        arrays = _arrays(source, times)
        trains = trains_of([arrays[name] for name in times], None, None, None, {"times": f"{source}, arrays"}).times
        return Spikes(trains, list(times))
    name = _usual(there, source) if times is None else times
    if units is None and index is None:
        index = _usual_index(name, there, source)
    wanted = {"times": name, "index": index, "units": units}
    pick([found for found in wanted.values() if found], there, source)
    # Beside the times of NWB is what each neuron is called.
    beside = f"{name.rpartition('/')[0]}/id"
    own = beside if "/" in name and units is None and beside in there else None
    arrays = _arrays(source, [found for found in (*wanted.values(), own) if found])
    called = {key: f"{source}, array {found!r}" for key, found in wanted.items()}
    found = trains_of(arrays[name], arrays.get(units or ""), arrays.get(index or ""), None, called)
    return Spikes(found.times, arrays[own].tolist()) if own and len(arrays[own]) == len(found.ids) else found


def _usual(there: Sequence[str], source: str) -> str:
    """The array of times, by the names that are usual."""
    for name in USUAL:
        if name in there:
            return name
    raise DataError(
        f"{source}: no array {USUAL[0]!r} or {USUAL[1]!r}: there are {listed(there)}; name that of the times: "
        f"{argument('times', ...)}"
    )


def _usual_index(name: str, there: Sequence[str], source: str) -> str:
    pick([name], there, source)
    if f"{name}_index" in there:
        return f"{name}_index"
    raise DataError(
        f"{source}: no array {f'{name}_index'!r}: nothing says whose each spike is, there are {listed(there)}; give "
        f"{argument('index', ...)} or {argument('units', ...)}, or [{name!r}] for one neuron"
    )


def _names(source: str) -> list[str]:
    if not _is_hdf5(source):
        return names_in(source)
    h5py, names = import_extra("h5py", source), []
    with _opened(h5py, source) as file:
        file.visititems(lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None)
    return names


def _arrays(source: str, names: Sequence[str]) -> dict[str, np.ndarray]:
    if not _is_hdf5(source):
        return arrays_in(source, names)
    with _opened(import_extra("h5py", source), source) as file:
        count = sum(file[name].size or 0 for name in names)
        check_memory(source, f"{count} numbers", NUMBER * count, "cut it")
        return {name: np.asarray(file[name][()]) for name in names}


def _is_hdf5(source: str) -> bool:
    begins = head(source)
    if begins[:2] != b"PK" and begins != HDF5:
        raise DataError(
            f"{source}: neither npz nor HDF5, it begins with {begins!r}: times of spikes are read from these two; read "
            "another with what reads it, and give bin_spikes its arrays"
        )
    return begins == HDF5


def _opened(h5py: Any, source: str) -> Any:
    with readable(source):
        try:
            return h5py.File(source, "r")
        except OSError as e:
            raise DataError(f"{source}: not a whole HDF5 file ({short(str(e), 80)}): copy or write it again") from None
