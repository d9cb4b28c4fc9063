"""What a solver did: how long its steps were, and how many were taken twice."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._output import STATUS, SUCCESS, Stats
from ctmodels._core._words import argument
from ctmodels.plot._axes import panel
from ctmodels.plot._style import COLOURS, log_axis
from ctmodels.plot._values import times

MOST = 200  # samples, each a bar


def solver_steps(
    edges: ArrayLike | None = None, stats: Stats | None = None, *, color: str = COLOURS[0], ax: Any = None
) -> Any:
    """The steps of a solve: of one, how long each accepted one was, over time; of a batch, how many of each sample were
    accepted and rejected.

    **Arguments:**

    - `edges`: `(edge,)`, the times between which the accepted steps go, as [`ctmodels.accepted_times`][] finds them;
        None: of a batch.
    - `stats`: of the same solve, whose counts are then said; or, without `edges`, of one or of a batch, `(sample,)`,
        as an [`ctmodels.Output`][] has them: a bar for each sample, those that failed marked.
    - `color`: of accepted steps.
    - `ax`: axes of matplotlib; None: of a new figure.

    **Returns:** the axes.
    """
    if edges is None and stats is None:
        raise TypeError(f"{argument('edges', None)}: give the edges of steps, or the {argument('stats')} of a batch")
    if stats is not None and np.ndim(stats.accepted) > (0 if edges is not None else 1):
        wanted = "those of one solve" if edges is not None else "one axis, (sample,),"
        raise ValueError(f"stats: shape {np.shape(stats.accepted)}, where {wanted} are wanted; index them")
    at = None if edges is None else _edges(edges)
    with panel(ax, height=3.0) as axes:
        if at is None:
            _draw_counts(axes, stats, color)
        else:
            _draw_lengths(axes, at, color)
            axes.set_title(_counts(len(at) - 1, stats))
        return axes


def _edges(edges: ArrayLike) -> np.ndarray:
    at = np.asarray(times("edges", edges), np.float64)
    if len(at) < 2 or not (np.diff(at) > 0).all():
        raise ValueError(f"edges: {len(at)} of them: two at least are wanted, in increasing order, of finite numbers")
    return at


def _draw_lengths(axes: Any, edges: np.ndarray, color: str) -> None:
    axes.stairs(np.diff(edges), edges, baseline=None, color=color, linewidth=1.4)
    axes.set_yscale("log")
    axes.autoscale_view()
    log_axis(axes.yaxis)
    axes.set_xlim(edges[0], edges[-1])
    axes.set_xlabel("t")
    axes.set_ylabel("length of a step")


def _counts(drawn: int, stats: Stats | None) -> str:
    """What is said above."""
    if stats is None:
        return f"{drawn} steps accepted"
    rejected, status = int(stats.rejected), int(stats.status)
    failed = "" if status == SUCCESS else f"; failed: {STATUS[status].partition(':')[0]}"
    return f"{int(stats.accepted)} steps accepted, {rejected} rejected{failed}"


def _draw_counts(axes: Any, stats: Any, color: str) -> None:
    accepted, rejected, status = (np.atleast_1d(np.asarray(x)) for x in (stats.accepted, stats.rejected, stats.status))
    samples = np.arange(len(accepted))
    width = 0.8 if len(samples) <= MOST else 1.0
    axes.bar(samples, accepted, width, color=color, label="accepted")
    axes.bar(samples, rejected, width, bottom=accepted, color=COLOURS[1], label="rejected")
    failed = np.flatnonzero(status != SUCCESS)
    if len(failed):
        axes.plot(failed, (accepted + rejected)[failed], "x", color="black", label="failed", zorder=4)
    axes.locator_params(axis="x", integer=True)
    axes.grid(visible=False, axis="x")
    axes.set_xlabel("sample")
    axes.set_ylabel("steps")
    axes.legend(frameon=False, fontsize="small", ncols=3, loc="lower right", bbox_to_anchor=(1, 1))
