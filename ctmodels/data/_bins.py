"""Bins: where they begin and end, and what is said of those that cannot be."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, plain
from ctmodels.data._memory import NUMBER, check_memory

# Of a bin: times are multiples of a clock's tick, and edges of a width, but for rounding.
ROUNDING = 1e-6


def trial_spans(trials: ArrayLike, stop: float | int | None) -> tuple[list[float], list[float | None]]:
    """Where each begins on the clock of the spikes, and ends on its own; None where edges say so."""
    given = np.asarray(trials)
    if given.dtype.kind not in "iuf" or given.shape[1:] not in ((), (2,)) or not given.size:
        raise DataError(
            f"trials: shape {given.shape} of {given.dtype}: beginnings and ends are wanted, (trial, 2), or beginnings, "
            "(trial,); of one trial, [(begin, end)]"
        )
    given = given.astype(np.float64)
    bad = np.argwhere(~np.isfinite(given))
    if len(bad):
        raise DataError(
            f"trials{bad[0].tolist()} is {given[tuple(bad[0])]:g}: each is a finite time; leave the trial out"
        )
    if given.ndim == 1:
        return given.tolist(), [None if stop is None else float(stop)] * len(given)
    short = np.flatnonzero(given[:, 1] <= given[:, 0])
    if len(short):
        i = int(short[0])
        raise DataError(
            f"trials[{i}] ends at {given[i, 1]:g} and begins at {given[i, 0]:g}: the end is later; give (begin, end)"
        )
    return given[:, 0].tolist(), (given[:, 1] - given[:, 0]).tolist()


def checked_edges(edges: Any) -> np.ndarray:
    """Edges, checked."""
    edges = np.asarray(edges)
    if edges.ndim != 1 or len(edges) < 2 or edges.dtype.kind not in "iuf":
        raise DataError(
            f"edges: shape {edges.shape} of {edges.dtype}: numbers along one axis, two at least, are where bins begin "
            "and end; give one more than there are bins"
        )
    edges = edges.astype(np.float64)
    bad = np.flatnonzero(~(np.diff(edges) > 0) | ~np.isfinite(edges[1:]))
    if len(bad):
        i = int(bad[0]) + 1
        raise DataError(
            f"edges[{i}] is {edges[i]:g} after {edges[i - 1]:g}: edges are finite and increase, as each bin has a "
            "width; sort them, and name each once"
        )
    return edges


def grid(width, start: float, stop, trains: Sequence[np.ndarray], outside: str, what: str) -> np.ndarray:
    """Edges of bins of one width."""
    if stop is None:
        last = max((train[-1] for train in trains if len(train)), default=-math.inf)
        if last < start:
            raise DataError(
                f"{argument('stop', None)}: no spike comes after {argument('start', plain(start))}, and nothing says "
                f"where the bins end; give {argument('stop', ...)}"
            )
        stop = start + width * (math.floor((last - start) / width + ROUNDING) + 1)
    bins = (stop - start) / width
    count = round(bins) if abs(bins - round(bins)) <= ROUNDING else math.floor(bins)
    if not math.isfinite(bins) or count < 1:
        raise DataError(
            f"{what}: from {start:g} to {stop:g} there is no bin of {argument('width', plain(width))}: give a later "
            "end, or a smaller width"
        )
    if abs(bins - count) > ROUNDING and outside == "refuse":
        raise DataError(
            f"{what}: from {start:g} to {stop:g} there are {bins:.6g} bins of {argument('width', plain(width))}: a "
            f"whole number is needed; end at {start + count * width:.10g}, or let the rest go: "
            f"{argument('outside', 'drop')}"
        )
    needed = NUMBER * count * len(trains)
    check_memory(what, f"{count} bins of {len(trains)} neurons", needed, "give a larger width, or fewer neurons")
    return start + width * np.arange(count + 1)


def checked_pauses(unobserved: Any) -> np.ndarray:
    pauses = np.asarray(unobserved, np.float64).reshape(-1, 2) if np.size(unobserved) % 2 == 0 else np.zeros((1, 2))
    bad = np.flatnonzero(~(pauses[:, 1] > pauses[:, 0]))
    if len(bad):
        i = int(bad[0])
        raise DataError(
            f"unobserved[{i}] is {unobserved[i]!r}: a pause is (begin, end), the end later; give a list of such pairs"
        )
    return pauses


def rounding_of(edges: np.ndarray) -> float:
    return ROUNDING * float(np.diff(edges).min())
