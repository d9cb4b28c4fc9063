"""How every figure is drawn: one style, whatever the user's own, colours that everyone can tell apart, and arrays made
fit for paper."""

import contextlib
import warnings
from typing import Any

import numpy as np

# Okabe and Ito's colours, which the colour-blind can tell apart.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")
INK, GREY = "#1b1f24", "#8c939c"  # observed: held out, and trained on
STYLE = {
    "svg.fonttype": "none",  # text stays text: sharp, in any script that the reader's fonts have
    "svg.hashsalt": "ctmodels",  # the same result, the same page
    "font.size": 10.5,
    "axes.titlesize": 11,
    "axes.labelcolor": "#3d444d",
    "axes.edgecolor": "#aab1ba",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlelocation": "left",
    "axes.formatter.useoffset": False,
    "axes.grid": True,
    "grid.color": "#eceff2",
    "grid.linewidth": 0.7,
    "axes.axisbelow": True,
    "xtick.color": "#59626d",
    "ytick.color": "#59626d",
    "lines.solid_capstyle": "round",
    "lines.linewidth": 1.4,
}


@contextlib.contextmanager
def drawing(width: float, height: float):
    """A figure in the house style, whatever the user's own; nothing of it stays behind."""
    import matplotlib
    from matplotlib.figure import Figure

    with matplotlib.rc_context(), warnings.catch_warnings():
        # A glyph that matplotlib's font lacks is drawn by the reader's.
        warnings.filterwarnings("ignore", message=".*[Gg]lyph")
        matplotlib.rcdefaults()
        matplotlib.rcParams.update(STYLE)  # pyright: ignore
        yield Figure((width, height), layout="constrained")


def decimate(ts: np.ndarray, ys: np.ndarray, most: int = 1600) -> tuple[np.ndarray, np.ndarray]:
    """The lowest and the highest of each short stretch: what the eye would see of all points."""
    if len(ts) <= most:
        return ts, ys
    keep = []
    for part in np.array_split(np.arange(len(ts)), most // 2):
        missing = np.isnan(ys[part])
        low = part[np.argmin(np.where(missing, np.inf, ys[part]))]
        high = part[np.argmax(np.where(missing, -np.inf, ys[part]))]
        keep += sorted({low, high})
    return ts[keep], ys[keep]


def axis_limits(values: np.ndarray, log: bool, widen: float = 0.2) -> tuple[float, float]:
    """Limits of an axis that holds all finite `values`, and some more."""
    values = values[np.isfinite(values) & (values > 0 if log else True)]
    if values.size == 0:
        return (0.1, 10.0) if log else (-1.0, 1.0)
    values = np.log10(values) if log else values
    low, high = float(values.min()), float(values.max())
    margin = widen * (high - low) or 0.1 * abs(high) or 1.0
    return (10 ** (low - margin), 10 ** (high + margin)) if log else (low - margin, high + margin)


def clip(values: np.ndarray, limits: tuple[float, float], log: bool) -> np.ndarray:
    """A little beyond the limits at most: a forecast that blew up leaves the frame there."""
    low, high = limits
    if log:
        return np.clip(values, low / 10, high * 10)
    return np.clip(values, low - (high - low), high + (high - low))


def log_axis(axis: Any) -> None:
    """Ticks in plain numbers where there are few decades, else in powers of ten."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    low, high = axis.get_view_interval()
    decades = np.log10(high / low)
    few = decades < 4
    axis.set_major_locator(
        LogLocator(subs=(1, 2, 5) if decades < 1.5 else (1, 3) if decades < 2.5 else (1,), numticks=8)
    )
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}" if few else _power_of_ten(x)))
    axis.set_minor_locator(NullLocator())


def _power_of_ten(x: float) -> str:
    """Not TeX, which takes a second a page."""
    exponent = str(round(np.log10(x)))
    return "10" + exponent.translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
