"""The section on residuals: what the best model leaves, one row ahead."""

import contextlib

import numpy as np

from ctmodels.metrics._autocorrelation import FEWEST, Autocorrelation
from ctmodels.plot._residuals import residuals as draw
from ctmodels.plot._style import drawing
from ctmodels.reconstruction._residuals import whiteness
from ctmodels.reconstruction._rows import breaks_of
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction.report._drawing import Picture, panel_width, picture
from ctmodels.reconstruction.report._html import note, pictures, section
from ctmodels.reconstruction.report._view import View

CHANNELS = 4  # drawn at most
RARE = 0.05  # of white noise: less often than this
SURE = 3.0  # standard errors of a mean


def residuals(view: View) -> str:
    """In time, as a histogram, and autocorrelated; nothing where there are none."""
    off = view.best.residuals
    if off is None or not np.isfinite(off).any():
        return ""
    known = int(np.isfinite(off).any(axis=1).sum())
    about = (
        f"What was observed less what {plain(view.order[0])} forecast from the row before: "
        f"{'all' if known == len(off) else 'the last'} {known} rows for which there is one, those held out on shaded "
        "ground. Line: the normal density of the same spread. Grey: where autocorrelations of white noise lie 95 times "
        "in 100."
    )
    log = "Residuals are those of natural logarithms: 0.1 is about 10 %." if view.result.problem.scaling.log else ""
    rows = [pictures(_figures(view, off, channel)) for channel in range(min(CHANNELS, len(view.names)))]
    return section("Residuals", *rows, note(about, log, *_whiteness(view, off)))


def _figures(view: View, off: np.ndarray, channel: int) -> list[Picture]:
    """Three, which stand one under the other where there is no room."""
    result, name = view.result, view.names[channel]
    ts, breaks = result.table.time, breaks_of(result.trials)
    # Trials are on clocks of their own: one after the other they are told apart by rows alone.
    alone = result.trials is None
    times, since = (ts, ts[result.n_train - 1]) if alone else (np.arange(len(ts)), result.n_train - 0.5)
    how = {"since": since, "breaks": breaks, "time": "row"}
    with contextlib.ExitStack() as open:
        figures = [open.enter_context(drawing(panel_width(3), 2.5)) for _ in range(3)]
        axes = [figure.subplots() for figure in figures]
        label = plain(_label(view, name), 24)
        draw(times, off[:, channel], label=label, color=view.colour(view.order[0]), ax=axes, **how)
        if alone:
            view.time_axis(axes[0])
        what = ("over time", "as a histogram", "autocorrelation")
        return [picture(f, f"Residuals of {name}, {text}") for f, text in zip(figures, what, strict=True)]


def _label(view: View, name: str) -> str:
    return f"ln {name}" if view.result.problem.scaling.log else view.label(name)


def _whiteness(view: View, off: np.ndarray) -> list[str]:
    found = whiteness(off, breaks_of(view.result.trials))
    said = [_sentence(plain(name), one) for name, one in zip(view.names, found, strict=True)]
    aside = [_offset(plain(_label(view, name)), x) for name, x in zip(view.names, off.T, strict=True)]
    return said[:CHANNELS] + aside[:CHANNELS]


def _offset(name: str, x: np.ndarray) -> str:
    """What forecasts are off on average, if that is more than chance does."""
    x = x[np.isfinite(x)]
    if len(x) < FEWEST or not abs(mean := float(x.mean())) > SURE * float(x.std()) / np.sqrt(len(x)):
        return ""
    return f"On average forecasts of {name} are too {'low' if mean > 0 else 'high'} by {abs(mean):.2g}."


def _sentence(name: str, found: Autocorrelation) -> str:
    if not np.isfinite(found.chance):
        return f"{name}: {found.count} residuals are too few to tell whether they are white."
    if found.chance >= RARE:
        return f"{name}: nothing says that they are not white."
    chance = "under one in 1000" if found.chance < 1e-3 else f"{100 * found.chance:.2g} %"
    return f"{name}: not white; noise would have so much correlation with a chance of {chance} (Ljung and Box's test)."
