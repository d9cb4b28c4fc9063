"""Dates under an axis of numbers: those that count days or seconds since an origin."""

from typing import Any

import numpy as np

from ctmodels.data._calendar import dates_of

WIDE = 0.7  # inches of an axis that a date takes
FEWEST, MOST = 5, 12  # ticks
SHORTEST = 10  # seconds that an axis spans at least, if it is to have dates
YEARS = np.array(["1000", "9000"], "M8[us]")  # between which dates have no surprises
# Of years, months, days, hours, minutes, seconds: what a tick says; what the first of a longer part says; and what all
# ticks have in common, which stands at the axis's end.
TICKS = ("%Y", "%b", "%d", "%H:%M", "%H:%M", "%S.%f")
FIRSTS = ("", "%Y", "%d %b", "%d %b", "%H:%M", "%H:%M")
COMMON = ("", "%Y", "%b %Y", "%d %b %Y", "%d %b %Y", "%d %b %Y, %H:%M")


def date_axis(axis: Any, unit: str, origin: str) -> bool:
    """Ticks where a calendar has them, on an axis that was drawn in numbers and has its limits.

    **Arguments:**

    - `axis`: of matplotlib, `axes.xaxis`, of times in the `unit` of a [`ctmodels.data.Table`][], "days" or "seconds",
        since its `origin`, a date as ISO 8601 writes it; dates are in UTC where the origin has a zone.

    **Returns:** whether these are dates; if not, the axis is as it was.
    """
    ends = dates_of(np.sort(axis.get_view_interval()), unit, origin)
    if ends is None or np.diff(ends)[0] < np.timedelta64(SHORTEST, "s") or not YEARS[0] < ends[0] < ends[1] < YEARS[1]:
        return False
    from matplotlib.dates import date2num

    first, second = (float(date2num(dates_of(np.array([t]), unit, origin))[0]) for t in (0.0, 1.0))
    locator, formatter = _calendar(first, second - first)
    axis.set_major_locator(locator)
    axis.set_major_formatter(formatter)
    return True


def _calendar(first: float, scale: float) -> tuple[Any, Any]:
    """matplotlib's own, which count in days since 1970, for an axis whose zero and whose unit are these there."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter, num2date
    from matplotlib.ticker import Formatter, Locator

    concise = ConciseDateFormatter(
        AutoDateLocator(), formats=TICKS, zero_formats=FIRSTS, offset_formats=COMMON, usetex=False
    )

    class Dates(Locator):
        def __call__(self):
            return self.tick_values(*self.axis.get_view_interval())  # pyright: ignore

        def tick_values(self, vmin, vmax):
            ends = (num2date(first + scale * t) for t in sorted((vmin, vmax)))
            return (np.asarray(_locator(self.axis).tick_values(*ends)) - first) / scale

    class Written(Formatter):
        def __call__(self, x, pos=None):
            return concise(first + scale * x, pos)

        def format_ticks(self, values):
            return concise.format_ticks(_rounded(first + scale * np.asarray(values)).tolist())

        def get_offset(self):
            return concise.get_offset()

    return Dates(), Written()


def _locator(axis: Any) -> Any:
    """As many ticks as there is room for: looked up whenever one is drawn, since a figure's size may change."""
    from matplotlib.dates import MINUTELY, SECONDLY, AutoDateLocator

    inches = axis.axes.bbox.width / axis.axes.figure.dpi
    most = int(np.clip(inches / WIDE, FEWEST, MOST))
    # Half as many at least: matplotlib has no step between six months and a year, nor between twelve hours and a day.
    locator = AutoDateLocator(minticks=(most - 1) // 2, maxticks=most)
    for unit in (MINUTELY, SECONDLY):
        locator.intervald[unit] = [1, 2, 5, 10, 15, 30]  # from one to five is too far
    return locator


def _rounded(days: np.ndarray, second: float = 86_400.0) -> np.ndarray:
    """To milliseconds: midnight is not to be the end of the day before."""
    return np.rint(days * second * 1e3) / (second * 1e3)
