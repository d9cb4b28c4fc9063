"""Where a figure is drawn: on axes that are given, as they are, or on some of its own in the house style."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from ctmodels._core._words import argument, kind_of
from ctmodels.plot._style import STYLE, drawing

WIDTH = 6.4  # inches, of a figure of its own
ONE, MANY = 3.4, 2.1  # inches high: a panel alone, and one of several


def plain(text: str, most: int = 40) -> str:
    """Text for a figure, a label or a terminal: one line, printable, not too long."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text if len(text) <= most else text[: most - 1] + "…"


@contextlib.contextmanager
def panels(ax: Any, count: int, heights: Sequence[float] | None = None) -> Iterator[np.ndarray]:
    """So many axes, one above the other: those given, or of a figure of its own, of these heights in inches."""
    if ax is not None:
        yield _given(ax, count)
        return
    heights = [ONE if count == 1 else MANY] * count if heights is None else heights
    with drawing(WIDTH, sum(heights) + (0 if count == 1 else 0.4)) as figure:
        made = figure.subplots(count, 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
        yield made
        figure.align_ylabels(made)
        for axes in made:
            keep_style(axes)


@contextlib.contextmanager
def row_of_panels(ax: Any, widths: Sequence[float], height: float) -> Iterator[np.ndarray]:
    """Axes side by side: those given, or of a figure of its own, of these widths in inches."""
    if ax is not None:
        yield _given(ax, len(widths))
        return
    with drawing(sum(widths), height) as figure:
        made = figure.subplots(1, len(widths), width_ratios=widths)
        yield made
        for axes in made:
            keep_style(axes)


@contextlib.contextmanager
def panel(ax: Any, *, width: float = WIDTH, height: float = ONE, spatial: bool = False) -> Iterator[Any]:
    """One pair of axes, or three (`spatial`)."""
    if ax is not None:
        yield _given(ax, 1, spatial)[0]
        return
    with drawing(width, height) as figure:
        if spatial:
            figure.set_layout_engine("none")  # it does not know where the labels of three axes are
        axes = figure.add_axes((0, 0, 0.94, 0.96), projection="3d") if spatial else figure.subplots()
        yield axes
        keep_style(axes)


def keep_style(axes: Any) -> None:
    """Ticks are made when a figure is drawn, perhaps long after the style is gone: they keep it here."""
    axes.tick_params(
        which="both",
        colors=STYLE["xtick.color"],
        grid_color=STYLE["grid.color"],
        grid_linewidth=STYLE["grid.linewidth"],
    )


def _given(ax: Any, count: int, spatial: bool = False) -> np.ndarray:
    from matplotlib.axes import Axes

    several = list(np.ravel(ax)) if isinstance(ax, np.ndarray) else list(ax) if isinstance(ax, Sequence) else [ax]
    for i, one in enumerate(several):
        if not isinstance(one, Axes):
            raise TypeError(f"ax: {kind_of(one)} at {i}, where axes of matplotlib are wanted; or leave it out")
        if (one.name == "3d") != spatial:
            kind = "in space, made with projection='3d'," if spatial else "in a plane"
            raise ValueError(f"ax: {one.name} axes, where axes {kind} are wanted; or leave it out")
    if len(several) != count:
        raise ValueError(f"ax: {len(several)} axes for {count} panels; give a list of as many, or leave it out")
    made = np.empty(count, object)
    made[:] = several
    return made


def check_limits(name: str, limits: Any) -> tuple[float, float]:
    """The lower end and the upper end of an axis."""
    try:
        low, high = (float(x) for x in limits)
    except (TypeError, ValueError):
        raise ValueError(f"{argument(name, limits)}: two numbers (low, high) are wanted") from None
    if not (np.isfinite([low, high]).all() and low < high):
        raise ValueError(f"{argument(name, limits)}: the first of two finite numbers is to be the lower one")
    return low, high
