"""Parameters of a law from measurements, with what the data leave open of them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from ctmodels._core._arguments import before, check_seed, check_whole
from ctmodels._core._scaling import Scaling
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of
from ctmodels.data import Table, Trials
from ctmodels.fields import Law
from ctmodels.fields._law import states_of
from ctmodels.reconstruction._candidate import STEP
from ctmodels.reconstruction._estimate import MEMBERS, Estimate, Search, estimate
from ctmodels.reconstruction._laplace import flat_directions
from ctmodels.reconstruction._law_units import LawInUnits, LawProblem, with_hidden
from ctmodels.reconstruction._parameters import Parameter, Parameters


@dataclasses.dataclass(frozen=True)
class LawFit:
    """A law with the parameters that the data are likeliest under. All in the user's units.

    - `law`: with these parameters, a field; `parameters`: their table, with intervals.
    - `noise` `(channel,)`: the deviation of the measurement (with `log`, of the logarithms).
    - `starts` `(trial, state)`: the state at each trial's first row.
    - `fitted`: of each trial, what the law has at its rows, `(time, channel)`.
    - `window`: rows that the law was followed over at a time, each window from a start of its own; None: whole trials.
    """

    law: Law
    parameters: Parameters
    noise: np.ndarray
    starts: np.ndarray
    fitted: tuple[np.ndarray, ...]
    window: int | None

    def __repr__(self) -> str:
        return f"LawFit({self.law.name})\n{self.parameters!r}"


class Measured(NamedTuple):
    """One trial in the user's units: times, channels, inputs; NaN where missing."""

    ts: np.ndarray
    ys: np.ndarray
    us: np.ndarray | None


@before(lambda **given: _check(**given))
def fit_law(
    law: Law | Callable,
    data: Any,
    *,
    inputs: Sequence[str] = (),
    controls: Series | Sequence[Series] | None = None,
    states: int | None = None,
    log: bool = False,
    level: float = 0.9,
    bootstrap: int = 0,
    seed: int = 0,
) -> LawFit:
    r"""Estimate the parameters of a law from one or many noisy trials, and say how well they are known.

    $$y_{ik} = z_i(t_k; \theta)_{1..C} + \sigma \varepsilon_{ik}, \qquad \dot z_i = f(t, z_i; \theta)$$

    By maximum likelihood of $\theta$, of each trial's start and of the noise of each channel. The solution is followed
    over short windows first, each from a start of its own, and over longer and longer ones after that.

    Intervals are those of the normal approximation (Laplace) with Student's quantiles, the starts and the noise being
    estimated too; by the logarithm for parameters that are positive. Where residuals go on from row to row, as where
    the law does not hold exactly, they are widened for it (Newey and West 1987), and it is said. A direction along
    which the data tell nothing is named, and the parameters that it involves have no interval.

    **Arguments:**

    - `law`: a [`ctmodels.fields.Law`][], or what one is made of: `def law(t, y, *, damping=0.1, stiffness=9.0)`.
    - `data`: a [`ctmodels.Series`][] or a list of them, a [`ctmodels.data.Table`][] or [`ctmodels.data.Trials`][], in
      the law's units; values may be missing, and trials be of any lengths. The channels are the law's first states.
    - `inputs`: of a table: the columns that drive the system, in the order of the law's `u`; `controls`: of series: the
      inputs, a series for each.
    - `states`: of the law, where it has more than there are channels; default: as many as it takes to call it.
    - `log`: the noise is relative, and the data positive.
    - `level`: of the intervals; `bootstrap`: intervals from so many simulated data sets instead, 0: none; `seed`: of
      these, and of the first guesses beside the law's own.

    **Returns:** [`ctmodels.reconstruction.LawFit`][]. Raises `DataError` where the law cannot be called, or its
    solution is not finite.

    **Good values:** first guesses within a factor of three; 20 rows of each trial, several a period; `level=0.9`. Of
    five laws, intervals of 90 % held the truth in 0.85 to 0.94 of 40 data sets each.
    """
    law = law if isinstance(law, Law) else Law(law)
    trials = _measured(data, tuple(inputs), controls)
    scaling = Scaling.fit_all([(t.ts, t.ys) for t in trials], log=log)
    units = None if trials[0].us is None else Scaling.fit_all([(t.ts, t.us) for t in trials])
    problem = law_problem(law, scaling, units, states)
    found = estimate(problem, [_scaled(trial, scaling, units) for trial in trials], seed)
    table = parameters_of(found, level, simulated(found, bootstrap, seed) if bootstrap else None)
    return _fit(found, table, scaling, [len(trial.ts) for trial in trials])


def law_problem(law: Law, scaling: Scaling, inputs: Scaling | None, states: int | None = None) -> LawProblem:
    """A law of data in these units, which it is checked to be."""
    if not law.names:
        raise DataError(f"law {law.name}: has no parameters to estimate: {_LIKE}")
    channels = len(scaling.std)
    size = states_of(law, channels, 0 if inputs is None else len(inputs.std), states)
    return LawProblem.of(LawInUnits.of(law, with_hidden(scaling, size), inputs), channels, STEP)


_LIKE = "write them after a `*`, with first guesses, as in `def field(t, y, *, damping=0.1): ...`"


def parameters_of(found: Estimate, level: float, draws: np.ndarray | None = None) -> Parameters:
    """The table. `draws` `(draw, parameter)`: of simulated data, in the user's units; intervals are theirs then."""
    problem, (_, cov, flat, dof, memory, robust) = found.problem, found.laplace
    law, where = problem.field.law, problem.coordinates
    values = where.on_host(found.q)
    positive, unit = np.asarray(where.positive), np.asarray(where.unit, np.float64)
    own = np.where(positive, values, np.maximum(np.abs(values), unit))
    sentences, unknown = flat_directions(flat * own / np.maximum(np.abs(values), 1e-3 * own), law.names)
    error = np.sqrt(np.maximum(np.diagonal(cov), 0))
    half = scipy.stats.t.ppf(0.5 + level / 2, dof) * error
    lower = np.where(positive, values * np.exp(-half), values - unit * half)
    upper = np.where(positive, values * np.exp(np.minimum(half, 300)), values + unit * half)
    size = np.where(positive, values, unit) * error
    if draws is not None:
        lower, upper = np.quantile(draws, [(1 - level) / 2, (1 + level) / 2], axis=0)
        size = np.std(draws, axis=0, ddof=1)
    known = [name not in unknown for name in law.names]
    bounds = lambda i: (float(size[i]), float(lower[i]), float(upper[i])) if known[i] else (None, None, None)
    table = tuple(Parameter(n, float(values[i]), *bounds(i), law.units[i]) for i, n in enumerate(law.names))
    both = np.outer(known, known) & (np.outer(error, error) > 0)
    correlation = np.where(both, cov / np.where(both, np.outer(error, error), 1), np.nan)
    return Parameters(table, level, correlation, sentences, _notes(found, draws, robust, memory))


def _notes(found: Estimate, draws: np.ndarray | None, robust: bool, memory: float) -> tuple[str, ...]:
    notes = []
    if found.misfit is not None:
        worse = f"{found.misfit:.2g} times the variance" if np.isfinite(found.misfit) else "no finite solution"
        notes.append(
            f"The law follows the data over {found.length} rows at a time, from a start of their own each, and not "
            f"over twice as many ({worse}): it does not hold exactly, or the motion forgets its start."
        )
    if robust:
        notes.append(
            f"Residuals go on from row to row (correlation {memory:.2f}): the law does not hold exactly, or the noise "
            "has a memory. "
            + ("The intervals do not allow for it." if draws is not None else "The intervals are widened for it.")
        )
    if draws is not None:
        notes.append(f"Intervals by {len(draws)} data sets simulated under the estimate.")
    return tuple(notes)


def simulated(found: Estimate, count: int, seed: int) -> np.ndarray:
    """Estimates from so many data sets with noise drawn anew, `(draw, parameter)`, in the user's units."""
    search = Search(found.problem, found.trials, found.starts.shape[1], seed)
    search.deviation = found.laplace.deviation
    expected, mask = np.asarray(found.found.ys, np.float64), np.asarray(found.trials.series.mask)
    draws = []
    same = lambda a: np.broadcast_to(a, (MEMBERS, *a.shape))
    for _ in range(-(-count // MEMBERS)):
        noise = search.random.normal(size=(MEMBERS, *mask.shape)) * found.laplace.deviation
        fits = search.search_all(found.window, same(found.q), same(found.starts), np.where(mask, expected + noise, 0))
        draws.append(np.asarray(fits.q, np.float64)[np.isfinite(fits.cost)])
    return found.problem.coordinates.on_host(np.concatenate(draws)[:count])


def _fit(found: Estimate, parameters: Parameters, scaling: Scaling, rows: list[int]) -> LawFit:
    states = with_hidden(scaling, found.starts.shape[-1])
    ys = np.asarray(found.found.ys, np.float64)
    fitted = tuple(scaling.unscale(one[:n]) for one, n in zip(ys, rows, strict=True))
    law = found.problem.field.law.with_parameters(parameters.values)
    noise = found.laplace.deviation * np.asarray(scaling.std)
    return LawFit(law, parameters, noise, states.unscale(found.starts[:, 0]), fitted, found.length)


def _scaled(trial: Measured, scaling: Scaling, inputs: Scaling | None) -> tuple[Series, Series | None]:
    taus = scaling.times(trial.ts)
    series = Series.from_nan(taus, scaling.scale(trial.ys), one_of_many=True)
    if inputs is None or trial.us is None:
        return series, None
    return series, Series.from_nan(taus, inputs.scale(trial.us), one_of_many=True)


def _measured(data: Any, inputs: tuple[str, ...], controls: Any) -> list[Measured]:
    if isinstance(data, Table | Trials):
        tables = data.tables if isinstance(data, Trials) else (data,)
        channels = [name for name in tables[0].names if name not in inputs]
        driven = lambda table: table.select(inputs).values if inputs else None
        return [Measured(t.time, t.select(channels).values, driven(t)) for t in tables]
    series = [data] if isinstance(data, Series) else list(data)
    given = [controls] if isinstance(controls, Series) else controls
    if given is not None and len(given) != len(series):
        raise DataError(f"controls: {len(given)} series, where there are {len(series)} trials: give one for each")
    us = [None] * len(series) if given is None else [one.to_nan() for one in given]
    return [Measured(np.asarray(s.ts), s.to_nan(), u) for s, u in zip(series, us, strict=True)]


def _check(law: Any, data: Any, inputs: Any, controls: Any, level: Any, bootstrap: Any, seed: Any, **_: Any) -> None:
    check_seed(seed)
    check_whole("bootstrap", bootstrap, 0)
    if not 0 < level < 1:
        raise DataError(f"{argument('level', level)}: a share between 0 and 1 is needed, as {argument('level', 0.9)}")
    if isinstance(inputs, str):
        raise DataError(f"{argument('inputs', inputs)}: a list of names is wanted: {argument('inputs', [inputs])}")
    if isinstance(data, Series | Table | Trials):
        return
    if not isinstance(data, Sequence) or isinstance(data, str) or not all(isinstance(s, Series) for s in data):
        raise TypeError(
            f"data: {kind_of(data)}, where a Series, a list of them, a Table or Trials are wanted; of arrays make "
            "ct.Series.from_nan(ts, ys)"
        )
    if not data:
        raise DataError("data: no trials: give one at least")
    channels = {s.ys.shape[-1] for s in data}
    if len(channels) > 1 or any(s.ts.ndim != 1 for s in data):
        raise DataError(
            f"data: trials of {sorted(channels)} channels: all have the same ones; a batch is given as a list"
        )
