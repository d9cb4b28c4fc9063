"""The page's sections, each from its figures and remarks on them."""

import numpy as np

from ctmodels.data._cells import listed
from ctmodels.plot._style import GREY, INK
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction.report import _attractor, _curves, _trials
from ctmodels.reconstruction.report._html import full_width, legend, note, pictures, section
from ctmodels.reconstruction.report._score_table import explanation, scores
from ctmodels.reconstruction.report._view import View, html


def score_table(view: View) -> str:
    """The scores of models and baselines, and what each means."""
    return section("Scores on the held-out tail", scores(view), explanation(view))


def forecasts(view: View) -> str:
    """The data with the forecasts from the end of training, and remarks on them."""
    if view.result.trials is not None:
        return of_trials(view)
    best, colour = html(view.order[0]), view.colour(view.order[0])
    entries = [
        ("line", GREY, "observed, trained on"),
        ("line", INK, "observed, held out"),
        ("band", colour, f"{best}: median and 90 % band"),
        *_lines(view, view.order)[1:],
    ]
    if _curves.valid_until(view) is not None:
        entries.append(("dashes", colour, "valid prediction time"))
    remarks = note(
        "Forecasts start at the grey line, the end of training, and see nothing observed later.",
        _samples_drawn(view),
        _valid_time(view),
        _drawn(view),
        _channels_left_out(view),
        _driven_by(view),
        *_diverged(view),
    )
    return section("Data and forecast", legend(*entries), full_width(_curves.forecasts(view)), remarks)


def of_trials(view: View) -> str:
    """The same of trials: those trained on, and those held out with their forecasts."""
    best, colour = html(view.order[0]), view.colour(view.order[0])
    entries = [
        ("line", GREY, "observed, trained on or before the forecast"),
        ("line", INK, "observed, held out"),
        ("band", colour, f"{best}: median and 90 % band"),
        *_lines(view, view.order)[1:],
    ]
    held, shown = view.result.held_out, _trials.held_out_drawn(view)
    remarks = note(
        f"Whole trials are held out: {listed(held, 20)}. In each of them a forecast starts at the grey line, from what "
        "was observed before it there, and sees nothing later. Every trial has a clock from its own start.",
        "" if len(shown) == len(held) else f"{len(shown)} of {len(held)} held-out trials are drawn.",
        _not_scored(view),
        _drawn(view),
        _channels_left_out(view),
        _driven_by(view),
        *_diverged(view),
    )
    figure = full_width(_trials.forecasts(view))
    return section("Trials and forecasts", legend(*entries), figure, _trials.table(view), remarks)


def _not_scored(view: View) -> str:
    short = _trials.too_short(view)
    return (
        f"Too short for a forecast of {view.result.horizon} samples, and not scored: {listed(short)}." if short else ""
    )


def _lines(view: View, names, first: str = "line thick") -> list[tuple[str, str, str]]:
    return [(first if n == view.order[0] else "line", view.colour(n), html(n)) for n in names]


def _samples_drawn(view: View) -> str:
    shown, n = _curves.window(view), len(view.result.table.time)
    if (shown.start, shown.stop) == (0, n):
        return "All samples are drawn."
    return f"Drawn are samples {shown.start + 1} to {shown.stop} of {n}."


def _valid_time(view: View) -> str:
    valid = view.valid_prediction_time
    if valid is None:
        return ""
    least = "at least " * view.best.scores["valid_prediction_time"].at_least
    return (
        f"Valid prediction time of {plain(view.order[0])}: {least}{valid:.3g} {view.unit.durations}, the median "
        "over the origins of forecasts; the forecast drawn here is from one of them."
    )


def _drawn(view: View) -> str:
    """Of models whose forecasts are distributions of their own."""
    drawn = {name: view.result.fitted[name].trained for name in stochastic(view)}
    return " ".join(
        f"Forecasts of {plain(name)} are those of {trained.draws} paths of each member, drawn with its noise from what "
        "was known of their start: their median, and limits between which 90 % of them lie, widened as all bands are."
        for name, trained in drawn.items()
    )


def stochastic(view: View) -> list[str]:
    """The models that have noise of their own."""
    return [name for name in view.order if view.result.fitted[name].trained.draws > 1]


def _channels_left_out(view: View) -> str:
    names = [plain(name) for name in view.names[_curves.CHANNELS :]]
    return f"{len(names)} more channels are not drawn: {', '.join(names)}." if names else ""


def _driven_by(view: View) -> str:
    if not view.result.inputs:
        return ""
    return f"The system is driven by {_inputs(view)}: the forecasts were given its held-out values."


def _inputs(view: View) -> str:
    return ", ".join(plain(name) for name in view.result.inputs)


def _diverged(view: View) -> list[str]:
    fitted = view.result.fitted
    rows = _trials.forecast_rows(view)
    names = [n for n in view.order if not np.isfinite(fitted[n].median[rows]).all()]
    return [f"The forecast of {plain(n)} diverged." for n in names]


def portraits(view: View) -> str:
    """The attractor in state space, observed and generated."""
    if not _attractor.runs(view):
        return section("Phase portrait", note(_not_made(view, "phase portrait of a free run")))
    drawn, remarks = _attractor.portraits(view)
    about = ["Observations, and a free run of the model's first member, on the same axes."]
    if view.result.trials is not None:
        about.append("It begins where the forecast of the first held-out trial does.")
    if names := _listed(stochastic(view)):
        about.append(f"That of {names} is with its noise.")
    if len(view.names) == 1:
        about.append(f"One channel is drawn against itself {_attractor.lag(view)} samples earlier.")
    if len(view.names) > 3:
        about.append("The first three channels.")
    return section("Phase portrait", pictures(drawn), note(*about, *remarks))


def _not_made(view: View, what: str) -> str:
    if not view.result.inputs:
        return f"There is no {what}: none was made."
    return (
        f"There is no {what}: the system is driven by {_inputs(view)}, and what it does beyond the "
        "data depends on what drives it there."
    )


def spectra(view: View) -> str:
    """The power spectra, observed and generated."""
    if view.result.trials is not None:
        return section("Power spectra", note("The data are several trials: no power spectrum is shown."))
    runs = _attractor.runs(view)
    if not runs:
        return section("Power spectra", note(_not_made(view, "power spectrum of a free run")))
    drawn, remarks = _attractor.spectra(view)
    if not drawn:
        return section("Power spectra", note(*remarks))
    lost = [plain(n) for n, g in runs.items() if not np.isfinite(g).all()]
    remarks += [f"The free run of {n} diverged and has no spectrum." for n in lost]
    entries = legend(("line thick", INK, "observed"), *_lines(view, runs))
    return section("Power spectra", entries, pictures(drawn), note(*remarks))


def _listed(names: list[str]) -> str:
    return ", ".join(plain(name) for name in names)


def losses(view: View) -> str:
    """The loss over the training steps."""
    drawn = _curves.losses(view)
    if drawn is None:
        return section("Loss", note("No loss was recorded."))
    entries = [("line thick", view.colour(n), html(n)) for n in view.order if view.result.fitted[n].history]
    if any("validation" in line for f in view.result.fitted.values() for line in f.history):
        entries.append(("dashes", GREY, "validation: longer windows near the end of the training data"))
    about = "Thick: mean of the members; thin: each member. A loss may rise while windows grow."
    if len(view.order) > 1:
        about += " Losses of models that are trained in different ways do not compare."
    if names := _listed(stochastic(view)):
        about += f" That of {names} turns from the error of a path without noise to the score of drawn paths (CRPS)."
    return section("Loss", legend(*entries), full_width(drawn), note(about))


def lyapunov(view: View) -> str:
    """The Lyapunov exponents of the models."""
    title = "Lyapunov spectrum"
    drawn = _curves.lyapunov(view)
    if drawn is None and any(f.exponents is not None for f in view.result.fitted.values()):
        return section(title, note("All exponents diverged."))
    if drawn is None:
        return section(title, note(_not_made(view, "Lyapunov spectrum")))
    about = "Dots: members; bars: their median. A model's hidden variables add exponents."
    if names := _listed(stochastic(view)):
        about += f" Those of {names} are of its drift, without the noise."
    entries = _lines(view, view.order, first="line")
    return section(title, legend(*entries), full_width(drawn), note(about))
