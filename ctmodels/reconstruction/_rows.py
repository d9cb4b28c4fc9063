"""From what was read to the rows that a reconstruction is made from: one table, or trials end to end."""

import dataclasses
import itertools
from typing import NamedTuple

import numpy as np

from ctmodels._core._validation import DataError, check_values
from ctmodels._core._words import argument
from ctmodels.data import Table, Trials
from ctmodels.reconstruction._recipe import Recipe


class Rows(NamedTuple):
    """`table`: all rows, of which the first `n_train` are trained on; `trials`: they are of these, in this order, those
    trained on first; None where the data are one series.

    In a table of several trials each has times from its own start.
    """

    table: Table
    n_train: int
    trials: Trials | None = None

    @classmethod
    def of(cls, data: Table | Trials, held_out: float | int) -> "Rows":
        """With the tail held out of one series, or whole trials of several."""
        if isinstance(data, Trials) and len(data) > 1:
            return _of_trials(data, held_out)
        table = data if isinstance(data, Table) else data.tables[0]
        return cls(table, training_samples(len(table.time), held_out))

    @property
    def breaks(self) -> tuple[int, ...]:
        """Rows at which another trial begins."""
        return breaks_of(self.trials)

    def slices(self) -> list[slice]:
        """The rows of each trial."""
        bounds = [0, *self.breaks, len(self.table.time)]
        return [slice(*pair) for pair in itertools.pairwise(bounds)]

    def training(self) -> list[slice]:
        """Of each trial those that are trained on."""
        return [slice(s.start, min(s.stop, self.n_train)) for s in self.slices() if s.start < self.n_train]

    def place(self, row: int) -> str:
        """Where a row is, in words."""
        if self.trials is None:
            return self.table.place(row)
        trial = int(np.searchsorted(self.breaks, row, side="right"))
        return self.trials.tables[trial].place(row - self.slices()[trial].start)


def breaks_of(trials: Trials | None) -> tuple[int, ...]:
    """Rows at which another of these trials begins, end to end."""
    lengths = [] if trials is None else [len(table.time) for table in trials.tables[:-1]]
    return tuple(itertools.accumulate(lengths))


def held_out_ids(trials: Trials | None, n_train: int) -> tuple[str, ...]:
    """Those of the trials behind the rows that are trained on."""
    if trials is None:
        return ()
    first = sum(b <= n_train for b in breaks_of(trials))
    return trials.ids[first:]


def training_samples(n: int, held_out: float | int) -> int:
    """How many of `n` samples come before the tail that is held out."""
    test = held_out if isinstance(held_out, int | np.integer) and held_out >= 1 else round(held_out * n)
    if not 1 <= test <= n - 2:
        raise DataError(
            f"{argument('held_out', held_out)}: leaves {n - test} of {n} samples to train on and {test} to judge by; "
            "both need some: choose another fraction or number"
        )
    return n - int(test)


def _of_trials(trials: Trials, held_out: float | int) -> Rows:
    _check_trials(trials)
    count = int(held_out) if isinstance(held_out, int | np.integer) else max(1, round(held_out * len(trials)))
    if count >= len(trials):
        raise DataError(
            f"{argument('held_out', held_out)}: holds out {count} of {len(trials)} trials, which leaves none to train "
            "on; whole trials are held out: choose a smaller fraction or number"
        )
    train, test = trials.split_by_trial(count)
    ordered = Trials((*train.ids, *test.ids), (*train.tables, *test.tables))
    return Rows(_end_to_end(ordered), sum(len(table.time) for table in train.tables), ordered)


def _check_trials(trials: Trials) -> None:
    for name, table in zip(trials.ids, trials.tables, strict=True):
        if len(table.time) < 2:
            raise DataError(f"{_who(name, table)}: {len(table.time)} row: a trial needs two at least; leave it out")
        check_values(table.values, table.names, name=_who(name, table), constant_ok=table.names)


def _who(name: str, table: Table) -> str:
    """A trial in a message: by its id."""
    return table.source if repr(name) in table.source else f"{table.source}, trial {name!r}"


def _end_to_end(trials: Trials) -> Table:
    tables = trials.tables
    files = list(dict.fromkeys(table.places.source if table.places else table.source for table in tables))
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    return dataclasses.replace(
        tables[0],
        time=np.concatenate([table.time - table.time[0] for table in tables]),
        values=np.concatenate([table.values for table in tables]),
        origin="",
        source=f"{files[0]}{more}",
        notes=trials.notes,
        places=None,
    )


def check_length(rows: Rows, recipe: Recipe) -> Recipe:
    """Refuses a training part that is shorter than a window; of several trials, windows are no longer than half of
    these are."""
    lengths = [part.stop - part.start for part in rows.training()]
    if rows.trials is not None:
        recipe = dataclasses.replace(recipe, window=min(recipe.window, max(2, int(np.median(lengths)))))
    least = max(4, recipe.window)
    if rows.n_train < least:
        raise DataError(
            f"{rows.table.source}: {rows.n_train} samples to train on are fewer than a window of {least}: "
            f"give more rows or hold out fewer: {argument('held_out', ...)}"
        )
    return recipe
