"""Dates as text: ISO 8601 in its forms, those of spreadsheets, and those of a format that the caller names.

Nothing is guessed: which of two numbers is the day is read from the column, or asked for.
"""

import datetime
import re
from collections.abc import Iterable
from typing import NamedTuple

from ctmodels._core._words import argument
from ctmodels.data._form import DAY, EPOCH, SECOND, Form

MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
NAMES = ("january", "february", "march", "april", "may", "june", "july", "august", "september", "october", "november",
         "december")  # fmt: skip
_FLAGS = re.ASCII | re.IGNORECASE
_ZONE = r"(?: ?(?P<utc>Z|UTC|GMT)| ?(?P<east>[+-]\d\d)(?P<ec>:?)(?P<em>\d\d)?)?"
ISO = re.compile(
    r"(?P<Y>\d{4})(?:-(?P<m>\d\d)(?:-(?P<d>\d\d))?|-(?P<j>\d{3})|-?W(?P<V>\d\d)(?:-?(?P<u>[1-7]))?"
    r"|(?P<bm>\d\d)(?P<bd>\d\d)(?=[T ])|(?P<bj>\d{3})(?=[T ]))"
    rf"(?:(?P<sep>[T ])(?P<H>\d\d)(?:(?P<c>:?)(?P<M>\d\d)(?:(?P=c)(?P<S>\d\d)(?:[.,](?P<f>\d+))?)?)?{_ZONE})?",
    _FLAGS,
)
_TIME = (
    r"(?:(?:,? +|T)(?P<H>\d{1,2}):(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d+))?)?(?: ?(?P<p>[AP])\.?M\.?)?"
    + _ZONE
    + ")?"
)
NUMERIC = re.compile(r"(?P<a>\d{4}|\d{1,2})(?P<s>[./-])(?P<b>\d{1,2})(?P=s)(?P<c>\d{4}|\d{1,2})" + _TIME, _FLAGS)
NAMED = re.compile(
    r"(?:(?P<d>\d{1,2})(?P<s>[ .-]{0,2})(?P<b>[a-z]{3,9})\.?[ .,-]{0,2}(?P<Y>\d{4}|\d\d)"
    r"|(?P<b2>[a-z]{3,9})\.? (?P<d2>\d{1,2}),? (?P<Y2>\d{4}))" + _TIME,
    _FLAGS,
)
_CODES = {
    "Y": r"(?P<Y>\d{4})", "y": r"(?P<y>\d\d)", "m": r"(?P<m>\d{1,2})", "d": r"(?P<d>\d{1,2})", "j": r"(?P<j>\d{1,3})",
    "b": r"(?P<b>[a-z]{3,9})\.?", "B": r"(?P<b>[a-z]{3,9})", "H": r"(?P<H>\d{1,2})", "I": r"(?P<H>\d{1,2})",
    "M": r"(?P<M>\d{1,2})", "S": r"(?P<S>\d{1,2})", "f": r"(?P<f>\d+)", "p": r"(?P<p>[AP])\.?M\.?", "z": _ZONE,
    "a": r"[a-z]{2,3}\.?", "A": r"[a-z]{6,9}", "G": r"(?P<Y>\d{4})", "V": r"(?P<V>\d{1,2})", "u": r"(?P<u>[1-7])",
}  # fmt: skip


class Instant(NamedTuple):
    """Attoseconds since 1970; minutes east of UTC, or None without a zone; whether it is a leap second."""

    at: int
    east: int | None
    leap: bool


def iso(cell: str) -> re.Match[str] | None:
    """Whether a cell is an ISO date, and how it is written."""
    return ISO.fullmatch(cell)


def instant(cell: str, parts: dict[str, str | None]) -> Instant:
    """The instant that named parts of a cell say. Raises `ValueError` if there is none such."""
    try:
        day = _day(parts)
        second, leap = _second(parts)
    except ValueError:
        raise ValueError(f"time {cell!r} does not exist: no calendar or clock has it; correct the date") from None
    east = _east(parts)
    at = (day - EPOCH) * DAY + second - (east or 0) * 60 * SECOND
    if leap and at // (60 * SECOND) % (60 if east is None else 1440):  # the second that follows hh:59, 23:59 in UTC
        raise ValueError(f"time {cell!r} does not exist: leap seconds are at 23:59:60 UTC; correct the time")
    return Instant(at, east, leap)


def _day(parts: dict[str, str | None]) -> int:
    """The number of a day, whatever calendar says it."""
    get = parts.get
    year = int(get("Y") or 0) if get("Y") else _century(int(get("y") or 0))
    shift = 0 if year else 146_097  # the year 0 is like 400
    year = year or 400
    if get("V"):
        return datetime.date.fromisocalendar(year, int(get("V") or 0), int(get("u") or 1)).toordinal() - shift
    if get("j"):
        day = datetime.date(year, 1, 1).toordinal() + int(get("j") or 0) - 1
        if datetime.date.fromordinal(day).year != year:
            raise ValueError
        return day - shift
    month = _month(get("b")) if get("b") else int(get("m") or 1)
    return datetime.date(year, month, int(get("d") or 1)).toordinal() - shift


def _century(year: int) -> int:
    """A year of two digits, as POSIX has it: 1969 to 2068."""
    return year + (2000 if year < 69 else 1900)


def _month(name: str | None) -> int:
    name = (name or "").lower()
    return MONTHS.index(name[:3]) + 1 if name in MONTHS or name in NAMES or name == "sept" else 0


def _second(parts: dict[str, str | None]) -> tuple[int, bool]:
    """Attoseconds into the day, and whether this is a leap second."""
    hour, minute, second = (int(parts.get(name) or 0) for name in "HMS")
    fraction = (parts.get("f") or "").rstrip("0")
    half = parts.get("p")
    if half and not 1 <= hour <= 12:
        raise ValueError
    hour = hour % 12 + 12 * (half.upper() == "P") if half else hour
    leap = second == 60 and minute == 59
    end = hour == 24 and not (minute or second or fraction)
    if hour > 23 + end or minute > 59 or second > 59 + leap or len(fraction) > 18:
        raise ValueError
    return ((hour * 60 + minute) * 60 + second) * SECOND + int(fraction.ljust(18, "0")), leap


def _east(parts: dict[str, str | None]) -> int | None:
    if parts.get("utc"):
        return 0
    east = parts.get("east")
    return None if not east else int(east) * 60 + int(east[0] + (parts.get("em") or "0"))


def iso_parts(found: re.Match[str]) -> dict[str, str | None]:
    """The parts of an ISO date, by the codes of `strptime`."""
    parts = found.groupdict()
    return {**parts, "m": parts["m"] or parts["bm"], "d": parts["d"] or parts["bd"], "j": parts["j"] or parts["bj"]}


def iso_form(found: re.Match[str]) -> Form:
    """How an ISO date is written."""
    g = found.groupdict()
    dash = "-" if found.group()[4] == "-" else ""
    if g["V"]:
        date = f"%G{dash}W%V" + (f"{dash}%u" if g["u"] else "")
    elif g["j"] or g["bj"]:
        date = f"%Y{dash}%j"
    else:
        date = f"%Y{dash}%m" + (f"{dash}%d" if g["d"] or g["bd"] else "")
    parts = sum(g[name] is not None for name in "HMS")
    colon = ":" if g["c"] is None else g["c"]
    return Form(date, g["sep"] or "T", colon, parts, len(g["f"] or ""), _zone_form(g))


def _zone_form(g: dict[str, str | None]) -> str:
    if g["utc"]:
        return "Z" if g["utc"].upper() == "Z" else f" {g['utc'].upper()}"
    if not g["east"]:
        return ""
    return f"+hh{g['ec']}mm" if g["em"] else "+hh"


def compiled(form: str) -> re.Pattern[str]:
    """What a format in the codes of `strptime` stands for; a time of day may follow it, if it has none itself.

    Raises `ValueError` with what is wrong with it.
    """
    pieces = re.findall(r"%(.)|(\s+)|([^%\s])", form)
    codes = [code for code, *_ in pieces if code]
    wrong = [code for code in codes if code not in _CODES]
    if wrong:
        raise ValueError(f"%{wrong[0]} is not known; there are {', '.join('%' + code for code in _CODES)}")
    if len(set(codes)) < len(codes) or not {"Y", "y", "G"} & set(codes):
        raise ValueError("a format names the year (%Y, %y or %G) and nothing twice; write it as %d/%m/%Y")
    text = "".join(_piece(piece, before) for piece, before in zip(pieces, [("", "", ""), *pieces], strict=False))
    text = _fixed(text) if re.search(r"%.%", form) else text
    return re.compile(text if {"H", "I"} & set(codes) else text + _TIME, _FLAGS)


def _piece(piece: tuple[str, str, str], before: tuple[str, str, str]) -> str:
    code, blank, sign = piece
    return _CODES[code] if code else r"\s+" if blank else re.escape(sign)


def _fixed(text: str) -> str:
    """Numbers of one width, where nothing parts them."""
    return text.replace(r"\d{1,2}", r"\d\d").replace(r"\d{1,3}", r"\d{3}")


class Ambiguous(ValueError):
    """Dates of which nothing tells the day from the month."""


def sheet_order(cells: Iterable[str]) -> tuple[str, str]:
    """The order of year, month and day in a column of dates such as 31.12.2022, as a format; and the cell that tells.

    Raises `Ambiguous` where none tells, and `ValueError` where two contradict each other.
    """
    first = second = ""
    for cell in cells:
        found = NUMERIC.fullmatch(cell)
        if not found:
            continue
        sign = found["s"]
        if len(found["a"]) == 4:
            return f"%Y{sign}%m{sign}%d", cell
        if len(found["c"]) != 4:
            raise Ambiguous(
                "its year has two digits: nothing is guessed; say what they mean: "
                + _or(f"%d{sign}%m{sign}%y", f"%m{sign}%d{sign}%y")
            )
        first = first or (cell if int(found["a"]) > 12 else "")
        second = second or (cell if int(found["b"]) > 12 else "")
        day, month = f"%d{sign}%m{sign}%Y", f"%m{sign}%d{sign}%Y"
    if first and second:
        raise ValueError(f"times {first!r} and {second!r} contradict each other: one column has one order; write ISO")
    if not (first or second):
        raise Ambiguous(
            "the day may come first or the month, in this row as in all: nothing is guessed; say which: "
            + _or(day, month)
        )
    return (day, first) if first else (month, second)


def _or(one: str, other: str) -> str:
    return f"{argument('date_format', one)} or {argument('date_format', other)}"


def named_parts(found: re.Match[str]) -> dict[str, str | None]:
    """The parts of a date such as 31-Dec-2022 or Dec 31, 2022."""
    g = found.groupdict()
    year = g["Y"] or g["Y2"]
    known = {"d": g["d"] or g["d2"], "b": g["b"] or g["b2"]}
    return {**g, **known, "Y": year if year and len(year) == 4 else None, "y": year}


def is_month(found: re.Match[str] | None) -> bool:
    """Whether the word in such a date is the name of a month."""
    return bool(found) and _month(found["b"] or found["b2"]) > 0
