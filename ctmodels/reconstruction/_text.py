"""How the user's names and units are written, for the report and the terminal alike."""

from typing import NamedTuple

from ctmodels.data import Table
from ctmodels.plot._axes import plain as plain


class TimeUnit(NamedTuple):
    """What durations are counted in, and rates."""

    durations: str
    rates: str

    @classmethod
    def of(cls, table: Table) -> "TimeUnit":
        """Of a table whose times may have no unit: then that of its column of times."""
        if table.time_unit:
            return cls(table.time_unit, f"1/{table.time_unit.removesuffix('s')}")
        name = plain(table.time_name)
        return cls(f"units of “{name}”", f"per unit of “{name}”")
