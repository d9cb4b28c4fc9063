"""Residuals in time, in a histogram, and their autocorrelation: whether what a model left is white noise."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctmodels.metrics._autocorrelation import autocorrelation
from ctmodels.plot._axes import row_of_panels
from ctmodels.plot._style import COLOURS, GREY, INK

WIDTHS = 4.6, 2.3, 2.7  # inches, of panels of a figure of its own
LAGS = 24  # rows, at most
FEW = 250  # values; up to so many, each is a dot


def residuals(
    ts: ArrayLike,
    values: ArrayLike,
    *,
    since: Any = None,
    breaks: tuple[int, ...] = (),
    lags: int | None = None,
    label: str = "residual",
    time: str = "t",
    color: str = COLOURS[0],
    ax: Any = None,
) -> np.ndarray:
    """What was observed less what was forecast, of one channel, in three panels: in time; as a histogram, under the
    normal density of the same spread; and the autocorrelation, within the limits that white noise keeps to 95 times in
    100.

    **Arguments:**

    - `ts`: `(time,)`, numbers or dates.
    - `values`: `(time,)`, NaN where there is none: residuals one row ahead; of forecasts further ahead they are not
        white, however good the model is.
    - `since`: a time from which on rows are held out: their ground is shaded.
    - `breaks`: rows at which another series begins: no pair reaches over them.
    - `lags`: rows of the autocorrelation; None: a fifth of the values, 24 at most.
    - `label`, `time`: of the axes.
    - `color`: of what is drawn.
    - `ax`: three axes of matplotlib; None: of a new figure.

    **Returns:** the three axes, `(3,)`.
    """
    ts, values = np.asarray(ts), np.asarray(values, np.float64)
    if values.ndim != 1 or ts.shape != values.shape:
        raise ValueError(
            f"values: shape {values.shape} at times of shape {ts.shape}, where both are to be (time,); draw one "
            "channel at a time"
        )
    lags = max(1, min(LAGS, int(np.isfinite(values).sum()) // 5)) if lags is None else lags
    with row_of_panels(ax, WIDTHS, 2.6) as axes:
        _draw_in_time(axes[0], ts, values, since, color)
        _draw_histogram(axes[1], values[np.isfinite(values)], color)
        _draw_correlation(axes[2], values, lags, breaks, color)
        axes[0].set_ylabel(label, parse_math=False)
        axes[0].set_xlabel(time, parse_math=False)
        axes[1].set_xlabel(label, parse_math=False)
    return axes


def _draw_in_time(axes: Any, ts: np.ndarray, values: np.ndarray, since: Any, color: str) -> None:
    there = np.isfinite(values)
    if not there.any():
        return
    first, last = ts[there][0], ts[there].max()
    if since is not None and last > since:
        axes.axvspan(max(since, first), last, color="#f5f7f9", zorder=0)
        if since > first:
            axes.axvline(since, color=GREY, linewidth=1)
    axes.axhline(0, color=GREY, linewidth=1)
    axes.plot(ts[there], values[there], "o", color=color, markersize=3 if there.sum() <= FEW else 1.8, alpha=0.8)


def _draw_histogram(axes: Any, values: np.ndarray, color: str) -> None:
    if len(values) < 2 or np.ptp(values) == 0:
        return
    spread, mean = float(values.std()), float(values.mean())
    axes.hist(values, bins="fd" if len(values) > 30 else 8, density=True, color=color, alpha=0.35)
    x = np.linspace(mean - 4 * spread, mean + 4 * spread, 200)
    axes.plot(x, np.exp(-0.5 * ((x - mean) / spread) ** 2) / (spread * np.sqrt(2 * np.pi)), color=INK, linewidth=1.2)
    axes.set_xlim(min(x[0], values.min()), max(x[-1], values.max()))
    axes.set_yticks([])
    axes.grid(visible=False)


def _draw_correlation(axes: Any, values: np.ndarray, lags: int, breaks: tuple[int, ...], color: str) -> None:
    found = autocorrelation(values, lags, breaks)
    at = np.arange(1, lags + 1)
    axes.axhline(0, color=GREY, linewidth=1)
    if np.isfinite(found.limit):
        axes.axhspan(-found.limit, found.limit, color=GREY, alpha=0.22, linewidth=0, zorder=0)
    axes.vlines(at, 0, np.nan_to_num(found.values), color=color, linewidth=1.6)
    axes.plot(at, found.values, "o", color=color, markersize=3)
    largest = np.nanmax(np.abs(found.values), initial=0.0)
    most = min(1.05, max(0.5, 1.25 * largest))
    axes.set_ylim(-most, most)
    axes.set_xlim(0.2, lags + 0.8)
    axes.locator_params(axis="x", integer=True)
    axes.set_xlabel("lag, in rows")
    axes.set_ylabel("autocorrelation")
