"""How to embed: the dimension, by false neighbours.

A neighbour is false if the next delay drives it away (Kennel, Brown and Abarbanel, Phys. Rev. A 45 (1992)): by more
than `ratio` times its distance, or to more than `far` deviations of the series, as a lonely point's may be.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.trajectories._embedding import LEAST, check_series, delayed, values_of

MOST = 4000  # vectors whose neighbours are looked at
COINCIDE = 1e-6  # deviations, within which values are the same but for rounding


@dataclasses.dataclass(frozen=True)
class DimensionChoice:
    """A dimension, and how it was found.

    - `dimension`: the first with few false neighbours; None where there is none; `rule`: in words.
    - `dimensions`: those that were tried, `(dimension,)`; `false`: the fraction of neighbours that are false in each,
      by either criterion; `by_ratio`, `by_distance`: by the one and by the other.
    """

    dimension: int | None
    rule: str
    dimensions: np.ndarray
    false: np.ndarray
    by_ratio: np.ndarray
    by_distance: np.ndarray


def _check_neighbours(series, delay, dimensions, channel, ratio, far, apart, **_) -> None:
    check_series(series)
    check_whole("delay", delay, 1)
    for dimension in np.ravel(dimensions):
        check_whole("dimensions", dimension, 1)
    if not (ratio > 0 and far > 0):
        raise ValueError(f"{argument('ratio', ratio)}, {argument('far', far)}: both are above 0; 15 and 2 are usual")
    if apart is not None:
        check_whole("apart", apart, 0)


@before(_check_neighbours)
def false_neighbours(
    series: Series | Sequence[Series],
    delay: int,
    dimensions: ArrayLike,
    *,
    channel: int = 0,
    ratio: float = 15.0,
    far: float = 2.0,
    apart: int | None = None,
) -> np.ndarray:
    """How many of the nearest neighbours are none any more with one delay more.

    **Arguments:**

    - `series`, `channel`: as of [`ctmodels.embedding.mutual_information`][].
    - `delay`: in rows; `dimensions`: those to try, `(dimension,)`.
    - `ratio`, `far`: the two criteria, Kennel's 15 and 2.
    - `apart`: neighbours are at least so many rows apart in time, since else they are the same passage (Theiler's
      window); None: the delay.

    **Returns:** `(dimension, 3)`: the fraction that is false by either criterion, by the ratio, by the distance. At
    most 4000 vectors of each dimension are asked for their neighbour among all.
    """
    values = values_of(series, channel)
    apart = delay if apart is None else apart
    return np.stack([_false(values, delay, int(d), ratio, far, apart) for d in np.ravel(dimensions)])


def _check_choice(series, delay, most, few, **_) -> None:
    check_whole("most", most, 1)
    if not 0 < few < 1:
        raise ValueError(f"{argument('few', few)}: a fraction between 0 and 1 is needed, such as 0.05")


@before(_check_choice)
def choose_dimension(
    series: Series | Sequence[Series], delay: int, *, most: int = 8, few: float = 0.05, **criteria
) -> DimensionChoice:
    """The first dimension in which few of the nearest neighbours are false; or less than twice as many, where one more
    dimension does not halve them.

    **Arguments:** `series`, `delay`, `criteria`: as of [`ctmodels.embedding.false_neighbours`][]; `most`: the largest
    that is tried; `few`: the fraction that is few. Of clean data 0.01 is often asked for; but near a saddle neighbours
    part within one delay in any dimension, which is why there is a second rule.

    **Returns:** [`ctmodels.embedding.DimensionChoice`][], whose `dimension` is None where there is none: noise has no
    dimension, and a record may be too short, or too noisy, for its own.
    """
    dimensions = np.arange(1, most + 1)
    fractions = false_neighbours(series, delay, dimensions, **criteria)
    dimension = _dimension(fractions[:, 0], few)
    said = ", ".join(f"{d}: {100 * f:.1f} %" for d, f in zip(dimensions, fractions[:, 0], strict=True))
    if dimension is None:
        rule = (
            f"no dimension up to {most} has under {100 * few:g} % false neighbours ({said}): the series is noise, or "
            "noisy, or too short for its dimension; smooth it, or give a larger `few` or `most`"
        )
    elif fractions[dimension - 1, 0] < few:
        rule = f"dimension {dimension}: the first with under {100 * few:g} % false neighbours ({said})"
    else:
        rule = f"dimension {dimension}: few neighbours are false, and one more does not halve them ({said})"
    return DimensionChoice(dimension, rule, dimensions, *fractions.T)


def _dimension(false: np.ndarray, few: float) -> int | None:
    levelled = np.append((false[:-1] < 2 * few) & (false[1:] > 0.5 * false[:-1]), False)
    found = np.flatnonzero((false < few) | levelled)
    return int(found[0]) + 1 if len(found) else None


def _false(values, delay: int, dimension: int, ratio: float, far: float, apart: int) -> np.ndarray:
    from scipy.spatial import KDTree

    vectors, rows = delayed(values, delay, dimension + 1)
    if len(vectors) < LEAST + apart:
        raise DataError(
            f"{argument('delay', delay)}, dimension {dimension}: {len(vectors)} vectors of {dimension + 1} delays "
            f"without a pause or a missing value: {LEAST + apart} at least are needed; give a shorter delay, a smaller "
            "dimension or a longer record"
        )
    # The next delay reaches further back, so that the same vectors serve both dimensions.
    now, extra = vectors[:, 1:], vectors[:, 0]
    asked = np.unique(np.linspace(0, len(now) - 1, min(len(now), MOST)).astype(int))
    distances, neighbours = _neighbours(KDTree(now), now, rows, asked, apart)
    away = np.abs(extra[asked] - extra[neighbours])
    by_ratio = away > ratio * np.maximum(distances, COINCIDE)
    by_distance = np.hypot(distances, away) > far
    return np.array([np.mean(by_ratio | by_distance), np.mean(by_ratio), np.mean(by_distance)])


def _neighbours(tree, vectors, rows, asked, apart: int) -> tuple[np.ndarray, np.ndarray]:
    """The nearest of each vector that is not of the same passage: of more and more neighbours, the first such."""
    distance, neighbour = np.full(len(asked), np.inf), np.zeros(len(asked), int)
    open_, count = np.arange(len(asked)), 8
    while len(open_):
        count = min(count, len(vectors))
        d, n = tree.query(vectors[asked[open_]], k=count)
        other = np.abs(rows[n] - rows[asked[open_]][:, None]) > apart
        found = other.any(axis=1)
        first = np.argmax(other, axis=1)
        at = np.arange(len(open_))
        distance[open_[found]], neighbour[open_[found]] = d[at, first][found], n[at, first][found]
        open_ = open_[~found] if count < len(vectors) else open_[:0]
        count *= 4
    return distance, neighbour
