"""The coefficients of a law, learned against known."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ctmodels._core._arguments import before
from ctmodels._core._words import kind_of
from ctmodels.fields import Law, SparseField
from ctmodels.plot._axes import panels, plain
from ctmodels.plot._style import COLOURS, GREY, INK

Coefficients = Mapping[str, Mapping[str, float]]


def _check(found, known, **_) -> None:
    for name, law in (("found", found), ("known", known)):
        if not isinstance(law, SparseField | Law | Mapping | None) or law == {}:
            raise TypeError(f"{name}: {kind_of(law)}, where a SparseField, a Law or a dict of numbers is wanted")


@before(_check)
def terms(
    found: SparseField | Law | Mapping[str, Any],
    known: SparseField | Law | Mapping[str, Any] | None = None,
    *,
    intervals: Mapping[str, Any] | None = None,
    names: Sequence[str] | None = None,
    ax: Any = None,
) -> np.ndarray:
    """The coefficients of each equation, a panel each: learned ones as dots, known ones as grey bars. A term that was
    found and is not of the known law is orange.

    **Arguments:**

    - `found`: a [`ctmodels.fields.SparseField`][], as `regression.sparse_law` finds it (`model.field`); a
        [`ctmodels.fields.Law`][], whose parameters are drawn; or numbers by name, `{"damping": 0.1}`, or by equation
        and term, `{"x": {"x": -10, "y": 10}}`.
    - `known`: the same of the law that is known; what it does not name is zero there. None: of none.
    - `intervals`: `(lower, upper)` by the same names as `found`, where there are some.
    - `names`: of a SparseField's state.
    - `ax`: axes of matplotlib, a list with one for each equation; None: of a new figure.

    **Returns:** the axes, `(equation,)`. Terms that are zero in both are left out. Where coefficients differ much
    in size, their axis is logarithmic, and linear close to zero.
    """
    learned = _coefficients("found", found, names)
    true = None if known is None else _coefficients("known", known, names)
    bounds = {} if intervals is None else {"": intervals} if "" in learned else intervals
    for name, given in (("known", true or {}), ("intervals", bounds)):
        if strangers := set(given) - set(learned):
            raise ValueError(f"{name}: no {min(strangers)!r} among those found: {', '.join(learned)}; name them alike")
    true = None if true is None else {name: true.get(name, {}) for name in learned}
    shown = {name: _shown(learned[name], {} if true is None else true[name]) for name in learned}
    with panels(ax, len(shown), [0.6 + 0.24 * max(1, len(rows)) for rows in shown.values()]) as made:
        for axes, (name, rows) in zip(made, shown.items(), strict=True):
            _draw(axes, rows, learned[name], None if true is None else true[name], bounds.get(name, {}))
            if name:
                axes.set_title(f"{plain(name)}'", parse_math=False)
        _scale(made, learned, true or {})
        made[-1].set_xlabel("value" if "" in shown else "coefficient")
        return made


def _coefficients(name: str, law: Any, names: Sequence[str] | None) -> Coefficients:
    """By equation and term; parameters are those of the equation "", and unnamed terms those of the library."""
    if isinstance(law, SparseField):
        values = np.where(law.active, law.coefficients, 0)
        states = [f"x{i}" for i in range(len(values))] if names is None else list(names)
        inputs = [f"u{i}" for i in range(law.library.variables - len(values))]
        words = law.library.names([*states, *inputs])
        return {
            state: dict(zip(words, map(float, row), strict=True)) for state, row in zip(states, values, strict=True)
        }
    if isinstance(law, Law):
        return {"": {n: float(value) for n, value in law.parameters.items()}}
    nested = {equation: row for equation, row in law.items() if isinstance(row, Mapping)}
    if nested and len(nested) < len(law):
        raise TypeError(f"{name}: numbers and dicts; it is one dict of numbers, or one of such dicts for each equation")
    rows = nested or {"": law}
    return {e: {n: _number(f"{name}[{n!r}]", value) for n, value in row.items()} for e, row in rows.items()}


def _number(name: str, value: Any) -> float:
    if np.ndim(value) != 0:
        raise ValueError(f"{name}: shape {np.shape(value)}, where a number is wanted; of an ensemble, choose one")
    return float(value)


def _shown(found: Mapping[str, float], known: Mapping[str, float]) -> list[str]:
    """The terms that are in either, in order."""
    return [n for n in dict.fromkeys([*known, *found]) if found.get(n, 0) != 0 or known.get(n, 0) != 0]


def _draw(
    axes: Any,
    rows: Sequence[str],
    found: Mapping[str, float],
    known: Mapping[str, float] | None,
    intervals: Mapping[str, Sequence[float]],
) -> None:
    places = np.arange(len(rows))
    axes.axvline(0, color=GREY, linewidth=0.8)
    if known is not None:
        axes.barh(places, [known.get(n, 0) for n in rows], 0.62, color="#d5d9de", label="known")
    for right, colour, label in (
        (True, COLOURS[0] if known is not None else INK, "found"),
        (False, COLOURS[1], "found, and not of it"),
    ):
        at = [i for i, n in enumerate(rows) if (known is None or known.get(n, 0) != 0) == right]
        if at:
            values = [found.get(rows[i], 0) for i in at]
            axes.plot(values, at, "o", color=colour, markersize=5, zorder=4, label=label)
    for i, n in enumerate(rows):
        if n in intervals:
            axes.hlines(i, *intervals[n], color=INK, linewidth=1.2, zorder=3)
    axes.set_yticks(places, [plain(n) for n in rows], parse_math=False)
    axes.set_ylim(max(1, len(rows)) - 0.4, -0.6)
    axes.grid(visible=False, axis="y")


def _scale(made: np.ndarray, *laws: Coefficients) -> None:
    """A logarithmic axis where the largest is thirty times the smallest, linear below that one."""
    for axes in made:
        axes.locator_params(axis="x", nbins=5)
    sizes = np.abs([value for law in laws for row in law.values() for value in row.values() if value != 0])
    if len(sizes) and sizes.max() > 30 * sizes.min():
        for axes in made:
            axes.set_xscale("symlog", linthresh=sizes.min())
            axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}".replace("-", "−"))
