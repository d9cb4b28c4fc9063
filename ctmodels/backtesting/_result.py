"""What a backtest found: forecasts from all origins, their scores, and the differences of methods."""

import dataclasses
import functools
import html
import os
from pathlib import Path
from typing import Any

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.backtesting._files import write
from ctmodels.backtesting._quantiles import at
from ctmodels.backtesting._scores import Difference, Truth, difference, entries, pooled
from ctmodels.data import Table
from ctmodels.plot._lead_times import lead_times
from ctmodels.plot._style import COLOURS, GREY
from ctmodels.reconstruction._writing import finite

REFERENCE = "persistence"  # which the others are held against
POOLED = {"lead": (0, 2), "channel": (0, 1), "origin": (1, 2)}


@dataclasses.dataclass(frozen=True, repr=False)
class Backtest:
    """Forecasts from rolling origins, held against what came.

    - `data`; `names`: of the channels that were forecast; `rows` `(origin,)`: the last row known at each
      origin.
    - `quantiles`: method -> `(origin, quantile, lead, channel)`, at the levels 0.005, 0.015, ... 0.995; NaN where it is
      left out; in the units of the data, or natural logarithms with `log`. `baselines`: which of them are.
    - `truth`: what came, `observed` `(origin, lead, channel)`, NaN where nothing was observed; `scale` `(channel,)`,
      the standard deviation of what was known at the first origin; `naive` `(origin, channel)`, the mean change from
      row to row before each.
    - `level`: of intervals; `notes`: what is left out, and why.

    Scores, by name: "crps" and "pinball 0.05" and so on (quantile scores), in units of `truth.scale`, so that channels
    can be pooled; "coverage", the share of observations in the interval; "mase", absolute errors over `truth.naive`.
    What was not observed is not scored.
    """

    data: Table
    names: tuple[str, ...]
    rows: np.ndarray
    quantiles: dict[str, np.ndarray]
    baselines: tuple[str, ...]
    truth: Truth
    level: float
    log: bool
    notes: tuple[str, ...]

    @property
    def horizon(self) -> int:
        """Rows ahead that each forecast reaches."""
        return self.truth.observed.shape[1]

    @property
    def times(self) -> np.ndarray:
        """Of the last row known at each origin."""
        return self.data.time[self.rows]

    @functools.cached_property
    def _entries(self) -> dict[str, dict[str, np.ndarray]]:
        return {name: entries(x, self.truth, self.level) for name, x in self.quantiles.items()}

    def scores(self, by: str | None = None) -> dict[str, dict[str, np.ndarray]]:
        """Method -> score -> its mean over all that was observed, or `by` "lead", "channel" or "origin"; the least CRPS
        first. NaN where a method is left out or nothing was observed, infinite where a forecast was no number."""
        if by is not None and by not in POOLED:
            raise DataError(f"{argument('by', by)}: not known; there are {', '.join(POOLED)}")
        overall = {name: float(pooled(x, (0, 1, 2))["crps"]) for name, x in self._entries.items()}
        order = sorted(overall, key=lambda name: (np.isnan(overall[name]), overall[name]))
        return {name: pooled(self._entries[name], POOLED[by] if by else (0, 1, 2)) for name in order}

    def differences(self, against: str = REFERENCE, score: str = "crps") -> dict[str, Difference]:
        """Of each other method the difference of its scores to those of `against`, paired over origins, with an
        interval of `level`: negative is better."""
        each = {name: x[score] for name, x in self.scores("origin").items()}
        if against not in each:
            raise DataError(f"{argument('against', against)}: no such method; there are {', '.join(each)}")
        stride = int(np.min(np.diff(self.rows))) if len(self.rows) > 1 else self.horizon
        overlap = -(-self.horizon // stride) - 1
        others = {name: x for name, x in each.items() if name != against}
        return {name: difference(x, each[against], overlap, self.level) for name, x in others.items()}

    def band(self, name: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Lower limit, median and upper limit, each `(origin, lead, channel)`."""
        tail = (1 - self.level) / 2
        return tuple(at(self.quantiles[name], q, axis=1) for q in (tail, 0.5, 1 - tail))  # pyright: ignore

    def table(self, by: str | None = None) -> list[dict[str, Any]]:
        """Scores as rows, which `pandas.DataFrame` takes as they are: one for each method, or for each method and lead,
        channel or origin. Overall ones have the number of `origins`, and the `difference` of the CRPS to that of
        persistence with its interval `lower`, `upper`, where persistence is there."""
        scores = self.scores(by)
        if by is None:
            return [{"method": name, **self._beside(name), **_floats(x)} for name, x in scores.items()]
        names = {"lead": range(1, self.horizon + 1), "channel": self.names, "origin": self.times.tolist()}[by]
        cell = lambda x, i: {score: float(values[i]) for score, values in x.items()}
        return [{"method": name, by: at, **cell(x, i)} for name, x in scores.items() for i, at in enumerate(names)]

    def _beside(self, name: str) -> dict[str, Any]:
        origins = int(np.sum(~np.all(np.isnan(self.quantiles[name]), axis=(1, 2, 3))))
        if REFERENCE not in self.quantiles:
            return {"origins": origins}
        found = self.differences().get(name, Difference(0.0, np.nan, np.nan, origins))
        return {"origins": origins, "difference": found.mean, "lower": found.lower, "upper": found.upper}

    def plot(self, score: str = "crps", ax: Any = None) -> Any:
        """A score by lead time, of each method, by [`ctmodels.plot.lead_times`][]; returns the axes."""
        scores = self.scores("lead")
        curves = {name: x[score] for name, x in scores.items() if score in x}
        if not curves:
            known = next(iter(scores.values()))
            raise DataError(f"{argument('score', score)}: not known; there are {', '.join(known)}")
        unit = "" if score in ("coverage", "mase") else " [standard deviations]"
        how = {"wanted": self.level, "limits": (0, 1)} if score == "coverage" else {}
        others = [name for name in curves if name != REFERENCE]
        colours = {REFERENCE: GREY} | {name: COLOURS[i % len(COLOURS)] for i, name in enumerate(others)}
        label = f"{'CRPS' if score == 'crps' else score}{unit}"
        leads = np.arange(1, self.horizon + 1)
        ax = lead_times(leads, curves, label=label, time="rows ahead", colors=colours, ax=ax, **how)
        for line in ax.get_lines():
            line.set_linestyle("--" if line.get_label() in others[len(COLOURS) :] else line.get_linestyle())
        return ax

    def save(self, folder: str | os.PathLike) -> Path:
        """`table.csv`, `leads.csv` (by lead time), `backtest.json` and `backtest.svg` in a folder, made where it is not
        there; what another backtest left in it is replaced."""
        return write(self, Path(folder))

    def to_dict(self) -> dict[str, Any]:
        """All scores, for JSON; what is no finite number is None."""
        tables = {f"by_{by}": self.table(by) for by in POOLED}
        about = {"source": self.data.source, "channels": list(self.names), "horizon": self.horizon}
        about |= {"level": self.level, "log": self.log, "baselines": list(self.baselines), "notes": list(self.notes)}
        scale = dict(zip(self.names, self.truth.scale.tolist(), strict=True))
        found = about | {"origins": self.times.tolist(), "scale": scale, "table": self.table(), **tables}
        return {name: finite(x) for name, x in found.items()}

    def __repr__(self) -> str:
        rows = [list(self.table()[0]), *([_cell(x) for x in row.values()] for row in self.table())]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in rows]
        return "\n".join([self._title(), "", *lines, *([""] if self.notes else []), *self.notes])

    def _title(self) -> str:
        many = len(self.rows)
        unit = "standard deviations" + (" of logarithms" if self.log else "")
        where = f"{Path(self.data.source).name}: {many} origin{'s' * (many != 1)}, {self.horizon} rows ahead"
        compared = f"difference of the CRPS to {REFERENCE}, with {self.level:.0%} intervals"
        return f"{where}; CRPS and pinball in {unit}; {compared}"

    def _repr_html_(self) -> str:
        row = lambda cells, tag: "<tr>" + "".join(f"<{tag}>{html.escape(c)}</{tag}>" for c in cells) + "</tr>"
        body = "".join(row([_cell(x) for x in cells.values()], "td") for cells in self.table())
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in self.notes)
        return f"<p>{html.escape(self._title())}</p><table>{row(self.table()[0], 'th')}{body}</table>{notes}"


def _floats(scores: dict[str, np.ndarray]) -> dict[str, float]:
    return {name: float(x) for name, x in scores.items()}


def _cell(x: Any) -> str:
    return x if isinstance(x, str) else str(x) if isinstance(x, int) else "" if np.isnan(x) else f"{x:.3f}"
