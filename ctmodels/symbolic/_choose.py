r"""Which of several equations the data want, and with what constants: each is fitted again through the solve.

The criterion is Schwarz', $\sum_c n \log \sigma_c^2 + k \log(nC)$, with the noise $\sigma_c$ that a law leaves in each of C
channels, and k constants and starts: one that has to be begun anew in each window pays for it.
"""

import dataclasses
import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels.fields import Law
from ctmodels.reconstruction import LawFit, fit_law
from ctmodels.symbolic._front import Front
from ctmodels.symbolic._rounding import short
from ctmodels.symbolic._written import complexity, law

FLOOR = 1e-6  # of a channel's deviation: a noise below it is rounding


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


def _check(front, data, shortlist, **_) -> None:
    check_whole("shortlist", shortlist, 1)
    if not isinstance(front, Front):
        raise TypeError(f"front: {type(front).__name__}, where a Front is wanted, as of ct.symbolic.eliminate")


@before(_check)
def choose(
    front: Front,
    data: Series | Sequence[Series],
    controls: Series | Sequence[Series] | None = None,
    *,
    shortlist: int = 3,
    log: bool = False,
    level: float = 0.9,
    seed: int = 0,
) -> Chosen:
    """Of a front's candidates those that follow the data best through the solve, for their number of constants; one
    channel's are exchanged at a time. Each is a [`ctmodels.reconstruct.fit_law`][], of some seconds.

    **Arguments:**

    - `front`: of [`ctmodels.symbolic.eliminate`][] or [`ctmodels.symbolic.search`][], or both, `joined`.
    - `data`, `controls`, `log`, `level`, `seed`: of `fit_law`; all states are observed.
    - `shortlist`: how many candidates of each channel are tried.

    **Returns:** [`ctmodels.symbolic.Chosen`][].
    """
    series = [data] if isinstance(data, Series) else list(data)
    names = [f"x{len(front.channels) + i}" for i in range(front.inputs)]
    how = dict(controls=controls, states=len(front.channels), log=log, level=level, seed=seed)
    seen: dict[tuple[str, ...], tuple[float, LawFit | None]] = {}

    def judged(equations: tuple[str, ...]) -> float:
        if equations not in seen:
            seen[equations] = _fitted(law(equations, inputs=names), series, how)
        return seen[equations][0]

    best = _exchanged(front.shortlist(shortlist), judged)
    fit = seen[best][1]
    if fit is None:
        raise DataError("front: no candidate has a finite solution from the data: give more of them (shortlist=...)")
    tried = (Tried(e, sum(map(complexity, e)), value) for e, (value, _) in seen.items())
    kept = fit.law if log or fit.window else short(fit, series, controls)
    return Chosen(kept, fit, tuple(sorted(tried, key=lambda one: one.criterion)))


def _exchanged(shortlist, judged) -> tuple[str, ...]:
    """One candidate of each channel; channel after channel, until nothing changes."""
    best = tuple(candidates[0].equation for candidates in shortlist)
    while True:
        before = best
        for equations in _neighbours(best, shortlist):
            best = min(best, equations, key=judged)
        if best == before:
            return best


def _neighbours(best: tuple[str, ...], shortlist) -> Iterator[tuple[str, ...]]:
    yield best
    for c, candidates in enumerate(shortlist):
        for one in candidates:
            yield (*best[:c], one.equation, *best[c + 1 :])


def _fitted(law: Law, series: list[Series], how: dict[str, Any]) -> tuple[float, LawFit | None]:
    try:
        fit = fit_law(law, series, **how)
    except DataError:
        return math.inf, None
    rows, values = sum(len(one) for one in fit.fitted), sum(one.size for one in fit.fitted)
    states = fit.starts.shape[1]
    windows = sum(1 if fit.window is None else -(-len(one) // fit.window) for one in fit.fitted)
    spread = np.concatenate(fit.fitted).std(axis=0)
    noise = rows * np.log(fit.noise**2 + (FLOOR * spread) ** 2 + 1e-300)
    value = float(np.sum(noise)) + (len(law.names) + windows * states) * math.log(values)
    return (value if math.isfinite(value) else math.inf), fit
