"""The section on states made of delays, and on laws that were found: what was chosen, and from what."""

import numpy as np

from ctmodels.plot._style import COLOURS, GREY, drawing
from ctmodels.reconstruction._delays import Embedding
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction.report._drawing import PAGE_WIDTH, Picture, picture
from ctmodels.reconstruction.report._html import full_width, note, section
from ctmodels.reconstruction.report._view import View, html


def delays(view: View) -> str:
    """The mutual information and the false neighbours, with what was chosen by them; nothing without delays."""
    found = view.result.embedding
    if found is None:
        return ""
    made = (
        f"A state is {found.dimension} values of each channel, {found.delay} samples apart "
        f"({found.delay * view.spacing():.3g} {view.unit.durations}); what is forecast and scored are the channels."
    )
    if not found.delays:
        return section("States made of delays", note(made, "Both numbers were given."))
    how = note(made, f"{found.rule[0].upper()}{found.rule[1:]}.", _of_several(view))
    return section("States made of delays", full_width(_curves(view, found)), how)


def _of_several(view: View) -> str:
    if len(view.names) == 1:
        return ""
    return "Of several channels: the shortest delay and the largest dimension that one asks for."


def _curves(view: View, found: Embedding) -> Picture:
    with drawing(PAGE_WIDTH, 2.8) as figure:
        left, right = figure.subplots(1, 2)
        for i, (name, delay, dimension) in enumerate(zip(view.names, found.delays, found.dimensions, strict=True)):
            label = plain(view.label(name), 24) if len(view.names) > 1 else None
            left.plot(delay.lags[1:], delay.information[1:], color=COLOURS[i % len(COLOURS)], label=label)
            right.plot(dimension.dimensions, 100 * np.asarray(dimension.false), "o-", color=COLOURS[i % len(COLOURS)])
        for axes, at in ((left, found.delay), (right, found.dimension)):
            axes.axvline(at, color=GREY, linewidth=1)
        left.set_xlabel("delay, in samples")
        left.set_ylabel("mutual information [nats]")
        right.set_xlabel("dimension")
        right.set_ylabel("false neighbours [%]")
        right.set_ylim(bottom=0)
        if len(view.names) > 1:
            left.legend(frameon=False, fontsize=8)
        return picture(figure, "Mutual information over the delay, and false neighbours over the dimension")


def formulas(view: View) -> str:
    """The laws in words of the candidates that find laws; nothing where there are none."""
    found = {name: view.result.formula(name) for name in view.order}
    lines = lambda text: "\n".join(html(line, 2000) for line in text.splitlines())
    parts = [f"<h3>{html(name)}</h3><pre><code>{lines(text)}</code></pre>" for name, text in found.items() if text]
    if not parts:
        return ""
    about = (
        f"In the units of the data, per {plain(view.result.table.time_unit or 'unit of time')}, unless it says "
        "otherwise. That of the first member, which has seen all that was trained on."
    )
    return section("Laws that were found", *parts, note(about))
