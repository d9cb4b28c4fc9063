"""A column of times as exact integers, with how they are written and what was decided of them."""

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels.data._form import SECOND, Form

RATES = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9, "ps": 10**12, "fs": 10**15, "as": 10**18}
At = Callable[[int], str]


class ClockOptions(NamedTuple):
    """What the caller says of the times, or what was found, with which another file is read alike.

    `date_format`: of dates as text, in the codes of `strptime`; `clock`: what numbers count, "number" for nothing, or
    a unit, with the date of zero; `wraps`: the counts after which a counter begins again.
    """

    date_format: str | None = None
    clock: str | None = None
    wraps: float | int | None = None


@dataclasses.dataclass(frozen=True)
class Clock:
    """`ticks`: plain times if `rate` is 0; else int64 since the first row, `rate` to the second.

    `form`: how times are written; `how`: what reads another file alike; `notes`: what was decided, in sentences.
    """

    ticks: np.ndarray
    rate: int = 0
    origin: str = ""
    form: Form = Form()
    how: ClockOptions = ClockOptions()
    notes: tuple[str, ...] = ()

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

    def stamp(self, tick: int) -> str:
        """A tick as a date, to the second."""
        utc = self.origin.endswith("Z")
        return iso_of(np.datetime64(self.origin.rstrip("Z"), "s") + np.timedelta64(tick // self.rate, "s"), "s", utc)

    def unwrapped(self, rows: np.ndarray, wraps: float | int) -> tuple["Clock", int]:
        """The `rows`, in order, of a counter that begins again after `wraps`, counted on; and how often it did."""
        ticks = self.ticks[rows]
        again = np.cumsum(np.diff(ticks, prepend=ticks[:1]) < 0)
        period = wraps if self.rate == 0 else round(wraps * self.form.count * self.rate) // SECOND
        changed = self.ticks.copy()
        changed[rows] = ticks + again * period
        form = self.form._replace(tick=tick_of(changed, self.rate)) if self.rate else self.form
        how = self.how._replace(wraps=wraps)
        return dataclasses.replace(self, ticks=changed, form=form, how=how), int(again.max(initial=0))


def since(
    ticks: np.ndarray, unit: str, utc: bool, form: Form, how: ClockOptions = ClockOptions(), notes: tuple[str, ...] = ()
) -> Clock:
    """The clock of counts of a unit since 1970."""
    origin = iso_of(ticks[0], unit, utc) if len(ticks) else ""
    counts = ticks - ticks[:1].sum()
    form = form._replace(tick=tick_of(counts, RATES[unit]), months=months(ticks.astype(f"M8[{unit}]")))
    return Clock(counts, RATES[unit], origin, form, how, notes)


def exact(
    instants: Sequence[int], form: Form, at: At, how: ClockOptions = ClockOptions(), notes: tuple[str, ...] = (),
    local: Sequence[int] = (),
) -> Clock:  # fmt: skip
    """The clock of exact instants, in the coarsest ticks that hold them.

    **Arguments:** `local`: the same by the local clock, for its calendar months. Default: `instants`.
    """
    rate, first = rate_of(instants), instants[0]
    counts = int64([(t - first) * rate // SECOND for t in instants], at)
    seconds = np.array([t // SECOND for t in local or instants], np.int64)
    form = form._replace(tick=tick_of(counts, rate), months=months(seconds.astype("M8[s]")))
    return Clock(counts, rate, origin_of(first, form.zoned), form, how, notes)


def rate_of(instants: Sequence[int]) -> int:
    """Ticks to the second: millions, or as many more as it takes."""
    part = math.gcd(*instants)
    return next(rate for rate in list(RATES.values())[2:] if part % (SECOND // rate) == 0)


def tick_of(counts: np.ndarray, rate: int) -> int:
    """Attoseconds of which all counts are whole multiples."""
    return SECOND // rate * max(1, int(np.gcd.reduce(counts)) if len(counts) else 1)


def int64(ticks: list[int], at: At) -> np.ndarray:
    """Ticks as an array, if they fit."""
    wrong = [i for i, t in enumerate(ticks) if abs(t) >= 2**63]
    if wrong:
        raise DataError(
            f"{at(wrong[0])}: the times span more than their finest digits allow (2**63 of them); round them"
        )
    return np.array(ticks, np.int64)


def origin_of(first: int, utc: bool) -> str:
    """An instant as the shortest ISO date."""
    for unit in ("us", "ns", "ps", "fs", "as"):
        ticks, rest = divmod(first * RATES[unit], SECOND)
        if not rest and abs(ticks) < 2**63:
            return iso_of(ticks, unit, utc)
    return iso_of(first // 10**12, "us", utc)


def months(stamps: np.ndarray) -> int:
    """The typical gap in calendar months of a clock that stays on one day of the month; 0 of any other.

    **Arguments:** `stamps`: datetime64 by the local clock, in any order.
    """
    stamps = np.unique(stamps)
    of_month = stamps.astype("M8[M]")
    gaps = np.diff(of_month.astype(np.int64))
    if len(gaps) < 2 or gaps.min() < 1:
        return 0
    days = (stamps.astype("M8[D]") - of_month.astype("M8[D]")).astype(np.int64) + 1
    last = ((of_month + 1).astype("M8[D]") - of_month.astype("M8[D]")).astype(np.int64)
    of_day = stamps - stamps.astype("M8[D]")
    same = np.all(days == np.minimum(days.max(), last)) and np.all(of_day == of_day[0])
    return int(np.median(gaps)) if same else 0


def iso_of(tick: Any, unit: str, utc: bool) -> str:
    """The ISO date of a count since 1970, as short as it can be."""
    instant = np.asarray(tick).astype(f"datetime64[{unit}]")
    return str(np.datetime_as_string(instant, unit="auto", timezone="UTC" if utc else "naive"))
