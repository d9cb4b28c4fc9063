"""What a model file says of the data that it was trained on, so that a forecast can go on from them."""

import hashlib
import json
from pathlib import Path

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data import Table, Trials
from ctmodels.data._cells import listed
from ctmodels.data._timeline import Timeline


def about(table: Table, inputs: tuple[str, ...], run: str, trials: Trials | None = None) -> dict:
    """JSON-able. `run`: of which run it is; the metrics of the same run say the same. Of several `trials` each goes on
    by itself."""
    names = [n for n in table.names if n not in inputs]
    first = table if trials is None else trials.tables[0]
    return {
        "time_name": table.time_name,
        "time_unit": table.time_unit,
        "origin": first.origin,
        "names": names,
        "inputs": list(inputs),
        **(_end(table, inputs) if trials is None else {"trials": _ends(trials, inputs)}),
        "reading": dict(table.reading),
        "run": run,
    }


def _ends(trials: Trials, inputs: tuple[str, ...]) -> list[dict]:
    pairs = zip(trials.ids, trials.tables, strict=True)
    return [{"id": name, **_end(table, inputs)} for name, table in pairs]


def _end(table: Table, inputs: tuple[str, ...]) -> dict:
    """Where it ends: the inputs there, and the clock."""
    known = [_last_known(table.values[:, table.names.index(n)]) for n in inputs]
    return {"known": known, "clock": Timeline.of(table).to_dict()}


def of_trial(about: dict, id: str | None, folder: Path | str) -> dict:
    """The same of the trial that goes on."""
    trials = {trial["id"]: trial for trial in about.get("trials", [])}
    if id is None and not trials:
        return about
    if id is None:
        raise DataError(
            f"{folder}: is of {len(trials)} trials, {listed(trials, 8)}: say which one is to go on: "
            f"{argument('id', ...)}"
        )
    if not trials:
        raise DataError(f"{argument('id', id)}: {folder} is of one series, which goes on by itself; leave it out")
    if id not in trials:
        raise DataError(
            f"{argument('id', id)}: no such trial in {folder}: there are {listed(trials)}; name one of them"
        )
    return {**about, **trials[id]}


def run_of(metrics: dict) -> str:
    """A name for a run, from what it found."""
    return hashlib.sha256(json.dumps(metrics, sort_keys=True).encode()).hexdigest()[:16]


def _last_known(values: np.ndarray) -> float:
    return float(values[~np.isnan(values)][-1])
