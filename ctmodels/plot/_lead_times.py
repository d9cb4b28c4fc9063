"""What forecasts are worth by how far ahead they reach: errors, skill or coverage, a curve for each name."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._words import argument
from ctmodels.plot._axes import check_limits, panel
from ctmodels.plot._style import COLOURS, GREY

FEW = 30  # leads; up to so many, each is a dot


def lead_times(
    leads: ArrayLike,
    curves: Mapping[str, ArrayLike],
    *,
    wanted: float | int | None = None,
    around: ArrayLike | None = None,
    limits: Sequence[float | int] | None = None,
    label: str = "",
    time: str = "lead time",
    colors: Mapping[str, str] | None = None,
    legend: bool = True,
    ax: Any = None,
) -> Any:
    """Numbers by lead time: the coverage of a band, with the line where it is to be; skill against a baseline, with the
    line under which there is none; or errors.

    **Arguments:**

    - `leads`: `(lead,)`: how far ahead.
    - `curves`: name -> `(lead,)`; what is not finite is left out.
    - `wanted`: where a line is drawn: 0.9 of the coverage of a band of 90 %, 0 of skill.
    - `around`: `(lead,)`: how far chance takes a number from `wanted`, shaded on either side.
    - `limits`: `(low, high)` of the axis of numbers, at which curves are cut.
    - `label`, `time`: of the axes.
    - `colors`: name -> colour; None: one for each in turn.
    - `legend`: whether it says what is which.
    - `ax`: axes of matplotlib; None: of a new figure.

    **Returns:** the axes.
    """
    leads = np.asarray(leads, np.float64)
    values = {name: np.asarray(curve, np.float64) for name, curve in curves.items()}
    for name, curve in values.items():
        if leads.ndim != 1 or curve.shape != leads.shape:
            raise ValueError(
                f"curves[{name!r}]: shape {curve.shape} at {argument('leads')} of shape {leads.shape}, where both are "
                "to be (lead,)"
            )
    if limits is not None:
        limits = check_limits("limits", limits)
    with panel(ax) as axes:
        if wanted is not None:
            axes.axhline(wanted, color=GREY, linewidth=1.4, linestyle=(0, (4, 2)), zorder=1)
            if around is not None:
                off = np.asarray(around, np.float64)
                axes.fill_between(leads, wanted - off, wanted + off, color=GREY, alpha=0.18, linewidth=0, zorder=0)
        for i, (name, curve) in enumerate(values.items()):
            colour = COLOURS[i % len(COLOURS)] if colors is None else colors[name]
            shown = np.where(np.isfinite(curve), curve if limits is None else np.clip(curve, *limits), np.nan)
            style = {"marker": "o", "markersize": 3.2} if len(leads) <= FEW else {}
            axes.plot(leads, shown, color=colour, label=name.replace("$", r"\$"), zorder=3, **style)
        if limits is not None:
            margin = 0.03 * (limits[1] - limits[0])
            axes.set_ylim(limits[0] - margin, limits[1] + margin)
        axes.set_xlabel(time, parse_math=False)
        axes.set_ylabel(label, parse_math=False)
        if legend and len(values) > 1:
            axes.legend(frameon=False, fontsize="small")
    return axes
