"""What commands that read a data file have in common: its options, and the reading."""

import argparse
import sys
from collections.abc import Callable


def add_file(add: Callable) -> None:
    """The file and its times."""
    add("file", metavar="FILE", help="CSV with a header, or npz, Parquet, netCDF, HDF5")
    add("--time", required=True, metavar="COLUMN", help="the column of times: numbers, dates or epochs (required)")


def add_columns(add: Callable) -> None:
    """Which columns are what, and how the file is written."""
    add("--input", dest="inputs", action="append", default=[], metavar="COLUMN",
        help="a column that drives the system; repeat it (default: none)")  # fmt: skip
    add("--column", dest="columns", action="append", default=[], metavar="COLUMN",
        help="a column to model; repeat it (default: all the others)")  # fmt: skip
    add("--missing", dest="sentinels", action="append", default=[], type=float, metavar="VALUE",
        help="means missing, as --missing=-999; repeat it (default: empty cells and NaN alone)")  # fmt: skip
    add("--skip", type=whole, default=0, metavar="N",
        help="rows of a text above its header (default: those of known loggers are recognised)")  # fmt: skip
    add("--units-row", action=argparse.BooleanOptionalAction,
        help="the row under the header has units, or has not (default: recognised)")  # fmt: skip
    add("--sort", action="store_true", help="the rows may stand in any order (default: they must increase in time)")
    add("--date-format", metavar="FORMAT",
        help="how dates in text are written, as %%d.%%m.%%Y (default: ISO 8601, or as their column tells)")  # fmt: skip
    add("--clock", metavar="WHAT",
        help="what numbers count: number, ms, 's since 1904-01-01', 'day as %%Y%%m%%d.%%f' (default: dates "
        "written as integers, and integers of the size of times since 1970, are recognised)")  # fmt: skip
    add("--wraps", type=count, metavar="N",
        help="counts after which a counter begins again, as 4294967296 (default: it does not)")  # fmt: skip


def count(text: str) -> float | int:
    """A number above zero, a whole one where it is written so."""
    number = float(text) if not text.isdigit() else int(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"{text}: a number above zero is needed")
    return number


count.__name__ = "number"


def whole(text: str) -> int:
    """Its limits are checked where it is used, for Python and the command line alike."""
    return int(text)


whole.__name__ = "whole number"


def read_file(arguments):
    """The table or trials, with what the reader noted on standard error."""
    from ctmodels.data import read

    columns = [*arguments.columns, *arguments.inputs] if arguments.columns else None
    table = read(
        arguments.file,
        arguments.time,
        columns,
        id=getattr(arguments, "id", None),
        sentinels=arguments.sentinels,
        constant_ok=arguments.inputs,
        sort=arguments.sort,
        date_format=arguments.date_format,
        clock=arguments.clock,
        wraps=arguments.wraps,
        skip=arguments.skip,
        units_row=arguments.units_row,
    )
    for note in table.notes:
        say_note(note)
    return table


def say_note(text: str) -> None:
    """On standard error."""
    print(f"ctmodels: note: {text}", file=sys.stderr)
