"""From what a reader found to what the caller gets, checked: a table, or trials."""

import dataclasses
from typing import Any

import numpy as np

from ctmodels._core._validation import DataError, check_times, check_values
from ctmodels._core._words import argument
from ctmodels.data._clock import Clock
from ctmodels.data._counters import check_no_wrap, unwrapped
from ctmodels.data._raw import RawTable
from ctmodels.data._sentinels import sift
from ctmodels.data._table import ReadOptions, Table
from ctmodels.data._trials import Trials


def assemble(raw: RawTable, options: ReadOptions) -> Table | Trials:
    """A table, or trials where there are ids."""
    return table(raw, options) if raw.ids is None else trials(raw, options)


def table(raw: RawTable, options: ReadOptions) -> Table:
    """All rows as one series."""
    raw = unwrapped(_sifted(raw, options), [np.arange(len(raw.values))], options)
    rows = _order(raw.clock, np.arange(len(raw.values)), options.sort)
    _check_times(raw, rows, options, raw.source, f"{options.time!r}, or ask for it ({argument('sort', True)})")
    check_values(raw.values, raw.names, raw.row, name=raw.source, constant_ok=options.constant_ok)
    return _table(raw, rows, options, raw.clock.unit(_gap([raw.clock[rows]])), raw.source)


def trials(raw: RawTable, options: ReadOptions) -> Trials:
    """The rows of each id as a series of its own. Which rows come between them does not matter."""
    raw = _sifted(raw, options)
    check_values(raw.values, raw.names, raw.row, name=raw.source, constant_ok=options.constant_ok)
    groups = {name: np.array(rows) for name, rows in _grouped(raw.ids or []).items()}
    raw = unwrapped(raw, list(groups.values()), options)
    for name, rows in groups.items():
        _check_once(raw, rows, f"{options.id} {name!r}")
    groups = {name: _order(raw.clock, rows, options.sort) for name, rows in groups.items()}
    unit = raw.clock.unit(_gap([raw.clock[rows] for rows in groups.values()]))
    tables = [_trial(raw, rows, options, unit, f"{options.id} {name!r}") for name, rows in groups.items()]
    return Trials(tuple(groups), tuple(tables))


def _sifted(raw: RawTable, options: ReadOptions) -> RawTable:
    values, notes = sift(raw.values, raw.names, raw.row, raw.source, options.sentinels, raw.ends)
    return raw._replace(values=values, notes=(*raw.notes, *notes))


def clock_notes(raw: RawTable, options: ReadOptions) -> tuple[str, ...]:
    """What was decided of the times, with its place."""
    return tuple(f"{raw.source}, column {options.time!r}: {note}" for note in raw.clock.notes)


def arguments(clock: Clock, options: ReadOptions) -> dict[str, Any]:
    """The arguments of `read` with which another file is read as this one was."""
    asked = {"sentinels": [float(s) for s in options.sentinels], "sort": options.sort, **clock.how._asdict()}
    return {name: value for name, value in asked.items() if value}


def _order(clock: Clock, rows: np.ndarray, sort: bool) -> np.ndarray:
    return rows[np.argsort(clock.ticks[rows], kind="stable")] if sort else rows


def _gap(clocks: list[Clock]) -> float:
    """The median spacing in ticks."""
    gaps = np.concatenate([np.diff(clock.ticks) for clock in clocks])
    return float(np.median(gaps)) if len(gaps) else 0.0


def _check_times(raw: RawTable, rows: np.ndarray, options: ReadOptions, place: str, by: str) -> None:
    check_no_wrap(raw, rows, options.time)
    check_times(
        raw.clock.ticks[rows],
        lambda i: f"{raw.row(int(rows[i]))}, column {options.time!r}",
        name=f"{place}, column {options.time!r}",
        by=by,
        show=lambda i: raw.time(int(rows[i])),
        least=options.least,
    )


def _grouped(ids: list[str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        groups.setdefault(name, []).append(row)
    return groups


def _check_once(raw: RawTable, rows: np.ndarray, who: str) -> None:
    """Refuse an id that has a time twice, wherever its rows stand."""
    ordered = _order(raw.clock, rows, True)
    again = np.flatnonzero(np.diff(raw.clock.ticks[ordered]) == 0)
    if len(again):
        first, second = (int(r) for r in ordered[again[0] : again[0] + 2])
        raise DataError(
            f"{raw.row(first)} and {raw.row(second)}: {who} has time {raw.time(second)} twice: "
            "each time of an id needs one row; keep one of them, or average them"
        )


def _trial(raw: RawTable, rows: np.ndarray, options: ReadOptions, unit: str, who: str) -> Table:
    place = f"{raw.source}, {who}"
    by = f"{options.time!r} within each {options.id!r}, or ask for it ({argument('sort', True)})"
    _check_times(raw, rows, options, place, by)
    # A channel may rest in one trial and move in another.
    check_values(raw.values[rows], raw.names, name=place, constant_ok=raw.names)
    return dataclasses.replace(_table(raw, rows, options, unit, raw.source), source=place)


def _table(raw: RawTable, rows: np.ndarray, options: ReadOptions, unit: str, source: str) -> Table:
    clock = raw.clock[rows]
    return Table(
        clock.scaled(unit), raw.values[rows], raw.names, options.time, unit, clock.origin, source,
        raw.units, (*clock_notes(raw, options), *raw.notes), places=raw.row[rows],
        form=clock.form, reading=arguments(clock, options),
    )  # fmt: skip
