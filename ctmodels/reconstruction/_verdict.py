r"""Which model to select, on what evidence, in words.

A model's squared errors are held against each baseline's on the same observations. Observations of neighbouring times
share noise and, where horizons overlap, forecasts; so whole stretches of the tail are drawn anew, each with all
the forecasts that reach into it, wherever they began (circular block bootstrap: Politis and Romano 1992). The error of
$\sum e^2_{\text{model}} / \sum e^2_{\text{baseline}}$ is the standard deviation over draws; with about eight stretches,
its limit takes Student's distribution and not the normal one.

A model must beat every baseline, not only their average: that needs no correction for their number. Of several models
one may win by luck: the limit is that of $0.025 / \text{models}$ (Bonferroni).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from ctmodels.reconstruction._scores import Scores, diverged
from ctmodels.reconstruction._split import Split
from ctmodels.reconstruction._summary import ranked

LEVEL = 0.025  # chance of an accepted model where there is nothing to be found
BLOCKS = 8  # stretches of the tail
DRAWS = 1000
FEWEST = 4  # times observed in the tail, at the least
NOISE_LEVEL = 2.0  # times the variance of the noise: a squared error up to this is at its level
MOTIONLESS = ("mean", "persistence", "drift")  # baselines without motion
FAR_BETTER = 0.5  # of their squared error saved: far better
SKILL = 0.03  # of squared error saved; less is no skill to speak of, however sure
COVERAGE = 0.7  # of observations within the band of 90 %, at the least
NOISY = "Its error is at the noise level of the data"
FEW_ROWS = 10  # observed times in the tail; of fewer, no skill is sure
WEAK_SKILL, WEAK_LEVEL = 0.2, 0.2  # saved at this level of chance: then a model is accepted, on weak evidence


class Evidence(NamedTuple):
    """Of one model against the best baseline.

    `skill`: the share of the baseline's squared error that it saves, `error` its standard error; `lower`: the share
    that it saves of any baseline's at least (one-sided, 97.5 % for all models together); `rows`, `values`, `origins`:
    how many observed times, observed values and forecasts this rests on; `grade`: "no evidence", "weak", "good" or "at
    noise level"; `accepted`: with "good" and "at noise level"; and with "weak" where the tail has under ten rows, and
    no more could be had; `objection`: what is missing.
    """

    grade: str
    baseline: str
    skill: float
    error: float
    lower: float
    rows: int
    values: int
    origins: int
    accepted: bool = False
    objection: str = ""


class Predictions(NamedTuple):
    """What a verdict is made of: scaled forecasts `median` `(origin, horizon, channel)`, their scores, and `noise`, the
    variance of the measurement in each channel as the model has it."""

    median: np.ndarray
    scores: Scores
    noise: np.ndarray


def evidence(
    models: Mapping[str, Predictions], bases: Mapping[str, np.ndarray], split: Split, weights: np.ndarray
) -> dict[str, Evidence]:
    """Of each model. `bases`: scaled forecasts; `weights` `(channel,)`: what scaled errors are multiplied by to have
    the measure that ranks."""
    return {name: _evidence(model, bases, split, weights, len(models)) for name, model in models.items()}


def _evidence(model: Predictions, bases, split: Split, weights: np.ndarray, models: int) -> Evidence:
    seen = ~np.isnan(split.targets())
    known = _by_row(np.any(seen, axis=2), split) > 0
    size = int(known.sum()), int(seen.sum()), int(np.any(seen, axis=(1, 2)).sum())
    table = {name: _by_row(_squared_errors(median, split, weights), split)[known] for name, median in bases.items()}
    best = min(table, key=lambda name: table[name].sum())
    none = Evidence("no evidence", best, np.nan, np.nan, np.nan, *size)
    if size[0] < FEWEST:
        return none._replace(objection=f"{size[0]} observed times to judge by, and {FEWEST} are needed")
    if diverged(model.median).any():
        return none._replace(objection="its forecasts diverged")
    own = _by_row(_squared_errors(model.median, split, weights), split)[known]
    each = {name: skill(own, base, LEVEL / models) for name, base in table.items()}
    saved, error, _ = each[best]
    found = none._replace(skill=saved, error=error, lower=min(lower for *_, lower in each.values()))
    least = float(np.sum(seen * model.noise * weights**2))
    if own.sum() <= NOISE_LEVEL * least and _beats_motionless(each) and saved > -error:
        return _grade(found, model.scores, "at noise level")
    return _grade(found, model.scores, "weak" if size[0] < FEW_ROWS and _weakly_better(own, table) else "good")


def _weakly_better(own: np.ndarray, table: Mapping[str, np.ndarray]) -> bool:
    """Whether it saves much, and rather not by chance, of every baseline's error."""
    each = [skill(own, base, WEAK_LEVEL) for base in table.values()]
    return all(saved >= WEAK_SKILL and lower > 0 for saved, _, lower in each)


def _beats_motionless(each: Mapping[str, tuple[float, float, float]]) -> bool:
    """Whether it is far better than what knows no motion at all."""
    motionless = [each[name] for name in MOTIONLESS if name in each]
    return all(lower > 0 for *_, lower in motionless) and min(saved for saved, *_ in motionless) >= FAR_BETTER


def _squared_errors(median: np.ndarray, split: Split, weights: np.ndarray) -> np.ndarray:
    """Squared error of each forecast sample, `(origin, horizon)`, over the channels observed."""
    with np.errstate(over="ignore"):
        return np.nansum(((median - split.targets()) * weights) ** 2, axis=2)


def _by_row(values: np.ndarray, split: Split) -> np.ndarray:
    """Sums over all forecasts of one sample of the tail: `(origin, horizon) -> (tail,)`."""
    rows = split.origins[:, None] + 1 - split.n_train + np.arange(split.horizon)
    return np.bincount(rows.ravel(), weights=values.ravel(), minlength=split.series.ts.shape[0] - split.n_train)


def skill(own: np.ndarray, base: np.ndarray, level: float) -> tuple[float, float, float]:
    """Squared errors by row -> the share of the baseline's that is saved, its standard error, and its lower limit."""
    rows, total = len(own), float(base.sum())
    if total == 0:
        return (-np.inf, 0.0, -np.inf) if own.sum() > 0 else (0.0, 0.0, 0.0)
    length = -(-rows // BLOCKS)
    blocks = -(-rows // length)
    starts = np.random.default_rng(0).integers(rows, size=(DRAWS, blocks))
    ratio = own.sum() / total
    # To first order, the ratio of two sums errs by what the numerator is off the ratio times the denominator.
    sums = _block_sums(own - ratio * base, length)[starts].sum(axis=1)
    from scipy.special import stdtrit  # here, as importing it takes a fourth of the time of `import ctmodels`

    # The mean square of so few stretches about their own mean is too small.
    error = float(np.std(sums) / total * np.sqrt(blocks / (blocks - 1)))
    return float(1 - ratio), error, float(1 - ratio - stdtrit(blocks - 1, 1 - level) * error)


def _block_sums(x: np.ndarray, length: int) -> np.ndarray:
    """Sum of `length` neighbours from each row on, around the end."""
    total = np.cumsum(np.concatenate([[0.0], x, x[: length - 1]]))
    return total[length:] - total[:-length]


def _grade(found: Evidence, scores: Scores, grade: str) -> Evidence:
    """`grade`, unless something of it is missing. At the noise level no forecast is better, so that a baseline which is
    there too refutes nothing."""
    sure = found.lower > 0
    if sure and found.skill >= SKILL and grade == "weak":
        grade = "good"
    if not (found.skill >= SKILL or grade == "at noise level"):
        return found._replace(objection="a baseline does as well")
    if not (sure or grade != "good"):
        return found._replace(grade="weak", objection="chance may have done it")
    if not (scores["valid_prediction_time"].value or 0) > 0:
        return found._replace(grade="weak", objection="its valid time is zero")
    within = scores["coverage"].value
    if within is not None and within < COVERAGE:
        return found._replace(grade="weak", objection=f"its band of 90 % holds {within:.0%} of what came")
    return found._replace(grade=grade, accepted=True)


def judge(
    found: Mapping[str, Evidence], models: Mapping[str, Scores], bases: Mapping[str, Scores], measure: str, unit: str
) -> tuple[str | None, str, str]:
    """The model that is selected, or None; the sentences that say so; and the best model, accepted or not."""
    rank = lambda name: (not found[name].accepted, ranked(models[name][measure]))
    best = min(models, key=rank)
    base = min(bases, key=lambda name: ranked(bases[name][measure]))
    if bases[base][measure].value is None:
        return None, f"The models cannot be judged: {bases[base][measure].reason}.", best
    mine, theirs = _number(models[best][measure].value), _number(bases[base][measure].value)
    comparison = f"{measure} {mine} against {theirs} of the best baseline ({base})"
    if not found[best].accepted:
        return (
            None,
            f"No model is selected: the best, {best}, reaches {comparison}. {_reason_against(found[best])}",
            best,
        )
    sentences = [f"Selected is {best}: {comparison}.", _reason_for(found[best], models[best], unit)]
    listed = {name: f"{name} ({_number(models[name][measure].value)})" for name in models if name != best}
    also = [text for name, text in listed.items() if found[name].accepted]
    rejected = [f"{text}: {found[name].objection}" for name, text in listed.items() if not found[name].accepted]
    if also:
        sentences.append(f"Also accepted: {', '.join(also)}.")
    if rejected:
        sentences.append(f"Not accepted: {'; '.join(rejected)}.")
    return best, " ".join(sentences), best


def _number(score: float | None) -> str:
    if score is None:
        return "unknown"
    return f"{score:.3g}" if np.isfinite(score) else "diverged"


def _size(found: Evidence) -> str:
    many = lambda n, word: f"{n} {word}{'s' * (n != 1)}"
    return f"{many(found.values, 'value')} in {many(found.rows, 'row')}, from {many(found.origins, 'origin')}"


def _reason_for(found: Evidence, scores: Scores, unit: str) -> str:
    grade = {"weak": "Weak evidence, from so few rows", "good": "Good evidence"}.get(found.grade, NOISY)
    time, within = scores["valid_prediction_time"], scores["coverage"].value
    valid = f"valid for {'at least ' * time.at_least}{_number(time.value)} {unit}"
    held = "" if within is None else f"; its 90 % band held {within:.0%}"
    return f"{grade}: {_saving(found)}; {_size(found)}); {valid.strip()}{held}."


def _saving(found: Evidence) -> str:
    if found.lower > 0:
        sure = f"at least {found.lower:.0%}, at {1 - LEVEL:.1%} confidence"
        return f"it saves {found.skill:.0%} of the squared error ({sure}"
    if found.grade == "weak":
        return f"it saves {found.skill:.0%} ± {found.error:.0%} of the squared error (chance may have done it"
    return f"little is left to gain, and {found.baseline} is as near ({found.skill:+.0%} ± {found.error:.0%}"


def _reason_against(found: Evidence) -> str:
    grade = "No evidence" if found.grade == "no evidence" else "Weak evidence"
    saved = f"it saves {found.skill:.0%} ± {found.error:.0%} of the squared error, but " if found.skill >= SKILL else ""
    return f"{grade}: {saved}{found.objection} ({_size(found)})."
