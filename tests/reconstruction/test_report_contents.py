"""What the report says beyond forecasts: lead times, residuals, inputs, the plane, what to try next, its making."""

import dataclasses
import re
from xml.etree import ElementTree

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chi2
from test_report import Page, check, reconstruction
from toys import scores

import ctmodels as ct
from ctmodels.metrics import Score
from ctmodels.metrics._autocorrelation import autocorrelation
from ctmodels.plot._lead_times import lead_times
from ctmodels.plot._residuals import residuals
from ctmodels.reconstruction import Parameter, Parameters, Trained
from ctmodels.reconstruction._advice import RULES, Facts, chosen, facts
from ctmodels.reconstruction._attractor_scores import in_lyapunov_times
from ctmodels.reconstruction._joined import Joined
from ctmodels.reconstruction._lead_times import STRETCHES, LeadTimes, by_lead_time
from ctmodels.reconstruction._provenance import Provenance, digest
from ctmodels.reconstruction._scores import forecast_errors
from ctmodels.reconstruction._split import Split
from ctmodels.reconstruction._text import TimeUnit
from ctmodels.reconstruction._verdict import Evidence
from ctmodels.reconstruction.report._inputs import inputs
from ctmodels.reconstruction.report._laws import _correlated
from ctmodels.reconstruction.report._lead_times import lead_times as lead_times_section
from ctmodels.reconstruction.report._making import how_it_was_made
from ctmodels.reconstruction.report._plane import plane
from ctmodels.reconstruction.report._residuals import residuals as residuals_section
from ctmodels.reconstruction.report._sections import score_table
from ctmodels.reconstruction.report._view import View

pytestmark = pytest.mark.only("float32")
RNG = np.random.default_rng(0)
DAYS = TimeUnit("days", "1/day")


def split_of(ys, n_train, horizon):
    ys = np.asarray(ys, float).reshape(len(ys), -1)
    return Split.make(Joined(ct.Series.from_nan(0.5 * np.arange(float(len(ys))), ys)), n_train, horizon)


def test_errors_and_coverage_by_lead_time_are_those_of_each_lead(tolerance):
    ys = RNG.normal(size=(60, 2))
    ys[50, 0] = np.nan
    split = split_of(ys, 40, 6)
    shape = (len(split.origins), 6, 2)
    median, base, weights = RNG.normal(size=shape), np.zeros(shape), np.array([1.0, 3.0])
    limits = np.stack([median - 1, median + 0.5])
    found = by_lead_time(split, {"m": median}, {"m": limits}, {"mean": base}, weights, 4.0)
    np.testing.assert_allclose(found.time, 2.0 * np.arange(1, 7), **tolerance())
    for lead in range(6):
        m = median[:, lead].ravel()
        y, w = ys[split.origins + 1 + lead].ravel(), np.tile(weights, len(split.origins))
        m, y, w = (a[~np.isnan(y)] for a in (m, y, w))
        assert found.counts[lead] == len(y)
        np.testing.assert_allclose(found.errors["m"][lead], np.sqrt(np.mean((w * (m - y)) ** 2)), **tolerance())
        np.testing.assert_allclose(found.coverage["m"][lead], np.mean((m - 1 <= y) & (y <= m + 0.5)), **tolerance())
        saved = 1 - np.sum((w * (m - y)) ** 2) / np.sum((w * y) ** 2)
        np.testing.assert_allclose(found.skill("m", "mean")[lead], saved, **tolerance())


def test_long_horizons_are_pooled_and_what_diverged_or_was_not_seen_is_no_number():
    ys = RNG.normal(size=(400, 1))
    split = split_of(ys, 200, 150)
    median = np.zeros((len(split.origins), 150, 1))
    median[0, -1] = np.nan
    found = by_lead_time(split, {"m": median}, {}, {"mean": 0 * median[:, :, :1]}, np.ones(1), 1.0)
    assert len(found.rows) == STRETCHES and found.counts.sum() == median.size
    assert np.isinf(found.errors["m"][-1]) and np.isfinite(found.errors["m"][:-1]).all()
    ys[200:] = np.nan
    unseen = by_lead_time(split_of(ys, 200, 150), {"m": median}, {}, {}, np.ones(1), 1.0)
    assert np.isnan(unseen.errors["m"]).all() and not unseen.counts.any()


def test_an_autocorrelation_is_that_of_its_pairs(within):
    x = np.zeros(400)
    for i in range(1, 400):
        x[i] = 0.7 * x[i - 1] + RNG.normal()
    found = autocorrelation(x, 4)
    about = x - x.mean()
    by_hand = [np.mean(about[k:] * about[:-k]) / np.mean(about**2) for k in range(1, 5)]
    np.testing.assert_allclose(found.values, by_hand, **within(1e-12))
    pairs = 400 - np.arange(1, 5)
    np.testing.assert_allclose(found.chance, chi2.sf(np.sum(pairs * np.square(by_hand)), 4), **within(1e-9, 1e-300))
    assert found.chance < 1e-6 and found.limit == pytest.approx(1.96 / 20)
    # Every other one is missing: of odd lags there are no pairs. Nor are there any over a break.
    x[::2] = np.nan
    assert np.isnan(autocorrelation(x, 2).values[0]) and np.isfinite(autocorrelation(x, 2).values[1])
    steps = np.repeat([-1.0, 1.0], 20) + 0.01 * RNG.normal(size=40)
    assert autocorrelation(steps, 25, (20,)).values[22:].tolist() != autocorrelation(steps, 25).values[22:].tolist()
    assert np.isnan(autocorrelation(steps, 25, (20,)).values[20:]).all()
    assert np.mean([autocorrelation(RNG.normal(size=100), 10).chance < 0.1 for _ in range(300)]) < 0.2


def test_figures_are_drawn_on_axes_that_are_given_or_made(within):
    ts, x = np.arange(60.0), RNG.normal(size=60)
    axes = residuals(ts, x, since=40.0)
    found = autocorrelation(x, 12)
    drawn = axes[2].get_lines()[-1].get_xydata()
    np.testing.assert_allclose(drawn, np.stack([np.arange(1, 13), found.values], axis=1), **within(1e-12))
    assert sum(p.get_height() * p.get_width() for p in axes[1].patches) == pytest.approx(1)
    assert residuals(ts, x, ax=axes)[0] is axes[0]
    one = lead_times([1.0, 2.0], {"a": [0.5, np.inf], "b": [-9.0, 0.2]}, wanted=0.9, around=[0.1, 0.1], limits=(-1, 1))
    lines = {line.get_label(): line.get_ydata() for line in one.get_lines()}
    assert np.isnan(lines["a"][1]) and lines["b"][0] == -1.0  # left out, and cut
    assert lead_times([1.0], {"a": [0.5]}, ax=one) is one
    with pytest.raises(ValueError, match=r"values: shape \(60, 1\) at times of shape \(60,\)"):
        residuals(ts, x[:, None])
    with pytest.raises(ValueError, match=r"ax: 2 axes for 3 panels"):
        residuals(ts, x, ax=axes[:2])
    with pytest.raises(ValueError, match=r"curves\['a'\]: shape \(1,\)"):
        lead_times([1.0, 2.0], {"a": [0.5]})


def texts(svg: str) -> str:
    return "".join(ElementTree.fromstring(svg).itertext())


def ahead(result, coverage=0.9) -> LeadTimes:
    lead, n = np.arange(1, 11.0), np.ones(10)
    names = list(result.fitted)
    errors = {name: 0.1 * lead * (1 + i) for i, name in enumerate(names)}
    bases = {"mean": n, "persistence": 0.25 * lead + 0.05}
    return LeadTimes(lead, 0.2 * lead, 20 * n, errors, bases, dict.fromkeys(names, coverage * n), 20)


def with_ahead(result, found):
    return dataclasses.replace(result, lead_times=found)


def with_residuals(result, off):
    best = next(iter(result.fitted))
    changed = dataclasses.replace(result.fitted[best], residuals=off)
    return dataclasses.replace(result, fitted={**result.fitted, best: changed})


def test_lead_times_and_residuals_have_sections():
    result = reconstruction(("x", "y"), evidence={"neural": FOUND})
    off = RNG.normal(size=(120, 2))
    off[:20] = np.nan
    off[1:, 1] += 2 * off[:-1, 1]  # of one channel what is left remembers
    off[:, 1] += 5
    result = with_residuals(dataclasses.replace(result, lead_times=ahead(result)), off)
    page = check(result, figures=1 + 3 + 3 * 2 + 3 + 2 + 1 + 1)
    alts = [image["alt"] for image in page.images]
    assert alts[1:4] == ["Errors of the models and the best baseline by lead time",
                         "Skill of neural against each baseline by lead time",
                         "Coverage of the bands of 90 % by lead time"]  # fmt: skip
    assert alts[6] == "Residuals of x, autocorrelation"
    # neural errs by 0.1 a lead: at ten leads as much as the mean does.
    assert "mean is as good at 2 days." in page.text and "persistence is as good" not in page.text
    worse = dataclasses.replace(ahead(result), errors=dict.fromkeys(result.fitted, np.full(10, 3.0)))
    assert "mean, persistence are as good at 0.2 days." in lead_times_section(View.of(with_ahead(result, worse)))
    assert "the last 100 rows" in page.text and "x: nothing says that they are not white." in page.text
    assert "y: not white; noise would have so much correlation with a chance of under one in 1000" in page.text
    mean = np.nanmean(off[:, 1])
    assert f"On average forecasts of y are too low by {mean:.2g}." in page.text
    assert "forecasts of x are" not in page.text
    skill = texts(page.svgs()[2])
    assert "persistence" in skill and "lead time [days]" in skill
    assert "Residuals of y are not white" in page.text  # what to try next


def test_of_logarithms_residuals_are_said_to_be_logarithms():
    values = np.exp(np.sin(np.linspace(0, 24, 120)[:, None] + np.arange(2)))
    changes = {"scores": scores(rmse_log=0.5)}
    result = reconstruction(("hare", "lynx"), values=values, log=True, changes=changes, measure="rmse_log")
    page = Page(residuals_section(View.of(with_residuals(result, RNG.normal(size=(120, 2))))))
    assert "those of natural logarithms" in page.text and "all 120 rows" in page.text
    assert any("ln hare" in texts(svg) for svg in page.svgs())


def test_inputs_are_drawn_with_their_units():
    result = reconstruction(("x", "y"), inputs=("u", "v"), candidates=("neural",))
    table = dataclasses.replace(result.table, units=("", "", "V", "K"))
    page = Page(inputs(View.of(dataclasses.replace(result, table=table))))
    svg = page.svgs()[[image["alt"] for image in page.images].index("Inputs u, v over time")]
    assert "u [V]" in (text := texts(svg)) and "v [K]" in text
    assert "What drives it" in page.text and inputs(View.of(reconstruction())) == ""


class Spiral(eqx.Module):
    """dz/dt = A (z - c), of an ensemble."""

    matrix: jax.Array
    centre: jax.Array

    def __call__(self, t, z, args):
        return self.matrix @ (z - self.centre)


@pytest.mark.only("float64")
@pytest.mark.parametrize("log", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_two_states_have_a_plane_with_their_fixed_points(log):
    values = np.sin(np.linspace(0, 24, 120)[:, None] + np.arange(2)) + 3
    result = reconstruction(("x", "y"), candidates=("neural",), values=values, log=log, measure="nrmse")
    stack = lambda a: jnp.stack([jnp.asarray(a)] * 2)
    field = Spiral(stack([[-0.2, 1.0], [-1.0, -0.2]]), stack([0.3, -0.2]))
    model = ct.NeuralODE(field, 2, 0, ct.Integrate(diffrax.Heun(), ct.Substeps(1)))
    fitted = dataclasses.replace(result.fitted["neural"], trained=Trained(model, None, None, [], "finished"))
    result = dataclasses.replace(result, fitted={"neural": fitted})
    page = Page(plane(View.of(result)))
    scaling = result.problem.scaling
    rest = scaling.unscale(np.array([0.3, -0.2]))
    said = re.search(r"It rests at x ([\d.]+), y ([\d.]+): ([^.]*)\.", page.text)
    assert [float(said[1]), float(said[2])] == pytest.approx(rest, rel=5e-3)
    assert said[3] == "stable spiral"
    assert "Field of neural in the plane of x and y, and fixed points" in [image["alt"] for image in page.images]


FOUND = Evidence("good", "mean", 0.5, 0.1, 0.3, 80, 80, 20, accepted=True)
LOST = FOUND._replace(skill=-0.1, accepted=False, objection="a baseline does as well")


def of(evidence: Evidence | None = FOUND, law=False, remembers=False, channel="", **values) -> Facts:
    named = scores(**{"valid_prediction_time": 9.0, "coverage": 0.9} | values)
    return Facts("neural", named, evidence, law, remembers, True, channel, -0.6, 10.0, DAYS)


CASES = {
    "unjudged": of(LOST._replace(rows=5)),
    "diverged": of(LOST._replace(objection="its forecasts diverged", skill=np.nan)),
    "linear": of(LOST._replace(baseline="autoregression")),
    "motionless": of(LOST),
    "season": of(LOST._replace(baseline="last year")),
    "memory": of(channel="x"),
    "unseen": of(channel="x", remembers=True),
    "narrow": of(coverage=0.6),
    "chaos": of(valid_prediction_time=2.0, valid_prediction_time_lyapunov=1.5),
    "short": of(valid_prediction_time=2.0),
    "weak": of(FOUND._replace(accepted=False, objection="chance may have done it")),
    "equation": of(),
    "done": of(law=True),
}


def test_every_rule_of_what_to_try_next_is_reached_and_is_one_sentence():
    assert list(CASES) == [rule.name for rule in RULES]
    for name, case in CASES.items():
        rule = chosen(case)
        assert rule.name == name
        sentence = rule.sentence(case)
        assert sentence.endswith(".") and not re.search(r"\. [A-Z]", sentence), sentence
    assert "embed='auto'" in chosen(CASES["memory"]).sentence(CASES["memory"])
    uneven = CASES["memory"]._replace(even=False)
    assert "embed" not in chosen(uneven).sentence(uneven) and "augmented" in chosen(uneven).sentence(uneven)
    assert "correlation −0.60" in chosen(CASES["memory"]).sentence(CASES["memory"])
    assert "valid for 2 of the 10 days" in chosen(CASES["short"]).sentence(CASES["short"])


def test_the_facts_are_those_of_the_best_model():
    result = reconstruction(("x", "y"))
    off = RNG.normal(size=(120, 2))
    assert facts(with_residuals(result, off)).channel == ""
    off[1:, 0] += off[:-1, 0]
    found = facts(with_residuals(result, off))
    assert found.channel == "x" and found.correlation == pytest.approx(0.5, abs=0.1)
    assert found.name == "neural" and found.horizon == pytest.approx(10 * 24 / 119) and found.value("nrmse") == 0.2
    assert result.metrics()["advice"] == result.advice == chosen(facts(result)).sentence(facts(result))


def test_parameters_whose_errors_go_together_are_said_once():
    table = tuple(Parameter(name, 1.0, 0.1, 0.8, 1.2) for name in "abcde")
    correlation = np.eye(5)
    for i, j, r in ((0, 1, -0.95), (1, 4, 0.99), (2, 3, 0.93)):
        correlation[i, j] = correlation[j, i] = r
    said = _correlated(Parameters(table, 0.9, correlation))
    assert [s.partition(":")[0] for s in said] == [
        "Errors of a, b and e go together, by correlations of 0.95 and more in size",
        "Errors of c and d go together, by a correlation of 0.93 in size",
    ]
    assert _correlated(Parameters(table, 0.9, np.full((5, 5), np.nan))) == []


def test_how_it_was_made_can_be_read_and_done_again():
    made = Provenance("ctmodels reconstruct 'a b.csv' --time t", "ab" * 32, "file", 7, "float32", "cpu",
                      "2024-05-06T07:08:09+00:00", 90.0, {"ctmodels": "1.2.3", "jax": "9.9"})  # fmt: skip
    result = dataclasses.replace(reconstruction(), provenance=made)
    page = Page(how_it_was_made(View.of(result)))
    for text in ("ctmodels reconstruct 'a b.csv' --time t", "SHA-256 of the file", "ab" * 32, "7; computed in float32",
                 "2024-05-06, 07:08:09 UTC, in 90 seconds", "ctmodels 1.2.3, jax 9.9"):  # fmt: skip
        assert text in page.text
    assert result.metrics()["provenance"] == dataclasses.asdict(made)
    sha256, kind = digest(result.table)  # of no file that is there
    other = dataclasses.replace(result.table, values=result.table.values + 1e-9)
    assert (
        kind == "times and values"
        and len(sha256) == 64
        and sha256 != digest(other)[0]
        and sha256 == digest(result.table)[0]
    )


def ranked(**values):
    """Scores of which more is better for times, and less for errors."""
    better = lambda name: "higher" if "time" in name else "lower"
    return {name: dataclasses.replace(s, better=better(name)) for name, s in scores(**values).items()}


def test_bold_is_the_best_of_different_numbers_and_no_model_without_evidence_is_best():
    bold = lambda result: re.findall(r"<b>([^<]*)</b></td>", score_table(View.of(result)))

    def of_two(first, second, **others):
        result = reconstruction(changes={"scores": ranked(**second)}, **others)
        best = dataclasses.replace(result.fitted["neural"], scores=ranked(**first))
        return dataclasses.replace(result, fitted={"neural": best, "second": result.fitted["second"]})

    differ = of_two({"nrmse": 0.2, "mase": 0.5, "time": 1.5}, {"nrmse": 1.2, "mase": 0.5, "time": 2.5})
    assert bold(differ) == ["0.2", "2.5"]
    assert bold(of_two({"nrmse": 0.2, "mase": 0.5, "time": 0.0}, {"nrmse": 0.2, "time": -1.0})) == ["0.2", "0.2"]
    lost = of_two({"nrmse": 0.2, "d": 0.1}, {"nrmse": 0.3}, evidence=dict.fromkeys(("neural", "second"), LOST))
    page = Page(score_table(View.of(lost)))
    assert page.rows[1][0] == "neuralgood evidence" and bold(lost) == []
    assert Page(score_table(View.of(differ))).rows[1][0] == "neuralbest"


def test_what_no_model_has_is_no_column_and_of_one_forecast_coverage_is_not_drawn():
    result = reconstruction(candidates=("neural",))
    result.fitted["neural"].scores["none"] = Score(None, "N_one", "Nothing.", "lower", reason="too few rows")
    view = View.of(with_ahead(result, dataclasses.replace(ahead(result), origins=1)))
    page = Page(score_table(view) + lead_times_section(view))
    assert "None" not in page.rows[0] and "None: too few rows." in page.text
    assert "Over one forecast" in page.text and "nothing of how often the band holds" in page.text
    assert not any("Coverage" in image["alt"] for image in page.images)


def test_a_cycle_has_no_lyapunov_time_and_what_crosses_zero_no_per_cent():
    valid, exponent = scores(v=3.0)["v"], scores(e=0.003)["e"]
    at = lambda value: in_lyapunov_times(valid, dataclasses.replace(exponent, value=value, count=10_000), 0.1)
    assert at(0.003) == {} and at(None) == {}
    assert at(0.9)["valid_prediction_time_lyapunov"].value == pytest.approx(2.7)
    wave = np.sin(np.arange(60.0))[:, None]
    split, scaling = split_of(wave, 40, 6), ct.Scaling(0.0, 1.0, (0.0,), (1.0,))
    errors = forecast_errors(np.zeros((len(split.origins), 6, 1)), split, scaling, 6)
    assert errors["smape"].value is None and "both sides of zero" in errors["smape"].reason
    above = dataclasses.replace(scaling, mean=(5.0,))
    assert forecast_errors(np.zeros((len(split.origins), 6, 1)), split, above, 6)["smape"].value > 0
