"""From a table of measurements to fitted dynamical systems, judged on the held-out tail."""

import contextlib
import dataclasses
import json
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctmodels._arguments import before
from ctmodels._disk import Lock, write_whole
from ctmodels._door import DataError
from ctmodels._words import argument
from ctmodels.data import Table
from ctmodels.metrics import kaplan_yorke
from ctmodels.reconstruction import _evaluation as evaluation
from ctmodels.reconstruction._about import about, run_of
from ctmodels.reconstruction._announcing import announced
from ctmodels.reconstruction._arguments import check_arguments, recipe_of, taken
from ctmodels.reconstruction._candidates import CANDIDATES, Candidate, Problem
from ctmodels.reconstruction._evaluation import Scores, Split
from ctmodels.reconstruction._files import check_folder, save_model
from ctmodels.reconstruction._fitting import Recipe, Trained, train
from ctmodels.reconstruction._preparing import check_length, prepare, training_samples

LYAPUNOV_STEPS = 10_000


@dataclasses.dataclass(frozen=True)
class Fitted:
    """One candidate's result. Times and values are physical.

    `trained`: the ensemble, its end state that after the last datum; `scores`: on the held-out tail; `median`, `lower`,
    `upper` `(time, channel)`: forecast from the end of training over the whole tail, with 90 % limits; `generated`
    `(time, channel)`: a free run of the first member, or None;
    `exponents` `(member, state)`: Lyapunov exponents per unit of time, or None; `history`: of the training.
    """

    candidate: Candidate
    trained: Trained
    scores: Scores
    median: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    generated: np.ndarray | None
    exponents: np.ndarray | None
    history: list[dict]
    seconds: float

    def __repr__(self) -> str:
        measured = ", ".join(f"{name} {value:.3g}" for name, value in self.scores.items() if isinstance(value, float))
        return f"Fitted({self.candidate.name}: {measured})"


@dataclasses.dataclass(frozen=True)
class Reconstruction:
    """The data, the candidates fitted to them, the baselines, and which to believe.

    `table`: what was read; `n_train`: samples trained on; `horizon`: samples each scored forecast reaches;
    `measure`: the score that ranks; `believe`: the best candidate's name, or None where a baseline does as well.
    """

    table: Table
    inputs: tuple[str, ...]
    problem: Problem
    n_train: int
    horizon: int
    season: int
    measure: str
    fitted: dict[str, Fitted]
    baselines: dict[str, Scores]
    believe: str | None
    verdict: str

    def __repr__(self) -> str:
        """The verdict, not all that it was reached by."""
        return f"Reconstruction({self.table.source}: {', '.join(self.fitted)}; {self.verdict})"

    def metrics(self) -> dict:
        """All numbers, JSON-able."""
        return {
            "source": self.table.source,
            "channels": [n for n in self.table.names if n not in self.inputs],
            "units": dict(zip(self.table.names, self.table.units, strict=True)),
            "time_unit": self.table.time_unit,
            "n_train": self.n_train,
            "n_test": len(self.table.time) - self.n_train,
            "horizon": self.horizon,
            "season": self.season,
            "measure": self.measure,
            "believe": self.believe,
            "verdict": self.verdict,
            "notes": list(self.table.notes),
            "candidates": {name: {**f.scores, "seconds": f.seconds} for name, f in self.fitted.items()},
            "baselines": self.baselines,
        }


@before(check_arguments)
def reconstruct(
    data: Any,
    *,
    time: str | None = None,
    columns: Sequence[str] | None = None,
    inputs: Sequence[str] = (),
    models: Sequence[str | Candidate] = ("neural",),
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
    progress: bool = True,
) -> Reconstruction:
    """Fit candidates to the first part of a series and judge them on the rest.

    **Arguments:**

    - `data`: a [`ctmodels.data.Table`][] (from `ctmodels.data.read`), or a [`ctmodels.Series`][] in physical units; or
      the path of a file, or an object of pandas or xarray, which are read with nothing but `time` and `columns` said.
    - `time`, `columns`: of a file or an object: the column of times, and those to be read (default: all others). A
      DataFrame's times may be its index.
    - `inputs`: names of the columns that drive the system; the others are its state.
    - `models`: names from [`ctmodels.reconstruction.CANDIDATES`][], or candidates of your own.
    - `held_out`: the tail, as a fraction of the samples or as their number.
    - `horizon`: samples that a scored forecast reaches; default: an eighth of the tail, at least ten.
    - `season`: of the seasonal baseline, in samples; default: the spectrum's peak.
    - `log`: work on logarithms (positive data of many magnitudes, such as populations).
    - `recipe`: how to train, from the number of training samples; `steps`, `members`: of it, where only these are to
      be others.
    - `out`: a folder for the models, `metrics.json`, `history.jsonl` and `report.html`; and for `training/`, the
      checkpoints, until all is done. Ctrl-C then ends the job, and `resume` goes on where it was.

    **Returns:** [`ctmodels.reconstruction.Reconstruction`][]. Raises `DataError` naming place and remedy.
    """
    table = taken(data, time, columns, inputs)
    candidates = [_candidate(m) for m in models]
    n_train = training_samples(len(table.time), held_out)
    how = recipe_of(recipe, n_train, steps, members)
    check_length(table, n_train, how)
    problem, split, season = prepare(table, tuple(inputs), n_train, horizon, season, log)
    folder = None if out is None else check_folder(out)
    if progress:
        names, judged_by = [c.name for c in candidates], len(table.time) - n_train
        print(announced(names, how, n_train, judged_by, problem.substeps), file=sys.stderr)
    fitted = {}
    with _training(folder) as place:
        for c in candidates:
            run = {"folder": place and place / c.name, "resume": resume, "progress": progress}
            fitted[c.name] = _fit(c, problem, split, season, how, seed, **run)
    tables = evaluation.baselines(split, season)
    bases = {name: evaluation.score(b, split, problem.scaling, season) for name, b in tables.items()}
    measure = "rmse_log" if log else "nrmse"
    believe, verdict = judge(
        {n: f.scores[measure] for n, f in fitted.items()}, {n: s[measure] for n, s in bases.items()}, measure
    )
    result = Reconstruction(
        table, tuple(inputs), problem, n_train, split.horizon, season, measure, fitted, bases, believe, verdict
    )
    if folder is not None:
        write(result, folder)
        shutil.rmtree(folder / "training")
    return result


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


def judge(models: dict[str, float], bases: dict[str, float], measure: str) -> tuple[str | None, str]:
    """Which model to believe, and the sentence that says so."""
    best, base = (min(s, key=lambda n: (np.isnan(s[n]), s[n])) for s in (models, bases))
    said = f"{measure} {models[best]:.3g} against {bases[base]:.3g} of the best baseline ({base})"
    if not models[best] < bases[base]:
        return None, f"Believe none of the models: the best, {best}, reaches {said}."
    others = [f"{n} ({s:.3g})" for n, s in models.items() if n != best and s < bases[base]]
    worse = [f"{n} ({s:.3g})" for n, s in models.items() if not s < bases[base]]
    sentences = [f"Believe {best}: {said}."]
    if others:
        sentences.append(f"Also better than every baseline: {', '.join(others)}.")
    if worse:
        sentences.append(f"Do not believe {', '.join(worse)}: a baseline does as well.")
    return best, " ".join(sentences)


def write(result: Reconstruction, folder: Path) -> None:
    """Models, `metrics.json`, `history.jsonl` and `report.html`."""
    from ctmodels.report import render

    metrics: dict = _finite(result.metrics())  # pyright: ignore
    run = run_of(metrics)
    said = about(result.table, result.inputs, run)
    for name, fitted in result.fitted.items():
        save_model(folder / f"model-{name}.safetensors", fitted.candidate, result.problem, fitted.trained, said)
    lines = [json.dumps({"model": name, **line}) for name, f in result.fitted.items() for line in f.history]
    write_whole(folder / "history.jsonl", ("\n".join(lines) + "\n").encode())
    write_whole(folder / "metrics.json", json.dumps({"run": run, **metrics}, indent=1).encode())
    write_whole(folder / "report.html", render(result).encode())


def _finite(x):
    """JSON knows no NaN or infinity: null, so that any reader can read the file."""
    if isinstance(x, dict):
        return {k: _finite(v) for k, v in x.items()}
    if isinstance(x, list):
        return [_finite(v) for v in x]
    return None if isinstance(x, float) and not np.isfinite(x) else x


def _candidate(model: str | Candidate) -> Candidate:
    if isinstance(model, Candidate):
        return model
    if model not in CANDIDATES:
        raise DataError(f"{argument('models', [model])}: not known; there are {', '.join(CANDIDATES)}")
    return CANDIDATES[model]


def _fit(candidate, problem: Problem, split: Split, season: int, recipe: Recipe, seed: int, **run) -> Fitted:
    begun = time.monotonic()
    trained = train(candidate, problem, *split.train(), recipe, seed, **run)
    states, covs = evaluation.follow(trained, split)
    scaling, forecasts = problem.scaling, evaluation.forecast(trained, split, states)
    scores = evaluation.score(forecasts.median, split, scaling, season)
    valid = evaluation.valid_times(forecasts.median, split, scaling.time_scale)
    scores["valid_prediction_time"] = float(np.median(valid))
    tail = evaluation.forecast_tail(trained, split)
    generated, exponents = None, None
    if not problem.inputs:
        generated, exponents = _autonomous(trained, problem, split, scores)
    latest = trained._replace(end=(states[:, -1], covs[:, -1]))
    seconds = time.monotonic() - begun
    return Fitted(candidate, latest, scores, *tail.band(scaling), generated, exponents, trained.history, seconds)


def _autonomous(trained: Trained, problem: Problem, split: Split, scores: Scores):
    """What only a field without inputs has: an attractor and Lyapunov exponents. Adds their scores."""
    ts = np.asarray(split.series.ts)
    dt, scaling = float(np.median(np.diff(ts))), problem.scaling
    exponents = evaluation.lyapunov(trained, dt, LYAPUNOV_STEPS) / scaling.time_scale
    middle = np.median(exponents, axis=0)
    scores["lyapunov_max"] = float(middle[0])
    scores["kaplan_yorke"] = float(kaplan_yorke(middle))
    if middle[0] > 0:
        scores["valid_prediction_time_lyapunov"] = scores["valid_prediction_time"] * scores["lyapunov_max"]
    # As long as the record, gaps included: where its rows are is where the free run is looked at.
    generated = evaluation.generate(trained, dt, min(20_000, max(500, round((ts[-1] - ts[0]) / dt) + 1)))
    if len(ts) >= evaluation.ATTRACTOR:
        scores.update(evaluation.attractor_scores(split.series.to_nan(), generated, ts))
    return scaling.unscale(np.asarray(generated[0], np.float64)), exponents
