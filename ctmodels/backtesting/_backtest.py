"""Rolling origins: from each a forecast as if what follows were not known yet, held against what came."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ctmodels._command_line import one_line
from ctmodels._core._arguments import before
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.backtesting._history import Plan, plan
from ctmodels.backtesting._methods import BASELINES, Settings, ask, check_arguments, methods
from ctmodels.backtesting._result import Backtest
from ctmodels.backtesting._scores import Truth, mean
from ctmodels.data import Trials
from ctmodels.reconstruction._arguments import to_data
from ctmodels.reconstruction._candidate import Candidate
from ctmodels.reconstruction._recipe import Recipe


@before(check_arguments)
def backtest(
    data: Any,
    *,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    inputs: Sequence[str] = (),
    models: Sequence[str | Candidate | Callable] | Mapping[str, Any] = (),
    baselines: Sequence[str] = BASELINES,
    horizon: int | None = None,
    origins: int | None = None,
    first: int | None = None,
    refit: int = 0,
    level: float = 0.9,
    season: int | None = None,
    log: bool = False,
    embed: str | tuple[int, int] | None = None,
    recipe: Recipe | Callable[[int], Recipe] = Recipe.default,
    steps: int | None = None,
    members: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> Backtest:
    """Forecast from one row after another as if what follows were not known yet, and hold the forecasts against it.

    At each origin everything is found from the rows up to it: scaling, season, models, baselines and the width of their
    bands; values after it are not given to any method. What cannot be fitted at an origin is left out there, and
    `notes` of the result say why; the others go on.

    **Arguments:**

    - `data`, `time`, `columns`, `inputs`: as of [`ctmodels.reconstruct`][ctmodels.reconstruction.reconstruct], but of
      one series. Of inputs the future counts as known.
    - `models`: what is judged: names from [`ctmodels.reconstruction.CANDIDATES`][] or of baselines, candidates of your
      own, or functions `(history, n) -> forecast` of a [`ctmodels.backtesting.History`][]. A forecast is draws `(draw,
      n, channel)`, or `(median, {0.05: lower, 0.95: upper})`, each `(n, channel)`; without a spread `(median, {})`. A
      dict gives them names.
    - `baselines`: names of those to compare with: persistence, drift, mean, seasonal (and "last day", "last week",
      "last year" on a clock of dates), autoregression, ets (where statsmodels is installed), and any candidate. Of the
      default ones "linear" and "sparse-law" compile, which may take minutes; the others take seconds.
    - `horizon`: rows ahead; default: an eighth of the rows, ten at most. `origins`: how many, spread evenly, the last
      as late as can be; default: ten at most. `first`: rows before the first of them; default: half.
    - `refit`: candidates are fitted anew at every so many origins, each time for as long as a fit takes; 0: at the
      first origin alone, and from there on their states, and the widths of their bands, follow what comes. Baselines
      that are no candidates, and functions, are asked anew at each.
    - `level`: of the intervals, up to 0.99.
    - `season`, `log`, `embed`, `recipe`, `steps`, `members`, `seed`: as of `reconstruct`. With `log`, scores are of
      natural logarithms.
    - `progress`: whether to report each fit on standard error.

    **Returns:** [`ctmodels.backtesting.Backtest`][]. Raises `DataError` where no method gives a forecast.
    """
    found = _plan(data, time, columns, tuple(inputs), horizon, origins, first)
    _check_logarithms(found, log)
    wanted = methods(models, baselines)
    settings = Settings(season, log, embed, recipe, steps, members, seed)
    answers = ask(wanted, found, settings, refit, _say if progress else lambda text: None)
    notes = tuple(note for name, each in answers.items() for note in _notes(name, each))
    quantiles = {name: _stacked(each, found) for name, each in answers.items() if _arrays(each)}
    if not quantiles:
        raise DataError(f"no method gives a forecast: {' '.join(notes)}")
    bases = tuple(name for name in quantiles if name in baselines and wanted[name] == name)
    return Backtest(
        found.table, found.names, found.origins, quantiles, bases, _truth(found, log), float(level), log, notes
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr)


def _plan(data: Any, time: Any, columns: Any, inputs: tuple[str, ...], *how: int | None) -> Plan:
    table = to_data(data, time, None, columns, inputs)
    if isinstance(table, Trials):
        raise DataError(
            f"data: {len(table)} trials, and origins roll over one series: give one of them, or hold out whole trials "
            "by `reconstruct`"
        )
    if not [name for name in table.names if name not in inputs]:
        raise DataError(f"{argument('inputs', list(inputs))}: no column is left to be forecast; name fewer inputs")
    return plan(table, inputs, *how)


def _check_logarithms(found: Plan, log: bool) -> None:
    bad = np.argwhere(found.values() <= 0) if log else np.zeros((0, 2), int)
    if len(bad):
        row, channel = bad[0].tolist()
        at = f"{found.table.place(row)}, column {found.names[channel]!r}"
        raise DataError(f"{argument('log', True)}: {at} is not above zero, and has no logarithm; leave it out")


def _arrays(answers: dict[int, Any]) -> list[np.ndarray]:
    return [x for x in answers.values() if not isinstance(x, Exception)]


def _stacked(answers: dict[int, Any], found: Plan) -> np.ndarray:
    """`(origin, level, lead, channel)`, NaN where a method is left out; what is no number of a forecast is infinite."""
    nothing = np.full(_arrays(answers)[0].shape, np.nan)
    each = [answers[origin] for origin in found.origins.tolist()]
    return np.stack([nothing if isinstance(x, Exception) else np.where(np.isnan(x), np.inf, x) for x in each])


def _notes(name: str, answers: dict[int, Any]) -> list[str]:
    """Where a method is left out, and why: in one sentence, if at all."""
    failed = [error for error in answers.values() if isinstance(error, Exception)]
    if not failed:
        return []
    where = "" if len(failed) == len(answers) else f" at {len(failed)} of {len(answers)} origins"
    kind = "" if isinstance(failed[0], DataError) else f"{type(failed[0]).__name__}: "
    why = one_line(str(failed[0])).removeprefix(f"model {name}: ").rstrip(".")
    return [f"{name} is left out{where}: {kind}{why or 'no reason was given'}."]


def _truth(found: Plan, log: bool) -> Truth:
    values = np.log(found.values()) if log else found.values()
    known = [values[: origin + 1] for origin in found.origins.tolist()]
    deviation = np.sqrt(mean((known[0] - mean(known[0], (0,))) ** 2, (0,)))
    naive = np.stack([mean(np.abs(np.diff(ys, axis=0)), (0,)) for ys in known])
    observed = values[found.origins[:, None] + 1 + np.arange(found.horizon)]
    return Truth(observed, np.where(deviation > 0, deviation, 1.0), naive)
