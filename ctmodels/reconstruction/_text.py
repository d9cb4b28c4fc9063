"""How the user's names and units are written, for the report and the terminal alike."""

from typing import NamedTuple

from ctmodels.data import Table


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


def plain(text: str, most: int = 40) -> str:
    """Text for a figure, a label or a terminal: one line, printable, not too long."""
    text = "".join(c if c.isprintable() else "\ufffd" for c in text)
    return text if len(text) <= most else text[: most - 1] + "…"
