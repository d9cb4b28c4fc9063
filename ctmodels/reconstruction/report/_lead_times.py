"""The section on lead times: how errors grow with the horizon, against which baselines, and whether bands hold."""

import numpy as np

from ctmodels.plot._lead_times import lead_times as draw
from ctmodels.plot._style import COLOURS, GREY, drawing
from ctmodels.reconstruction._lead_times import LeadTimes
from ctmodels.reconstruction._split import BAND
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction.report._drawing import Picture, panel_width, picture
from ctmodels.reconstruction.report._html import note, pictures, section
from ctmodels.reconstruction.report._view import View

LIMIT = 1.96  # of 95 % of a normal distribution
HEIGHT = 3.1
FEWEST = 5  # forecasts; of fewer, coverage at one lead is a matter of chance


def lead_times(view: View) -> str:
    """Errors of all, the best model's skill against each baseline, and every model's coverage; nothing where they were
    not kept, or nothing was observed."""
    found = view.result.lead_times
    if found is None or not found.counts.any():
        return ""
    many = f"{found.origins} forecasts" if found.origins > 1 else "one forecast"
    about = (
        f"Over {many}, by how far ahead they reach. Skill is the share of a baseline's squared "
        f"error that {plain(view.order[0])} saves: above the dashed line it is the better of the two, at 1 it makes no "
        "error, and at −1 the curves are cut."
    )
    held = (
        "Coverage is the share of what came within the band of 90 %; grey: how far it strays by chance, were origins "
        "independent."
        if found.origins >= FEWEST
        else "So few say nothing of how often the band holds at each lead."
    )
    worst = _lost(view, found)
    # As wide as there are figures; coverage is there with enough forecasts.
    width = panel_width(3 if found.origins >= FEWEST else 2)
    drawn = [figure(view, found, width) for figure in (_errors, _skill, _coverage)]
    return section("By lead time", pictures([d for d in drawn if d is not None]), note(about, held, *worst))


def _time(view: View) -> str:
    return f"lead time [{view.unit.durations}]"


def _errors(view: View, found: LeadTimes, width: float) -> Picture | None:
    """Of the models that have some, and of the best baseline, in the units of the score that ranks."""
    models = {plain(n): found.errors[n] for n in view.order if np.isfinite(found.errors.get(n, np.nan)).any()}
    if not models:
        return None
    score, best = view.best.scores.get(view.result.measure), _best_baseline(found)
    highest = 1.25 * float(np.nanmax(found.baselines[best], initial=0.0)) if best else 1.0
    most = max(float(np.nanmax(np.where(np.isfinite(e), e, np.nan))) for e in models.values())
    models |= {plain(best): found.baselines[best]} if best else {}
    with drawing(width, HEIGHT) as figure:
        axes = figure.subplots()
        colours = {plain(best): GREY} | {plain(n): view.colour(n) for n in view.order}
        # What is far worse than a baseline leaves the frame.
        how = {"colors": colours, "limits": (0.0, max(highest, min(1.25 * most, 2 * highest)))}
        draw(found.time, models, label=score.head if score else view.result.measure, time=_time(view), ax=axes, **how)
        axes.set_title("error")
        return picture(figure, "Errors of the models and the best baseline by lead time")


def _best_baseline(found: LeadTimes) -> str:
    """Over all leads together, each counting as the values behind it; "" where there is none."""
    total = {name: float(np.nansum(found.counts * e**2)) for name, e in found.baselines.items()}
    return min(total, key=total.__getitem__, default="")


def _skill(view: View, found: LeadTimes, width: float) -> Picture | None:
    """Of the best model against each baseline."""
    name = view.order[0]
    curves = {plain(base): found.skill(name, base) for base in found.baselines} if name in found.errors else {}
    if not any(np.isfinite(c).any() for c in curves.values()):
        return None
    low = min(0.0, max(-1.0, min(float(np.nanmin(c, initial=0.0)) for c in curves.values())))
    colours = dict(zip(curves, COLOURS[1:] + COLOURS[:1], strict=False))
    colours |= {name: COLOURS[-1] for name in curves if name not in colours}
    with drawing(width, HEIGHT) as figure:
        axes = figure.subplots()
        draw(found.time, curves, wanted=0.0, limits=(low, 1.0), time=_time(view), colors=colours, ax=axes)
        axes.set_title(f"skill of {plain(name, 20)} against", parse_math=False)
        return picture(figure, f"Skill of {name} against each baseline by lead time")


def _coverage(view: View, found: LeadTimes, width: float) -> Picture | None:
    """Of every model's band, with the line where it is to be."""
    curves = {plain(n): found.coverage[n] for n in view.order if n in found.coverage}
    if not curves or found.origins < FEWEST:
        return None
    around = np.full(len(found.time), LIMIT * np.sqrt(BAND * (1 - BAND) / found.origins))
    low = min(0.5, max(0.0, min(float(np.nanmin(c, initial=0.5)) for c in curves.values())))
    with drawing(width, HEIGHT) as figure:
        axes = figure.subplots()
        how = {"colors": {plain(n): view.colour(n) for n in view.order}, "legend": len(curves) > 1}
        draw(found.time, curves, wanted=BAND, around=around, limits=(low, 1.0), time=_time(view), ax=axes, **how)
        axes.set_title("coverage of the 90 % band")
        return picture(figure, "Coverage of the bands of 90 % by lead time")


def _lost(view: View, found: LeadTimes) -> list[str]:
    """From where on the best model is no better than a baseline; those alike in one sentence."""
    name, groups = view.order[0], {}
    for base in found.baselines if name in found.errors else ():
        no_better = found.skill(name, base) <= 0  # of what is no number, it is not
        if no_better.any():
            groups.setdefault(f"{found.time[np.argmax(no_better)]:.3g} {view.unit.durations}", []).append(plain(base))
    return [f"{', '.join(names)} {'is' if len(names) == 1 else 'are'} as good at {at}." for at, names in groups.items()]
