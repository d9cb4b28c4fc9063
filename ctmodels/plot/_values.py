"""What is drawn, on the host: arrays of float64, and what they are called."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ctmodels._core._series import Series
from ctmodels._core._words import argument, kind_of
from ctmodels.data import Table
from ctmodels.data._calendar import dates_of
from ctmodels.plot._axes import plain

AXES = {1: "(time,)", 2: "(time, channel)", 3: "(sample, time, channel)"}


class Values(NamedTuple):
    """What was seen. `ts` `(time,)`: numbers, or dates; `ys` `(time, channel)`, NaN where nothing was; `labels` of the
    channels, with their units; `time`: the label of the times, "" of dates."""

    ts: np.ndarray
    ys: np.ndarray
    labels: tuple[str, ...]
    time: str


def array(name: str, x: Any, *axes: str) -> np.ndarray:
    """An array of float64 with one of these lists of axes, such as "(time, channel)"."""
    try:
        values = np.asarray(x, np.float64)
    except (TypeError, ValueError):
        raise TypeError(f"{name}: {kind_of(x)}, where numbers {' or '.join(axes)} are wanted") from None
    if values.ndim not in {_count(a) for a in axes}:
        raise ValueError(
            f"{name}: shape {values.shape}, where {' or '.join(axes)} is wanted; index or reshape it, one sample at a "
            "time"
        )
    return values


def _count(axes: str) -> int:
    return len([word for word in axes.strip("()").split(",") if word.strip()])


def columns(name: str, x: Any) -> np.ndarray:
    """`(time, channel)`; of `(time,)` one channel."""
    values = array(name, x, "(time,)", "(time, channel)")
    return values[:, None] if values.ndim == 1 else values


def times(name: str, x: Any, count: int | None = None) -> np.ndarray:
    """`(time,)`: numbers or dates, as many as there are values."""
    ts = np.asarray(x)
    ts = array(name, x, "(time,)") if ts.dtype.kind != "M" else ts
    if ts.ndim != 1 or (count is not None and len(ts) != count):
        wanted = "(time,) is wanted" if count is None else f"{count} times are wanted, one for each row of values"
        raise ValueError(f"{name}: shape {ts.shape}, where {wanted}")
    return ts


def values_of(data: Any, ys: Any = None, names: Sequence[str] | None = None) -> Values:
    """Of a `Series`, a `Table`, or times and values."""
    if isinstance(data, Series | Table):
        if ys is not None:
            raise TypeError(f"ys: {kind_of(ys)}, beside a {type(data).__name__}, which has its values; leave it out")
        found = _of_table(data) if isinstance(data, Table) else _of_series(data)
    elif ys is None:
        raise TypeError(f"data: {kind_of(data)}, where a Series or a Table is wanted, or times and {argument('ys')}")
    else:
        ys = columns("ys", ys)
        ts = times("ts", data, len(ys))
        found = Values(ts, ys, _numbered(ys), "" if ts.dtype.kind == "M" else "t")
    return found if names is None else found._replace(labels=called(names, found.ys.shape[1]))


def called(names: Sequence[Any], count: int, name: str = "names") -> tuple[str, ...]:
    """A name for each."""
    if isinstance(names, str) or len(names) != count:
        raise ValueError(f"{argument(name, names)}: {count} names are wanted, in a list")
    return tuple(plain(str(n)) for n in names)


def _numbered(ys: np.ndarray) -> tuple[str, ...]:
    count = ys.shape[1]
    return ("y",) if count == 1 else tuple(f"y{i}" for i in range(count))


def _of_series(series: Series) -> Values:
    if series.ts.ndim != 1:
        raise ValueError(
            f"data: a batch, a Series of shape {series.ys.shape}; draw one sample at a time: "
            "jax.tree.map(lambda a: a[0], series)"
        )
    ys = np.asarray(series.to_nan(), np.float64)
    return Values(np.asarray(series.ts, np.float64), ys, _numbered(ys), "t")


def _of_table(table: Table) -> Values:
    labels = tuple(
        plain(f"{name} [{unit}]" if unit else name) for name, unit in zip(table.names, table.units, strict=True)
    )
    dates = dates_of(table.time, table.time_unit, table.origin)
    if dates is not None:
        return Values(dates, table.values, labels, "")
    since = f" since {table.origin}" if table.origin else ""
    name = f"{table.time_name} [{table.time_unit}{since}]" if table.time_unit else table.time_name
    return Values(table.time, table.values, labels, plain(name, 80))
