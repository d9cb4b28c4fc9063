"""What files declare or write for missing, and that every remedy of a note works as it is printed; groups, labels."""

import re
import shlex

import h5netcdf
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr

from ctmodels import cli
from ctmodels._command_line import CommandLine
from ctmodels._core._validation import DataError
from ctmodels._core._words import spoken
from ctmodels.data import from_pandas, from_xarray, read
from ctmodels.data._sentinels import equal, shown, sift
from ctmodels.data.formats._packed import FILLS

pytestmark = pytest.mark.only("float32")

TS = np.arange(60.0)
HOLES = [5, 17]


def wave(dtype, size=50):
    return np.round(size + size * np.sin(TS / 5)).astype(dtype)


def stored(path, raw, **attrs):
    """A variable `x` over `time`, as it lies in a file."""
    with h5py.File(path, "w") as f:
        f["time"], f["x"] = TS, raw
        f["time"].make_scale("time")
        f["x"].dims[0].attach_scale(f["time"])
        f["x"].attrs.update(attrs)
    return path


def missing_in(table):
    return np.flatnonzero(np.isnan(table.values[:, 0])).tolist()


# The valid range


@pytest.mark.parametrize("dtype", ["f4", "f8", "i2", "u2", "i4", "i8", "u1"])
@pytest.mark.parametrize("attrs", [{"valid_min": 0, "valid_max": 100}, {"valid_range": [0, 100]}, {"valid_max": 100}])
def test_what_is_outside_the_valid_range_is_missing(tmp_path, dtype, attrs):
    raw = wave(dtype)
    raw[HOLES] = 101
    attrs = {k: np.asarray(v, dtype) for k, v in attrs.items()}
    table = read(stored(tmp_path / "a.nc", raw, **attrs), "time")
    assert missing_in(table) == HOLES
    assert re.search(
        r"column 'x': 2 of 60 values are outside the valid range .*100 that the file declares", *table.notes
    )


@pytest.mark.parametrize(
    "bounds, attrs",
    [
        (np.int16([0, 100]), {}),  # of the stored numbers, as CF has it
        ([20.0, 21.0], {}),  # of the unpacked ones, as their wider type says
        (np.float32([19.999, 21.0]), {}),
        ([19.0, 20.0], {"scale_factor": -0.01}),
    ],
)
def test_the_valid_range_of_packed_numbers(tmp_path, bounds, attrs, tolerance):
    raw = wave("i2")
    raw[HOLES] = [101, -1]
    attrs = {"scale_factor": 0.01, "add_offset": 20.0, **attrs}
    path = stored(tmp_path / "a.nc", raw, valid_range=bounds, **attrs)
    table = read(path, "time")
    assert missing_in(table) == HOLES
    rest = np.setdiff1d(np.arange(60), HOLES)
    np.testing.assert_allclose(
        table.values[rest, 0], raw[rest] * attrs["scale_factor"] + 20, **tolerance(0.01, float), equal_nan=True
    )
    for how in ({}, {"mask_and_scale": False}):  # as xarray has unpacked it, and as it has not
        with xr.open_dataset(path, engine="h5netcdf", **how) as data:
            again = from_xarray(data, "time")
        np.testing.assert_allclose(again.values, table.values, **tolerance(0.05), equal_nan=True)


def test_bytes_that_are_unsigned(tmp_path):
    raw = wave("u1", 120)  # up to 240, as bytes of netCDF-3 have no sign
    raw[HOLES] = [255, 250]
    attrs = {"_Unsigned": "true", "_FillValue": np.int8(-1), "valid_range": np.array([0, 240], "u1").view("i1")}
    table = read(stored(tmp_path / "a.nc", raw.view("i1"), **attrs), "time")
    assert missing_in(table) == HOLES and np.nanmax(table.values) == 240


def test_the_ends_of_a_range_are_in_it(tmp_path):
    raw = wave("f4") / np.float32(3)
    attrs = {"valid_range": np.float64([raw.min(), raw.max()]).round(6)}  # decimals that float32 has lost
    low, high = np.float32(attrs["valid_range"])
    table = read(stored(tmp_path / "a.nc", np.clip(raw, low, high), **attrs), "time")
    assert not missing_in(table) and not table.notes


@pytest.mark.parametrize(
    "attrs, words",
    [
        ({"valid_min": "low"}, "the attribute valid_min is 'low', no number: passed over"),
        ({"valid_range": [1.0, 2.0, 3.0]}, "valid_range is .*no lower and upper end: passed over"),
        ({"_FillValue": "none"}, "the attribute _FillValue is 'none', no number"),
        ({"units": 1, "calendar": 3}, ""),
        ({"valid_max": "1000", "missing_value": "-999"}, ""),
    ],
)
def test_odd_attributes_are_passed_over_with_a_note(tmp_path, attrs, words):
    table = read(stored(tmp_path / "a.nc", wave("f8"), **attrs), "time")
    assert not missing_in(table) and (re.search(words, *table.notes) if words else not table.notes)


def test_a_range_that_leaves_nothing_is_an_error(tmp_path):
    path = stored(tmp_path / "a.nc", wave("f8"), valid_max=-1.0)
    with pytest.raises(DataError, match="column 'x': all 60 values are outside the valid range up to -1 .*: correct"):
        read(path, "time")


# Fill values


@pytest.mark.parametrize("packing", [{}, {"scale_factor": 0.01}, {"scale_factor": np.float32(0.5), "add_offset": 20.0}])
@pytest.mark.parametrize("kind", FILLS)
def test_default_fill_values_are_missing(tmp_path, kind, packing):
    raw = wave(kind)
    raw[HOLES] = FILLS[kind]
    path = stored(tmp_path / "a.nc", raw, **packing)
    table = read(path, "time")
    assert missing_in(table) == HOLES
    assert re.search(r"column 'x': 2 of 60 values are \S+, netCDF's fill value", *table.notes)
    if kind not in ("i8", "u8"):  # which float64, that xarray makes of them, cannot tell from their neighbours
        with xr.open_dataset(path, engine="h5netcdf") as data:
            assert missing_in(from_xarray(data, "time")) == HOLES
    declared = stored(tmp_path / "b.nc", raw, _FillValue=np.asarray(7, kind), **packing)
    assert not set(HOLES) & set(missing_in(read(declared, "time")))


@pytest.mark.parametrize(
    "kind, end", [("i1", -127), ("i1", -128), ("u1", 255), ("i2", -32768), ("u2", 65535), ("i4", 2**31 - 1)]
)
@pytest.mark.parametrize("packing", [{}, {"scale_factor": 0.013, "add_offset": 20.0}])
def test_the_ends_of_a_type_are_suspects(tmp_path, kind, end, packing):
    raw = wave(kind, 25)
    raw[HOLES] = end
    path = stored(tmp_path / "a.nc", raw, _FillValue=np.asarray(77, kind), **packing)
    (note,) = read(path, "time").notes
    assert missing_in(read(path, "time", **remedy(note))) == HOLES
    if not packing:
        np.savez(tmp_path / "a.npz", time=TS, x=raw)
        (note,) = read(tmp_path / "a.npz", "time").notes
        assert missing_in(read(tmp_path / "a.npz", "time", **remedy(note))) == HOLES


def remedy(note):
    """The arguments that a note gives."""
    return {"sentinels": [float(x) for x in re.findall(r"sentinels=\[(.+?)\]", note)]}


SUSPICIOUS = [
    -2147483647, -2147483648, 4294967295, -32767, 1e6, -88888.8, -99.9, np.float32(-99.9), 1e20, np.float32(1e20),
    9.969209968386869e36, -9999.123456789, 123456789.125, -1 / 3 * 1e7, 9007199254740993, 1e25, float(2**63),
]  # fmt: skip


@pytest.mark.parametrize("value", SUSPICIOUS)
@pytest.mark.parametrize("end", ["csv", "parquet", "npz", "nc"])
def test_the_remedy_of_a_note_works_as_printed(tmp_path, value, end):
    xs = np.sin(TS)
    xs[HOLES] = value
    frame, path = pd.DataFrame({"t": TS, "x": xs}), tmp_path / f"a.{end}"
    write = {
        "csv": lambda: frame.to_csv(path, index=False),
        "parquet": lambda: frame.to_parquet(path),
        "npz": lambda: np.savez(path, t=TS, x=xs),
        "nc": lambda: frame.set_index("t").to_xarray().to_netcdf(path, engine="h5netcdf"),
    }
    write[end]()
    (note,) = read(path, "t").notes
    table = read(path, "t", **remedy(note))
    assert missing_in(table) == HOLES and table.notes[0].startswith(f"{path}: 2 values of ")
    asked = ["reconstruct", str(path), "--time", "t", "--out", "o"]
    with spoken(CommandLine(cli._parser().parse_args(asked).parser, asked)):
        (told,) = read(path, "t").notes
    line = [*asked, *shlex.split(re.findall(r"--missing[ =][^)]+", told)[0])]
    assert cli._parser().parse_args(line).sentinels == remedy(note)["sentinels"]


@pytest.mark.parametrize(
    "sentinel, others",
    [
        (-9999, [-9998.99, -9999.01]),
        (99999, [99998.9, 99999.1]),
        (2147483647, [2147483646, 2147483000]),
        (-99.9, [-99.90001]),
    ],
)
def test_a_sentinel_takes_no_neighbours(sentinel, others):
    assert not equal(np.array(others, np.float64), sentinel).any()
    assert equal(np.array([sentinel, np.float64(shown(sentinel))]), sentinel).all()


@pytest.mark.parametrize(
    "column",
    [
        np.where(np.arange(50) % 9 == 0, 1.0, 0.0),  # a switch
        np.where(np.arange(50) % 9 == 0, 1e5, np.arange(50) % 3),  # pulses
        np.exp(np.linspace(0, 5, 50)),
        np.clip(3e4 * np.sin(np.arange(50.0)), -32767, 32767),
        np.clip(4e4 * np.sin(np.arange(500.0)), -32768, 32767),  # saturates
        np.random.default_rng(0).standard_t(3, 500),
    ],
)
def test_what_is_no_suspect(column):
    assert sift(column[:, None], ["x"], str, "f", [])[1] == ()


# Groups


def test_groups_are_paths(tmp_path):
    path = tmp_path / "a.nc"
    with h5netcdf.File(path, "w") as f:
        f.dimensions = {"time": 60}
        f.create_variable("time", ("time",), "f8")[:] = TS
        f.create_group("sensor").create_variable("x", ("time",), "f8")[:] = TS**2
        own = f.create_group("sensor/own")
        own.dimensions = {"time": 9}
        own.create_variable("time", ("time",), "f8")[:] = TS[:9]
        z = own.create_variable("z", ("time",), "i2", fillvalue=np.int16(4))
        z[:] = np.arange(9)
        z.attrs["units"] = "m"
    table = read(path, "time")  # the dimension is that of the group above
    assert table.names == ("sensor/x",) and table.values[2, 0] == 4
    table = read(path, "sensor/own/time", ["sensor/own/z"])
    assert (table.time_name, table.names, table.units) == ("sensor/own/time", ("sensor/own/z",), ("m",))
    assert missing_in(table) == [4] and read(path, "sensor/own/time").names == ("sensor/own/z",)
    data = xr.Dataset({"x": ("time", TS**2)}, {"time": TS})
    tree = xr.DataTree.from_dict({"/": data, "/sensor": data[["x"]].drop_vars("time") * 2})
    assert from_xarray(tree, "time").names == ("x", "sensor/x")
    with pytest.raises(DataError, match=r"no column 'z': there are .*'sensor/x'.*; the closest is 'sensor/own/z'"):
        read(path, "time", ["z"])
    with pytest.raises(DataError, match=r"'sensor/own/z': shape \(9,\), and 'time' has shape \(60,\)"):
        read(path, "time", ["sensor/own/z"])


def test_groups_of_hdf5(tmp_path):
    with h5py.File(tmp_path / "a.h5", "w") as f:
        f["sensor/time"], f["sensor/x"], f["other/y"], f["title"] = TS, TS**2, -TS, "text"
        f["sensor/two"] = np.stack([TS, -TS], 1)
        f["sensor/record"] = np.zeros(60, [("a", "f4")])
        f.create_group("empty")
    wanted = ["sensor/x", "other/y", "sensor/two"]
    assert read(tmp_path / "a.h5", "sensor/time", wanted).names == (*wanted[:2], "sensor/two[0]", "sensor/two[1]")
    with pytest.raises(DataError, match="no column 'time': there are .*'sensor/time'.*; the closest is 'sensor/time'"):
        read(tmp_path / "a.h5", "time")


# Labels and units of pandas


@pytest.mark.parametrize(
    "labels, names",
    [
        ([("Close", "AAA"), ("Close", "BBB")], ("Close[AAA]", "Close[BBB]")),
        ([("Close", ""), ("Open", "AAA")], ("Close", "Open[AAA]")),
        ([("a", "b", "c"), ("a", "b", "d")], ("a[b,c]", "a[b,d]")),
        ([0, 1], ("0", "1")),
        ([0.5, None], ("0.5", "nan")),
        (pd.date_range("2024-01-01", periods=2), ("2024-01-01 00:00:00", "2024-01-02 00:00:00")),
        (pd.period_range("2024-01", periods=2, freq="M"), ("2024-01", "2024-02")),
        ([("x", 1), ("x", 2)], ("x[1]", "x[2]")),
        (pd.CategoricalIndex(["u", "v"]), ("u", "v")),
    ],
)
def test_labels_that_are_no_text(labels, names):
    index = pd.Index(TS[:9], name="t")
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(9, 2)), index, labels)
    for table in (from_pandas(frame), from_pandas(frame, "t"), from_pandas(frame.reset_index(), "t")):
        assert table.names == names and table.time_name == "t"
    last = frame.columns[-1]
    np.testing.assert_array_equal(from_pandas(frame, None, [last]).values, frame.iloc[:, 1:])
    assert from_pandas(frame, None, [names[1]]).names == names[1:]


def test_labels_that_are_one_as_text():
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(4, 3)), columns=["t", 0, "0"])
    with pytest.raises(DataError, match="frame: duplicate column name '0'"):
        from_pandas(frame)
    levels = pd.DataFrame(
        np.ones((4, 3)) * TS[:4, None], columns=pd.MultiIndex.from_tuples([("t", ""), ("x", "a"), ("x", "b")])
    )
    assert from_pandas(levels, ("t", ""), ["x"]).names == ("x[a]", "x[b]")


def test_an_index_that_is_named_as_a_column():
    frame = pd.DataFrame({"index": TS[:4] ** 2, "x": TS[:4]})
    with pytest.raises(DataError, match="'index' is the index and a column") as e:
        from_pandas(frame)
    assert eval("frame" + re.findall(r"pass frame(\S+) for", str(e.value))[0]).index.name == "time"
    assert from_pandas(frame.rename_axis("time")).names == ("index", "x") and from_pandas(frame, "index").names == (
        "x",
    )


@pytest.mark.parametrize(
    "units, kept, noted",
    [
        ("degC", ("", ""), True), ({"x": "K", "y": None}, ("K", ""), False), ({"x": b"K", "z": 1}, ("K", ""), False),
        ([1, 2], ("", ""), True), (None, ("", ""), False), (7, ("", ""), True),
    ],
)  # fmt: skip
def test_units_of_every_type(tmp_path, units, kept, noted):
    frame = pd.DataFrame({"t": TS[:9], "x": TS[:9] ** 2, "y": -TS[:9]})
    frame.attrs["units"] = units
    table = from_pandas(frame, "t")
    assert table.units == kept and bool(table.notes) == noted
    assert not noted or re.search("attrs\\['units'\\] is .*left out; give them by column, {'x': 'm'}", *table.notes)
    if not (isinstance(units, dict) and "z" in units):
        frame.to_parquet(tmp_path / "a.parquet")
        table = read(tmp_path / "a.parquet", "t")
        assert table.units == kept and bool(table.notes) == noted
        frame.attrs["units"] = {"x": "m"}
        assert from_pandas(frame, "t").units == ("m", "")  # as the note says
    series = frame.set_index("t")["x"]
    series.attrs["units"] = "m"
    assert from_pandas(series).units == ("m",)
