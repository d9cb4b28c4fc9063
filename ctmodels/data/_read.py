"""One reader for every file, chosen by the end of its name."""

import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import overload

from ctmodels.data._csv import find_csv
from ctmodels.data._found import Found, taken
from ctmodels.data._layout import check_text_only
from ctmodels.data._npz import find_npz
from ctmodels.data._pandas import find_parquet
from ctmodels.data._table import Table, Wanted
from ctmodels.data._trials import Trials
from ctmodels.data._xarray import find_netcdf

# All others, such as .csv, .tsv, .txt, .dat and .csv.gz, are text.
READERS: dict[str, Callable[[str, Wanted], Found]] = {
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
    skip: int = 0, units_row: bool | None = None,
) -> Table: ...  # fmt: skip
@overload
def read(
    path: str | os.PathLike[str], time: str, columns: Sequence[str] | None = None, *, id: str,
    sentinels: Sequence[float | int] = (), constant_ok: Collection[str] = (), sort: bool = False,
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
    - `skip`: of a text, how many rows stand above its header. Default: what is recognised, which is noted.
    - `units_row`: of a text, whether the row under the header has units. Default: if it is text throughout and
        data follow, which is noted.

    **Returns:**

    A [`ctmodels.data.Table`][], or [`ctmodels.data.Trials`][] if there is an `id`. Raises `DataError`, and
    returns nothing, if anything in the file is wrong, or if it would not fit into memory.
    """
    source = os.fspath(path)
    wanted = Wanted(time, columns, id, sentinels, constant_ok, sort, skip=skip, units_row=units_row)
    find = READERS.get(Path(source).suffix.lower(), find_csv)
    if find is not find_csv:
        check_text_only(source, wanted)
    return taken(find(source, wanted), wanted)
