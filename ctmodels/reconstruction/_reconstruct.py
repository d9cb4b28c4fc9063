"""From a table of measurements to fitted dynamical systems, judged on the held-out tail."""

import contextlib
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctmodels._arguments import before
from ctmodels._files import Lock
from ctmodels._validation import DataError
from ctmodels._words import argument
from ctmodels.data import Table
from ctmodels.reconstruction import _evaluation as evaluation
from ctmodels.reconstruction._announcing import announced
from ctmodels.reconstruction._arguments import check_arguments, recipe_of, taken
from ctmodels.reconstruction._attractor_scores import attractor_scores, exponent_scores, in_lyapunov_times
from ctmodels.reconstruction._baselines import baselines, calendar, one_step
from ctmodels.reconstruction._calibration import calibrated
from ctmodels.reconstruction._candidates import CANDIDATES, Candidate, Problem
from ctmodels.reconstruction._files import check_folder
from ctmodels.reconstruction._fitting import Recipe, Trained, train
from ctmodels.reconstruction._preparing import check_length, default_models, prepare, training_samples
from ctmodels.reconstruction._result import Fitted, Reconstruction
from ctmodels.reconstruction._scores import forecast_errors, scores_of
from ctmodels.reconstruction._split import Split, Spread
from ctmodels.reconstruction._text import TimeUnit
from ctmodels.reconstruction._verdict import Judged, evidence, judge
from ctmodels.reconstruction._writing import write

LYAPUNOV_STEPS = 10_000


@before(check_arguments)
def reconstruct(
    data: Any,
    *,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    inputs: Sequence[str] = (),
    models: Sequence[str | Candidate] | None = None,
    held_out: float | int = 0.2,
    horizon: int | None = None,
    season: int | None = None,
    log: bool = False,
    recipe: Recipe | Callable[[int], Recipe] = Recipe.default,
    steps: int | None = None,
    members: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Reconstruction:
    """Fit candidates to the first part of a series and judge them on the rest.

    **Arguments:**

    - `data`: a [`ctmodels.data.Table`][] (from `ctmodels.data.read`), or a [`ctmodels.Series`][] in physical units; or
      the path of a file, or an object of pandas or xarray, which are read with nothing but `time` and `columns` said.
    - `time`, `columns`: of a file or an object: the column of times, and those to be read (default: all others). A
      DataFrame's times may be its index.
    - `inputs`: names of the columns that drive the system; the others are its state.
    - `models`: names from [`ctmodels.reconstruction.CANDIDATES`][], or candidates of your own. Default: "neural"; and
      where there is but one channel and it turns back, "second-order" and "augmented" too, since one equation of first
      order only rises or only falls.
    - `held_out`: the tail, as a fraction of the samples or as their number.
    - `horizon`: samples that a scored forecast reaches; default: an eighth of the tail, at least ten.
    - `season`: of the seasonal baseline, in samples; default: the spectrum's peak.
    - `log`: work on logarithms (positive data of many magnitudes, such as populations).
    - `recipe`: how to train, from the number of training samples; `steps`, `members`: of it, where only these are to
      be others.
    - `out`: a folder for the models, `metrics.json`, `history.jsonl` and `report.html`; and for `training/`, the
      checkpoints, until all is done. Ctrl-C then ends the job, and `resume` goes on where it was. A folder that holds
      another reconstruction is refused; with `overwrite` that one is removed.

    **Returns:** [`ctmodels.reconstruction.Reconstruction`][]. Raises `DataError` naming place and remedy.
    """
    table = taken(data, time, columns, inputs)
    chosen = [_candidate(m) for m in models or ()]
    n_train = training_samples(len(table.time), held_out)
    how = recipe_of(recipe, n_train, steps, members)
    check_length(table, n_train, how)
    problem, split, season = prepare(table, tuple(inputs), n_train, horizon, season, log)
    candidates = chosen or [CANDIDATES[name] for name in default_models(split)]
    folder = None if out is None else check_folder(out, overwrite)
    if progress:
        names, judged_by = [c.name for c in candidates], len(table.time) - n_train
        print(announced(names, how, n_train, judged_by, problem.substeps), file=sys.stderr)
    fitted = {}
    with _training(folder) as place:
        for c in candidates:
            run = {"folder": place and place / c.name, "resume": resume, "progress": progress}
            fitted[c.name] = _fit(c, problem, split, season, TimeUnit.of(table), how, seed, **run)
    result = _judged(table, tuple(inputs), problem, split, season, fitted)
    if folder is not None:
        write(result, folder)
        shutil.rmtree(folder / "training")
    return result


def _judged(table: Table, inputs, problem: Problem, split: Split, season: int, fitted: dict[str, Fitted]):
    scaling = problem.scaling
    seasons = {"seasonal": problem.period, **calendar(table)}
    tables = baselines(split, {name: period / scaling.time_scale for name, period in seasons.items()})
    bases = {name: forecast_errors(b, split, scaling, season) for name, b in tables.items()}
    measure, weights = ("rmse_log", np.asarray(scaling.std)) if scaling.log else ("nrmse", np.ones(problem.channels))
    most = one_step(split)
    models = {n: Judged(f.predicted, f.scores, np.minimum(_noise(f.trained), most)) for n, f in fitted.items()}
    found = evidence(models, tables, split, weights)
    scores = {name: f.scores for name, f in fitted.items()}
    selected, verdict, best = judge(found, scores, bases, measure, table.time_unit)
    facts = table, inputs, problem, split.n_train, split.horizon, season, measure
    return Reconstruction(*facts, fitted, bases, selected, verdict, found, best)


def _noise(trained: Trained) -> np.ndarray:
    return np.mean(np.asarray(trained.noise.observation, np.float64), axis=0)


@contextlib.contextmanager
def _training(folder: Path | None):
    """Where the checkpoints of a job go, held by one process."""
    if folder is None:
        yield None
        return
    place = folder / "training"
    place.mkdir(exist_ok=True)
    with Lock(place):
        yield place


def _candidate(model: str | Candidate) -> Candidate:
    if isinstance(model, Candidate):
        return model
    if model not in CANDIDATES:
        raise DataError(f"{argument('models', [model])}: not known; there are {', '.join(CANDIDATES)}")
    return CANDIDATES[model]


def _fit(
    candidate: Candidate, problem: Problem, split: Split, season: int, unit: TimeUnit, recipe: Recipe, seed: int, **run
) -> Fitted:
    begun = time.monotonic()
    trained = train(candidate, problem, *split.train(), recipe, seed, **run)
    states, covs = evaluation.follow(trained, split)
    scaling, forecasts = problem.scaling, evaluation.forecast(trained, split, states)
    widened = calibrated(trained, split, forecasts)
    forecasts = Spread(forecasts.median, forecasts.std * widened.origins)
    scores = scores_of(forecasts, split, scaling, season, unit)
    tail = evaluation.forecast_tail(trained._replace(widths=widened.tail), split)
    generated, exponents = None, None
    if not problem.inputs:
        generated, exponents, own = _autonomous(trained, problem, split, unit)
        scores |= in_lyapunov_times(scores["valid_prediction_time"], own["lyapunov_max"]) | own
    latest = trained._replace(end=(states[:, -1], covs[:, -1]), widths=widened.beyond)
    seconds = time.monotonic() - begun
    band = tail.band(scaling)
    return Fitted(candidate, latest, scores, *band, generated, exponents, trained.history, seconds, forecasts.median)


def _autonomous(trained: Trained, problem: Problem, split: Split, unit: TimeUnit):
    """What only a field without inputs has: an attractor and Lyapunov exponents; and their scores."""
    ts = np.asarray(split.series.ts)
    dt, scaling = float(np.median(np.diff(ts))), problem.scaling
    exponents = evaluation.lyapunov(trained, dt, LYAPUNOV_STEPS) / scaling.time_scale
    # As long as the record, gaps included: where its rows are is where the free run is looked at.
    generated = evaluation.generate(trained, dt, min(20_000, max(500, round((ts[-1] - ts[0]) / dt) + 1)))
    free_run = scaling.unscale(np.asarray(generated[0], np.float64))
    scores = attractor_scores(split.series.to_nan(), generated, ts)
    return free_run, exponents, scores | exponent_scores(exponents, LYAPUNOV_STEPS, unit)
