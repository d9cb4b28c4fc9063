"""Numbers that mean "missing": taken out where the caller names them, reported where they look like it."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from ctmodels._words import argument

# What instruments and formats write for missing: nines, the ends of the integers, netCDF's and ERDDAP's fill values.
SUSPECTS = (
    *(sign * nines for nines in (99.0, 99.9, 99.99, 999.0, 999.9, 999.99, 9999.0, 9999.9, 99999.0) for sign in (-1, 1)),
    *(-32768.0, 32767.0, -2147483648.0, 2147483647.0, 1e20, -1e20, 1e30, -1e30, 1e34, -1e34, 9.969209968386869e36),
)  # fmt: skip
CLOSE = 1e-6  # relative, so that a float32 of a file is known by its decimal


def sift(
    values: np.ndarray, names: Sequence[str], row: Callable[[int], str], source: str, sentinels: Sequence[float | int]
) -> tuple[np.ndarray, tuple[str, ...]]:
    """Make the sentinels missing, and report what else looks like one.

    **Arguments:**

    - `values`: `(n, columns)`, NaN where missing.
    - `row`: names the place of row `i`.
    - `sentinels`: the values that mean missing.

    **Returns:**

    The values, and sentences for the user. A suspect is not changed.
    """
    out = np.zeros(values.shape, bool)
    for sentinel in sentinels:
        out |= _equal(values, sentinel)
    kept = np.where(out, np.nan, values)
    said = [f"{source}: {out.sum()} values of {_listed(sentinels)} taken as missing"] if sentinels else []
    for name, column in zip(names, kept.T, strict=True):
        said += [_said(source, name, column, value, row) for value in _suspects(column)]
    return kept, tuple(said)


def _equal(values: np.ndarray, sentinel: float | int) -> np.ndarray:
    return np.abs(values - sentinel) <= CLOSE * abs(sentinel)  # false for NaN


def _suspects(column: np.ndarray) -> Iterator[float]:
    """Those far from all the rest: by the rest's whole range if repeated, by ten times that if alone."""
    seen = column[np.isfinite(column)]
    there = [value for value in SUSPECTS if _equal(seen, value).any()]
    rest = seen[~np.logical_or.reduce([np.zeros(len(seen), bool), *(_equal(seen, value) for value in there)])]
    if not len(rest):
        return
    low, high = rest.min(), rest.max()
    for value in there:
        repeated = _equal(seen, value).sum() > 1
        if max(low - value, value - high) > (high - low) * (1 if repeated else 10):
            yield value


def _said(source: str, name: str, column: np.ndarray, value: float | int, row: Callable[[int], str]) -> str:
    at = np.flatnonzero(_equal(column, value))
    first = row(int(at[0])).removeprefix(f"{source}, ")
    return (
        f"{source}, column {name!r}: {value:g} in {len(at)} of {len(column)} rows, the first in {first}, is far from "
        f"all other values: it is kept; if it means missing, say so ({argument('sentinels', [value])})"
    )


def _listed(sentinels: Sequence[float | int]) -> str:
    return " or ".join(f"{value:g}" for value in sentinels)
