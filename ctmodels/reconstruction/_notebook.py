"""A result as a short table, for notebooks."""

from collections.abc import Mapping
from html import escape

from ctmodels.reconstruction._parameters import Parameters
from ctmodels.reconstruction._scores import Scores
from ctmodels.reconstruction._summary import cell, columns, ranked
from ctmodels.reconstruction._text import plain

SHOWN = 4  # scores


def table(rows: Mapping[str, Scores], measure: str) -> str:
    """A row for each model and baseline, the best first, of the measure that ranks and a few more scores."""
    shown = dict(list(columns(rows.values(), measure).items())[:SHOWN])
    heads = "".join(f"<th>{escape(plain(score.head))}</th>" for score in shown.values())
    order = sorted(rows, key=lambda name: ranked(rows[name].get(measure)))
    body = "".join(
        f"<tr><th>{escape(plain(name))}</th>{''.join(f'<td>{cell(rows[name].get(s))}</td>' for s in shown)}</tr>"
        for name in order
    )
    return f"<table><thead><tr><th></th>{heads}</tr></thead><tbody>{body}</tbody></table>"


def parameters(found: Mapping[str, Parameters]) -> str:
    """As the terminal has them."""
    return "".join(f"<p>{escape(plain(name))}:</p><pre>{escape(repr(table))}</pre>" for name, table in found.items())
