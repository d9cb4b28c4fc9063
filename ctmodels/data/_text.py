"""From a file to rows of cells, with the line of each: encoding, delimiter, quotes, line breaks."""

import csv
import difflib
import io
from collections.abc import Iterator
from pathlib import Path

from ctmodels._door import DataError
from ctmodels.data._cells import is_data

DELIMITERS = ",;\t|"


def read_text(source: str) -> str:
    """The text of a UTF-8 file, or a `DataError` that says what the file is instead."""
    raw = _read_bytes(Path(source), source)
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise DataError(f"{source}: encoded in UTF-16: only UTF-8 is read; save it as 'CSV UTF-8'")
    if b"\0" in raw:
        line = raw.count(b"\n", 0, raw.index(b"\0")) + 1
        raise DataError(f"{source}, row {line}: binary, it has NUL bytes: only text is read; export the data as CSV")
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = e.object.count(b"\n", 0, e.start) + 1
        raise DataError(
            f"{source}, row {line}: byte 0x{e.object[e.start]:02x} is not UTF-8: "
            "only UTF-8 text is read; save the file as UTF-8 "
            "(for instance iconv -f latin1 -t utf-8), or export binary data as CSV"
        ) from None


def _read_bytes(path: Path, source: str) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(f"{source}: no such file (looked from {Path.cwd()}); {_nearest_file(path)}") from None
    except IsADirectoryError:
        raise DataError(f"{source}: is a directory: one CSV file is needed; name a file in it") from None
    except (OSError, ValueError) as e:
        raise DataError(f"{source}: cannot be read ({e}); check the path and your permissions") from None


def _nearest_file(path: Path) -> str:
    there = [p.name for p in path.parent.glob("*")]  # nothing, if there is no such folder
    near = difflib.get_close_matches(path.name, there, n=1)
    return f"did you mean {near[0]!r}?" if near else "check the path"


def find_delimiter(text: str, time: str) -> str:
    """The delimiter under which the header names the time, or else splits into most cells.

    Where there is no header, the one that makes the first row all numbers, so that it can be said.
    """

    def score(delimiter: str) -> tuple[bool, bool, int]:
        _, header = next(read_rows(text[:65536], delimiter, "", strict=False), (0, []))
        return time in header, is_data(header), len(header)

    return max(DELIMITERS, key=score)


def read_rows(text: str, delimiter: str, source: str, strict: bool = True) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with its line in the file."""
    lines = io.StringIO(text, newline="")
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True, strict=strict)
    line = 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if cells not in ([], [""]):
                yield line, cells
            line = reader.line_num + 1  # a quoted line break makes one row of several lines
    except csv.Error as e:
        raise DataError(
            f"{source}, row {line}: broken quotes ({e}): a quoted cell must end in a quote; "
            "close each quote, and double quotes in cells"
        ) from None
