"""CSV files: bad ones are refused with place, cell and remedy; good ones are read exactly."""

import re
from pathlib import Path

import numpy as np
import pytest

from ctmodels._core._validation import DataError
from ctmodels.data import bundled_path, co2, lynx_hare, read_csv, sunspots

pytestmark = pytest.mark.only("float32")


def says(*parts: str) -> str:
    """A pattern that finds all the parts, in their order, in one message."""
    return "(?s)" + ".*".join(re.escape(part) for part in parts)


def write(folder: Path, text: str | bytes, name: str = "a.csv") -> Path:
    path = folder / name
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


_head = "t,x,y\n0,1,2\n1,2,3\n"


@pytest.mark.parametrize(
    "text, parts",
    [
        # the file
        ("", ("a.csv", "empty", "0 characters", "header")),
        (" \r\n\n", ("a.csv", "empty", "4 characters", "header")),
        (b"\xef\xbb\xbf", ("a.csv", "empty", "header")),
        ('""\n', ("a.csv", "empty", "header")),
        (b"t,x\n0,\0\0\n", ("a.csv, row 2", "binary", "NUL", "CSV")),
        (_head.encode("utf-16"), ("a.csv", "UTF-16", "UTF-8", "save")),
        ("t,x,é\n0,1,2\n".encode("latin1"), ("a.csv, row 1", "0xe9", "not UTF-8", "iconv")),
        (_head.encode() + b"2,\xff,3\n", ("a.csv, row 4", "0xff", "not UTF-8", "iconv")),
        (_head + '2,"3,4\n', ("a.csv, row 4", "broken quotes", "close each quote")),
        # the header
        ("t,x,y\n", ("a.csv", "no data rows", "at least 2 rows")),
        ("t,x,y\n0,1,2\n", ("a.csv, column 't'", "only 1 time", "at least 2", "more rows")),
        (
            "1900,30,4\n1901,47.2,6.1\n",
            ("a.csv, row 1", "no header", "all numbers", "'30'", "add a row of names"),
        ),
        ("1,5;2,5\n1,6;2,6\n", ("a.csv, row 1", "no header", "'1,5'", "add a row of names")),
        (
            "2020-01-01,5\n2020-01-02,6\n",
            ("a.csv, row 1", "no header", "'2020-01-01'", "add a row of names"),
        ),
        ("t,x, x\n0,1,2\n1,2,3\n", ("a.csv, row 1", "duplicate", "'x'", "rename")),
        (
            "T,x,y\n0,1,2\n1,2,3\n",
            ("a.csv, row 1", "no column 't'", "'T', 'x', 'y'", "closest is 'T'"),
        ),
        ("t,x,\n0,1,2\n1,2,3\n", ("a.csv, row 1", "column 3 has no name", "name it")),
        ("t\n0\n1\n", ("a.csv, row 1", "'t' is the only column", "add one")),
        # the rows
        (_head + "2,high,4\n", ("a.csv, row 4, column 'x'", "'high'", "text", "columns=")),
        (_head + "2,1_000,4\n", ("a.csv, row 4, column 'x'", "'1_000'", "text", "write a number")),
        (_head + "2,١,4\n", ("a.csv, row 4, column 'x'", "text", "write a number")),
        (_head + "2,3\n", ("a.csv, row 4", "2 cells", "header has 3", "add or remove")),
        (_head + "2,3,4,5.5\n", ("a.csv, row 4", "4 cells", "header has 3", "quote")),
        (
            "t,x\n0,1,5\n1,2,5\n",
            ("a.csv, row 2", "3 cells", "header has 2", "decimal commas", "1.5 for 1,5"),
        ),
        (
            't,x\n0,"1,5"\n1,"2,5"\n',
            ("a.csv, row 2, column 'x'", "'1,5'", "decimal commas", "another sign", "1.5 for 1,5"),
        ),
        (
            "t;x\n0;1,5\n1;2.5\n",
            ("row 2, column 'x'", "'1,5'", "decimal comma", "'2.5'", "row 3, column 'x'", "1.5 for 1,5"),
        ),
        (
            "t;x\n0;1,500\n1;2,250\n",
            ("row 2, column 'x'", "'1,500'", "between thousands", "nothing is guessed", "1500 for 1,500"),
        ),
        (
            _head + "2,1e400,4\n",
            ("a.csv, row 4, column 'x'", "'1e400'", "infinite", "1.8e308", "rescale"),
        ),
        (
            _head + "2,3,-inf\n",
            ("a.csv, row 4, column 'y'", "infinite value -inf", "finite", "rescale"),
        ),
        (
            _head + "2,3,1e39\n",
            ("a.csv, row 4, column 'y'", "1e+39", "3e+38", "float32", "rescale"),
        ),
        (
            "t,x,y\n0,,1\n1,NA,2\n",
            ("a.csv, column 'x'", "all 2 values are missing", "leave it out"),
        ),
        ("t,x,y\n0,5,1\n1,5,2\n", ("a.csv, column 'x'", "constant", "5.0", "vary", "constant_ok")),
        # the times
        (_head + ",3,4\n", ("a.csv, row 4, column 't'", "missing time", "''", "drop the row")),
        (
            _head + "N/A,3,4\n",
            ("a.csv, row 4, column 't'", "missing time", "'N/A'", "drop the row"),
        ),
        (
            _head + "soon,3,4\n",
            ("a.csv, row 4, column 't'", "'soon'", "neither a number nor an ISO date", "write"),
        ),
        (_head + "inf,3,4\n", ("a.csv, row 4, column 't'", "time inf", "finite", "drop the row")),
        (_head + "1e999,3,4\n", ("a.csv, row 4, column 't'", "'1e999'", "infinite")),
        (
            _head + "0.50,3,4\n",
            ("a.csv, row 4, column 't'", "time 0.50 after 1:", "must increase", "sort", "by 't'"),
        ),
        (
            _head + "1.0,3,4\n",
            ("a.csv, row 4, column 't'", "time 1.0 is a duplicate", "must increase", "average"),
        ),
        (
            "t,x\n1 Year 1999,1\n2 Year 1999,2\n",
            ("a.csv, row 2, column 't'", "'1 Year 1999'", "neither", "2001-12-31"),
        ),
        (
            "t,x\n1999-01-01,1\n2/1/1999,2\n",
            ("a.csv, row 3, column 't'", "'2/1/1999'", "not an ISO date", "write"),
        ),
        (
            "t,x\n1999-01-01,1\n1999-02-30,2\n",
            ("a.csv, row 3, column 't'", "'1999-02-30'", "not exist", "correct"),
        ),
        (
            "t,x\n1999-01-01T00:00Z,1\n1999-01-01T01:00,2\n",
            ("row 3, column 't'", "no time zone", "give all rows"),
        ),
        (
            "t,x\n1999-01-02,1\n1999-01-01,2\n",
            ("row 3, column 't'", "1999-01-01 after 1999-01-02", "sort", "by 't'"),
        ),
        (
            "t,x\n2020-01-01T02:00+02:00,1\n2020-01-01T00:00Z,2\n",
            ("row 3", "2020-01-01T00:00Z is a duplicate"),
        ),
    ],
)
def test_bad_file(tmp_path, text, parts):
    with pytest.raises(DataError, match=says(*parts)):
        read_csv(write(tmp_path, text), "t")


@pytest.mark.parametrize(
    "columns, parts",
    [
        (["xx"], ("a.csv, row 1", "no column 'xx'", "'t', 'x', 'y'", "closest is 'x'")),
        (["x", "x"], ("'x'", "asked for twice", "drop one")),
        (["t", "x"], ("'t'", "as time and as a value", "drop one")),
        ([], ("columns=[]", "at least one", "pass ['x', 'y']")),
        ("x", ("columns='x'", "sequence", "pass ['x', 'y']")),
    ],
)
def test_bad_columns(tmp_path, columns, parts):
    with pytest.raises(DataError, match=says(*parts)):
        read_csv(write(tmp_path, _head), "t", columns)
    if columns != ["t", "x"]:
        with pytest.raises(DataError, match=says(*parts[1:2])):
            read_csv(write(tmp_path, _head), "t").select(columns)


def test_no_such_file(tmp_path):
    write(tmp_path, _head, "lynx.csv")
    with pytest.raises(DataError, match=says("lnyx.csv", "no such file", "did you mean 'lynx.csv'")):
        read_csv(tmp_path / "lnyx.csv", "t")
    with pytest.raises(DataError, match=says("nowhere", "no such file", "check the path")):
        read_csv(tmp_path / "nowhere" / "a.csv", "t")
    with pytest.raises(DataError, match=says("lynx.csv/a.csv", "cannot be read", "check the path")):
        read_csv(tmp_path / "lynx.csv" / "a.csv", "t")


def test_directory(tmp_path):
    with pytest.raises(DataError, match=says(str(tmp_path), "directory", "name a file in it")):
        read_csv(tmp_path, "t")


def test_unreadable(tmp_path, monkeypatch):
    def refuse(self):  # chmod does not stop root
        raise PermissionError(13, "Permission denied")

    write(tmp_path, _head)
    monkeypatch.setattr(Path, "read_bytes", refuse)
    with pytest.raises(DataError, match=says("a.csv", "cannot be read", "Permission denied", "permissions")):
        read_csv(tmp_path / "a.csv", "t")


def test_rows_are_those_of_an_editor(tmp_path):
    text = '"t\nin s",note,x\r\n\r\n0,"two\r\nlines",1\r\n\n1,"a\n\nb",2\n2,c,high\n'
    path = write(tmp_path, text)
    with pytest.raises(DataError, match=says("a.csv, row 10, column 'x'", "'high'")):
        read_csv(path, "t\nin s", ["x"])
    with pytest.raises(DataError, match=says("a.csv, row 4, column 'note'")):
        read_csv(path, "t\nin s")


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_dialects(tmp_path, delimiter, bom, end):
    rows = [
        ["t", '"a ""b"", c; d|e\tf"', "x"],
        ["0", '"1.5"', "-2e-3"],
        ["0.5", " +.5 ", "7."],
        ["", "", ""],
    ]
    text = bom + end.join(delimiter.join(row) for row in rows[:3]) + end + end
    table = read_csv(write(tmp_path, text), "t")
    assert table.names == ('a "b", c; d|e\tf', "x")
    np.testing.assert_array_equal(table.time, [0.0, 0.5])
    np.testing.assert_array_equal(table.values, [[1.5, -2e-3], [0.5, 7.0]])
    assert table.time.dtype == table.values.dtype == np.float64
    assert (table.time_name, table.time_unit, table.origin) == ("t", "", "")
    assert table.source == str(tmp_path / "a.csv")


@pytest.mark.parametrize(
    "text",
    [
        "t x\n0 1.5\n1 -2\n",
        "  t    x  \n  0   1.5\n  1   -2   \n",
        "'t' 'x'\n0 1.5\n1 -2\n",
        "t:x\n0:1.5\n1:-2\n",
        "t^x\n0^1.5\n1^-2\n",
        "'t','x'\n'0','1.5'\n'1','-2'\n",
        't,"x"\n"0",  "1.5"\n"1",  "-2"\n',
        "t;x\n0;1,5\n1;-2,0\n",
        "t\tx\n0,0\t1,5\n1\t-2\n",
    ],
)
def test_what_the_standard_library_sniffs(tmp_path, text):
    table = read_csv(write(tmp_path, text), "t")
    assert table.names == ("x",)
    np.testing.assert_array_equal(table.time, [0, 1])
    np.testing.assert_array_equal(table.values, [[1.5], [-2]])


def test_quotes_in_names(tmp_path):
    escaped = 't,"a \\"b\\", c"\n0,1\n1,2\n'
    assert read_csv(write(tmp_path, escaped), "t").names == ('a "b", c',)
    folder = 't,x,path\n0,1,"C:\\"\n1,2,"D:\\"\n'  # a backslash that escapes nothing
    assert read_csv(write(tmp_path, folder), "t", ["x"]).values.tolist() == [[1], [2]]
    single = "t,'driver''s'\n0,1\n1,2\n"
    assert read_csv(write(tmp_path, single), "t").names == ("driver's",)
    assert read_csv(write(tmp_path, "t,driver's\n0,1\n1,2\n"), "t").names == ("driver's",)


def test_three_decimals_are_decimals_where_one_of_the_file_must_be(tmp_path):
    table = read_csv(write(tmp_path, "t;x\n0;1,500\n1;0,250\n"), "t")
    assert table.values.tolist() == [[1.5], [0.25]]


@pytest.mark.parametrize("cell", ["", " ", "NA", "n/a", "NaN", "nan", "NULL", "None", "-", '""'])
def test_missing(tmp_path, cell):
    table = read_csv(write(tmp_path, f"t,x,y\n0,1,{cell}\n1,{cell},2\n2,3,4\n"), "t")
    np.testing.assert_array_equal(table.values, [[1, np.nan], [np.nan, 2], [3, 4]])


def test_columns_keep_their_order_and_leave_text_alone(tmp_path):
    path = write(tmp_path, "x,site,t,y\n1,north,0,2\n3,south,1,4\n")
    table = read_csv(path, "t", ["y", "x"])
    assert table.names == ("y", "x")
    np.testing.assert_array_equal(table.values, [[2, 1], [4, 3]])
    chosen = table.select(["x"])
    assert chosen.names == ("x",) and chosen.time is table.time
    np.testing.assert_array_equal(chosen.values, [[1], [3]])


def test_inputs_may_be_constant(tmp_path):
    table = read_csv(write(tmp_path, "t,y,u\n0,1,5\n1,2,5\n"), "t", constant_ok=["u"])
    np.testing.assert_array_equal(table.values[:, 1], [5, 5])


@pytest.mark.parametrize(
    "cells, times, unit, origin",
    [
        (["1900", "1901", "1903"], [1900, 1901, 1903], "", ""),
        (["0", "1000000000", "2000000000"], [0, 1e9, 2e9], "", ""),  # not all of them since 2001
        (["1600000000.5", "1600000001.5"], [1600000000.5, 1600000001.5], "", ""),  # not integers
        (
            ["1600000000", "1600000060", "1600000090"],
            [0, 60, 90],
            "seconds",
            "2020-09-13T12:26:40Z",
        ),
        (
            ["1600000000123", "1600000000124", "1600000000200"],
            [0, 0.001, 0.077],
            "seconds",
            "2020-09-13T12:26:40.123Z",
        ),
        (
            ["1600000000000001", "1600000000000003"],
            [0, 2e-6],
            "seconds",
            "2020-09-13T12:26:40.000001Z",
        ),
        (
            ["1600000000000000001", "1600000000000000003"],
            [0, 2e-9],
            "seconds",
            "2020-09-13T12:26:40.000000001Z",
        ),
        (["1577836800", "1577880000", "1577923200"], [0, 0.5, 1], "days", "2020-01-01"),
        (["2020-02-28", "2020-02-29", "2020-03-01"], [0, 1, 2], "days", "2020-02-28"),
        (["1958-01", "1958-02", "1958-03"], [0, 31, 59], "days", "1958-01-01"),
        (["1500-01-01", "2500-01-01"], [0, 365243], "days", "1500-01-01"),
        (["2020-01-01 00:00", "2020-01-01 00:00:30.25"], [0, 30.25], "seconds", "2020-01-01"),
        (
            ["2020-01-01T00:00:00.1234560", "2020-01-01T00:00:00.1234570"],
            [0, 1e-6],
            "seconds",
            "2020-01-01T00:00:00.123456",
        ),
        (
            [
                "2020-03-29T01:30:00+01:00",
                "2020-03-29T03:30:00+0200",
                "2020-03-29T02:30:00Z",
                "2020-03-29 00:00-03",
            ],
            [0, 3600, 7200, 9000],
            "seconds",
            "2020-03-29T00:30Z",
        ),
        (
            ["2020-01-01T00:00:00-00:30", "2020-01-01T00:31:00 UTC"],
            [0, 60],
            "seconds",
            "2020-01-01T00:30Z",
        ),
    ],
)
def test_times(tmp_path, cells, times, unit, origin):
    text = "t,x\n" + "".join(f"{cell},{i}\n" for i, cell in enumerate(cells))
    table = read_csv(write(tmp_path, text), "t")
    np.testing.assert_array_equal(table.time, np.array(times, dtype=np.float64))
    assert (table.time_unit, table.origin) == (unit, origin)


@pytest.mark.parametrize(
    "read, rows, names, missing, spacing, unit",
    [
        (lynx_hare, 21, ("hare", "lynx"), 0, 1.0, ""),
        (sunspots, 309, ("sunspots",), 0, 1.0, ""),
        (co2, 2284, ("co2_ppm",), 59, 7.0, "days"),
    ],
)
def test_bundled(read, rows, names, missing, spacing, unit):
    table = read()
    assert table.values.shape == (rows, len(names)) and table.names == names
    assert np.isnan(table.values).sum() == missing
    np.testing.assert_array_equal(np.diff(table.time), spacing)
    assert table.time_unit == unit


def test_bundled_ends():
    assert lynx_hare().time[[0, -1]].tolist() == [1900, 1920]
    assert lynx_hare().values[-1].tolist() == [24.7, 8.6]
    assert sunspots().time[[0, -1]].tolist() == [1700, 2008]
    assert (co2().origin, co2().values[0, 0]) == ("1958-03-29", 316.1)


def test_no_such_bundled_series():
    assert bundled_path("co2").is_file()
    with pytest.raises(DataError, match=says("'co'", "co2, lynx_hare, sunspots", "choose")):
        bundled_path("co")
