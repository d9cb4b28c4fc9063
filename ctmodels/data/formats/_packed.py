"""CF's rules for the numbers of a netCDF variable: which are missing, and how the rest are unpacked.

References: CF 2.5.1 and 8.1; the NetCDF Users Guide, appendix on attribute conventions.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels.data._cells import short, words

# What the netCDF library writes where nothing was written; bytes have none, as each of their values may be meant.
FILLS = {
    "i2": -32767, "u2": 65535, "i4": -2147483647, "u4": 4294967295,
    "i8": -9223372036854775806, "u8": 18446744073709551614, "f4": 9.969209968386869e36, "f8": 9.969209968386869e36,
}  # fmt: skip
PACKING = ("scale_factor", "add_offset", "_FillValue", "missing_value", "_Unsigned")


class Unpacked(NamedTuple):
    """`ends`: the values at the ends of the stored type, which may mean missing; `notes`: of what became missing."""

    values: np.ndarray
    ends: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()


def unpack(variable: Any, place: str) -> Unpacked:
    """The numbers of a variable of xarray, as stored or as xarray unpacked it, NaN where missing."""
    if variable.dtype.kind not in "iuf":
        return Unpacked(variable.values)
    stored = _Stored(variable, place)
    fills = stored.numbers("_FillValue")
    missing = np.isin(stored.raw, [])
    for fill in fills + stored.numbers("missing_value"):
        missing |= stored.raw == fill
    outside = ~missing & _outside(stored)
    default = FILLS.get(stored.type) if stored.of_file and not fills else None
    unwritten = np.isin(stored.raw, []) if default is None else stored.raw == default
    _note(stored, outside, f"outside the valid range {_range(stored)} that the file declares")
    _note(stored, unwritten & ~outside, f"{default}, netCDF's fill value of what was never written")
    out = missing | outside | unwritten
    values = np.where(out, np.nan, stored.unpacked(stored.raw)) if out.any() else stored.unpacked(stored.raw)
    return Unpacked(values, stored.ends(), tuple(stored.notes))


class _Stored:
    """A variable's numbers as they lie in the file, with its attributes."""

    def __init__(self, variable: Any, place: str):
        self.place, self.notes = place, []
        decoded = any(key in variable.encoding for key in PACKING)
        self.attrs: Mapping[str, Any] = {**{k: variable.encoding[k] for k in PACKING if k in variable.encoding}}
        self.attrs = {**self.attrs, **variable.attrs}
        self.scale = (self.numbers("scale_factor") or [1])[0]
        self.offset = (self.numbers("add_offset") or [0])[0]
        self.packed = self.scale != 1 or self.offset != 0
        self.of_file = "dtype" in variable.encoding or "source" in variable.encoding
        self.raw = variable.values
        kind = np.dtype(variable.encoding.get("dtype", variable.dtype)) if decoded else variable.dtype
        self.dtype = kind if kind.kind in "iuf" else variable.dtype
        if decoded:
            self._pack()
        if self.dtype.kind in "iu" and self.raw.dtype == self.dtype and "_Unsigned" in self.attrs:
            self._sign()
        self.type = f"{self.dtype.kind}{self.dtype.itemsize}"

    def numbers(self, name: str) -> list[float | int]:
        """An attribute as numbers of Python; none where it is not there or, which is noted, is no number."""
        given = self.attrs.get(name)
        if given is None:
            return []
        try:
            found = [x if isinstance(x, int | float) else float(words(x)) for x in np.ravel(given).tolist()]
        except (ValueError, TypeError):
            self.notes.append(f"{self.place}: the attribute {name} is {short(words(given))}, no number: passed over")
            return []
        return [self._turned(x) if isinstance(x, int) else x for x in found]

    def unpacked(self, raw: np.ndarray) -> np.ndarray:
        return raw.astype(np.float64) * self.scale + self.offset if self.packed else raw

    def ends(self) -> tuple[float, ...]:
        """Of an integer type: its least and largest, and the fill value of bytes."""
        if self.dtype.kind not in "iu":
            return ()
        info = np.iinfo(self.dtype)
        ends = [info.min, info.max, info.min + 1] if info.min else [info.max]
        return tuple(float(x) for x in self.unpacked(np.array(ends, np.float64)))

    def _pack(self) -> None:
        """Undo what xarray did, where it did something."""
        if self.packed:
            self.raw = (self.raw.astype(np.float64) - self.offset) / self.scale
        if self.dtype.kind in "iu":
            self.raw = np.rint(self.raw)

    def _sign(self) -> None:
        unsigned = words(self.attrs["_Unsigned"]).lower() == "true"
        self.dtype = np.dtype(f"{'u' if unsigned else 'i'}{self.dtype.itemsize}")
        self.raw = np.ascontiguousarray(self.raw).view(self.dtype.newbyteorder(self.raw.dtype.byteorder))

    def _turned(self, x: int) -> int:
        """A number of an attribute, which has the other sign where the variable is `_Unsigned`."""
        dtype = getattr(self, "dtype", None)
        if "_Unsigned" not in self.attrs or dtype is None or dtype.kind not in "iu":
            return x
        info = np.iinfo(dtype)
        return (x - info.min) % (1 << info.bits) + info.min


def _note(stored: _Stored, out: np.ndarray, what: str) -> None:
    count = int(out.sum())
    if count and count == out.size:
        raise DataError(f"{stored.place}: all {count} values are {what}: correct the file, or leave the column out")
    if count:
        stored.notes.append(f"{stored.place}: {count} of {out.size} values are {what}: taken as missing")


def _bounds(stored: _Stored) -> tuple[float | int, float | int]:
    """Of the valid values, as declared."""
    both = stored.numbers("valid_range")
    if both and (len(both) != 2 or not both[0] <= both[1]):
        stored.notes.append(f"{stored.place}: the attribute valid_range is {both}, no lower and upper end: passed over")
        both = []
    low, high = both or (-np.inf, np.inf)
    return max([low, *stored.numbers("valid_min")]), min([high, *stored.numbers("valid_max")])


def _range(stored: _Stored) -> str:
    said = len(stored.notes)
    low, high = _bounds(stored)
    del stored.notes[said:]
    return f"{low:g} to {high:g}".replace("-inf to", "up to").replace(" to inf", " and more")


def _outside(stored: _Stored) -> np.ndarray:
    """Where the numbers are outside the bounds, which are those of stored numbers unless they have the wider type of
    the unpacked ones."""
    low, high = bounds = _bounds(stored)
    if stored.packed and _of_unpacked(stored):
        low, high = sorted((x - stored.offset) / stored.scale for x in bounds)
    if stored.raw.dtype.kind == "f" and stored.dtype.kind == "f":
        low, high = (stored.raw.dtype.type(x) for x in (low, high))  # as the nearest number of the file's type
    slack = 1e-6 if stored.packed else 0  # of a step: what rounding may do
    return (stored.raw < low - slack) | (stored.raw > high + slack)


def _of_unpacked(stored: _Stored) -> bool:
    given = [np.asarray(stored.attrs[k]).dtype for k in ("valid_range", "valid_min", "valid_max") if k in stored.attrs]
    return all(d.kind == "f" and (stored.dtype.kind in "iu" or d.itemsize > stored.dtype.itemsize) for d in given)
