"""Times as a file writes them: plain numbers, ISO dates, or whole units since 1970.

Dates and epochs stay exact integers (ticks since the first row) until they are checked; only then
are they scaled.
"""

import dataclasses
import re
from collections.abc import Callable, Sequence

import numpy as np

from ctmodels._door import DataError
from ctmodels.data._cells import is_text, number, short

_DATE = re.compile(
    r"(\d{4}-\d\d(?:-\d\d)?)"
    r"(?:[T ](\d\d:\d\d(?::\d\d(?:[.,]\d{1,6})?)?)(?:(?<=[.,]\d{6})0+)?"  # zeros past microseconds
    r"(?: ?(Z|UTC)| ?([+-]\d\d):?(\d\d)?)?)?",
    re.ASCII | re.IGNORECASE,
)
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Clock:
    """`ticks`: plain times if `rate` is 0; else int64 since the first row, `rate` to the second."""

    ticks: np.ndarray
    rate: int = 0
    origin: str = ""

    def scaled(self) -> tuple[np.ndarray, str]:
        """Times as float64, and their unit."""
        if self.rate == 0:
            return self.ticks, ""
        day = 86400 * self.rate
        if np.median(np.diff(self.ticks)) >= day / 2:
            return self.ticks / day, "days"
        return self.ticks / self.rate, "seconds"


def read_clock(cells: Sequence[str], at: Callable[[int], str]) -> Clock:
    """Read a column of times, of which the first says whether they are dates.

    **Arguments:**

    - `cells`: the text of each time; none is missing.
    - `at`: names the place of time `i`.

    **Returns:**

    A `Clock`. Raises `DataError` at the first cell that is not such a time. The order is
    not checked here.
    """
    if _DATE.fullmatch(cells[0]):
        return _dates(cells, at)
    rate = _epoch_rate(cells)
    if rate:
        ticks = np.array([int(cell) for cell in cells], dtype=np.int64)
        unit = {1: "s", 10**3: "ms", 10**6: "us", 10**9: "ns"}[rate]
        return Clock(ticks - ticks[0], rate, _iso(ticks[0], unit, True))
    return Clock(np.array(_each(cells, at, _plain)))


def _dates(cells: Sequence[str], at: Callable[[int], str]) -> Clock:
    instants, zoned = zip(*_each(cells, at, _instant), strict=True)
    if len(set(zoned)) == 2:
        i = zoned.index(not zoned[0])
        has, had = ("a time zone", "none") if zoned[i] else ("no time zone", "one")
        raise DataError(
            f"{at(i)}: time {cells[i]!r} has {has} and the first row has {had}: "
            "time zones cannot be mixed; give all rows a zone, or none"
        )
    ticks = np.array(instants, dtype=np.int64)
    return Clock(ticks - ticks[0], 10**6, _iso(ticks[0], "us", zoned[0]))


def _each(cells: Sequence[str], at: Callable[[int], str], read: Callable) -> list:
    """Each cell read; what `read` complains of is given its place."""
    times = []
    for i, cell in enumerate(cells):
        try:
            times.append(read(cell))
        except ValueError as e:
            raise DataError(f"{at(i)}: {e}") from None
    return times


def _instant(cell: str) -> tuple[int, bool]:
    """Microseconds since 1970, in UTC where there is a zone, and whether there is one."""
    found = _DATE.fullmatch(cell)
    if not found:
        raise ValueError(
            f"time {short(cell)} is not an ISO date, as the first row is: "
            "write 2001-12-31 or 2001-12-31T23:59:59.999999 with Z, +02:00 or nothing"
        )
    date, clock, utc, hours, minutes = found.groups()
    try:
        local = np.datetime64(f"{date}T{clock.replace(',', '.')}" if clock else date, "us")
    except ValueError:
        raise ValueError(f"time {cell!r} does not exist: no calendar or clock has it; correct the date") from None
    east = int(hours or 0) * 60 + int((hours or "+")[0] + (minutes or "0"))
    return int(local.astype(np.int64)) - east * 60 * 10**6, bool(utc or hours)


def _epoch_rate(cells: Sequence[str]) -> int:
    """Ticks per second of integers since 1970, of 2001 to 2286; 0 for all else, such as years."""
    if not all(_INTEGER.fullmatch(cell) for cell in cells):
        return 0
    ticks = [int(cell) for cell in cells]
    rates = [1, 10**3, 10**6, 10**9]
    return next((r for r in rates if 10**9 * r <= min(ticks) and max(ticks) < min(10**10 * r, 2**63)), 0)


def _plain(cell: str) -> float:
    if is_text(cell):
        raise ValueError(
            f"time {short(cell)} is neither a number nor an ISO date: "
            "write all times as numbers, or all as 2001-12-31 or 2001-12-31T23:59:59"
        )
    return number(cell)


def _iso(tick: np.int64, unit: str, utc: bool) -> str:
    """The ISO date of a count since 1970, as short as it can be."""
    instant = np.asarray(tick).astype(f"datetime64[{unit}]")
    return str(np.datetime_as_string(instant, unit="auto", timezone="UTC" if utc else "naive"))
