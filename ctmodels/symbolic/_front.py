r"""Candidates by loss and complexity: those that no other beats in both, and the one at the knee.

The knee is where $-\Delta \log \text{loss} / \Delta \text{complexity}$ is largest, among those whose loss is near the
least (Cranmer et al., NeurIPS 2020; the second condition as in PySR, Cranmer, arXiv:2305.01582).
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from ctmodels.fields import Law
from ctmodels.symbolic._written import law

NEAR = 1.5  # times the least loss


class Candidate(NamedTuple):
    """`equation`: the slope of one channel, as text in `x0`, `x1`, ...; `complexity`: its constants, variables and
    operations, counted; `loss`: mean squared error at the points, as a share of the slope's mean square."""

    equation: str
    complexity: int
    loss: float


def undominated(candidates: Iterable[Candidate]) -> tuple[Candidate, ...]:
    """Simplest first: each of a smaller loss than all before it."""
    kept: list[Candidate] = []
    for one in sorted(candidates, key=lambda c: (c.complexity, c.loss)):
        if math.isfinite(one.loss) and (not kept or one.loss < kept[-1].loss):
            kept.append(one)
    return tuple(kept)


def gains(front: Sequence[Candidate], accuracy: float) -> list[float]:
    r"""Of each candidate $-\Delta \log(\text{loss}) / \Delta \text{complexity}$ against the one before; no gain is
    seen below `accuracy`. The simplest is compared with no term at all."""
    before = [Candidate("0", 0, 1.0), *front[:-1]]
    of = lambda one: math.log(max(one.loss, accuracy, 1e-300))
    return [(of(a) - of(b)) / max(1, b.complexity - a.complexity) for a, b in zip(before, front, strict=True)]


@dataclasses.dataclass(frozen=True)
class Front:
    """Of each channel, candidates of which none is beaten in loss and complexity, simplest first.

    - `channels`: of each its candidates.
    - `accuracy`: a loss below which nothing is told apart, as the field itself is no better.
    - `inputs`: how many of the variables are; they come after the state.
    """

    channels: tuple[tuple[Candidate, ...], ...]
    accuracy: float = 1e-3
    inputs: int = 0

    def best(self, near: float = NEAR) -> tuple[Candidate, ...]:
        """Of each channel the one of the largest gain per complexity, of those within `near` times the least loss."""
        return tuple(self.shortlist(1, near)[c][0] for c in range(len(self.channels)))

    def shortlist(self, count: int, near: float = NEAR) -> tuple[tuple[Candidate, ...], ...]:
        """Of each channel the `best` one, then those of the next largest gains, wherever their loss is."""
        return tuple(_ranked(front, self.accuracy, near)[:count] for front in self.channels)

    def law(self, near: float = NEAR) -> Law:
        """The best as a field, whose constants are parameters."""
        first = len(self.channels)
        return law([one.equation for one in self.best(near)], inputs=[f"x{first + i}" for i in range(self.inputs)])

    def joined(self, other: "Front") -> "Front":
        """Candidates of both."""
        both = zip(self.channels, other.channels, strict=True)
        return Front(tuple(undominated((*a, *b)) for a, b in both), max(self.accuracy, other.accuracy), self.inputs)


def _ranked(front: tuple[Candidate, ...], accuracy: float, near: float) -> tuple[Candidate, ...]:
    """The first by gain; what gains nothing, beside the simplest that fits, is left out."""
    gained = dict(zip(front, gains(front, accuracy), strict=True))
    least = max(min(one.loss for one in front), accuracy)
    useful = [one for one in front if gained[one] > 0] or list(front[:1])
    return tuple(sorted(useful, key=lambda one: (one.loss > near * least, -gained[one])))
