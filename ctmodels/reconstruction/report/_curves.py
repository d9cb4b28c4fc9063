"""Figures over time and over training steps: data and forecast, loss curves, Lyapunov exponents."""

import numpy as np

from ctmodels import plot
from ctmodels.plot._series import draw_forecast, draw_observed, frame, shade
from ctmodels.plot._style import axis_limits, drawing, log_axis
from ctmodels.reconstruction._figures import CHANNELS, window as rows_to_draw
from ctmodels.reconstruction._result import Fitted
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction.report._drawing import PAGE_WIDTH, Picture, picture
from ctmodels.reconstruction.report._view import View


def window(view: View) -> slice:
    """The samples to draw."""
    return rows_to_draw(len(view.result.table.time), view.result.n_train, view.result.horizon)


def forecasts(view: View) -> Picture:
    """A panel per channel: observations, every candidate's forecast, and the band of the best."""
    channels = min(CHANNELS, len(view.names))
    with drawing(PAGE_WIDTH, 0.5 + (2.1 if channels > 1 else 3.0) * channels) as figure:
        panels = figure.subplots(channels, 1, sharex=True, squeeze=False)[:, 0]
        for channel, axes in enumerate(panels):
            _panel(axes, view, channel)
        times = view.result.table.time[window(view)]
        panels[-1].set_xlim(times[0], times[-1])
        view.time_axis(panels[-1])
        figure.align_ylabels(panels)
        return picture(figure, f"Observations and forecasts of {', '.join(view.names[:channels])} over time")


def valid_until(view: View) -> float | None:
    """The end of the best candidate's valid prediction time, if it is among the samples drawn."""
    ts, valid = view.result.table.time, view.valid_prediction_time or 0.0
    until = ts[view.result.n_train - 1] + valid
    return float(until) if valid > 0 and until <= ts[window(view)][-1] else None


def _panel(axes, view: View, channel: int) -> None:
    result, shown = view.result, window(view)
    log, ts, ys = result.problem.scaling.log, result.table.time, view.observed[:, channel]
    limits, end = axis_limits(ys[shown], log), ts[result.n_train - 1]
    frame(axes, limits, log)
    shade(axes, end, ts[shown][-1])
    draw_observed(axes, ts[shown], ys[shown], end)
    for name in reversed(view.order):
        _forecast(axes, view, name, channel, limits)
    if (until := valid_until(view)) is not None:
        axes.axvline(until, color=view.colour(view.order[0]), linewidth=1.2, linestyle=(0, (2, 2)))
    axes.set_title(plain(view.label(view.names[channel])), parse_math=False)


def _forecast(axes, view: View, name: str, channel: int, limits) -> None:
    """From the end of training; the best with its band, the others thin."""
    result, fitted = view.result, view.result.fitted[name]
    shown = slice(0, window(view).stop - result.n_train)
    ts = result.table.time[result.n_train :][shown]
    median, *band = (a[shown, channel] for a in (fitted.median, fitted.lower, fitted.upper))
    best = name == view.order[0]
    draw_forecast(axes, ts, median, band if best else None, view.colour(name), limits, result.problem.scaling.log)


def losses(view: View) -> Picture | None:
    """Training loss and validation of every candidate: members thin, their mean thick."""
    curves = [
        (name, kind, *c)
        for name in view.order
        for kind in ("loss", "validation")
        if (c := curve(view.result.fitted[name], kind)) is not None
    ]
    if not curves:
        return None
    with drawing(PAGE_WIDTH, 3.4) as figure:
        axes = figure.subplots()
        for name, kind, steps, values in curves:
            style = {
                "color": view.colour(name),
                "linestyle": "-" if kind == "loss" else (0, (4, 2)),
            }
            if values.shape[1] > 1:
                axes.plot(steps, values, linewidth=0.7, alpha=0.35, **style)
            axes.plot(steps, _mean(values), linewidth=2, **style)
        if min(np.nanmin(v, initial=np.inf) for *_, v in curves) > 0:
            axes.set_yscale("log")
            log_axis(axes.yaxis)
        axes.set_xlabel("training step")
        axes.set_ylabel("loss")
        return picture(figure, "Loss over training steps")


def curve(fitted: Fitted, kind: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Steps and values `(step, member)`, NaN where not finite; None if nothing was recorded."""
    lines = [line for line in fitted.history if kind in line]
    if not lines:
        return None
    values = np.array([np.atleast_1d(np.asarray(line[kind], float)) for line in lines])
    values = np.where(np.isfinite(values), values, np.nan)
    return (np.array([line["step"] for line in lines]), values) if np.isfinite(values).any() else None


def _mean(values: np.ndarray) -> np.ndarray:
    """Over the members that are finite, if any is."""
    seen = np.isfinite(values)
    total = np.where(seen, values, 0).sum(axis=1)
    return np.where(seen.any(axis=1), total / np.maximum(seen.sum(axis=1), 1), np.nan)


def lyapunov(view: View) -> Picture | None:
    """Every member's exponents, and their median."""
    spectra = {name: e for name in view.order if (e := view.result.fitted[name].exponents) is not None}
    if not any(np.isfinite(e).any() for e in spectra.values()):
        return None
    with drawing(PAGE_WIDTH, 3.2) as figure:
        colours = [view.colour(name) for name in spectra]
        plot.lyapunov(spectra, unit=view.unit.rates, colors=colours, ax=figure.subplots())
        return picture(figure, "Lyapunov exponents of each member and their median")
