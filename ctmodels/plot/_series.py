"""Over time: what was observed, with its gaps, and forecasts with their bands."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._arguments import before
from ctmodels._core._series import Series
from ctmodels._core._words import argument
from ctmodels.data import Table, Trials
from ctmodels.plot._axes import panels
from ctmodels.plot._style import COLOURS, GREY, INK, axis_limits, clip, decimate, log_axis
from ctmodels.plot._values import Values, columns, times, values_of

FEW = 250  # samples; up to so many, each is a dot
HELD_OUT = "#f5f7f9"  # the ground of what was not trained on


def _check(data, **_) -> None:
    if isinstance(data, Trials):
        raise TypeError(f"data: Trials of {len(data)}; give one of them, as trials[{data.ids[0]!r}]")


@before(_check)
def series(
    data: Series | Table | ArrayLike,
    ys: ArrayLike | None = None,
    *,
    names: Sequence[str] | None = None,
    longest: float | int | np.timedelta64 | None = None,
    since: float | int | np.datetime64 | None = None,
    log: bool = False,
    color: str | None = None,
    ax: Any = None,
) -> np.ndarray:
    """What was observed, a panel for each channel. The line breaks where something is missing; what stands alone
    between two gaps is a dot, and so is every sample of a short series.

    **Arguments:**

    - `data`: a [`ctmodels.Series`][], or a [`ctmodels.data.Table`][], which has names, units and, where its times are
        dates, dates; or times `(time,)` with values `ys`, `(time,)` or `(time, channel)`, NaN where nothing was seen.
    - `names`: of the channels, in place of the data's.
    - `longest`: time that a line may bridge: where two rows are further apart, it breaks too.
    - `since`: a time from which on samples are held out: dark on shaded ground, those before it grey.
    - `log`: whether the values have a logarithmic axis.
    - `color`: of the line, in place of ink.
    - `ax`: axes of matplotlib, a list with one for each channel; None: of a new figure.

    **Returns:** the axes, `(channel,)`; `axes[0].figure.savefig("series.svg")`.
    """
    seen = values_of(data, ys, names)
    with panels(ax, seen.ys.shape[1]) as made:
        for axes, y, label in zip(made, seen.ys.T, seen.labels, strict=True):
            _scale(axes, y, log)
            if since is not None:
                shade(axes, since, seen.ts[-1])
            draw_observed(axes, *broken(seen.ts, y, longest), since, color)
            axes.set_title(label, parse_math=False)
        label_times(made[-1], seen)
        return made


def forecast(
    ts: ArrayLike,
    median: ArrayLike,
    lower: ArrayLike | None = None,
    upper: ArrayLike | None = None,
    *,
    observed: Series | Table | tuple[ArrayLike, ArrayLike] | None = None,
    names: Sequence[str] | None = None,
    log: bool = False,
    color: str = COLOURS[0],
    ax: Any = None,
) -> np.ndarray:
    """A forecast with its band, a panel for each channel, over what was observed.

    Where there are observations, the axis of values is theirs and a little more: a forecast that blows up leaves it.

    **Arguments:**

    - `ts`: `(time,)`, numbers or dates.
    - `median`: the line, `(time,)` or `(time, channel)`; `lower`, `upper`: the band, both or none, of the same shape.
    - `observed`: a [`ctmodels.Series`][], a [`ctmodels.data.Table`][] or a pair `(ts, ys)`, of the same channels.
        Samples from the forecast's first time on are dark, on shaded ground.
    - `names`: of the channels.
    - `log`: whether the values have a logarithmic axis.
    - `color`: of line and band.
    - `ax`: axes of matplotlib, a list with one for each channel; None: of a new figure. A second forecast on the axes
        that the first one returned is drawn over it.

    **Returns:** the axes, `(channel,)`.
    """
    middle = columns("median", median)
    when = times("ts", ts, len(middle))
    band = _band(middle, lower, upper)
    seen = _observed(observed, when, middle, names)
    with panels(ax, middle.shape[1]) as made:
        for c, axes in enumerate(made):
            held = seen.ys if observed is not None else middle if band is None else np.concatenate(band)
            limits = _frame(axes, held[:, c], log, ax is None)
            if observed is not None:
                shade(axes, when[0], max(when[-1], seen.ts[-1]))
                draw_observed(axes, seen.ts, seen.ys[:, c], _last_before(seen.ts, when[0]))
            edges = None if band is None else [edge[:, c] for edge in band]
            draw_forecast(axes, when, middle[:, c], edges, color, limits, log)
            if observed is not None or names is not None:
                axes.set_title(seen.labels[c], parse_math=False)
        label_times(made[-1], seen)
        return made


def _last_before(ts: np.ndarray, first: Any) -> Any:
    """The last time before the forecast's first, from which a line goes on to what is held out."""
    before = ts[ts < first]
    return before[-1] if len(before) else first


def _band(middle: np.ndarray, lower, upper) -> tuple[np.ndarray, np.ndarray] | None:
    if (lower is None) != (upper is None):
        absent = "lower" if lower is None else "upper"
        raise ValueError(f"{argument(absent, None)}: a band has both limits; give `lower` and `upper`, or neither")
    if lower is None:
        return None
    found = columns("lower", lower), columns("upper", upper)
    for name, values in zip(("lower", "upper"), found, strict=True):
        if values.shape != middle.shape:
            raise ValueError(f"{name}: shape {values.shape}, and median has {middle.shape}: they are alike; index it")
    return found


def _observed(observed: Any, when: np.ndarray, middle: np.ndarray, names: Sequence[str] | None) -> Values:
    """What was seen, or else nothing, at the forecast's times."""
    if observed is None:
        return values_of(when, np.full_like(middle, np.nan), names)
    seen = values_of(*observed, names=names) if isinstance(observed, tuple) else values_of(observed, names=names)
    if seen.ys.shape[1] != middle.shape[1]:
        raise ValueError(
            f"observed: {seen.ys.shape[1]} channels, and the forecast has {middle.shape[1]}; choose the same ones"
        )
    if (seen.ts.dtype.kind == "M") != (when.dtype.kind == "M"):
        kinds = [("dates" if t.dtype.kind == "M" else "numbers") for t in (seen.ts, when)]
        raise ValueError(f"ts: {kinds[1]}, and the times of observed are {kinds[0]}; give both alike")
    return seen


def broken(ts: np.ndarray, ys: np.ndarray, longest: Any) -> tuple[np.ndarray, np.ndarray]:
    """With a missing value in each stretch longer than this, so that the line breaks there."""
    if longest is None:
        return ts, ys
    if not longest > np.zeros((), ts.dtype).astype(np.diff(ts).dtype):
        raise ValueError(f"{argument('longest', longest)}: a time above zero is needed, or None")
    at = np.flatnonzero(np.diff(ts) > longest)
    middle = ts[at] + (ts[at + 1] - ts[at]) / 2
    return np.insert(ts, at + 1, middle), np.insert(ys, at + 1, np.nan)


def _scale(axes: Any, ys: np.ndarray, log: bool) -> None:
    """Ticks of a logarithmic axis."""
    if log:
        axes.set_yscale("log")
        axes.set_ylim(*axis_limits(ys, True))
        log_axis(axes.yaxis)


def _frame(axes: Any, ys: np.ndarray, log: bool, own: bool) -> tuple[float, float]:
    """Limits of an axis for these values; those that it has, where something is drawn already."""
    if not own and axes.has_data():
        return axes.get_ylim()
    limits = axis_limits(ys, log)
    frame(axes, limits, log)
    return limits


def frame(axes: Any, limits: tuple[float, float], log: bool) -> None:
    """An axis of values with these limits."""
    if log:
        axes.set_yscale("log")
    axes.set_ylim(*limits)
    if log:
        log_axis(axes.yaxis)


def shade(axes: Any, since: Any, until: Any) -> None:
    """The ground of what is held out, and a line where it begins."""
    axes.axvspan(since, until, color=HELD_OUT, zorder=0)
    axes.axvline(since, color=GREY, linewidth=1)


def draw_observed(axes: Any, ts: np.ndarray, ys: np.ndarray, since: Any = None, color: str | None = None) -> None:
    """Of one channel: a line that breaks, grey up to `since` and dark from there on."""
    dots = len(ts) <= FEW
    parts = [(np.ones(len(ts), bool), color or INK, 3)]
    if since is not None:
        parts = [(ts >= since, color or INK, 3), (ts <= since, GREY, 4)]
    for part, colour, order in parts:
        t, y = (ts[part], ys[part]) if dots else decimate(ts[part], ys[part])
        axes.plot(t, y, color=colour, linewidth=0.8 if dots else 1.0, zorder=order)
        # Between two gaps a line has no length: the lone sample is a dot.
        seen = np.isfinite(y)
        lone = seen & ~np.r_[False, seen[:-1]] & ~np.r_[seen[1:], False]
        at = seen if dots else lone
        axes.plot(t[at], y[at], "o", color=colour, markersize=3.2 if dots else 2, zorder=order)


def draw_forecast(
    axes: Any,
    ts: np.ndarray,
    median: np.ndarray,
    band: Sequence[np.ndarray] | None,
    colour: str,
    limits: tuple[float, float],
    log: bool = False,
) -> None:
    """Of one channel: thick and with its band; thin where there is none."""
    if band is not None:
        every = slice(None, None, max(1, len(ts) // 800))
        low, high = (clip(values, limits, log)[every] for values in band)
        axes.fill_between(ts[every], low, high, color=colour, alpha=0.16, linewidth=0, zorder=1)
    best = band is not None
    line = decimate(ts, clip(median, limits, log))
    axes.plot(*line, color=colour, linewidth=2.2 if best else 0.9, zorder=2.5 if best else 2)


def label_times(axes: Any, seen: Values) -> None:
    """The axis of times: dates as short as they can be, and no half years of whole numbers."""
    if seen.ts.dtype.kind == "M":
        from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

        locator = AutoDateLocator()
        axes.xaxis.set_major_locator(locator)
        axes.xaxis.set_major_formatter(ConciseDateFormatter(locator))
    elif len(seen.ts) and np.all(seen.ts % 1 == 0):
        axes.locator_params(axis="x", integer=True)
    if not axes.get_xlabel():  # what is drawn first says what times are
        axes.set_xlabel(seen.time, parse_math=False)
