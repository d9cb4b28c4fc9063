"""A table's times as dates of the calendar."""

import numpy as np

from ctmodels.data._instants import instant, iso, iso_parts
from ctmodels.data._timeline import UNITS

MICROSECOND = 10**12  # attoseconds


def dates_of(time: np.ndarray, unit: str, origin: str) -> np.ndarray | None:
    """Times in a unit since an origin, as a `Table` has them, to the microsecond, in UTC where the origin has a zone;
    None where they are no dates, or none that NumPy and the years 1 to 9999 can write."""
    found = iso(origin)
    if found is None or not UNITS.get(unit):
        return None
    start = instant(origin, iso_parts(found)).at // MICROSECOND
    since = start + np.asarray(time, np.float64) * (UNITS[unit] / MICROSECOND)
    first, end = (np.datetime64(text, "us").astype(np.int64) for text in ("0001-01-01", "9999-12-31"))
    if not np.all((since >= first) & (since <= end)):
        return None
    whole = start + np.rint(np.asarray(time, np.float64) * (UNITS[unit] / MICROSECOND)).astype(np.int64)
    return whole.astype("M8[us]")
