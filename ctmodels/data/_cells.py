"""The cells of a text file: what is a number, what is missing, and what is said of the rest."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-", "\u2212", "\u2013", "\u2014"})
# What programs that typeset write for signs and digits, and marks that do not show.
_TYPESET = {
    **dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2212\ufe63\uff0d"), "-"),
    **dict.fromkeys(map(ord, "\ufe62\uff0b"), "+"),
    **dict.fromkeys(map(ord, "\u200b\u200e\u200f\u2060\ufeff"), ""),
    **{ord("\uff10") + i: str(i) for i in range(10)},
    0xFF0E: ".",
    0xFF0C: ",",
}
# Blanks that part thousands: those at which no line breaks, and thin ones.
_BLANK = "[\u00a0\u2007\u2009\u202f]"
_GROUPED = re.compile(rf"[+-]?{_BLANK}?\d{{1,3}}(?:{_BLANK}\d{{3}})+(?:[.,]\d*)?", re.ASCII)
_SPACED = re.compile(rf"[+-]{_BLANK}[\d.,]+", re.ASCII)
# float() alone would take 1_000 and the digits of other scripts
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?)", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_THOUSANDS = re.compile(r"[+-]?[1-9]\d{0,2},\d{3}", re.ASCII)
_DATE_LIKE = re.compile(r"\d{4}-\d\d", re.ASCII)


def missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.lower() in MISSING


def plain(cell: str) -> str:
    """The number in ASCII where the cell is one that was typeset, with other signs and blanks; else the cell."""
    if cell.isascii():
        return cell
    turned = cell.translate(_TYPESET).strip()
    if _GROUPED.fullmatch(turned) or _SPACED.fullmatch(turned):
        turned = re.sub(_BLANK, "", turned)
    return turned if _NUMBER.fullmatch(turned) or _DECIMAL_COMMA.fullmatch(turned) else cell


def number(cell: str) -> float:
    """The number in a cell.

    **Arguments:**

    - `cell`: the text, without blanks around it.

    **Returns:**

    A float, infinite only where the cell says so. Raises `ValueError`, without a place, if it is
    no number.
    """
    cell = plain(cell)
    if not _NUMBER.fullmatch(cell):
        raise ValueError(f"cell {short(cell)}: {_complaint(cell)}")
    value = float(cell)
    if abs(value) == float("inf") and "inf" not in cell.lower():
        raise ValueError(f"cell {short(cell)}: infinite, past the largest float64 (1.8e308); rescale or empty it")
    return value


def _complaint(cell: str) -> str:
    if _DECIMAL_COMMA.fullmatch(cell):
        return "decimal commas are read only where another sign parts the cells; write 1.5 for 1,5"
    return (
        "text in a column of numbers; write a number, leave the cell empty if it is missing, "
        f"or choose other columns ({argument('columns', ...)})"
    )


class Commas:
    """Decimal commas, read where no comma parts cells; refused at the end where they may be something else."""

    def __init__(self, delimiter: str):
        self.read = delimiter != ","
        self.comma = self.point = ("", "")  # the first of each: its place and its cell
        self.sure = False

    def __call__(self, cell: str, here: str, column: str) -> str:
        """The cell with a decimal point."""
        cell = plain(cell)
        if self.read and "," in cell and _DECIMAL_COMMA.fullmatch(cell):
            self.comma = self.comma if self.comma[0] else (f"{here}, column {column!r}", cell)
            self.sure |= not _THOUSANDS.fullmatch(cell)
            return cell.replace(",", ".")
        if self.read and "." in cell and not self.point[0] and _NUMBER.fullmatch(cell):
            self.point = (f"{here}, column {column!r}", cell)
        return cell

    def check(self) -> None:
        """Whether all commas were decimal, without doubt."""
        (place, cell), (other, pointed) = self.comma, self.point
        if place and other:
            raise DataError(
                f"{place}: cell {cell!r} has a decimal comma and {pointed!r} ({other}) a decimal point: "
                "one file uses one of them; write 1.5 for 1,5, and 1500 for 1,500"
            )
        if place and not self.sure:
            raise DataError(
                f"{place}: cell {cell!r} may be a decimal comma or one between thousands, as may all in the file: "
                "nothing is guessed; write 1.5 for 1,5, or 1500 for 1,500"
            )


def is_text(cell: str) -> bool:
    """Whether a cell is not even a badly written number."""
    cell = plain(cell)
    return not (_NUMBER.fullmatch(cell) or _DECIMAL_COMMA.fullmatch(cell))


def is_data(cells: Sequence[str]) -> bool:
    """Whether a row has numbers or dates, and no names."""
    kinds = [not is_text(cell) or bool(_DATE_LIKE.match(cell)) for cell in cells]
    return any(kinds) and all(kind or missing(cell) for kind, cell in zip(kinds, cells, strict=True))


def short(cell: str, most: int = 40) -> str:
    """A cell as a message quotes it."""
    return repr(cell) if len(cell) <= most else f"{cell[:most]!r}..."


def listed(names: Iterable[str], most: int = 20) -> str:
    """Names as a message lists them."""
    names = list(names)
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(short(name) for name in names[:most]) + more


def words(x: Any) -> str:
    """An attribute, such as a unit, as text, whatever type it has in its file."""
    if isinstance(x, bytes):
        return x.decode("utf-8", "replace")
    if isinstance(x, np.ndarray):
        return ", ".join(map(words, x.ravel().tolist()))
    return "" if x is None or (isinstance(x, float) and x != x) else str(x)
