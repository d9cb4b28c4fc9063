r"""How to embed: the delay by mutual information, the dimension by false neighbours.

$$I(\tau) = \int p(x, x_\tau) \log \frac{p(x, x_\tau)}{p(x)\, p(x_\tau)}$$

of the values now and $\tau$ ago: its first minimum is the delay (Fraser and Swinney, Phys. Rev. A 33 (1986)). Densities
are those of a Gaussian kernel (Moon, Rajagopalan and Lall, Phys. Rev. E 52 (1995)): between hard cells the curve has
minima of the cells' own. A neighbour in $d$ dimensions is false if the next delay drives it away (Kennel, Brown and
Abarbanel, Phys. Rev. A 45 (1992)): by more than `ratio` times its distance, or to more than `far` deviations of the
series, as the nearest neighbour of a lonely point may be.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.trajectories._embedding import check_series, delayed, values_of

LEAST = 20  # pairs of values, or vectors, of which anything is said
MOST = 4000  # vectors whose neighbours are looked at
GRID = 64  # cells along each axis, on which densities are
COINCIDE = 1e-6  # deviations, within which values are the same but for rounding


@dataclasses.dataclass(frozen=True)
class DelayChoice:
    """A delay, and how it was found.

    - `delay`: in rows; `rule`: in words, what it is.
    - `lags`, `information`: the curve, `(lag,)`, in nats; `correlation`: the autocorrelation, `(lag,)`.
    """

    delay: int
    rule: str
    lags: np.ndarray
    information: np.ndarray
    correlation: np.ndarray


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


def _check_lags(series, lags, width, **_) -> None:
    check_series(series)
    for lag in np.ravel(lags):
        check_whole("lags", lag, 0)
    _check_width(width)


def _check_width(width) -> None:
    if width is not None and not 0 < width < 10:
        raise ValueError(
            f"{argument('width', width)}: of the kernel, in deviations of the series: above 0, such as 0.2"
        )


@before(_check_lags)
def mutual_information(
    series: Series | Sequence[Series], lags: ArrayLike, *, channel: int = 0, width: float | None = None
) -> np.ndarray:
    """The average mutual information of a channel's values now and so many rows before.

    **Arguments:**

    - `series`: one at even times, or a list of them. Pairs reach over no pause; missing values make none.
    - `lags`: in rows, `(lag,)`.
    - `width`: of the kernel, in deviations of the series; None: 0.4 n^(-1/6) of n values.

    **Returns:** nats, `(lag,)`.
    """
    counted = _Counted.of(values_of(series, channel), width)
    return np.array([counted.information(int(lag)) for lag in np.ravel(lags)])


def _check_most(series, most, width, **_) -> None:
    check_series(series)
    _check_width(width)
    if most is not None:
        check_whole("most", most, 2)


@before(_check_most)
def choose_delay(
    series: Series | Sequence[Series], *, most: int | None = None, channel: int = 0, width: float | None = None
) -> DelayChoice:
    """The first minimum of the average mutual information; where there is none, the first lag at which the
    autocorrelation is below 1/e, and where there is none either, `most`: `rule` says which.

    What chance alone does to the curve makes no minimum: it has to rise again by three standard deviations of that, and
    by 1 % of the information of a value about itself.

    **Arguments:** `series`, `channel`, `width`: as of [`ctmodels.embedding.mutual_information`][]; `most`: the longest
    delay that is tried; None: a tenth of the longest piece without a pause, 500 at most.

    **Returns:** [`ctmodels.embedding.DelayChoice`][].
    """
    values = values_of(series, channel)
    longest = max(map(len, values))
    most = max(2, min(longest // 10, 500)) if most is None else most
    if most > longest - LEAST:
        raise DataError(
            f"{argument('most', most)}: the longest piece of the record without a pause has {longest} rows: a delay of "
            f"at most {longest - LEAST} leaves {LEAST} pairs of values; give a smaller one, or a longer record"
        )
    counted = _Counted.of(values, width)
    lags = np.arange(most + 1)
    information = np.array([counted.information(int(lag)) for lag in lags])
    correlation = np.array([_correlation(values, int(lag)) for lag in lags])
    delay, rule = _delay(information, correlation, max(3 * counted.chance, 0.01 * information[0]))
    return DelayChoice(delay, rule, lags, information, correlation)


def _delay(information: np.ndarray, correlation: np.ndarray, rise: float) -> tuple[int, str]:
    for lag in range(1, len(information) - 1):
        later = information[lag:]
        lower, higher = later < information[lag], later > information[lag] + rise
        if higher.any() and not lower[: np.argmax(higher)].any():
            return lag, f"delay {lag}: the first minimum of the mutual information"
    without = f"the mutual information has no minimum up to a lag of {len(information) - 1}"
    below = np.flatnonzero(correlation < np.exp(-1))
    if len(below):
        return int(below[0]), f"delay {below[0]}: {without}; the first lag of an autocorrelation below 1/e"
    last = len(information) - 1
    return last, f"delay {last}: {without}, nor is the autocorrelation below 1/e: raise `most`"


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


@dataclasses.dataclass(frozen=True)
class _Counted:
    """The cell of each value, -1 where missing; what each cell's weight spreads to, `(cell, cell)`; and the standard
    deviation of the information of independent values."""

    cells: list[np.ndarray]
    spread: np.ndarray
    chance: float

    @classmethod
    def of(cls, values: list[np.ndarray], width: float | None) -> "_Counted":
        seen = np.concatenate(values)
        seen = seen[~np.isnan(seen)]
        if len(seen) < LEAST:
            raise DataError(f"series: {len(seen)} values: {LEAST} at least are needed to say anything of its delays")
        kernel = 0.4 * float(len(seen)) ** (-1 / 6) if width is None else float(width)
        low, high = seen.min() - 2 * kernel, seen.max() + 2 * kernel
        cell = (high - low) / GRID
        places = np.arange(GRID) * cell
        spread = np.exp(-0.5 * ((places[:, None] - places) / kernel) ** 2)
        cells = [np.where(np.isnan(x), -1, (np.nan_to_num(x, nan=low) - low) // cell).astype(int) for x in values]
        # As many cells as kernels side by side: what a histogram of so many would have, by the chi-squared law.
        chance = (high - low) / (2 * np.sqrt(np.pi) * kernel) / (np.sqrt(2) * len(seen))
        return cls(cells, spread / spread.sum(axis=0), chance)

    def information(self, lag: int) -> float:
        now = np.concatenate([x[lag:] for x in self.cells])
        past = np.concatenate([x[: max(len(x) - lag, 0)] for x in self.cells])
        pairs = (now >= 0) & (past >= 0)
        if pairs.sum() < LEAST:
            raise DataError(
                f"lags: {lag} rows leave {pairs.sum()} pairs of values without a pause between: {LEAST} at least are "
                "needed; give a shorter one, or a longer record"
            )
        counts = np.bincount(now[pairs] * GRID + past[pairs], minlength=GRID**2).reshape(GRID, GRID)
        p = self.spread @ (counts / counts.sum()) @ self.spread.T
        independent = p.sum(axis=1, keepdims=True) * p.sum(axis=0)
        some = p > np.finfo(float).tiny ** 0.5
        return float(np.sum(p[some] * np.log(p[some] / independent[some])))


def _correlation(values: list[np.ndarray], lag: int) -> float:
    products = np.concatenate([x[lag:] * x[: max(len(x) - lag, 0)] for x in values])
    return float(np.nanmean(products))
