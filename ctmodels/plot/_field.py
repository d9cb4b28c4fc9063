"""A law in the plane: where it goes, where each state stands still, and where both do."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree
from numpy.typing import ArrayLike

from ctmodels._core._arguments import before, check_kept, check_whole
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._words import argument, kind_of
from ctmodels.analysis import FixedPoint
from ctmodels.analysis._motion import AbstractMotion, Map, check_dynamics, motion
from ctmodels.plot._axes import check_limits, panel
from ctmodels.plot._style import COLOURS, GREY, INK
from ctmodels.plot._values import array, called

FINE = 6  # points of the nullclines' grid for each of the field's
KINDS = {  # marker, whether it is filled, colour, in words
    "stable": ("o", True, INK, "stable"),
    "unstable": ("o", False, INK, "unstable"),
    "saddle": ("D", False, COLOURS[1], "saddle"),
    "neutral": ("o", False, GREY, "neither grows nor decays"),
    "slow": ("s", True, GREY, "slow"),
}


def _check(dynamics, x_limits, y_limits, kind, points, plane, through, **_) -> None:
    check_dynamics(dynamics)
    check_limits("x_limits", x_limits)
    check_limits("y_limits", y_limits)
    check_kept("kind", kind, ("streamlines", "arrows"))
    check_whole("points", points, 2)
    size = 2 if through is None else len(array("through", through, "(state,)"))
    _check_plane(plane, size, "a law of two; give `through` for one of more" if through is None else "`through`")


@before(_check)
def field(
    dynamics: AbstractDynamics | Map | Callable,
    x_limits: Sequence[float | int],
    y_limits: Sequence[float | int],
    *,
    dt: float | int | None = None,
    control: PyTree = None,
    plane: tuple[int, int] = (0, 1),
    through: ArrayLike | None = None,
    kind: str = "streamlines",
    nullclines: bool = True,
    points: int = 24,
    names: Sequence[str] = ("x", "y"),
    ax: Any = None,
) -> Any:
    """The field of a law in the plane of two of its states, with the nullclines, on which one of the two stands still.

    **Arguments:**

    - `dynamics`: a field f(t, y, args), such as a [`ctmodels.fields.Law`][] or a network; or any
        [`ctmodels.AbstractDynamics`][] or [`ctmodels.analysis.Map`][], of which the mean speed over a step is drawn. Of
        a neural ODE its `field` says more than its flow.
    - `x_limits`, `y_limits`: `(low, high)` of the two axes.
    - `dt`: the time of a step of a dynamics.
    - `control`: a path; its value at time zero is what drives.
    - `plane`: which two states; of a law of more than two, `through`, `(state,)`, is where the others are held.
    - `kind`: "streamlines", or "arrows", all of one length: where it goes, not how fast.
    - `nullclines`: whether they are drawn.
    - `points`: of the grid along each axis.
    - `names`: of the two states.
    - `ax`: axes of matplotlib; None: of a new figure.

    **Returns:** the axes. Where the law is no finite number nothing is drawn.
    """
    limits = check_limits("x_limits", x_limits), check_limits("y_limits", y_limits)
    names = called(names, 2)
    states = np.zeros(2) if through is None else array("through", through, "(state,)")
    slopes = _slopes(motion(dynamics, dt, control), states, plane)
    with panel(ax, width=5.0, height=4.4) as axes:
        x, y = (np.linspace(*pair, points) for pair in limits)
        _draw_flow(axes, kind, x, y, *slopes(x, y))
        if nullclines:
            x, y = (np.linspace(*pair, FINE * points) for pair in limits)
            _draw_nullclines(axes, x, y, slopes(x, y), names)
        axes.set_xlim(*limits[0])
        axes.set_ylim(*limits[1])
        axes.set_xlabel(names[0], parse_math=False)
        axes.set_ylabel(names[1], parse_math=False)
        return axes


def _check_points(found, plane, **_) -> None:
    if not isinstance(found, Sequence) or not all(isinstance(point, FixedPoint) for point in found):
        raise TypeError(f"found: {kind_of(found)}, where a list of FixedPoint is wanted, of analysis.fixed_points")
    for i, point in enumerate(found):
        _check_plane(plane, len(point.z), f"found[{i}]")


@before(_check_points)
def fixed_points(
    found: Sequence[FixedPoint], *, plane: tuple[int, int] = (0, 1), legend: bool = True, ax: Any = None
) -> Any:
    """Fixed points by their stability: full where all directions decay, open where all grow, a diamond for a saddle;
    grey where the linear part does not tell (a centre, for one), and a grey square where it is but slow.

    **Arguments:**

    - `found`: what [`ctmodels.analysis.fixed_points`][] returned, or some of it.
    - `plane`: which two states are drawn.
    - `legend`: whether it says what is which.
    - `ax`: axes of matplotlib, such as those that [`ctmodels.plot.field`][] returned; None: of a new figure.

    **Returns:** the axes.
    """
    with panel(ax, width=5.0, height=4.4) as axes:
        for kind, (marker, filled, colour, words) in KINDS.items():
            at = np.array([point.z[list(plane)] for point in found if _kind(point) == kind], float).reshape(-1, 2)
            if len(at):
                face = colour if filled else "white"
                style = dict(markersize=7, markeredgewidth=1.6, markeredgecolor=colour, markerfacecolor=face)
                axes.plot(*at.T, marker, linestyle="none", label=words, zorder=6, **style)
        if legend and found:
            axes.legend(frameon=True, framealpha=0.9, fontsize="small", loc="upper right")
        return axes


def _kind(point: FixedPoint) -> str:
    linear = point.linear
    if point.slow:
        return "slow"
    if linear.stable:
        return "stable"
    if linear.kind.startswith("saddle"):
        return "saddle"
    return "unstable" if linear.kind.startswith("unstable") else "neutral"


def _check_plane(plane: tuple[int, int], size: int, whose: str) -> None:
    numbers = tuple(check_whole("plane", i, 0) for i in plane)
    if len(numbers) != 2 or numbers[0] == numbers[1] or max(numbers) >= size:
        raise ValueError(f"{argument('plane', plane)}: two of the {size} states of {whose}, from 0 on, are wanted")


def _slopes(moving: AbstractMotion, through: np.ndarray, plane: tuple[int, int]) -> Callable:
    """`(x, y) -> (dx/dt, dy/dt)` on a grid, each `(y, x)`; NaN where the law is no finite number."""
    at = jnp.asarray(plane)

    def slope(z):
        if not moving.in_steps:  # no Jacobian is wanted
            return moving.field(jnp.zeros((), z.dtype), z, moving.control)  # pyright: ignore
        return (moving.step(z) - z) / moving.dt

    every = eqx.filter_jit(lambda zs: jax.vmap(slope)(zs)[:, at])

    def on_grid(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        xs, ys = np.meshgrid(x, y)
        zs = np.tile(through, (xs.size, 1))
        zs[:, plane[0]], zs[:, plane[1]] = xs.ravel(), ys.ravel()
        found = np.array(every(jnp.asarray(zs, jnp.zeros(()).dtype)), np.float64)
        found[~np.isfinite(found).all(axis=1)] = np.nan
        return found.T.reshape(2, *xs.shape)

    return on_grid


def _draw_flow(axes: Any, kind: str, x: np.ndarray, y: np.ndarray, u: np.ndarray, v: np.ndarray) -> None:
    speed = np.hypot(u, v)
    if not (speed > 0).any():
        return
    if kind == "streamlines":
        axes.streamplot(x, y, u, v, color=GREY, linewidth=0.8, density=1.1, arrowsize=0.8, zorder=1)
        return
    with np.errstate(invalid="ignore", divide="ignore"):
        # Of the same length on paper, whatever the units of the axes.
        across, up = u / np.ptp(x), v / np.ptp(y)
        length = np.hypot(across, up)
        axes.quiver(x, y, across / length, up / length, color=GREY, angles="uv", pivot="mid", scale=1.4 * len(x))


def _draw_nullclines(axes: Any, x: np.ndarray, y: np.ndarray, slopes: np.ndarray, names: Sequence[str]) -> None:
    for slope, colour, name in zip(slopes, COLOURS, names, strict=False):
        if np.nanmin(slope, initial=np.inf) < 0 < np.nanmax(slope, initial=-np.inf):
            axes.contour(x, y, slope, levels=[0.0], colors=[colour], linewidths=1.6, zorder=3)
            axes.plot([], [], color=colour, linewidth=1.6, label=f"d{name}/dt = 0".replace("$", r"\$"))
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=True, framealpha=0.9, fontsize="small", loc="upper right")
