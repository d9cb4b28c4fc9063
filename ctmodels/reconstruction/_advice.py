"""What to try next, in a sentence that follows from the scores."""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from ctmodels._core._words import argument
from ctmodels.reconstruction._residuals import whiteness
from ctmodels.reconstruction._rows import breaks_of
from ctmodels.reconstruction._scores import Scores
from ctmodels.reconstruction._text import TimeUnit, plain
from ctmodels.reconstruction._verdict import FEW_ROWS, SKILL, Evidence

if TYPE_CHECKING:
    from ctmodels.reconstruction._result import Reconstruction

CHANCE, SIZE = 0.01, 0.25  # of residuals that are not white: by chance less often than this, and correlated by so much
NARROW = 0.8  # of observations within the band of 90 %
SHORT = 1 / 3  # of the horizon that was tried
PAST, MOTIONLESS = ("autoregression",), ("mean", "persistence", "drift")


class Facts(NamedTuple):
    """Of the best model: its name, scores and evidence; whether it finds a law in words or is one; whether its state is
    more than what is measured; whether times are even, so that states may be made of delays; the channel whose
    residuals are the least white, with their correlation, "" where all are white; and the horizon, in the unit of
    `unit`."""

    name: str
    scores: Scores
    evidence: Evidence | None
    law: bool
    remembers: bool
    even: bool
    channel: str
    correlation: float
    horizon: float
    unit: TimeUnit

    def value(self, score: str) -> float | None:
        """Of a score, if it has one that is finite."""
        found = self.scores.get(score)
        return None if found is None or found.value is None or not np.isfinite(found.value) else float(found.value)


class Rule(NamedTuple):
    """A sentence, and when it is said."""

    name: str
    holds: Callable[[Facts], bool]
    sentence: Callable[[Facts], str]


def _loses_to(f: Facts, bases: tuple[str, ...] | None) -> bool:
    """Whether one of these baselines, None: any, does as well."""
    e = f.evidence
    return e is not None and not e.accepted and not e.skill >= SKILL and (bases is None or e.baseline in bases)


def _diverged(f: Facts) -> bool:
    return f.evidence is not None and "diverged" in f.evidence.objection


def _coloured(f: Facts) -> str:
    size = f"{f.correlation:.2f}".replace("-", "−")
    return f"Residuals of {f.channel} are not white (correlation {size})"


def _memory(f: Facts) -> str:
    hidden = f"hidden states ({argument('models', ['augmented'])})"
    return f"delays ({argument('embed', 'auto')}) or {hidden}" if f.even else hidden


def _short(f: Facts) -> bool:
    valid = f.value("valid_prediction_time")
    return valid is not None and not f.scores["valid_prediction_time"].at_least and valid < SHORT * f.horizon


def _chaotic(f: Facts) -> bool:
    return _short(f) and (f.value("valid_prediction_time_lyapunov") or 0.0) >= 1


def _valid(f: Facts) -> str:
    valid, unit = f.value("valid_prediction_time") or 0.0, f.unit.durations
    return f"forecasts are valid for {valid:.3g} of the {f.horizon:.3g} {unit} that were tried"


# The first that holds is said: what forbids a judgement comes before what would improve a model.
RULES = (
    Rule(
        "unjudged",
        lambda f: f.evidence is None or (f.evidence.rows < FEW_ROWS and not f.evidence.accepted),
        lambda f: (
            f"Hold out more rows ({argument('held_out', ...)}) or measure for longer: by so few nothing can be told."
        ),
    ),
    Rule(
        "diverged",
        _diverged,
        lambda f: (
            f"Forecasts of {f.name} diverged: try a model with less freedom ({argument('models', ['linear'])} or "
            f"{argument('models', ['sparse-law'])}), more rows, or, of positive values of many magnitudes, logarithms "
            f"({argument('log', True)})."
        ),
    ),
    Rule(
        "linear",
        lambda f: _loses_to(f, PAST),
        lambda f: (
            f"A linear model of past values does as well as {f.name}: "
            + (
                f"train for longer ({argument('steps', ...)})"
                if f.remembers
                else f"give it a past too, by {_memory(f)}"
            )
            + ", or measure more rows."
        ),
    ),
    Rule(
        "motionless",
        lambda f: _loses_to(f, MOTIONLESS),
        lambda f: (
            f"A forecast without motion does as well as {f.name}: what moves the system is not in these columns, "
            f"or its rows are too far apart; measure what drives it ({argument('inputs', ...)}), more often, or for "
            "longer."
        ),
    ),
    Rule(
        "season",
        lambda f: _loses_to(f, None),
        lambda f: (
            f"Repeating the last season does as well as {f.name}: give what makes the season as an input "
            f"({argument('inputs', ...)}), such as temperature or the time of the year, or measure more seasons."
        ),
    ),
    Rule(
        "memory",
        lambda f: f.channel != "" and not f.remembers,
        lambda f: f"{_coloured(f)}: something that moves the system is not in the state; try {_memory(f)}.",
    ),
    Rule(
        "unseen",
        lambda f: f.channel != "",
        lambda f: (
            f"{_coloured(f)}, though {f.name} has a memory: train for longer ({argument('steps', ...)}), or "
            f"measure what else moves the system ({argument('inputs', ...)})."
        ),
    ),
    Rule(
        "narrow",
        lambda f: (f.value("coverage") or 1.0) < NARROW,
        lambda f: (
            f"The band of 90 % held {f.value('coverage'):.0%}: more members tell better how far models differ "
            f"({argument('members', 8)}); until then take the band for narrower than it says."
        ),
    ),
    Rule(
        "chaos",
        _chaotic,
        lambda f: (
            f"The system is chaotic, and {_valid(f)}: cleaner or more rows lengthen that but slowly; further on "
            "compare what is typical (the attractor, the spectrum, the exponents), not the path."
        ),
    ),
    Rule(
        "short",
        _short,
        lambda f: (
            f"Of {f.name} {_valid(f)}: train for longer ({argument('steps', ...)}), on more rows, or try other "
            f"models beside it ({argument('models', ['sparse-law'])})."
        ),
    ),
    Rule(
        "weak",
        lambda f: f.evidence is not None and (not f.evidence.accepted or f.evidence.grade == "weak"),
        lambda f: (
            f"{f.name} may be right, but the evidence is weak: measure for longer, or hold out more rows "
            f"({argument('held_out', ...)})."
        ),
    ),
    Rule(
        "equation",
        lambda f: not f.law,
        lambda f: (
            f"Nothing in the scores asks for another model; for an equation of what {f.name} does, try "
            f"{argument('models', ['sparse-law'])}, or a law of your own."
        ),
    ),
    Rule(
        "done",
        lambda f: True,
        lambda f: (
            "Nothing in the scores asks for another model: hold it against data of another day, or of another "
            "place, before you rely on it."
        ),
    ),
)


def advice(result: "Reconstruction") -> str:
    """The sentence."""
    return chosen(facts(result)).sentence(facts(result))


def chosen(f: Facts) -> Rule:
    """The first rule that holds."""
    return next(rule for rule in RULES if rule.holds(f))


def facts(result: "Reconstruction") -> Facts:
    """What the rules ask for."""
    name = result.selected or result.best or next(iter(result.fitted))
    best = result.fitted[name]
    spacing = float(np.median(np.diff(result.table.time)))
    law = best.parameters is not None or best.trained.formula is not None
    remembers = result.embedding is not None or best.trained.model.size > result.problem.channels
    even = result.problem.spacing is not None
    of_model = plain(name), best.scores, result.evidence.get(name), law, remembers, even
    return Facts(*of_model, *_least_white(result, name), result.horizon * spacing, TimeUnit.of(result.table))


def _least_white(result: "Reconstruction", name: str) -> tuple[str, float]:
    """The channel, and the largest correlation at its first lags; "" where they are as small as white noise's."""
    residuals = result.fitted[name].residuals
    if residuals is None:
        return "", 0.0
    names = [n for n in result.table.names if n not in result.inputs]
    largest = [
        (float(near[np.argmax(np.abs(near))]), plain(n))
        for n, found in zip(names, whiteness(residuals, breaks_of(result.trials)), strict=True)
        if found.chance < CHANCE and np.abs(near := np.nan_to_num(found.values[:6])).max() > SIZE
    ]
    return max(((n, r) for r, n in largest), key=lambda pair: abs(pair[1]), default=("", 0.0))
