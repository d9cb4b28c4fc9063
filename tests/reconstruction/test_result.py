"""What a result draws of itself, and how it stands in a notebook."""

import dataclasses
import sys

import numpy as np
import pytest
from matplotlib.colors import to_hex
from test_report import Page, reconstruction

import ctmodels as ct
from ctmodels.data import Table, Trials
from ctmodels.plot._style import COLOURS

pytestmark = pytest.mark.only("float32")

# A reconstruction of sines, of 120 rows at 0.2 days from 2001-02-03 on; the last 30 are held out.
END = np.datetime64("2001-02-03", "us")


def test_the_forecast_is_drawn_with_its_band_over_the_data():
    (axes,) = reconstruction().plot()
    (band,) = axes.collections
    (line,) = [x for x in axes.lines if to_hex(x.get_color()) == COLOURS[0].lower()]
    ts = line.get_xdata()
    assert ts[0] == END + np.timedelta64(round(86400e6 * 90 * 24 / 119), "us") and len(ts) == 30
    np.testing.assert_array_equal(line.get_ydata(), reconstruction().fitted["neural"].median[:, 0])
    low, high = (f(band.get_paths()[0].vertices[:, 1]) for f in (np.min, np.max))
    assert low == line.get_ydata().min() - 1 and high == line.get_ydata().max() + 1
    assert axes.get_title(loc="left") == "x"


def test_channels_and_kinds_are_chosen():
    result = reconstruction(("a", "b", "c"))
    axes = result.plot("forecast", channels=["c", "a"], model="second")
    assert [a.get_title(loc="left") for a in axes] == ["c", "a"]
    spectra = result.plot("spectra", channels=["b"])
    assert [line.get_label() for line in spectra[0].lines] == ["neural", "observed"]
    assert result.plot("lyapunov").get_ylabel() == "λ [1/day]"
    with pytest.raises(ValueError, match="kind='law': must be one of 'forecast', 'spectra', 'lyapunov'"):
        result.plot("law")
    with pytest.raises(ct.DataError, match="no channel 'd': there are a, b, c"):
        result.plot(channels=["d"])
    with pytest.raises(ct.DataError, match="id='a'.*leave it out"):
        result.plot(id="a")
    driven = reconstruction(("x",), inputs=("u",))
    with pytest.raises(ct.DataError, match="no free run"):
        driven.plot("spectra")
    with pytest.raises(ct.DataError, match="no exponents"):
        driven.plot("lyapunov")


def test_of_trials_a_held_out_one_is_drawn_from_the_end_of_its_warm_up():
    result = reconstruction()
    cuts = [slice(0, 90), slice(90, 105), slice(105, 120)]
    tables = [Table(result.table.time[c], result.table.values[c], ("x",), "t", "", "", "a") for c in cuts]
    fitted = result.fitted["neural"]
    median = fitted.median.copy()
    median[:4] = median[15:20] = np.nan
    fitted = dataclasses.replace(fitted, median=median)
    trials = Trials(("one", "two", "three"), tuple(tables))
    result = dataclasses.replace(result, trials=trials, fitted={"neural": fitted})
    for id, rows in ((None, slice(94, 105)), ("three", slice(110, 120))):
        (axes,) = result.plot(id=id)
        (line,) = [x for x in axes.lines if to_hex(x.get_color()) == COLOURS[0].lower()]
        np.testing.assert_array_equal(line.get_xdata(), result.table.time[rows])
    with pytest.raises(ct.DataError, match="id='one': no trial that is held out: there are two, three"):
        result.plot(id="one")


def test_a_notebook_shows_the_verdict_and_a_short_table():
    result = reconstruction(candidates=("<neural>", "second"), verdict="Selected is <neural>.")
    page = Page(result._repr_html_())
    assert [row[0] for row in page.rows] == ["", "<neural>", "mean", "second", "persistence"]
    assert page.rows[1][1] == "0.2" and len(page.rows[0]) == 5 and page.rows[4][-1] == "–"
    assert "Selected is <neural>." in page.text
    assert repr(result) == "Reconstruction(folder/a.csv: <neural>, second; Selected is <neural>.)"


def test_a_forecast_without_pandas_says_what_installs_it(monkeypatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ct.DataError, match=r"not installed: pip install 'ctmodels\[data\]'"):
        reconstruction().forecast(3)
