"""Trials: several series of the same channels, each with a name and times of its own."""

import dataclasses
import functools
from collections.abc import Callable, Sequence

import numpy as np

from ctmodels._core._arguments import check_seed
from ctmodels._core._scaling import Scaling
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels.data._cells import listed
from ctmodels.data._table import Table, repeated


@dataclasses.dataclass(frozen=True, eq=False)
class Trials:
    """Several series of the same channels, of any lengths.

    - `ids`: the name of each.
    - `tables`: a [`ctmodels.data.Table`][] each, with the same columns and units; dates have one origin.

    `trials["a"]` is one of the tables. A batch for training is `ct.collate(trials.series(scaling))`.
    """

    ids: tuple[str, ...]
    tables: tuple[Table, ...]

    def __post_init__(self):
        twice = repeated(self.ids)
        if twice or len(self.ids) != len(self.tables) or not self.ids:
            found = f"id {twice[0]!r} is there twice" if twice else f"{len(self.ids)} ids, {len(self.tables)} tables"
            raise DataError(f"trials: {found}: at least one is needed, and each has one id and one table; correct them")
        for name, table in zip(self.ids, self.tables, strict=True):
            _check_alike(name, table, self.ids[0], self.tables[0])

    def __repr__(self) -> str:
        rows = [len(table.time) for table in self.tables]
        lengths = f"{min(rows)} to {max(rows)}" if min(rows) < max(rows) else f"{rows[0]}"
        return f"Trials({len(self)} of {lengths} rows; {listed(self.names, 8)}; ids {listed(self.ids, 4)})"

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, id: str) -> Table:
        if id not in self._at:
            raise DataError(f"trials: no id {id!r}: there are {listed(self.ids)}; choose one of these")
        return self._at[id]

    @functools.cached_property
    def _at(self) -> dict[str, Table]:
        return dict(zip(self.ids, self.tables, strict=True))

    @property
    def names(self) -> tuple[str, ...]:
        """Of the channels."""
        return self.tables[0].names

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader did or suspects."""
        return tuple(dict.fromkeys(note for table in self.tables for note in table.notes))

    def select(self, names: Sequence[str]) -> "Trials":
        """Some of the channels, as of a table."""
        return self._each(lambda table: table.select(names))

    def from_start(self) -> "Trials":
        """The same, each with times from its own start: clocks that then agree, at the price of dates."""
        return self._each(lambda table: dataclasses.replace(table, time=table.time - table.time[0], origin=""))

    def scaling(self, *, log: bool = False) -> Scaling:
        """A scaling fitted to all of them: call it on those that are trained on, and on no others."""
        return Scaling.fit_all([(t.time, t.values) for t in self.tables], log=log, names=self.names)

    def series(self, scaling: Scaling) -> list[Series]:
        """Each as a scaled series. Raises `DataError` naming the id."""
        return [_series(table, scaling) for table in self.tables]

    def split_by_trial(self, held_out: float | int, seed: int = 0) -> tuple["Trials", "Trials"]:
        """Whole trials to train on, and others to judge by.

        **Arguments:**

        - `held_out`: the fraction of the trials to judge by, or their number.
        - `seed`: of the draw.

        **Returns:** two `Trials`, in the order that they had; no id is in both.
        """
        check_seed(seed)
        count = _count(held_out, len(self), "trials", least=1)
        drawn = set(np.random.default_rng(seed).permutation(len(self))[:count].tolist())
        return self._some(lambda i: i not in drawn), self._some(lambda i: i in drawn)

    def split_by_time(self, held_out: float | int) -> tuple["Trials", "Trials"]:
        """The beginning of each trial to train on, and its end to judge by.

        **Arguments:**

        - `held_out`: the fraction of each trial's samples to judge by, or their number.

        **Returns:** two `Trials` with the same ids. Raises `DataError` naming the trial if one is too short.
        """
        cuts = [len(t.time) - _count(held_out, len(t.time), t.source, least=2) for t in self.tables]
        ends = [(_stretch(t, 0, cut), _stretch(t, cut, None)) for t, cut in zip(self.tables, cuts, strict=True)]
        heads, tails = zip(*ends, strict=True)
        return Trials(self.ids, heads), Trials(self.ids, tails)

    def _each(self, change: Callable[[Table], Table]) -> "Trials":
        return Trials(self.ids, tuple(change(table) for table in self.tables))

    def _some(self, wanted: Callable[[int], bool]) -> "Trials":
        at = [i for i in range(len(self)) if wanted(i)]
        return Trials(tuple(self.ids[i] for i in at), tuple(self.tables[i] for i in at))


def _check_alike(name: str, table: Table, first: str, model: Table) -> None:
    for what in ("names", "units", "time_name", "time_unit"):
        here, there = getattr(table, what), getattr(model, what)
        if here != there:
            raise DataError(
                f"trials: id {name!r} has the {what} {here!r}, and {first!r} has {there!r}: "
                "trials share their channels and units; select common ones, and convert them"
            )


def _count(held_out: float | int, n: int, what: str, least: int) -> int:
    """How many of `n` are held out."""
    count = held_out if isinstance(held_out, int) and held_out >= 1 else round(held_out * n)
    if not least <= count <= n - least:
        raise DataError(
            f"{what}: held_out={held_out} leaves {n - count} of {n} to train on and {count} to judge by: "
            f"both need at least {least}; choose another fraction or number"
        )
    return int(count)


def _stretch(table: Table, start: int, stop: int | None) -> Table:
    values = table.values[start:stop]
    for name, column in zip(table.names, values.T, strict=True):
        if np.isnan(column).all():
            part = "end" if start else "beginning"
            raise DataError(
                f"{table.source}, column {name!r}: nothing is observed at its {part} ({len(values)} samples): "
                "each part needs some; hold out more or less, or leave the trial or the column out"
            )
    places = table.places and table.places[start:stop]
    return dataclasses.replace(table, time=table.time[start:stop], values=values, places=places)


def _series(table: Table, scaling: Scaling) -> Series:
    try:
        return scaling.series(table.time, table.values, names=table.names, constant=True)
    except DataError as e:
        raise DataError(f"{table.source}: {e}") from None
