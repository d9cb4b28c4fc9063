"""Parameters of a law from measurements, with what the data leave open of them."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.stats

from ctmodels._core._arguments import before, check_seed
from ctmodels._core._scaling import Scaling
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of
from ctmodels.data import Table, Trials
from ctmodels.fields import Law
from ctmodels.fields._law import states_of
from ctmodels.reconstruction._candidate import STEP
from ctmodels.reconstruction._estimate import Estimate, estimate
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
    - `estimate`: what `ct.uncertainty` goes on from, scaled.
    """

    law: Law
    parameters: Parameters
    noise: np.ndarray
    starts: np.ndarray
    fitted: tuple[np.ndarray, ...]
    window: int | None
    estimate: Estimate

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
    seed: int = 0,
) -> LawFit:
    r"""Estimate the parameters of a law from one or many noisy trials, and say how well they are known.

    $$y_{ik} = z_i(t_k; \theta)_{1..C} + \sigma \varepsilon_{ik}, \qquad \dot z_i = f(t, z_i; \theta)$$

    By maximum likelihood of $\theta$, of each trial's start and of the noise of each channel. The solution is followed
    over short windows first, each from a start of its own, and over longer and longer ones after that.

    Intervals are those of the normal approximation (Laplace) with Student's quantiles, the starts and the noise being
    estimated too; by the logarithm for parameters that are positive. Where residuals go on from row to row, as where
    the law does not hold exactly, they are widened for it (Newey and West 1987), and it is said. A direction along
    which the data tell nothing is named, and the parameters that it involves have no interval. Other intervals, by
    bootstraps and profiles: [`ctmodels.uncertainty.intervals`][], [`ctmodels.uncertainty.profile`][].

    **Arguments:**

    - `law`: a [`ctmodels.fields.Law`][], or what one is made of: `def law(t, y, *, damping=0.1, stiffness=9.0)`.
    - `data`: a [`ctmodels.Series`][] or a list of them, a [`ctmodels.data.Table`][] or [`ctmodels.data.Trials`][], in
      the law's units; values may be missing, and trials be of any lengths. The channels are the law's first states.
    - `inputs`: of a table: the columns that drive the system, in the order of the law's `u`; `controls`: of series: the
      inputs, a series for each.
    - `states`: of the law, where it has more than there are channels; default: as many as it takes to call it.
    - `log`: the noise is relative, and the data positive.
    - `level`: of the intervals; `seed`: of the first guesses beside the law's own.

    **Returns:** [`ctmodels.reconstruction.LawFit`][]. Raises `DataError` where the law cannot be called, or its
    solution is not finite.

    **Good values:** first guesses within a factor of three; 20 rows of each trial, several a period; `level=0.9`. Of
    five laws, intervals of 90 % held the truth in 0.88 to 0.94 of 40 data sets each ([Uncertainty](../uncertainty.md)).
    """
    law = law if isinstance(law, Law) else Law(law)
    trials = _measured(data, tuple(inputs), controls)
    scaling = Scaling.fit_all([(t.ts, t.ys) for t in trials], log=log)
    units = None if trials[0].us is None else Scaling.fit_all([(t.ts, t.us) for t in trials])
    problem = law_problem(law, scaling, units, states)
    found = estimate(problem, [_scaled(trial, scaling, units) for trial in trials], seed)
    return _fit(found, parameters_of(found, level), scaling)


def law_problem(law: Law, scaling: Scaling, inputs: Scaling | None, states: int | None = None) -> LawProblem:
    """A law of data in these units, which it is checked to be."""
    if not law.names:
        raise DataError(f"law {law.name}: has no parameters to estimate: {_LIKE}")
    channels = len(scaling.std)
    size = states_of(law, channels, 0 if inputs is None else len(inputs.std), states)
    return LawProblem.of(LawInUnits.of(law, with_hidden(scaling, size), inputs), channels, STEP)


_LIKE = "write them after a `*`, with first guesses, as in `def field(t, y, *, damping=0.1): ...`"


class Drawn(NamedTuple):
    """Intervals that were found by trying: `error`, `lower`, `upper` `(parameter,)`, in the user's units, and how."""

    error: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    note: str


def parameters_of(found: Estimate, level: float, drawn: Drawn | None = None) -> Parameters:
    """The table, with the intervals of the normal approximation, or those `drawn`."""
    problem, (_, cov, flat, dof, *_) = found.problem, found.laplace
    law, where = problem.field.law, problem.coordinates
    values = where.on_host(found.q)
    positive, unit = np.asarray(where.positive), np.asarray(where.unit, np.float64)
    own = np.where(positive, values, np.maximum(np.abs(values), unit))
    sentences, unknown = flat_directions(flat * own / np.maximum(np.abs(values), 1e-3 * own), law.names)
    error = np.sqrt(np.maximum(np.diagonal(cov), 0))
    size, lower, upper = (drawn or about(found, error, scipy.stats.t.ppf(0.5 + level / 2, dof) * error))[:3]
    known = [name not in unknown for name in law.names]
    bounds = lambda i: (float(size[i]), float(lower[i]), float(upper[i])) if known[i] else (None, None, None)
    table = tuple(Parameter(n, float(values[i]), *bounds(i), law.units[i]) for i, n in enumerate(law.names))
    both = np.outer(known, known) & (np.outer(error, error) > 0)
    correlation = np.where(both, cov / np.where(both, np.outer(error, error), 1), np.nan)
    return Parameters(table, level, correlation, sentences, _notes(found, drawn))


def about(found: Estimate, error: np.ndarray, half: np.ndarray, note: str = "") -> Drawn:
    """Intervals half as wide as `half` `(parameter,)` in the coordinates of the search: of the logarithm, where
    parameters are positive."""
    where = found.problem.coordinates
    values, positive = where.on_host(found.q), np.asarray(where.positive)
    unit = np.asarray(where.unit, np.float64)
    lower = np.where(positive, values * np.exp(-half), values - unit * half)
    upper = np.where(positive, values * np.exp(np.minimum(half, 300)), values + unit * half)
    return Drawn(np.where(positive, values, unit) * error, lower, upper, note)


def _notes(found: Estimate, drawn: Drawn | None) -> tuple[str, ...]:
    notes = []
    if found.misfit is not None:
        worse = f"{found.misfit:.2g} times the variance" if np.isfinite(found.misfit) else "no finite solution"
        notes.append(
            f"The law follows the data over {found.length} rows at a time, from a start of their own each, and not "
            f"over twice as many ({worse}): it does not hold exactly, or the motion forgets its start."
        )
    if found.laplace.robust:
        notes.append(
            f"Residuals go on from row to row (correlation {found.laplace.memory:.2f}): the law does not hold exactly, "
            "or the noise has a memory." + (" The intervals are widened for it." if drawn is None else "")
        )
    return (*notes, drawn.note) if drawn else tuple(notes)


def _fit(found: Estimate, parameters: Parameters, scaling: Scaling) -> LawFit:
    states = with_hidden(scaling, found.starts.shape[-1])
    ys = np.asarray(found.found.ys, np.float64)
    fitted = tuple(scaling.unscale(one[:n]) for one, n in zip(ys, found.rows, strict=True))
    law = found.problem.field.law.with_parameters(parameters.values)
    noise = found.laplace.deviation * np.asarray(scaling.std)
    return LawFit(law, parameters, noise, states.unscale(found.starts[:, 0]), fitted, found.length, found)


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


def check_level(level: Any) -> None:
    """Of intervals."""
    if not 0 < level < 1:
        raise DataError(f"{argument('level', level)}: a share between 0 and 1 is needed, as {argument('level', 0.9)}")


def _check(law: Any, data: Any, inputs: Any, controls: Any, level: Any, seed: Any, **_: Any) -> None:
    check_seed(seed)
    check_level(level)
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
