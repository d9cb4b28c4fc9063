"""Scores of models and baselines side by side: which there are, in which order, and as text for the terminal."""

from collections.abc import Iterable, Mapping

import numpy as np

from ctmodels.metrics import Score
from ctmodels.reconstruction._scores import Scores
from ctmodels.reconstruction._text import plain

DIRECTIONS = {"lower": "Lower is better.", "higher": "Higher is better.", None: "Neither high nor low is better."}


def columns(rows: Iterable[Scores], measure: str) -> Scores:
    """One of each score that any row has, for its head and meaning: the measure that ranks first, the others in the
    order in which they were made."""
    first: Scores = {}
    for scores in rows:
        first = first | {name: score for name, score in scores.items() if name not in first}
    return dict(sorted(first.items(), key=lambda item: item[0] != measure))


def ranked(score: Score | None) -> tuple[bool, float]:
    """A key to sort by, lowest first: what is not there, or not a number, comes last."""
    value = None if score is None else score.value
    return (True, 0.0) if value is None or np.isnan(value) else (False, value)


def summary(fitted: Mapping, baselines: Mapping[str, Scores], measure: str) -> str:
    """A line for each score and a column for each model and baseline, the best first; then what the scores mean."""
    rows = {name: f.scores for name, f in fitted.items()} | {f"{name} *": s for name, s in baselines.items()}
    order = sorted(rows, key=lambda name: ranked(rows[name].get(measure)))
    shown = columns(rows.values(), measure)
    table = [["", *(plain(name) for name in order)]]
    table += [[plain(s.head), *(cell(rows[row].get(name)) for row in order)] for name, s in shown.items()]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    lines = ["  ".join(_aligned(line, widths)).rstrip() for line in table]
    meanings = [f"{plain(s.head)}: {plain(s.meaning, 600)} {DIRECTIONS[s.better]}" for s in shown.values()]
    return "\n".join([*lines, "* baseline", "", *meanings])


def _aligned(line: list[str], widths: list[int]) -> list[str]:
    head, *cells = (cell.rjust(width) for cell, width in zip(line, widths, strict=True))
    return [head.strip().ljust(widths[0]), *cells]


def cell(score: Score | None) -> str:
    """A number in three figures, or what stands for none."""
    if score is None or score.value is None:
        return "–"
    if not np.isfinite(score.value):
        return "diverged"
    return ("≥ " if score.at_least else "") + f"{score.value:.3g}"
