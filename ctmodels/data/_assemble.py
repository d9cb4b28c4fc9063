"""From what a reader found to what the caller gets, checked: a table, or trials."""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from ctmodels._core._validation import DataError, check_times, check_values
from ctmodels._core._words import argument
from ctmodels.data._clock import Clock
from ctmodels.data._counters import check_no_wrap, unwrapped
from ctmodels.data._places import Places
from ctmodels.data._sentinels import sift
from ctmodels.data._table import Table, Wanted
from ctmodels.data._trials import Trials


class Found(NamedTuple):
    """Rows as a reader found them, unchecked.

    `ids`: of each row, or None; `row`: names the place of row `i`; `time`: time `i` as it was written; `ends`: of each
    column, the values at the ends of the type that it had in its file, if that is known.
    """

    source: str
    clock: Clock
    values: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    ids: list[str] | None
    row: Places
    time: Callable[[int], str]
    notes: tuple[str, ...] = ()
    ends: tuple[tuple[float, ...], ...] = ()


def taken(found: Found, wanted: Wanted) -> Table | Trials:
    """A table, or trials where there are ids."""
    return table(found, wanted) if found.ids is None else trials(found, wanted)


def table(found: Found, wanted: Wanted) -> Table:
    """All rows as one series."""
    found = unwrapped(_sifted(found, wanted), [np.arange(len(found.values))], wanted)
    rows = _order(found.clock, np.arange(len(found.values)), wanted.sort)
    _check_times(found, rows, wanted, found.source, f"{wanted.time!r}, or ask for it ({argument('sort', True)})")
    check_values(found.values, found.names, found.row, name=found.source, constant_ok=wanted.constant_ok)
    return _table(found, rows, wanted, found.clock.unit(_gap([found.clock[rows]])), found.source)


def trials(found: Found, wanted: Wanted) -> Trials:
    """The rows of each id as a series of its own. Which rows come between them does not matter."""
    found = _sifted(found, wanted)
    check_values(found.values, found.names, found.row, name=found.source, constant_ok=wanted.constant_ok)
    groups = {name: np.array(rows) for name, rows in _grouped(found.ids or []).items()}
    found = unwrapped(found, list(groups.values()), wanted)
    for name, rows in groups.items():
        _check_once(found, rows, f"{wanted.id} {name!r}")
    groups = {name: _order(found.clock, rows, wanted.sort) for name, rows in groups.items()}
    unit = found.clock.unit(_gap([found.clock[rows] for rows in groups.values()]))
    tables = [_trial(found, rows, wanted, unit, f"{wanted.id} {name!r}") for name, rows in groups.items()]
    return Trials(tuple(groups), tuple(tables))


def _sifted(found: Found, wanted: Wanted) -> Found:
    values, notes = sift(found.values, found.names, found.row, found.source, wanted.sentinels, found.ends)
    return found._replace(values=values, notes=(*found.notes, *notes))


def noted(found: Found, wanted: Wanted) -> tuple[str, ...]:
    """What was decided of the times, with its place."""
    return tuple(f"{found.source}, column {wanted.time!r}: {note}" for note in found.clock.notes)


def arguments(clock: Clock, wanted: Wanted) -> dict[str, Any]:
    """The arguments of `read` with which another file is read as this one was."""
    asked = {"sentinels": [float(s) for s in wanted.sentinels], "sort": wanted.sort, **clock.how._asdict()}
    return {name: value for name, value in asked.items() if value}


def _order(clock: Clock, rows: np.ndarray, sort: bool) -> np.ndarray:
    return rows[np.argsort(clock.ticks[rows], kind="stable")] if sort else rows


def _gap(clocks: list[Clock]) -> float:
    """The median spacing in ticks."""
    gaps = np.concatenate([np.diff(clock.ticks) for clock in clocks])
    return float(np.median(gaps)) if len(gaps) else 0.0


def _check_times(found: Found, rows: np.ndarray, wanted: Wanted, place: str, by: str) -> None:
    check_no_wrap(found, rows, wanted.time)
    check_times(
        found.clock.ticks[rows],
        lambda i: f"{found.row(int(rows[i]))}, column {wanted.time!r}",
        name=f"{place}, column {wanted.time!r}",
        by=by,
        show=lambda i: found.time(int(rows[i])),
        least=wanted.least,
    )


def _grouped(ids: list[str]) -> dict[str, list[int]]:
    groups: dict[str, list[int]] = {}
    for row, name in enumerate(ids):
        groups.setdefault(name, []).append(row)
    return groups


def _check_once(found: Found, rows: np.ndarray, who: str) -> None:
    """Refuse an id that has a time twice, wherever its rows stand."""
    ordered = _order(found.clock, rows, True)
    again = np.flatnonzero(np.diff(found.clock.ticks[ordered]) == 0)
    if len(again):
        first, second = (int(r) for r in ordered[again[0] : again[0] + 2])
        raise DataError(
            f"{found.row(first)} and {found.row(second)}: {who} has time {found.time(second)} twice: "
            "each time of an id needs one row; keep one of them, or average them"
        )


def _trial(found: Found, rows: np.ndarray, wanted: Wanted, unit: str, who: str) -> Table:
    place = f"{found.source}, {who}"
    by = f"{wanted.time!r} within each {wanted.id!r}, or ask for it ({argument('sort', True)})"
    _check_times(found, rows, wanted, place, by)
    # A channel may rest in one trial and move in another.
    check_values(found.values[rows], found.names, name=place, constant_ok=found.names)
    return dataclasses.replace(_table(found, rows, wanted, unit, found.source), source=place)


def _table(found: Found, rows: np.ndarray, wanted: Wanted, unit: str, source: str) -> Table:
    clock = found.clock[rows]
    return Table(
        clock.scaled(unit), found.values[rows], found.names, wanted.time, unit, clock.origin, source,
        found.units, (*noted(found, wanted), *found.notes), places=found.row[rows],
        form=clock.form, reading=arguments(clock, wanted),
    )  # fmt: skip
