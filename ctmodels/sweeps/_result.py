"""What a sweep found: a row and a model for each member, and how they got there."""

import dataclasses
import html
import importlib
from typing import Any

import numpy as np
from jaxtyping import PyTree

from ctmodels._core._validation import DataError
from ctmodels.sweeps._figure import draw


@dataclasses.dataclass(frozen=True, repr=False)
class Sweep:
    """- `names`: of the hyper-parameters.
    - `members`: a dict for each: its hyper-parameters, `seed`, `validation` of its best model (NaN: it was not finite),
      `at` which step that was, `steps` that it went, why it `stopped` ("finished", "halved", "early", "not finite",
      "interrupted"), and the `group` that it trained in.
    - `models`: the best of each, in the order of `members`.
    - `history`: a dict per line: `step` of all groups together, `group`, its `steps`, and of its running `members`
      `loss` and `validation`.
    """

    names: tuple[str, ...]
    members: list[dict[str, Any]]
    models: list[PyTree]
    history: list[dict]

    @property
    def order(self) -> list[int]:
        """The members, the best first."""
        scores = [row["validation"] for row in self.members]
        return sorted(range(len(scores)), key=lambda i: (np.isnan(scores[i]), scores[i], i))

    @property
    def best(self) -> PyTree:
        """The model with the best validation."""
        return self.models[self.order[0]]

    def table(self) -> Any:
        """A `DataFrame`, a row for each member, the best first; its index is the member's number.

        What seeds have in common: `sweep.table().groupby("width")["validation"].median()`.
        """
        try:
            pandas = importlib.import_module("pandas")
        except ModuleNotFoundError:
            raise DataError(
                "table: pandas makes this and is not installed: it comes with an extra; pip install 'ctmodels[data]' "
                "(or read sweep.members, a list of dicts)"
            ) from None
        frame = pandas.DataFrame([self.members[i] for i in self.order], index=self.order)
        return frame.rename_axis("member")

    def plot(self, by: str | None = None, ax: Any = None) -> Any:
        """Validation over steps, a line for each member.

        **Arguments:**

        - `by`: the name by whose values lines are coloured; default: the first that has more than one.
        - `ax`: axes of matplotlib; default: new ones.

        **Returns:** the axes.
        """
        varied = [name for name in (*self.names, "seed") if len({repr(row[name]) for row in self.members}) > 1]
        by = by or (varied[0] if varied else "seed")
        if by not in self.members[0]:
            raise ValueError(f"by={by!r}: must be one of {', '.join(map(repr, (*self.names, 'seed')))}")
        return draw(self.members, self.history, by, self.order[0], ax)

    def __repr__(self) -> str:
        """How many, the best of them, and how they ended."""
        best = self.members[self.order[0]]
        told = ", ".join(f"{name}={_short(best[name])}" for name in (*self.names, "seed"))
        ends = [row["stopped"] for row in self.members]
        counts = ", ".join(f"{ends.count(end)} {end}" for end in dict.fromkeys(ends))
        return f"Sweep({len(ends)} members: {counts}; best {best['validation']:.4g} at {told})"

    def _repr_html_(self) -> str:
        """The best ten, for a notebook."""
        rows = [self.members[i] for i in self.order]
        head = "".join(f"<th>{html.escape(name)}</th>" for name in rows[0])
        cells = lambda row: "".join(f"<td>{html.escape(_short(value))}</td>" for value in row.values())
        body = "".join(f"<tr>{cells(row)}</tr>" for row in rows[:10])
        more = f"<p>and {len(rows) - 10} more: .table()</p>" if len(rows) > 10 else ""
        return f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>{more}"


def _short(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
