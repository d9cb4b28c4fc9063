"""The section on residuals: what the best model leaves, one row ahead."""

import numpy as np

from ctmodels.metrics._autocorrelation import Autocorrelation
from ctmodels.plot._residuals import residuals as draw
from ctmodels.plot._style import drawing
from ctmodels.reconstruction._residuals import whiteness
from ctmodels.reconstruction._rows import breaks_of
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction.report._drawing import PAGE_WIDTH, Picture, picture
from ctmodels.reconstruction.report._html import full_width, note, section
from ctmodels.reconstruction.report._view import View

CHANNELS = 4  # drawn at most
RARE = 0.05  # of white noise: less often than this


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
    return section("Residuals", full_width(_figure(view, off)), note(about, log, *_whiteness(view, off)))


def _figure(view: View, off: np.ndarray) -> Picture:
    channels, result = min(CHANNELS, len(view.names)), view.result
    ts = result.table.time
    # Trials are on clocks of their own: one after the other they are told apart by rows alone.
    times, since = (ts, ts[result.n_train - 1]) if result.trials is None else (np.arange(len(ts)), result.n_train - 0.5)
    time = view.time_label() if result.trials is None else "row"
    with drawing(PAGE_WIDTH, 0.3 + 2.2 * channels) as figure:
        panels = figure.subplots(channels, 3, squeeze=False, width_ratios=(2, 1, 1.2))
        for channel, row in enumerate(panels):
            name = plain(_label(view, view.names[channel]), 24)
            breaks = breaks_of(result.trials)
            how = {"since": since, "breaks": breaks, "time": time, "color": view.colour(view.order[0])}
            draw(times, off[:, channel], label=name, ax=row, **how)
            if channel < channels - 1:
                row[0].set_xlabel("")
                row[2].set_xlabel("")
        figure.align_ylabels(panels[:, 0])
        return picture(
            figure, f"Residuals of {', '.join(view.names[:channels])}: in time, their histogram, their autocorrelation"
        )


def _label(view: View, name: str) -> str:
    return f"ln {name}" if view.result.problem.scaling.log else view.label(name)


def _whiteness(view: View, off: np.ndarray) -> list[str]:
    found = whiteness(off, breaks_of(view.result.trials))
    return [_sentence(plain(name), one) for name, one in zip(view.names, found, strict=True)][:CHANNELS]


def _sentence(name: str, found: Autocorrelation) -> str:
    if not np.isfinite(found.chance):
        return f"{name}: {found.count} residuals are too few to tell whether they are white."
    if found.chance >= RARE:
        return f"{name}: as white as noise."
    chance = "under one in 1000" if found.chance < 1e-3 else f"{100 * found.chance:.2g} %"
    return f"{name}: not white; noise would have so much correlation with a chance of {chance} (Ljung and Box's test)."
