"""Times as they come: plain numbers, dates as text, as integers or as datetime64, or counts since a date.

All but plain numbers stay exact integers (ticks since the first row) until they are checked; only then are they scaled.
"""

import dataclasses
import re
from collections.abc import Sequence

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._cells import is_text, number, short
from ctmodels.data._dates import each, in_format, iso_dates, named_dates, pattern_of, sheet_dates
from ctmodels.data._form import SECOND, Form
from ctmodels.data._instants import NAMED, NUMERIC, is_month, iso
from ctmodels.data._numbers import (
    ABSOLUTE,
    UNIX,
    Dates,
    absolute,
    calendar_fractions,
    calendar_integers,
    counted,
    counting,
    unix_unit,
)
from ctmodels.data._ticks import RATES, At, Clock, ClockOptions, exact, int64, iso_of, months, rate_of, since, tick_of

_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)
AS_NUMBERS = ClockOptions(clock="number")


def read_clock(cells: Sequence[str], at: At, how: ClockOptions = ClockOptions()) -> Clock:
    """Read a column of times, of which the first says whether they are dates.

    **Arguments:**

    - `cells`: the text of each time; none is missing.
    - `at`: names the place of time `i`.
    - `how`: what the caller says of them.

    **Returns:**

    A `Clock`. Raises `DataError` at the first cell that is not such a time. The order is
    not checked here.
    """
    named = None if how.date_format is None else pattern_of(how.date_format)
    if named and (named.fullmatch(cells[0]) or not iso(cells[0])):
        return in_format(cells, at, how.date_format or "", named)
    if iso(cells[0]):
        return iso_dates(
            cells, at, tuple(f"ISO dates are read as such, and not by {said!r}" for said in how[:2] if said)
        )
    if NUMERIC.fullmatch(cells[0]):
        return sheet_dates(cells, at)
    if is_month(NAMED.fullmatch(cells[0])):
        return named_dates(cells, at)
    if _counts(how):
        return _counted(cells, at, how.clock or "")
    if all(_INTEGER.fullmatch(cell) for cell in cells):
        return _numbers(np.array([int(cell) for cell in cells]), at, how)
    return _numbers(np.array(each(cells, at, _plain)), at, how)


def clock_of(times: np.ndarray, at: At, local: np.ndarray | None = None, how: ClockOptions = ClockOptions()) -> Clock:
    """Times of an array.

    **Arguments:**

    - `times`: datetime64, timedelta64 or real numbers, shape `(n,)`.
    - `at`: names the place of time `i`.
    - `local`: where datetime64 is known to be UTC, the same by the local clock.
    - `how`: what the caller says of them.

    **Returns:**

    A `Clock`. Raises `DataError` at the first NaT.
    """
    if times.dtype.kind in "mM":
        return _instants(times, at, local)
    if how.date_format and len(times):
        return read_clock([f"{t:.0f}" if t == t // 1 else str(t) for t in times.tolist()], at, how)
    if _counts(how) and len(times):
        return _counted(times.tolist(), at, how.clock or "")
    return _numbers(times, at, how)


def _counts(how: ClockOptions) -> bool:
    """Whether the caller says what numbers count."""
    return how.clock not in (None, "number") and not ABSOLUTE.fullmatch(how.clock)


def _numbers(times: np.ndarray, at: At, how: ClockOptions) -> Clock:
    """Numbers that may be dates, or counts since 1970."""
    if how.clock and ABSOLUTE.fullmatch(how.clock):
        ms = absolute(times, how.clock, at)
        return since(ms, "ms", False, Form("%Y-%m-%d"), how, (_said(f"{how.clock!r}", ms, "ms", False, ""),))
    if how.clock == "number" or how.wraps or not len(times):
        return _plain_clock(times, at)
    dates = _calendar(times)
    if dates:
        return since(dates.ms, "ms", False, dates.form, dates.how, (_said(dates.name, dates.ms, "ms", False),))
    return _unix(times, at) if times.dtype.kind in "iuO" else _plain_clock(times, at)


def _calendar(times: np.ndarray) -> Dates | None:
    """Calendar dates, where all numbers are such."""
    size = np.abs(times.astype(np.float64))
    if not size.max() < 2**63:  # nor is it, if there is a NaN
        return None
    whole = times.astype(np.int64)
    return calendar_integers(whole) if np.all(whole == times) else calendar_fractions(times)


def _plain_clock(times: np.ndarray, at: At, notes: tuple[str, ...] = ()) -> Clock:
    """Numbers as they are, if float64 can hold them."""
    floats = times.astype(np.float64)
    if times.dtype.kind in "iuO" and np.any(np.abs(floats) >= 2**53):
        i = next((i for i, t in enumerate(times.tolist()) if int(floats[i]) != t), None)
        if i is not None:
            raise DataError(
                f"{at(i)}: time {times[i]} is past 2**53, where float64 loses digits; say what is counted, "
                f"as {argument('clock', 'ns')} or {argument('clock', '100ns since 1601-01-01')}"
            )
    form = Form(digits=int(times.dtype.kind == "f"))  # what has a point keeps it, lest it be taken for an integer
    return Clock(floats, form=form, how=AS_NUMBERS, notes=notes)


def _unix(times: np.ndarray, at: At) -> Clock:
    """Integers that may have the size of times since 1970."""
    unit, plausible = unix_unit(times)
    if not unit:
        return _plain_clock(times, at)
    ticks, short_unit = times.astype(np.int64), next(u for u, rate in RATES.items() if rate == UNIX[unit])
    since_1970 = f"{short_unit} since 1970-01-01"
    if plausible:
        note = _said(f"{unit} since 1970", ticks, short_unit, True)
        return since(ticks, short_unit, True, Form("%Y-%m-%d", zone="Z"), ClockOptions(clock=since_1970), (note,))
    first, last = (iso_of(t, short_unit, True) for t in (ticks.min(), ticks.max()))
    note = (
        f"integers are kept as numbers: as {unit} since 1970 they would reach from {first} to {last}, and nothing "
        f"after January 2038 is taken for such; say what they count, as "
        f"{argument('clock', since_1970)}, {argument('clock', 's since 1904-01-01')} or {argument('clock', 'us')}"
    )
    return _plain_clock(times, at, (note,))


def _said(what: str, ticks: np.ndarray, unit: str, utc: bool, otherwise: str = "number") -> str:
    """The note of a reading: what, from when to when, and how to say otherwise."""
    first, last = (iso_of(t, unit, utc) for t in (ticks.min(), ticks.max()))
    count = f", or what they count, as {argument('clock', 's since 1980-01-06')}" if utc else ""
    remedy = f"; if they are not, say so: {argument('clock', otherwise)}{count}" if otherwise else ""
    return f"numbers are read as {what}, from {first} to {last}{remedy}"


def _counted(numbers: Sequence, at: At, clock: str) -> Clock:
    """Numbers that count as the caller says."""
    what = counting(clock)
    instants = counted(numbers, what, at)
    how = ClockOptions(clock=clock)
    if what.epoch is None:
        rate = rate_of(instants)
        ticks = int64([t * rate // SECOND for t in instants], at)
        return Clock(ticks, rate, "", Form(count=what.count, tick=tick_of(ticks, rate)), how)
    read = exact(instants, Form("%Y-%m-%d", zone="Z"), at, how)
    first, last = (read.stamp(int(t)) for t in (read.ticks.min(), read.ticks.max()))
    return dataclasses.replace(read, notes=(f"numbers are read as {clock}, from {first} to {last}",))


def _instants(times: np.ndarray, at: At, local: np.ndarray | None) -> Clock:
    """Ticks of datetime64 since the first, or of timedelta64 as they are."""
    wrong = np.flatnonzero(np.isnat(times))
    if len(wrong):
        raise DataError(f"{at(int(wrong[0]))}: missing time (NaT): each row needs one; drop the row")
    kind, unit = times.dtype.kind, np.datetime_data(times.dtype)[0]
    form = Form("%Y-%m" if unit == "M" and kind == "M" else "%Y-%m-%d", zone="" if local is None else "Z")
    unit = unit if unit in RATES else "s"
    ticks = times.astype(f"{kind}8[{unit}]").astype(np.int64)
    if int(ticks.max(initial=0)) - int(ticks.min(initial=0)) >= 2**63:  # centuries in nanoseconds
        unit = "us"
        ticks = times.astype(f"{kind}8[us]").astype(np.int64)
    if kind == "m":
        return Clock(ticks, RATES[unit], "", Form(tick=tick_of(ticks, RATES[unit])))
    clock = since(ticks, unit, local is not None, form)
    return (
        clock
        if local is None or not len(times)
        else dataclasses.replace(clock, form=_in_zone(clock.form, times, local))
    )


def _in_zone(form: Form, utc: np.ndarray, local: np.ndarray) -> Form:
    """As the local clock has it: its months, and its offset at the end."""
    last = int(np.argmax(utc))
    offset = int((local[last] - utc[last]) / np.timedelta64(1, "m"))
    return form._replace(zone="+hh:mm" if offset else "Z", offset=offset, months=months(local))


def _plain(cell: str) -> float:
    if is_text(cell):
        raise ValueError(
            f"time {short(cell)} is neither a number nor an ISO date: write all times as numbers, or all as 2001-12-31 "
            f"or 2001-12-31T23:59:59, or say how they are written, as {argument('date_format', '%d.%m.%Y')}"
        )
    return number(cell)
