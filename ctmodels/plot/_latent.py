"""States behind what is observed, over time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._words import argument
from ctmodels.plot._axes import panels, plain
from ctmodels.plot._style import COLOURS
from ctmodels.plot._values import array, called, times

STATES = 6  # panels, at most


def latent(
    ts: ArrayLike,
    states: ArrayLike,
    *,
    groups: Sequence[Any] | None = None,
    names: Sequence[str] | None = None,
    ax: Any = None,
) -> np.ndarray:
    """Latent trajectories over time, a panel for each state: of one sample, or of many samples or draws, each a thin
    line, in the colour of its group.

    **Arguments:**

    - `ts`: `(time,)`.
    - `states`: `(time, state)` or `(sample, time, state)`, as `Output.latents` has them; NaN is not drawn. Of more than
        six states choose those to draw.
    - `groups`: of each sample, `(sample,)`: its class or condition.
    - `names`: of the states.
    - `ax`: axes of matplotlib, a list with one for each state; None: of a new figure.

    **Returns:** the axes, `(state,)`. In the plane, [`ctmodels.plot.phase_portrait`][] draws them.
    """
    zs = array("states", states, "(time, state)", "(sample, time, state)")
    zs = zs[None] if zs.ndim == 2 else zs
    when = times("ts", ts, zs.shape[1])
    count = zs.shape[2]
    if not 1 <= count <= STATES:
        raise ValueError(f"states: {count} of them, and up to {STATES} are drawn; choose, as states[..., :{STATES}]")
    labels = tuple(f"z{i}" for i in range(count)) if names is None else called(names, count)
    kinds = _colours(groups, len(zs))
    single = len(zs) == 1
    with panels(ax, count) as made:
        for axes, z, label in zip(made, np.moveaxis(zs, 2, 0), labels, strict=True):
            for kind, (members, colour) in kinds.items():
                style = dict(color=colour, linewidth=1.4 if single else 0.8, alpha=1.0 if single else 0.55)
                lines = axes.plot(when, z[members].T, **style)
                lines[0].set_label(plain(kind))
            axes.set_title(label, parse_math=False)
        if groups is not None:
            made[0].legend(frameon=False, fontsize="small")
        made[-1].set_xlabel("t")
        return made


def _colours(groups: Sequence[Any] | None, count: int) -> dict[str, tuple[np.ndarray, str]]:
    """Which samples each group has, and its colour; one group, where there are none."""
    if groups is None:
        return {"_": (np.arange(count), COLOURS[0])}
    names = [str(g) for g in np.asarray(groups).tolist()] if np.ndim(groups) == 1 else []
    if len(names) != count:
        raise ValueError(
            f"{argument('groups')}: shape {np.shape(groups)}, where one for each of {count} samples is wanted"
        )
    kinds = dict.fromkeys(names)
    return {kind: (np.flatnonzero(np.array(names) == kind), COLOURS[i % len(COLOURS)]) for i, kind in enumerate(kinds)}
