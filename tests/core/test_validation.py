"""Validation: each bad array is refused with its place, its value and a remedy."""

import re

import numpy as np
import pytest

from ctmodels._core._validation import DataError, check_lengths, check_times, check_values

pytestmark = pytest.mark.only("float32")


def says(*parts: str) -> str:
    """A pattern that finds all the parts, in their order, in one message."""
    return ".*".join(re.escape(part) for part in parts)


@pytest.mark.parametrize(
    "ts, parts",
    [
        (np.array([0.0, 1.0, np.nan]), ("ts[2]", "nan", "finite", "drop the row")),
        (np.array([0.0, np.inf, 2.0]), ("ts[1]", "inf", "finite", "drop the row")),
        (np.array([0.0, 1e39]), ("ts[1]", "1e+39", "3e+38", "drop the row")),
        (
            np.array([0.0, 2.0, 1.5, 3.0]),
            ("ts[2]", "1.5 after 2.0", "must increase", "sort the rows by time"),
        ),
        (
            np.array([0, 2, 2], dtype=np.uint8),
            ("ts[2]", "2 is a duplicate", "must increase", "average"),
        ),
        (np.array([]), ("ts", "no times", "at least 2", "more rows")),
        (np.array([1.0]), ("ts", "only 1 time", "at least 2", "more rows")),
        (np.zeros((3, 1)), ("ts", "(3, 1)", "one axis", "ravel")),
        (np.zeros((3, 2)), ("ts", "(3, 2)", "one axis", "one time for each row")),
        (np.array(1.0), ("ts", "()", "one axis", "ravel")),
        (np.array([0, 1], dtype=object), ("ts", "object", "real numbers", "astype(float)")),
        (np.array(["0", "1"]), ("ts", "<U1", "real numbers", "astype(float)")),
        (np.array([0j, 1j]), ("ts", "complex128", "real numbers", ".real")),
        (np.array([False, True]), ("ts", "bool", "real numbers", "astype(float)")),
        (
            np.array(["2020-01-01", "2020-01-02"], "M8[D]"),
            ("ts", "datetime64", "(ts - ts[0]) / np.timedelta64"),
        ),
        (np.ma.masked_array([0.0, 1.0], [False, True]), ("ts", "masked", "NaN", "filled(np.nan)")),
        ([[0.0], [1.0, 2.0]], ("ts", "unequal length", "array is needed", "NaN")),
    ],
)
def test_bad_times(ts, parts):
    with pytest.raises(DataError, match=says(*parts)):
        check_times(ts)


_good = np.array([[1.0, 2.0], [np.nan, 3.0], [4.0, 5.0]])


def _with(i, c, value):
    ys = _good.copy()
    ys[i, c] = value
    return ys


@pytest.mark.parametrize(
    "ys, parts",
    [
        (_with(2, 1, np.inf), ("ys[2], column 'lynx'", "infinite value inf", "finite", "NaN")),
        (_with(0, 0, -np.inf), ("ys[0], column 'hare'", "infinite value -inf", "finite", "NaN")),
        (_with(2, 0, -1e39), ("ys[2], column 'hare'", "-1e+39", "3e+38", "float32", "rescale")),
        (_with(slice(None), 1, np.nan), ("ys, column 'lynx'", "all 3", "missing", "leave it out")),
        (
            _with(slice(None), 1, 7.5),
            ("ys, column 'lynx'", "constant", "7.5", "vary", "leave it out"),
        ),
        (
            _with(slice(2), 0, np.nan),
            ("ys, column 'hare'", "constant", "all 1", "4.0", "leave it out"),
        ),
        (np.zeros((0, 2)), ("ys", "(0, 2)", "empty", "give some values")),
        (np.zeros((3, 0)), ("ys", "(3, 0)", "empty", "give some values")),
        (np.arange(3.0), ("ys", "(3,)", "two axes", "ys[:, None]")),
        (np.zeros((2, 3, 2)), ("ys", "(2, 3, 2)", "two axes", "one series at a time")),
        (_good.T, ("ys", "3 channels", "2 names", "['hare', 'lynx']", "(time, channel)")),
        (_good.astype(object), ("ys", "object", "real numbers", "astype(float)")),
        (_good.astype(str), ("ys", "<U", "real numbers", "astype(float)")),
        (_good.astype(complex), ("ys", "complex128", "real numbers", ".real")),
    ],
)
def test_bad_values(ys, parts):
    with pytest.raises(DataError, match=says(*parts)):
        check_values(ys, ["hare", "lynx"])


@pytest.mark.parametrize(
    "ys, parts",
    [
        (np.zeros((2, 1)), ("ts has length 3", "(2, 1)", "one row", "cut or fill")),
        (np.zeros((2, 3)), ("ts has length 3", "(2, 3)", "one row", "pass ys.T")),
        (np.array(0.0), ("ts has length 3", "()", "one row", "cut or fill")),
    ],
)
def test_lengths_disagree(ys, parts):
    with pytest.raises(DataError, match=says(*parts)):
        check_lengths(np.arange(3.0), ys)


def test_at_names_the_place():
    def at(i):
        return f"row {i + 2} of lynx.csv"

    with pytest.raises(
        DataError,
        match=r"^row 3 of lynx.csv: time yesterday after today: .*sort the rows by 'year'$",
    ):
        check_times([1, 0], at, by="'year'", show=["today", "yesterday"].__getitem__)
    with pytest.raises(DataError, match=r"^row 3 of lynx.csv, column 'x': infinite value inf"):
        check_values([[0.0], [np.inf]], ["x"], at)


def test_without_names_channels_are_numbered():
    with pytest.raises(DataError, match="column '1': constant"):
        check_values([[0.0, 1.0], [1.0, 1.0]])


def test_inputs_may_be_constant():
    check_values([[0.0, 1.0], [1.0, 1.0]], ["y", "u"], constant_ok=["u"])
    with pytest.raises(DataError, match="missing"):  # but not unobserved
        check_values([[0.0, np.nan], [1.0, np.nan]], ["y", "u"], constant_ok=["u"])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble, np.int8, np.int64, ">f4"])
def test_good_arrays(dtype):
    ts = np.arange(5).astype(dtype)
    ys = np.asfortranarray(np.arange(10).reshape(5, 2).astype(dtype))
    check_times(ts)
    check_values(ys)
    check_lengths(ts, ys)


def test_smallest_integer_is_a_value():
    check_values(np.array([[-(2**63)], [0]]))
    check_times(np.array([-(2**63), 2**63 - 1]))
