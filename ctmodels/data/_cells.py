"""The cells of a text file: what is a number, what is missing, and what is said of the rest."""

import re
from collections.abc import Iterable, Sequence

MISSING = frozenset({"", "na", "n/a", "nan", "null", "none", "-"})
# float() alone would take 1_000 and the digits of other scripts
_NUMBER = re.compile(r"[+-]?(?:(?:\d+\.?\d*|\.\d+)(?:e[+-]?\d+)?|inf(?:inity)?)", re.ASCII | re.IGNORECASE)
_DECIMAL_COMMA = re.compile(r"[+-]?\d*,\d+(?:e[+-]?\d+)?", re.ASCII | re.IGNORECASE)
_DATE_LIKE = re.compile(r"\d{4}-\d\d", re.ASCII)


def missing(cell: str) -> bool:
    """Whether a cell says that there is no value."""
    return cell.lower() in MISSING


def number(cell: str) -> float:
    """The number in a cell.

    **Arguments:**

    - `cell`: the text, without blanks around it.

    **Returns:**

    A float, infinite only where the cell says so. Raises `ValueError`, without a place, if it is
    no number.
    """
    if not _NUMBER.fullmatch(cell):
        raise ValueError(f"cell {short(cell)}: {_complaint(cell)}")
    value = float(cell)
    if abs(value) == float("inf") and "inf" not in cell.lower():
        raise ValueError(f"cell {short(cell)}: infinite, past the largest float64 (1.8e308); rescale or empty it")
    return value


def _complaint(cell: str) -> str:
    if _DECIMAL_COMMA.fullmatch(cell):
        return "decimal commas are not read; write 1.5 for 1,5"
    return (
        "text in a column of numbers; write a number, leave the cell empty if it is missing, "
        "or choose other columns (--column; columns= in Python)"
    )


def is_text(cell: str) -> bool:
    """Whether a cell is not even a badly written number."""
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
