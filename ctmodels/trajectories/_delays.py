r"""How to embed: the delay, by mutual information.

$$I(\tau) = \int p(x, x_\tau) \log \frac{p(x, x_\tau)}{p(x)\, p(x_\tau)}$$

of the values now and $\tau$ ago: its first minimum is the delay (Fraser and Swinney, Phys. Rev. A 33 (1986)). Densities
are those of a Gaussian kernel (Moon, Rajagopalan and Lall, Phys. Rev. E 52 (1995)): between hard cells the curve has
minima of the cells' own.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.trajectories._embedding import LEAST, check_series, values_of

GRID = 64  # cells along each axis, on which densities are


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
