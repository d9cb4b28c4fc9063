"""Three small real series that come with the library, all in the public domain.

Sources: `bundled/SOURCES.md`.
"""

from importlib.resources import files
from pathlib import Path

from ctmodels._core._validation import DataError
from ctmodels.data._table import Table
from ctmodels.data.formats._csv import read_csv


def lynx_hare() -> Table:
    """Thousands of pelts of hare and lynx, Hudson's Bay Company, 1900-1920 (Odum 1953).

    **Returns:**

    A `Table` of 21 rows; `time` in calendar years; columns `hare`, `lynx`.
    """
    return read_csv(bundled_path("lynx_hare"), time="year")


def sunspots() -> Table:
    """Yearly sunspot numbers, 1700-2008.

    **Returns:**

    A `Table` of 309 rows; `time` in calendar years; column `sunspots`.
    """
    return read_csv(bundled_path("sunspots"), time="year")


def co2() -> Table:
    """Weekly atmospheric CO2 at Mauna Loa, 1958-2001, in parts per million, with gaps.

    **Returns:**

    A `Table` of 2284 rows, 59 of them missing; `time` in days since 1958-03-29;
    column `co2_ppm`.
    """
    return read_csv(bundled_path("co2"), time="date")


def bundled_path(name: str) -> Path:
    """Where a bundled series lies on the disk.

    **Arguments:**

    - `name`: "lynx_hare", "sunspots" or "co2".

    **Returns:**

    The path of its CSV file. Raises `DataError` if there is no such series.
    """
    folder = Path(str(files("ctmodels.data"))) / "bundled"
    there = {path.stem: path for path in sorted(folder.glob("*.csv"))}
    if name not in there:
        raise DataError(f"no bundled series {name!r}: there are {', '.join(there)}; choose one of these")
    return there[name]
