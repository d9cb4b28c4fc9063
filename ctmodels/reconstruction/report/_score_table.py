"""The table of scores and its legend."""

from typing import NamedTuple

import numpy as np

from ctmodels.reconstruction._scores import Scores
from ctmodels.reconstruction._verdict import Evidence
from ctmodels.reconstruction.report._html import definitions
from ctmodels.reconstruction.report._view import View, digits, html, ranked


class Column(NamedTuple):
    """A score: its key, its head, which way is better (-1: lower, 1: higher, 0: neither), and what
    it means; head and meaning are HTML, with places for facts of the run."""

    key: str
    head: str
    better: int
    meaning: str


COLUMNS = (
    Column(
        "nrmse",
        "NRMSE",
        -1,
        "Root mean square error of the forecasts, each channel in standard deviations of its "
        "training data. The training mean reaches about 1.",
    ),
    Column(
        "rmse_log",
        "RMSE of logs",
        -1,
        "Root mean square error of natural logarithms: 0.1 is about 10 %.",
    ),
    Column(
        "rmse",
        "RMSE",
        -1,
        "Root mean square error in the units of the data, channels pooled: one of large numbers rules it.",
    ),
    Column("smape", "sMAPE", -1, "Symmetric mean absolute percentage error, from 0 to 200."),
    Column(
        "mase",
        "MASE",
        -1,
        "Mean absolute error over that of repeating the last season ({season} samples) in the "
        "training data. Below 1 is better than that.",
    ),
    Column(
        "coverage",
        "Coverage",
        0,
        "The share of what came that lay within the forecasts' 90 % band: 0.9 is right, less is a band too narrow.",
    ),
    Column(
        "valid_prediction_time",
        "Valid time [{unit}]",
        1,
        "Valid prediction time: how long a forecast stays within 0.4 standard deviations of what "
        "came. The median over origins; no more than the horizon of {horizon} {unit} was tried.",
    ),
    Column(
        "valid_prediction_time_lyapunov",
        "Valid time [Lyapunov times]",
        1,
        "The same, times the model's own largest Lyapunov exponent; only for models that are chaotic.",
    ),
    Column(
        "d_stsp",
        "D<sub>stsp</sub>",
        -1,
        "Divergence (nats) of where the free run spends its time from where the observations do. "
        "Its floor is not 0: it depends on the number of samples.",
    ),
    Column(
        "d_hellinger",
        "D<sub>H</sub>",
        -1,
        "Hellinger distance of the power spectra, from 0 to 1.",
    ),
    Column(
        "lyapunov_max",
        "λ<sub>max</sub> [{rate}]",
        0,
        "Largest Lyapunov exponent of the model: above 0, nearby states part (chaos); about 0, a cycle; below 0, rest.",
    ),
    Column(
        "kaplan_yorke",
        "D<sub>KY</sub>",
        0,
        "Kaplan–Yorke dimension of the model's attractor.",
    ),
)
WAYS = {-1: "Lower is better.", 1: "Higher is better.", 0: "Neither high nor low is better."}


def columns(view: View) -> list[Column]:
    """The ranking measure first; scores that no row has are left out, and those without a description are not."""
    measure = view.result.measure
    had = {key for scores in rows(view).values() for key in scores} - {"counts", "reasons", "at_least"}
    # Of the two that rank, the one that did.
    had -= {"nrmse", "rmse_log"} - {measure}
    shown = [c for c in COLUMNS if c.key in had]
    unknown = (had | {measure}) - {c.key for c in COLUMNS}
    shown += [_undescribed(key, ranks=key == measure) for key in sorted(unknown)]
    shown.sort(key=lambda c: c.key != measure)
    facts = _facts(view)
    return [c._replace(head=c.head.format(**facts), meaning=c.meaning.format(**facts)) for c in shown]


def _undescribed(key: str, ranks: bool) -> Column:
    head = html(key).replace("{", "{{").replace("}", "}}")
    return Column(key, head, -1, "The measure that ranks.") if ranks else Column(key, head, 0, "Not described here.")


def _facts(view: View) -> dict[str, str]:
    return {
        "season": str(view.result.season),
        "unit": html(view.unit()),
        "rate": html(view.per_unit()),
        "horizon": digits(view.result.horizon * view.spacing()),
    }


def rows(view: View) -> dict[tuple[str, bool], Scores]:
    """(name, whether it is a baseline) -> scores."""
    fitted = {(name, False): f.scores for name, f in view.result.fitted.items()}
    return fitted | {(name, True): scores for name, scores in view.result.baselines.items()}


def scores(view: View) -> str:
    """The table, sorted by the measure that ranks."""
    measure, shown = view.result.measure, columns(view)
    table = sorted(rows(view).items(), key=lambda row: ranked(row[1].get(measure)))
    best = {c.key: _best([s.get(c.key) for _, s in table], c.better) for c in shown}
    heads = "".join(f'<th scope="col">{c.head}{_arrow(c)}</th>' for c in shown)
    body = "".join(_row(view, name, base, s, shown, best, not i) for i, ((name, base), s) in enumerate(table))
    head = f'<thead><tr><th scope="col">Forecast by</th>{heads}</tr></thead>'
    return f'<div class="scroll"><table>{head}<tbody>{body}</tbody></table></div>'


def _row(view: View, name: str, base: bool, scores, shown, best, first: bool) -> str:
    swatch = "" if base else f'<i class="dot" style="background:{view.colour(name)}"></i>'
    tags = '<span class="tag">baseline</span>' if base else ""
    tags += '<span class="tag best">best</span>' if first else ""
    found = None if base else view.result.evidence.get(name)
    tags += f'<span class="tag">{html(_grade(found))}</span>' if found else ""
    cells = "".join(_cell(scores, c.key, base, best[c.key]) for c in shown)
    kind = " ".join(k for k, on in (("base", base), ("first", first)) if on)
    return f'<tr class="{kind}"><th scope="row">{swatch}{html(name)}{tags}</th>{cells}</tr>'


def _grade(found: Evidence) -> str:
    return found.grade if found.grade in ("no evidence", "at noise level") else f"{found.grade} evidence"


def _cell(scores, key: str, base: bool, best: float | None) -> str:
    """A number with the count behind it, or a word with its reason, for who points at it."""
    value, why = scores.get(key), scores.get("reasons", {}).get(key)
    count = scores.get("counts", {}).get(key)
    said = why or (f"from {count}" if count else "")
    title = f' title="{html(said)}"' if said else ""
    if value is None:
        return f'<td class="none"{title}>–</td>'
    if not np.isfinite(value):
        return f'<td class="bad"{title}>{"undefined" if base else "diverged"}</td>'
    text = ("≥ " if key in scores.get("at_least", ()) else "") + digits(value)
    return f"<td{title}><b>{text}</b></td>" if value == best else f"<td{title}>{text}</td>"


def _best(values: list[float | None], better: int) -> float | None:
    finite = [v for v in values if v is not None and np.isfinite(v)]
    if not finite or not better:
        return None
    return max(finite) if better > 0 else min(finite)


def _arrow(column: Column) -> str:
    if not column.better:
        return ""
    word = "higher" if column.better > 0 else "lower"
    sign = "↑" if column.better > 0 else "↓"
    return f'&nbsp;<span class="way" title="{word} is better">{sign}</span>'


def legend(view: View) -> str:
    """What each column means, and which way is better."""
    items = {c.head: f"{c.meaning} <em>{WAYS[c.better]}</em>" for c in columns(view)}
    return (
        "<details open><summary>What the columns mean</summary>"
        f"{definitions('legend', items)}</details>"
        '<p class="note">Rows are ranked by the first column. Forecast errors are pooled over '
        "several origins in the held-out tail, each forecast reaching "
        f"{view.result.horizon} samples. Bold: the best of its column. ≥: met the end of what was looked at. "
        f"–: not computed.{_absent(view)}</p>"
    )


def _absent(view: View) -> str:
    """Why a score is not there, each reason once."""
    heads = {c.key: c.head for c in columns(view)}
    said: dict[str, list[str]] = {}
    for scores in rows(view).values():
        for key, why in scores.get("reasons", {}).items():
            if key in heads and heads[key] not in said.setdefault(why, []):
                said[why].append(heads[key])
    return "".join(f" {', '.join(names)}: {html(why)}." for why, names in said.items())
