"""Lyapunov exponents: how fast neighbours part, direction by direction."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctmodels.analysis import Lyapunov
from ctmodels.plot._axes import panel
from ctmodels.plot._style import COLOURS, GREY
from ctmodels.plot._values import array


def lyapunov(
    exponents: Lyapunov | ArrayLike | Mapping[str, Any],
    *,
    unit: str = "1/time",
    colors: Sequence[str] = COLOURS,
    ax: Any = None,
) -> Any:
    """Spectra of exponents, side by side, in descending order: a bar at the value, or at the median of several, whose
    own values are dots. Of what [`ctmodels.analysis.lyapunov`][] returned, with its error.

    **Arguments:**

    - `exponents`: `(count,)`, or `(member, count)` of an ensemble, or an [`ctmodels.analysis.Lyapunov`][]; or several
        of these, by name. What is not finite is not drawn.
    - `unit`: of the exponents.
    - `colors`: of the spectra, in order.
    - `ax`: axes of matplotlib; None: of a new figure.

    **Returns:** the axes.
    """
    named = exponents if isinstance(exponents, Mapping) else {"": exponents}
    spectra = {name: _members(f"exponents[{name!r}]" if name else "exponents", x) for name, x in named.items()}
    if not spectra:
        raise ValueError("exponents: empty: one spectrum at least is needed")
    with panel(ax) as axes:
        axes.axhline(0, color=GREY, linewidth=1)
        for place, (name, (values, error)) in enumerate(spectra.items()):
            offset = (place - (len(spectra) - 1) / 2) * 0.7 / len(spectra)
            _draw(axes, values, error, offset, colors[place % len(colors)], len(spectra), name)
        largest = max(values.shape[1] for values, _ in spectra.values())
        axes.set_xticks(range(1, largest + 1))
        axes.set_xlim(0.4, largest + 0.6)
        axes.grid(visible=False, axis="x")
        axes.set_xlabel("exponent, in descending order")
        axes.set_ylabel(f"λ [{unit}]", parse_math=False)
        return axes


def _members(name: str, x: Any) -> tuple[np.ndarray, np.ndarray | None]:
    """`(member, count)`, NaN where it is not finite, and the error of each exponent, if it is known."""
    known = isinstance(x, Lyapunov)
    values = np.atleast_2d(array(name, x.exponents if known else x, "(count,)", "(member, count)"))
    error = np.asarray(x.error, np.float64).reshape(-1) if known and len(values) == 1 else None
    return np.where(np.isfinite(values), values, np.nan), error


def _draw(axes: Any, values: np.ndarray, error, offset: float, colour: str, shared: int, name: str) -> None:
    half, label = 0.24 / shared, name
    for index, members in enumerate(values.T):
        members, at = members[np.isfinite(members)], index + 1 + offset
        if not members.size:
            continue
        spread = np.linspace(-half / 2, half / 2, members.size) if members.size > 1 else np.zeros(1)
        axes.hlines(np.median(members), at - half, at + half, color=colour, linewidth=2.6, label=label or None)
        label = ""  # once in a legend
        axes.plot(at + spread, members, "o", color=colour, markersize=4, alpha=0.55, markeredgewidth=0)
        if error is not None:
            axes.errorbar(at, members[0], error[index], color=colour, capsize=3, linewidth=1)
