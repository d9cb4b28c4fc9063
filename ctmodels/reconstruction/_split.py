"""Where training ends, from where forecasts are made, and a forecast with its spread."""

from typing import NamedTuple

import numpy as np

from ctmodels._core._scaling import Scaling
from ctmodels._core._series import Series
from ctmodels.reconstruction._joined import Joined

ORIGINS = 20  # forecasts that a score pools, at most; of trials, one of each at the least
WARM_UP, WARM_UP_LEAST = 4, 2  # a fourth of a held-out trial, and two rows at the least, are seen before it is forecast
SPREAD = 1.645  # standard deviations on either side of 90 %
BAND = 0.9


class Split(NamedTuple):
    """The whole scaled series and its control, of trials end to end; training ends before row `n_train`; forecasts
    reach `horizon` rows from each of the `origins` (the row before the first forecast one); `breaks`: the rows at which
    another trial begins. Of several trials whole ones are held out."""

    series: Series
    control: Series | None
    n_train: int
    horizon: int
    origins: np.ndarray
    breaks: tuple[int, ...] = ()

    @classmethod
    def make(cls, whole: Joined, n_train: int, horizon: int) -> "Split":
        """With origins spread evenly over the tail, or over what of each held-out trial comes after its warm-up."""
        split = cls(whole.series, whole.control, n_train, horizon, np.zeros(0, int), whole.breaks)
        first, last = split.tail_origins(), split._ends_of_tail() - 1 - horizon
        fits = first <= last
        each = -(-ORIGINS // max(1, int(fits.sum())))
        spread = [np.linspace(a, b, each).astype(int) for a, b in zip(first[fits], last[fits], strict=True)]
        return split._replace(origins=np.unique(np.concatenate(spread)))

    @property
    def whole(self) -> Joined:
        """All rows."""
        return Joined(self.series, self.control, self.breaks)

    @property
    def by_trial(self) -> bool:
        """Whether whole trials are held out, and not the end of one series."""
        return self.n_train in self.breaks

    def train(self) -> Joined:
        """What may be learned from."""
        return self.whole[: self.n_train]

    def tail_origins(self) -> np.ndarray:
        """From where the tail is forecast as a whole: the end of training; or the end of each held-out trial's
        warm-up."""
        if not self.by_trial:
            return np.array([self.n_train - 1])
        held = self.whole[self.n_train :]
        return self.n_train + held.bounds[:-1] + warm_up(held.lengths) - 1

    def _ends_of_tail(self) -> np.ndarray:
        return self.whole.ends(self.tail_origins() + 1)

    @property
    def tail_length(self) -> int:
        """Rows of the longest forecast of the tail."""
        return int(np.max(self._ends_of_tail() - 1 - self.tail_origins()))

    def ahead(self, origins: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows `(origin, length)` that follow each origin, and which of them are of the same trial."""
        rows = origins[:, None] + 1 + np.arange(length)
        return rows, rows < self.whole.ends(origins)[:, None]

    def targets(self) -> np.ndarray:
        """Scaled observations that the forecasts are held against, `(origin, horizon, channel)`, NaN if missing."""
        return self.series.to_nan()[self.origins[:, None] + 1 + np.arange(self.horizon)]


def warm_up(length: np.ndarray) -> np.ndarray:
    """Rows of a held-out trial from which a filter finds its state, before it is forecast."""
    return np.minimum(np.maximum(WARM_UP_LEAST, length // WARM_UP), length - 1)


def reach(lengths: np.ndarray, horizon: int | None) -> int:
    """Rows that a scored forecast reaches in held-out trials of these lengths: as asked, as far as the longest goes; or
    an eighth of a typical one, at least ten, as far as that one goes."""
    free = lengths - warm_up(lengths)
    if horizon is not None:
        return min(horizon, int(free.max()))
    typical = int(np.median(lengths))
    return min(max(10, typical // 8), max(1, int(np.median(free))))


class Spread(NamedTuple):
    """A forecast in scaled values: the median, and the standard deviations of an observation `below` and `above` it
    (what a model scatters, and the noise of the measurement): the band of 90 % reaches 1.645 of them to either side."""

    median: np.ndarray
    below: np.ndarray
    above: np.ndarray

    def widened(self, factors: np.ndarray | float) -> "Spread":
        """Its deviations multiplied."""
        return Spread(self.median, self.below * factors, self.above * factors)

    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """Of 90 %, scaled."""
        return self.median - SPREAD * self.below, self.median + SPREAD * self.above

    def deviations(self, true: np.ndarray) -> np.ndarray:
        """How many standard deviations of its side an observation is off; infinite where the forecast is no number."""
        error = (true - self.median) / np.where(true < self.median, self.below, self.above)
        return np.where(np.isnan(self.median), np.inf, error)

    def band(self, scaling: Scaling) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Median and the limits of 90 %, in physical units."""
        return tuple(scaling.unscale(np.asarray(x, np.float64)) for x in (self.median, *self.limits()))  # pyright: ignore
