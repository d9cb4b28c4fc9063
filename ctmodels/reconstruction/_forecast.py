"""What comes out of a folder that a reconstruction wrote: a forecast beyond the data, a model to run elsewhere."""

import csv
import io
import json
from pathlib import Path

import jax.numpy as jnp
import numpy as np

from ctmodels._door import DataError
from ctmodels._export import export
from ctmodels._series import Series
from ctmodels.data import read
from ctmodels.reconstruction._candidates import Problem
from ctmodels.reconstruction._evaluation import Split, forecast_tail
from ctmodels.reconstruction._files import load_model


def forecast_csv(folder: str | Path, steps: int, *, model: str | None = None, inputs: str | Path | None = None) -> str:
    """`steps` samples ahead of the last datum, as CSV: time, then median, lower and upper (90 %) of each channel.

    **Arguments:** `model`: a candidate's name; default: the one that the report believes, else the best. `inputs`:
    a file with the future of the inputs, at the times to forecast.
    """
    if steps < 1:
        raise DataError(f"steps {steps}: at least one sample ahead is needed")
    folder = Path(folder)
    trained, problem, about = load_model(folder / f"model-{model or _best(folder)}.safetensors")
    if problem.inputs and inputs is None:
        raise DataError(f"{folder}: the model is driven by {', '.join(about['inputs'])}; give their future by --inputs")
    times, control = _ahead(problem, about, steps, inputs)
    spread = forecast_tail(trained, _split(problem, times, control))
    return _csv(about, times[1:], spread.band(problem.scaling))


def export_model(folder: str | Path, out: str | Path, *, model: str | None = None, times: int | None = None) -> None:
    """The ensemble of a folder that `reconstruct` wrote, as one file of StableHLO: see [`ctmodels.export`][]."""
    folder = Path(folder)
    trained, problem, about = load_model(folder / f"model-{model or _best(folder)}.safetensors")
    if problem.inputs and times is None:
        raise DataError(f"{folder}: the model is driven by {', '.join(about['inputs'])}; give the number of --times")
    export(out, trained.model, problem.scaling, inputs=problem.input_scaling, ensemble=True, times=times)


def _best(folder: Path) -> str:
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, json.JSONDecodeError) as error:
        raise DataError(
            f"{folder}: no readable metrics.json ({error}); name a folder that `reconstruct` wrote"
        ) from error
    return metrics["believe"] or metrics["best"]


def _ahead(problem: Problem, about: dict, steps: int, inputs):
    """Times from the last datum on, and the scaled inputs there."""
    if inputs is None:
        return about["last"] + about["spacing"] * np.arange(steps + 1), None
    table = read(inputs, about["time_name"], about["inputs"], constant_ok=about["inputs"])
    if len(table.time) < steps:
        raise DataError(f"{inputs}: {len(table.time)} rows of inputs for {steps} steps; give more rows or fewer steps")
    times = np.concatenate([[about["last"]], _in_units_of(about, table)[:steps]])
    if times[1] <= times[0]:
        raise DataError(f"{inputs}: begins at {times[1]:g}, not after the data's end at {times[0]:g}; cut it")
    # The inputs at the last datum are not in the file: the first ones ahead stand for them.
    values = np.concatenate([table.values[:1], table.values[:steps]])
    scaled = problem.input_scaling.scale(values)  # pyright: ignore
    control = Series.from_nan(problem.scaling.times(times), scaled, names=about["inputs"], constant=True)
    return times, control


def _in_units_of(about: dict, table) -> np.ndarray:
    """The table's times on the clock of the training data."""
    if bool(about["origin"]) != bool(table.origin):
        raise DataError(
            f"{table.source}: its times are {table.origin and 'dates' or 'plain numbers'} and those of the training "
            f"data are {about['origin'] and 'dates' or 'plain numbers'}; write them alike"
        )
    if not about["origin"]:
        return table.time
    unit = {"days": 86_400.0, "seconds": 1.0}
    shift = np.datetime64(table.origin.rstrip("Z"), "us") - np.datetime64(about["origin"].rstrip("Z"), "us")
    seconds = table.time * unit[table.time_unit] + shift / np.timedelta64(1, "s")
    return seconds / unit[about["time_unit"]]


def _split(problem: Problem, times: np.ndarray, control: Series | None) -> Split:
    """A series of nothing but wanted times, with training ending at the first."""
    nothing = jnp.zeros((len(times), problem.channels))
    ts = jnp.asarray(problem.scaling.times(times), nothing.dtype)
    series = Series(ts, nothing, jnp.zeros(nothing.shape, bool))
    return Split(series, control, 1, len(times) - 1, np.array([0]))


def _csv(about: dict, times: np.ndarray, band) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    parts = ("", "_lower", "_upper")
    writer.writerow([about["time_name"], *(name + part for name in about["names"] for part in parts)])
    for i, when in enumerate(_dates(about, times)):
        writer.writerow([when, *(f"{band[k][i, c]:.7g}" for c in range(len(about["names"])) for k in range(3))])
    return text.getvalue()


def _dates(about: dict, times: np.ndarray) -> list[str]:
    if not about["origin"]:
        return [f"{t:.10g}" for t in times]
    seconds = times * {"days": 86_400.0, "seconds": 1.0}[about["time_unit"]]
    origin = np.datetime64(about["origin"].rstrip("Z"), "us")
    stamps = origin + (1e6 * seconds).round().astype("timedelta64[us]")
    whole_days = len(about["origin"]) == 10 and np.all(seconds % 86_400 == 0)
    return [str(s.astype("datetime64[D]" if whole_days else "datetime64[s]")) for s in stamps]
