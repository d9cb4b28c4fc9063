"""Over time: lines that break where nothing was seen, dates, and forecasts in the frame of the data."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.dates import num2date

import ctmodels as ct
from ctmodels.data import Table, Trials
from ctmodels.plot._style import COLOURS, GREY, INK

pytestmark = pytest.mark.only("float32")

TS = np.arange(12.0)
YS = np.stack([TS**2, -TS], axis=1)
YS[3:6, 0] = YS[7, 0] = np.nan  # between two gaps, row 6 is alone


def line_of(axes, colour, marker="None"):
    (line,) = [x for x in axes.lines if to_hex(x.get_color()) == colour.lower() and x.get_marker() == marker]
    return line


def test_a_gap_breaks_the_line_and_what_is_alone_is_a_dot():
    ts = np.linspace(0, 11, 300)  # too many to be dots each
    ys = np.sin(ts)
    ys[100:120] = ys[121:150] = np.nan
    (axes,) = ct.plot.series(ts, ys)
    np.testing.assert_array_equal(line_of(axes, INK).get_ydata(), ys)
    assert line_of(axes, INK, "o").get_xdata().tolist() == [ts[120]]
    # Of few samples each is one.
    first, second = ct.plot.series(TS, YS, names=["a", "b"])
    assert line_of(first, INK, "o").get_xdata().tolist() == [0, 1, 2, 6, 8, 9, 10, 11]
    assert [a.get_title(loc="left") for a in (first, second)] == ["a", "b"]
    assert first.get_xlabel() == "" and second.get_xlabel() == "t"


def test_a_line_goes_no_further_than_it_may():
    ts = np.r_[0.0, 1.0, 2.0, 9.0, 10.0]
    (axes,) = ct.plot.series(ts, ts, longest=3.0)
    xs, ys = line_of(axes, INK).get_data()
    assert xs.tolist() == [0, 1, 2, 5.5, 9, 10] and np.isnan(ys[3])
    with pytest.raises(ValueError, match="longest=0: a time above zero"):
        ct.plot.series(ts, ts, longest=0.0)


def test_what_is_held_out_is_dark_on_shaded_ground():
    (axes,) = ct.plot.series(TS, YS[:, 1], since=8.0)
    assert line_of(axes, INK).get_xdata().tolist() == [8, 9, 10, 11]
    assert next(x for x in axes.lines if x.get_color() == GREY and len(x.get_xdata()) == 9)
    (ground,) = axes.patches
    assert (ground.get_x(), ground.get_width()) == (8, 3)


def test_of_a_series_what_is_masked_is_not_drawn():
    (axes, _) = ct.plot.series(ct.Series.from_nan(TS, YS))
    assert np.isnan(line_of(axes, INK).get_ydata()).tolist() == np.isnan(YS[:, 0]).tolist()


def test_a_table_has_names_units_and_dates():
    table = Table(TS, YS, ("hare", "lynx"), "day", "days", "2001-02-03", "a.csv", units=("thousands", ""))
    first, second = ct.plot.series(table)
    assert [a.get_title(loc="left") for a in (first, second)] == ["hare [thousands]", "lynx"]
    dates = line_of(second, INK).get_xdata()
    assert dates[0] == np.datetime64("2001-02-03") and dates[-1] == np.datetime64("2001-02-14")
    assert num2date(second.get_xlim()[0]).year == 2001 and second.get_xlabel() == ""
    second.figure.draw_without_rendering()
    assert "2001-Feb" in second.xaxis.get_major_formatter().get_offset()
    ct.plot.forecast(dates[8:], YS[8:], ax=[first, second])
    assert second.get_xlabel() == ""
    # Seconds with a zone; years that no calendar of NumPy's has are numbers.
    zoned = Table(TS * 3600, YS, ("a", "b"), "t", "seconds", "2001-02-03T23:00:00Z", "a.csv")
    assert line_of(ct.plot.series(zoned)[0], INK).get_xdata()[1] == np.datetime64("2001-02-04T00:00")
    late = Table(TS + 1e7, YS, ("a", "b"), "t", "days", "2001-02-03", "a.csv")
    assert ct.plot.series(late)[1].get_xlabel() == "t [days since 2001-02-03]"


def test_logarithms_have_plain_numbers():
    (axes,) = ct.plot.series(TS, 1.4 ** TS[:, None], log=True)
    assert axes.get_yscale() == "log" and axes.yaxis.get_major_formatter()(100.0) == "100"


def test_a_forecast_lies_in_the_frame_of_what_was_observed():
    ahead, blown = TS[8:], 10.0 ** np.arange(4)[:, None] - 10
    (axes,) = ct.plot.forecast(ahead, blown, blown - 2, blown + 2, observed=(TS, YS[:, 1]))
    low, high = axes.get_ylim()
    assert line_of(axes, GREY, "o").get_xdata()[-1] == 7 and line_of(axes, INK, "o").get_xdata()[1] == 8
    assert low < -11 and 0 < high < 5
    median = line_of(axes, COLOURS[0]).get_ydata()
    assert median[:2].tolist() == [-9, 0] and median[3] <= high + (high - low)  # no further
    (band,) = axes.collections
    assert band.get_paths()[0].vertices[:, 1].min() == -11
    # Another one on the same axes, thin and in the same frame.
    ct.plot.forecast(ahead, blown + 1, color=COLOURS[1], ax=axes)
    assert line_of(axes, COLOURS[1]).get_linewidth() < 1 and axes.get_ylim() == (low, high)


def test_a_forecast_alone_is_framed_by_itself():
    axes = ct.plot.forecast(TS, YS[:, 1:], YS[:, 1:] - 5, YS[:, 1:] + 5, names=["lynx"])
    assert axes[0].get_title(loc="left") == "lynx" and axes[0].get_ylim()[0] < -16 and axes[0].get_ylim()[1] > 5


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda: ct.plot.series(TS), r"data: an array of float64, shape \(12,\), where a Series or a Table"),
        (lambda: ct.plot.series(TS, YS[:5]), r"ts: shape \(12,\), where 5 times are wanted"),
        (lambda: ct.plot.series(TS, YS[None]), r"ys: shape \(1, 12, 2\), where \(time,\) or \(time, channel\)"),
        (lambda: ct.plot.series(TS, YS, names=["a"]), r"names=\['a'\]: 2 names are wanted"),
        (lambda: ct.plot.series(ct.collate([ct.Series.from_nan(TS, YS)])), "data: a batch, a Series of shape"),
        (lambda: ct.plot.series(ct.Series.from_nan(TS, YS), YS), "ys: an array .* beside a Series"),
        (
            lambda: ct.plot.series(Trials(("one",), (Table(TS, YS, ("x", "y"), "t", "", "", "a"),))),
            r"data: Trials of 1; give one of them, as trials\['one'\]",
        ),
        (lambda: ct.plot.forecast(TS, YS, YS), "upper=None: a band has both limits"),
        (lambda: ct.plot.forecast(TS, YS, YS, YS[:3]), r"upper: shape \(3, 2\), and median has \(12, 2\)"),
        (lambda: ct.plot.forecast(TS, YS, observed=(TS, YS[:, 0])), "observed: 1 channels, and the forecast has 2"),
        (
            lambda: ct.plot.forecast(np.datetime64("2001-01-01") + np.arange(12), YS, observed=(TS, YS)),
            "ts: dates, and the times of observed are numbers",
        ),
    ],
)
def test_what_is_no_series_is_refused(call, message):
    with pytest.raises((TypeError, ValueError), match=message):
        call()
