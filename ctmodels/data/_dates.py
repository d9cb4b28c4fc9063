"""Columns of dates as text, by ISO 8601, as spreadsheets write them, or in a format that the caller names."""

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._cells import short
from ctmodels.data._form import SECOND, Form
from ctmodels.data._instants import (
    NAMED,
    Ambiguous,
    Instant,
    compiled,
    instant,
    is_month,
    iso,
    iso_form,
    iso_parts,
    named_parts,
    sheet_order,
)
from ctmodels.data._ticks import At, Clock, ClockOptions, exact, since

_DAY, _TIME = r"\d{4}-\d\d-\d\d", r"[T ]\d\d:\d\d(?::\d\d(?:\.\d{1,6})?)?"
_USUAL = re.compile(rf"(?:{_DAY}(?:{_TIME})?(?:\n|\Z))++", re.ASCII)
_ZULU = re.compile(rf"(?:{_DAY}{_TIME}Z(?:\n|\Z))++", re.ASCII)


def pattern_of(date_format: str) -> re.Pattern[str]:
    try:
        return compiled(date_format)
    except ValueError as e:
        raise DataError(f"{argument('date_format', date_format)}: {e}") from None


def in_format(cells: Sequence[str], at: At, form: str, pattern: re.Pattern[str]) -> Clock:
    """Dates as the caller says that they are written."""

    def read(cell: str) -> Instant:
        found = pattern.fullmatch(cell)
        if not found:
            raise ValueError(f"time {short(cell)} is not written as {form!r}: all times are; correct it, or the format")
        return instant(cell, found.groupdict())

    return _dates(cells, at, read, _written_in(form), how=ClockOptions(date_format=form))


def _written_in(form: str) -> Form:
    """Digits alone are written on as they are; all else as ISO dates, which any reader reads."""
    date = form.replace("%H", "").replace("%M", "").replace("%S", "")
    if date in ("%Y%m%d", "%Y%m", "%Y%j"):
        return Form(date, "", "", form.count("%H") + form.count("%M") + form.count("%S"))
    return Form("%Y-%m-%d", " ")


def iso_dates(cells: Sequence[str], at: At, notes: tuple[str, ...] = ()) -> Clock:
    def read(cell: str) -> Instant:
        found = iso(cell)
        if not found:
            raise ValueError(
                f"time {short(cell)} is not an ISO date, as the first row is: "
                "write 2001-12-31 or 2001-12-31T23:59:59.999999 with Z, +02:00 or nothing"
            )
        return instant(cell, iso_parts(found))

    form = iso_form(iso(cells[0]))  # pyright: ignore
    quick = _quick(cells)
    if quick is not None:
        return since(quick, "us", form.zoned, form, notes=notes)
    return _dates(cells, at, read, form, notes)


def _quick(cells: Sequence[str]) -> np.ndarray | None:
    """Microseconds since 1970 of the usual forms, which NumPy reads at once; None where any cell is another."""
    text = "\n".join(cells)
    zulu = _ZULU.fullmatch(text)
    if not (zulu or _USUAL.fullmatch(text)):
        return None
    try:
        return np.array(text.replace("Z", "").split("\n"), "M8[us]").astype(np.int64)
    except ValueError:  # no such date, or a leap second
        return None


def sheet_dates(cells: Sequence[str], at: At) -> Clock:
    """Dates as spreadsheets write them: 31.12.2022, 12/31/2022 12:00 AM, 2022/12/31."""
    try:
        form, tells = sheet_order(cells)
    except Ambiguous as e:
        raise DataError(f"{at(0)}: time {short(cells[0])}: {e}") from None
    except ValueError as e:
        raise DataError(f"{at(0)}: {e}") from None
    return _noted(in_format(cells, at, form, pattern_of(form)), f"dates are read as {form}, as {tells!r} tells")


def named_dates(cells: Sequence[str], at: At) -> Clock:
    """Dates with the name of a month: 31-Dec-2022, Dec 31, 2022."""

    def read(cell: str) -> Instant:
        found = NAMED.fullmatch(cell)
        if not is_month(found):
            raise ValueError(
                f"time {short(cell)} is not a date with the name of a month, as the first row is; write ISO"
            )
        return instant(cell, named_parts(found))  # pyright: ignore

    return _noted(_dates(cells, at, read, Form("%Y-%m-%d", " ")), "dates are read by the names of months")


def _noted(clock: Clock, said: str) -> Clock:
    first, last = (clock.stamp(int(t)) for t in (clock.ticks.min(), clock.ticks.max()))
    return dataclasses.replace(clock, notes=(*clock.notes, f"{said}, from {first} to {last}"))


def _dates(
    cells: Sequence[str], at: At, read: Callable[[str], Instant], form: Form, notes: tuple[str, ...] = (),
    how: ClockOptions = ClockOptions(),
) -> Clock:  # fmt: skip
    """Each cell by `read`: all with a zone, or none."""
    found: list[Instant] = each(cells, at, read)
    _check_zones(found, cells, at)
    last = max(found, key=lambda f: f.at)
    zone = form.zone or ("" if last.east is None else "Z")
    zone = "+hh:mm" if "+" not in zone and last.east else zone
    instants, leaps = _elapsed(found)
    said = (f"{leaps} leap second{'s' * (leaps > 1)} in the record, counted",) if leaps else ()
    local = [f.at + (f.east or 0) * 60 * SECOND for f in found]
    form = form._replace(zone=zone, offset=last.east or 0, leaps=leaps)
    return exact(instants, form, at, how, (*notes, *said), local)


def _check_zones(found: list[Instant], cells: Sequence[str], at: At) -> None:
    zoned = [f.east is not None for f in found]
    if len(set(zoned)) < 2:
        return
    i = zoned.index(not zoned[0])
    has, had = ("a time zone", "none") if zoned[i] else ("no time zone", "one")
    raise DataError(
        f"{at(i)}: time {cells[i]!r} has {has} and the first row has {had}: "
        "time zones cannot be mixed; give all rows a zone, or none"
    )


def _elapsed(found: list[Instant]) -> tuple[list[int], int]:
    """Instants with the leap seconds that the record shows put in, and how many these are."""
    leaps = sorted({f.at // SECOND * SECOND for f in found if f.leap})
    if not leaps:
        return [f.at for f in found], 0
    return [f.at + SECOND * sum(x < f.at or (x <= f.at and not f.leap) for x in leaps) for f in found], len(leaps)


def each(cells: Sequence[str], at: At, read: Callable) -> list:
    """Each cell read; what `read` complains of is given its place."""
    times = []
    for i, cell in enumerate(cells):
        try:
            times.append(read(cell))
        except ValueError as e:
            raise DataError(f"{at(i)}: {e}") from None
    return times
