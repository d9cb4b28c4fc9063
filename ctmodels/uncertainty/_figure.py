"""A profile as a figure."""

from typing import Any

import numpy as np
import scipy.interpolate

from ctmodels.plot._style import COLOURS, GREY, INK, drawing

HIGHEST = 3.0  # times the limit: above it a profile says nothing more


def draw_profile(name: str, values: np.ndarray, ratio: np.ndarray, limit: float, ends: tuple, ax: Any = None) -> Any:
    """The ratio over the parameter, the limit, and the interval that lies below it: shaded to the edge where it has no
    end. Returns the axes."""
    if ax is None:
        with drawing(4.8, 3.2) as figure:
            return draw_profile(name, values, ratio, limit, ends, figure.add_subplot())
    shown = ratio <= HIGHEST * limit
    values, ratio = values[shown], ratio[shown]
    lower, upper = (values[0] if ends[0] is None else ends[0]), (values[-1] if ends[1] is None else ends[1])
    ax.axvspan(lower, upper, color=COLOURS[0], alpha=0.12, linewidth=0)
    ax.axhline(limit, color=GREY, linewidth=1, linestyle="--")
    ax.plot(*_between(values, ratio), color=COLOURS[0])
    ax.plot(values, ratio, "o", color=INK, markersize=3)
    ax.set(xlabel=name, ylabel="twice the fall of the log likelihood")
    ax.set(xlim=(values[0], values[-1]), ylim=(-0.05 * limit, HIGHEST * limit))
    return ax


def _between(values: np.ndarray, ratio: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Some places in each gap between two points; without a swing of its own."""
    values, first = np.unique(values, return_index=True)
    fine = np.unique(np.linspace(values[:-1], values[1:], 9))
    return fine, scipy.interpolate.PchipInterpolator(values, ratio[first])(fine)
