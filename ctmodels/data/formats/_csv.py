"""CSV files: one column of times, other columns of numbers; the standard library and numpy.

A file is read whole or refused: the first thing wrong raises `DataError`, which names file, row,
column and cell. Row numbers are those of an editor, so the header is row 1 and a quoted cell may
span several rows.
"""

import os
import re
from array import array
from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels.data._assemble import table
from ctmodels.data._cells import Commas, is_data, listed, missing, number
from ctmodels.data._clock import read_clock
from ctmodels.data._places import Places
from ctmodels.data._raw import RawTable
from ctmodels.data._table import Choice, ReadOptions, Table, check_distinct, choose
from ctmodels.data._ticks import ClockOptions
from ctmodels.data.formats._layout import find_layout, take_row_names, take_units
from ctmodels.data.formats._text import SAMPLE, Dialect, find_dialect, quoted, read_rows, read_text


def read_csv(
    path: str | os.PathLike[str],
    time: str,
    columns: Sequence[str] | None = None,
    *,
    sentinels: Sequence[float | int] = (),
    constant_ok: Collection[str] = (),
    sort: bool = False,
    date_format: str | None = None,
    clock: str | None = None,
    wraps: float | int | None = None,
    skip: int = 0,
    units_row: bool | None = None,
) -> Table:
    """Read times and numbers from a CSV file with a header.

    The dialect is found from the header: comma, semicolon, tab, bar, or else blanks, a colon, or what
    `csv.Sniffer` finds; quotes of both kinds; gzip. Empty cells, NA, N/A, NaN, null, none and "-" are
    missing values. Times are plain numbers, which are kept; or dates, as text or as integers, or whole
    seconds, milliseconds, microseconds or nanoseconds since 1970 (known by their size, and noted),
    which become days since the first row where the median spacing is half a day or more, and otherwise
    seconds.

    **Arguments:**

    - `path`: a UTF-8 text file.
    - `time`: the name of the column of times.
    - `columns`: the columns wanted, in the order wanted. Default: all but `time`; then all must be
        numbers.
    - `sentinels`: values that mean missing, such as -999.
    - `constant_ok`: names of columns that may be constant, as inputs (controls) may.
    - `sort`: whether rows may stand in any order.
    - `date_format`, `clock`, `wraps`: how the times are written and what they count; see
        [`ctmodels.data.read`][].
    - `skip`: how many rows stand above the header. Default: what is recognised.
    - `units_row`: whether the row under the header has units. Default: if it is text throughout.

    **Returns:**

    A `Table`. Raises `DataError`, and returns nothing, if anything in the file is wrong.
    """
    how = ClockOptions(date_format, clock, wraps)
    options = ReadOptions(time, columns, None, sentinels, constant_ok, sort, skip, units_row, how)
    return table(find_csv(os.fspath(path), options), options)


def find_csv(source: str, options: ReadOptions) -> RawTable:
    """What a CSV file has of what is wanted."""
    text = read_text(source)
    layout = find_layout(text, options, source)
    dialect = (
        quoted(layout.text[:SAMPLE], layout.delimiter) if layout.delimiter else find_dialect(layout.text, options.time)
    )
    rows = read_rows(layout.text, dialect, source, above=layout.above, mark=layout.mark)
    here, header = _header(rows, text, source)
    header, rows, layout = take_row_names(header, rows, layout, source, dialect.delimiter)
    check_distinct(header, here)
    units, rows, notes = take_units(header, rows, layout, options, source)
    choice = choose(header, _options(header, options, layout.left), here)
    body = _body(rows, header, choice, dialect, source)

    row = Places(source, np.asarray(body.lines))
    clock = read_clock(body.times, lambda i: f"{row(i)}, column {options.time!r}", options.clock)
    names, of_names = tuple(header[i] for i in choice.values), tuple(units[i] for i in choice.values)
    time = body.times.__getitem__
    return RawTable(source, clock, body.values, names, of_names, body.ids, row, time, (*layout.notes, *notes))


def _options(header: Sequence[str], options: ReadOptions, left: frozenset[str]) -> ReadOptions:
    """What is wanted, without the columns that are no data unless they are asked for."""
    keys = {options.time, options.id}
    if options.columns is not None or not left or all(name in left | keys for name in header):
        return options
    return options._replace(columns=[name for name in header if name not in left | keys])


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
    return here, header


class Body(NamedTuple):
    """The line, the cell of the time, the id and the numbers of each row."""

    lines: array
    times: list[str]
    ids: list[str] | None
    values: np.ndarray


def _body(rows, header: list[str], choice: Choice, dialect: Dialect, source: str) -> Body:
    lines, times, ids, values = array("q"), [], [], array("d")
    commas = Commas(dialect.delimiter)
    for line, row in rows:
        here = f"{source}, row {line}"
        _check_width(row, header, dialect.delimiter, here)
        for key in (choice.time, choice.id):
            _check_key(row, header, key, choice, here)
        lines.append(line)
        times.append(commas(row[choice.time], here, header[choice.time]))
        ids.append("" if choice.id is None else row[choice.id])
        values.extend(_numbers(row, choice.values, header, here, commas))
    if not lines:
        raise DataError(f"{source}: a header and no data rows: at least 2 rows are needed; export it again")
    commas.check()
    numbers = np.array(values).reshape(len(lines), len(choice.values))
    return Body(lines, times, None if choice.id is None else ids, numbers)


def _check_width(row: list[str], header: list[str], delimiter: str, here: str) -> None:
    if len(row) == len(header):
        return
    message = f"{here}: {len(row)} cells, but the header has {len(header)}: each row needs as many; "
    if delimiter == "," and len(row) > len(header) and all(re.fullmatch(r"[+-]?\d+", cell) for cell in row):
        raise DataError(message + "if these are decimal commas, write 1.5 for 1,5")
    raise DataError(message + "add or remove cells, and quote a cell that has the delimiter in it")


def _check_key(row: list[str], header: list[str], key: int | None, choice: Choice, here: str) -> None:
    if key is not None and missing(row[key]):
        what = "time" if key == choice.time else "id"
        place = f"{here}, column {header[key]!r}"
        raise DataError(f"{place}: missing {what} ({row[key]!r}): each row needs one; drop the row")


def _numbers(row: list[str], picks: list[int], header: list[str], here: str, commas: Commas) -> Iterator[float]:
    for c in picks:
        try:
            yield float("nan") if missing(row[c]) else number(commas(row[c], here, header[c]))
        except ValueError as e:
            raise DataError(f"{here}, column {header[c]!r}: {e}") from None
