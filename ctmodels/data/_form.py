"""How times are written: what a forecast needs in order to go on in the writing of the data.

An instant is a Python integer, attoseconds since 1970 (of UTC where there is a zone, else of the file's own clock), so
that no digit is lost.
"""

import datetime
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

SECOND = 10**18
DAY = 86_400 * SECOND
SIZES = (DAY, 3600 * SECOND, 60 * SECOND, SECOND)  # of the finest part: a date, hours, minutes, seconds
EPOCH = datetime.date(1970, 1, 1).toordinal()


class Form(NamedTuple):
    """How times are written; JSON-able.

    - `date`: codes of `strftime` for the date; "" for numbers.
    - `sep`: what parts date and time of day; "" where all are digits, `20240131`.
    - `colon`: what parts hours, minutes and seconds.
    - `parts`: 0 for dates alone, 1 with hours, 2 with minutes, 3 with seconds.
    - `digits`: decimals of the seconds; of plain numbers, whether they have any.
    - `zone`: "" for a clock without a zone; else how one is written: "Z", " UTC", "+hh:mm", "+hhmm" or "+hh".
    - `offset`: minutes east of UTC, of the last row.
    - `count`: attoseconds in one count, for numbers that count from no known date; else 0.
    - `tick`: attoseconds of which all times since the first are whole multiples.
    - `months`: the typical gap in calendar months, where the clock is one of months or years; else 0.
    - `leaps`: leap seconds within the record.
    """

    date: str = ""
    sep: str = "T"
    colon: str = ":"
    parts: int = 0
    digits: int = 0
    zone: str = ""
    offset: int = 0
    count: int = 0
    tick: int = 10**12
    months: int = 0
    leaps: int = 0

    @property
    def dated(self) -> bool:
        """Whether the times are known as dates."""
        return bool(self.date)

    @property
    def zoned(self) -> bool:
        """Whether the dates are instants, and not those of some clock."""
        return bool(self.zone)

    @property
    def finest(self) -> int:
        """The least step that can be written."""
        if self.count:
            return 1 if self.tick % self.count else self.count
        return 1 if self.sep else SIZES[self.parts] // 10**self.digits

    def write(self, instants: Sequence[int]) -> list[str]:
        """The instants as text, all with the same parts."""
        if self.count:
            return [_number(Decimal(at) / self.count) for at in instants]
        local = [at + self.offset * 60 * SECOND for at in instants]
        if not self.sep:
            return [self._digits(at) for at in local]
        parts = max([self.parts, *(_parts(at) for at in local)])
        if not self.parts and (parts or self.zone):  # hours alone only where the data write them so
            parts = max(parts, 2)
        digits = max([self.digits, *(_decimals(at) for at in local)])
        return [self._date(at) + self._clock(at, parts, digits) for at in local]

    def _date(self, at: int) -> str:
        day = datetime.date.fromordinal(at // DAY + EPOCH)
        year, week, weekday = day.isocalendar()
        codes = {"Y": f"{day.year:04}", "m": f"{day.month:02}", "d": f"{day.day:02}", "j": day.strftime("%j"),
                 "G": f"{year:04}", "V": f"{week:02}", "u": str(weekday), "y": f"{day.year % 100:02}"}  # fmt: skip
        text = self.date
        for code, value in codes.items():
            text = text.replace(f"%{code}", value)
        return text

    def _clock(self, at: int, parts: int, digits: int) -> str:
        """Time of day and zone; nothing for a date alone."""
        if parts == 0:
            return ""
        seconds, rest = divmod(at % DAY, SECOND)
        whole = [seconds // 3600, seconds // 60 % 60, seconds % 60][:parts]
        text = self.sep + self.colon.join(f"{n:02}" for n in whole)
        return text + (f".{rest:018}"[: 1 + digits] if digits else "") + self._zone()

    def _zone(self) -> str:
        if "+" not in self.zone:
            return self.zone
        sign, (hours, minutes) = "-" if self.offset < 0 else "+", divmod(abs(self.offset), 60)
        colon = "" if self.zone == "+hhmm" else ":"
        return f"{sign}{hours:02}" + (f"{colon}{minutes:02}" if minutes or self.zone != "+hh" else "")

    def _digits(self, at: int) -> str:
        seconds, rest = divmod(at % DAY, SECOND)
        clock = f"{seconds // 3600:02}{seconds // 60 % 60:02}{seconds % 60:02}"[: 2 * self.parts]
        return self._date(at) + clock + f"{rest:018}"[: self.digits]


def _parts(at: int) -> int:
    """How many parts of a time of day it takes to write it."""
    return next((i for i, size in enumerate(SIZES) if at % size == 0), 3)


def _decimals(at: int) -> int:
    return len(f"{at % SECOND:018}".rstrip("0"))


def _number(count: Decimal) -> str:
    whole = int(count)
    return str(whole) if whole == count else format(count.normalize(), "f")
