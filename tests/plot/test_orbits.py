"""Orbits in state space and in frequency, and their exponents."""

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_hex

import ctmodels as ct
from ctmodels.analysis import Lyapunov
from ctmodels.plot._style import COLOURS, INK

pytestmark = pytest.mark.only("float32")

TS = 0.05 * np.arange(400)
ORBIT = np.stack([np.cos(2 * np.pi * TS), np.sin(2 * np.pi * TS), TS], axis=1)


def test_two_states_lie_in_the_plane_and_three_in_space():
    axes = ct.plot.phase_portrait(ORBIT[:, :2], names=["a", "b"], limits=[(-2, 2), (-2, 0.5)])
    (line,) = axes.lines
    x, y = line.get_data()
    inside = ORBIT[:, 1] <= 0.5
    np.testing.assert_array_equal(x[inside], ORBIT[inside, 0])
    assert np.isnan(y[~inside]).all() and axes.get_ylim() == (-2, 0.5) and axes.get_xlabel() == "a"
    axes = ct.plot.phase_portrait(ORBIT, log=True)
    assert axes.name == "3d" and axes.get_zlabel() == "log₁₀ y2"
    with pytest.raises(ValueError, match="ax: rectilinear axes, where axes in space, made with projection='3d', are"):
        ct.plot.phase_portrait(ORBIT, ax=ct.plot.phase_portrait(ORBIT[:, :2]))


def test_one_channel_lies_over_its_past():
    axes = ct.plot.phase_portrait(ORBIT[:, 0], delay=5)
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xydata(), np.stack([ORBIT[5:, 0], ORBIT[:-5, 0]], axis=1))
    assert axes.get_ylabel() == "y0 (t − 5)"
    with pytest.raises(ValueError, match="delay=0: the orbit has 1 states; one channel is drawn over its own past"):
        ct.plot.phase_portrait(ORBIT[:, 0])
    with pytest.raises(ValueError, match="delay=5: the orbit has 2 states; a delay is for one channel"):
        ct.plot.phase_portrait(ORBIT[:, :2], delay=5)


def test_a_spectrum_has_its_peak_where_the_orbit_turns(within):
    ys = ORBIT[:, :2] + 0.0
    ys[7, 0] = np.nan  # filled in
    series = ct.Series.from_nan(TS, ys)
    first, second = ct.plot.spectra(series, generated={"model": ORBIT[:200, [0, 2]]})
    model, observed = first.lines
    assert [model.get_label(), observed.get_label()] == ["model", "observed"]
    assert to_hex(observed.get_color()) == INK and to_hex(model.get_color()) == COLOURS[0].lower()
    for line in (model, observed):
        frequency, power = line.get_data()
        np.testing.assert_allclose(frequency[np.nanargmax(power)], 1.0, **within(0.01, 0))
    assert first.get_xscale() == first.get_yscale() == "log" and first.get_xlim()[1] == pytest.approx(10, rel=0.01)
    assert first.get_legend() is not None and second.get_xlabel() == "frequency"
    table = ct.data.Table(TS, ORBIT, ("a", "b", "c"), "t", "days", "", "a.csv")
    assert ct.plot.spectra(table)[-1].get_xlabel() == "frequency [1/day]"


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ct.plot.spectra(ORBIT), "dt=None: the time between two rows is needed"),
        (lambda: ct.plot.spectra(ct.Series.from_nan(TS**2 + TS, ORBIT)), "orbit: its times are not evenly spaced"),
        (lambda: ct.plot.spectra(ct.Series.from_nan(TS, ORBIT), 0.1), "dt=0.1: a Series has times of its own"),
        (
            lambda: ct.plot.spectra(np.where(np.arange(400) % 3, ORBIT[:, 0], np.nan), 0.1),
            "orbit: of 'y' 34% is missing",
        ),
        (lambda: ct.plot.spectra(ORBIT, 0.1, generated={"m": ORBIT[:, :1]}), r"generated\['m'\]: shape \(400, 1\)"),
        (lambda: ct.plot.phase_portrait(ORBIT[None]), r"orbit: shape \(1, 400, 3\)"),
        (lambda: ct.plot.phase_portrait(ORBIT, limits=[(0, 1)]), r"limits=.*3 pairs"),
        (lambda: ct.plot.lyapunov({}), "exponents: empty"),
        (lambda: ct.plot.lyapunov({"a": np.zeros((2, 2, 2))}), r"exponents\['a'\]: shape \(2, 2, 2\)"),
    ],
)
def test_what_is_no_orbit_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()


def test_exponents_stand_side_by_side_members_as_dots():
    members = np.array([[1.0, -1.0], [2.0, -np.inf], [4.0, np.nan]])
    known = Lyapunov(*(jnp.array(x) for x in ([0.9, 0.0, -14.6], [0.1, 0.2, 0.3], [1.0, 1.0, 1.0])))
    axes = ct.plot.lyapunov({"model": members, "known": known}, unit="1/day")
    bars = [c.get_segments()[0] for c in axes.collections if len(c.get_segments()) == 1]
    heights = [segment[0, 1] for segment in bars]
    assert heights[:2] == [2, -1]  # medians of what is finite
    assert {0.9, 0.0, -14.6} <= {round(float(h), 6) for h in heights}
    dots = [line.get_ydata().tolist() for line in axes.lines if line.get_marker() == "o"]
    assert dots[:2] == [[1, 2, 4], [-1]] and axes.get_ylabel() == "λ [1/day]"
    assert axes.get_xticks().tolist() == [1, 2, 3] and axes.get_xlim() == (0.4, 3.6)
    errors = [c.get_segments()[0][:, 1] for c in axes.collections if np.ptp(c.get_segments()[0][:, 1]) > 0]
    assert np.allclose([np.ptp(e) / 2 for e in errors], [0.1, 0.2, 0.3])
    assert axes.get_legend_handles_labels()[1][:2] == ["model", "known"]
