"""xarray objects, and netCDF and HDF5 files, which are read by way of them."""

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._assemble import table
from ctmodels.data._cells import short, words
from ctmodels.data._files import head, import_extra, readable
from ctmodels.data._memory import NUMBER, check_memory
from ctmodels.data._numbers import ABSOLUTE
from ctmodels.data._raw import RawTable
from ctmodels.data._table import ReadOptions, Table, pick
from ctmodels.data._ticks import ClockOptions
from ctmodels.data.formats._arrays import from_arrays, spread, spread_out
from ctmodels.data.formats._groups import joined
from ctmodels.data.formats._packed import PACKING, unpack

HDF5, CLASSIC = b"\x89HDF\r\n\x1a\n", b"CDF"
CALENDARS = ("standard", "gregorian", "proleptic_gregorian")  # those that have the dates of clocks


def from_xarray(
    data: Any,
    time: str,
    columns: Sequence[str] | None = None,
    *,
    sentinels: Sequence[float | int] = (),
    constant_ok: Collection[str] = (),
    sort: bool = False,
    date_format: str | None = None,
    clock: str | None = None,
    wraps: float | int | None = None,
    name: str = "dataset",
) -> Table:
    """Take in an xarray `Dataset`, `DataTree` or `DataArray`.

    Variables along the dimension of `time` become columns; those with more dimensions become several,
    `temp[oslo]`, `temp[bergen]`, by the labels of their coordinates. Units are the attributes `units`;
    those of packing, of fill values and of the valid range are heeded. The variable `x` of the group
    `sensor` of a tree is `sensor/x`.
    Trials are stacked first: `from_pandas(data.to_dataframe().reset_index(), "time", id="trial")`.

    **Arguments:**

    - `data`: the data.
    - `time`: the variable or coordinate, of one dimension, that holds the times.
    - `columns`: variables, or columns made of them. Default: all data variables along that dimension.
    - `sentinels`, `constant_ok`, `sort`, `date_format`, `clock`, `wraps`: as in [`ctmodels.data.read`][].
    - `name`: what messages call it.

    **Returns:**

    A [`ctmodels.data.Table`][]. Raises `DataError`.
    """
    options = ReadOptions(
        time, columns, None, sentinels, constant_ok, sort, clock=ClockOptions(date_format, clock, wraps)
    )
    return table(_found(data, options, name), options)


def find_netcdf(source: str, options: ReadOptions) -> RawTable:
    """What a netCDF or HDF5 file has of what is wanted; only that is read."""
    xarray = import_extra("xarray", source)
    with readable(source):
        data = _opened(xarray, source)
        with data:
            _variable(data, options.time, source)
            data = _with_times(data, options.time, source)
            units = words(data[options.time].attrs.get("units"))
            calendar = words(data[options.time].attrs.get("calendar", "standard")).lower()
            decoded = _decoded(xarray, data, options.time, calendar)
            notes = (_kept(source, options.time, units, calendar),) if " since " in units and decoded is data else ()
            return _found(decoded, options, source, notes)


def _opened(xarray: Any, source: str) -> Any:
    """The file, nothing of it read yet."""
    begins = head(source)
    if begins.startswith(CLASSIC):
        how: dict[str, Any] = {"engine": "scipy"}
    elif begins == HDF5:
        import_extra("h5py", source)
        import_extra("h5netcdf", source)
        how = {"engine": "h5netcdf", "phony_dims": "access"}
    else:
        raise DataError(f"{source}: neither netCDF nor HDF5, it begins with {begins!r}; name it as what it is")
    try:
        if begins == HDF5:
            return joined(xarray, xarray.open_groups(source, decode_times=False, mask_and_scale=False, **how))
        return xarray.open_dataset(source, decode_times=False, mask_and_scale=False, **how)
    except Exception as e:  # whatever three libraries may raise at damaged bytes
        raise DataError(f"{source}: not a whole netCDF file ({short(str(e), 80)}): copy or write it again") from None


def _with_times(data: Any, time: str, source: str) -> Any:
    """The data with the times unpacked, their attributes of packing gone."""
    times = data[time]
    if times.ndim != 1 or times.dtype.kind not in "iuf":
        return data
    left = {k: v for k, v in times.attrs.items() if k not in (*PACKING, "valid_min", "valid_max", "valid_range")}
    return data.assign({time: (times.dims, unpack(times, f"{source}, column {time!r}").values, left)})


def _decoded(xarray: Any, data: Any, time: str, calendar: str) -> Any:
    """The data with CF times as dates, or as they are where dates are not those of clocks."""
    if calendar not in CALENDARS or " since " not in words(data[time].attrs.get("units")):
        return data
    try:
        times = xarray.decode_cf(data[[time]], decode_timedelta=False)[time]
    except (ValueError, OverflowError, ImportError):  # dates of which pandas has none
        return data
    return data if times.dtype.kind != "M" else data.assign({time: times})


def _kept(source: str, time: str, units: str, calendar: str) -> str:
    return (
        f"{source}, column {time!r}: '{units}' in the calendar {calendar!r} are not read as dates: "
        "the numbers are kept as they are"
    )


def _variable(data: Any, name: str, source: str) -> Any:
    there = [str(v) for v in data.variables]
    pick([name], there, source)
    return data[name]


def _found(data: Any, options: ReadOptions, source: str, notes: tuple[str, ...] = ()) -> RawTable:
    xarray = import_extra("xarray", source)
    if isinstance(data, xarray.DataTree):
        data = joined(xarray, {node.path: node.to_dataset(inherit=False) for node in data.subtree})
    if isinstance(data, xarray.DataArray):
        data = data.to_dataset(name=data.name or "values")
    times = _variable(data, options.time, source)
    if times.ndim != 1:
        raise DataError(f"{source}, column {options.time!r}: dimensions {times.dims}: times have one; name another")
    first: Any = times.values[0] if times.size else None
    if "cftime" in type(first).__module__:
        raise DataError(
            f"{source}, column {options.time!r}: dates of the calendar {first.calendar!r} are not those of clocks; "
            "call .convert_calendar('standard'), or open the file with decode_times=False"
        )
    options = _absolute(times, options, source)
    (along,) = times.dims
    names = _names(data, options, along, source)
    count = sum(data[name].size for name in names)
    check_memory(source, f"{count} values", NUMBER * count, f"choose columns ({argument('columns', ...)}), or select")
    columns, units, ends = {options.time: times.values}, {}, {}
    for name in names:
        found = unpack(data[name], f"{source}, column {name!r}")
        parts = _columns(data[name].copy(data=found.values), name, along)
        columns |= parts
        units |= dict.fromkeys(parts, words(data[name].attrs.get("units")))
        ends |= dict.fromkeys(parts, found.ends)
        notes = (*notes, *found.notes)
    return from_arrays(columns, spread_out(options, columns), source, units=units, notes=notes, ends=ends)


def _absolute(times: Any, options: ReadOptions, source: str) -> ReadOptions:
    """Where the times are CDO's absolute ones, such as `day as %Y%m%d.%f`, wanted by that clock."""
    units, calendar = str(times.attrs.get("units", "")), str(times.attrs.get("calendar", "standard")).lower()
    if options.clock.clock or not ABSOLUTE.fullmatch(units):
        return options
    if calendar not in CALENDARS:
        raise DataError(
            f"{source}, column {options.time!r}: '{units}' in the calendar {calendar!r} is not that of clocks, and the "
            "numbers jump from month to month; write times that count (cdo -r copy), or take them as they are: "
            f"{argument('clock', 'number')}"
        )
    return options._replace(clock=options.clock._replace(clock=units))


def _names(data: Any, options: ReadOptions, along: str, source: str) -> list[str]:
    """The variables to read."""
    own = [] if options.id is None else [options.id]
    if options.columns is None:
        there = [str(n) for n in data.data_vars if along in data[n].dims]
        return [*own, *(n for n in there if n not in (options.time, options.id))]
    asked = [] if isinstance(options.columns, str) else [*own, *options.columns]  # `choose` refuses the rest
    names = [n if n in data.variables else n.partition("[")[0] for n in asked]
    for name in names:
        _variable(data, name, source)
    return list(dict.fromkeys(names))


def _columns(variable: Any, name: str, along: str) -> dict[str, np.ndarray]:
    """One column, or one for each entry of the dimensions other than time. Those of length one go."""
    if along not in variable.dims:
        return {name: np.atleast_1d(variable.values)}
    others = [d for d in variable.dims if d != along and variable.sizes[d] > 1]
    kept = variable.isel({d: 0 for d in variable.dims if d != along and variable.sizes[d] == 1}, drop=True)
    labels = [[str(x) for x in kept[d].values] for d in others]
    return spread(name, kept.transpose(along, *others).values, labels)
