"""The table of `docs/which-model.md`, made of the table of models: `python tests/which_model.py` writes it anew.

What the flags of the rows do not say is in `FACTS`, a line for each class; `test_which_model.py` holds the page to
both.
"""

import re
from pathlib import Path
from typing import NamedTuple

import equinox as eqx
import jax
import models

import ctmodels as ct

PAGE = Path(__file__).parents[1] / "docs" / "which-model.md"
BLOCK = re.compile(r"(?<=<!-- models -->\n\n).*?(?=\n\n<!-- /models -->)", re.S)


class Fact(NamedTuple):
    """`task`: what it is for; `cost`: the work of a row; `data`: from how much on to try it, a rule of thumb."""

    task: str
    cost: str
    data: str


GAP = "a solve over the gap"
FACTS = {
    "NeuralODE": Fact("the law of a measured state, and forecasts", GAP, "200 rows, 20 with a known law"),
    "NeuralSDE": Fact("a system that is random itself", f"{GAP}, with noise", "500 rows"),
    "PLRNN": Fact("chaos; exact fixed points and cycles", "a step of the map", "500 rows"),
    "LinearDynamics": Fact("modes, swings, a first look", "a product of a matrix", "10 rows"),
    "NVAR": Fact("smooth laws in few channels", "a step of the map", "2 rows for each monomial"),
    "EchoState": Fact("many channels, a long memory", "a sparse step of the reservoir", "100 rows"),
    "NeuralCDE": Fact("classify, online answers, forecast", "one or two evaluations", "100 series"),
    "LogNCDE": Fact("classify long series", "a step for each window", "100 series"),
    "StateSpace": Fact("long series, any rate of sampling", "a step of each layer", "100 series"),
    "ODERNN": Fact("channels that are seen again and again", f"{GAP}, a cell", "100 series"),
    "GRUODEBayes": Fact("online forecasts with a variance", f"{GAP}, a cell", "100 series"),
    "LatentODE": Fact("explain a series from one start; generate", f"a cell; {GAP}", "100 series"),
    "LatentRNN": Fact("rates behind spikes", "two cells", "100 trials"),
    "LatentSDE": Fact("noisy series of a random system", f"a cell; {GAP}, with noise", "100 series"),
    "LangevinFlow": Fact("spikes of neurons that follow a potential", "two cells, two gradients", "100 trials"),
}
OF_TESTS = {"LeakyRNN"}
COLUMNS = ["model", "for", "times", "missing values", "inputs", "row by row", "causal", "random", "likelihood",
           "a row costs", "try from"]  # fmt: skip


def rows_by_class() -> dict[str, list[models.Row]]:
    """The rows of each class, in the order of the table; nothing is computed."""
    found: dict[str, list[models.Row]] = {}
    for row in models.MODELS:
        made = eqx.filter_eval_shape(row.make, jax.random.key(0))
        found.setdefault(type(made).__name__, []).append(row)
    return {name: rows for name, rows in found.items() if name not in OF_TESTS}


def _in_steps(name: str) -> bool:
    """Whether it moves by steps of its own, of a length that it keeps."""
    return "dt" in getattr(ct, name).__dataclass_fields__


def table() -> str:
    lines = [_line(name, rows) for name, rows in rows_by_class().items()]
    return "\n".join([f"| {' | '.join(COLUMNS)} |", "|---" * len(COLUMNS) + "|", *lines])


def _line(name: str, rows: list[models.Row]) -> str:
    fact, reads = FACTS[name], rows[0].given is models.records
    cells = [
        f"[`ctmodels.{name}`][]",
        fact.task,
        "whole steps" if _in_steps(name) else "any",
        "read as they are" if reads else "left out, or smoothed",
        "as channels" if reads else _said(rows, lambda row: row.given is models.driven, some="yes"),
        _said(rows, lambda row: row.online),
        _said(rows, lambda row: row.causal),
        _said(rows, lambda row: row.stochastic),
        _likelihood(name, rows),
        fact.cost,
        fact.data,
    ]
    return f"| {' | '.join(cells)} |"


def _said(rows: list[models.Row], flag, some: str | None = None) -> str:
    """Of all rows, of none, or of which not."""
    said = [flag(row) for row in rows]
    if all(said) or not any(said):
        return "yes" if said[0] else "no"
    others = ", ".join(row.name.split(", ")[-1] for row, says in zip(rows, said, strict=True) if not says)
    return some or f"yes; {others}: no"


def _likelihood(name: str, rows: list[models.Row]) -> str:
    if rows[0].latent:
        return "a bound"
    return "of one step" if issubclass(getattr(ct, name), ct.AbstractFilter) else "no"


if __name__ == "__main__":
    PAGE.write_text(BLOCK.sub(lambda found: table(), PAGE.read_text(encoding="utf-8")), encoding="utf-8")
