"""What the page and its figures both need of a reconstruction, worked out once."""

import dataclasses
import itertools
from html import escape

import numpy as np

from ctmodels.data._timeline import form_of, instants
from ctmodels.plot._dates import date_axis
from ctmodels.plot._style import COLOURS
from ctmodels.reconstruction._joined import gaps
from ctmodels.reconstruction._result import Fitted, Reconstruction
from ctmodels.reconstruction._rows import breaks_of
from ctmodels.reconstruction._summary import ranked
from ctmodels.reconstruction._text import TimeUnit, plain


@dataclasses.dataclass(frozen=True)
class View:
    """A reconstruction; `names` and `observed` `(time, channel)` of its state; `order`: its
    candidates, best first."""

    result: Reconstruction
    names: tuple[str, ...]
    observed: np.ndarray
    order: tuple[str, ...]

    @classmethod
    def of(cls, result: Reconstruction) -> "View":
        """With the candidates sorted."""
        names = tuple(n for n in result.table.names if n not in result.inputs)
        scores = {name: f.scores.get(result.measure) for name, f in result.fitted.items()}
        order = sorted(scores, key=lambda name: (name != result.selected, *ranked(scores[name])))
        return cls(result, names, result.table.select(names).values, tuple(order))

    @property
    def best(self) -> Fitted:
        """The first in order."""
        return self.result.fitted[self.order[0]]

    @property
    def valid_prediction_time(self) -> float | None:
        """Of the best candidate, if it was scored and is finite."""
        score = self.best.scores.get("valid_prediction_time")
        return None if score is None or score.value is None or not np.isfinite(score.value) else score.value

    def colour(self, name: str) -> str:
        """Of a candidate, in all figures."""
        return COLOURS[self.order.index(name) % len(COLOURS)]

    def label(self, name: str) -> str:
        """A channel or an input, with its unit if the data have one."""
        table = self.result.table
        unit = table.units[table.names.index(name)]
        return f"{name} [{unit}]" if unit else name

    def time_label(self) -> str:
        """The column of times, with its unit and origin."""
        table = self.result.table
        if not table.time_unit:
            return plain(table.time_name)
        since = f" since {table.origin}" if table.origin else " from its start" if self.result.trials else ""
        return plain(f"{table.time_name} [{table.time_unit}{since}]", 80)

    def time_axis(self, axes) -> None:
        """Label the times below `axes`, which have their limits; with dates, where they are dates."""
        table = self.result.table
        zone = " [UTC]" if table.origin.endswith("Z") else ""
        if date_axis(axes.xaxis, table.time_unit, table.origin):
            # What the dates have in common stands at the right.
            axes.set_xlabel(plain(table.time_name, 24) + zone, parse_math=False, loc="left")
            return
        if np.all(table.time % 1 == 0):
            axes.locator_params(axis="x", integer=True)  # no half years
        axes.set_xlabel(self.time_label(), parse_math=False)

    def span(self) -> str:
        """The first and the last time, as the data write them."""
        table = self.result.table
        if self.result.trials is None and form_of(table).dated and table.time_unit:
            first, last = form_of(table).write([f(instants(table)) for f in (min, max)])
            return f"{plain(table.time_name)}, {first} to {last}"
        ends = (f"{t:.6g}".replace("-", "−") for t in (table.time[0], table.time.max()))
        return f"{plain(self.time_label(), 120)}, {' to '.join(ends)}"

    @property
    def unit(self) -> TimeUnit:
        """Of durations and rates."""
        return TimeUnit.of(self.result.table)

    @property
    def slices(self) -> list[slice]:
        """The rows of each trial; all, of one series."""
        bounds = [0, *breaks_of(self.result.trials), len(self.result.table.time)]
        return [slice(*pair) for pair in itertools.pairwise(bounds)]

    @property
    def held_out(self) -> list[slice]:
        """The rows of each trial that is held out."""
        return [rows for rows in self.slices if rows.start >= self.result.n_train]

    def _gaps(self) -> np.ndarray:
        return gaps(self.result.table.time, breaks_of(self.result.trials))

    def spacing(self) -> float:
        """The median one of the samples, in the unit of time."""
        return float(np.median(self._gaps()))

    def regular(self) -> bool:
        """Whether the samples are evenly spaced, to one per cent."""
        return bool(np.all(np.abs(self._gaps() - self.spacing()) <= 0.01 * self.spacing()))


def html(text: str, most: int = 400) -> str:
    """The user's text, for the page."""
    return escape(plain(str(text), most), quote=True)


def digits(value: float) -> str:
    """Three figures, without a computer's exponent."""
    if value == 0 or 1e-3 <= abs(value) < 1e5:
        short = f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"
        return short.replace("-", "−")
    mantissa, exponent = f"{value:.1e}".split("e")
    return f"{mantissa} × 10<sup>{int(exponent)}</sup>".replace("-", "−")
