"""Numbers that mean "missing": taken out where the caller names them, reported where they look like it."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ctmodels._core._words import argument

NINES = tuple(sign * x for x in (99.0, 99.9, 99.99, 999.0, 999.9, 999.99, 9999.0, 9999.9, 99999.0) for sign in (-1, 1))
# What instruments and formats write for missing: nines, the ends of bytes, netCDF's and ERDDAP's fill values.
SUSPECTS = (*NINES, -128.0, -127.0, 255.0, 1e20, -1e20, 1e30, -1e30, 1e34, -1e34, 9.969209968386869e36)
# The ends of wider integers, and netCDF's fill values of them: hit by chance so rarely that less distance is needed.
ENDS = (
    *(-32768.0, -32767.0, 32767.0, 65535.0, -2147483648.0, -2147483647.0, 2147483647.0, 4294967295.0),
    *(float(-(2**63)), float(2**63 - 1), float(2**64 - 1)),
)


def sift(
    values: np.ndarray,
    names: Sequence[str],
    row: Callable[[int], str],
    source: str,
    sentinels: Sequence[float | int],
    ends: Sequence[tuple[float, ...]] = (),
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Make the sentinels missing, and report what else looks like one.

    **Arguments:**

    - `values`: `(n, columns)`, NaN where missing.
    - `row`: names the place of row `i`.
    - `sentinels`: the values that mean missing.
    - `ends`: of each column, the values at the ends of its type.

    **Returns:**

    The values, and sentences for the user. A suspect is not changed.
    """
    out = np.zeros(values.shape, bool)
    for sentinel in sentinels:
        out |= equal(values, sentinel)
    kept = np.where(out, np.nan, values)
    number, said = int(out.sum()), []
    if sentinels:
        said = [f"{source}: {number} value{'s' * (number != 1)} of {_listed(sentinels)} taken as missing"]
    for name, column, own in zip(names, kept.T, ends or [()] * len(names), strict=True):
        said += [_said(source, name, column, value, row) for value in _suspects(column, own)]
    return kept, tuple(said)


def equal(values: np.ndarray, sentinel: float | int) -> np.ndarray:
    """Where a number is the sentinel: a whole number exactly, any other as float32 would have it, since a decimal
    that went through float32 has lost its end. False for NaN."""
    if not np.isfinite(sentinel):
        return values == sentinel
    whole = float(sentinel).is_integer() and abs(sentinel) < 2**53
    with np.errstate(over="ignore"):
        slack = 4 * np.spacing(abs(float(sentinel))) if whole else 1.2 * 2.0**-24 * abs(sentinel)
    return np.abs(values - sentinel) <= slack


def shown(value: float | int) -> str:
    """A number with as many digits as it takes to find it again."""
    short, value = f"{value:g}", float(value)
    if equal(np.array([value]), float(short))[0]:
        return short
    return str(int(value)) if value.is_integer() and abs(value) < 2**53 else repr(value)


def _suspects(column: np.ndarray, own: tuple[float, ...]) -> Iterator[float]:
    """Those far from all the rest: by the rest's whole range if repeated, by ten times that if alone; the ends of a
    type by a quarter of it; any other number by ten and a hundred times."""
    seen = column[np.isfinite(column)]
    ends = {*ENDS, *own}
    known = [value for value in dict.fromkeys((*SUSPECTS, *ENDS, *own)) if equal(seen, value).any()]
    for value in known:
        enough = (0.25, 0.25) if value in ends else (1.0, 10.0)
        if _distance(value, seen, known) > enough[int(equal(seen, value).sum() == 1)]:
            yield value
    for value in _ends_of(seen[~_any(seen, known)]):
        far = _distance(value, seen, [*known, value]) > (10.0, 100.0)[int(equal(seen, value).sum() == 1)]
        if far and len(np.unique(seen)) > len(known) + 5:  # neither pulses nor a switch
            yield value


def _ends_of(seen: np.ndarray) -> list[float]:
    return list(dict.fromkeys([float(seen.min()), float(seen.max())])) if len(seen) else []


def _any(values: np.ndarray, sentinels: Sequence[float]) -> np.ndarray:
    return np.logical_or.reduce([np.zeros(len(values), bool), *(equal(values, x) for x in sentinels)])


def _distance(value: float, seen: np.ndarray, apart: Sequence[float]) -> float:
    """From all but those that are set apart, in ranges of these."""
    rest = seen[~_any(seen, apart)]
    if not len(rest):
        return 0.0
    away = max(rest.min() - value, value - rest.max())
    return float(away / np.ptp(rest)) if np.ptp(rest) else float(np.inf if away > 0 else 0)


def _said(source: str, name: str, column: np.ndarray, value: float, row: Callable[[int], str]) -> str:
    at = np.flatnonzero(equal(column, value))
    first = row(int(at[0])).removeprefix(f"{source}, ")
    told = shown(value)
    return (
        f"{source}, column {name!r}: {told} in {len(at)} of {len(column)} rows, the first in {first}, is far from "
        f"all other values: it is kept; if it means missing, say so ({argument('sentinels', [float(told)])})"
    )


def _listed(sentinels: Sequence[float | int]) -> str:
    return " or ".join(shown(value) for value in sentinels)
