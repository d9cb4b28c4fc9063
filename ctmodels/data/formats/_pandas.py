"""pandas objects, and Parquet files, which are read by way of them."""

import json
from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Any, overload

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._assemble import assemble
from ctmodels.data._cells import short, words
from ctmodels.data._files import import_extra, readable
from ctmodels.data._memory import NUMBER, check_memory
from ctmodels.data._raw import RawTable
from ctmodels.data._table import ReadOptions, Table, check_distinct, choose
from ctmodels.data._ticks import ClockOptions
from ctmodels.data._trials import Trials
from ctmodels.data.formats._arrays import from_arrays, spread_out


@overload
def from_pandas(
    frame: Any, time: Hashable = None, columns: Sequence[Hashable] | None = None, *, id: None = None,
    sentinels: Sequence[float | int] = (), constant_ok: Collection[str] = (), sort: bool = False,
    date_format: str | None = None, clock: str | None = None, wraps: float | int | None = None, name: str = "frame",
) -> Table: ...  # fmt: skip
@overload
def from_pandas(
    frame: Any, time: Hashable = None, columns: Sequence[Hashable] | None = None, *, id: Hashable,
    sentinels: Sequence[float | int] = (), constant_ok: Collection[str] = (), sort: bool = False,
    date_format: str | None = None, clock: str | None = None, wraps: float | int | None = None, name: str = "frame",
) -> Trials: ...  # fmt: skip
def from_pandas(
    frame: Any,
    time: Hashable = None,
    columns: Sequence[Hashable] | None = None,
    *,
    id: Hashable = None,
    sentinels: Sequence[float | int] = (),
    constant_ok: Collection[str] = (),
    sort: bool = False,
    date_format: str | None = None,
    clock: str | None = None,
    wraps: float | int | None = None,
    name: str = "frame",
) -> Table | Trials:
    """Take in a pandas `DataFrame`, or a `Series`.

    Nullable, Arrow and categorical columns are read as numbers where they hold numbers; dates with a
    time zone become UTC. Units are those of `frame.attrs["units"]`, by column, or the text there is of
    a single column. A label that is no text is written as text, `0` as `"0"`; one of several levels
    as `Close[AAA]`, and `Close` stands for all of these.

    **Arguments:**

    - `frame`: the data, one row for each time (and id).
    - `time`: the column, or the named level of the index, that holds the times. Default: the index.
    - `columns`: as in [`ctmodels.data.read`][]; labels may be given as they are in the frame.
    - `id`, `sentinels`, `constant_ok`, `sort`, `date_format`, `clock`, `wraps`: as in [`ctmodels.data.read`][].
    - `name`: what messages call it.

    **Returns:**

    A [`ctmodels.data.Table`][], or [`ctmodels.data.Trials`][] if there is an `id`. Raises `DataError`.
    """
    said = frame.attrs.get("units")
    if frame.ndim == 1:
        frame = frame.to_frame()
    frame, key = _indexed(frame, None if time is None else _text(time), None if id is None else _text(id), name)
    if columns is not None and not isinstance(columns, str):
        columns = [_text(c) for c in columns]
    who, how = None if id is None else _text(id), ClockOptions(date_format, clock, wraps)
    options = ReadOptions(key, columns, who, sentinels, constant_ok, sort, clock=how)
    found = _found(frame, options, name, _by_column(said, [c for c in frame.columns if c not in (key, options.id)]))
    return assemble(found._replace(notes=(*found.notes, *_unused(said, found, name))), options)


def _text(label: Any) -> str:
    """A column's label as text: one of several levels as `Close[AAA]`, without the levels that are empty."""
    if not isinstance(label, tuple):
        return label if isinstance(label, str) else str(label)
    first, *rest = [str(part) for part in label if str(part) != ""] or [""]
    return f"{first}[{','.join(rest)}]" if rest else first


def _by_column(units: Any, columns: Sequence[str]) -> dict[str, str]:
    """Units by column, from a mapping or, of one column, from a text."""
    if isinstance(units, Mapping):
        return {_text(k): words(v) for k, v in units.items()}
    return {columns[0]: words(units)} if len(columns) == 1 else {}


def _unused(units: Any, found: RawTable, source: str) -> tuple[str, ...]:
    if units is None or isinstance(units, Mapping) or any(found.units):
        return ()
    known = "{" + ", ".join(f"{name!r}: 'm'" for name in found.names[:1]) + "}"
    return (
        f"{source}: attrs['units'] is {short(words(units))}, of no one column: left out; give them by column, {known}",
    )


def _indexed(frame: Any, time: str | None, id: str | None, source: str) -> tuple[Any, str]:
    """The frame with time and id as columns, all named by text, and the name of the time."""
    frame = frame.set_axis([_text(label) for label in frame.columns], axis=1)
    frame.index = frame.index.set_names([None if name is None else _text(name) for name in frame.index.names])
    check_distinct(list(frame.columns), source)
    if time is None and frame.index.nlevels > 1:
        raise DataError(f"{source}: the index has levels {list(frame.index.names)}: times have one; name it by `time`")
    if time is None:
        time = "index" if frame.index.name is None else str(frame.index.name)
        if time in frame.columns:
            raise DataError(
                f"{source}: {time!r} is the index and a column: the times are one of them; "
                f"pass {source}.rename_axis('time') for the index, or time={time!r} for the column"
            )
        frame = frame.rename_axis(index=time)
    keys = [key for key in (time, id) if key is not None]
    levels = [key for key in keys if key in frame.index.names and key not in frame.columns]
    return frame.reset_index(level=levels) if levels else frame, time


def find_parquet(source: str, options: ReadOptions) -> RawTable:
    """What a Parquet file has of what is wanted; only that is read."""
    parquet, arrow = import_extra("pyarrow.parquet", source), import_extra("pyarrow", source)
    import_extra("pandas", source)
    with readable(source), open(source, "rb") as opened:
        try:
            file = parquet.ParquetFile(opened)
            header = [name for name in file.schema_arrow.names if not name.startswith("__index_level_")]
            choice = choose(header, options, source)
            names = [header[i] for i in (choice.time, choice.id, *choice.values) if i is not None]
            rows = file.metadata.num_rows
            remedy = f"choose columns ({argument('columns', ...)}), or cut it into shorter files"
            check_memory(source, f"{rows} rows of {len(names)} columns", NUMBER * rows * len(names), remedy)
            said, fields = _units(file.schema_arrow)
            frame = file.read(columns=names).to_pandas(ignore_metadata=True)
        except arrow.ArrowException as e:
            raise DataError(
                f"{source}: not a whole Parquet file ({short(str(e), 80)}): copy or write it again"
            ) from None
    values = names[len(names) - len(choice.values) :]
    found = _found(frame, options._replace(columns=values), source, {**_by_column(said, values), **fields})
    return found._replace(notes=(*found.notes, *_unused(said, found, source)))


def _units(schema: Any) -> tuple[Any, dict[str, str]]:
    """As pandas writes `frame.attrs["units"]`, and as Arrow's fields have them, by column."""
    try:
        attrs = json.loads((schema.metadata or {}).get(b"PANDAS_ATTRS", b"{}"))
    except ValueError:  # not JSON: written by another program
        attrs = None
    said = attrs.get("units") if isinstance(attrs, dict) else None
    fields = {f.name: words(f.metadata[b"units"]) for f in schema if b"units" in (f.metadata or {})}
    return said, fields


def _found(frame: Any, options: ReadOptions, source: str, units: dict[str, str]) -> RawTable:
    header = [str(name) for name in frame.columns]
    check_distinct(header, source)
    options = spread_out(options, header)
    used = {options.time, options.id, *(header if options.columns is None else options.columns)}
    columns = {name: frame.iloc[:, i] for i, name in enumerate(header)}
    arrays = {name: _array(column) if name in used else np.zeros(0) for name, column in columns.items()}
    zoned = {name: column for name, column in columns.items() if _zoned(column)}
    local = {name: column.dt.tz_localize(None).to_numpy() for name, column in zoned.items() if name == options.time}
    return from_arrays(arrays, options, source, units=units, local=local)


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
