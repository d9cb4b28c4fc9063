"""Figures of a result, by the functions of `ct.plot`."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from ctmodels import plot
from ctmodels._core._arguments import check_kept
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data import Table
from ctmodels.plot._values import values_of
from ctmodels.reconstruction._rows import breaks_of
from ctmodels.reconstruction._text import TimeUnit

CHANNELS = 6  # drawn, where none are chosen


def window(rows: int, n_train: int, horizon: int) -> slice:
    """The samples to draw: about three horizons of the tail, and as much of the training."""
    ahead = min(max(3 * horizon, 100), rows - n_train)
    return slice(max(0, n_train - max(ahead, 100)), n_train + ahead)


def draw(result: Any, kind: str, name: str, channels: Sequence[str] | None, id: str | None, ax: Any) -> Any:
    """One kind of figure of a `Reconstruction`, of one of its candidates."""
    check_kept("kind", kind, tuple(KINDS))
    names = [n for n in result.table.names if n not in result.inputs]
    chosen = names[:CHANNELS] if channels is None else list(channels)
    for channel in chosen:
        if channel not in names:
            raise DataError(f"{argument('channels', chosen)}: no channel {channel!r}: there are {', '.join(names)}")
    if id is not None and (result.trials is None or kind != "forecast"):
        raise DataError(f"{argument('id', id)}: a figure of {kind} of one series is asked for; leave it out")
    return KINDS[kind](result, name, chosen, [names.index(n) for n in chosen], id, ax)


def _forecast(result: Any, name: str, chosen: list[str], at: list[int], id: str | None, ax: Any) -> np.ndarray:
    fitted = result.fitted[name]
    table, rows, ahead = _window(result) if result.trials is None else _trial(result, id)
    seen = table.select(chosen)
    seen = dataclasses.replace(seen, time=seen.time[rows], values=seen.values[rows], places=None)
    bands = [part[ahead][:, at] for part in (fitted.median, fitted.lower, fitted.upper)]
    known = ~np.isnan(bands[0]).all(axis=1)  # of a trial, not before the end of its warm-up
    ts = values_of(seen).ts[len(seen.time) - len(known) :][known]
    return plot.forecast(ts, *(b[known] for b in bands), observed=seen, log=result.problem.scaling.log, ax=ax)


def _window(result: Any) -> tuple[Table, slice, slice]:
    """A table, its rows to draw, and which of the forecast's rows are the last of these."""
    rows = window(len(result.table.time), result.n_train, result.horizon)
    return result.table, rows, slice(0, rows.stop - result.n_train)


def _trial(result: Any, id: str | None) -> tuple[Table, slice, slice]:
    id = result.held_out[0] if id is None else id
    if id not in result.held_out:
        raise DataError(f"{argument('id', id)}: no trial that is held out: there are {', '.join(result.held_out)}")
    table = result.trials[id]
    start = (0, *breaks_of(result.trials))[result.trials.ids.index(id)] - result.n_train
    return table, slice(None), slice(start, start + len(table.time))


def _spectra(result: Any, name: str, chosen: list[str], at: list[int], id: str | None, ax: Any) -> np.ndarray:
    generated = result.fitted[name].generated
    if generated is None or result.trials is not None:
        why = "it made no free run" if generated is None else "the data are several trials"
        raise DataError(f"{argument('kind', 'spectra')}: {name}: {why}, and a spectrum is of a long even orbit")
    return plot.spectra(result.table.select(chosen), generated={name: generated[:, at]}, ax=ax)


def _lyapunov(result: Any, name: str, chosen: list[str], at: list[int], id: str | None, ax: Any) -> Any:
    exponents = result.fitted[name].exponents
    if exponents is None:
        raise DataError(f"{argument('kind', 'lyapunov')}: {name}: no exponents were computed, as it is driven")
    return plot.lyapunov(exponents, unit=TimeUnit.of(result.table).rates, ax=ax)


KINDS = {"forecast": _forecast, "spectra": _spectra, "lyapunov": _lyapunov}
