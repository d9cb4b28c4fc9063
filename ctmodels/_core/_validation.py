"""Validation: what times and values must be before they come in, checked on the host with numpy.

Every message reads `place: what was found: what is allowed; the remedy`. An *index* becomes a
*place* through the caller's `at`, so that one set of checks speaks of "ts[16]" for an array and of
"lynx.csv, row 17" for a file.
"""

from collections.abc import Callable, Collection, Sequence

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._words import argument

LARGEST = 3e38  # just inside float32 (3.4e38), in which models compute


class DataError(ValueError):
    """Data that cannot be used as they are; says the place, the value, the limit and the remedy."""


def check_times(
    ts: ArrayLike,
    at: Callable[[int], str] | None = None,
    *,
    name: str = "ts",
    by: str = "time",
    show: Callable[[int], str] | None = None,
    least: int = 2,
) -> None:
    """Check that times are real, finite and strictly increasing, and that there are enough.

    **Arguments:**

    - `ts`: the times, shape `(time,)`, in any unit.
    - `at`: names the place of time `i`. Default: `"ts[i]"`.
    - `name`: what the times as a whole are called, for instance "lynx.csv, column 'year'".
    - `by`: what the rows would be sorted by.
    - `show`: how time `i` is written in a message, for instance as the cell of a file.
        Default: its value.
    - `least`: how many are enough.

    **Returns:**

    Nothing. Raises `DataError` at the first time that is wrong.
    """
    ts = _real(ts, name)
    at = at or (lambda i: f"{name}[{i}]")
    show = show or (lambda i: str(ts[i]))
    if ts.ndim != 1:
        raise DataError(f"{name}: shape {ts.shape}: times have one axis, (time,); {_flatten(ts)}")
    if len(ts) < least:
        found = "no times" if len(ts) == 0 else "only 1 time"
        raise DataError(f"{name}: {found}: a series needs at least {least} points; give more rows")
    _check_finite_times(ts, at, show)
    _check_increasing(ts, at, show, by)


def check_values(
    ys: ArrayLike,
    names: Sequence[str] | None = None,
    at: Callable[[int], str] | None = None,
    *,
    name: str = "ys",
    constant_ok: Collection[str] = (),
) -> None:
    """Check that values are real, fit into float32, and that every column says something.

    **Arguments:**

    - `ys`: the values, shape `(time, channel)`; NaN means missing.
    - `names`: the name of each channel. Default: "0", "1", ...
    - `at`: names the place of row `i`. Default: `"ys[i]"`.
    - `name`: what the values as a whole are called, for instance "lynx.csv".
    - `constant_ok`: names of the channels that may be constant, as inputs (controls) may.

    **Returns:**

    Nothing. Raises `DataError` at the first value or channel that is wrong.
    """
    ys = _real(ys, name)
    if ys.ndim != 2:
        remedy = f"pass {name}[:, None]" if ys.ndim == 1 else "pass one series at a time"
        raise DataError(f"{name}: shape {ys.shape}: values have two axes, (time, channel); {remedy}")
    if ys.size == 0:
        raise DataError(f"{name}: shape {ys.shape} is empty: at least 1 row and 1 channel are needed; give some values")
    names = _names(ys, names, name)
    _check_size(ys, names, at or (lambda i: f"{name}[{i}]"))
    for channel, column in zip(names, ys.T, strict=True):
        _check_channel(column, f"{name}, column {channel!r}", channel in constant_ok)


def check_lengths(ts: ArrayLike, ys: ArrayLike, *, names: tuple[str, str] = ("ts", "ys")) -> None:
    """Check that there is one row of values for each time.

    **Arguments:**

    - `ts`: the times, shape `(time,)`.
    - `ys`: the values, shape `(time, channel)`.
    - `names`: what the two are called.

    **Returns:**

    Nothing. Raises `DataError` if the lengths disagree.
    """
    rows, shape = np.size(ts), np.shape(ys)
    if shape[:1] != (rows,):
        turned = len(shape) == 2 and shape[1] == rows
        remedy = f"pass {names[1]}.T" if turned else "cut or fill them to the same rows"
        raise DataError(
            f"{names[0]} has length {rows} and {names[1]} has shape {shape}: "
            f"each time needs one row of values, (time, channel); {remedy}"
        )


def _real(x: ArrayLike, name: str) -> np.ndarray:
    """`x` as an array of real numbers."""
    if isinstance(x, np.ma.MaskedArray):
        raise DataError(f"{name}: a masked array: missing values are NaN here; pass {name}.filled(np.nan)")
    try:
        x = np.asarray(x)
    except ValueError:
        raise DataError(f"{name}: rows of unequal length: an array is needed; fill them up with NaN") from None
    if x.dtype.kind not in "iuf":
        raise DataError(f"{name}: dtype {x.dtype}: real numbers are needed; {_convert(x.dtype.kind, name)}")
    return x


def _convert(kind: str, name: str) -> str:
    """How to make real numbers of a dtype."""
    if kind in "mM":
        zero = "" if kind == "m" else f" - {name}[0]"
        return f"pass ({name}{zero}) / np.timedelta64(1, 's')"
    if kind == "c":
        return f"pass {name}.real and {name}.imag as two channels"
    return f"convert with {name}.astype(float)"


def _flatten(ts: np.ndarray) -> str:
    """How to make one axis of a shape."""
    if ts.size == max(ts.shape, default=1):
        return "pass ts.ravel()"
    return "give one time for each row of values"


def _size(x: np.ndarray) -> np.ndarray:
    """Magnitude in float64: float16 cannot hold the limit, and -2**63 has no integer magnitude."""
    with np.errstate(over="ignore"):
        return np.abs(x.astype(np.float64))


def _check_finite_times(ts, at, show) -> None:
    wrong = np.flatnonzero(~(_size(ts) <= LARGEST))
    if len(wrong):
        i = int(wrong[0])
        raise DataError(
            f"{at(i)}: time {show(i)}: times must be finite and "
            f"at most {LARGEST:g} in size (float32); drop the row or put in its time"
        )


def _check_increasing(ts, at, show, by) -> None:
    wrong = np.flatnonzero(ts[1:] <= ts[:-1])
    if not len(wrong):
        return
    i = int(wrong[0]) + 1
    if ts[i] == ts[i - 1]:
        raise DataError(
            f"{at(i)}: time {show(i)} is a duplicate of the one before: times must increase; "
            "keep one row for each time, or average them"
        )
    raise DataError(f"{at(i)}: time {show(i)} after {show(i - 1)}: times must increase; sort the rows by {by}")


def _names(ys: np.ndarray, names: Sequence[str] | None, name: str) -> Sequence[str]:
    """The names of the channels, as many as there are channels."""
    if names is None:
        return [str(c) for c in range(ys.shape[1])]
    if len(names) != ys.shape[1]:
        raise DataError(
            f"{name}: {ys.shape[1]} channels (shape {ys.shape}) but {len(names)} names, "
            f"{list(names)}: each channel needs one name; "
            f"give {ys.shape[1]} names, or pass the values as (time, channel)"
        )
    return names


def _check_size(ys: np.ndarray, names: Sequence[str], at: Callable[[int], str]) -> None:
    wrong = np.argwhere(_size(ys) > LARGEST)  # false for NaN
    if len(wrong):
        i, c = (int(k) for k in wrong[0])
        value = ys[i, c]
        found = f"infinite value {value}" if np.isinf(value) else f"value {value}"
        raise DataError(
            f"{at(i)}, column {names[c]!r}: {found}: values must be finite and "
            f"at most {LARGEST:g} in size (float32); "
            "rescale the column, or make the value missing (NaN, or an empty cell of a file)"
        )


def _check_channel(column: np.ndarray, place: str, constant_ok: bool) -> None:
    seen = column[~np.isnan(column)]
    if len(seen) == 0:
        raise DataError(
            f"{place}: all {len(column)} values are missing (NaN): a column needs observed values; leave it out"
        )
    if not constant_ok and np.all(seen == seen[0]):
        raise DataError(
            f"{place}: constant, all {len(seen)} observed values are {seen[0]}: "
            "a column must vary, to be scaled and learnt; "
            f"leave it out, or declare it an input ({argument('constant_ok', ...)})"
        )


def check_resolution(ts: np.ndarray, dtype, at: Callable[[int], str] | None = None) -> None:
    """Refuse times whose spacing is under eight units in the last place of `dtype`. `at`: the place of time `i`, where
    the times were scaled already."""
    gaps, ulp = np.diff(ts), np.spacing(np.maximum(np.abs(ts[1:]), np.abs(ts[:-1])).astype(dtype))
    bad = np.flatnonzero(gaps < 8 * ulp.astype(np.float64))
    if bad.size:
        i, least = int(bad[0]), 8 * ulp.astype(np.float64)
        name, remedy = (
            np.dtype(dtype).name,
            "use a shorter stretch, or enable x64 (JAX_ENABLE_X64=1 in the environment)",
        )
        if at is None:
            raise DataError(
                f"ts[{i + 1}]: spacing {gaps[i]:.3g} at time {ts[i + 1]:.9g} is under 8 units in the last place of "
                f"{name} ({least[i]:.3g}): the times would run together; take the origin off and scale "
                f"(ctmodels.Scaling), {remedy}"
            )
        span = abs(float(ts[-1] - ts[0]))
        raise DataError(
            f"{at(i + 1)}: follows the time before it by {gaps[i] / span:.2g} of the record's length, and {name} "
            f"resolves {least[i] / span:.2g} there: the times would run together; drop one of the two rows, {remedy}"
        )
