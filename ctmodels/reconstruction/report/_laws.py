"""The section on laws of the user's own: their parameters, and what they say."""

import numpy as np

from ctmodels.reconstruction._parameters import Parameter, Parameters
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction.report._html import note, section
from ctmodels.reconstruction.report._view import View, digits, html

SOURCE = 20_000  # characters of a law's file that are shown


def laws(view: View) -> str:
    """A table for each law, or nothing where there is none."""
    found = view.result.parameters
    source = lambda name: view.result.fitted[name].candidate.source
    parts = [part for name, table in found.items() for part in _law(view, name, table, source(name))]
    if not parts:
        return ""
    level = next(iter(found.values())).level
    about = (
        "Estimated from the training part together with each trial's start and the noise. Intervals are those in "
        f"which the true values lie {100 * level:g} times in 100, if the law holds."
    )
    return section("The law and its parameters", *parts, note(about))


def _law(view: View, name: str, parameters: Parameters, source) -> list[str]:
    swatch = f'<i class="dot" style="background:{view.colour(name)}"></i>'
    units = any(p.unit for p in parameters.table)
    heads = ["Parameter", "Estimate", "Standard error", f"{100 * parameters.level:g} % interval", *["Unit"] * units]
    head = "".join(f'<th scope="col">{text}</th>' for text in heads)
    body = "".join(_row(p, units) for p in parameters.table)
    table = f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'
    remarks = [*parameters.flat, *parameters.notes, *_correlated(parameters)]
    parts = [f"<h3>{swatch}{html(name)}</h3>", table, note(*remarks)]
    if source is not None:
        text = "\n".join(plain(line, 200) for line in source.text[:SOURCE].splitlines())
        parts.append(f"<details><summary>The law's file</summary><pre><code>{_escaped(text)}</code></pre></details>")
    return parts


def _row(p: Parameter, units: bool) -> str:
    unit = f"<td>{html(p.unit)}</td>" if units else ""
    if p.error is None or p.lower is None or p.upper is None:
        cells = '<td class="none">–</td><td class="none" colspan="2">not determined</td>'
        return f'<tr><th scope="row">{html(p.name)}</th>{cells}{unit}</tr>'
    interval = f"{_figures(p.lower, p.error)} to {_figures(p.upper, p.error)}"
    cells = f"<td><b>{_figures(p.value, p.error)}</b></td><td>{digits(p.error)}</td><td>{interval}</td>"
    return f'<tr><th scope="row">{html(p.name)}</th>{cells}{unit}</tr>'


def _figures(value: float, error: float) -> str:
    """As many as the error leaves a meaning, two of its own."""
    if not (error > 0 and 1e-3 <= abs(value) < 1e5):
        return digits(value)
    places = -int(f"{error:.1e}".split("e")[1]) + 1
    return f"{value:.{min(max(places, 0), 8)}f}".replace("-", "−")


def _correlated(parameters: Parameters, least: float = 0.9) -> list[str]:
    """A sentence for each group of parameters whose errors go together, through others of the group perhaps."""
    names, size = [p.name for p in parameters.table], np.abs(parameters.correlation)
    groups: list[set[int]] = []
    for i, j in np.argwhere(np.triu(size > least, 1)).tolist():
        joined = [g for g in groups if g & {i, j}]
        groups = [g for g in groups if g not in joined] + [set().union({i, j}, *joined)]
    return [_together([names[i] for i in sorted(g)], _sizes(size, sorted(g), least)) for g in groups]


def _sizes(size: np.ndarray, group: list[int], least: float) -> np.ndarray:
    """Of the pairs of a group that are correlated."""
    own = size[np.ix_(group, group)]
    return np.sort(own[np.triu(own > least, 1)])


def _together(names: list[str], sizes: np.ndarray) -> str:
    of = f"{', '.join(names[:-1])} and {names[-1]}"
    how = f"a correlation of {sizes[0]:.2f}" if len(sizes) == 1 else f"correlations of {sizes[0]:.2f} and more"
    return f"Errors of {of} go together, by {how} in size: the data tell a combination of them better than each alone."


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
