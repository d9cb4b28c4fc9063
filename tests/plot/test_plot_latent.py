"""Inside of models and solvers: terms of a law, steps, latent states, spikes."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex

import ctmodels as ct
from ctmodels.plot._style import COLOURS

pytestmark = pytest.mark.only("float32")

TRUE = {"x": {"x": -10.0, "y": 10.0}, "y": {"x": 28.0, "y": -1.0, "x z": -1.0}, "z": {"z": -8 / 3, "x y": 1.0}}


def dots(axes, colour):
    found = [x for x in axes.lines if x.get_marker() == "o" and to_hex(x.get_color()) == colour.lower()]
    return [x.get_xdata() for x in found]


def test_learned_terms_stand_beside_known_ones(tolerance):
    library = ct.fields.Library(3, 2)
    words = library.names(["x", "y", "z"])
    rows = np.array([[TRUE[name].get(word, 0.0) for word in words] for name in "xyz"])
    rows[0, words.index("z")] = 0.25  # of no law
    rows[1, words.index("y")] = 0.0  # missed
    found = ct.fields.SparseField(library, jnp.asarray(rows, float))
    axes = ct.plot.terms(found, TRUE, names=["x", "y", "z"])
    assert [a.get_title(loc="left") for a in axes] == ["x'", "y'", "z'"]
    assert [t.get_text() for t in axes[0].get_yticklabels()] == ["x", "y", "z"]
    assert [bar.get_width() for bar in axes[1].patches] == [28, -1, -1]
    assert [x.tolist() for x in dots(axes[0], COLOURS[0])] == [[-10, 10]]
    np.testing.assert_allclose(dots(axes[0], COLOURS[1])[0], [0.25], **tolerance())
    assert dots(axes[1], COLOURS[0])[0].tolist() == [28, 0, -1]
    assert axes[0].get_xscale() == "symlog"


def test_parameters_of_a_law_have_intervals():
    law = ct.fields.Law(lambda t, y, *, damping=0.5, stiffness=9.0: [y[1], -stiffness * y[0] - damping * y[1]])
    (axes,) = ct.plot.terms(law, {"damping": 0.4}, intervals={"damping": (0.25, 0.75)})
    assert [t.get_text() for t in axes.get_yticklabels()] == ["damping", "stiffness"]
    (interval,) = axes.collections
    assert interval.get_segments()[0][:, 0].tolist() == [0.25, 0.75]
    (alone,) = ct.plot.terms({"a": 1.0, "b": 2.0})
    assert alone.get_xscale() == "linear" and not alone.patches


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ct.plot.terms(3.0), "found: 3.0, where a SparseField, a Law or a dict"),
        (lambda: ct.plot.terms({"a": {"x": 1.0}, "b": 2.0}), "found: numbers and dicts"),
        (lambda: ct.plot.terms({"x": {"x": 1.0}}, {"y": {"x": 1.0}}), "known: no 'y' among those found: x"),
        (lambda: ct.plot.terms({"a": np.ones(2)}), r"found\['a'\]: shape \(2,\), where a number is wanted"),
        (lambda: ct.plot.solver_steps(), "edges=None: give the edges"),
        (lambda: ct.plot.solver_steps([0.0, 1.0, 1.0]), "edges: 3 of them: two at least are wanted, in increasing"),
        (lambda: ct.plot.latent(np.arange(3.0), np.ones((3, 9))), "states: 9 of them, and up to 6 are drawn"),
        (lambda: ct.plot.latent(np.arange(4.0), np.ones((3, 2))), r"ts: shape \(4,\), where 3 times"),
        (
            lambda: ct.plot.latent(np.arange(3.0), np.ones((5, 3, 2)), groups=["a"]),
            r"`groups`: shape \(1,\), where one for each of 5 samples",
        ),
        (lambda: ct.plot.raster([np.ones(2)], limits=(1, 0)), r"limits=\(1, 0\): the first of two finite numbers"),
        (lambda: ct.plot.raster([np.ones(2)], names=["a", "b"]), r"names=\['a', 'b'\]: 1 names are wanted"),
    ],
)
def test_what_cannot_be_drawn_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def stats(accepted, rejected, status):
    count, reached = jnp.array(accepted), jnp.array(accepted, float)
    return ct.Stats(count, count, jnp.array(rejected), jnp.array(status), {}, reached, reached, reached)


def test_steps_are_drawn_by_their_length():
    axes = ct.plot.solver_steps([0.0, 1.0, 1.5, 3.5], stats(3, 2, 0))
    (stairs,) = axes.patches
    assert stairs.get_data().values.tolist() == [1, 0.5, 2] and axes.get_xlim() == (0, 3.5)
    assert axes.get_title(loc="left") == "3 steps accepted, 2 rejected" and axes.get_yscale() == "log"
    assert "failed: too many steps" in ct.plot.solver_steps([0.0, 1.0], stats(1, 0, 1)).get_title(loc="left")


def test_of_a_batch_each_sample_has_its_counts():
    axes = ct.plot.solver_steps(stats=stats([5, 7], [1, 0], [0, 2]))
    assert [bar.get_height() for bar in axes.patches] == [5, 7, 1, 0]
    assert [bar.get_y() for bar in axes.patches] == [0, 0, 5, 7]
    (failed,) = axes.lines
    assert failed.get_xydata().tolist() == [[1, 7]]


def test_latent_states_have_the_colours_of_their_groups():
    ts, zs = np.arange(4.0), np.arange(24.0).reshape(3, 4, 2)
    first, second = ct.plot.latent(ts, zs, groups=["a", "b", "a"], names=["u", "v"])
    drawn = [(to_hex(line.get_color()), line.get_ydata().tolist()) for line in second.lines]
    assert [y for _, y in drawn] == [zs[i, :, 1].tolist() for i in (0, 2, 1)]
    assert [c for c, _ in drawn] == [COLOURS[0].lower()] * 2 + [COLOURS[1].lower()]
    assert [t.get_text() for t in first.get_legend().get_texts()] == ["a", "b"]
    assert len(ct.plot.latent(ts, zs[0])) == 2


def test_spikes_have_a_row_for_each_neuron():
    trains = [np.array([0.5, 1.5]), np.array([]), np.array([2.5])]
    axes = ct.plot.raster(trains, limits=(0, 3), names=["a", "b", "c"])
    assert [row.get_positions() for row in axes.collections] == [[0.5, 1.5], [], [2.5]]
    assert [row.get_lineoffset() for row in axes.collections] == [0, 1, 2]
    assert axes.yaxis_inverted() and [t.get_text() for t in axes.get_yticklabels()] == ["a", "b", "c"]
    assert axes.get_xlim() == (0, 3)


def test_counts_are_shades():
    counts = ct.Series.from_nan(np.arange(3.0), np.array([[0.0, 2], [1, np.nan], [0, 4]]))
    (mesh,) = ct.plot.raster(counts).collections
    shown = mesh.get_array()
    assert shown.filled(-1).tolist() == [[0, 1, 0], [2, -1, 4]] and mesh.get_clim() == (0, 4)
