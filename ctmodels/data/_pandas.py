"""pandas objects, and Parquet files, which are read by way of them."""

import json
from collections.abc import Collection, Sequence
from typing import Any, overload

import numpy as np

from ctmodels._door import DataError
from ctmodels.data._arrays import gather
from ctmodels.data._cells import short
from ctmodels.data._files import needed, readable
from ctmodels.data._found import Found, taken
from ctmodels.data._memory import NUMBER, check_memory
from ctmodels.data._table import Table, Wanted, check_distinct, choose
from ctmodels.data._ticks import Reading
from ctmodels.data._trials import Trials


@overload
def from_pandas(
    frame: Any, time: str | None = None, columns: Sequence[str] | None = None, *, id: None = None,
    sentinels: Sequence[float | int] = (), constant_ok: Collection[str] = (), sort: bool = False,
    date_format: str | None = None, clock: str | None = None, wraps: float | int | None = None, name: str = "frame",
) -> Table: ...  # fmt: skip
@overload
def from_pandas(
    frame: Any, time: str | None = None, columns: Sequence[str] | None = None, *, id: str,
    sentinels: Sequence[float | int] = (), constant_ok: Collection[str] = (), sort: bool = False,
    date_format: str | None = None, clock: str | None = None, wraps: float | int | None = None, name: str = "frame",
) -> Trials: ...  # fmt: skip
def from_pandas(
    frame: Any,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    *,
    id: str | None = None,
    sentinels: Sequence[float | int] = (),
    constant_ok: Collection[str] = (),
    sort: bool = False,
    date_format: str | None = None,
    clock: str | None = None,
    wraps: float | int | None = None,
    name: str = "frame",
) -> Table | Trials:
    """Take in a pandas `DataFrame`, or a named `Series`.

    Nullable, Arrow and categorical columns are read as numbers where they hold numbers; dates with a
    time zone become UTC. Units are those of `frame.attrs["units"]`, by column.

    **Arguments:**

    - `frame`: the data, one row for each time (and id).
    - `time`: the column, or the named level of the index, that holds the times. Default: the index.
    - `columns`, `id`, `sentinels`, `constant_ok`, `sort`, `date_format`, `clock`, `wraps`: as in
        [`ctmodels.data.read`][].
    - `name`: what messages call it.

    **Returns:**

    A [`ctmodels.data.Table`][], or [`ctmodels.data.Trials`][] if there is an `id`. Raises `DataError`.
    """
    units = {str(k): str(v) for k, v in frame.attrs.get("units", {}).items()}
    if frame.ndim == 1:
        frame = frame.to_frame()
    frame, time = _indexed(frame, time, id, name)
    wanted = Wanted(time, columns, id, sentinels, constant_ok, sort, clock=Reading(date_format, clock, wraps))
    return taken(_found(frame, wanted, name, units), wanted)


def _indexed(frame: Any, time: str | None, id: str | None, source: str) -> tuple[Any, str]:
    """The frame with time and id as columns, and the name of the time."""
    if time is None and frame.index.nlevels > 1:
        raise DataError(f"{source}: the index has levels {list(frame.index.names)}: times have one; name it by `time`")
    if time is None:
        time = str(frame.index.name or "index")
        frame = frame.rename_axis(index=time)
    keys = [key for key in (time, id) if key is not None]
    levels = [key for key in keys if key in frame.index.names and key not in frame.columns]
    return frame.reset_index(level=levels) if levels else frame, time


def find_parquet(source: str, wanted: Wanted) -> Found:
    """What a Parquet file has of what is wanted; only that is read."""
    parquet, arrow = needed("pyarrow.parquet", source), needed("pyarrow", source)
    needed("pandas", source)
    with readable(source), open(source, "rb") as opened:
        try:
            file = parquet.ParquetFile(opened)
            header = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
            choice = choose(header, wanted, source)
            names = [header[i] for i in (choice.time, choice.id, *choice.values) if i is not None]
            rows = file.metadata.num_rows
            remedy = "choose columns (--column; columns= in Python), or cut it into shorter files"
            check_memory(source, f"{rows} rows of {len(names)} columns", NUMBER * rows * len(names), remedy)
            units = _units(file.schema_arrow)
            frame = file.read(columns=names).to_pandas(ignore_metadata=True)
        except arrow.ArrowException as e:
            raise DataError(
                f"{source}: not a whole Parquet file ({short(str(e), 80)}): copy or write it again"
            ) from None
    return _found(frame, wanted._replace(columns=names[len(names) - len(choice.values) :]), source, units)


def _units(schema: Any) -> dict[str, str]:
    """As Arrow's fields have them, or as pandas writes `frame.attrs`."""
    attrs = json.loads((schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
    fields = {f.name: f.metadata[b"units"].decode() for f in schema if b"units" in (f.metadata or {})}
    return {**attrs.get("units", {}), **fields}


def _found(frame: Any, wanted: Wanted, source: str, units: dict[str, str]) -> Found:
    header = [str(name) for name in frame.columns]
    check_distinct(header, source)
    used = {wanted.time, wanted.id, *(header if wanted.columns is None else wanted.columns)}
    columns = {name: frame.iloc[:, i] for i, name in enumerate(header)}
    arrays = {name: _array(column) if name in used else np.zeros(0) for name, column in columns.items()}
    zoned = {name: column for name, column in columns.items() if _zoned(column)}
    local = {name: column.dt.tz_localize(None).to_numpy() for name, column in zoned.items() if name == wanted.time}
    return gather(arrays, wanted, source, units=units, local=local)


def _zoned(column: Any) -> bool:
    return column.dtype.kind == "M" and column.dt.tz is not None


def _array(column: Any) -> np.ndarray:
    """A column as NumPy has it."""
    kind = column.dtype.kind
    if _zoned(column):
        column = column.dt.tz_convert("UTC").dt.tz_localize(None)
    if kind in "iu" and not column.isna().any():
        return column.to_numpy(np.dtype(f"{kind}8"))  # exact, where float64 would round nanoseconds
    return column.to_numpy(np.float64, na_value=np.nan) if kind in "iuf" else column.to_numpy()
