"""From a file to rows of cells, with the line of each: compression, encoding, dialect, line breaks."""

import csv
import gzip
import io
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data._cells import is_data
from ctmodels.data._files import readable
from ctmodels.data._memory import TEXT, available, check_memory, size

DELIMITERS = ",;\t|"
GZIP = b"\x1f\x8b"
SAMPLE = 65536


class Dialect(NamedTuple):
    """How cells are parted and quoted."""

    delimiter: str
    quote: str = '"'
    escape: str | None = None


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
    with readable(source):
        length = path.stat().st_size
        check_memory(source, f"{size(length)} of text", TEXT * length, _cut())
        raw = path.read_bytes()
    return _unpacked(raw, source) if raw.startswith(GZIP) else raw


def _cut() -> str:
    return f"cut it into shorter files, or convert it to Parquet and choose columns ({argument('columns', ...)})"


def _unpacked(raw: bytes, source: str) -> bytes:
    """What a gzip file holds, if the memory holds it: a small file may hold much."""
    most, text = available() / TEXT, bytearray()
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(raw)) as file:
            while chunk := file.read(1 << 20):
                text += chunk
                if len(text) > most:
                    check_memory(source, f"unpacks to more than {size(len(text))} of text", TEXT * len(text), _cut())
    except (EOFError, gzip.BadGzipFile, zlib.error) as e:
        raise DataError(f"{source}: damaged gzip ({e}): a whole file is needed; copy or compress it again") from None
    return bytes(text)


def find_dialect(text: str, time: str) -> Dialect:
    """The dialect under which the header names the time, or else splits into most cells.

    Where there is no header, the one that makes the first row all numbers, so that it can be said.
    Blanks and colons, which also stand in names and in times, and what only `csv.Sniffer` finds, are
    tried where nothing else parts the header.
    """
    sample = text[:SAMPLE]

    def score(dialect: Dialect) -> tuple[bool, bool, int]:
        header = _header(sample, dialect)
        return time in header, is_data(header), len(header)

    best = max((quoted(sample, delimiter) for delimiter in DELIMITERS), key=score)
    if len(_header(sample, best)) > 1:
        return best
    return max([best, *(quoted(sample, delimiter) for delimiter in (" ", ":", *_sniffed(sample)))], key=score)


def _header(sample: str, dialect: Dialect) -> list[str]:
    return next(read_rows(sample, dialect, "", strict=False), (0, []))[1]


def _sniffed(sample: str) -> list[str]:
    try:
        found = csv.Sniffer().sniff(sample[:4096]).delimiter
    except csv.Error:
        return []
    return [] if found.isalnum() or found in "._\"'" else [found]


def quoted(sample: str, delimiter: str) -> Dialect:
    """Which quote opens cells, and whether a backslash escapes it within."""
    part = re.escape(delimiter)
    found = re.findall(rf"(?:^|{part}) *(?:'(?:[^'\n]|'')*' *(?={part}|$)|(\"))", sample, re.MULTILINE)
    quote = "'" if found and not any(found) else '"'
    escaped = re.search(rf"\\{quote}(?! *(?:{part}|$))", sample, re.MULTILINE)
    return Dialect(delimiter, quote, "\\" if escaped else None)


def read_rows(
    text: str, dialect: Dialect, source: str, strict: bool = True, above: int = 0, mark: str = ""
) -> Iterator[tuple[int, list[str]]]:
    """Each row that is not blank, with its line in the file.

    **Arguments:**

    - `above`: how many lines the file has before the text.
    - `mark`: what comments begin with, if there are some: they are passed over.
    """
    reader = csv.reader(
        io.StringIO(text, newline=""),
        delimiter=dialect.delimiter,
        quotechar=dialect.quote,
        escapechar=dialect.escape,
        skipinitialspace=True,
        strict=strict,
    )
    line = above + 1
    try:
        for row in reader:
            cells = [cell.strip() for cell in row]
            if dialect.delimiter == " " and cells and not cells[-1]:
                del cells[-1]  # blanks at the end of a line
            if cells not in ([], [""]) and not (mark and cells[0].startswith(mark)):
                yield line, cells
            line = above + reader.line_num + 1  # a quoted line break makes one row of several lines
    except csv.Error as e:
        raise DataError(
            f"{source}, row {line}: broken quotes ({e}): a quoted cell must end in a quote; "
            "close each quote, and double quotes in cells"
        ) from None
