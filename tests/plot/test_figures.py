"""What holds for every figure: whose axes it is on, in whose style, and that nothing of it stays behind."""

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

import ctmodels as ct
from ctmodels.plot._style import STYLE

pytestmark = pytest.mark.only("float32")

TS = np.linspace(0, 6, 40)
YS = np.stack([np.cos(TS), np.sin(TS)], axis=1)

# name: how it is called, and how many axes it has.
FIGURES = {
    "series": (lambda ax=None: ct.plot.series(TS, YS, ax=ax), 2),
    "forecast": (lambda ax=None: ct.plot.forecast(TS, YS, YS - 1, YS + 1, observed=(TS, YS), ax=ax), 2),
    "field": (lambda ax=None: ct.plot.field(lambda t, y, args: -y, (-1, 1), (-1, 1), points=4, ax=ax), 1),
    "fixed_points": (lambda ax=None: ct.plot.fixed_points([], ax=ax), 1),
    "phase_portrait": (lambda ax=None: ct.plot.phase_portrait(YS, ax=ax), 1),
    "spectra": (lambda ax=None: ct.plot.spectra(YS, 0.1, ax=ax), 2),
    "lyapunov": (lambda ax=None: ct.plot.lyapunov(np.array([0.9, 0.0, -14.6]), ax=ax), 1),
    "terms": (lambda ax=None: ct.plot.terms({"x": {"y": 1.0}, "y": {"x": -1.0}}, ax=ax), 2),
    "solver_steps": (lambda ax=None: ct.plot.solver_steps(TS, ax=ax), 1),
    "latent": (lambda ax=None: ct.plot.latent(TS, YS, ax=ax), 2),
    "raster": (lambda ax=None: ct.plot.raster([TS, TS[::2]], ax=ax), 1),
    "residuals": (lambda ax=None: ct.plot.residuals(TS, YS[:, 0], ax=ax), 3),
    "lead_times": (lambda ax=None: ct.plot.lead_times([1, 2, 3], {"a": [0.1, 0.2, 0.4]}, ax=ax), 1),
}


def test_every_figure_is_here():
    functions = {name for name in dir(ct.plot) if not name.startswith("_")}
    assert set(FIGURES) == {name for name in functions if callable(getattr(ct.plot, name))}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_of_its_own_leaves_nothing_behind(name):
    call, count = FIGURES[name]
    before = dict(matplotlib.rcParams)
    made = call()
    assert dict(matplotlib.rcParams) == before and not plt.get_fignums()
    assert isinstance(made, Axes) if count == 1 and name not in ("series", "forecast") else len(made) == count
    axes = np.ravel(made)[0]
    assert not axes.spines["top"].get_visible() and to_hex(axes.spines["left"].get_edgecolor()) == "#aab1ba"


@pytest.mark.parametrize("name", FIGURES)
def test_axes_that_are_given_are_drawn_on_and_returned(name):
    call, count = FIGURES[name]
    figure = Figure()
    given = figure.subplots(count, 1, squeeze=False)[:, 0]
    made = call(ax=given[0] if count == 1 else list(given))
    assert np.ravel(made).tolist() == given.tolist()
    assert given[0].spines["top"].get_visible()  # in the user's style
    with pytest.raises(ValueError, match=f"ax: {count + 1} axes for {count} panels"):
        call(ax=figure.subplots(count + 1, 1))
    with pytest.raises(TypeError, match="ax: a Figure at 0, where axes of matplotlib are wanted"):
        call(ax=figure)


def test_ticks_keep_their_style_until_they_are_drawn():
    (axes,) = ct.plot.series(TS, YS[:, 0])
    with matplotlib.rc_context({"xtick.color": "red", "grid.color": "red"}):
        axes.set_xlim(0, 1000)  # new ticks
        axes.figure.draw_without_rendering()
        tick = axes.xaxis.get_major_ticks()[3]
    assert tick.label1.get_color() == STYLE["xtick.color"] and tick.gridline.get_color() == STYLE["grid.color"]
