"""A law in the plane: nullclines where they are known to be, arrows along the law, and fixed points by their kind."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_hex

import ctmodels as ct
from ctmodels.analysis import FixedPoint
from ctmodels.analysis._linearise import describe
from ctmodels.plot._style import COLOURS, INK

pytestmark = pytest.mark.only("float32")


def double_well(t, y, args):
    return jnp.stack([y[0] - y[0] ** 3, -y[1] + y[0]])


def nullcline(axes, colour):
    (found,) = [
        c for c in axes.collections if len(c.get_edgecolor()) and to_hex(c.get_edgecolor()[0]) == colour.lower()
    ]
    return np.concatenate([path.vertices for path in found.get_paths()])


def test_nullclines_are_where_a_state_stands_still(within):
    axes = ct.plot.field(double_well, (-2, 2.1), (-1.5, 1), points=8, names=("u", "v"))
    assert axes.get_xlim() == (-2, 2.1) and axes.get_ylim() == (-1.5, 1)
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("u", "v")
    x = nullcline(axes, COLOURS[0])[:, 0]
    np.testing.assert_allclose(x, np.round(x), **within(0, 0.02))
    assert {-1, 0, 1} == {round(float(value)) for value in x}
    line = nullcline(axes, COLOURS[1])
    np.testing.assert_allclose(line[:, 0], line[:, 1], **within(0, 1e-5))
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["du/dt = 0", "dv/dt = 0"]
    assert any(isinstance(c, LineCollection) for c in axes.collections)  # streamlines


def test_arrows_go_along_the_law_and_nothing_is_drawn_where_it_is_no_number(within):
    law = lambda t, y, args: jnp.stack([jnp.sqrt(y[0]), jnp.sqrt(y[0])])  # not a number on the left
    axes = ct.plot.field(law, (-1, 1), (-2, 2), kind="arrows", nullclines=False, points=4)
    (arrows,) = axes.collections
    across, up, seen = arrows.U, arrows.V, ~np.ma.make_mask(arrows.Umask)
    assert seen.reshape(4, 4).sum(axis=0).tolist() == [0, 0, 4, 4]
    np.testing.assert_allclose(across[seen] / up[seen], 2, **within(1e-5, 0))  # the plane is twice as high as wide
    assert axes.get_legend() is None


def test_of_more_states_a_plane_is_drawn(within):
    law = lambda t, y, args: jnp.stack([y[1] - y[2], y[0], y[2]])
    axes = ct.plot.field(law, (-1, 1), (0, 3), plane=(0, 1), through=[9.0, 9.0, 2.0], points=6)
    np.testing.assert_allclose(nullcline(axes, COLOURS[0])[:, 1], 2, **within(0, 1e-5))


@pytest.mark.only("float64")  # as NumPy has it
def test_of_a_map_the_speed_over_a_step_is_drawn(within):
    halved = ct.analysis.Map(lambda t, z, args: jnp.stack([z[0] / 2 + 0.25, z[1]]))
    axes = ct.plot.field(halved, (0, 1), (0, 1), kind="arrows", points=6)
    np.testing.assert_allclose(nullcline(axes, COLOURS[0])[:, 0], 0.5, **within(0, 1e-5))


def point(z, jacobian, slow=False):
    return FixedPoint(np.array(z), 0.0, slow, 3, describe(np.array(jacobian), False, 1.0))


def test_fixed_points_are_marked_by_their_stability():
    found = [
        point([1.0, 2.0], [[-1.0, 0], [0, -2.0]]),
        point([3.0, 4.0], [[-1.0, 0], [0, 2.0]]),
        point([5.0, 6.0], [[1.0, 2.0], [-2.0, 1.0]]),
        point([7.0, 8.0], [[0.0, 1.0], [-1.0, 0.0]]),
        point([9.0, 9.0], [[-1.0, 0], [0, -2.0]], slow=True),
    ]
    axes = ct.plot.fixed_points(found)
    drawn = {line.get_label(): (line.get_marker(), *line.get_xydata()[0].tolist()) for line in axes.lines}
    assert drawn == {
        "stable": ("o", 1, 2),
        "saddle": ("D", 3, 4),
        "unstable": ("o", 5, 6),
        "neither grows nor decays": ("o", 7, 8),
        "slow": ("s", 9, 9),
    }
    filled = {line.get_label(): line.get_markerfacecolor() for line in axes.lines}
    assert filled["stable"] == INK and filled["unstable"] == filled["saddle"] == "white"
    assert len(ct.plot.fixed_points(found, plane=(1, 0), legend=False).lines) == 5


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ct.plot.field(3.0, (0, 1), (0, 1)), "dynamics: 3.0, where a function"),
        (lambda: ct.plot.field(double_well, (1, 0), (0, 1)), r"x_limits=\(1, 0\): the first of two finite numbers"),
        (lambda: ct.plot.field(double_well, (0, 1), 2.0), "y_limits=2: two numbers"),
        (lambda: ct.plot.field(double_well, (0, 1), (0, 1), kind="dots"), "kind='dots': must be one of 'streamlines'"),
        (lambda: ct.plot.field(double_well, (0, 1), (0, 1), plane=(0, 2)), "plane=.*give `through` for one of more"),
        (lambda: ct.plot.fixed_points([1.0]), "found: a list, where a list of FixedPoint is wanted"),
        (lambda: ct.plot.fixed_points([point([0.0], [[1.0]])]), r"plane=\(0, 1\): two of the 1 states of found\[0\]"),
    ],
)
def test_what_is_no_field_is_refused(call, message):
    with pytest.raises(Exception, match=message):
        call()
