"""The figure of a sweep: how each member fared."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from ctmodels.plot._style import COLOURS, GREY, drawing

ENDS = {"halved": "o", "early": "s", "not finite": "x"}  # where a line stops before the others


def draw(members: Sequence[dict], history: Sequence[dict], by: str, best: int, ax: Any = None) -> Any:
    """Validation over steps, a line for each member, coloured by one of its hyper-parameters."""
    if ax is None:
        with drawing(6.4, 3.6) as figure:
            return _lines(members, history, by, best, figure.add_subplot())
    return _lines(members, history, by, best, ax)


def _lines(members: Sequence[dict], history: Sequence[dict], by: str, best: int, ax: Any) -> Any:
    colours = _colours([row[by] for row in members])
    ends: set[str] = set()
    for member, row in enumerate(members):
        steps, scores = _line(history, member)
        colour, wide = colours[repr(row[by])], member == best
        ax.plot(steps, scores, color=colour, linewidth=2.2 if wide else 0.9, alpha=1.0 if wide else 0.65)
        if row["stopped"] in ENDS and len(steps):
            ax.plot(steps[-1:], scores[-1:], ENDS[row["stopped"]], color=colour, markersize=4)
            ends.add(row["stopped"])
    for value in dict.fromkeys(repr(row[by]) for row in members):
        ax.plot([], [], color=colours[value], label=f"{by} = {value}")
    for end in sorted(ends):
        ax.plot([], [], ENDS[end], color=GREY, markersize=4, label=end)
    ax.set(xlabel="step", ylabel="validation")
    if all(score > 0 for line in history for score in line["validation"] if np.isfinite(score)):
        ax.set_yscale("log")
    ax.set_ylim(top=_top(history))
    if len(colours) <= 12:
        ax.legend(frameon=False, fontsize="small", loc="upper left", bbox_to_anchor=(1.0, 1.0))
    return ax


def _top(history: Sequence[dict]) -> float | None:
    """Where lines leave the frame, if any is to: a member that was lost would hide how the others differ."""
    firsts: dict[int, float] = {}
    for line in history:
        firsts = {**dict(zip(line["members"], line["validation"], strict=True)), **firsts}
    begun = np.array([score for score in firsts.values() if np.isfinite(score)])
    most = max((score for line in history for score in line["validation"] if np.isfinite(score)), default=0.0)
    top = 10 * float(np.median(np.abs(begun))) if begun.size else np.inf
    return top if 0 < top < most else None


def _line(history: Sequence[dict], member: int) -> tuple[np.ndarray, np.ndarray]:
    found = [
        (line["steps"], line["validation"][line["members"].index(member)])
        for line in history
        if member in line["members"]
    ]
    steps, scores = np.array(found, float).reshape(-1, 2).T
    seen = np.isfinite(scores)
    return steps[seen], scores[seen]


def _colours(values: Sequence[Any]) -> dict[str, Any]:
    """A colour for each value: of few that everyone can tell apart, of many from dark to light in their order."""
    distinct = list(dict.fromkeys(values))
    if len(distinct) <= len(COLOURS):
        return {repr(value): colour for value, colour in zip(distinct, COLOURS, strict=False)}
    from matplotlib import colormaps

    try:
        distinct = sorted(distinct)
    except TypeError:  # of kinds that have no order
        pass
    return {repr(v): colormaps["viridis"](i / (len(distinct) - 1)) for i, v in enumerate(distinct)}
