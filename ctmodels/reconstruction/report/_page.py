"""The page itself: sections in the order in which a scientist asks."""

import platform
from pathlib import PurePath

import jax
import numpy as np

from ctmodels.reconstruction._result import Reconstruction
from ctmodels.reconstruction.report import _sections
from ctmodels.reconstruction.report._css import CSS
from ctmodels.reconstruction.report._delays import delays, formulas
from ctmodels.reconstruction.report._html import definitions, note, section
from ctmodels.reconstruction.report._laws import laws
from ctmodels.reconstruction.report._view import View, digits, html
from ctmodels.train._structure import version

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
        delays,
        _sections.score_table,
        _sections.forecasts,
        _sections.portraits,
        _sections.spectra,
        _sections.losses,
        _sections.lyapunov,
        _how_it_was_made,
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


def _how_it_was_made(view: View) -> str:
    result = view.result
    facts = {
        "Source": html(result.table.source),
        "Values inside": _scaling(view),
        "Time inside": f"one unit is {digits(result.problem.scaling.time_scale)} "
        f"{html(view.unit.durations)}, in which the data move at speed one",
        "Solver, in the time inside": html("; ".join(_solvers(view)), 2000),
        "Season": _duration(view, result.season),
        "Horizon": _duration(view, result.horizon),
        "Training": "; ".join(_training(view, name) for name in view.order),
        "Versions": _versions(),
    }
    on = (
        "<p>To forecast on, DIR being the folder that this page was written to:</p>"
        f"<pre><code>ctmodels forecast DIR --steps N{' --id TRIAL' * (result.trials is not None)}</code></pre>"
    )
    return section("How it was made", definitions("facts", facts), on)


def _solvers(view: View) -> list[str]:
    """How the models are solved: all alike, or each by its own."""
    solvers = {name: view.result.fitted[name].trained.model.describe() for name in view.order}
    if len(set(solvers.values())) == 1:
        return [next(iter(solvers.values()))]
    return [f"{name}: {solver}" for name, solver in solvers.items()]


def _scaling(view: View, most: int = 12) -> str:
    scaling = view.result.problem.scaling
    units = [
        f"{html(view.label(n), 40)}: {digits(m)} ± {digits(s)}"
        for n, m, s in zip(view.names, scaling.mean, scaling.std, strict=True)
    ]
    first = "natural logarithms, " if scaling.log else ""
    more = "; …" if len(units) > most else ""
    return f"{first}less the mean, over the standard deviation ({'; '.join(units[:most])}{more})"


def _duration(view: View, samples: int) -> str:
    return f"{samples} samples ({digits(samples * view.spacing())} {html(view.unit.durations)})"


def _training(view: View, name: str) -> str:
    fitted = view.result.fitted[name]
    steps = f"{fitted.history[-1]['step']} steps, " if fitted.history else ""
    return f"{html(name)}: {steps}{digits(fitted.seconds)} s"


def _versions() -> str:
    versions = {
        "ctmodels": version("ctmodels"),
        "jax": jax.__version__,
        "numpy": np.__version__,
        "Python": platform.python_version(),
    }
    return ", ".join(f"{name} {number}" for name, number in versions.items())
