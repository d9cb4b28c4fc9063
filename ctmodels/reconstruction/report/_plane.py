"""The section on the plane: the field of a model of two states, where each of them stands still, and where both do."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from ctmodels.analysis import FixedPoint, Map, fixed_points
from ctmodels.plot._field import field as draw_field, fixed_points as draw_fixed_points
from ctmodels.plot._style import GREY, axis_limits, drawing
from ctmodels.reconstruction._ensemble import MeanDynamics
from ctmodels.reconstruction._text import plain
from ctmodels.reconstruction.report._drawing import PAGE_WIDTH, Picture, picture
from ctmodels.reconstruction.report._html import note, pictures, section
from ctmodels.reconstruction.report._view import View

STARTS = 48  # of a search for fixed points
SHORT = 0.1  # of the time between two rows: the step by which slopes of a model in continuous time are told
NICE = np.outer(10.0 ** np.arange(-12, 13), (1, 2, 5)).ravel()  # numbers at the ticks of a logarithmic axis


class Plane(NamedTuple):
    """The model in the units of the data (of logarithms in theirs), by steps of two lengths; the limits of the axes,
    which hold what was observed `(row, 2)`; and whether there are logarithms on them."""

    short: Map
    whole: Map
    limits: list[tuple[float, float]]
    observed: np.ndarray
    log: bool


def plane(view: View) -> str:
    """Of the best model; nothing where its state is not the two channels, or where it is driven."""
    trained, result = view.best.trained, view.result
    if result.inputs or result.embedding is not None or not _two_seen(MeanDynamics(trained.model)):
        return ""
    made = _plane(view)
    starts = made.observed[np.isfinite(made.observed).all(axis=1)]
    starts = starts[np.linspace(0, len(starts) - 1, min(STARTS, len(starts))).astype(int)]
    found = _within(fixed_points(made.whole, jnp.asarray(starts, jnp.zeros(()).dtype)), made.limits)
    about = (
        f"Where {plain(view.order[0])} goes from each state, in the mean of its members, and the observations (thin). "
        "On a coloured line one of the two channels stands still; where two of them meet, both do."
    )
    drift = "That of its drift, without the noise." if trained.draws > 1 else ""
    remarks = note(about, drift, *_words(view, made, found))
    return section("Field and fixed points", pictures([_figure(view, made, found)]), remarks)


def _two_seen(model: MeanDynamics) -> bool:
    """Whether the state is what is measured, two channels of it."""
    if model.channels != 2 or model.size != 2:
        return False
    z = jnp.array([0.25, -0.5])
    return bool(jnp.allclose(model.observe(z), z, atol=1e-6))


def _plane(view: View) -> Plane:
    result, trained = view.result, view.best.trained
    scaling, model = result.problem.scaling, MeanDynamics(trained.model)
    mean, std = (jnp.asarray(a, jnp.zeros(()).dtype) for a in (scaling.mean, scaling.std))
    spacing = result.problem.spacing if view.best.candidate.even_times else None
    row = view.spacing() / scaling.time_scale if spacing is None else spacing

    def stepping(h: float) -> Map:
        """By steps of scaled time h."""

        def step(t, u, args):
            zero = jnp.zeros((), u.dtype)
            return mean + std * model.flow(zero, zero + h, (u - mean) / std)[0]

        return Map(step, float(h * scaling.time_scale))

    observed = np.log(view.observed) if scaling.log else view.observed
    limits = [axis_limits(y, False, 0.15) for y in observed.T]
    edge = np.full((1, 2), np.nan)  # between two trials
    observed = np.concatenate([piece for part in view.slices for piece in (observed[part], edge)])
    whole = stepping(row)
    # A map has no shorter step than its own.
    return Plane(whole if spacing is not None else stepping(SHORT * row), whole, limits, observed, scaling.log)


def _within(found: list[FixedPoint], limits) -> list[FixedPoint]:
    low, high = np.array(limits).T
    return [point for point in found if np.all((point.z >= low) & (point.z <= high))]


def _figure(view: View, made: Plane, found: list[FixedPoint]) -> Picture:
    with drawing(0.6 * PAGE_WIDTH, 0.5 * PAGE_WIDTH) as figure:
        axes = figure.subplots()
        draw_field(made.short, *made.limits, names=[plain(n, 24) for n in view.names], ax=axes)
        axes.plot(*made.observed.T, color=GREY, linewidth=0.6, alpha=0.7, zorder=2)
        if found:
            draw_fixed_points(found, ax=axes)
        axes.set_xlabel(plain(view.label(view.names[0]), 40), parse_math=False)
        axes.set_ylabel(plain(view.label(view.names[1]), 40), parse_math=False)
        if made.log:
            for axis, (low, high) in zip((axes.xaxis, axes.yaxis), made.limits, strict=True):
                _logarithmic(axis, low, high)
        return picture(figure, f"Field of {view.order[0]} in the plane of {' and '.join(view.names)}, and fixed points")


def _logarithmic(axis, low: float, high: float) -> None:
    """Values at the ticks of an axis of their natural logarithms."""
    numbers = NICE[(np.log(NICE) >= low) & (np.log(NICE) <= high)]
    every = -(-len(numbers) // 8) if len(numbers) else 1
    axis.set_ticks(np.log(numbers[::every]), [f"{x:g}" for x in numbers[::every]])


def _words(view: View, made: Plane, found: list[FixedPoint]) -> list[str]:
    if not found:
        return ["No fixed point was found among the states observed."]
    return [_sentence(view, made, point) for point in found[:4]]


def _sentence(view: View, made: Plane, point: FixedPoint) -> str:
    z = np.exp(point.z) if made.log else point.z
    where = ", ".join(f"{plain(n, 24)} {x:.3g}" for n, x in zip(view.names, z, strict=True))
    return f"It rests at {where}: {point.linear.kind}.".replace("-", "−")
