"""The table of scores and its explanation, from what each score says of itself."""

import re

import numpy as np

from ctmodels.metrics import Score
from ctmodels.reconstruction import _summary as summary
from ctmodels.reconstruction._scores import Scores
from ctmodels.reconstruction._verdict import Evidence
from ctmodels.reconstruction.report._html import definitions
from ctmodels.reconstruction.report._view import View, digits, html


def columns(view: View) -> Scores:
    """One of each score that a model or a baseline has a number of, the measure that ranks first and in any case."""
    table = list(rows(view).values())
    there = {name for scores in table for name, score in scores.items() if score.value is not None}
    shown = summary.columns(table, view.result.measure)
    return {name: score for name, score in shown.items() if name in there | {view.result.measure}}


def rows(view: View) -> dict[tuple[str, bool], Scores]:
    """(name, whether it is a baseline) -> scores."""
    fitted = {(name, False): f.scores for name, f in view.result.fitted.items()}
    return fitted | {(name, True): scores for name, scores in view.result.baselines.items()}


def scores(view: View) -> str:
    """The table, sorted by the measure that ranks."""
    measure, shown = view.result.measure, columns(view)
    table = sorted(rows(view).items(), key=lambda row: summary.ranked(row[1].get(measure)))
    best = {name: _best([s.get(name) for _, s in table], shown[name].better) for name in shown}
    heads = "".join(f'<th scope="col">{_head(score)}{_arrow(score)}</th>' for score in shown.values())
    body = "".join(_row(view, name, base, s, best, not i) for i, ((name, base), s) in enumerate(table))
    head = f'<thead><tr><th scope="col">Forecast by</th>{heads}</tr></thead>'
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def _head(score: Score) -> str:
    """HTML: a letter, an underscore and a word are a symbol and its subscript."""
    return re.sub(r"\b([^\W\d_])_(\w+)", r"\1<sub>\2</sub>", html(score.head))


def _row(view: View, name: str, base: bool, scores: Scores, best: dict[str, float | None], first: bool) -> str:
    swatch = "" if base else f'<i class="dot" style="background:{view.colour(name)}"></i>'
    tags = '<span class="tag">baseline</span>' if base else ""
    found = None if base else view.result.evidence.get(name)
    stands = base or found is None or found.accepted
    score = scores.get(view.result.measure)
    known = score is not None and score.value is not None and np.isfinite(score.value)
    tags += '<span class="tag best">best</span>' if first and stands and known else ""
    tags += f'<span class="tag">{html(_grade(found))}</span>' if found else ""
    # The best of what was not accepted is best of nothing.
    cells = "".join(_cell(scores.get(key), base, value if stands else None) for key, value in best.items())
    kind = " ".join(k for k, on in (("base", base), ("first", first)) if on)
    return f'<tr class="{kind}"><th scope="row">{swatch}{html(name)}{tags}</th>{cells}</tr>'


def _grade(found: Evidence) -> str:
    return found.grade if found.grade in ("no evidence", "at noise level") else f"{found.grade} evidence"


def _cell(score: Score | None, base: bool, best: float | None) -> str:
    """A number with the count behind it, or a word with its reason, for who points at it."""
    if score is None:
        return '<td class="none">–</td>'
    about = score.reason or (f"from {score.count}" if score.count else "")
    title = f' title="{html(about)}"' if about else ""
    if score.value is None:
        return f'<td class="none"{title}>–</td>'
    if not np.isfinite(score.value):
        return f'<td class="bad"{title}>{"undefined" if base else "diverged"}</td>'
    text = ("≥ " if score.at_least else "") + digits(score.value)
    return f"<td{title}><b>{text}</b></td>" if score.value == best else f"<td{title}>{text}</td>"


def _best(scores: list[Score | None], better: str | None) -> float | None:
    """The value to print in bold: of two different ones at least, and more than nothing where more is better; a lower
    bound beside others that are as high is best of nothing."""
    values = [s.value for s in scores if s is not None and s.value is not None and np.isfinite(s.value)]
    if len(set(values)) < 2 or better is None:
        return None
    best = max(values) if better == "higher" else min(values)
    return None if better == "higher" and best <= 0 else best


def _arrow(score: Score) -> str:
    if score.better is None:
        return ""
    sign = "↑" if score.better == "higher" else "↓"
    return f'&nbsp;<span class="way" title="{score.better} is better">{sign}</span>'


def explanation(view: View) -> str:
    """What each column means, and which way is better."""
    meaning = lambda score: f"{html(score.meaning, 2000)} <em>{summary.DIRECTIONS[score.better]}</em>"
    items = {_head(score): meaning(score) for score in columns(view).values()}
    return (
        "<details><summary>What the columns mean</summary>"
        f"{definitions('legend', items)}</details>"
        '<p class="note">Rows are ranked by the first column. Forecast errors are pooled over '
        "several origins in the held-out tail, each forecast reaching "
        f"{view.result.horizon} samples. Bold: the best of its column, where not all are alike. ≥: a lower bound, as "
        "the forecasts ended there. "
        f"–: not computed.{_absent(view)}</p>"
    )


def _absent(view: View) -> str:
    """Why a score is not there, each reason once."""
    heads: dict[str, list[str]] = {}
    for scores in rows(view).values():
        for score in scores.values():
            if score.reason and _head(score) not in heads.setdefault(score.reason, []):
                heads[score.reason].append(_head(score))
    return "".join(f" {', '.join(names)}: {html(reason)}." for reason, names in heads.items())
