"""The arguments of `reconstruct`: checked, and made into a table and a recipe."""

import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ctmodels._core._arguments import check_seed, check_whole
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of
from ctmodels.data import Table, Trials, from_pandas, from_xarray, read
from ctmodels.data._table import repeated
from ctmodels.reconstruction._recipe import Recipe


def check_arguments(
    inputs: Any,
    models: Any,
    held_out: Any,
    horizon: Any,
    season: Any,
    seed: Any,
    recipe: Any,
    steps: Any,
    members: Any,
    **_: Any,
) -> None:
    """Those of `reconstruct`, but for the data."""
    for name, value in (("inputs", inputs), ("models", models)):
        if isinstance(value, str):
            raise DataError(f"{argument(name, value)}: a list of names is wanted: {argument(name, [value])}")
    names = [getattr(model, "name", model) for model in models or ()]
    if twice := repeated(names):
        raise DataError(f"{argument('models')}: {twice[0]} is there twice; give one of them another name")
    for name, value in (("horizon", horizon), ("season", season), ("steps", steps), ("members", members)):
        if value is not None:
            check_whole(name, value, 1)
    check_seed(seed)
    _check_held_out(held_out)
    if not callable(recipe) and not isinstance(recipe, Recipe):
        raise TypeError(f"recipe: {kind_of(recipe)}, where a Recipe, or a function samples -> Recipe, is wanted")


def _check_held_out(held_out: Any) -> None:
    if isinstance(held_out, bool | np.bool_) or not isinstance(held_out, int | float | np.integer | np.floating):
        raise DataError(f"{argument('held_out', held_out)}: a fraction such as 0.2, or a number of rows, is needed")
    whole = isinstance(held_out, int | np.integer)
    if not (held_out >= 1 if whole else 0 < held_out < 1):
        raise DataError(
            f"{argument('held_out', held_out)}: a fraction between 0 and 1, or a number of rows from 1 on, is needed, "
            f"to judge by; as {argument('held_out', 0.2)}"
        )


def to_data(
    data: Any, time: str | None, id: str | None, columns: Sequence[str] | None, inputs: Sequence[str]
) -> Table | Trials:
    """The table or trials to reconstruct from: itself, or read from a file, or from an object of pandas or xarray."""
    if isinstance(data, Table | Trials | Series):
        given = [name for name, value in (("time", time), ("id", id), ("columns", columns)) if value is not None]
        if given:
            raise DataError(
                f"{argument(given[0])}: {kind_of(data)} has its own; leave it out, or choose by data.select"
            )
        return _from_series(data) if isinstance(data, Series) else data
    wanted = _with_inputs(columns, inputs)
    if isinstance(data, str | os.PathLike):
        return _read(lambda name: read(data, name, wanted, id=id, constant_ok=inputs), time, str(data))  # pyright: ignore
    room = type(data).__module__.partition(".")[0]
    if room == "pandas" and hasattr(data, "index"):
        frame = lambda name: from_pandas(data, name, wanted, id=id, constant_ok=inputs)
        plain = type(data.index).__name__ == "RangeIndex" and data.index.name is None
        return _read(frame, time, "data") if plain or time is not None else frame(None)
    if room == "xarray":
        if id is not None:
            raise DataError(
                f"{argument('id', id)}: rows of an object of xarray have no id; stack its trials first, by "
                "data.to_dataframe().reset_index(), and give that"
            )
        return _read(lambda name: from_xarray(data, name, wanted, constant_ok=inputs), time, "data")
    raise TypeError(
        f"data: {kind_of(data)}, where a file, a DataFrame, a Table (ct.data.read) or a Series is wanted; of arrays "
        "make one: ct.Series.from_nan(ts, ys), ys of shape (time, channel)"
    )


def _with_inputs(columns: Sequence[str] | None, inputs: Sequence[str]) -> list[str] | None:
    """The columns to read, the inputs among them."""
    return None if columns is None else [*columns, *(name for name in inputs if name not in columns)]


def _read(reader: Callable[[str], Table | Trials], time: str | None, source: str) -> Table | Trials:
    if time is not None:
        return reader(time)
    try:
        reader("")
    except DataError as error:
        there = str(error).rpartition("there are ")[2].rpartition("; the closest")[0]
        listed = f"; there are {there}" if there else ""
    else:
        listed = ""
    wanted = f"which column of {source} holds the times must be said: {argument('time', ...)}"
    raise DataError(f"{argument('time')}: {wanted}{listed}")


def _from_series(series: Series) -> Table:
    if series.ts.ndim != 1:
        raise DataError(f"data: a Series of shape {series.ys.shape} is a batch: a reconstruction is of one series")
    ys = np.asarray(series.to_nan(), np.float64)
    names = tuple(f"y{i}" for i in range(ys.shape[1]))
    return Table(np.asarray(series.ts, np.float64), ys, names, "t", "", "", "series")


def choose_recipe(
    recipe: Recipe | Callable[[int], Recipe], samples: int, steps: int | None, members: int | None
) -> Recipe:
    """How to train on so many samples, with the steps and members that were asked for."""
    recipe = recipe if isinstance(recipe, Recipe) else recipe(samples)
    asked = {"steps": steps, "members": members}
    return dataclasses.replace(recipe, **{name: value for name, value in asked.items() if value is not None})


def model_file(folder: Path, model: str) -> Path:
    """The file of one of the models in a folder."""
    path = folder / f"model-{model}.safetensors"
    names = (p.name.removeprefix("model-").removesuffix(".safetensors") for p in folder.glob("model-*.safetensors"))
    there = sorted(names)
    if model not in there:
        found = f"there are {', '.join(there)}" if there else "there is none"
        raise DataError(f"{argument('model', model)}: no such model in {folder}: {found}; name one that is there")
    return path
