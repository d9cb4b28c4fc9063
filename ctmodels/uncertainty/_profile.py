"""The profile of one parameter: how well the law can follow the data with it held, the others being found anew."""

import dataclasses
from typing import Any

import numpy as np
import scipy.interpolate
import scipy.stats

from ctmodels._core._arguments import before
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of
from ctmodels.reconstruction import LawFit
from ctmodels.reconstruction._estimate import MEMBERS, Estimate, Search, bounded
from ctmodels.reconstruction._fit_law import check_level

STEPS = np.arange(1, MEMBERS // 2 + 1) / 2  # half-widths of the Laplace interval, to each side
ROUNDS = 6  # each goes twice as far
BETTER = 0.1  # twice the log likelihood: by so much a profile may be above the estimate, and no more


@dataclasses.dataclass(frozen=True)
class Profile:
    """What one parameter may be.

    - `name`, `unit`, `value`: the parameter and its estimate; `level`: of the interval.
    - `values` `(point,)`: where it was held, ascending, the estimate among them; `ratio` `(point,)`: twice the fall of
      the log likelihood there, in units of the noise; infinite where no solution is finite.
    - `limit`: the ratio that the interval lies below; `lower`, `upper`: the interval, None to a side on which
      the ratio never comes to it.
    - `notes`: what else is to be known.
    """

    name: str
    unit: str
    value: float
    level: float
    values: np.ndarray
    ratio: np.ndarray
    limit: float
    lower: float | None
    upper: float | None
    notes: tuple[str, ...] = ()

    def __repr__(self) -> str:
        unit = f" {self.unit}" if self.unit else ""
        return "\n".join([f"{self.name} = {self.value:.4g}{unit}, {self._interval()}{unit}", *self.notes])

    def _interval(self) -> str:
        percent = f"at {100 * self.level:g} %"
        if self.lower is None and self.upper is None:
            return f"{percent} anything"
        if self.lower is None:
            return f"{percent} at most {self.upper:.4g}"
        if self.upper is None:
            return f"{percent} at least {self.lower:.4g}"
        return f"{percent} from {self.lower:.4g} to {self.upper:.4g}"

    def holds(self, value: float) -> bool:
        """Whether a value lies in the interval; where it has no end, it goes on."""
        return (self.lower is None or value >= self.lower) and (self.upper is None or value <= self.upper)


@before(lambda **given: _check(**given))
def profile(fit: LawFit, name: str, *, level: float = 0.9) -> Profile:
    r"""The likelihood of one parameter of a law, with all else the likeliest there is.

    $$r(v) = \frac{1}{\sigma^2} \Big( \min_{\theta: \theta_i = v,\; s} \|y - z(\theta, s)\|^2
    - \min_{\theta, s} \|y - z(\theta, s)\|^2 \Big)$$

    with $s$ the starts. The interval is where $r$ is below the square of Student's quantile, the noise being estimated
    (Bates and Watts 1988, chapter 6; of likelihoods: Raue et al. 2009); exact where the law is linear in its
    parameters. It need not be symmetric, nor have two ends: where the data only tell that a rate is above something, the
    interval has no upper end, and that is the finding. Where residuals go on from row to row, the ratio is divided
    by what the variance is larger for it.

    **Arguments:** `fit`: of [`ctmodels.reconstruction.fit_law`][]; `name`: of a parameter; `level`: of the interval.

    **Returns:** [`ctmodels.uncertainty.Profile`][].

    **Good values:** where an interval of Laplace's is wide (a third of the value), or there is none. It takes 8 fits and
    as many more for each doubling of the width, 48 at the most.
    """
    found, law = fit.estimate, fit.law
    at = law.names.index(name)
    held = _Held(found, at)
    half = float(scipy.stats.t.ppf(0.5 + level / 2, found.laplace.dof))
    q, root = held.walk(half)
    where = found.problem.coordinates
    values = where.on_host(np.where(np.arange(len(law.names)) == at, q[:, None], found.q))[:, at]
    lower, upper = (_crossing(values, root, side * half) for side in (-1, 1))
    notes = _notes(found, root, values, name)
    return Profile(
        name, law.units[at], fit.parameters[name].value, level, values, root**2, half**2, lower, upper, notes
    )


class _Held:
    """Searches with one parameter held, from the solution at the nearest place where it was held before."""

    def __init__(self, found: Estimate, at: int):
        self.found, self.at = found, at
        self.search = Search(found.problem, found.trials, found.rows, found.starts.shape[1], 0)
        self.search.deviation = bounded(found.laplace.deviation)
        self.free = np.arange(len(found.q)) != at
        same = lambda a: np.broadcast_to(a, (MEMBERS, *a.shape))
        best = self.search.search_all(found.window, same(found.q), same(found.starts), free=self.free)
        self.least = float(np.min(best.cost))

    def walk(self, half: float) -> tuple[np.ndarray, np.ndarray]:
        """Places, ascending, and the signed root of the ratio there: outwards from the estimate, until it is well beyond
        `half` to both sides."""
        found = self.found
        error = float(np.sqrt(found.laplace.cov[self.at, self.at]))
        step = half * error if error > 0 else float(self.search.sizes(found.q)[self.at])
        here, ends = found.q[self.at], {-1: (found.q, found.starts), 1: (found.q, found.starts)}
        places, roots, reach = [here], [0.0], 0.0
        for _ in range(ROUNDS):
            for side, root, place, end in self.round(ends, here, step, reach):
                places.append(place)
                roots.append(root)
                ends[side] = end
            farthest = max(roots), -min(roots)
            if min(farthest) > 1.1 * half:
                break
            reach, step = reach + step * STEPS[-1], 2 * step
        order = np.argsort(places)
        return np.array(places)[order], np.array(roots)[order]

    def round(self, ends, here: float, step: float, reach: float):
        """Some places to each side."""
        sides = np.repeat([-1, 1], MEMBERS // 2)
        places = here + sides * (reach + step * np.tile(STEPS, 2))
        q = np.stack([ends[side][0] for side in sides])
        q[:, self.at] = places
        starts = np.stack([ends[side][1] for side in sides])
        fits = self.search.search_all(self.found.window, q, starts, free=self.free)
        gained = 2 * (np.asarray(fits.cost, np.float64) - self.least) / self.found.laplace.wider[self.at]
        for i, side in enumerate(sides):
            end = np.asarray(fits.q[i], np.float64), np.asarray(fits.starts[i], np.float64)
            finite = np.isfinite(gained[i])
            yield side, side * np.sqrt(max(gained[i], 0.0)), places[i], end if finite else ends[side]


def _crossing(values: np.ndarray, root: np.ndarray, wanted: float) -> float | None:
    """Where the root first comes to `wanted`, outwards from zero; between two places by a monotone cubic of the roots."""
    middle = int(np.flatnonzero(root == 0)[0])
    side = slice(middle, None) if wanted > 0 else slice(middle, None, -1)
    v, r = values[side], np.abs(root[side])
    beyond = np.flatnonzero(r >= abs(wanted))
    if len(beyond) == 0:
        return None
    end = beyond[0]
    if not np.isfinite(r[end]):
        return float(v[end])
    rising = np.flatnonzero(np.append(True, np.diff(np.maximum.accumulate(r[: end + 1])) > 0))
    if len(rising) < 3:
        return float(np.interp(abs(wanted), r[rising], v[rising]))
    return float(scipy.interpolate.PchipInterpolator(r[rising], v[rising])(abs(wanted)))


def _notes(found: Estimate, root: np.ndarray, values: np.ndarray, name: str) -> tuple[str, ...]:
    notes = []
    if found.laplace.robust:
        notes.append(
            f"Residuals go on from row to row (correlation {found.laplace.memory:.2f}): the interval is widened for it."
        )
    if not np.isfinite(root).all():
        lost = values[~np.isfinite(root)]
        notes.append(f"No solution is finite with {name} at {', '.join(f'{v:.4g}' for v in lost[:3])}: it ends there.")
    return tuple(notes)


def _check(fit: Any, name: Any, level: Any) -> None:
    if not isinstance(fit, LawFit):
        raise TypeError(f"fit: {kind_of(fit)}, where what ct.reconstruction.fit_law returns is wanted")
    if name not in fit.law.names:
        raise DataError(
            f"{argument('name', name)}: no parameter of {fit.law.name}: there are {', '.join(fit.law.names)}"
        )
    check_level(level)
