"""The section on what drives the system: each input over the same time as the forecasts."""

import numpy as np

from ctmodels.plot._style import GREY, INK, decimate, drawing
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction.report import _curves
from ctmodels.reconstruction.report._drawing import PAGE_WIDTH, Picture, picture
from ctmodels.reconstruction.report._html import full_width, legend, note, section
from ctmodels.reconstruction.report._view import View

INPUTS = 6  # drawn at most
TRIALS = 40  # drawn over one another
FEW = 250  # samples; up to so many, each is a dot


def inputs(view: View) -> str:
    """A panel for each; nothing where nothing drives."""
    names = view.result.inputs
    if not names:
        return ""
    left = [plain(n) for n in names[INPUTS:]]
    about = [
        "What drives the system, as it was given to the models; forecasts were given its held-out values too.",
        f"{len(left)} more inputs are not drawn: {', '.join(left)}." if left else "",
    ]
    entries = legend(("line", GREY, "while trained on"), ("line", INK, "while held out"))
    return section("What drives it", entries, full_width(_figure(view)), note(*about))


def _figure(view: View) -> Picture:
    names = view.result.inputs[:INPUTS]
    values = view.result.table.select(names).values
    with drawing(PAGE_WIDTH, 0.5 + 1.5 * len(names)) as figure:
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for axes, name, driven in zip(panels, names, values.T, strict=True):
            _panel(axes, view, driven) if view.result.trials is None else _trials(axes, view, driven)
            axes.set_title(plain(view.label(name)), parse_math=False)
        view.time_axis(panels[-1])
        figure.align_ylabels(panels)
        return picture(figure, f"Inputs {', '.join(names)} over time")


def _panel(axes, view: View, driven: np.ndarray) -> None:
    """The rows that are drawn of the forecasts."""
    shown, ts = _curves.window(view), view.result.table.time
    end = ts[view.result.n_train - 1]
    t, y = ts[shown], driven[shown]
    axes.axvspan(end, t[-1], color="#f5f7f9", zorder=0)
    axes.axvline(end, color=GREY, linewidth=1)
    for part, colour in ((t <= end, GREY), (t >= end, INK)):
        _line(axes, t[part], y[part], colour)
    axes.set_xlim(t[0], t[-1])


def _trials(axes, view: View, driven: np.ndarray) -> None:
    ts, held = view.result.table.time, len(view.held_out)
    for i, part in enumerate(view.slices[-held:][:TRIALS] + view.slices[:-held][:TRIALS]):
        _line(axes, ts[part], driven[part], INK if i < min(held, TRIALS) else GREY)


def _line(axes, ts: np.ndarray, ys: np.ndarray, colour: str) -> None:
    dots = len(ts) <= FEW
    t, y = (ts, ys) if dots else decimate(ts, ys)
    style = {"marker": "o", "markersize": 2.2} if dots else {}
    axes.plot(t, y, color=colour, linewidth=0.9, zorder=2 if colour == GREY else 3, **style)
