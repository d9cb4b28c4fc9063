"""Where training ends, from where forecasts are made, and a forecast with its spread."""

from typing import NamedTuple

import numpy as np

from ctmodels._core._scaling import Scaling
from ctmodels._core._series import Series

ORIGINS = 20  # forecasts that a score pools, at most
SPREAD = 1.645  # standard deviations on either side of 90 %
BAND = 0.9


class Split(NamedTuple):
    """The whole scaled series and its control; training ends before sample `n_train`; forecasts reach `horizon`
    samples from each of the `origins` (the sample before the first forecast one)."""

    series: Series
    control: Series | None
    n_train: int
    horizon: int
    origins: np.ndarray

    @classmethod
    def make(cls, series: Series, control: Series | None, n_train: int, horizon: int) -> "Split":
        """With origins spread evenly over the tail."""
        last = series.ts.shape[0] - 1 - horizon
        origins = np.unique(np.linspace(n_train - 1, last, ORIGINS).astype(int))
        return cls(series, control, n_train, horizon, origins)

    def train(self) -> tuple[Series, Series | None]:
        """What may be learned from."""
        control = None if self.control is None else self.control[: self.n_train]
        return self.series[: self.n_train], control

    def targets(self) -> np.ndarray:
        """Scaled observations that the forecasts are held against, `(origin, horizon, channel)`, NaN if missing."""
        return self.series.to_nan()[self.origins[:, None] + 1 + np.arange(self.horizon)]


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
