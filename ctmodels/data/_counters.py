"""Counters that begin again: said to be such, and counted on where it is asked for."""

from collections.abc import Sequence

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._raw import RawTable
from ctmodels.data._table import ReadOptions

# Hours, minutes and seconds of a day, seconds of a week, milliseconds of both, and the bits of registers.
PERIODS = (24, 60, 256, 1440, 3600, 65_536, 86_400, 604_800, 2**24, 86_400_000, 604_800_000, 2**31, 2**32)


def unwrapped(raw: RawTable, series: Sequence[np.ndarray], options: ReadOptions) -> RawTable:
    """The rows of each series counted on where the counter begins again, if the caller says after what."""
    wraps = options.clock.wraps
    if not wraps:
        _check_sort(raw, series, options)
        return raw
    if options.sort:
        both = f"{argument('wraps', wraps)} and {argument('sort', True)}"
        remedy = f"drop {argument('sort', True)}"
        raise DataError(f"{raw.source}: {both}: only the order of rows shows a new beginning; {remedy}")
    clock, times = raw.clock, 0
    if clock.form.dated:
        raise DataError(f"{raw.source}, column {options.time!r}: dates do not begin again; drop {argument('wraps')}")
    for rows in series:
        clock, again = clock.unwrapped(rows, wraps)
        times += again
    return raw._replace(clock=clock, notes=(*raw.notes, _wrap_note(raw, options, times)))


def _wrap_note(raw: RawTable, options: ReadOptions, times: int) -> str:
    often = f"{times} time{'s' * (times != 1)}, and is counted on by {options.clock.wraps} each time"
    return f"{raw.source}, column {options.time!r}: the counter begins again {often}"


def check_no_wrap(raw: RawTable, rows: np.ndarray, time: str) -> None:
    """Refuse times that fall as those of a counter do that begins again: to sort them would be wrong."""
    ticks = raw.clock.ticks[rows]
    period = None if raw.clock.form.dated else period_of(ticks / _count(raw))
    if period is None:
        return
    i = int(np.flatnonzero(np.diff(ticks) < 0)[0]) + 1
    bits = f" ({period.bit_length() - 1} bits)" if period & (period - 1) == 0 else ""
    raise DataError(
        f"{raw.row(int(rows[i]))}, column {time!r}: time {raw.time(int(rows[i]))} after "
        f"{raw.time(int(rows[i - 1]))}: so does a counter that begins again after {period}{bits}; "
        f"sorting would put its end first: have it counted on: {argument('wraps', period)}"
    )


def _check_sort(raw: RawTable, series: Sequence[np.ndarray], options: ReadOptions) -> None:
    """Nor are the times of a register sorted, though it be asked for."""
    if not options.sort or raw.clock.form.dated:
        return
    for rows in series:
        if (period_of(raw.clock.ticks[rows] / _count(raw)) or 0) >= 65_536:
            check_no_wrap(raw, rows, options.time)


def _count(raw: RawTable) -> float:
    """Ticks in one count of the file."""
    clock = raw.clock
    return clock.form.count * clock.rate / 1e18 if clock.form.count and clock.rate else 1.0


def period_of(numbers: np.ndarray) -> int | None:
    """Of a counter that begins again: after how many counts; None for any other numbers."""
    gaps = np.diff(numbers)
    falls, rises = gaps[gaps < 0], gaps[gaps > 0]
    if not len(falls) or not len(rises) or len(falls) > len(numbers) / 4:
        return None
    typical, span = float(np.median(rises)), float(numbers.max() - numbers.min())
    for period in PERIODS:
        # By the gaps of the rest; a large register may have rested for longer when it began again.
        most = max(min(3 * typical, float(rises.max())), period / 100 if period >= 65_536 else 0)
        if span < period and np.all(falls + period > 0) and np.all(falls + period <= most):
            return period
    return None
