"""What stands around the table in a text file: rows above the header, comments, a row of units, names of rows.

A row is the header if it names the times and rows of data follow. What else is recognised is what Excel, Campbell's
loggers (TOA5), InfluxDB, R and NumPy write. Each recognition is a note.
"""

import io
import itertools
import re
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from ctmodels._core._arguments import check_whole
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._cells import is_data, is_text, listed, missing, short
from ctmodels.data._table import ReadOptions
from ctmodels.data.formats._text import DELIMITERS, Dialect, quoted, read_rows

LOOKED = 200  # lines among which the header is looked for
MARKS = ("#", "%", "//")
_SEP = re.compile(r'"?sep=(\\t|.)"?[;,\s]*', re.IGNORECASE)
Row = tuple[int, list[str]]


def _other() -> str:
    return f"if the header is another row, say how many are above it ({argument('skip', ...)})"


class Layout(NamedTuple):
    """`text`: from the header on; `above`: the rows before it; `mark`: what comments begin with; `below`: the rows
    between the header and the data, None if that is to be seen; `left`: columns that are no data."""

    text: str
    above: int = 0
    mark: str = ""
    delimiter: str = ""
    below: int | None = None
    left: frozenset[str] = frozenset()
    notes: tuple[str, ...] = ()


def find_layout(text: str, options: ReadOptions, source: str) -> Layout:
    """Where the header is, and what of the rest is no data."""
    lines = list(itertools.islice(io.StringIO(text, newline=""), LOOKED + options.skip))
    if options.skip:
        return _skipped(text, lines, options.skip, source)
    separator = _SEP.fullmatch(lines[0].strip()) if lines else None
    delimiter = separator[1].replace("\\t", "\t") if separator else ""
    first = 1 if separator else 0
    rows = [i for i in range(first, len(lines)) if lines[i].strip()]
    bare = [i for i in rows if not _mark(lines[i])]
    at = next(
        (i for i in dict.fromkeys([*rows[:1], *bare, *rows]) if _is_header(lines, i, options.time, delimiter)), None
    )
    named = _commented(lines, bare, options.time) if at is None else None
    if named is not None:
        return _from_comment(text, lines, named, source)
    at = next(iter(bare), 0) if at is None else at
    marks = [_mark(lines[i]) for i in rows if i < at and _mark(lines[i])]
    layout = Layout(text[sum(map(len, lines[:at])) :], at, (*marks, "")[0], delimiter)
    return _recognised(layout, lines, first, source)


def _skipped(text: str, lines: list[str], skip: int, source: str) -> Layout:
    check_whole("skip", skip, 0)
    if len(lines) <= skip:
        raise DataError(f"{source}: {argument('skip', skip)}: there are only {len(lines)} rows: skip fewer")
    return Layout(text[sum(map(len, lines[:skip])) :], skip)


def _mark(line: str) -> str:
    return next((mark for mark in MARKS if line.lstrip(' "').startswith(mark)), "")


def _is_header(lines: list[str], at: int, time: str, delimiter: str) -> bool:
    """Whether a line names the times, and rows of as many cells, with numbers or dates under them, follow."""
    if time not in lines[at]:
        return False
    after = [line for line in lines[at + 1 :] if line.strip() and not _mark(line)][:4]
    sample = "".join([lines[at], *after])
    return any(_leads(sample, time, quoted(sample, d)) for d in ([delimiter] if delimiter else [*DELIMITERS, " "]))


def _leads(sample: str, time: str, dialect: Dialect) -> bool:
    (_, header), *rows = read_rows(sample, dialect, "", strict=False)
    if time not in header or is_data(header) or not rows:
        return False
    extra = len(rows[0][1]) - len(header)
    cells = [row[header.index(time) + extra] for _, row in rows if len(row) == len(header) + extra]
    return extra in (0, 1) and any(re.search(r"\d", cell) for cell in cells)


def _commented(lines: list[str], bare: list[int], time: str) -> int | None:
    """The last comment above the data that names their columns, as NumPy's `savetxt` writes it."""
    for at in reversed(range(bare[0] if bare else 0)):
        mark = _mark(lines[at])
        if mark and _is_header([_bare(lines[at], mark), *lines[bare[0] :]], 0, time, ""):
            return at
    return None


def _bare(line: str, mark: str) -> str:
    return line.replace(mark, "", 1).lstrip(mark)


def _from_comment(text: str, lines: list[str], at: int, source: str) -> Layout:
    mark = _mark(lines[at])
    rest = text[sum(map(len, lines[: at + 1])) :]
    note = f"{source}, row {at + 1}: a comment that names the columns, is taken as the header; {_other()}"
    return Layout(_bare(lines[at], mark) + rest, at, mark, notes=(note,))


def _recognised(layout: Layout, lines: list[str], first: int, source: str) -> Layout:
    """With notes, and what is known of the files of one program."""
    above = lines[first : layout.above]
    if above and above[0].lstrip('"').startswith(("TOA5", "TOACI1")):
        return _campbell(layout, lines, source)
    types = next((line for line in above if line.lstrip('"').startswith("#datatype")), "")
    notes = []
    if first and layout.above:
        notes.append(f"{source}, row 1: Excel's 'sep={layout.delimiter}': the sign that parts the cells")
    if types or layout.text.startswith(",result,table,"):
        return _influx(layout, types, source)
    if layout.mark:
        notes.append(f"{source}: rows that begin with {layout.mark!r} are taken as comments")
    if any(line.strip() and not _mark(line) for line in above):
        which = f"row {first + 1}" if layout.above == first + 1 else f"rows {first + 1} to {layout.above}"
        notes.append(f"{source}: {which}, above the header, {short(above[0].strip())}, passed over; {_other()}")
    return layout._replace(notes=tuple(notes))


def _campbell(layout: Layout, lines: list[str], source: str) -> Layout:
    units = "TOA5" in lines[layout.above - 1]
    header = next(read_rows(lines[layout.above], Dialect(","), source, strict=False))[1]
    left = frozenset({"RECORD"} & set(header))
    asked = f"is left out unless asked for ({argument('columns', ...)})"
    counts = f"; 'RECORD', which counts the rows, {asked}" if left else ""
    note = f"{source}, row 1: a file of a Campbell logger: the header is row {layout.above + 1}{counts}"
    return layout._replace(below=2 if units else 0, left=left, notes=(note,))


def _influx(layout: Layout, types: str, source: str) -> Layout:
    header, kinds = (
        next(read_rows(line, Dialect(","), source, strict=False), (0, []))[1]
        for line in (layout.text.partition("\n")[0], types)
    )
    left = {"", "result", "table", "_start", "_stop", "_field", "_measurement"} & set(header)
    if len(kinds) == len(header):  # text and dates, such as tags
        left |= {n for n, kind in zip(header, kinds, strict=True) if kind not in ("double", "long", "unsignedLong")}
    said = listed(n for n in header if n and n in left)
    note = f"{source}: InfluxDB's annotated CSV: the columns {said} are no values, and left out unless asked for"
    return layout._replace(mark="#", below=0, left=frozenset(left), notes=(note,))


def take_row_names(header: list[str], rows: Iterator[Row], layout: Layout, source: str, delimiter: str):
    """The header, the rows and the layout; where rows begin with their names, as R writes them, with a nameless column
    that is left out."""
    sample = list(itertools.islice(rows, 20))
    rows = itertools.chain(sample, rows)
    body = [cells for _, cells in sample[layout.below or 0 :]]
    wide = bool(body) and all(len(cells) == len(header) + 1 for cells in body)
    if not (wide and _are_names(body, layout.text, delimiter)) and not _counts_rows(header, body):
        return header, rows, layout
    first = listed(r[0] for r in body[:2])
    note = f"{source}: the first column, without a name, is taken as the names of the rows ({first}, ...) and left out"
    layout = layout._replace(left=layout.left | {""}, notes=(*layout.notes, note))
    return ["", *header] if wide else header, rows, layout


def _are_names(body: list[list[str]], text: str, delimiter: str) -> bool:
    if re.match(r"[\"']", text.partition("\n")[2].lstrip()):
        return not is_data(body[0]) or text.lstrip()[:1] in "\"'"
    counted = [row[0] for row in body] == [str(i + 1) for i in range(len(body))]
    return delimiter != "," and (counted or all(is_text(row[0]) and row[0] for row in body))


def _counts_rows(header: list[str], body: list[list[str]]) -> bool:
    """Whether a first column without a name counts the rows, from 0 or 1."""
    if header[0] or "" in header[1:] or len(body) < 2:
        return False
    return any([row[0] for row in body] == [str(i + start) for i in range(len(body))] for start in (0, 1))


def take_units(
    header: Sequence[str], rows: Iterator[Row], layout: Layout, options: ReadOptions, source: str
) -> tuple[tuple[str, ...], Iterator[Row], tuple[str, ...]]:
    """The units of the columns, the rows without them, and notes."""
    above = list(itertools.islice(rows, 3))
    rows = itertools.chain(above, rows)
    none = ("",) * len(header)
    count = _units(header, above, options.time) if layout.below is None else layout.below
    if options.units_row is not None:
        count = max(1, count) if options.units_row else 0
    if not count or not above:
        _check_time(header, above, options, source)
        return none, rows, ()
    line, cells = above[0]
    rows = itertools.islice(rows, count, None)
    if len(cells) != len(header):
        raise DataError(
            f"{source}, row {line}: {len(cells)} units, but the header has {len(header)} names: each column needs one; "
            f"add or remove cells, or drop {argument('units_row', True)}"
        )
    said = () if options.units_row or layout.below else (
        f"{source}, row {line}: taken as the units of the columns ({listed(cells, 4)}); if it is not, delete the row, "
        f"or say so ({argument('units_row', False)})",
    )  # fmt: skip
    return tuple(_unit(cell) for cell in cells), rows, said


def _units(header: Sequence[str], above: list[Row], time: str) -> int:
    """How many rows are text throughout, with no digit under the times, and data follow: of units, and how measured."""
    at = header.index(time) if time in header else 0
    for count, (_, cells) in enumerate(above):
        if len(cells) != len(header):
            return 0
        if re.search(r"\d", cells[at]):
            return count
        words = [cell for cell in cells if cell and not missing(cell)]
        if not all(map(is_text, words)) or len(words) <= bool(cells[at]) or max(map(len, cells)) > 24:
            return 0
    return 0


def _check_time(header: Sequence[str], above: list[Row], options: ReadOptions, source: str) -> None:
    """Refuse a first row without a time that may have units, among them numbers."""
    if options.units_row is not None or options.time not in header or len(above) < 2:
        return
    at, (line, cells), (_, after) = header.index(options.time), *above[:2]
    if len(cells) != len(header) or len(after) != len(header) or missing(cells[at]):
        return
    if is_text(cells[at]) and not re.search(r"\d", cells[at]) and re.search(r"\d", after[at]):
        raise DataError(
            f"{source}, row {line}, column {options.time!r}: time {short(cells[at])} is neither a number nor a date: "
            f"if the row has units, say so ({argument('units_row', True)}); else put in its time"
        )


def _unit(cell: str) -> str:
    bare = re.sub(r"^[\[(](.*)[\])]$", r"\1", cell.strip())
    return "" if missing(bare) else bare


def check_text_only(source: str, options: ReadOptions) -> None:
    """Refuse what only text has where the file is none."""
    if options.skip or options.units_row is not None:
        what = argument("skip", options.skip) if options.skip else argument("units_row", options.units_row)
        raise DataError(f"{source}: {what}: only a text file has rows above or below its header; leave it out")
