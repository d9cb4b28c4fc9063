"""The section on how it was made: what another needs to do it again."""

from ctmodels.reconstruction._provenance import Provenance, versions
from ctmodels.reconstruction.report._html import definitions, section
from ctmodels.reconstruction.report._view import View, digits, html


def how_it_was_made(view: View) -> str:
    """The call, the data and their hash, the versions; scaling, solver and training."""
    result = view.result
    facts = {
        **_provenance(view, result.provenance),
        "Values inside": _scaling(view),
        "Time inside": f"one unit is {digits(result.problem.scaling.time_scale)} "
        f"{html(view.unit.durations)}, in which the data move at speed one",
        "Solver, in the time inside": html("; ".join(_solvers(view)), 2000),
        "Season": _duration(view, result.season),
        "Horizon": _duration(view, result.horizon),
        "Training": "; ".join(_training(view, name) for name in view.order),
        "Versions": ", ".join(f"{name} {number}" for name, number in _versions(result.provenance).items()),
    }
    on = (
        "<p>To forecast on, DIR being the folder that this page was written to:</p>"
        f"<pre><code>ctmodels forecast DIR --steps N{' --id TRIAL' * (result.trials is not None)}</code></pre>"
    )
    return section("How it was made", _call(result.provenance), definitions("facts", facts), on)


def _call(made: Provenance | None) -> str:
    return "" if made is None else f"<pre><code>{html(made.call, 4000)}</code></pre>"


def _provenance(view: View, made: Provenance | None) -> dict[str, str]:
    source = html(view.result.table.source)
    if made is None:
        return {"Source": source}
    return {
        "Source": source,
        f"SHA-256 of the {made.of}": f"<code>{made.sha256}</code>",
        "Seed": f"{made.seed}; computed in {made.precision} on {html(made.device)}",
        "Made": f"{html(made.began.replace('T', ', ').removesuffix('+00:00'))} UTC, in {_time(made.seconds)}",
    }


def _time(seconds: float) -> str:
    if seconds < 120:
        return f"{digits(seconds)} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7200 else f"{seconds / 3600:.1f} hours"


def _versions(made: Provenance | None) -> dict[str, str]:
    return versions() if made is None else made.versions


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
