"""What every reader returns: rows as they stand in the file, unchecked."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from ctmodels.data._clock import Clock
from ctmodels.data._places import Places


class RawTable(NamedTuple):
    """Rows as a reader found them, unchecked.

    `ids`: of each row, or None; `row`: names the place of row `i`; `time`: time `i` as it was written; `ends`: of each
    column, the values at the ends of the type that it had in its file, if that is known.
    """

    source: str
    clock: Clock
    values: np.ndarray
    names: tuple[str, ...]
    units: tuple[str, ...]
    ids: list[str] | None
    row: Places
    time: Callable[[int], str]
    notes: tuple[str, ...] = ()
    ends: tuple[tuple[float, ...], ...] = ()
