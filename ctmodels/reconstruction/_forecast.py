"""What comes out of a folder that a reconstruction wrote: a forecast beyond the data, a model to run elsewhere."""

import csv
import dataclasses
import io
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

from ctmodels._core._arguments import check_whole
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels._export import export
from ctmodels.data import Table
from ctmodels.data._calendar import dates_of
from ctmodels.data._read import read_alike
from ctmodels.data._timeline import Timeline
from ctmodels.reconstruction._about import of_trial
from ctmodels.reconstruction._arguments import model_file
from ctmodels.reconstruction._candidate import Candidate, Problem
from ctmodels.reconstruction._evaluation import forecast_tail
from ctmodels.reconstruction._files import load_model
from ctmodels.reconstruction._split import Split
from ctmodels.reconstruction._trained import Trained


def forecast_csv(
    folder: str | Path,
    steps: int,
    *,
    id: str | None = None,
    model: str | Candidate | None = None,
    inputs: str | Path | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> str:
    """`steps` samples ahead of the last datum, as CSV: time, then median, lower and upper (90 %) of each channel.

    Times go on from the last datum by the typical spacing, written as those of the data are; months and years by the
    calendar.

    **Arguments:** `id`: of several trials the one that goes on; `model`: a candidate's name, or a candidate of your
    own; default: the one that is selected, else the best. `inputs`: a file with the future of the inputs, at the times
    to forecast, which is read as the training data were; at the last datum the inputs have their last known values.
    `note`: called with each note of the reader of that file.

    **Returns:** the text. Raises `DataError` if the forecast is not finite, or if the files are of several runs.
    """
    check_whole("steps", steps, 1)
    folder = Path(folder)
    return _csv(ahead(folder, *_load(folder, model), steps, id, inputs, note))


def forecast_frame(
    source: str,
    name: str,
    trained: Trained,
    problem: Problem,
    about: dict,
    steps: int,
    id: str | None,
    inputs: str | Path | Table | None,
) -> Any:
    """The same of what was just trained, as a `DataFrame` of pandas, with dates as its index where the data have
    some."""
    check_whole("steps", steps, 1)
    try:
        import pandas
    except ImportError:
        raise DataError(
            "forecast: a DataFrame is made by pandas, which is not installed: pip install 'ctmodels[data]'; "
            "reconstruction.forecast_csv does without"
        ) from None
    found = ahead(source, name, trained, problem, about, steps, id, inputs)
    rows = np.stack(found.band, axis=2).reshape(len(found.written), -1)
    dates = dates_of(found.times, about["time_unit"], about["origin"])
    if dates is None:
        index = pandas.Index(found.written if about["origin"] else found.times, name=about["time_name"])
    else:
        zone = "UTC" if Timeline.from_dict(found.about["clock"]).form.zoned else None
        index = pandas.DatetimeIndex(dates, name=about["time_name"]).tz_localize(zone)
    return pandas.DataFrame(rows, index=index, columns=_heads(about))


class Ahead(NamedTuple):
    """A forecast beyond the data. `times` `(step,)`, in the unit of the data; as `written`; `band` of three arrays
    `(step, channel)`: median, lower, upper; `about`: what is known of what goes on."""

    times: np.ndarray
    written: list[str]
    band: tuple[np.ndarray, np.ndarray, np.ndarray]
    about: dict


def ahead(
    source: str | Path,
    name: str,
    trained: Trained,
    problem: Problem,
    about: dict,
    steps: int,
    id: str | None = None,
    inputs: str | Path | Table | None = None,
    note: Callable[[str], None] = lambda text: None,
) -> Ahead:
    """From the last datum on. `source`: what messages call it."""
    trained, problem, about = _of_trial(trained, problem, about, id, source)
    if problem.inputs and inputs is None:
        raise DataError(f"{_names_inputs(source, about)}; give their future: {argument('inputs', ...)}")
    if inputs is not None and not problem.inputs:
        raise DataError(f"{argument('inputs', inputs)}: the model has no inputs, and would not see them; leave it out")
    times, written, control = _future(problem, about, steps, inputs, note)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # what is not finite is refused below, with its place
        band = forecast_tail(trained, _split(problem, times, control)).band(problem.scaling)
    _check_finite(band, written, name, about)
    return Ahead(times[1:], written, band, about)


def export_model(
    folder: str | Path, out: str | Path, *, model: str | Candidate | None = None, times: int | None = None
) -> None:
    """The ensemble of a folder that `reconstruct` wrote, as one file of StableHLO: see [`ctmodels.export`][]."""
    if times is not None:
        check_whole("times", times, 2)
    folder = Path(folder)
    _, trained, problem, about = _load(folder, model)
    if problem.inputs and times is None:
        raise DataError(f"{_names_inputs(folder, about)}; give the number of times: {argument('times', ...)}")
    export(out, trained.model, problem.scaling, inputs=problem.input_scaling, ensemble=True, times=times)


def _names_inputs(folder: str | Path, about: dict) -> str:
    return f"{folder}: the model is driven by {', '.join(about['inputs'])}"


def _load(folder: Path, model: str | Candidate | None) -> tuple[str, Trained, Problem, dict]:
    """A model of a folder, its name, and what its file says: of the run that the folder's metrics are of."""
    metrics = _metrics(folder) if model is None or (folder / "metrics.json").exists() else None
    name = model.name if isinstance(model, Candidate) else model or _best(metrics or {})
    path = model_file(folder, name)
    trained, problem, about = load_model(path, model if isinstance(model, Candidate) else None)
    if "clock" not in about and "trials" not in about:
        raise DataError(f"{path}: of an older version, which kept too little to go on from; run `reconstruct` again")
    if metrics is not None and metrics.get("run") != about.get("run"):
        raise DataError(
            f"{path}: is of another run than {folder / 'metrics.json'}, and runs are not mixed; name a model of that "
            f"run ({', '.join(metrics['candidates'])}), or run `reconstruct` again"
        )
    return name, trained, problem, about


def _of_trial(
    trained: Trained, problem: Problem, about: dict, id: str | None, folder: str | Path
) -> tuple[Trained, Problem, dict]:
    """Of a folder of trials, what stands at the end of this one, whose clock is then that of the model."""
    about = of_trial(about, id, folder)
    if trained.ends is None:
        return trained, problem, about
    at = [trial["id"] for trial in about["trials"]].index(id)
    scaling = dataclasses.replace(problem.scaling, origin=Timeline.from_dict(about["clock"]).time)
    end = trained.ends[0][:, at], trained.ends[1][:, at]
    return trained._replace(end=end), dataclasses.replace(problem, scaling=scaling), about


def _metrics(folder: Path) -> dict:
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(
            f"{folder}: no readable metrics.json ({error}); name a folder that `reconstruct` wrote"
        ) from error
    if "selected" not in metrics:
        raise DataError(f"{folder}: its metrics.json is of an older version; run `reconstruct` again")
    return metrics


def _best(metrics: dict) -> str:
    return metrics["selected"] or metrics["best"]


def _future(problem: Problem, about: dict, steps: int, inputs, note) -> tuple[np.ndarray, list[str], Series | None]:
    """Times from the last datum on, how those after it are written, and the scaled inputs there."""
    clock = Timeline.from_dict(about["clock"])
    if inputs is None:
        return *clock.ahead(steps), None
    if isinstance(inputs, Table):
        table = inputs.select(about["inputs"])
    else:
        table = read_alike(inputs, about["time_name"], about["inputs"], about["reading"])
    for text in table.notes:
        note(text)
    if len(table.time) < steps:
        raise DataError(
            f"{table.source}: {len(table.time)} rows of inputs for {steps} steps; give more rows or fewer steps"
        )
    times, written = clock.meet(table)
    if times[0] <= clock.time:
        last = clock.written_last()
        raise DataError(f"{table.source}: begins at {written[0]}, not after the data's end at {last}; cut it")
    values = np.concatenate([[about["known"]], table.values[:steps]])
    scaled = problem.input_scaling.scale(values)  # pyright: ignore
    times = np.concatenate([[clock.time], times[:steps]])
    control = Series.from_nan(problem.scaling.times(times), scaled, names=about["inputs"], constant=True)
    return times, written[:steps], control


def _split(problem: Problem, times: np.ndarray, control: Series | None) -> Split:
    """A series of nothing but wanted times, with training ending at the first."""
    nothing = jnp.zeros((len(times), problem.channels))
    ts = jnp.asarray(problem.scaling.times(times), nothing.dtype)
    series = Series(ts, nothing, jnp.zeros(nothing.shape, bool))
    return Split(series, control, 1, len(times) - 1, np.array([0]))


def _check_finite(band, written: list[str], name: str, about: dict) -> None:
    """Refuse a forecast that is no number anywhere, before anything is written over."""
    bad = ~np.isfinite(np.stack(band)).all(axis=0)
    if not bad.any():
        return
    i, c = (int(k) for k in np.argwhere(bad)[0])
    remedy = f"ask for no more than {i} steps" if i else "its law may be too fast for the spacing of the data"
    raise DataError(
        f"model {name}: the forecast of {about['names'][c]!r} is not finite at {about['time_name']} {written[i]} (step "
        f"{i + 1} of {len(written)}): its solution blows up there; {remedy}, or use another model, "
        f"if there is one: {argument('model', ...)}"
    )


def _heads(about: dict) -> list[str]:
    return [name + part for name in about["names"] for part in ("", "_lower", "_upper")]


def _csv(found: Ahead) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([found.about["time_name"], *_heads(found.about)])
    for when, row in zip(found.written, np.stack(found.band, axis=2), strict=True):
        writer.writerow([when, *(f"{value:.7g}" for value in row.ravel())])
    return text.getvalue()
