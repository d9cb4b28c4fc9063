"""Named arrays of one length, from whatever holds them, as columns of numbers over times.

Places are indices, counted from 0 as Python does. Text in an array is read as a cell of a file is.
"""

import itertools
from collections.abc import Callable, Collection, Mapping, Sequence

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._cells import missing, number, plain
from ctmodels.data._clock import Clock, clock_of, read_clock
from ctmodels.data._places import Places
from ctmodels.data._raw import RawTable
from ctmodels.data._table import ReadOptions, check_distinct, choose
from ctmodels.data._ticks import ClockOptions

TEXT = "OSUT"  # kinds of arrays whose entries are read as cells


def from_arrays(
    columns: Mapping[str, np.ndarray],
    options: ReadOptions,
    source: str,
    *,
    units: Mapping[str, str] | None = None,
    local: Mapping[str, np.ndarray] = {},
    notes: tuple[str, ...] = (),
    ends: Mapping[str, tuple[float, ...]] | None = None,
) -> RawTable:
    """What arrays have of what is wanted.

    **Arguments:**

    - `columns`: one-dimensional arrays.
    - `units`: of those columns that have one.
    - `local`: the local time of those columns of datetime64 that are known to be UTC.
    - `ends`: of each column, the values at the ends of the type that it had in its file. Default: of its own.
    """
    header = list(columns)
    choice = choose(header, options, source)
    names = tuple(header[i] for i in choice.values)
    keys = [options.time, *([] if options.id is None else [options.id])]
    _check_lengths({name: columns[name] for name in (*keys, *names)}, options.time, source)

    row = Places(source, np.arange(len(columns[options.time])), "index")
    times = columns[options.time]
    at = lambda i: f"{row(i)}, column {options.time!r}"
    clock = _clock(times, at, local.get(options.time), f"{source}, column {options.time!r}", options.clock)
    values = np.stack([_numbers(columns[name], name, source, row) for name in names], axis=1)
    ids = None if options.id is None else _ids(columns[options.id], options.id, row)
    kept = tuple((units or {}).get(name, "") for name in names)
    limits = tuple(_ends(columns[name]) if ends is None else ends.get(name, ()) for name in names)
    return RawTable(source, clock, values, names, kept, ids, row, lambda i: str(times[i]), notes, limits)


def _ends(array: np.ndarray) -> tuple[float, ...]:
    if array.dtype.kind not in "iu":
        return ()
    info = np.iinfo(array.dtype)
    return (float(info.max), *((float(info.min), float(info.min + 1)) if info.min else ()))


def spread(name: str, array: np.ndarray, labels: Sequence[Sequence[str]] | None = None) -> dict[str, np.ndarray]:
    """The columns of an array `(time, ...)`: `x` itself, or `x[0]`, `x[1]`, `x[0,1]`, ...

    **Arguments:**

    - `labels`: of the entries of each further axis. Default: their indices.
    """
    if array.ndim == 1:
        return {name: array}
    labels = labels or [[str(i) for i in range(n)] for n in array.shape[1:]]
    heads = [f"{name}[{','.join(at)}]" for at in itertools.product(*labels)]
    check_distinct(heads, f"array {name!r}")
    return dict(zip(heads, array.reshape(len(array), len(heads)).T, strict=True))


def spread_out(options: ReadOptions, columns: Collection[str]) -> ReadOptions:
    """What is wanted, with the columns that `spread` made of an array for the array's name."""
    if isinstance(options.columns, str) or not options.columns:
        return options
    there, parts = set(columns), {}
    for column in columns:
        parts.setdefault(column.partition("[")[0], []).append(column)
    return options._replace(
        columns=[c for name in options.columns for c in ([name] if name in there else parts.get(name, [name]))]
    )


def _check_lengths(columns: Mapping[str, np.ndarray], time: str, source: str) -> None:
    for name, array in columns.items():
        if array.ndim != 1 or len(array) != len(columns[time]):
            raise DataError(
                f"{source}, column {name!r}: shape {array.shape}, and {time!r} has shape {columns[time].shape}: "
                f"each time needs one value; choose columns that fit ({argument('columns', ...)})"
            )


def _clock(
    times: np.ndarray, at: Callable[[int], str], local: np.ndarray | None, place: str, how: ClockOptions
) -> Clock:
    if times.dtype.kind in TEXT:
        cells = [_cell(x) for x in times]
        for i, cell in enumerate(cells):
            if missing(cell):
                raise DataError(f"{at(i)}: missing time ({cell!r}): each row needs one; drop the row")
        return read_clock(cells, at, how) if cells else Clock(np.zeros(0))
    if times.dtype.kind in "mM":
        return clock_of(times, at, local)
    return clock_of(_real(times, place), at, how=how)


def _numbers(array: np.ndarray, name: str, source: str, row: Callable[[int], str]) -> np.ndarray:
    if array.dtype.kind in TEXT:
        return np.array([_number(x, name, row, i) for i, x in enumerate(array)], np.float64)
    return _real(array, f"{source}, column {name!r}").astype(np.float64)


def _real(array: np.ndarray, place: str) -> np.ndarray:
    if array.dtype.kind not in "iuf":
        raise DataError(
            f"{place}: dtype {array.dtype}: real numbers are needed; "
            f"convert it, or choose other columns ({argument('columns', ...)})"
        )
    return array


def _number(x, name: str, row: Callable[[int], str], i: int) -> float:
    try:
        cell = _cell(x)
        return float("nan") if missing(cell) else number(cell)
    except ValueError as e:
        raise DataError(f"{row(i)}, column {name!r}: {e}") from None


def _ids(array: np.ndarray, name: str, row: Callable[[int], str]) -> list[str]:
    cells = [_cell(x) for x in array]
    for i, cell in enumerate(cells):
        if missing(cell):
            raise DataError(f"{row(i)}, column {name!r}: missing id ({cell!r}): each row needs one; drop the row")
    return cells


def _cell(x) -> str:
    """An entry as the text that a file would have; what stands for nothing is nothing."""
    if isinstance(x, bytes):
        return x.decode("utf-8", "replace").strip()
    return "" if str(x) in ("<NA>", "NaT") else plain(str(x).strip())
