"""A score: a number that was measured, with all that a table must say of it."""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class Score:
    """A number by which models are compared. It is made where it is computed: what lists scores (the report, the
    summary, a file) knows none by name.

    - `value`: the number; infinite where a forecast diverged, None where it could not be computed.
    - `head`: of a column, with the unit: `"Valid time [days]"`. One letter, an underscore and a word, as in `"D_KY"`,
      are a symbol and its subscript.
    - `meaning`: sentences that end in full stops.
    - `better`: `"lower"` or `"higher"`; None where neither is.
    - `count`: how many values it rests on, where that is known.
    - `reason`: why `value` is None or infinite.
    - `at_least`: whether `value` is a lower bound, as what was looked at ended there.
    """

    value: float | None
    head: str
    meaning: str
    better: Literal["lower", "higher"] | None = None
    count: int | None = None
    reason: str = ""
    at_least: bool = False

    def __post_init__(self):
        if self.better not in ("lower", "higher", None):
            raise ValueError(f'better={self.better!r}: it is "lower", "higher", or None where neither is better')
