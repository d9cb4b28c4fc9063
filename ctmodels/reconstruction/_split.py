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
    """A forecast by an ensemble, in scaled values: the members' median, and the standard deviation of an
    observation about it (members' spread and noise of the measurement)."""

    median: np.ndarray
    std: np.ndarray

    def band(self, scaling: Scaling) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Median and the limits of 90 %, in physical units."""
        limits = (self.median, self.median - SPREAD * self.std, self.median + SPREAD * self.std)
        return tuple(scaling.unscale(np.asarray(x, np.float64)) for x in limits)  # pyright: ignore
