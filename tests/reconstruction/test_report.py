"""The report: a page that is whole, needs nothing from elsewhere, and says what was found."""

import ast
import base64
import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from toys import scores

import ctmodels as ct
from ctmodels import NeuralODE, Scaling
from ctmodels.data import Table
from ctmodels.metrics import Score
from ctmodels.reconstruction import Candidate, Fitted, Problem, Reconstruction, Trained
from ctmodels.reconstruction._scores import ERRORS
from ctmodels.reconstruction.report import _curves, render
from ctmodels.reconstruction.report._view import View

pytestmark = pytest.mark.only("float32")

VOID = {"source", "meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Reads a page; fails at a tag that closes another."""

    def __init__(self, text: str):
        super().__init__(convert_charrefs=True)
        self.open, self.images, self.rows, self.text = [], [], [], ""
        self.feed(text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert tag not in ("script", "link", "iframe", "object")
        assert not any(name.startswith("on") for name in attrs)
        assert "href" not in attrs
        if tag == "img":
            assert attrs["src"].startswith("data:") and attrs["alt"]
            self.images.append(attrs)
        if tag == "tr":
            self.rows.append([])
        if tag in ("th", "td"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data
        if {"th", "td"} & set(self.open):
            self.rows[-1][-1] += data

    def svgs(self) -> list[str]:
        return [base64.b64decode(i["src"].partition("base64,")[2]).decode() for i in self.images]


def history(steps: int = 5, members: int | None = 3) -> list[dict]:
    def value(i):
        return np.exp(-i) if members is None else [np.exp(-i) * (m + 1) for m in range(members)]

    return [{"step": 10 * i, "loss": value(i), "validation": value(i)} for i in range(1, steps + 1)]


def fitted(table: Table, n_train: int, channels: int, score: float, driven: bool = False, **changes) -> Fitted:
    ts, steps = table.time[n_train:, None], 120
    median = np.broadcast_to(np.sin(ts) + 3, (len(ts), channels))
    phases = np.arange(channels) + np.linspace(0, 30, steps)[:, None]
    kept = {
        "candidate": Candidate("any", lambda problem, key: None),
        # A hidden variable besides: what has two states is drawn in their plane, and that compiles.
        "trained": Trained(NeuralODE(lambda t, y, args: y, channels, 1), None, None, [], "finished"),
        "scores": scores(nrmse=score, rmse=2 * score, smape=12.0, mase=0.5, valid_prediction_time=1.5),
        "median": median,
        "lower": median - 1,
        "upper": median + 1,
        "generated": None if driven else np.sin(phases) + 3,
        "exponents": None if driven else np.linspace(0.1, -1, channels) + np.zeros((3, 1)),
        "history": history(),
        "seconds": 12.3,
    }
    return Fitted(**{**kept, **changes})


def reconstruction(
    names=("x",),
    inputs=(),
    candidates=("neural", "second"),
    samples=120,
    log=False,
    values=None,
    changes=None,
    **others,
) -> Reconstruction:
    """Sines, forecast well; `changes`: of the second candidate."""
    ts = np.linspace(0, 24, samples)
    if values is None:
        values = np.sin(ts[:, None] + np.arange(len(names) + len(inputs))) + 3
    table = Table(ts, values, (*names, *inputs), "t", "days", "2001-02-03", "folder/a.csv")
    n_train, channels = samples * 3 // 4, len(names)
    scaling = Scaling.fit(ts[:n_train], values[:n_train, :channels], log=log)
    units = Scaling.fit(ts[:n_train], values[:n_train, channels:]) if inputs else None
    problem = Problem(
        channels=channels,
        scaling=scaling,
        input_scaling=units,
        substeps=2,
        period=6.3,
        level=tuple(scaling.mean),
    )
    models = {
        name: fitted(table, n_train, channels, 0.2 + i, bool(inputs), **(changes or {}) if i else {})
        for i, name in enumerate(candidates)
    }
    bases = {"mean": scores(nrmse=1.0, rmse=2.5), "persistence": scores(nrmse=1.4, rmse=2.2)}
    kept = {
        "table": table,
        "inputs": tuple(inputs),
        "problem": problem,
        "n_train": n_train,
        "horizon": 10,
        "season": 31,
        "measure": "nrmse",
        "fitted": models,
        "baselines": bases,
        "selected": candidates[0],
        "verdict": f"Selected is {candidates[0]}: 0.2 against 1.",
    }
    return Reconstruction(**{**kept, **others})


def check(result: Reconstruction, figures: int) -> Page:
    """What holds for any page."""
    text = render(result)
    assert len(text) < 2e6
    assert not re.search(r"https?:|@import|url\(", text)
    page = Page(text)
    assert page.open == [] and result.verdict in page.text
    assert all(name in page.text for name in (*result.table.names, *result.fitted, *result.baselines))
    assert f"{result.n_train} to train on" in page.text and "ctmodels forecast DIR --steps N" in page.text
    assert len(page.images) == figures
    for svg in page.svgs():
        ElementTree.fromstring(svg)
    return page


def test_one_channel_is_embedded_by_delays():
    result = reconstruction()
    page = check(result, figures=1 + 3 + 1 + 1 + 1)
    assert "8 samples earlier" in page.text
    assert "Feb 2001" in page.svgs()[0]
    # Sorted, the best marked, what is missing a dash.
    assert [row[0] for row in page.rows[1:]] == [
        "neuralbest",
        "meanbaseline",
        "second",
        "persistencebaseline",
    ]
    assert page.rows[1][1] == "0.2" and page.rows[2][-1] == "–"


def test_two_channels_with_gaps_on_logarithms():
    ts = np.linspace(0, 24, 120)
    values = np.exp(np.sin(ts[:, None] + np.arange(2)))
    values[50:70] = np.nan
    values[80::2, 1] = np.nan  # every other: each is alone between two gaps
    changes = {"scores": scores(rmse_log=0.5)}
    result = reconstruction(("hare", "lynx"), values=values, log=True, changes=changes, measure="rmse_log")
    page = check(result, figures=1 + 3 + 1 + 1)
    assert "More than 5% of hare, lynx is missing" in page.text
    assert page.rows[0][1].startswith("rmse_log")  # the measure that ranks comes first


def test_three_channels_stand_in_space_and_many_are_not_all_drawn():
    page = check(reconstruction(tuple("abcdefgh"), candidates=("neural",)), figures=1 + 2 + 4 + 1 + 1)
    assert "2 more channels are not drawn: g, h." in page.text
    assert page.images[2]["alt"] == "Orbit, generated by neural, in the plane or space of a, b, c"


def test_driven_systems_have_no_attractor():
    page = check(reconstruction(("x", "y"), inputs=("u",)), figures=1 + 1 + 1)
    assert page.text.count("driven by u") >= 4
    assert "Phase portrait" in page.text and "no phase portrait" in page.text


def test_what_diverged_is_said_and_wrecks_no_axis():
    n = 30
    blown = np.exp(np.linspace(0, 700, n))[:, None]
    blown[-5:], lost = np.inf, np.full((120, 1), np.nan)
    lost[:40, 0] = 3 * np.exp(np.arange(40.0))
    changes = {
        "scores": scores(nrmse=np.nan, rmse=np.inf, smape=2.3e5, d_stsp=np.inf, lyapunov_max=np.nan),
        "median": blown,
        "lower": -blown,
        "upper": blown,
        "generated": lost,
        "exponents": np.full((3, 1), np.nan),
        "history": [{"step": 1, "loss": [np.nan, 3.0, np.inf]}, {"step": 2, "loss": [np.nan] * 3}],
    }
    result = reconstruction(changes=changes)
    page = check(result, figures=1 + 3 + 1 + 1 + 1)
    assert page.rows[-1][:3] == ["second", "diverged", "diverged"]
    assert "2.3 × 105" in page.rows[-1]
    assert "The forecast of second diverged." in page.text
    assert "leaves these axes; it diverged." in page.text
    numbers = re.findall(r"-?\d+\.\d+", " ".join(re.findall(r' d="([^"]*)"', page.svgs()[0])))
    assert max(abs(float(x)) for x in numbers) < 5000
    # Nor where all candidates did.
    alone = Reconstruction(**{**vars(result), "fitted": {"second": result.fitted["second"]}, "selected": None})
    assert 'class="verdict none"' in render(alone)


def test_units_and_notes_of_the_reader_are_shown():
    result = reconstruction(("x", "y"), inputs=("u",), candidates=("neural",))
    table = dataclasses.replace(result.table, units=("m/s", "", "°C"), notes=("a.csv: <suspect>",), origin="")
    page = check(Reconstruction(**{**vars(result), "table": table}), figures=1 + 1 + 1)
    assert "2 channels (x [m/s], y)" in page.text and "driven by 1 input (u [°C])" in page.text
    assert "a.csv: <suspect>" in page.text
    drawn = "".join(ElementTree.fromstring(page.svgs()[0]).itertext())
    assert "x [m/s]" in drawn and "t [days]" in drawn


def test_names_are_text():
    bad = ("<b>&\"'", "$x_{1$ \\frac", "浓度\x07\n", "_hidden%s")
    result = reconstruction(bad[:3], candidates=(bad[0], bad[3]), verdict=f"Selected is {bad[0]}.")
    text = render(result)
    assert '<b>&"' not in text and "&lt;b&gt;&amp;&quot;" in text
    page = Page(text)
    shown = "浓度\ufffd\ufffd"  # of characters that no document may hold, nothing is left
    assert all(name in page.text for name in (*bad[:2], shown, bad[3], result.verdict))
    # In the figures too, even in a script that matplotlib's font has not.
    panels = "".join(ElementTree.fromstring(page.svgs()[0]).itertext())
    assert all(name in panels for name in (*bad[:2], shown))


def test_nothing_recorded():
    changes = {"history": [], "scores": {}, "generated": None, "exponents": None}
    result = reconstruction(candidates=("neural", "second"), changes=changes)
    bare = Reconstruction(**{**vars(result), "fitted": {"second": result.fitted["second"]}, "selected": None})
    before = dict(matplotlib.rcParams)
    assert "No loss was recorded." in check(bare, figures=1).text
    # The same result gives the same page, and nothing stays behind.
    assert render(bare) == render(bare)
    assert dict(matplotlib.rcParams) == before


@pytest.mark.parametrize("members", [None, 1, 3])
def test_a_loss_is_a_number_or_one_per_member(members):
    result = reconstruction(candidates=("a", "b"), changes={"history": history(members=members)})
    steps, values = _curves.curve(result.fitted["b"], "loss")
    assert steps.tolist() == [10, 20, 30, 40, 50] and values.shape == (5, members or 1)
    assert _curves.losses(View.of(result)) is not None


def test_irregular_times_have_no_spectrum():
    result = reconstruction(candidates=("neural",))
    ts = np.cumsum(np.random.default_rng(0).exponential(0.2, 120))
    table = Table(ts, result.table.values, ("x",), "t", "", "", "a.csv")
    page = check(Reconstruction(**{**vars(result), "table": table}), figures=1 + 2 + 1 + 1)
    assert "not evenly spaced" in page.text and "units of “t”" in page.text


def test_long_series_stay_small():
    check(
        reconstruction(samples=60_000, horizon=5_000, candidates=("neural",)),
        figures=1 + 2 + 1 + 1 + 1,
    )


def test_a_score_that_is_added_is_shown_with_its_head_and_its_meaning():
    result = reconstruction(candidates=("neural",))
    result.fitted["neural"].scores["mine"] = Score(
        0.625, "M_peak {x} [<m>]", "The share of peaks that were met.", "higher", count=8
    )
    text = render(result)
    page = check(result, figures=1 + 2 + 1 + 1 + 1)
    assert page.rows[0][-1] == "Mpeak {x} [<m>]\xa0↑" and page.rows[1][-1] == "0.625"
    assert "M<sub>peak</sub>" in text and "from 8" in text
    assert "The share of peaks that were met. Higher is better." in page.text
    lines = result.summary().splitlines()
    assert lines[0].split() == ["neural", "mean", "*", "persistence", "*"]
    assert next(line for line in lines if line.startswith("M_peak")).split()[-3:] == ["0.625", "–", "–"]
    assert lines[-1] == "M_peak {x} [<m>]: The share of peaks that were met. Higher is better."


def test_no_list_of_scores_knows_one_by_name():
    """But for the valid prediction time, which is drawn and spoken of too."""
    names = {*ERRORS, "coverage", "pit_distance", "d_stsp", "d_hellinger", "lyapunov_max", "kaplan_yorke"}
    room = Path(ct.reconstruction.__file__).parent
    for path in (room / "_summary.py", *(room / "report").glob("*.py")):
        constants = (n.value for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.Constant))
        assert not names & {value for value in constants if isinstance(value, str)}, path
