r"""Which of several equations the data want, and with what constants: each is fitted again through the solve.

The criterion is Schwarz', $\sum_c n \log \sigma_c^2 + k \log(nC)$, with the noise $\sigma_c$ that a law leaves in each
of C channels, and k constants and starts: one that has to be begun anew in each window pays for it.
"""

import ast
import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.fields import Law
from ctmodels.reconstruction import LawFit, fit_law
from ctmodels.symbolic._follow import criterion, windows_of
from ctmodels.symbolic._front import Front
from ctmodels.symbolic._rounding import short
from ctmodels.symbolic._written import complexity, law, tree


class Tried(NamedTuple):
    """`equations`: with the constants that were found on the field; `complexity`: of all; `criterion`: the smaller the
    better, infinite where the solution is."""

    equations: tuple[str, ...]
    complexity: int
    criterion: float


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The law that the data want.

    - `law`: a field, with short constants where they cost less than a hundredth of the loss.
    - `fit`: as estimated, with intervals: a [`ctmodels.reconstruction.LawFit`][].
    - `tried`: all that were fitted, the best first.
    """

    law: Law
    fit: LawFit
    tried: tuple[Tried, ...]


def _check(front, data, shortlist, rows, **_) -> None:
    check_whole("shortlist", shortlist, 1)
    check_whole("rows", rows, 4)
    if not isinstance(front, Front):
        raise TypeError(f"front: {type(front).__name__}, where a Front is wanted, as of ct.symbolic.eliminate")


@before(_check)
def choose(
    front: Front,
    data: Series | Sequence[Series],
    controls: Series | Sequence[Series] | None = None,
    *,
    shortlist: int = 4,
    rows: int = 64,
    log: bool = False,
    level: float = 0.9,
    seed: int = 0,
) -> Chosen:
    """Of a front's candidates those that follow the data best through the solve, for their number of constants: one
    channel's are exchanged at a time, and terms left out; the best is fitted by `fit_law`.

    **Arguments:**

    - `front`: of [`ctmodels.symbolic.eliminate`][] or [`ctmodels.symbolic.search`][], or both, `joined`.
    - `data`, `controls`, `log`, `level`, `seed`: of `fit_law`; all states are observed.
    - `shortlist`: how many candidates of each channel are tried; `rows`: of the windows that they are followed over.

    **Returns:** [`ctmodels.symbolic.Chosen`][].
    """
    series = [data] if isinstance(data, Series) else list(data)
    given: list[Series | None] = [None] * len(series) if controls is None else []
    given += [controls] if isinstance(controls, Series) else list(controls or [])
    windows = windows_of(series, given, rows)
    names = [f"x{len(front.channels) + i}" for i in range(front.inputs)]
    how: dict[str, Any] = dict(controls=controls, states=len(front.channels), log=log, level=level, seed=seed)
    seen: dict[tuple[str, ...], float] = {}

    def judged(equations: tuple[str, ...]) -> float:
        if equations not in seen:
            seen[equations] = criterion(equations, windows)
        return seen[equations]

    best = _exchanged(front.shortlist(shortlist), judged)
    if not math.isfinite(judged(best)):
        raise DataError(
            f"front: no candidate follows the data over {rows} rows: give shorter ones, {argument('rows', 8)}"
        )
    fit = fit_law(law(best, inputs=names), series, **how)
    tried = (Tried(e, sum(map(complexity, e)), value) for e, value in seen.items())
    kept = fit.law if log or fit.window else short(fit, series, controls)
    return Chosen(kept, fit, tuple(sorted(tried, key=lambda one: one.criterion)))


def _exchanged(shortlist, judged) -> tuple[str, ...]:
    """One candidate of each channel, and then one term less; channel after channel, until nothing changes."""
    best = tuple(candidates[0].equation for candidates in shortlist)
    while True:
        before = best
        for c, candidates in enumerate(shortlist):
            for one in [*(one.equation for one in candidates), *_shorter(best[c])]:
                best = min(best, (*best[:c], one, *best[c + 1 :]), key=judged)
        if best == before:
            return best


def _shorter(equation: str) -> Iterator[str]:
    """Without one of its terms."""
    terms = [ast.unparse(term) for term in _terms(tree(equation))]
    for i in range(len(terms) if len(terms) > 1 else 0):
        yield " + ".join([*terms[:i], *terms[i + 1 :]])


def _terms(node: ast.expr) -> Iterator[ast.expr]:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from _terms(node.left)
        yield from _terms(node.right)
    else:
        yield node
