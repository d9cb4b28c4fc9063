"""From a table of measurements to fitted dynamical systems, judged on the held-out tail."""

import contextlib
import dataclasses
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctmodels._core._arguments import before
from ctmodels._core._files import Lock
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.reconstruction import _evaluation as evaluation
from ctmodels.reconstruction._announcing import announcement
from ctmodels.reconstruction._arguments import check_arguments, choose_recipe, to_data
from ctmodels.reconstruction._attractor_scores import attractor_scores, exponent_scores, in_lyapunov_times
from ctmodels.reconstruction._baselines import baselines, calendar, one_step_variance
from ctmodels.reconstruction._calibration import calibrate
from ctmodels.reconstruction._candidate import Candidate
from ctmodels.reconstruction._candidates import CANDIDATES
from ctmodels.reconstruction._draws import Known
from ctmodels.reconstruction._files import check_folder
from ctmodels.reconstruction._fitting import train
from ctmodels.reconstruction._lead_times import by_lead_time
from ctmodels.reconstruction._preparing import Task, check_candidates, default_models, prepare
from ctmodels.reconstruction._provenance import Begun
from ctmodels.reconstruction._recipe import Recipe
from ctmodels.reconstruction._residuals import residuals
from ctmodels.reconstruction._result import Fitted, Reconstruction
from ctmodels.reconstruction._rows import Rows, check_length
from ctmodels.reconstruction._scores import Scores, forecast_errors, scores_of
from ctmodels.reconstruction._split import Split
from ctmodels.reconstruction._trained import Trained
from ctmodels.reconstruction._verdict import Predictions, evidence, judge
from ctmodels.reconstruction._writing import write

LYAPUNOV_STEPS = 10_000
EMBEDDED = ("kernel",)  # tried by default where states are made of delays


@before(check_arguments)
def reconstruct(
    data: Any,
    *,
    time: str | None = None,
    id: str | None = None,
    columns: Sequence[str] | None = None,
    inputs: Sequence[str] = (),
    models: Sequence[str | Candidate] | None = None,
    held_out: float | int = 0.2,
    horizon: int | None = None,
    season: int | None = None,
    log: bool = False,
    embed: str | tuple[int, int] | None = None,
    recipe: Recipe | Callable[[int], Recipe] = Recipe.default,
    steps: int | None = None,
    members: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: bool = True,
) -> Reconstruction:
    """Fit candidates to the first part of a series and judge them on the rest; or to some trials of one system, and
    judge them on the others, each from what a filter finds in its first fourth.

    **Arguments:**

    - `data`: a [`ctmodels.data.Table`][] or [`ctmodels.data.Trials`][] (from `ctmodels.data.read`), or a
      [`ctmodels.Series`][] in physical units; or the path of a file, or an object of pandas or xarray, which are read
      with nothing but `time`, `id` and `columns`.
    - `time`, `id`, `columns`: of these: the column of times (of a DataFrame perhaps its index), the one that says to
      which trial a row belongs (default: all are one series), and those to be read (default: all others).
    - `inputs`: names of the columns that drive the system; the others are its state.
    - `models`: names from [`ctmodels.reconstruction.CANDIDATES`][], or candidates of your own. Default: "neural"; and
      where there is but one channel and it turns back, "second-order" and "augmented" too, since one equation of first
      order only rises or only falls.
    - `held_out`: the tail, as a fraction of the samples or as their number; of several trials whole ones, one at least,
      as a fraction of the trials or as their number, drawn alike for every `seed`.
    - `horizon`: samples that a scored forecast reaches; default: an eighth of the tail (of a typical held-out trial, as
      far as that one goes), at least ten. What is too short for it is not scored.
    - `season`: of the seasonal baseline, in samples; default: the spectrum's peak.
    - `log`: work on logarithms (positive data of many magnitudes, such as populations).
    - `embed`: where the system is seen in part: states are made of delays, `(delay, dimension)` in rows, or "auto": the
      delay by mutual information and the dimension by false neighbours ([`ctmodels.embedding.embed`][]), as the
      report shows.
    - `recipe`: how to train, from the number of training samples; `steps`, `members`: of it, where only these are to
      be others.
    - `seed`: of the random numbers; `progress`: whether to report on standard error.
    - `out`: a folder for the models, `metrics.json`, `history.jsonl` and `report.html`; and for `training/`, the
      checkpoints, until all is done. Ctrl-C then ends the job, and `resume` goes on where it was. A folder that holds
      another reconstruction is refused; with `overwrite` that one is removed.

    **Returns:** [`ctmodels.reconstruction.Reconstruction`][]. Raises `DataError` naming place and remedy.
    """
    begun = Begun.now(reconstruct, locals())
    read = to_data(data, time, id, columns, inputs)
    chosen = [_candidate(m) for m in models or ()]
    rows = Rows.of(read, held_out)
    how = check_length(rows, choose_recipe(recipe, rows.n_train, steps, members))
    task = prepare(rows, tuple(inputs), horizon, season, log, embed)
    usual = default_models(task.split) if embed is None else EMBEDDED
    candidates = chosen or [CANDIDATES[name] for name in usual]
    check_candidates(candidates, task, rows)
    folder = None if out is None else check_folder(out, overwrite)
    fitted = _fit_all(candidates, task, how, seed, folder, resume=resume, progress=progress)
    result = _compare(task, fitted)
    return _written(dataclasses.replace(result, provenance=begun.done(task.table)), folder)


def _written(result: Reconstruction, folder: Path | None) -> Reconstruction:
    if folder is not None:
        write(result, folder)
        shutil.rmtree(folder / "training")
    return result


def _fit_all(
    candidates: Sequence[Candidate], task: Task, recipe: Recipe, seed: int, folder: Path | None, **run: bool
) -> dict[str, Fitted]:
    if run["progress"]:
        print(announcement(candidates, recipe, task), file=sys.stderr)
    with _checkpoints(folder) as place:
        return {c.name: _fit(c, task, recipe, seed, folder=place and place / c.name, **run) for c in candidates}


def _compare(task: Task, fitted: dict[str, Fitted]) -> Reconstruction:
    """The candidates with the baselines, and with one another."""
    table, inputs, problem, split, season, trials, embedding = task
    scaling = problem.scaling
    seasons = {"seasonal": problem.period, **calendar(table)}
    forecasts = baselines(split, {name: period / scaling.time_scale for name, period in seasons.items()})
    bases = {name: forecast_errors(b, split, scaling, season) for name, b in forecasts.items()}
    measure, weights = ("rmse_log", np.asarray(scaling.std)) if scaling.log else ("nrmse", np.ones(problem.channels))
    most = one_step_variance(split)
    models = {n: Predictions(f.predicted, f.scores, np.minimum(_noise(f.trained), most)) for n, f in fitted.items()}
    found = evidence(models, forecasts, split, weights)
    scores = {name: f.scores for name, f in fitted.items()}
    selected, verdict, best = judge(found, scores, bases, measure, table.time_unit)
    facts = table, inputs, problem, split.n_train, split.horizon, season, measure
    medians, limits = ({n: getattr(f, kind) for n, f in fitted.items()} for kind in ("predicted", "limits"))
    ahead = by_lead_time(split, medians, limits, forecasts, weights, scaling.time_scale)
    return Reconstruction(*facts, fitted, bases, selected, verdict, found, best, trials, embedding, ahead)


def _noise(trained: Trained) -> np.ndarray:
    return np.mean(np.asarray(trained.noise.observation, np.float64), axis=0)


@contextlib.contextmanager
def _checkpoints(folder: Path | None):
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


def _fit(candidate: Candidate, task: Task, recipe: Recipe, seed: int, **run) -> Fitted:
    start = time.monotonic()
    problem, split = task.problem, task.split
    trained = train(candidate, problem, split.train(), recipe, seed, **run)
    known = evaluation.known_states(trained, split)
    scaling, forecasts = problem.scaling, evaluation.forecast(trained, split, known)
    calibration = calibrate(trained, split, known, forecasts)
    forecasts = forecasts.widened(calibration.origins)
    scores = scores_of(forecasts, split, scaling, task.season, task.unit)
    tail = evaluation.forecast_tail(trained._replace(widths=calibration.tail), split, known)
    off = residuals(trained, split, known, scaling)
    generated, exponents = None, None
    if not problem.inputs:
        generated, exponents, own = _autonomous(trained, known, task)
        dt = float(np.median(split.whole.gaps())) * scaling.time_scale
        scores |= in_lyapunov_times(scores["valid_prediction_time"], own["lyapunov_max"], dt) | own
    latest = _latest(trained, known, split)._replace(widths=calibration.beyond)
    seconds = time.monotonic() - start
    band = tail.band(scaling)
    own = forecasts.median, np.stack(forecasts.limits()), off
    return Fitted(candidate, latest, scores, *band, generated, exponents, trained.history, seconds, *own)


def _latest(trained: Trained, known: Known, split: Split) -> Trained:
    """With the state after the last row, of several trials after the last one of each."""
    last = split.whole.bounds[1:] - 1
    ends = evaluation.known_at(known, last)
    return trained._replace(end=(known[0][:, -1], known[1][:, -1]), ends=ends if split.by_trial else None)


def _autonomous(trained: Trained, known: Known, task: Task) -> tuple[np.ndarray, np.ndarray, Scores]:
    """What only a field without inputs has: an attractor and Lyapunov exponents; and their scores. Of several trials,
    that of the longest, from where the forecast of a held-out one begins."""
    split, scaling = task.split, task.problem.scaling
    whole = split.whole
    alone = whole[whole.slices()[int(np.argmax(whole.lengths))]]
    ts, dt = np.asarray(alone.series.ts), float(np.median(whole.gaps()))
    if split.by_trial:
        begin = int(split.tail_origins()[0])
        trained = trained._replace(end=(known[0][:, begin], known[1][:, begin]))
    exponents = evaluation.lyapunov(trained, dt, LYAPUNOV_STEPS) / scaling.time_scale
    # As long as the record, gaps included: where its rows are is where the free run is looked at.
    generated = evaluation.generate(trained, dt, min(20_000, max(500, round((ts[-1] - ts[0]) / dt) + 1)))
    free_run = scaling.unscale(np.asarray(generated[0], np.float64))
    scores = attractor_scores(alone.series.to_nan(), generated, ts)
    return free_run, exponents, scores | exponent_scores(exponents, LYAPUNOV_STEPS, task.unit)
