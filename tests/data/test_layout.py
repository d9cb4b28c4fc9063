"""What stands around the table of a text file is recognised and noted, or said; numbers as they are typeset."""

import re

import numpy as np
import pytest

from ctmodels._core._validation import DataError
from ctmodels.data import read, read_csv

pytestmark = pytest.mark.only("float32")

TOA5 = (
    '"TOA5","CR1000","CR1000","1234","std","p.CR1","1","T1"\n"TIMESTAMP","RECORD","AirTC"\n"TS","RN","Deg C"\n'
    '"","","Avg"\n"2024-01-01 00:00:00",0,1.5\n"2024-01-01 00:10:00",1,1.7\n"2024-01-01 00:20:00",2,"NAN"\n'
)
INFLUX = (
    "#group,false,false,true,true,false,false,true\n"
    "#datatype,string,long,dateTime:RFC3339,dateTime:RFC3339,dateTime:RFC3339,double,string\n"
    "#default,_result,,,,,,\n,result,table,_start,_stop,_time,_value,room\n"
    ",,0,2024-01-01T00:00:00Z,2024-01-02T00:00:00Z,2024-01-01T00:00:00Z,1.5,cellar\n"
    ",,0,2024-01-01T00:00:00Z,2024-01-02T00:00:00Z,2024-01-01T00:00:10Z,1.7,cellar\n"
)


def got(tmp_path, text, time, *columns, **how):
    (tmp_path / "a.csv").write_text(text, encoding="utf-8")
    return read(tmp_path / "a.csv", time, list(columns) or None, **how)


@pytest.mark.parametrize(
    "text, time, names, units, values, words",
    [
        (TOA5, "TIMESTAMP", ["AirTC"], ["Deg C"], [[1.5], [1.7], [np.nan]], ["row 1", "Campbell", "row 2", "'RECORD'"]),
        (INFLUX, "_time", ["_value"], [""], [[1.5], [1.7]], ["InfluxDB", "'result', 'table'", "'room'"]),
        ("# An Observatory\n# year: ppm\nyear,co2\n1960,3\n1961,4\n", "year", ["co2"], [""], [[3], [4]], ["'#'"]),
        ("% made by hand\nt x\n0 1\n1 2\n", "t", ["x"], [""], [[1], [2]], ["'%'", "comments"]),
        ("# a\nt,x\n0,1\n# stopped\n1,2\n", "t", ["x"], [""], [[1], [2]], ["'#'", "comments"]),
        ("sep=;\nt;x\n0;1,5\n1;1,7\n", "t", ["x"], [""], [[1.5], [1.7]], ["row 1", "'sep=;'"]),
        ('"sep=\t"\r\nt\tx\r\n0\t1\r\n1\t2\r\n', "t", ["x"], [""], [[1], [2]], ["Excel"]),
        ("# t x y\n0 1 2\n1 2 3\n", "t", ["x", "y"], ["", ""], [[1, 2], [2, 3]], ["row 1", "comment that names"]),
        ("# t\tx\n# s\tK\n0\t1\n1\t2\n", "t", ["x"], [""], [[1], [2]], ["row 1", "comment that names"]),
        (INFLUX[INFLUX.index(",result") :].replace(",room", "").replace(",cellar", ""), "_time", ["_value"], [""],
         [[1.5], [1.7]], ["InfluxDB", "'result', 'table'"]),
        ("#t,x\n0,1\n1,2\n", "t", ["x"], [""], [[1], [2]], ["comment that names"]),
        ('"t" "x"\n"1" 0 1.5\n"2" 1 1.7\n', "t", ["x"], [""], [[1.5], [1.7]], ["names of the rows ('1', '2', ...)"]),
        ('"t","x"\n"a",0,1.5\n"b",1,1.7\n', "t", ["x"], [""], [[1.5], [1.7]], ["names of the rows ('a', 'b'"]),
        ("t\tx\n1\t0\t1.5\n2\t1\t1.7\n", "t", ["x"], [""], [[1.5], [1.7]], ["names of the rows"]),
        (",t,x\n0,0,1.5\n1,1,1.7\n", "t", ["x"], [""], [[1.5], [1.7]], ["names of the rows ('0', '1'"]),
        ("time,temp\ns,degC\n0,1.5\n1,1.7\n", "time", ["temp"], ["degC"], [[1.5], [1.7]], ["row 2", "units"]),
        ("time;v;n\n(s);[m/s];-\n0;1,5;1\n1;1,7;2\n", "time", ["v", "n"], ["m/s", ""], [[1.5, 1], [1.7, 2]], ["units"]),
        ("day,t\n,K\n2024-01-01,1\n2024-01-02,2\n", "day", ["t"], ["K"], [[1], [2]], ["row 2", "units"]),
        ("t,x\nUTC,W/m2\n,Avg\n0,1\n1,2\n", "t", ["x"], ["W/m2"], [[1], [2]], ["units"]),
        ("Air of 3 rooms\nby year, and place\n\nyear,t\n1990,1\n1991,2\n", "year", ["t"], [""], [[1], [2]],
         ["rows 1 to 3", "'Air of 3 rooms'", "passed over"]),
        ('"Plot Title: 1"\n"#","t","x"\n1,0,5\n2,1,7\n', "t", ["#", "x"], ["", ""], [[1, 5], [2, 7]], ["row 1, above"]),
        ("Station,7\nyear,t\nyr,K\n1990,1\n1991,2\n", "year", ["t"], ["K"], [[1], [2]], ["row 1, above", "units"]),
    ],
)  # fmt: skip
def test_what_programs_write_is_recognised_and_noted(tmp_path, text, time, names, units, values, words):
    table = got(tmp_path, text, time)
    assert (table.names, table.units) == (tuple(names), tuple(units))
    np.testing.assert_array_equal(table.values, values)
    notes = "\n".join(table.notes)
    assert re.search("(?s)" + ".*".join(map(re.escape, words)), notes), notes
    assert table.notes == read_csv(tmp_path / "a.csv", time).notes


@pytest.mark.parametrize("text", ["t,x\n0,1\n1,2\n", "t x\n0 1\n1 2\n", "#,t,x\n0,0,1\n1,1,2\n"])
def test_a_plain_file_has_no_notes(tmp_path, text):
    assert got(tmp_path, text, "t", "x").notes == ()


def test_columns_that_are_left_out_can_be_asked_for(tmp_path):
    assert got(tmp_path, TOA5, "TIMESTAMP", "RECORD").values[:, 0].tolist() == [0, 1, 2]
    assert got(tmp_path, INFLUX, "_time", "_value", "table", constant_ok=["table"]).names == ("_value", "table")


def test_rows_are_still_those_of_an_editor(tmp_path):
    for text, row in [(TOA5 + '"2024-01-01 00:30:00",3,"warm"\n', 8), ("# a\n\nt,x\n0,1\n# b\n1,warm\n", 6)]:
        with pytest.raises(DataError, match=f"a.csv, row {row}, column"):
            got(tmp_path, text, "t" if "t,x" in text else "TIMESTAMP")


def test_skip_and_the_row_of_units_can_be_said(tmp_path):
    table = got(tmp_path, "t,x\n1,2\nt,x\n0,1\n1,2\n", "t", skip=2)
    assert table.values.tolist() == [[1], [2]] and not table.notes
    assert got(tmp_path, TOA5, "TIMESTAMP", "AirTC", skip=1).units == ("Deg C",)
    assert got(tmp_path, "t,n,x\ns,1,%\n0,5,1\n1,6,2\n", "t", units_row=True).units == ("1", "%")
    with pytest.raises(DataError, match="row 2, column 'x': cell 'K': text"):
        got(tmp_path, "t,x\ns,K\n0,1\n1,2\n", "t", units_row=False)
    with pytest.raises(DataError, match="row 2: 1 units, but the header has 2 names"):
        got(tmp_path, "t,x\ns\n0,1\n1,2\n", "t", units_row=True)
    with pytest.raises(DataError, match="skip=9: there are only 3 rows"):
        got(tmp_path, "t,x\n0,1\n1,2\n", "t", skip=9)
    np.savez(tmp_path / "a.npz", t=np.arange(3.0), x=np.arange(3.0))
    for how in ({"skip": 1}, {"units_row": True}):
        with pytest.raises(DataError, match="only a text file has rows above or below its header; leave it out"):
            read(tmp_path / "a.npz", "t", **how)


@pytest.mark.parametrize(
    "text, words",
    [
        ("t,x\n1 Jan,NA\n2 Jan,NA\n", "'1 Jan' is neither"),  # a date is no unit
        ("t,x\nnoon,NA\n0,1\n", "'noon' is neither"),  # nor is a missing value one
        ("t,x\nNA,NA\n0,1\n", "missing time"),
        ("t,x\n0,warm\n1,2\n", "text in a column of numbers"),
        ("t,x\n1,2,5\n2,3,5\n", "decimal commas"),  # and no names of rows
        ("a\nb,c\nu,v\n0,1\n", "no column 't'"),
    ],
)
def test_what_may_be_something_else_is_refused(tmp_path, text, words):
    with pytest.raises(DataError, match=words):
        got(tmp_path, text, "t")


MINUS, NB, NARROW = "\u2212", "\u00a0", "\u202f"


@pytest.mark.parametrize(
    "cell, value",
    [
        (f"{MINUS}1,5", -1.5),
        ("\u20131,5", -1.5),
        ("\uff0d1,5", -1.5),
        (f"1{NB}234,5", 1234.5),
        (f"1{NARROW}234", 1234),
        (f"1{NB}234{NB}567", 1234567),
        ("1\u2009234,500", 1234.5),
        (f"{MINUS}{NB}12{NARROW}345,25", -12345.25),
        (f"{NB}2,5{NB}", 2.5),
        ("\u200e2,5", 2.5),
        (f"1e{MINUS}3", 1e-3),
        ("\uff11\uff12,\uff15", 12.5),
        (MINUS, np.nan),
        ("\u2014", np.nan),
    ],
)
def test_numbers_as_they_are_typeset(tmp_path, cell, value):
    np.testing.assert_array_equal(got(tmp_path, f"t;x\n0;{cell}\n1;2,5\n2;3,5\n", "t").values[0, 0], value)
    if not np.isnan(value):
        np.testing.assert_array_equal(got(tmp_path, f"t;x\n{cell};1\n1e7;2\n", "t").time[0], value)
        np.savez(tmp_path / "a.npz", t=np.arange(2), x=np.array([cell.replace(",", "."), "9"]))
        np.testing.assert_array_equal(read(tmp_path / "a.npz", "t").values[0, 0], value)


@pytest.mark.parametrize("cell", [f"12{NB}34", f"1{NB}2345", "10\u00b2", "\u0661", "1 234", f"1{NB}{NB}234"])
def test_what_is_typeset_otherwise_is_refused(tmp_path, cell):
    text = f"t;x\n0;{cell}\n1;2,5\n2;3,5\n"
    with pytest.raises(DataError, match="row 2, column 'x'.*text in a column of numbers; write a number"):
        got(tmp_path, text, "t")
