"""CSV files: one column of times, other columns of numbers; the standard library and numpy.

A file is read whole or refused: the first thing wrong raises `DataError`, which names file, row,
column and cell. Row numbers are those of an editor, so the header is row 1 and a quoted cell may
span several rows.
"""

import dataclasses
import difflib
import os
import re
from array import array
from collections.abc import Collection, Iterator, Sequence

import numpy as np

from ctmodels._door import DataError, check_times, check_values
from ctmodels.data._cells import is_data, listed, missing, number
from ctmodels.data._clock import read_clock
from ctmodels.data._text import find_delimiter, read_rows, read_text


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
    """

    time: np.ndarray
    values: np.ndarray
    names: tuple[str, ...]
    time_name: str
    time_unit: str
    origin: str
    source: str

    def select(self, names: Sequence[str]) -> "Table":
        """Some of the columns.

        **Arguments:**

        - `names`: the columns wanted, in the order wanted.

        **Returns:**

        A `Table` of those columns. Raises `DataError` if one is not there, one is named twice,
        or none is named.
        """
        picks = _pick(names, self.names, self.source)
        return dataclasses.replace(self, values=self.values[:, picks], names=tuple(names))


def read_csv(
    path: str | os.PathLike[str],
    time: str,
    columns: Sequence[str] | None = None,
    *,
    constant_ok: Collection[str] = (),
) -> Table:
    """Read times and numbers from a CSV file with a header.

    The delimiter (comma, semicolon, tab or bar) is found from the header. Empty cells, NA, N/A,
    NaN, null, none and "-" are missing values. Times are plain numbers, which are kept; or ISO
    dates, or whole seconds, milliseconds, microseconds or nanoseconds since 1970 (known by their
    size), which become days since the first row where the median spacing is half a day or more,
    and otherwise seconds.

    **Arguments:**

    - `path`: a UTF-8 text file.
    - `time`: the name of the column of times.
    - `columns`: the columns wanted, in the order wanted. Default: all but `time`; then all must be
        numbers.
    - `constant_ok`: names of columns that may be constant, as inputs (controls) may.

    **Returns:**

    A `Table`. Raises `DataError`, and returns nothing, if anything in the file is wrong.
    """
    source = os.fspath(path)
    text = read_text(source)
    delimiter = find_delimiter(text, time)
    rows = read_rows(text, delimiter, source)
    here, header = _header(rows, text, source)
    [t] = _pick([time], header, here)
    columns = _others(header, t, here) if columns is None else columns
    picks = _pick(columns, header, here)
    if t in picks:
        raise DataError(f"{here}: {time!r} is asked for as time and as a value: it is one or the other; drop one")
    lines, cells, values = _body(rows, header, t, picks, delimiter, source)

    def row(i: int) -> str:
        return f"{source}, row {lines[i]}"

    def at(i: int) -> str:
        return f"{row(i)}, column {time!r}"

    clock = read_clock(cells, at)
    whole = f"{source}, column {time!r}"
    check_times(clock.ticks, at, name=whole, by=repr(time), show=cells.__getitem__)
    check_values(values, columns, row, name=source, constant_ok=constant_ok)
    ticks, unit = clock.scaled()
    return Table(ticks, values, tuple(columns), time, unit, clock.origin, source)


def _header(rows: Iterator[tuple[int, list[str]]], text: str, source: str) -> tuple[str, list[str]]:
    """The first row, if it names the columns, and its place."""
    line, header = next(rows, (0, []))
    here = f"{source}, row {line}"
    if not header:
        raise DataError(
            f"{source}: empty ({len(text)} characters): a header and at least 2 rows are needed; export it again"
        )
    if is_data(header):
        raise DataError(
            f"{here}: no header, the first row is all numbers ({listed(header)}): "
            "the first row must name the columns; add a row of names"
        )
    twice = [name for i, name in enumerate(header) if name and name in header[:i]]
    if twice:
        raise DataError(f"{here}: duplicate column name {twice[0]!r}: each name must be there once; rename one of them")
    return here, header


def _others(header: list[str], t: int, here: str) -> list[str]:
    """All columns but the time."""
    names = header[:t] + header[t + 1 :]
    if "" in names:
        raise DataError(
            f"{here}: column {header.index('') + 1} has no name: each column needs one; "
            "name it, drop a trailing delimiter, or choose columns (--column; columns= in Python)"
        )
    if not names:
        raise DataError(f"{here}: {header[t]!r} is the only column: a column of values is needed too; add one")
    return names


def _pick(names: Sequence[str], there: Sequence[str], here: str) -> list[int]:
    """Where the named columns are among those there."""
    if isinstance(names, str) or not names:
        raise DataError(f"{here}: columns={names!r}: a sequence of at least one name is needed; pass ['x', 'y']")
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise DataError(f"{here}: column {twice[0]!r} is asked for twice: once is enough; drop one")
    there = list(there)
    for name in names:
        if name not in there:
            near = max(there, key=lambda other, name=name: _likeness(name, other))
            raise DataError(f"{here}: no column {name!r}: there are {listed(there)}; the closest is {near!r}")
    return [there.index(name) for name in names]


def _likeness(one: str, other: str) -> float:
    return difflib.SequenceMatcher(None, one.lower(), other.lower()).ratio()


def _body(rows, header, t, picks, delimiter, source) -> tuple[array, list[str], np.ndarray]:
    """The line, the cell of the time, and the numbers of each row."""
    lines, cells, values = array("q"), [], array("d")
    for line, row in rows:
        here = f"{source}, row {line}"
        _check_width(row, header, delimiter, here)
        if missing(row[t]):
            raise DataError(
                f"{here}, column {header[t]!r}: missing time ({row[t]!r}): each row needs one; drop the row"
            )
        lines.append(line)
        cells.append(row[t])
        values.extend(_numbers(row, picks, header, here))
    if not lines:
        raise DataError(f"{source}: a header and no data rows: at least 2 rows are needed; export it again")
    return lines, cells, np.array(values).reshape(len(lines), len(picks))


def _check_width(row: list[str], header: list[str], delimiter: str, here: str) -> None:
    if len(row) == len(header):
        return
    message = f"{here}: {len(row)} cells, but the header has {len(header)}: each row needs as many; "
    if delimiter == "," and len(row) > len(header) and all(re.fullmatch(r"[+-]?\d+", cell) for cell in row):
        raise DataError(message + "if these are decimal commas, write 1.5 for 1,5")
    raise DataError(message + "add or remove cells, and quote a cell that has the delimiter in it")


def _numbers(row: list[str], picks: list[int], header: list[str], here: str) -> Iterator[float]:
    for c in picks:
        try:
            yield float("nan") if missing(row[c]) else number(row[c])
        except ValueError as e:
            raise DataError(f"{here}, column {header[c]!r}: {e}") from None
