"""One reader for every file, chosen by the end of its name."""

import os
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, overload

from ctmodels.data._assemble import assemble
from ctmodels.data._raw import RawTable
from ctmodels.data._table import ReadOptions, Table
from ctmodels.data._ticks import ClockOptions
from ctmodels.data._trials import Trials
from ctmodels.data.formats._csv import find_csv
from ctmodels.data.formats._layout import check_text_only
from ctmodels.data.formats._npz import find_npz
from ctmodels.data.formats._pandas import find_parquet
from ctmodels.data.formats._xarray import find_netcdf

# All others, such as .csv, .tsv, .txt, .dat and .csv.gz, are text.
READERS: dict[str, Callable[[str, ReadOptions], RawTable]] = {
    ".parquet": find_parquet,
    ".pq": find_parquet,
    ".nc": find_netcdf,
    ".nc4": find_netcdf,
    ".cdf": find_netcdf,
    ".h5": find_netcdf,
    ".hdf5": find_netcdf,
    ".npz": find_npz,
}


@overload
def read(
    path: str | os.PathLike[str], time: str, columns: Sequence[str] | None = None, *, id: None = None,
    sentinels: Sequence[float | int] = (), constant_ok: Collection[str] = (), sort: bool = False,
    date_format: str | None = None, clock: str | None = None, wraps: float | int | None = None,
    skip: int = 0, units_row: bool | None = None,
) -> Table: ...  # fmt: skip
@overload
def read(
    path: str | os.PathLike[str], time: str, columns: Sequence[str] | None = None, *, id: str,
    sentinels: Sequence[float | int] = (), constant_ok: Collection[str] = (), sort: bool = False,
    date_format: str | None = None, clock: str | None = None, wraps: float | int | None = None,
    skip: int = 0, units_row: bool | None = None,
) -> Trials: ...  # fmt: skip
def read(
    path: str | os.PathLike[str],
    time: str,
    columns: Sequence[str] | None = None,
    *,
    id: str | None = None,
    sentinels: Sequence[float | int] = (),
    constant_ok: Collection[str] = (),
    sort: bool = False,
    date_format: str | None = None,
    clock: str | None = None,
    wraps: float | int | None = None,
    skip: int = 0,
    units_row: bool | None = None,
) -> Table | Trials:
    """Read times and numbers from a file: CSV and its kin, npz, Parquet, netCDF or HDF5.

    Parquet, netCDF and HDF5 need the extra `data`: `pip install 'ctmodels[data]'`. Times are read as
    [`ctmodels.data.read_csv`][] says, or are the format's own dates.

    **Arguments:**

    - `path`: the file; the end of its name tells the format, and any other is text.
    - `time`: the name of the column (variable, array) of times.
    - `columns`: those wanted, in the order wanted. Default: all but `time` and `id`; then all must be
        numbers.
    - `id`: the column that says to which trial a row belongs, in a long table of several.
    - `sentinels`: values that mean missing, such as -999. Others that look like it are reported in
        `notes`, and kept.
    - `constant_ok`: names of columns that may be constant, as inputs (controls) may.
    - `sort`: whether rows may stand in any order. Otherwise times must increase (within each id).
    - `date_format`: how dates in text are written, in the codes of `strptime`, such as "%d.%m.%Y"; a time of day
        may follow. Default: ISO 8601 or what spreadsheets write, if it is plain which number is the day.
    - `clock`: what numbers count: "number" for nothing known; a unit, "ms"; a unit and the date of zero,
        "s since 1904-01-01"; "day as %Y%m%d.%f". Default: integers that are all dates, or that have the size of
        times since 1970, are read as such, which is noted.
    - `wraps`: after how many counts a counter begins again, such as 2**32: it is then counted on.
    - `skip`: of a text, how many rows stand above its header. Default: what is recognised, which is noted.
    - `units_row`: of a text, whether the row under the header has units. Default: if it is text throughout and
        data follow, which is noted.

    **Returns:**

    A [`ctmodels.data.Table`][], or [`ctmodels.data.Trials`][] if there is an `id`. Raises `DataError`, and
    returns nothing, if anything in the file is wrong, or if it would not fit into memory.
    """
    how = ClockOptions(date_format, clock, wraps)
    options = ReadOptions(time, columns, id, sentinels, constant_ok, sort, skip, units_row, how)
    return _assemble(os.fspath(path), options)


def read_alike(path: str | os.PathLike[str], time: str, columns: Sequence[str], reading: Mapping[str, Any]) -> Table:
    """Read another file as one was read that has this `reading`: of one row or more, with columns that may rest.

    What stands above a table's header may be another thing in each file, and is recognised anew.
    """
    how = ClockOptions(*(reading.get(name) for name in ClockOptions._fields))
    sentinels, sort = reading.get("sentinels", ()), reading.get("sort", False)
    options = ReadOptions(time, columns, None, sentinels, columns, sort, clock=how, least=1)
    return _assemble(os.fspath(path), options)  # pyright: ignore


def _assemble(source: str, options: ReadOptions) -> Table | Trials:
    find = READERS.get(Path(source).suffix.lower(), find_csv)
    if find is not find_csv:
        check_text_only(source, options)
    return assemble(find(source, options), options)
