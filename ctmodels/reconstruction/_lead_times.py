"""What forecasts are worth by how far ahead they reach: errors of models and baselines, and coverage of bands."""

import dataclasses
from collections.abc import Mapping

import numpy as np

from ctmodels.reconstruction._split import Split

STRETCHES = 48  # of leads, at most; neighbours are pooled


@dataclasses.dataclass(frozen=True)
class LeadTimes:
    """The scored forecasts by lead time, pooled over origins and channels. Where a horizon is long, neighbouring leads
    are pooled too.

    - `rows`, `time` `(lead,)`: how far ahead, in rows and in the unit of the data's time.
    - `counts` `(lead,)`: observed values behind each number.
    - `errors`, `baselines`: name -> `(lead,)`: root mean square error in the units of the score that ranks.
    - `coverage`: name -> `(lead,)`: the share of observed values within the band of 90 %.
    - `origins`: how many forecasts are pooled.

    NaN where nothing was observed, infinite where a forecast is no number.
    """

    rows: np.ndarray
    time: np.ndarray
    counts: np.ndarray
    errors: dict[str, np.ndarray]
    baselines: dict[str, np.ndarray]
    coverage: dict[str, np.ndarray]
    origins: int

    def skill(self, name: str, baseline: str) -> np.ndarray:
        """`(lead,)`: the share of a baseline's squared error that a model saves; NaN where the baseline has none."""
        own, base = self.errors[name], self.baselines[baseline]
        return np.where(base > 0, 1 - np.square(own / np.where(base > 0, base, 1)), np.nan)

    def to_dict(self) -> dict:
        """For JSON."""
        numbers = {"rows": self.rows.tolist(), "time": self.time.tolist(), "counts": self.counts.tolist()}
        tables = {"errors": self.errors, "baselines": self.baselines, "coverage": self.coverage}
        return numbers | {kind: {name: x.tolist() for name, x in table.items()} for kind, table in tables.items()}


def by_lead_time(
    split: Split,
    medians: Mapping[str, np.ndarray],
    limits: Mapping[str, np.ndarray],
    baselines: Mapping[str, np.ndarray],
    weights: np.ndarray,
    time_scale: float,
) -> LeadTimes:
    """Of scaled forecasts `(origin, horizon, channel)` and their `limits` `(2, origin, horizon, channel)`; `weights`
    `(channel,)`: what scaled errors are multiplied by to have the score that ranks."""
    true = split.targets()
    seen = ~np.isnan(true)
    parts = np.array_split(np.arange(split.horizon), min(STRETCHES, split.horizon))
    pooled = lambda x: np.array([x[:, part].sum() for part in parts])
    counts = pooled(seen)

    def error(median: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            square = np.where(seen, (np.nan_to_num(median, nan=np.inf) - np.nan_to_num(true)) * weights, 0) ** 2
            return np.sqrt(pooled(square) / counts)

    def within(limits: np.ndarray) -> np.ndarray:
        with np.errstate(invalid="ignore"):
            return pooled((limits[0] <= true) & (true <= limits[1])) / counts

    rows = np.array([part.mean() + 1 for part in parts])
    time = np.interp(rows, np.arange(split.horizon) + 1, _time_ahead(split)) * time_scale
    each = lambda function, table: {name: function(x) for name, x in table.items()}
    made = each(error, medians), each(error, baselines), each(within, limits)
    return LeadTimes(rows, time, counts, *made, len(split.origins))


def _time_ahead(split: Split) -> np.ndarray:
    """Scaled, the median over origins."""
    ts = np.asarray(split.series.ts, np.float64)
    rows = split.origins[:, None] + 1 + np.arange(split.horizon)
    return np.median(ts[rows] - ts[split.origins][:, None], axis=0)
