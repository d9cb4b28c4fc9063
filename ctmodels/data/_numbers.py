"""Numbers that are times: calendar dates written as integers, and counts since a date.

An integer does not say what it counts: each reading as dates is noted with its first and last date.
"""

import re
from collections.abc import Callable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Any, NamedTuple

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._form import DAY, SECOND, Form
from ctmodels.data._instants import instant, iso, iso_parts
from ctmodels.data._ticks import ClockOptions

UNITS = {
    **dict.fromkeys(("ns", "nanosecond", "nanoseconds"), 10**9),
    "100ns": 10**11,
    **dict.fromkeys(("us", "µs", "microsecond", "microseconds"), 10**12),
    **dict.fromkeys(("ms", "millisecond", "milliseconds"), 10**15),
    **dict.fromkeys(("s", "sec", "second", "seconds"), SECOND),
    **dict.fromkeys(("min", "minute", "minutes"), 60 * SECOND),
    **dict.fromkeys(("h", "hour", "hours"), 3600 * SECOND),
    **dict.fromkeys(("d", "day", "days"), DAY),
}
UNIX = {"seconds": 1, "milliseconds": 10**3, "microseconds": 10**6, "nanoseconds": 10**9}
LATEST = 2**31  # in January 2038: what would be later counts something else
ABSOLUTE = re.compile(r"(day|month|year)s? as (%Y(?:%m(?:%d)?)?)(\.%f)?")


class Layout(NamedTuple):
    """Digits of a calendar date: its name, its codes, how many digits each part after the year has."""

    name: str
    date: str
    parts: int
    widths: tuple[int, ...]
    first: int = 1700
    last: int = 2199

    def written(self) -> str:
        """In the codes of `strptime`."""
        return self.date + "%H%M%S"[: 2 * self.parts] + "%f" * self.name.endswith("fff")


LAYOUTS = (
    Layout("YYYYMM", "%Y%m", 0, (2,)),
    Layout("YYYYDDD", "%Y%j", 0, (3,), 1900, 2100),
    Layout("YYYYMMDD", "%Y%m%d", 0, (2, 2)),
    Layout("YYYYMMDDHH", "%Y%m%d", 1, (2, 2, 2), 1900, 2100),
    Layout("YYYYMMDDHHMM", "%Y%m%d", 2, (2, 2, 2, 2)),
    Layout("YYYYMMDDHHMMSS", "%Y%m%d", 3, (2, 2, 2, 2, 2)),
    Layout("YYYYMMDDHHMMSSfff", "%Y%m%d", 3, (2, 2, 2, 2, 2, 3)),
)


class Dates(NamedTuple):
    """Milliseconds since 1970, how they are written, what the note calls them, and what reads them in another file."""

    ms: np.ndarray
    form: Form
    name: str
    how: ClockOptions


def calendar_integers(numbers: np.ndarray) -> Dates | None:
    """Integers `(n,)` as calendar dates, if every one is one in the same layout."""
    digits = len(str(int(numbers.max(initial=0))))
    for layout in LAYOUTS:
        if digits == 4 + sum(layout.widths):
            ms = _milliseconds(numbers, layout)
            if ms is not None:
                form = Form(layout.date, "", "", layout.parts, 3 if layout.name.endswith("fff") else 0)
                return Dates(ms, form, f"dates {layout.name}", ClockOptions(date_format=layout.written()))
    return _two_digit_years(numbers) if digits in (5, 6) else None


def _two_digit_years(numbers: np.ndarray) -> Dates | None:
    """YYMMDD, where the days are evenly spaced and the numbers are not: nothing else does that."""
    gaps, layout = np.diff(numbers), LAYOUTS[2]
    if len(gaps) < 3 or np.all(gaps == gaps[0]) or numbers.min() < 101:
        return None
    century = np.where(numbers < 690_000, 20_000_000, 19_000_000)
    ms = _milliseconds(numbers + century, layout)
    even = ms is not None and np.all(np.diff(ms) == ms[1] - ms[0]) and ms[1] > ms[0]
    if not even:
        return None
    return Dates(ms, Form("%Y-%m-%d"), "dates YYMMDD", ClockOptions(date_format="%y%m%d"))  # pyright: ignore


def calendar_fractions(numbers: np.ndarray) -> Dates | None:
    """Days such as 19790128.5 of which every one is a date."""
    whole = np.floor(numbers)
    if not (np.all(whole >= 17_000_101) and np.all(whole <= 21_991_231)):  # false for NaN
        return None
    days = _milliseconds(whole.astype(np.int64), LAYOUTS[2])
    if days is None:
        return None
    ms = days + np.rint((numbers - whole) * 86_400_000).astype(np.int64)
    name, how = "dates YYYYMMDD with fractions of a day", ClockOptions(clock="day as %Y%m%d.%f")
    return Dates(ms, Form("%Y-%m-%d"), name, how)


def _milliseconds(numbers: np.ndarray, layout: Layout) -> np.ndarray | None:
    rest, parts = numbers, []
    for width in reversed(layout.widths):
        rest, part = np.divmod(rest, 10**width)
        parts.insert(0, part)
    if not (np.all(rest >= layout.first) and np.all(rest <= layout.last)):
        return None
    days = _days(rest, parts, layout.date == "%Y%j")
    return None if days is None else _clock(days * 86_400_000, parts[2:])


def _days(year: np.ndarray, parts: list[np.ndarray], yearly: bool) -> np.ndarray | None:
    """Days since 1970 of years and months, or months and days; or, if `yearly`, days of the year."""
    month = np.ones_like(year) if yearly else parts[0]
    day = parts[0] if yearly else parts[1] if len(parts) > 1 else np.ones_like(year)
    if np.any((month < 1) | (month > 12) | (day < 1)):
        return None
    months = ((year - 1970) * 12 + month - 1).astype("M8[M]")
    days = months.astype("M8[D]") + (day - 1)
    back = days.astype("M8[Y]") == months.astype("M8[Y]") if yearly else days.astype("M8[M]") == months
    return days.astype(np.int64) if np.all(back) else None


def _clock(ms: np.ndarray, parts: list[np.ndarray]) -> np.ndarray | None:
    """With the time of day, of which 24 o'clock is the last."""
    sizes, limits, of_day = (3_600_000, 60_000, 1000, 1), (25, 60, 60, 1000), np.zeros_like(ms)
    for part, size, limit in zip(parts, sizes, limits, strict=False):
        if np.any(part >= limit):
            return None
        of_day = of_day + part * size
    return None if np.any(of_day > 86_400_000) else ms + of_day


def unix_unit(numbers: np.ndarray) -> tuple[str, bool]:
    """The unit in which integers have the size of times since 1970, from 2001 on ("" if none), and whether all are
    before 2038 (January 19)."""
    low, high = int(numbers.min()), int(numbers.max())
    for unit, rate in UNIX.items():
        if 10**9 * rate <= low and high < min(10**10 * rate, 2**63):
            return unit, high < LATEST * rate
    return "", False


class Counting(NamedTuple):
    """What numbers count: attoseconds in one, the instant of zero (or None), whether in UTC."""

    count: int
    epoch: int | None


def counting(clock: str) -> Counting:
    """What a clock such as "ms" or "s since 1904-01-01" says. Raises `DataError` if it says nothing."""
    unit, since, date = clock.partition(" since ")
    found = iso(date.strip())
    if unit.strip() not in UNITS or (since and not found):
        raise DataError(
            f"{argument('clock', clock)}: not known; write number (kept as they are), a unit ({', '.join(UNITS)}), "
            "a unit and a date (s since 1904-01-01), or day as %Y%m%d.%f"
        )
    return Counting(UNITS[unit.strip()], instant(date.strip(), iso_parts(found)).at if found else None)


def counted(numbers: Sequence, what: Counting, at: Callable[[int], str]) -> list[int]:
    """The instant of each number, exact to the attosecond."""
    instants = []
    for i, number in enumerate(numbers):
        try:
            instants.append(round(Decimal(str(number)) * what.count) + (what.epoch or 0))
        except (InvalidOperation, ValueError, OverflowError):
            raise DataError(f"{at(i)}: time {str(number)!r} is no number: the clock counts; write numbers") from None
    return instants


def absolute(numbers: np.ndarray, clock: str, at: Callable[[int], str]) -> np.ndarray:
    """Milliseconds since 1970 of CDO's absolute times, `day as %Y%m%d.%f`, `month as %Y%m.%f`, `year as %Y.%f`."""
    unit = ABSOLUTE.fullmatch(clock.strip())[1]  # pyright: ignore
    whole = np.floor(numbers.astype(np.float64))
    wrong = [i for i, number in enumerate(whole) if not abs(number) < 1e9 or _start(whole[i : i + 1], unit) is None]
    if wrong:
        raise DataError(f"{at(wrong[0])}: time {numbers[wrong[0]]} is not {clock!r}: no calendar has it; correct it")
    begin: Any = _start(whole, unit)
    end: Any = begin + 86_400_000 if unit == "day" else _start(whole + _one(whole, unit), unit)
    return begin + np.rint((numbers - whole) * (end - begin)).astype(np.int64)


def _start(whole: np.ndarray, unit: str) -> np.ndarray | None:
    """Where a day, a month or a year begins."""
    if unit == "year":
        return (whole.astype(np.int64) - 1970).astype("M8[Y]").astype("M8[ms]").astype(np.int64)
    return _milliseconds(whole.astype(np.int64), Layout(unit, "", 0, (2, 2) if unit == "day" else (2,), -9999, 9999))


def _one(whole: np.ndarray, unit: str) -> np.ndarray:
    """From a month or a year to the next, in its digits."""
    return np.where((unit == "month") & (whole % 100 == 12), 89, 1)
