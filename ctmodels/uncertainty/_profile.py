"""The profile of one parameter: how well the law can follow the data with it held, the others being found anew."""

import dataclasses
from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import scipy.interpolate
import scipy.stats

from ctmodels._core._arguments import before
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of
from ctmodels.reconstruction import LawFit
from ctmodels.reconstruction._estimate import FINEST, MEMBERS, Estimate, Search, bounded
from ctmodels.reconstruction._fit_law import check_level
from ctmodels.reconstruction._least_squares import Fit
from ctmodels.uncertainty._figure import draw_profile

STEPS = np.arange(1, MEMBERS // 2 + 1) / 2  # half-widths of the Laplace interval, to each side
ROUNDS = 6  # each goes twice as far
SETTLED = 0.05  # of the ratio: by so much it may change with steps half as long
BETTER = 0.1  # the ratio: by so much a profile may be above the estimate, and no more


@dataclasses.dataclass(frozen=True)
class Profile:
    """What one parameter may be.

    - `name`, `unit`, `value`: the parameter and its estimate; `level`: of the interval.
    - `values` `(point,)`: where it was held, ascending, the estimate among them; `ratio` `(point,)`: twice the fall of
      the log likelihood there, in units of the noise.
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

    def plot(self, ax: Any = None) -> Any:
        """The curve, the limit and the interval (matplotlib), on `ax` or on a new figure. Returns the axes, of which
        `.figure.savefig("profile.svg")` keeps the figure."""
        label = f"{self.name} [{self.unit}]" if self.unit else self.name
        return draw_profile(label, self.values, self.ratio, self.limit, (self.lower, self.upper), ax)


@before(lambda **given: _check(**given))
def profile(fit: LawFit, name: str, *, level: float = 0.9) -> Profile:
    r"""The likelihood of one parameter of a law, with all else the likeliest there is.

    $$r(v) = \frac{1}{\sigma^2} \Big( \min_{\theta: \theta_i = v,\; s} \|y - z(\theta, s)\|^2
    - \min_{\theta, s} \|y - z(\theta, s)\|^2 \Big)$$

    with $s$ the starts. The interval is where $r$ is below the square of Student's quantile, the noise being estimated
    (Bates and Watts 1988, chapter 6; of likelihoods: Raue et al. 2009); exact where the law is linear in its
    parameters. It need not be symmetric, nor have two ends: where the data only tell that a rate is above something,
    the interval has no upper end, and that is the finding. Where residuals go on from row to row, the ratio is
    divided by what the variance is larger for it.

    **Arguments:** `fit`: of [`ctmodels.reconstruction.fit_law`][]; `name`: of a parameter; `level`: of the interval.

    **Returns:** [`ctmodels.uncertainty.Profile`][].

    **Good values:** where an interval of Laplace's is wide (a third of the value), or there is none. It takes 24
    fits, and 8 more for each doubling of the width up to 32 times.
    """
    found, law = fit.estimate, fit.law
    half = float(scipy.stats.t.ppf(0.5 + level / 2, found.laplace.dof))
    held = _Held(found, law.names.index(name))
    known = fit.parameters[name].error is not None
    held.walk(half, known)
    values, root = held.curve()
    lower, upper = (_crossing(values, root, side * half) for side in (-1, 1))
    value, unit = fit.parameters[name].value, law.units[held.at]
    notes = _notes(held, name)
    return Profile(name, unit, value, level, values, root**2, half**2, lower, upper, notes)


class _Point(NamedTuple):
    """Where the parameter was held, in the coordinates of the search; the signed root of the ratio there; the rest."""

    place: float
    root: float
    q: np.ndarray
    starts: np.ndarray


class _Held:
    """Searches with one parameter held, each from the solution at the nearest place where it was held before."""

    def __init__(self, found: Estimate, at: int):
        self.found, self.at, self.better = found, at, 0.0
        self.unsolved: list[float] = []
        self.search = Search(found.problem, found.trials, found.rows, found.starts.shape[1], 0)
        self.search.deviation = bounded(found.laplace.deviation)
        self.points = [_Point(float(found.q[at]), 0.0, found.q, found.starts)]
        self.least = float(self.fits(np.full(MEMBERS, found.q[at])).cost.min())

    def fits(self, places: np.ndarray) -> Fit:
        """Of all others, with the parameter held at each place."""
        nearest = [min(self.points, key=lambda point, x=x: abs(point.place - x)) for x in places]
        q, starts = np.stack([point.q for point in nearest]), np.stack([point.starts for point in nearest])
        q[:, self.at] = places
        return self.search_from(q, starts)

    def search_from(self, q, starts) -> Fit:
        """All but the one."""
        free = np.arange(len(self.found.q)) != self.at
        return self.search.search_all(self.found.window, q, starts, free=free)

    def hold(self, places: np.ndarray, half: float) -> None:
        """And keep what was found, by steps so short that others would find it too."""
        while True:
            fits, substeps = self.fits(places), int(self.search.problem.substeps)
            self.search.refine(2)
            finer = self.search_from(fits.q, fits.starts)
            ratio, other = (2 * (np.asarray(f.cost, np.float64) - self.least) for f in (fits, finer))
            moved = np.abs(np.minimum(ratio, 4 * half**2) - np.minimum(other, 4 * half**2))
            settled = np.isfinite(ratio) & (moved <= SETTLED)
            if settled.all() or substeps >= FINEST:
                break
        self.search.problem = eqx.tree_at(lambda p: p.substeps, self.search.problem, jnp.asarray(substeps))
        self.unsolved += places[~settled].tolist()
        self.better = max(self.better, -float(ratio.min()))
        ratio /= self.found.laplace.wider[self.at]
        roots = np.sign(places - self.found.q[self.at]) * np.sqrt(np.maximum(ratio, 0))
        q, starts = np.asarray(fits.q, np.float64), np.asarray(fits.starts, np.float64)
        self.points += [_Point(float(places[i]), float(roots[i]), q[i], starts[i]) for i in np.flatnonzero(settled)]
        self.points.sort(key=lambda point: point.place)

    def walk(self, half: float, known: bool) -> None:
        """Outwards from the estimate until the root is beyond `half` to both sides, and once more where it crosses."""
        here = float(self.found.q[self.at])
        error = float(np.sqrt(self.found.laplace.cov[self.at, self.at]))
        step = half * error if known else float(self.search.sizes(self.found.q)[self.at])
        reach, sides = 0.0, np.repeat([-1.0, 1.0], len(STEPS))
        for _ in range(ROUNDS):
            self.hold(here + sides * (reach + step * np.tile(STEPS, 2)), half)
            if self.points[0].root < -half and self.points[-1].root > half:
                break
            reach, step = reach + step * STEPS[-1], 2 * step
        self.hold(np.concatenate([self._where_it_crosses(side * half) for side in (-1, 1)]), half)

    def _where_it_crosses(self, wanted: float) -> np.ndarray:
        """Places between the last one within the limit and the first one beyond, or at the far end."""
        outwards = self.points if wanted > 0 else self.points[::-1]
        side = [point for point in outwards if point.root * wanted >= 0]
        beyond = next((i for i, point in enumerate(side) if abs(point.root) >= abs(wanted)), len(side) - 1)
        first, last = side[beyond - 1].place, side[beyond].place
        return np.linspace(first, last, len(STEPS) + 2)[1:-1]

    def curve(self) -> tuple[np.ndarray, np.ndarray]:
        """The parameter in the user's units, and the roots."""
        return self.values([point.place for point in self.points]), np.array([point.root for point in self.points])

    def values(self, places: list[float]) -> np.ndarray:
        """In the user's units."""
        q = np.broadcast_to(self.found.q, (len(places), len(self.found.q))).copy()
        q[:, self.at] = places
        return self.found.problem.coordinates.on_host(q)[:, self.at]


def _crossing(values: np.ndarray, root: np.ndarray, wanted: float) -> float | None:
    """Where the root first comes to `wanted`, outwards from zero; between places by a monotone cubic."""
    middle = int(np.flatnonzero(root == 0)[0])
    side = slice(middle, None) if wanted > 0 else slice(middle, None, -1)
    v, r = values[side], np.abs(root[side])
    beyond = np.flatnonzero(r >= abs(wanted))
    if len(beyond) == 0:
        return None
    end = beyond[0]
    rising = np.flatnonzero(np.append(True, np.diff(np.maximum.accumulate(r[: end + 1])) > 0))
    if len(rising) < 3:
        return float(np.interp(abs(wanted), r[rising], v[rising]))
    return float(scipy.interpolate.PchipInterpolator(r[rising], v[rising])(abs(wanted)))


def _notes(held: "_Held", name: str) -> tuple[str, ...]:
    notes = []
    if held.better > BETTER:
        notes.append(f"The data are likelier with another {name} than the estimate: fit from other first guesses.")
    if held.found.laplace.robust:
        memory = held.found.laplace.memory
        notes.append(f"Residuals go on from row to row (correlation {memory:.2f}): the interval is widened for it.")
    if held.unsolved:
        places = _some(held.values(held.unsolved).tolist())
        notes.append(f"With {name} at {places} the law runs away, or is too stiff to be solved here: left out.")
    return tuple(notes)


def _some(values: list[float]) -> str:
    shown = ", ".join(f"{v:.4g}" for v in sorted(values)[:3])
    return f"{shown} and elsewhere" if len(values) > 3 else shown


def _check(fit: Any, name: Any, level: Any) -> None:
    if not isinstance(fit, LawFit):
        raise TypeError(f"fit: {kind_of(fit)}, where what ct.reconstruction.fit_law returns is wanted")
    if name not in fit.law.names:
        raise DataError(
            f"{argument('name', name)}: no parameter of {fit.law.name}: there are {', '.join(fit.law.names)}"
        )
    check_level(level)
