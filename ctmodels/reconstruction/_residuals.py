"""Residuals: what was observed less what was forecast one row before, and whether they are white noise."""

import numpy as np

from ctmodels._core._scaling import Scaling
from ctmodels.metrics._autocorrelation import Autocorrelation, autocorrelation
from ctmodels.reconstruction._calibration import possible_origins
from ctmodels.reconstruction._draws import Known
from ctmodels.reconstruction._evaluation import forecast_from, known_at
from ctmodels.reconstruction._split import Split
from ctmodels.reconstruction._trained import Trained

ROWS, FEWEST = 500, 100  # the last so many, at most; the fewer the dearer the forecasts are, but so many at the least
WORK = 150_000  # rows times horizon times draws
LAGS = 24  # rows, at most


def residuals(trained: Trained, split: Split, known: Known, scaling: Scaling) -> np.ndarray:
    """`(row, channel)`, in the units of the data, of logarithms in theirs; NaN in rows for which no forecast was made,
    the earlier ones of a long series, and where nothing was observed. `known`: the states in all rows."""
    origins = np.concatenate([possible_origins(part) for part in split.whole.slices()])
    most = min(ROWS, max(FEWEST, WORK // (split.horizon * trained.draws)))
    origins = origins[-most:]
    medians = np.concatenate([_one_ahead(trained, split, known, block) for block in _blocks(origins, split)])
    true = split.series.to_nan().astype(np.float64)
    out = np.full(true.shape, np.nan)
    out[origins + 1] = (true[origins + 1] - medians[: len(origins)]) * np.asarray(scaling.std)
    return out


def _blocks(origins: np.ndarray, split: Split) -> list[np.ndarray]:
    """As many at once as are scored, the last one again where they run out: no other program is compiled for them."""
    size = len(split.origins)
    padded = np.append(origins, np.full(-len(origins) % size, origins[-1]))
    return list(padded.reshape(-1, size))


def _one_ahead(trained: Trained, split: Split, known: Known, origins: np.ndarray) -> np.ndarray:
    return forecast_from(trained, split, known_at(known, origins), origins, split.horizon).median[:, 0]


def whiteness(residuals: np.ndarray, breaks: tuple[int, ...] = ()) -> list[Autocorrelation]:
    """Of each channel, up to a fifth of the rows there are."""
    there = int(np.isfinite(residuals).any(axis=1).sum())
    lags = max(1, min(LAGS, there // 5))
    return [autocorrelation(channel, lags, breaks) for channel in residuals.T]
