"""Table: columns of numbers over one column of times; and the choice of columns."""

import dataclasses
import difflib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._cells import listed
from ctmodels.data._form import Form
from ctmodels.data._places import Places
from ctmodels.data._ticks import ClockOptions


@dataclasses.dataclass(frozen=True, eq=False)
class Table:
    """Columns of numbers over one column of times.

    - `time`: strictly increasing, float64, shape `(n,)`.
    - `values`: float64, shape `(n, columns)`; NaN where a cell was missing.
    - `names`: the name of each column of `values`.
    - `time_name`: the name of the column of times.
    - `time_unit`: "days" or "seconds" since `origin`; "" where times were plain numbers.
    - `origin`: the ISO date of time zero, with "Z" where a clock time is known to be UTC;
        "" for plain numbers.
    - `source`: the file.
    - `units`: of each column; "" where the source has none.
    - `notes`: what the reader did or suspects, in sentences for the user.
    - `places`: where the rows stand in the file; None where that is not known.
    - `form`: how the times were written, so that a forecast can go on alike; None where it is not known.
    - `reading`: arguments of [`ctmodels.data.read`][] with which another file is read alike.
    """

    time: np.ndarray
    values: np.ndarray
    names: tuple[str, ...]
    time_name: str
    time_unit: str
    origin: str
    source: str
    units: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    places: Places | None = None
    form: Form | None = None
    reading: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        if not self.units:
            object.__setattr__(self, "units", ("",) * len(self.names))

    def __repr__(self) -> str:
        """What it holds, in a line: a table of any length can be printed."""
        unit = f" {self.time_unit} since {self.origin}" if self.origin else ""
        ends = f", {self.time_name} {self.time[0]:.10g} to {self.time[-1]:.10g}{unit}" if len(self.time) else ""
        return f"Table({self.source}: {len(self.time)} rows{ends}; {listed(self.names, 8)})"

    def place(self, i: int) -> str:
        """Where row `i` is, in words, as "lynx.csv, row 17"."""
        known = self.places is not None and len(self.places) == len(self.time)  # not of a table cut by hand
        return self.places(i) if known else f"{self.source}, index {i}"  # pyright: ignore

    def select(self, names: Sequence[str]) -> "Table":
        """Some of the columns.

        **Arguments:**

        - `names`: the columns wanted, in the order wanted.

        **Returns:**

        A `Table` of those columns. Raises `DataError` if one is not there, one is named twice,
        or none is named.
        """
        picks = pick(names, self.names, self.source)
        units = tuple(self.units[i] for i in picks)
        return dataclasses.replace(self, values=self.values[:, picks], names=tuple(names), units=units)


class ReadOptions(NamedTuple):
    """What the caller of a reader asks for; see `read`."""

    time: str
    columns: Sequence[str] | None = None
    id: str | None = None
    sentinels: Sequence[float | int] = ()
    constant_ok: Collection[str] = ()
    sort: bool = False
    skip: int = 0
    units_row: bool | None = None
    clock: ClockOptions = ClockOptions()
    least: int = 2


class Choice(NamedTuple):
    """Where the columns wanted are among those there."""

    time: int
    id: int | None
    values: list[int]


def choose(header: Sequence[str], options: ReadOptions, here: str) -> Choice:
    """Find the columns wanted, or refuse with those that are there."""
    keys = [options.time] if options.id is None else [options.time, options.id]
    at = pick(keys, header, here)
    columns = _others(header, at, here) if options.columns is None else options.columns
    picks = pick(columns, header, here)
    both = [header[i] for i in at if i in picks]
    if both:
        what = "time" if both[0] == options.time else "id"
        raise DataError(f"{here}: {both[0]!r} is asked for as {what} and as a value: it is one or the other; drop one")
    return Choice(at[0], at[1] if options.id is not None else None, picks)


def _others(header: Sequence[str], keys: list[int], here: str) -> list[str]:
    """All columns but the time, and the id if there is one."""
    names = [name for i, name in enumerate(header) if i not in keys]
    if "" in names:
        raise DataError(
            f"{here}: column {header.index('') + 1} has no name: each column needs one; "
            f"name it, drop a trailing delimiter, or choose columns ({argument('columns', ...)})"
        )
    if not names:
        only = " and ".join(repr(header[k]) for k in keys)
        are = "is the only column" if len(keys) == 1 else "are the only columns"
        raise DataError(f"{here}: {only} {are}: a column of values is needed too; add one")
    return names


def pick(names: Sequence[str], there: Sequence[str], here: str) -> list[int]:
    """Where the named columns are among those there."""
    if isinstance(names, str) or not names:
        raise DataError(
            f"{here}: {argument('columns', names)}: a sequence of at least one name is needed; pass ['x', 'y']"
        )
    twice = repeated(names)
    if twice:
        raise DataError(f"{here}: column {twice[0]!r} is asked for twice: once is enough; drop one")
    at = {name: i for i, name in reversed(list(enumerate(there)))}  # the first, if a name is there twice
    for name in names:
        if name not in at:
            near = max(there, key=lambda other, name=name: _likeness(name, other), default="")
            raise DataError(f"{here}: no column {name!r}: there are {listed(there)}; the closest is {near!r}")
    return [at[name] for name in names]


def check_distinct(header: Sequence[str], here: str) -> None:
    """Refuse a header that names two columns alike."""
    twice = [name for name in repeated(header) if name]
    if twice:
        raise DataError(f"{here}: duplicate column name {twice[0]!r}: each name must be there once; rename one of them")


def repeated(names: Iterable[str]) -> list[str]:
    """Those that are there twice or more, in time that grows with their number."""
    return [name for name, count in Counter(names).items() if count > 1]


def _likeness(one: str, other: str) -> float:
    """Of two names, or of the one and what the other is called in its group."""
    names = {other.lower(), other.lower().rpartition("/")[2]}
    return max(difflib.SequenceMatcher(None, one.lower(), name).ratio() for name in names)
