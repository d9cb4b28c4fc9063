"""An orbit in the plane or the space of its states, or of one channel and its own past."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._arguments import check_whole
from ctmodels._core._series import Series
from ctmodels._core._words import argument
from ctmodels.data import Table
from ctmodels.plot._axes import check_limits, panel, plain
from ctmodels.plot._style import COLOURS, axis_limits, log_axis
from ctmodels.plot._values import array, called, columns, values_of

POINTS = 6_000  # of an orbit, drawn


def phase_portrait(
    orbit: Series | Table | ArrayLike,
    *,
    delay: int = 0,
    names: Sequence[str] | None = None,
    limits: Sequence[Sequence[float | int]] | None = None,
    log: bool = False,
    color: str = COLOURS[0],
    ax: Any = None,
) -> Any:
    """An orbit of two states in the plane, of three in space; of one channel over its own past, which is a delay
    embedding. Of more than three states the first three are drawn, of a long orbit its first 6000 samples.

    **Arguments:**

    - `orbit`: `(time, state)`, a [`ctmodels.Series`][] or a [`ctmodels.data.Table`][]; the line breaks where something
        is missing.
    - `delay`: of one channel, the samples between the two axes: [`ctmodels.embedding.choose_delay`][] chooses one.
    - `names`: of the states, or of the one channel.
    - `limits`: `(low, high)` of each axis; what lies beyond them is not drawn. None: as far as the orbit goes.
    - `log`: whether values are drawn on logarithmic axes (in space, as their logarithms).
    - `color`: of the line.
    - `ax`: axes of matplotlib, for three states made with `projection="3d"`; None: of a new figure.

    **Returns:** the axes.
    """
    ys, names = _orbit(orbit, names)
    points = delayed(ys, delay, log)
    labels = labels_of(names, delay, log)
    spatial = points.shape[1] == 3
    flat = log and not spatial
    if limits is None:
        limits = [axis_limits(x, flat, 0.05) for x in points.T]
    limits = _checked(limits, points.shape[1])
    size = dict(width=5.0, height=4.6) if spatial else dict(width=4.8, height=4.2)
    with panel(ax, spatial=spatial, **size) as axes:
        draw_portrait(axes, points, limits, labels, color, flat)
        return axes


def _orbit(orbit: Any, names: Sequence[str] | None) -> tuple[np.ndarray, tuple[str, ...]]:
    if isinstance(orbit, Series | Table):
        seen = values_of(orbit, names=names)
        return seen.ys, seen.labels
    ys = columns("orbit", orbit)
    return ys, tuple(f"y{i}" for i in range(ys.shape[1])) if names is None else called(names, ys.shape[1])


def delayed(ys: np.ndarray, delay: int, log: bool = False) -> np.ndarray:
    """`(time, 2 or 3)`: where an orbit is drawn."""
    ys = array("orbit", ys, "(time, state)")
    most = max(0, len(ys) - 1)
    check_whole("delay", delay, 0, most)
    if (ys.shape[1] == 1) != (delay > 0):
        wanted = "one channel is drawn over its own past: give a delay of some samples" if not delay else (
            "a delay is for one channel: choose it, or leave the delay out"
        )  # fmt: skip
        raise ValueError(f"{argument('delay', delay)}: the orbit has {ys.shape[1]} states; {wanted}")
    ys = ys[: POINTS + delay]
    if delay:
        return np.concatenate([ys[delay:, :1], ys[:-delay, :1]], axis=1)
    if log and ys.shape[1] > 2:
        return np.log10(np.where(ys[:, :3] > 0, ys[:, :3], np.nan))
    return ys[:, :3]


def labels_of(names: Sequence[str], delay: int | str, log: bool) -> list[str]:
    """Of the axes; `delay` as it is to be said."""
    if len(names) == 1:
        name = plain(names[0], 24)
        return [f"{name} (t)", f"{name} (t − {delay})"]
    before = "log₁₀ " if log and len(names) > 2 else ""
    return [before + plain(name, 24) for name in names[:3]]


def draw_portrait(axes: Any, points: np.ndarray, limits, labels: Sequence[str], color: str, log: bool) -> None:
    """Points `(time, 2 or 3)` within limits, on axes of these labels."""
    points = np.where(within(points, limits)[:, None], points, np.nan)
    few = len(points) <= 100
    # Thousands of points are pixels; fewer are lines.
    style = {"rasterized": len(points) > 1500, "marker": "o" if few else None, "markersize": 3}
    axes.plot(*points.T, color=color, linewidth=0.5 if len(points) > 3000 else 0.9, **style)
    if len(labels) == 3:
        _frame_space(axes, limits, labels)
    else:
        _frame_plane(axes, limits, labels, log)


def within(points: np.ndarray, limits: Sequence[Sequence[float | int]]) -> np.ndarray:
    """`(time,)`: which points are inside."""
    low, high = np.array(limits).T
    return np.all((points >= low) & (points <= high), axis=1)


def _checked(limits: Sequence[Sequence[float | int]], count: int) -> list[tuple[float, float]]:
    if len(limits) != count:
        raise ValueError(f"{argument('limits', limits)}: {count} pairs (low, high) are wanted, one for each axis")
    return [check_limits(f"limits[{i}]", pair) for i, pair in enumerate(limits)]


def _frame_plane(axes: Any, limits, labels: Sequence[str], log: bool) -> None:
    if log:
        axes.set_xscale("log")
        axes.set_yscale("log")
    axes.set_xlim(*limits[0])
    axes.set_ylim(*limits[1])
    if log:
        log_axis(axes.xaxis)
        log_axis(axes.yaxis)
    axes.set_xlabel(labels[0], parse_math=False)
    axes.set_ylabel(labels[1], parse_math=False)


def _frame_space(axes: Any, limits, labels: Sequence[str]) -> None:
    for letter, (low, high), label in zip("xyz", limits, labels, strict=True):
        axes.set(**{f"{letter}lim3d": (low, high)})
        axis = getattr(axes, f"{letter}axis")
        axis.set_label_text(label, parse_math=False)
        axis.set_pane_color((0.965, 0.972, 0.98, 1.0))
        axes.locator_params(axis=letter, nbins=5)
    axes.tick_params(labelsize=8.5, pad=0)
    axes.set_box_aspect((1, 1, 0.85), zoom=0.9)
    axes.view_init(elev=22, azim=-60)
