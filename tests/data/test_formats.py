"""Files and objects of every kind: what is in them arrives, and what cannot is refused before it does harm."""

import dataclasses
import gzip
import io
import os
import pickle
import re
import sys
import zipfile
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import xarray as xr
from hypothesis import HealthCheck, given, settings, strategies as st

from ctmodels._core._validation import DataError
from ctmodels.data import Table, _memory, from_pandas, from_xarray, read
from ctmodels.data._clock import clock_of
from ctmodels.data._sentinels import sift

pytestmark = pytest.mark.only("float32")

TS = np.array([0.0, 0.5, 2.0, 2.25])
XS = np.array([1.0, np.nan, 3.0, -4.5])
US = np.array([2.0, 1.0, np.nan, 7.0])
FORMATS = ["a.csv", "a.tsv", "a.dat.gz", "a.npz", "a.parquet", "a.nc", "classic.nc", "a.h5"]


def says(*parts: str) -> str:
    """A pattern that finds all the parts, in their order, in one message."""
    return "(?s)" + ".*".join(re.escape(part) for part in parts)


def write(path: Path, columns: dict) -> Path:
    """The columns as a file of the format that its name says."""
    frame = pd.DataFrame(columns)
    if path.suffix in (".csv", ".tsv", ".gz"):
        frame.to_csv(path, sep="," if path.suffix == ".csv" else "\t", index=False)
    elif path.suffix == ".npz":
        np.savez_compressed(path, **columns)
    elif path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".h5":
        with h5py.File(path, "w") as file:
            for name, values in columns.items():
                file[name] = values
    else:
        data = xr.Dataset({name: ("row", values) for name, values in columns.items()})
        how = {"engine": "scipy", "format": "NETCDF3_64BIT"} if path.stem == "classic" else {"engine": "h5netcdf"}
        data.to_netcdf(path, **how)
    return path


def is_same(table: Table, ts, ys, names) -> None:
    np.testing.assert_array_equal(table.time, ts)
    np.testing.assert_array_equal(table.values, np.stack(ys, axis=1))
    assert table.names == tuple(names) and table.time.dtype == table.values.dtype == np.float64


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_table(tmp_path, name):
    path = write(tmp_path / name, {"t": TS, "u": US, "x": XS})
    is_same(read(path, "t"), TS, [US, XS], ["u", "x"])
    is_same(read(path, "t", ["x", "u"]), TS, [XS, US], ["x", "u"])
    is_same(read(path, "t", ["x"]), TS, [XS], ["x"])
    with pytest.raises(DataError, match=says(name, "no column 'y'", "closest is")):
        read(path, "t", ["y"])
    with pytest.raises(DataError, match=says("columns='x'", "pass ['x', 'y']")):
        read(path, "t", "x")


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_wrong_is_said_with_its_place(tmp_path, name):
    row = "row 3" if name.split(".")[1] in ("csv", "tsv", "dat") else "index 1"
    for ts, xs, parts in [
        ([0, 1.0, 1.0], [1, 2.0, 3], ["column 't'", "time 1.0 is a duplicate"]),
        ([0, 2.0, 1.0], [1, 2.0, 3], ["column 't'", "time 1.0 after 2.0", "must increase", "sort=True"]),
        ([0, 1.0, 2.0], [1, np.inf, 3], [row, "column 'x'", "infinite value inf"]),
        ([0, 1.0, 2.0], [1, 1.0, 1], ["column 'x'", "constant"]),
        ([0, 1.0, 2.0], [np.nan] * 3, ["column 'x'", "all 3 values are missing"]),
        ([0, np.nan, 2.0], [1, 2.0, 3], [row, "column 't'", "time"]),
        ([1.0], [1.0], ["only 1 time", "give more rows"]),
        (np.zeros(0), np.zeros(0), ["no ", "at least 2"]),
    ]:
        path = write(tmp_path / name, {"t": np.array(ts), "x": np.array(xs)})
        with pytest.raises(DataError, match=says(name, *parts)):
            read(path, "t")


@pytest.mark.parametrize("name", FORMATS)
def test_sort_is_asked_for(tmp_path, name):
    order = [2, 0, 3, 1]
    path = write(tmp_path / name, {"t": TS[order], "x": XS[order]})
    is_same(read(path, "t", sort=True), TS, [XS], ["x"])


@pytest.mark.parametrize("name", FORMATS)
def test_truncated_and_empty_files(tmp_path, name):
    path = write(tmp_path / name, {"t": np.arange(400.0), "x": np.arange(400.0) ** 2})
    whole = path.read_bytes()
    if path.suffix in (".csv", ".tsv"):
        return  # a text that ends early is a shorter text, unless in a row: test_csv.py
    for length in {0, 1, 5, len(whole) // 2, len(whole) - 9}:
        path.write_bytes(whole[:length])
        with pytest.raises(DataError, match=name):
            read(path, "t")


@pytest.mark.parametrize("name", [*FORMATS, "none.xyz"])
def test_no_such_file_and_folder(tmp_path, name):
    (tmp_path / f"{name}.bak").write_text("")
    with pytest.raises(DataError, match=says(name, "no such file", f"did you mean '{name}.bak'?")):
        read(tmp_path / name, "t")
    (tmp_path / name).mkdir()
    with pytest.raises(DataError, match=says(name, "is a directory", "name a file in it")):
        read(tmp_path / name, "t")


_cell = st.one_of(st.none(), st.floats(-1e30, 1e30, allow_subnormal=False).map(lambda x: x or 0.0))


@settings(max_examples=10, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    rows=st.lists(st.tuples(_cell, _cell), min_size=3, max_size=8),
    gaps=st.floats(1e-6, 1e6),
    name=st.sampled_from(FORMATS),
)
def test_numbers_come_through_unchanged(tmp_path, rows, gaps, name):
    values = np.array([[np.nan if c is None else c for c in row] for row in rows])
    values[:2] = [[1.0, -1.0], [2.0, 1.0]]  # no column is constant
    ts = gaps * np.arange(len(values))
    path = write(tmp_path / name, {"t": ts, "x": values[:, 0], "y": values[:, 1]})
    is_same(read(path, "t"), ts, values.T, ["x", "y"])


# Times


@pytest.mark.parametrize(
    "times, ts, unit, origin",
    [
        (pd.date_range("2020-02-28", periods=3), [0, 1, 2], "days", "2020-02-28"),
        (pd.date_range("2020-03-29", periods=3, freq="h", tz="Europe/Oslo"), [0, 3600, 7200], "seconds",
         "2020-03-28T23:00Z"),
        (pd.array([10**18, 10**18 + 5, 10**18 + 9], "Int64"), [0, 5e-9, 9e-9], "seconds", "2001-09-09T01:46:40Z"),
        (np.array([1600000000123, 1600000000124, 1600000000200]), [0, 0.001, 0.077], "seconds",
         "2020-09-13T12:26:40.123Z"),
        (np.array([0, 36, 72], "m8[h]"), [0, 1.5, 3], "days", ""),
        (np.array(["2020-01", "2020-02", "2020-03"], "M8[M]"), [0, 31, 60], "days", "2020-01-01"),
        (["2020-03-29T01:30+01:00", "2020-03-29T03:30+02:00", "2020-03-29T02:30Z"], [0, 3600, 7200], "seconds",
         "2020-03-29T00:30Z"),
        (pd.period_range("2020-01", periods=3, freq="M"), [0, 31, 60], "days", "2020-01-01"),
        (pd.array([0.25, 0.5, 1.0], "Float64"), [0.25, 0.5, 1], "", ""),
        (np.array([0, 1, 2], ">i2"), [0, 1, 2], "", ""),
    ],
)  # fmt: skip
def test_times_of_pandas(times, ts, unit, origin):
    frame = pd.DataFrame({"x": [1.0, 2.0, 4.0]}, index=pd.Index(times, name="when"))
    for table in (from_pandas(frame), from_pandas(frame["x"]), from_pandas(frame.reset_index(), "when", ["x"])):
        is_same(table, ts, [frame["x"]], ["x"])
        assert (table.time_name, table.time_unit, table.origin) == ("when", unit, origin)
    assert from_pandas(frame.reset_index(drop=True)).time_name == "index"


def test_zones_survive_parquet_and_dates_netcdf(tmp_path):
    when = pd.date_range("2020-03-28 12:00", periods=4, freq="D", tz="Europe/Oslo")  # one day has 23 hours
    pd.DataFrame({"when": when, "x": XS}).set_index("when").to_parquet(tmp_path / "a.parquet")
    table = read(tmp_path / "a.parquet", "when")
    np.testing.assert_allclose(table.time * 24, [0, 23, 47, 71])
    assert table.origin == "2020-03-28T11:00Z"
    data = xr.Dataset({"x": ("when", XS)}, {"when": when.tz_localize(None)})
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    for table in (read(tmp_path / "a.nc", "when"), from_xarray(data, "when")):
        is_same(table, np.arange(4.0), [XS], ["x"])
        assert (table.time_unit, table.origin) == ("days", "2020-03-28T12:00")


@pytest.mark.parametrize(
    "times, parts",
    [
        (pd.to_datetime(["2020-01-01", None, "2020-01-03"]), ("frame, index 1, column 'when'", "missing time", "drop")),
        (["2020-01-01", "", "2020-01-03"], ("frame, index 1", "missing time ('')", "drop")),
        (["2020-01-01T00:00Z", "2020-01-02T00:00", "2020-01-03T00:00Z"], ("index 1", "no time zone", "be mixed")),
        ([False, True, True], ("frame, column 'when'", "dtype bool", "real numbers", "convert it")),
        ([0, 1j, 2], ("frame, column 'when'", "dtype complex128", "real numbers")),
        (["now", "then", "soon"], ("frame, index 0", "'now'", "neither a number nor an ISO date")),
    ],
)  # fmt: skip
def test_bad_times(times, parts):
    with pytest.raises(DataError, match=says(*parts)):
        from_pandas(pd.DataFrame({"when": times, "x": [1.0, 2.0, 4.0]}), "when")


def test_mixed_zones_of_python():
    east = pd.Timestamp("2020-01-01 02:00", tz="Europe/Oslo")
    times = pd.Series([east, pd.Timestamp("2020-01-01 01:00:01", tz="UTC")], dtype=object)
    table = from_pandas(pd.DataFrame({"t": times, "x": [1, 2]}), "t")
    assert table.time.tolist() == [0, 1] and table.origin == "2020-01-01T01:00Z"
    times[1] = pd.Timestamp("2020-01-02")
    with pytest.raises(DataError, match=says("index 1", "no time zone", "cannot be mixed")):
        from_pandas(pd.DataFrame({"t": times, "x": [1, 2]}), "t")


def test_centuries_in_nanoseconds_do_not_wrap():
    ends = np.array([np.iinfo(np.int64).min + 10**9, 0, np.iinfo(np.int64).max - 10**9]).astype("M8[ns]")
    ticks = clock_of(ends, str).ticks
    assert np.all(np.diff(ticks) > 0) and ticks[2] > 1.8e16  # in microseconds


@pytest.mark.parametrize(
    "units, calendar, dates",
    [
        ("days since 2000-02-27", "standard", True),
        ("days since 2000-02-27", "noleap", False),
        ("days since 2000-02-27", "360_day", False),
        ("days since 3000-01-01", "standard", False),
        ("months since 2000-01-01", "standard", False),
    ],
)
def test_calendars(tmp_path, units, calendar, dates):
    """Dates where the calendar is that of clocks; else the numbers, which is said."""
    time = ("time", np.arange(4.0), {"units": units, "calendar": calendar})
    xr.Dataset({"x": ("time", XS)}, {"time": time}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    table = read(tmp_path / "a.nc", "time")
    is_same(table, np.arange(4.0), [XS], ["x"])
    assert table.origin == ("2000-02-27" if dates else "")
    assert dates or re.search(says("a.nc", "'time'", units, calendar, "not read as dates", "kept"), *table.notes)


class DatetimeNoLeap:
    """Stands for what cftime, which need not be installed, gives."""

    calendar = "noleap"
    __module__ = "cftime._cftime"


def test_dates_of_other_calendars_are_refused_as_objects(monkeypatch):
    data = xr.Dataset({"x": ("time", XS)}, {"time": ("time", np.array([DatetimeNoLeap() for _ in XS], object))})
    with pytest.raises(DataError, match=says("dataset, column 'time'", "noleap", "convert_calendar")):
        from_xarray(data, "time")


# Values


def test_kinds_of_numbers():
    frame = pd.DataFrame(
        {
            "t": TS,
            "nullable": pd.array([1, None, 3, 4], "Int64"),
            "arrow": pd.array([1.5, None, 3, 4], "double[pyarrow]"),
            "half": np.array([1, 2, 3, np.nan], np.float16),
            "byte": np.array([255, 0, 3, 4], np.uint8),
            "text": ["1.5", "NA", "-2e3", None],
            "categories": pd.Categorical([1, 2, 2, None]),
            "objects": np.array([1, None, 2.5, float("nan")], object),
        }
    )
    values = from_pandas(frame, "t").values.T.tolist()
    np.testing.assert_array_equal(
        values,
        [
            [1, np.nan, 3, 4],
            [1.5, np.nan, 3, 4],
            [1, 2, 3, np.nan],
            [255, 0, 3, 4],
            [1.5, np.nan, -2000, np.nan],
            [1, 2, 2, np.nan],
            [1, np.nan, 2.5, np.nan],
        ],
    )


@pytest.mark.parametrize(
    "xs, parts",
    [
        ([True, False, True, False], ("frame, column 'x'", "dtype bool", "real numbers", "choose other columns")),
        ([1j, 2j, 3j, 4j], ("frame, column 'x'", "complex128", "real numbers")),
        (["1", "2", "warm", "4"], ("frame, index 2, column 'x'", "'warm'", "text in a column of numbers")),
        (["1", "2", "1e400", "4"], ("frame, index 2, column 'x'", "1e400", "infinite")),
        (pd.date_range("2020", periods=4), ("frame, column 'x'", "datetime64", "real numbers")),
    ],
)
def test_kinds_that_are_no_numbers(xs, parts):
    with pytest.raises(DataError, match=says(*parts)):
        from_pandas(pd.DataFrame({"t": TS, "x": xs}), "t")


def test_big_endian_and_fortran_order(tmp_path):
    ys = np.arange(8.0).reshape(4, 2) ** 2
    fortran = np.asfortranarray(ys.astype(">f4"))
    np.savez(tmp_path / "a.npz", t=TS.astype(">f8"), ys=fortran, n=np.arange(4, dtype=">i2"))
    table = read(tmp_path / "a.npz", "t")
    is_same(table, TS, [*ys.T, np.arange(4.0)], ["ys[0]", "ys[1]", "n"])
    is_same(read(tmp_path / "a.npz", "t", ["n", "ys"]), TS, [np.arange(4.0), *ys.T], ["n", "ys[0]", "ys[1]"])
    is_same(read(tmp_path / "a.npz", "t", ["ys[1]"]), TS, [ys[:, 1]], ["ys[1]"])


def test_more_dimensions_become_columns(tmp_path):
    stations = {"station": ["oslo", "bergen"], "height": [2.0]}
    temp = (("station", "height", "time"), np.arange(8.0).reshape(2, 1, 4), {"units": "degC"})
    data = xr.Dataset({"temp": temp, "depth": ("station", [1.0, 2.0]), "x": ("time", XS)}, {"time": TS, **stations})
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    for table in (from_xarray(data, "time"), read(tmp_path / "a.nc", "time")):
        is_same(table, TS, [np.arange(4.0), np.arange(4.0, 8), XS], ["temp[oslo]", "temp[bergen]", "x"])
        assert table.units == ("degC", "degC", "")
    is_same(from_xarray(data, "time", ["temp[bergen]"]), TS, [np.arange(4.0, 8)], ["temp[bergen]"])
    is_same(from_xarray(data["x"], "time"), TS, [XS], ["x"])
    twins = data.assign_coords(station=["oslo", "oslo"])
    with pytest.raises(DataError, match=says("array 'temp'", "duplicate column name 'temp[oslo]'", "rename")):
        from_xarray(twins, "time")
    with pytest.raises(DataError, match=says("'depth'", "shape (2,)", "each time needs one value")):
        from_xarray(data, "time", ["depth"])
    with pytest.raises(DataError, match=says("'temp'", "dimensions", "times have one")):
        from_xarray(data, "temp")


def test_fill_values_are_missing_and_packed_values_unpacked(tmp_path):
    packed = ("time", np.array([2, 4, -32767, 8], "i2"), {"_FillValue": np.int16(-32767), "scale_factor": 0.5})
    xr.Dataset({"x": packed}, {"time": TS}).to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    is_same(read(tmp_path / "a.nc", "time"), TS, [[1, 2, np.nan, 4]], ["x"])


def test_units_are_kept(tmp_path):
    frame = pd.DataFrame({"t": TS, "x": XS, "u": US})
    frame.attrs["units"] = {"x": "m", "other": "s"}
    assert from_pandas(frame, "t").units == ("m", "")
    frame.to_parquet(tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet", "t").select(["u", "x"]).units == ("", "m")
    fields = [pa.field("t", pa.float64()), pa.field("x", pa.float64(), metadata={"units": "km"})]
    pq.write_table(pa.table([TS, XS], schema=pa.schema(fields)), tmp_path / "b.parquet")
    assert read(tmp_path / "b.parquet", "t").units == ("km",)
    assert Table(TS, XS[:, None], ("x",), "t", "", "", "").units == ("",)


# Sentinels


def test_sentinels_are_missing_where_named_and_reported_where_not(tmp_path):
    xs = np.array([1.0, -999.0, 3.0, 2.0, -999.0])
    path = write(tmp_path / "a.csv", {"t": np.arange(5.0), "x": xs, "y": xs * 0 + [1, 2, 3, 4, 1e20]})
    table = read(path, "t")
    np.testing.assert_array_equal(table.values[:, 0], xs)
    first, second = table.notes
    assert re.search(says("a.csv, column 'x'", "-999 in 2 of 5 rows", "row 3", "kept", "sentinels=[-999]"), first)
    assert re.search(says("a.csv, column 'y'", "1e+20 in 1 of 5 rows", "row 6", "kept"), second)
    table = read(path, "t", sentinels=[-999, 1e20])
    np.testing.assert_array_equal(np.isnan(table.values), [[0, 0], [1, 0], [0, 0], [0, 0], [1, 1]])
    assert table.notes == (f"{path}: 3 values of -999 or 1e+20 taken as missing",)
    with pytest.raises(DataError, match="all 5 values are missing"):
        read(write(tmp_path / "b.csv", {"t": np.arange(5.0), "x": -999 + np.zeros(5)}), "t", sentinels=[-999])


@pytest.mark.parametrize(
    "column, suspected",
    [
        ([10, 12, -999, 11, -999], [-999]),
        ([10, 12, -99, 11, 13], [-99]),
        ([10, 12, -99, 11, -9999], [-99, -9999]),
        ([9.969209968386869e36, 1, 2, 3], [9.96921e36]),
        ([np.float32(1e20), 1, 2, 3], [1e20]),
        ([995, 999, 1003, 999, 998], []),  # hectopascals
        ([0, 500, 999, 1500], []),
        ([900, 950, 999, 999], []),  # the highest, but near
        ([-90, -99, -80], []),
        ([1, 2, 3, np.nan], []),
        ([-999, -999, -999], []),  # constant, which is refused anyway
    ],
)
def test_what_is_suspicious(column, suspected):
    column = np.array(column, np.float64)[:, None]
    kept, notes = sift(column, ["x"], lambda i: f"f, row {i}", "f", [])
    np.testing.assert_array_equal(kept, column)
    assert len(notes) == len(suspected)
    assert all(any(f"{value:g} in" in note for note in notes) for value in suspected), notes


# Memory


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_larger_than_memory_is_refused_with_its_size(tmp_path, name, monkeypatch):
    path = write(tmp_path / name, {"t": np.arange(4e4), "x": np.arange(4e4), "y": np.arange(4e4)})
    monkeypatch.setattr("ctmodels.data._memory.available", lambda: 1e6)
    monkeypatch.setattr("ctmodels.data.formats._text.available", lambda: 1e6)
    with pytest.raises(DataError, match=says(name, "of memory and 1 MB are free", "columns")):
        read(path, "t")
    if path.suffix not in (".csv", ".tsv", ".gz"):
        monkeypatch.setattr("ctmodels.data._memory.available", lambda: 4e6)
        assert len(read(path, "t", ["x"]).time) == 40_000  # two of three columns fit


def test_a_bomb_is_not_unpacked(tmp_path, monkeypatch):
    """A little file that unpacks to 200 MB is given up at 16 MB."""
    path = tmp_path / "bomb.csv.gz"
    path.write_bytes(gzip.compress(b"t,x\n" + b"0,1\n" * 1000 + b" " * 200_000_000, 1))
    monkeypatch.setattr("ctmodels.data._memory.available", lambda: 16 * _memory.TEXT * 1e6)
    monkeypatch.setattr("ctmodels.data.formats._text.available", lambda: 16 * _memory.TEXT * 1e6)
    with pytest.raises(DataError, match=says("bomb.csv.gz", "unpacks to more than", "MB", "free")):
        read(path, "t")


def test_memory_is_told():
    assert 1e6 < _memory.available() and 1e6 < _memory._installed()
    said = [_memory.size(n) for n in (0, 999, 4e4, 1.23e9, 5e12)]
    assert said == ["0 bytes", "999 bytes", "40 kB", "1.23 GB", "5 TB"]


# npz files that lie or bite


def npz(path: Path, members: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def npy(array: np.ndarray, **how) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, **how)
    return file.getvalue()


def header(shape, descr="<f8") -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"shape": shape, "fortran_order": False, "descr": descr})
    return file.getvalue()


class Bite:
    def __reduce__(self):
        return os.mkdir, ("bitten",)


def test_pickled_objects_are_never_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bite = npy(np.array([Bite(), None], object))
    path = npz(tmp_path / "a.npz", {"t.npy": npy(np.arange(2.0)), "x.npy": bite})
    with pytest.raises(DataError, match=says("array 'x'", "pickled objects", "never read", "numbers")):
        read(path, "t")
    path = npz(tmp_path / "a.npz", {"t.npy": npy(np.arange(2.0)), "x.npy": pickle.dumps(Bite())})
    with pytest.raises(DataError, match=says("a.npz", "not a whole npz file")):
        read(path, "t")
    assert os.listdir(tmp_path) == ["a.npz"]


@pytest.mark.parametrize("shape", [(10**15,), (2**40, 2**40), (3,), (1,), (0,)])
def test_a_declared_shape_must_be_true(tmp_path, shape):
    path = npz(tmp_path / "a.npz", {"t.npy": npy(np.arange(2.0)), "x.npy": header(shape) + bytes(16)})
    with pytest.raises(DataError, match=says("array 'x'", f"declares shape {shape}", "holds 16 bytes", "save")):
        read(path, "t")


def test_a_true_shape_must_fit(tmp_path, monkeypatch):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, t=np.arange(2.0), x=np.zeros(5_000_000))
    assert path.stat().st_size < 50_000
    monkeypatch.setattr("ctmodels.data._memory.available", lambda: 1e6)
    with pytest.raises(DataError, match=says("a.npz", "5000002 numbers", "200 MB of memory and 1 MB are free")):
        read(path, "t")


def test_names_in_an_archive_are_no_paths(tmp_path, monkeypatch):
    (tmp_path / "in").mkdir()
    monkeypatch.chdir(tmp_path / "in")
    members = {"t.npy": npy(np.arange(3.0)), "../x.npy": npy(np.arange(3.0)), "/etc/y.npy": npy(np.arange(3.0) ** 2)}
    table = read(npz(tmp_path / "in" / "a.npz", members), "t")
    assert table.names == ("../x", "/etc/y")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["a.npz", "in"]


# Of a file that it cannot open, h5netcdf leaves half an object, which complains as it goes.
@pytest.mark.filterwarnings("ignore:Exception ignored in:pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("name", ["a.npz", "a.parquet", "a.nc", "a.h5", "a.csv.gz"])
def test_flipped_bytes_are_refused_or_harmless(tmp_path, name):
    """Whatever a damaged file holds: a table, or a `DataError`; nothing else."""
    path = write(tmp_path / name, {"t": np.arange(50.0), "x": np.arange(50.0) ** 2})
    whole, rng = bytearray(path.read_bytes()), np.random.default_rng(0)
    for at in rng.integers(0, len(whole), 40):
        damaged = whole.copy()
        damaged[at] ^= 1 << int(rng.integers(8))
        path.write_bytes(damaged)
        try:
            read(path, "t")
        except DataError as e:
            assert name in str(e)


# The extra


@pytest.mark.parametrize(
    "name, module",
    [("a.parquet", "pyarrow"), ("a.parquet", "pandas"), ("a.nc", "xarray"), ("a.nc", "h5netcdf"), ("a.h5", "h5py")],
)
def test_a_missing_library_is_said_with_the_line_that_installs_it(tmp_path, name, module, monkeypatch):
    path = write(tmp_path / name, {"t": TS, "x": XS})
    for loaded in [m for m in sys.modules if m.partition(".")[0] == module]:
        monkeypatch.setitem(sys.modules, loaded, None)
    with pytest.raises(DataError, match=says(name, module, "not installed", "pip install 'ctmodels[data]'")):
        read(path, "t")


def test_a_table_is_replaced_as_a_whole():
    table = from_pandas(pd.DataFrame({"t": TS, "x": XS, "u": US}), "t")
    assert dataclasses.replace(table, source="b").units == ("", "")
