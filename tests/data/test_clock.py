"""Clocks of every form: read as what they are, noted where they could be something else, and continued."""

import dataclasses
import json
import re
import shutil
import sys

import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from models import LeakyRNN, leaky

import ctmodels as ct
from ctmodels.cli import main
from ctmodels.data import Table, from_pandas, from_xarray, read
from ctmodels.data._timeline import Timeline, instants
from ctmodels.reconstruction import CANDIDATES, Candidate, Recipe, forecast_csv, reconstruct

pytestmark = pytest.mark.only("float32")


def says(*parts: str) -> str:
    """A pattern that finds all the parts, in their order, in one message."""
    return "(?s)" + ".*".join(re.escape(part) for part in parts)


def table_of(path, cells, **how) -> Table:
    path.write_text("t,x\n" + "".join(f'"{cell}",{i % 5}.5\n' for i, cell in enumerate(cells)))
    return read(path, "t", **how)


def hours(count, start="2024-06-01T00:00", step=60):
    return [str(np.datetime64(start, "m") + step * k) for k in range(count)]


def digits(dates, most):
    return [re.sub(r"\D", "", str(date))[:most] for date in dates]


def days(start, stop, unit="D"):
    return np.arange(np.datetime64(start, unit), np.datetime64(stop, unit)).tolist()


def counts(first, step, n=20):
    return [first + step * k for k in range(n)]


# Cells, how they are read, the gaps in seconds (plain numbers as they are), and the three labels that follow.
FORMS = {
    "tenths": ([f"2024-05-01T12:00:{k // 10:02}.{k % 10}" for k in range(60)], {}, 0.1,
               ["2024-05-01T12:00:06.0", "2024-05-01T12:00:06.1", "2024-05-01T12:00:06.2"]),
    "nanoseconds": ([f"2024-01-01T00:00:00.{100 * k + 1:09}Z" for k in range(9)], {}, 1e-7,
                    ["2024-01-01T00:00:00.000000901Z", "2024-01-01T00:00:00.000001001Z",
                     "2024-01-01T00:00:00.000001101Z"]),
    "offset": ([f"{t}:00+02:00" for t in hours(5)], {}, 3600,
               ["2024-06-01T05:00:00+02:00", "2024-06-01T06:00:00+02:00", "2024-06-01T07:00:00+02:00"]),
    "offset behind": ([f"{t}-0330" for t in hours(5)], {}, 3600,
                      ["2024-06-01T05:00-0330", "2024-06-01T06:00-0330", "2024-06-01T07:00-0330"]),
    "offset of hours": ([f"{t}+02" for t in hours(5)], {}, 3600,
                        ["2024-06-01T05:00+02", "2024-06-01T06:00+02", "2024-06-01T07:00+02"]),
    "midnight in UTC": ([f"{t}Z" for t in hours(4, step=1440)], {}, 86400,
                        ["2024-06-05T00:00Z", "2024-06-06T00:00Z", "2024-06-07T00:00Z"]),
    "basic": (["20240101T000000Z", "20240101T001000Z", "20240101T002000Z"], {}, 600,
              ["20240101T003000Z", "20240101T004000Z", "20240101T005000Z"]),
    "24 hours": (["2024-10-26T23:00", "2024-10-26T24:00", "2024-10-27T01:00"], {}, 3600,
                 ["2024-10-27T02:00", "2024-10-27T03:00", "2024-10-27T04:00"]),
    "week dates": (["2024-W52-5", "2024-W52-6", "2024-W52-7"], {}, 86400, ["2025-W01-1", "2025-W01-2", "2025-W01-3"]),
    "weeks": (["2024W50", "2024W51", "2024W52"], {}, 604800, ["2025W01", "2025W02", "2025W03"]),
    "ordinal dates": (["2024-364", "2024-365", "2024-366"], {}, 86400, ["2025-001", "2025-002", "2025-003"]),
    "fractions after a comma": (["2024-01-01T00:00:00,5", "2024-01-01T00:00:01,0", "2024-01-01T00:00:01,5"], {}, 0.5,
                                ["2024-01-01T00:00:02.0", "2024-01-01T00:00:02.5", "2024-01-01T00:00:03.0"]),
    "months": (days("2022-10", "2023-03", "M"), {}, None, None),
    "YYYYMMDD": (digits(days("2023-01-25", "2023-02-06"), 8), {}, 86400, ["20230206", "20230207", "20230208"]),
    "YYYYDDD": (["2023364", "2023365", "2024001", "2024002"], {}, 86400, ["2024003", "2024004", "2024005"]),
    "YYYYMMDDHH": (digits(hours(30), 10), {}, 3600, ["2024060206", "2024060207", "2024060208"]),
    "YYYYMMDDHHMM": (digits(hours(30, step=7), 12), {}, 420, ["202406010330", "202406010337", "202406010344"]),
    "YYYYMMDDHHMMSS": ([f"20231231235{m}30" for m in (7, 8, 9)], {}, 60,
                       ["20240101000030", "20240101000130", "20240101000230"]),
    "YYMMDD": (["230130", "230131", "230201", "230202"], {}, 86400, ["2023-02-03", "2023-02-04", "2023-02-05"]),
    "days and fractions": (["19790130.5", "19790131.5", "19790201.5"], {}, 86400,
                           ["1979-02-02T12:00", "1979-02-03T12:00", "1979-02-04T12:00"]),
    "Unix s": (counts(1600000000, 7), {}, 7,
               ["2020-09-13T12:29:00Z", "2020-09-13T12:29:07Z", "2020-09-13T12:29:14Z"]),
    "Unix ms": (counts(1600000000003, 20), {}, 0.02,
                ["2020-09-13T12:26:40.403Z", "2020-09-13T12:26:40.423Z", "2020-09-13T12:26:40.443Z"]),
    "Unix us": (counts(1600000000000003, 7), {}, 7e-6,
                [f"2020-09-13T12:26:40.000{k}Z" for k in (143, 150, 157)]),
    "Unix ns": (counts(1600000000000000003, 7), {}, 7e-9,
                [f"2020-09-13T12:26:40.000000{k}Z" for k in (143, 150, 157)]),
    "since 1904": (counts(3786912000, 10), {"clock": "s since 1904-01-01"}, 10,
                   ["2024-01-01T00:03:20Z", "2024-01-01T00:03:30Z", "2024-01-01T00:03:40Z"]),
    "since 1904, not said": (counts(3786912000, 10), {}, 10, ["3786912200", "3786912210", "3786912220"]),
    "since boot": (counts(3456789012345, 10**7), {"clock": "ns"}, 0.01,
                   ["3456989012345", "3456999012345", "3457009012345"]),
    "ticks of 100 ns": (counts(638396640000000001, 10000), {"clock": "100ns since 0001-01-01"}, 1e-3,
                        [f"2024-01-01T00:00:00.0{k}0001Z" for k in (20, 21, 22)]),
    "a counter that wraps": ([(4294966000 + 100 * k) % 2**32 for k in range(30)], {"wraps": 2**32}, 100,
                             ["4294969000", "4294969100", "4294969200"]),
    "milliseconds that wrap": ([(4294966000 + 100 * k) % 2**32 for k in range(30)], {"wraps": 2**32, "clock": "ms"},
                               0.1, ["4294969000", "4294969100", "4294969200"]),
    "day first": (["30.12.2022", "31.12.2022", "01.01.2023"], {}, 86400, ["2023-01-02", "2023-01-03", "2023-01-04"]),
    "month first": ([f"12/31/2022 {h}:00 AM" for h in (12, 1, 2)], {}, 3600,
                    ["2022-12-31 03:00", "2022-12-31 04:00", "2022-12-31 05:00"]),
    "year first": (["2022/12/31", "2023/1/1", "2023/1/2"], {}, 86400, ["2023-01-03", "2023-01-04", "2023-01-05"]),
    "named month": (["31-Dec-2022", "1-Jan-2023", "2-Jan-2023"], {}, 86400,
                    ["2023-01-03", "2023-01-04", "2023-01-05"]),
    "said": (["01/02/22", "02/02/22", "03/02/22"], {"date_format": "%d/%m/%y"}, 86400,
             ["2022-02-04", "2022-02-05", "2022-02-06"]),
    "years": (range(1900, 1910), {}, 1, ["1910", "1911", "1912"]),
    "tenths of one": ([f"{k / 10}" for k in range(1, 9)], {}, 0.1, ["0.9", "1.0", "1.1"]),
    "Julian dates": ([f"{2460000.5 + k / 8}" for k in range(8)], {}, 0.125, ["2460001.5", "2460001.625", "2460001.75"]),
    "Unix with decimals": ([f"{1600000000 + k / 4:.2f}" for k in range(8)], {}, 0.25,
                           ["1600000002.0", "1600000002.25", "1600000002.5"]),
    "large and fine": ([f"1000000000.{k:06}" for k in range(1, 9)], {}, 1e-6,
                       ["1000000000.000009", "1000000000.00001", "1000000000.000011"]),
}  # fmt: skip


@pytest.mark.parametrize("name", FORMS)
def test_a_clock_of_every_form_goes_on_by_one_spacing(name, tmp_path, within):
    cells, how, gap, labels = FORMS[name]
    if name == "months":
        cells, gap, labels = ["2022-10", "2022-11", "2022-12", "2023-01"], None, ["2023-02", "2023-03", "2023-04"]
    table = table_of(tmp_path / "a.csv", cells, **how)
    clock = Timeline.from_dict(json.loads(json.dumps(Timeline.of(table).to_dict())))  # as a model file keeps it
    seconds = {"": 1, "seconds": 1, "days": 86400}[table.time_unit]
    if gap:
        resolved = within(1e-6, absolute=2.4e-7 if gap < 1e-5 else 0)
        np.testing.assert_allclose(np.diff(table.time) * seconds, gap, **resolved)
    times, written = clock.ahead(3)
    assert written == labels
    kept = {k: v for k, v in how.items() if k == "clock"}  # what tells the reader of the data what they count
    ahead = table_of(tmp_path / "b.csv", written, **kept)
    if table.origin:
        assert instants(ahead)[0] - instants(table)[-1] == instants(table)[-1] - instants(table)[-2] or name == "months"
    np.testing.assert_array_max_ulp(clock.meet(ahead)[0], times[1:], maxulp=4)
    assert np.all(np.diff(times) > 0) and times[0] == table.time[-1]


@pytest.mark.parametrize(
    "cells, labels, gaps",
    [
        (["2022-11-01", "2022-12-01", "2023-01-01"], ["2023-02-01", "2023-03-01", "2023-04-01"], [31, 28, 31]),
        (["2022-11-30", "2022-12-31", "2023-01-31"], ["2023-02-28", "2023-03-31", "2023-04-30"], [28, 31, 30]),
        (["2022-10-30", "2022-11-30", "2022-12-30", "2023-01-30"], ["2023-02-28", "2023-03-30", "2023-04-30"], None),
        (["2017-07-01", "2018-07-01", "2019-07-01"], ["2020-07-01", "2021-07-01", "2022-07-01"], [366, 365, 365]),
        (["2022-01-15", "2022-04-15", "2022-10-15", "2023-01-15"], ["2023-04-15", "2023-07-15", "2023-10-15"], None),
        (["202211", "202212", "202301"], ["202302", "202303", "202304"], [31, 28, 31]),
        ([f"2024-0{m}-01T00:00+0{1 + (m > 3)}:00" for m in range(1, 6)],
         ["2024-06-01T00:00+02:00", "2024-07-01T00:00+02:00", "2024-08-01T00:00+02:00"], [31, 30, 31]),
        ([int(np.datetime64(f"2022-{m}-01", "s").astype(int)) for m in (10, 11, 12)],
         ["2023-01-01T00:00Z", "2023-02-01T00:00Z", "2023-03-01T00:00Z"], [31, 31, 28]),
    ],
)  # fmt: skip
def test_months_and_years_go_on_by_the_calendar(tmp_path, cells, labels, gaps):
    table = table_of(tmp_path / "a.csv", cells)
    times, written = Timeline.of(table).ahead(3)
    assert written == labels
    assert gaps is None or np.diff(times).tolist() == pytest.approx(gaps, rel=1e-12)


def test_gaps_that_differ_go_on_by_the_middle_one(tmp_path):
    table = table_of(tmp_path / "a.csv", ["2024-01-01", "2024-01-02", "2024-01-03", "2024-01-10", "2024-01-11"])
    assert Timeline.of(table).ahead(1)[1] == ["2024-01-12"]
    rng = np.random.default_rng(0)
    ts = np.sort(rng.uniform(0, 1e3, 50))
    table = table_of(tmp_path / "a.csv", [repr(t) for t in ts.tolist()])
    assert float(Timeline.of(table).ahead(1)[1][0]) == pytest.approx(ts[-1] + np.median(np.diff(ts)), rel=1e-15)


def test_clocks_of_arrays_go_on():
    for times, labels in [
        (pd.date_range("2024-01-01", periods=4, freq="100ms"), ["2024-01-01T00:00:00.4", "2024-01-01T00:00:00.5"]),
        (pd.date_range("2024-01-01", periods=4, freq="D", tz="UTC"), ["2024-01-05T00:00Z", "2024-01-06T00:00Z"]),
        (pd.date_range("2024-02-01", periods=3, freq="MS", tz="Europe/Oslo"),
         ["2024-05-01T00:00+02:00", "2024-06-01T00:00+02:00"]),
        (pd.period_range("2024-01", periods=4, freq="M"), ["2024-05", "2024-06"]),
        (np.array([0, 36, 72], "m8[h]"), ["4.5", "6"]),
        (np.array([20230130, 20230131, 20230201]), ["20230202", "20230203"]),
        (np.array([20230130.0, 20230131, 20230201]), ["20230202", "20230203"]),
        (np.array([0.5, 1.0, 1.5]), ["2.0", "2.5"]),
    ]:  # fmt: skip
        frame = pd.DataFrame({"x": np.arange(float(len(times))) ** 2}, index=pd.Index(times, name="t"))
        assert Timeline.of(from_pandas(frame)).ahead(2)[1] == labels
    by_hand = Table(np.arange(3.0), np.arange(3.0)[:, None], ("x",), "t", "days", "2024-02-28", "hand")
    assert Timeline.of(by_hand).ahead(2)[1] == ["2024-03-02", "2024-03-03"]


# What integers are


def test_every_reading_of_integers_is_noted_with_its_first_and_last_date(tmp_path):
    for cells, parts in [
        (digits(days("2023-01-25", "2023-02-06"), 8), ["dates YYYYMMDD", "2023-01-25 to 2023-02-05", "clock='number'"]),
        (counts(1388000000, 1), ["seconds since 1970", "2013-12-25T19:33:20Z to 2013-12-25T19:33:39Z", "clock="]),
        (counts(1200000000, 10000), ["seconds since 1970", "2008-01-10T21:20Z", "clock="]),
        (counts(3786912000, 10), ["kept as numbers", "2090-01-01", "January 2038", "clock='s since 1904-01-01'"]),
        (counts(3456789012345, 10**7), ["kept as numbers", "2079-07-17", "clock="]),
    ]:
        (note,) = table_of(tmp_path / "a.csv", cells).notes
        assert re.search(says("a.csv, column 't'", *parts), note), note
        plain = table_of(tmp_path / "a.csv", cells, clock="number")
        assert plain.notes == () and plain.time.tolist() == [float(cell) for cell in cells]
    assert table_of(tmp_path / "a.csv", range(1900, 1920)).notes == ()


@pytest.mark.parametrize(
    "cells",
    [
        ["20230130", "20230131", "20230132"],
        ["202211", "202212", "202213"],
        ["2023364", "2023365", "2023366"],
        ["230130", "230131", "230132"],
        ["20230130.5", "20230131.5", "20230132.5"],
        ["20230130", "20230131", "202302"],
    ],
)
def test_integers_of_which_one_is_no_date_are_numbers(tmp_path, cells):
    table = table_of(tmp_path / "a.csv", sorted(cells, key=float))
    assert table.time_unit == "" and table.notes == ()


def test_integers_past_the_digits_of_float64_are_refused(tmp_path):
    with pytest.raises(ct.DataError, match=says("row 2, column 't'", "638396640000000001", "2**53", "clock=")):
        table_of(tmp_path / "a.csv", counts(638396640000000001, 10000))


@pytest.mark.parametrize(
    "cells, period",
    [
        ([(4294966000 + 100 * k) % 2**32 for k in range(30)], 2**32),
        ([(2147483000 + 100 * k + 2**31) % 2**32 - 2**31 for k in range(30)], 2**32),
        ([(65000 + 40 * k) % 65536 for k in range(30)], 65536),
        ([(604795 + k) % 604800 for k in range(30)], 604800),
        ([(86390 + 5 * k) % 86400 for k in range(30)], 86400),
        ([(22 + k / 2) % 24 for k in range(30)], 24),
    ],
)
def test_a_counter_that_begins_again_is_told_so_and_counted_on(tmp_path, cells, period):
    with pytest.raises(ct.DataError, match=says("begins again", str(period), f"wraps={period}")) as error:
        table_of(tmp_path / "a.csv", cells)
    assert "sort=" not in str(error.value)
    if period in (2**32, 65536):
        with pytest.raises(ct.DataError, match=f"wraps={period}"):
            table_of(tmp_path / "a.csv", cells, sort=True)
    table = table_of(tmp_path / "a.csv", cells, wraps=period)
    np.testing.assert_allclose(np.diff(table.time), cells[1] - cells[0])
    assert "begins again 1 time" in table.notes[0] or "2 times" in table.notes[0]


def test_rows_in_disorder_are_no_counter(tmp_path):
    for cells in ([0, 1, 5, 3, 4, 6], [10, 11, 12, 0, 1, 2], [100, 200, 150, 300], [3, 2, 1]):
        with pytest.raises(ct.DataError, match=says("must increase", "sort=True")):
            table_of(tmp_path / "a.csv", cells)
        assert table_of(tmp_path / "a.csv", cells, sort=True).time.tolist() == sorted(cells)


def test_counters_of_trials_begin_again_each_for_itself():
    frame = pd.DataFrame({"who": list("abababab"), "t": [65530, 10, 65535, 20, 4, 30, 9, 40], "x": np.arange(8.0)})
    trials = from_pandas(frame, "t", id="who", wraps=65536)
    assert np.diff(trials["a"].time).tolist() == [5, 5, 5] and np.diff(trials["b"].time).tolist() == [10, 10, 10]
    with pytest.raises(ct.DataError, match="wraps=65536"):
        from_pandas(frame, "t", id="who")


@pytest.mark.parametrize(
    "how, parts",
    [
        ({"clock": "fortnights"}, ("clock='fortnights'", "s since 1904-01-01")),
        ({"clock": "s since once"}, ("clock='s since once'", "not known")),
        ({"date_format": "%d.%m.%q"}, ("date_format='%d.%m.%q'", "%q")),
        ({"date_format": "%d.%m"}, ("date_format='%d.%m'", "year")),
        ({"date_format": "%d.%m.%Y"}, ("row 2, column 't'", "'1'", "'%d.%m.%Y'")),
        ({"wraps": 10, "sort": True}, ("wraps=10", "sort=True", "drop sort=True")),
    ],
)
def test_what_is_said_of_a_clock_and_cannot_be(tmp_path, how, parts):
    with pytest.raises(ct.DataError, match=says(*parts)):
        table_of(tmp_path / "a.csv", [1, 2, 3], **how)


# Dates as text


@pytest.mark.parametrize(
    "cells, parts",
    [
        (["01/02/2022", "02/02/2022"], ("'01/02/2022'", "date_format='%d/%m/%Y' or date_format='%m/%d/%Y'")),
        (
            ["01.02.2022 10:00", "02.02.2022 10:00"],
            ("'01.02.2022 10:00'", "date_format='%d.%m.%Y' or date_format='%m.%d.%Y'"),
        ),
        (["31.12.22", "01.01.23"], ("'31.12.22'", "two digits", "date_format='%d.%m.%y'")),
        (["13/02/2022", "02/13/2022"], ("'13/02/2022' and '02/13/2022' contradict",)),
        (["31/04/2022", "01/05/2022"], ("'31/04/2022' does not exist",)),
        (["2016-12-31T22:59:60Z", "2017-01-01T00:00:00Z"], ("22:59:60Z' does not exist", "leap seconds")),
        (["2023-W53-1", "2024-W01-1"], ("'2023-W53-1' does not exist",)),
        (["2023-366", "2024-001"], ("'2023-366' does not exist",)),
        (["12/31/2022 13:00 PM", "12/31/2022 14:00 PM"], ("does not exist",)),
        (["2024-01-01T24:01", "2024-01-02T00:02"], ("'2024-01-01T24:01' does not exist",)),
    ],
)
def test_dates_that_are_none_or_could_be_two(tmp_path, cells, parts):
    with pytest.raises(ct.DataError, match=says("a.csv, row 2, column 't'", *parts)):
        table_of(tmp_path / "a.csv", cells)


def test_the_remedy_for_ambiguous_dates_works_as_printed(tmp_path):
    for cells, gaps in ((["01/02/2022", "02/02/2022"], [1, 31]), (["1/2/2022 9:30 PM", "2/2/2022 9:30 PM"], [1, 31])):
        with pytest.raises(ct.DataError) as error:
            table_of(tmp_path / "a.csv", cells)
        formats = re.search(r"date_format='(\S+)' or date_format='(\S+)'", str(error.value)).groups()
        for form, gap in zip(formats, gaps, strict=True):
            assert np.diff(table_of(tmp_path / "a.csv", cells, date_format=form).time).tolist() == [gap]


def test_what_told_the_day_from_the_month_is_noted(tmp_path):
    (note,) = table_of(tmp_path / "a.csv", ["11/12/2022", "12/12/2022", "13/12/2022"]).notes
    assert "%d/%m/%Y, as '13/12/2022' tells, from 2022-12-11 to 2022-12-13" in note


def test_leap_seconds_are_counted(tmp_path):
    cells = ["2016-12-31T23:59:59Z", "2016-12-31T23:59:60Z", "2017-01-01T00:00:00Z", "2017-01-01T00:00:01Z"]
    table = table_of(tmp_path / "a.csv", cells)
    assert table.time.tolist() == [0, 1, 2, 3] and "1 leap second" in table.notes[0]
    assert Timeline.of(table).ahead(1)[1] == ["2017-01-01T00:00:02Z"]


def test_the_quick_way_is_the_other_way(tmp_path):
    """Cells that NumPy reads at once, and the same beside one that it does not."""
    for cells in (hours(4), [f"{t}:30.25" for t in hours(4)], [f"{t}Z" for t in hours(4)]):
        zone = "Z" if cells[0].endswith("Z") else ""
        slow = table_of(tmp_path / "a.csv", [*cells, f"2024-06-01T24:00{zone}"])
        np.testing.assert_array_equal(table_of(tmp_path / "a.csv", cells).time, slow.time[:4])


@pytest.mark.parametrize(
    "units, times, gaps",
    [
        ("day as %Y%m%d.%f", [19790130.5, 19790131.5, 19790201.5], [1, 1]),
        ("day as %Y%m%d.%f", [19790131, 19790201.25, 19790202], [1.25, 0.75]),
        ("month as %Y%m.%f", [197812.5, 197901.5, 197902.5], [31, 29.5]),
        ("year as %Y.%f", [2000.5, 2001.5, 2002.5], [365.5, 365]),
        ("days as %Y%m%d", [20000228, 20000229, 20000301], [1, 1]),
    ],
)
def test_absolute_times_of_climate_files(tmp_path, units, times, gaps):
    data = xr.Dataset({"x": ("time", [1.0, 2.0, 4.0])}, {"time": ("time", np.array(times, float), {"units": units})})
    data.to_netcdf(tmp_path / "a.nc", engine="h5netcdf")
    for table in (read(tmp_path / "a.nc", "time"), from_xarray(data, "time")):
        np.testing.assert_allclose(np.diff(table.time), gaps)
        assert units in table.notes[0]
    data.time.attrs["calendar"] = "360_day"
    with pytest.raises(ct.DataError, match=says(units, "360_day", "cdo -r copy", "clock='number'")):
        from_xarray(data, "time")
    assert from_xarray(data, "time", clock="number").time.tolist() == times


# Forecasts beyond the data


def driven(clock, u=None) -> str:
    u = np.sin(np.arange(len(clock)) / 5) if u is None else u
    y = np.cos(np.arange(len(clock)) / 5)
    return "t,y,u\n" + "".join(f"{t},{a:.6f},{b:.6f}\n" for t, a, b in zip(clock, y, u, strict=True))


class Pushed(LeakyRNN):
    """By its input too, as it is at the end of a step."""

    def flow(self, t0, t1, z, control=None):
        moved, stats = super().flow(t0, t1, z, control)
        return jnp.where(t1 > t0, moved + 0.1 * control(t1), z), stats


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of a day-first zoned clock with inputs, one of whose values is a named sentinel."""
    path = tmp_path_factory.mktemp("driven")
    u = np.sin(np.arange(40) / 5)
    u[[7, 39]] = -999
    cells = [f"{t[8:10]}.{t[5:7]}.{t[:4]} {t[11:]}:00.5+02:00" for t in hours(40, "2024-05-31T00:00")]
    (path / "a.csv").write_text(driven(cells, u))
    table = read(path / "a.csv", "t", sentinels=[-999])
    toy = lambda n: dataclasses.replace(Recipe.default(n), members=1, steps=2, window=4, free_starts=True)
    with pytest.MonkeyPatch.context() as patch:  # a model that is compiled sooner, by the name that files are read by
        patch.setitem(CANDIDATES, "neural", Candidate("neural", lambda problem, key: leaky(key, 1, kind=Pushed)))
        reconstruct(table, models=["neural"], inputs=["u"], recipe=toy, out=path / "out", progress=False)
        yield path / "out"


def future(folder, rows, name="b.csv"):
    path = folder.parent / name
    path.write_text("t,u\n" + "".join(f"{t},{u}\n" for t, u in rows))
    return path


only32 = pytest.mark.only("float32")


@only32
def test_the_future_of_inputs_is_read_as_the_data_were(folder):
    said = []
    later = future(folder, [("01.06.2024 16:00:00.5+02:00", 0.5), ("01.06.2024 17:00:00.5+02:00", -999)])
    text = forecast_csv(folder, 2, inputs=later, note=said.append).splitlines()  # all ambiguous alone
    assert [line.split(",")[0] for line in text[1:]] == ["2024-06-01 16:00:00.5+02:00", "2024-06-01 17:00:00.5+02:00"]
    assert any("1 value of -999 taken as missing" in note for note in said)
    iso = future(folder, [("2024-06-01T14:00:00.5Z", 0.5), ("2024-06-01T15:00:00.5Z", "")])
    assert forecast_csv(folder, 2, inputs=iso).splitlines() == text
    one = future(folder, [("2024-06-01T14:00:00.5Z", 0.5)])
    assert forecast_csv(folder, 1, inputs=one).splitlines() == text[:2]


@only32
def test_the_last_known_input_is_that_at_the_last_datum(folder, tolerance):
    from ctmodels.reconstruction import load_model
    from ctmodels.reconstruction._forecast import _future

    _, problem, about = load_model(folder / "model-neural.safetensors")
    known = np.sin(38 / 5)  # the last one is missing
    assert about["known"] == [pytest.approx(known, abs=1e-6)]
    one = future(folder, [("2024-06-01T14:00:00.5Z", 0.5)])
    _, _, control = _future(problem, about, 1, one, lambda said: None)
    np.testing.assert_allclose(problem.input_scaling.unscale(np.asarray(control.ys))[:, 0], [known, 0.5], **tolerance())


@only32
@pytest.mark.parametrize(
    "rows, parts",
    [
        ([("01.06.2024 16:00:00.5", 0.5)], ("without a time zone", "training data", "with a time zone", "alike")),
        ([("1717250400", 0.5)], ("is not written as",)),
        ([("2024-06-01T13:00:00.5Z", 0.5)], ("begins at 2024-06-01 15:00:00.5+02:00", "15:00:00.5+02:00; cut it")),
    ],
)
def test_a_future_that_does_not_go_on_is_refused(folder, rows, parts):
    with pytest.raises(ct.DataError, match=says("b.csv", *parts)):
        forecast_csv(folder, 1, inputs=future(folder, rows))


@only32
def test_a_forecast_that_is_not_finite_is_an_error_and_writes_nothing(folder, tmp_path, capsys, monkeypatch):
    from ctmodels.reconstruction import _forecast

    def blown(trained, split):
        spread = forecast_tail(trained, split)
        return spread._replace(median=np.where(np.arange(len(spread.median))[:, None] < 1, spread.median, np.inf))

    forecast_tail = _forecast.forecast_tail
    monkeypatch.setattr(_forecast, "forecast_tail", blown)
    later = future(folder, [("2024-06-01T14:00:00.5Z", 0.5), ("2024-06-01T15:00:00.5Z", 0.5)])
    out = tmp_path / "ahead.csv"
    out.write_text("before")
    command = ["forecast", str(folder), "--steps", "2", "--inputs", str(later), "--out", str(out)]
    assert main(command) == 2 and out.read_text() == "before"
    said = capsys.readouterr().err
    assert "not finite at t 2024-06-01 17:00:00.5+02:00 (step 2 of 2)" in said and "no more than 1 steps" in said


@only32
def test_files_of_two_runs_are_not_mixed(folder, tmp_path):
    mixed = tmp_path / "mixed"
    shutil.copytree(folder, mixed)
    metrics = json.loads((mixed / "metrics.json").read_text())
    (mixed / "metrics.json").write_text(json.dumps({**metrics, "run": "another"}))
    for model in (None, "neural"):
        with pytest.raises(ct.DataError, match=says("model-neural.safetensors", "another run", "metrics.json")):
            forecast_csv(mixed, 1, model=model)


@only32
def test_the_command_line_says_how_times_are_written(tmp_path, monkeypatch):
    def stop(table, **settings):
        raise SystemExit(f"{table.time[:2].tolist()} {table.time_unit}")

    monkeypatch.setattr(sys.modules["ctmodels.reconstruction"], "reconstruct", stop)
    for cells, option, said in [
        (["01/02/2022", "02/02/2022"], "--date-format=%m/%d/%Y", "[0.0, 31.0] days"),
        (["01/02/2022", "02/02/2022"], "--date-format=%d/%m/%Y", "[0.0, 1.0] days"),
        ([1200000000, 1200010000], "--clock=us", "[1200.0, 1200.01] seconds"),
        ([250, 4], "--wraps=256", "[250.0, 260.0] "),
    ]:
        (tmp_path / "a.csv").write_text("t,x\n" + "".join(f"{c},{i}\n" for i, c in enumerate(cells)))
        with pytest.raises(SystemExit, match=re.escape(said)):
            main(["reconstruct", str(tmp_path / "a.csv"), "--time", "t", "--out", str(tmp_path / "out"), option])
