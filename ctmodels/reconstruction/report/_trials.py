"""Figures and a table of trials: those trained on over one another, and held-out ones with their forecasts."""

import numpy as np

from ctmodels.plot._series import shade
from ctmodels.plot._style import GREY, INK, axis_limits, clip, drawing, log_axis
from ctmodels.reconstruction._split import warm_up
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction.report._curves import CHANNELS
from ctmodels.reconstruction.report._drawing import PAGE_WIDTH, Picture, picture
from ctmodels.reconstruction.report._view import View, digits, html

TRAINED = 40  # trials drawn over one another
HELD_OUT = 3  # trials drawn with their forecasts
ROWS = 200  # of the table


def held_out_drawn(view: View) -> list[slice]:
    """The rows of the held-out trials that are drawn."""
    return view.held_out[:HELD_OUT]


def forecast_rows(view: View) -> np.ndarray:
    """Which rows of the tail are forecast: of a held-out trial, those behind its warm-up."""
    result = view.result
    rows = np.ones(len(result.table.time) - result.n_train, bool)
    if result.trials is not None:
        for part in view.held_out:
            rows[part.start - result.n_train : _origin(part) + 1 - result.n_train] = False
    return rows


def too_short(view: View) -> list[str]:
    """Ids of held-out trials in which no scored forecast has room."""
    pairs = zip(view.result.held_out, view.held_out, strict=True)
    return [name for name, part in pairs if part.stop - _origin(part) - 1 < view.result.horizon]


def _origin(part: slice) -> int:
    """The last row before the forecast of a held-out trial."""
    return part.start + int(warm_up(np.array([part.stop - part.start]))[0]) - 1


def forecasts(view: View) -> Picture:
    """A row of panels for each channel: the trials trained on, then some that are held out."""
    channels, held = min(CHANNELS, len(view.names)), held_out_drawn(view)
    with drawing(PAGE_WIDTH, 0.5 + (2.1 if channels > 1 else 3.0) * channels) as figure:
        panels = figure.subplots(channels, 1 + len(held), sharex="col", sharey="row", squeeze=False)
        for channel, row in enumerate(panels):
            limits = _limits(view, row[0], channel)
            _draw_trained(view, row[0], channel)
            for axes, part in zip(row[1:], held, strict=True):
                _draw_held_out(view, axes, part, channel, limits)
            row[0].set_ylabel(plain(view.label(view.names[channel]), 24), parse_math=False)
        for axes, title in zip(panels[0], ("trained on", *view.result.held_out), strict=False):
            axes.set_title(plain(title, 24), parse_math=False)
        figure.supxlabel(view.time_label(), parse_math=False, size=10)
        return picture(
            figure, f"Trials, and forecasts of held-out ones, of {', '.join(view.names[:channels])} over time"
        )


def _limits(view: View, axes, channel: int) -> tuple[float, float]:
    log = view.result.problem.scaling.log
    limits = axis_limits(view.observed[:, channel], log)
    if log:
        axes.set_yscale("log")
    axes.set_ylim(*limits)
    if log:
        log_axis(axes.yaxis)
    return limits


def _draw_trained(view: View, axes, channel: int) -> None:
    for part in view.slices[: len(view.slices) - len(view.held_out)][:TRAINED]:
        time, y = view.result.table.time[part], view.observed[part, channel]
        axes.plot(time, y, color=GREY, linewidth=0.8, marker="o", markersize=1.5, alpha=0.7)


def _draw_held_out(view: View, axes, part: slice, channel: int, limits) -> None:
    result, origin, log = view.result, _origin(part), view.result.problem.scaling.log
    ts, ys = result.table.time, view.observed[:, channel]
    shade(axes, ts[origin], ts[part.stop - 1])
    for rows, colour in ((slice(part.start, origin + 1), GREY), (slice(origin, part.stop), INK)):
        axes.plot(ts[rows], ys[rows], color=colour, linewidth=0.8, marker="o", markersize=2.5, zorder=3)
    ahead = slice(origin + 1, part.stop)
    tail = slice(ahead.start - result.n_train, ahead.stop - result.n_train)
    for name in reversed(view.order):
        fitted, best = result.fitted[name], name == view.order[0]
        middle, lower, upper = (
            clip(a[tail, channel], limits, log) for a in (fitted.median, fitted.lower, fitted.upper)
        )
        if best:
            axes.fill_between(ts[ahead], lower, upper, color=view.colour(name), alpha=0.16, linewidth=0, zorder=1)
        axes.plot(ts[ahead], middle, color=view.colour(name), linewidth=2.2 if best else 0.9, zorder=2)


def table(view: View) -> str:
    """Every trial: its id, how long it is, what it was for, and how far the best model's forecast of it is off."""
    result = view.result
    heads = ("Trial", "Samples", "Missing", f"Duration [{html(view.unit.durations)}]", "", f"RMSE of {view.order[0]}")
    ids = () if result.trials is None else result.trials.ids
    rows = "".join(_row(view, *pair) for pair in list(zip(ids, view.slices, strict=False))[:ROWS])
    more = f"<p>{len(ids) - ROWS} more trials are not listed.</p>" if len(ids) > ROWS else ""
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    body = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>'
    return f"<details><summary>The {len(ids)} trials</summary>{body}{more}</details>"


def _row(view: View, name: str, part: slice) -> str:
    result, held = view.result, part.start >= view.result.n_train
    ts, ys = result.table.time[part], view.observed[part]
    cells = (len(ts), int(np.isnan(ys).sum()), digits(float(ts[-1] - ts[0])), "held out" if held else "trained on")
    error = _error(view, part) if held else "–"
    return f'<tr><th scope="row">{html(name)}</th>' + "".join(f"<td>{cell}</td>" for cell in (*cells, error)) + "</tr>"


def _error(view: View, part: slice) -> str:
    """Of the forecast from the warm-up to the trial's end, in the units of the data, channels pooled."""
    rows = slice(part.start - view.result.n_train, part.stop - view.result.n_train)
    square = (view.best.median[rows] - view.observed[part]) ** 2
    known = square[np.isfinite(square)]
    return digits(float(np.sqrt(known.mean()))) if known.size else "–"
