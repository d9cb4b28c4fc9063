"""A clock that goes on beyond its data, in the writing of the data: by gaps of one length, or by calendar months."""

import dataclasses
from decimal import Decimal

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels.data._form import DAY, SECOND, Form
from ctmodels.data._instants import instant, iso, iso_form, iso_parts
from ctmodels.data._table import Table

UNITS = {"": 0, "seconds": SECOND, "days": DAY}


@dataclasses.dataclass(frozen=True)
class Timeline:
    """Where a clock stands and how it goes on.

    - `form`: how times are written.
    - `unit`: of the table's times, "days", "seconds" or "".
    - `time`: the last time, in that unit.
    - `last`: the same as a decimal number: seconds since 1970 (since zero, where there is no date), or the plain time.
    - `step`: the typical gap, likewise.
    """

    form: Form
    unit: str
    time: float
    last: str
    step: str

    @classmethod
    def of(cls, table: Table) -> "Timeline":
        """That of a table's times."""
        form = form_of(table)
        if not UNITS[table.time_unit]:
            steps = _middle(np.diff(table.time))
            low, high = (_decimal(table.time[i + 1]) - _decimal(table.time[i]) for i in steps)
            return cls(form, "", float(table.time[-1]), str(_decimal(table.time[-1])), str((low + high) / 2))
        gaps = np.diff(_ticks(table, form))
        step = sum(int(gaps[i]) for i in _middle(gaps)) * form.tick // 2
        step = max(step - step % form.finest, form.finest)
        last = instants(table)[-1]
        return cls(form, table.time_unit, float(table.time[-1]), _seconds(last), _seconds(step))

    def to_dict(self) -> dict:
        """For JSON."""
        return {**dataclasses.asdict(self), "form": self.form._asdict()}

    @classmethod
    def from_dict(cls, d: dict) -> "Timeline":
        """Back from JSON."""
        return cls(**{**d, "form": Form(**d["form"])})

    def ahead(self, steps: int) -> tuple[np.ndarray, list[str]]:
        """Times `(steps + 1,)` from the last on, in the table's unit, and how those after it are written."""
        last, step, count = Decimal(self.last), Decimal(self.step), range(1, steps + 1)
        if not self.unit:
            written = [self._plain(float(last + k * step)) for k in count]
            return np.array([self.time, *(float(text) for text in written)]), written
        start = _instant(self.last)
        if self.form.months:
            there = [_months_on(start, k * self.form.months, self.form) for k in count]
        else:
            there = [start + k * _instant(self.step) for k in count]
        times = [self.time + (at - start) / UNITS[self.unit] for at in there]
        return np.array([self.time, *times]), self.form.write(there)

    def written_last(self) -> str:
        """The last time as the data write it."""
        return self.form.write([_instant(self.last)])[0] if self.unit else self._plain(self.time)

    def meet(self, table: Table) -> tuple[np.ndarray, list[str]]:
        """Another table's times on this clock, and how they are written. Raises `DataError` if they are of another."""
        form = form_of(table)
        self._check_kind(table, form)
        if not self.form.dated:
            scale = UNITS[table.time_unit] / UNITS[self.unit] if table.time_unit and self.unit else 1.0
            times = self._wrapped(table.time * scale, table)
            return times, self._written(times)
        there, start = instants(table), _instant(self.last)
        return np.array([self.time + (at - start) / UNITS[self.unit] for at in there]), self.form.write(there)

    def _written(self, times: np.ndarray) -> list[str]:
        if not self.form.count:
            return [self._plain(float(t)) for t in times]
        return self.form.write([round(Decimal(repr(float(t))) * UNITS[self.unit]) for t in times])

    def _plain(self, time: float) -> str:
        """In the fewest digits that read back as the same float64."""
        whole = time == int(time) and abs(time) < 2**53 and not self.form.digits
        return str(int(time)) if whole else repr(time)

    def _check_kind(self, table: Table, form: Form) -> None:
        kinds = [_kind(f) for f in (form, self.form)]
        if kinds[0] != kinds[1]:
            raise DataError(
                f"{table.source}, column {table.time_name!r}: its times are {kinds[0]} and those of the training data "
                f"are {kinds[1]}, such as {self.written_last()}; write them alike"
            )

    def _wrapped(self, times: np.ndarray, table: Table) -> np.ndarray:
        """A counter that began again is counted on from where the training data end."""
        wraps = table.reading.get("wraps")
        if not wraps or times[0] > self.time:
            return times
        period = wraps * self.form.count / UNITS[self.unit] if self.form.count else wraps
        return times + period * np.ceil((self.time - times[0]) / period)


def form_of(table: Table) -> Form:
    """How a table's times are written; for one made by hand, as its `origin` is."""
    found = iso(table.origin)
    form = table.form or (iso_form(found) if found else Form())
    if table.time_unit and not (table.origin or form.count):  # durations, whose unit is the table's
        return Form(count=UNITS[table.time_unit], tick=form.tick)
    return form


def instants(table: Table) -> list[int]:
    """The table's times as instants; as attoseconds since zero where there is no date."""
    form = form_of(table)
    found = iso(table.origin)
    origin = instant(table.origin, iso_parts(found)).at if found else 0
    origin -= form.leaps * SECOND
    return [origin + tick * form.tick for tick in _ticks(table, form).tolist()]


def _ticks(table: Table, form: Form) -> np.ndarray:
    """Whole ticks since the origin: what the scaling to float64 rounded comes back exactly."""
    return np.rint(table.time * (UNITS[table.time_unit] / form.tick)).astype(np.int64)


def _kind(form: Form) -> str:
    if not form.dated:
        return "plain numbers"
    return "dates with a time zone" if form.zoned else "dates without a time zone"


def _middle(gaps: np.ndarray) -> tuple[int, int]:
    """Where the two middle ones of the gaps are; twice the same if their number is odd."""
    order = np.argsort(gaps, kind="stable")
    return int(order[(len(gaps) - 1) // 2]), int(order[len(gaps) // 2])


def _months_on(start: int, months: int, form: Form) -> int:
    """The same day and time of day, so many months on; the last day of a month stays one."""
    day, of_day = divmod(start + form.offset * 60 * SECOND, DAY)
    date = np.datetime64(day, "D")
    month = date.astype("M8[M]")
    last = date + 1 == (month + 1).astype("M8[D]")
    there = month + months
    least = there.astype("M8[D]") + (31 if last else int((date - month.astype("M8[D]")).astype(int)))
    end = (there + 1).astype("M8[D]") - 1
    return int(min(least, end).astype(int)) * DAY + of_day - form.offset * 60 * SECOND


def _decimal(time: float) -> Decimal:
    """The shortest decimal number that float64 reads as this one."""
    return Decimal(repr(float(time)))


def _seconds(attoseconds: int) -> str:
    return format((Decimal(attoseconds).scaleb(-18)).normalize(), "f")


def _instant(seconds: str) -> int:
    return int(Decimal(seconds).scaleb(18))
