"""The page itself: sections in the order in which a scientist asks."""

from pathlib import PurePath

import numpy as np

from ctmodels.reconstruction._result import Reconstruction
from ctmodels.reconstruction.report import _sections
from ctmodels.reconstruction.report._css import CSS
from ctmodels.reconstruction.report._delays import delays, formulas
from ctmodels.reconstruction.report._html import note
from ctmodels.reconstruction.report._inputs import inputs
from ctmodels.reconstruction.report._laws import laws
from ctmodels.reconstruction.report._lead_times import lead_times
from ctmodels.reconstruction.report._making import how_it_was_made
from ctmodels.reconstruction.report._plane import plane
from ctmodels.reconstruction.report._residuals import residuals
from ctmodels.reconstruction.report._view import View, html

NOTES = 12  # of the reader; a table of many columns may have one for each


def render(result: Reconstruction) -> str:
    """One HTML page with everything in it: no script, nothing to fetch.

    **Arguments:**

    - `result`: from [`ctmodels.reconstruction.reconstruct`][].

    **Returns:** the page; write it anywhere, as UTF-8.
    """
    view = View.of(result)
    sections = (
        _head,
        laws,
        formulas,
        _sections.forecasts,
        inputs,
        _sections.score_table,
        lead_times,
        residuals,
        _sections.portraits,
        plane,
        _sections.spectra,
        _sections.lyapunov,
        delays,
        _sections.losses,
        how_it_was_made,
    )
    body = "\n".join(part(view) for part in sections)
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html(_name(result))} · reconstruction</title>"
        f"<style>{CSS}</style></head>\n<body><main>{body}</main></body></html>\n"
    )


def _name(result: Reconstruction) -> str:
    return PurePath(result.table.source.replace("\\", "/")).name or "series"


def _head(view: View) -> str:
    result, ts = view.result, view.result.table.time
    missing = int(np.isnan(view.observed).sum())
    facts = [
        _list_names(view, view.names, "channel"),
        f"driven by {_list_names(view, result.inputs, 'input')}" if result.inputs else "",
        _trials(view),
        f"{len(ts)} samples: {result.n_train} to train on, {len(ts) - result.n_train} held out",
        f"{missing} values missing" if missing else "",
        f"time: {html(view.span())}",
    ]
    items = "".join(f"<li>{fact}</li>" for fact in facts if fact)
    kind = "none" if result.selected is None else "some"
    return (
        f'<header><p class="kicker">Reconstruction</p><h1>{html(_name(result))}</h1>'
        f'<ul class="facts">{items}</ul>'
        f'<p class="verdict {kind}">{html(result.verdict, 2000)}</p>'
        f"<p><b>What to try next.</b> {html(result.advice, 2000)}</p>"
        f"{''.join(note(text) for text in result.table.notes[:NOTES])}</header>"
    )


def _trials(view: View) -> str:
    trials, held = view.result.trials, len(view.result.held_out)
    return "" if trials is None else f"{len(trials)} trials: {len(trials) - held} to train on, {held} held out"


def _list_names(view: View, names, kind: str, most: int = 8) -> str:
    """2 channels (hare, lynx)."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    shown = ", ".join(f"<b>{html(view.label(n), 60)}</b>" for n in names[:most])
    return f"{len(names)} {kind}{'s' * (len(names) != 1)} ({shown}{more})"
