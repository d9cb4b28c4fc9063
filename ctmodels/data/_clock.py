"""Times as they come: plain numbers, dates as text or as datetime64, or whole units since 1970.

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
_RATES = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}
_INTEGER = re.compile(r"[+-]?\d{1,19}", re.ASCII)


@dataclasses.dataclass(frozen=True)
class Clock:
    """`ticks`: plain times if `rate` is 0; else int64 since the first row, `rate` to the second."""

    ticks: np.ndarray
    rate: int = 0
    origin: str = ""

    def __getitem__(self, rows: np.ndarray) -> "Clock":
        """Some of the times, from the same origin."""
        return dataclasses.replace(self, ticks=self.ticks[rows])

    def unit(self, gap: float) -> str:
        """The unit that suits the typical `gap` in ticks; "" for plain times."""
        if self.rate == 0:
            return ""
        return "days" if gap >= 86400 * self.rate / 2 else "seconds"

    def scaled(self, unit: str) -> np.ndarray:
        """Times as float64 in their unit."""
        return self.ticks / {"": 1, "seconds": self.rate, "days": 86400 * self.rate}[unit]


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
    if all(_INTEGER.fullmatch(cell) for cell in cells):
        return clock_of(np.array([int(cell) for cell in cells]), at)
    return Clock(np.array(_each(cells, at, _plain)))


def clock_of(times: np.ndarray, at: Callable[[int], str], utc: bool = False) -> Clock:
    """Times of an array.

    **Arguments:**

    - `times`: datetime64, timedelta64 or real numbers, shape `(n,)`.
    - `at`: names the place of time `i`.
    - `utc`: whether datetime64 is known to be UTC.

    **Returns:**

    A `Clock`. Raises `DataError` at the first NaT.
    """
    kind = times.dtype.kind
    if kind in "mM":
        return _instants(times, at, utc)
    unit = _epoch_unit(times) if kind in "iuO" and len(times) else ""
    if unit:
        return _since(times.astype(np.int64), unit, True)
    return Clock(times.astype(np.float64))


def _instants(times: np.ndarray, at: Callable[[int], str], utc: bool) -> Clock:
    """Ticks of datetime64 since the first, or of timedelta64 as they are."""
    wrong = np.flatnonzero(np.isnat(times))
    if len(wrong):
        raise DataError(f"{at(int(wrong[0]))}: missing time (NaT): each row needs one; drop the row")
    kind, unit = times.dtype.kind, np.datetime_data(times.dtype)[0]
    unit = unit if unit in _RATES else "s"
    ticks = times.astype(f"{kind}8[{unit}]").astype(np.int64)
    if int(ticks.max(initial=0)) - int(ticks.min(initial=0)) >= 2**63:  # centuries in nanoseconds
        unit = "us"
        ticks = times.astype(f"{kind}8[us]").astype(np.int64)
    return Clock(ticks, _RATES[unit]) if kind == "m" else _since(ticks, unit, utc)


def _since(ticks: np.ndarray, unit: str, utc: bool) -> Clock:
    origin = _iso(ticks[0], unit, utc) if len(ticks) else ""
    return Clock(ticks - ticks[:1].sum(), _RATES[unit], origin)


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
    return _since(ticks, "us", zoned[0])


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


def _epoch_unit(ticks: np.ndarray) -> str:
    """The unit of integers since 1970, of 2001 to 2286; "" for all else, such as years."""
    low, high = int(ticks.min()), int(ticks.max())
    units = ("s", "ms", "us", "ns")
    return next((u for u in units if 10**9 * _RATES[u] <= low and high < min(10**10 * _RATES[u], 2**63)), "")


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
