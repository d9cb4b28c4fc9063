"""What a method is given at one origin, and where the origins are."""

import dataclasses
from typing import NamedTuple

import numpy as np

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.data import Table
from ctmodels.reconstruction._rows import Rows

ORIGINS, HORIZON = 10, 10  # by default, at most
FEWEST = 4  # rows before the first forecast


class History(NamedTuple):
    """What is known at one origin, in the units of the data: all that a function `(history, n)` is given.

    - `ts` `(row,)`, `ys` `(row, channel)`: rows up to the origin, NaN where nothing was observed; `names`: of channels.
    - `ahead` `(n,)`: the times to forecast.
    - `inputs` `(row, input)`, `inputs_ahead` `(n, input)`: what drives the system, whose future counts as known.
    """

    ts: np.ndarray
    ys: np.ndarray
    ahead: np.ndarray
    names: tuple[str, ...]
    inputs: np.ndarray
    inputs_ahead: np.ndarray


class Block(NamedTuple):
    """One fit, to the rows before `stop`, and the origins that forecast from it: the last known row of each."""

    stop: int
    origins: tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Plan:
    """The data, which of its columns are inputs, rows ahead, and the origins."""

    table: Table
    inputs: tuple[str, ...]
    horizon: int
    origins: np.ndarray

    @property
    def names(self) -> tuple[str, ...]:
        """Of what is forecast."""
        return tuple(name for name in self.table.names if name not in self.inputs)

    def values(self) -> np.ndarray:
        """Of that, `(row, channel)`."""
        return self.table.select(self.names).values

    def history(self, origin: int) -> History:
        """Up to this row."""
        known, ahead = slice(0, origin + 1), slice(origin + 1, origin + 1 + self.horizon)
        driven = self.table.select(self.inputs).values if self.inputs else np.zeros((len(self.table.time), 0))
        time, copies = self.table.time, (self.values()[known].copy(), driven[known].copy(), driven[ahead].copy())
        return History(time[known].copy(), copies[0], time[ahead].copy(), self.names, *copies[1:])

    def rows(self, block: Block) -> Rows:
        """What a fit sees, as a table: of rows after the last origin no values, but for those of inputs."""
        last = max(block.origins)
        part = slice(0, last + 1 + self.horizon)
        values = self.table.values[part].copy()
        hidden = [i for i, name in enumerate(self.table.names) if name not in self.inputs]
        values[last + 1 :, hidden] = np.nan
        table = dataclasses.replace(self.table, time=self.table.time[part], values=values, places=None)
        return Rows(table, block.stop)

    def blocks(self, refit: int) -> list[Block]:
        """Fits at every so many origins; at the first one alone for 0."""
        origins, many = self.origins.tolist(), refit or len(self.origins)
        groups = [origins[i : i + many] for i in range(0, len(origins), many)]
        return [Block(group[0] + 1, tuple(group)) for group in groups]


def plan(table: Table, inputs: tuple[str, ...], horizon: int | None, origins: int | None, first: int | None) -> Plan:
    """Origins at equal strides, the last one as late as can be."""
    n = len(table.time)
    horizon = horizon or max(1, min(HORIZON, n // 8))
    first = first or max(FEWEST, n // 2)
    possible = n - horizon - first + 1
    if possible < 1:
        raise DataError(
            f"{argument('horizon', horizon)}: {table.source} has {n} rows, and after the first {first} none from which "
            f"so many can be judged; forecast fewer rows, or begin earlier: {argument('first', ...)}"
        )
    if origins is not None and origins > possible:
        raise DataError(
            f"{argument('origins', origins)}: {table.source} has {possible} from which {horizon} rows can be judged "
            f"after the first {first}; ask for {possible} at most, or begin earlier: {argument('first', ...)}"
        )
    many = min(possible, origins or ORIGINS)
    stride = (possible - 1) // max(1, many - 1) or 1
    return Plan(table, inputs, horizon, n - 1 - horizon - stride * np.arange(many)[::-1])
