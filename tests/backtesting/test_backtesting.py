"""Rolling origins: nothing looks ahead, scores are those of closed forms, and what fails is left out with a reason."""

import importlib.util
import json

import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ctmodels as ct
from ctmodels import cli
from ctmodels.backtesting import _baselines
from ctmodels.backtesting._history import Block, plan
from ctmodels.backtesting._quantiles import LEVELS, at, of_answer, of_normal
from ctmodels.backtesting._scores import Truth, difference, entries
from ctmodels.data import Table
from ctmodels.reconstruction import _baselines as of_main_job, _maps

pytestmark = pytest.mark.only("float32")

Z95 = stats.norm.ppf(0.95)
ONE = np.ones(1)


def table(values, ts=None, names=None):
    values = np.asarray(values, float).reshape(len(values), -1)
    ts = np.arange(float(len(values))) if ts is None else ts
    names = names or tuple(f"y{i}" for i in range(values.shape[1]))
    return Table(ts, values, names, "t", "", "", "measured")


def walk(rows=40, channels=1, seed=0):
    return np.cumsum(np.random.default_rng(seed).normal(size=(rows, channels)), axis=0)


def crps_normal(y, mean, deviation):
    """Gneiting and Raftery, J. Am. Stat. Assoc. 102 (2007), equation 5 with the sign turned."""
    z = (y - mean) / deviation
    return deviation * (z * (2 * stats.norm.cdf(z) - 1) + 2 * stats.norm.pdf(z) - 1 / np.sqrt(np.pi))


def scored(quantiles, observed, level=0.9):
    """Of one origin and one channel, `(lead,)`."""
    truth = Truth(observed[None, :, None], ONE, np.ones((1, 1)))
    return {name: x[0, :, 0] for name, x in entries(quantiles[None, ..., None], truth, level).items()}


def test_scores_of_a_normal_forecast_are_those_of_its_closed_forms(within):
    observed = np.array([-2.0, -0.3, 0.0, 0.8, 3.0])
    mean, deviation = np.linspace(-0.5, 0.5, 5), np.linspace(0.5, 2, 5)
    found = scored(of_normal(mean, deviation, deviation), observed)
    np.testing.assert_allclose(found["crps"], crps_normal(observed, mean, deviation), **within(2e-3, 1e-3))
    upper = mean + Z95 * deviation
    pinball = np.where(observed > upper, 0.95 * (observed - upper), 0.05 * (upper - observed))
    np.testing.assert_allclose(found["pinball 0.95"], pinball, **within(1e-3, 1e-3))
    np.testing.assert_allclose(found["mase"], np.abs(observed - mean), **within(1e-9, 1e-9))
    np.testing.assert_array_equal(found["coverage"], np.abs(observed - mean) < Z95 * deviation)


def test_the_crps_of_draws_is_that_of_the_loss(within):
    draws = np.random.default_rng(0).normal(size=(4000, 3, 1)) * [[0.5], [1], [2]]
    observed = np.array([0.1, -1.0, 2.5])
    found = scored(of_answer(draws, 3, 1)[..., 0], observed)["crps"]
    of_loss = [
        ct.losses.crps(jnp.asarray(draws[:, i : i + 1]), jnp.asarray(observed[i].reshape(1, 1))) for i in range(3)
    ]
    np.testing.assert_allclose(found, of_loss, **within(5e-3))


def test_stated_quantiles_of_a_normal_forecast_give_all_of_it(within):
    median, deviation = np.array([[1.0], [-2.0]]), np.array([[0.5], [3.0]])
    stated = {0.05: median - Z95 * deviation, 0.95: median + Z95 * deviation}
    expected = of_normal(median, deviation, deviation)
    np.testing.assert_allclose(of_answer((median, stated), 2, 1), expected, **within(1e-9))
    np.testing.assert_array_equal(of_answer((median, {}), 2, 1), np.broadcast_to(median, expected.shape))
    np.testing.assert_allclose(at(LEVELS[:, None], 0.05, 0), [0.05], **within(1e-9))


@pytest.mark.parametrize(
    "answer, said",
    [
        (np.zeros((3, 2)), r"draws of shape \(draw, 4, 1\) are wanted"),
        ((np.zeros((4, 1)), {0.95: -np.ones((4, 1))}), "quantiles that cross"),
        ((np.zeros((4, 1)), {1.5: np.ones((4, 1))}), "between 0 and 1"),
        ((np.zeros(4), {}), r"the shape \(4, 1\) is wanted"),
        ("none", "where numbers are wanted"),
    ],
)
def test_an_answer_that_is_no_forecast_is_said_to_be_none(answer, said):
    with pytest.raises(ct.DataError, match=said):
        of_answer(answer, 4, 1)


def test_no_method_sees_what_comes_after_an_origin():
    """Other values from row 30 on change nothing that was forecast from row 29 or before."""
    ys = walk(40, 2)
    changed = np.where(np.arange(40)[:, None] < 30, ys, 5 * walk(40, 2, seed=1))
    seen = []
    mine = lambda history, n: (seen.append(history), (np.repeat(history.ys[-1:], n, axis=0), {}))[1]
    how = dict(models={"mine": mine}, baselines=("persistence", "drift", "mean", "seasonal", "autoregression"))
    first, second = (ct.backtest(table(y), horizon=4, origins=4, first=20, season=5, **how) for y in (ys, changed))
    before = first.rows < 30
    assert 0 < before.sum() < 4 and set(first.quantiles) == {"mine", *how["baselines"]} and not first.notes
    for name, x in first.quantiles.items():
        np.testing.assert_array_equal(x[before], second.quantiles[name][before], err_msg=name)
        assert np.any(x[~before] != second.quantiles[name][~before]), name
    assert [len(history.ys) for history in seen[:4]] == (first.rows + 1).tolist()
    np.testing.assert_array_equal(seen[0].ahead, first.rows[0] + 1 + np.arange(4.0))


def test_a_fit_is_given_no_value_after_its_last_origin_but_those_of_inputs():
    found = plan(table(walk(30, 2), names=("y", "u")), ("u",), 3, 4, 15)
    (block, later) = found.blocks(2)
    rows = found.rows(block)
    assert block == Block(found.origins[0] + 1, tuple(found.origins[:2])) and rows.n_train == block.stop
    last = found.origins[1]
    assert len(rows.table.time) == last + 4 and np.all(np.isnan(rows.table.values[last + 1 :, 0]))
    assert np.all(np.isfinite(rows.table.values[: last + 1])) and np.all(np.isfinite(rows.table.values[:, 1]))
    assert later.stop == found.origins[2] + 1 and found.origins[-1] == 30 - 1 - 3
    assert len(found.blocks(0)) == 1 and len(found.blocks(1)) == 4


def test_the_autoregression_of_an_autoregression_scores_what_theory_says(monkeypatch, within):
    """Of x' = a x + e the error at lead k has the variance (1 - a^2k) / (1 - a^2): CRPS is its root / sqrt(pi)."""
    monkeypatch.setattr(of_main_job, "ORDERS", 3)
    a, noise = 0.8, np.random.default_rng(1).normal(size=(700, 12))
    ys = np.zeros((700, 12))
    for i in range(1, 700):
        ys[i] = a * ys[i - 1] + noise[i]
    found = ct.backtest(table(ys[100:]), horizon=3, origins=12, baselines=("persistence", "autoregression"))
    theory = np.sqrt((1 - a ** (2 * np.arange(1, 4))) / (1 - a**2) / np.pi)
    by_lead = {name: np.mean(entries_of(found, name) * found.truth.scale, axis=(0, 2)) for name in found.quantiles}
    np.testing.assert_allclose(by_lead["autoregression"], theory, **within(0.1))
    assert found.scores()["autoregression"]["coverage"] == pytest.approx(0.9, abs=0.04)
    assert list(found.scores())[0] == "autoregression" and found.differences()["autoregression"].upper < 0
    assert found.truth.observed.shape == (12, 3, 12)


def entries_of(found, name):
    return entries(found.quantiles[name], found.truth, found.level)["crps"]


def test_what_fails_is_left_out_with_a_sentence_and_the_others_go_on():
    def moody(history, n):
        if len(history.ts) > 25:
            raise ZeroDivisionError("too much to think of")
        return np.tile(history.ys[-1], (8, n, 1))

    diverges = lambda history, n: (np.full((n, 1), np.nan), {})
    models = {"moody": moody, "diverges": diverges}
    found = ct.backtest(table(walk(36)), models=models, baselines=("persistence", "sparse-law"), horizon=3, origins=5)
    assert found.notes == (
        "moody is left out at 3 of 5 origins: ZeroDivisionError: too much to think of.",
        f"sparse-law is left out: {found.notes[1].partition(': ')[2]}",
    )
    assert "rows" in found.notes[1] and set(found.quantiles) == {*models, "persistence"}
    by_name = {row["method"]: row for row in found.table()}
    assert [by_name[name]["origins"] for name in ("moody", "persistence", "diverges")] == [2, 5, 5]
    assert by_name["diverges"]["crps"] == np.inf and by_name["diverges"]["coverage"] == 0
    paired = found.differences()["moody"]
    both = found.scores("origin")
    assert paired.origins == 2 and np.isnan(paired.lower)
    kept = ~np.isnan(both["moody"]["crps"])
    assert paired.mean == pytest.approx(np.mean((both["moody"]["crps"] - both["persistence"]["crps"])[kept]))
    with pytest.raises(ct.DataError, match="no method gives a forecast: moody is left out: ZeroDivisionError"):
        ct.backtest(table(walk(60)), models={"moody": moody}, baselines=(), origins=2)


def test_missing_values_are_not_scored_and_irregular_times_are_forecast():
    rng = np.random.default_rng(0)
    ys, ts = walk(40, 2), np.cumsum(rng.uniform(0.5, 1.5, 40))
    ys[rng.uniform(size=ys.shape) < 0.2] = np.nan
    ys[[37, 38, 39], 1] = np.nan
    found = ct.backtest(table(ys, ts), horizon=3, origins=3, baselines=("persistence", "drift", "linear", "ets"))
    assert set(found.quantiles) == {"persistence", "drift"}
    assert all(np.all(np.isfinite(x)) for x in found.quantiles.values())
    assert "steps of one length" in found.notes[0] and "ets is left out" in found.notes[1]
    assert np.isnan(found.truth.observed).any()
    assert np.all(np.isnan(entries_of(found, "drift")) == np.isnan(found.truth.observed))


def test_a_difference_is_paired_and_has_students_interval(within):
    first, second = np.random.default_rng(0).normal(size=(2, 12))
    found = difference(first, second, 0, 0.9)
    low, high = stats.t.interval(0.9, 11, np.mean(first - second), stats.sem(first - second))
    np.testing.assert_allclose(found, (np.mean(first - second), low, high, 12), **within(1e-9))
    hidden = np.where(np.arange(12) < 9, first, np.nan)
    assert difference(hidden, second, 0, 0.9) == difference(first[:9], second[:9], 0, 0.9)
    slow = np.repeat(first[::3], 3)  # what overlaps is worth less
    assert np.ptp(difference(slow, 0 * slow, 2, 0.9)[1:3]) > np.ptp(difference(slow, 0 * slow, 0, 0.9)[1:3])


def test_logarithms_are_judged_and_a_value_that_has_none_is_refused():
    ys = np.exp(0.1 * walk(40))
    mine = lambda history, n: (np.repeat(history.ys[-1:], n, axis=0), {})
    found = ct.backtest(table(ys), models={"mine": mine}, baselines=("persistence",), log=True, origins=3)
    np.testing.assert_array_equal(found.truth.observed[0, 0], np.log(ys[found.rows[0] + 1]))
    np.testing.assert_array_equal(found.quantiles["mine"][:, 3, 0, 0], np.log(ys[found.rows, 0]))
    ys[30] = 0
    with pytest.raises(ct.DataError, match=r"log=True: .*'y0' is not above zero"):
        ct.backtest(table(ys), baselines=("persistence",), log=True)


@pytest.mark.parametrize(
    "how, said",
    [
        (dict(models="linear"), r"models=\['linear'\]"),
        (dict(models=["liner"]), r"models=\['liner'\]: not known; there are persistence"),
        (dict(models=[ct.fields.MLPField]), None),
        (dict(origins=30), "origins=30: measured has 16 from which 5 rows can be judged"),
        (dict(horizon=39), "horizon=39: measured has 40 rows"),
        (dict(level=1.0), "level=1"),
        (dict(refit=-1), "refit=-1"),
        (dict(baselines=()), "nothing is left to be judged"),
    ],
)
def test_what_cannot_be_judged_is_refused_with_a_remedy(how, said):
    if said is None:  # a callable that is no forecast: it is left out
        with pytest.raises(ct.DataError, match="MLPField is left out: TypeError"):
            ct.backtest(table(walk(40)), baselines=(), origins=1, **how)
        return
    with pytest.raises(ct.DataError, match=said):
        ct.backtest(table(walk(40)), **how)


def test_exponential_smoothing_is_absent_without_its_library(monkeypatch):
    there = importlib.util.find_spec
    monkeypatch.setattr(
        _baselines.importlib.util, "find_spec", lambda name: None if name == "statsmodels" else there(name)
    )
    found = ct.backtest(table(walk(30)), baselines=("persistence", "ets"), origins=2)
    assert found.notes == ("ets is left out: it needs statsmodels: pip install 'ctmodels[backtest]'.",)


def test_exponential_smoothing_of_a_walk_is_its_last_value():
    pytest.importorskip("statsmodels")
    found = ct.backtest(table(walk(80)), baselines=("persistence", "ets"), origins=3, horizon=2)
    scores = found.scores()
    assert not found.notes and scores["ets"]["crps"] < 1.5 * scores["persistence"]["crps"]


def test_the_command_prints_a_table_and_writes_it_with_the_figure(tmp_path, capsys):
    ys = walk(40)[:, 0]
    file = tmp_path / "walk.csv"
    file.write_text("day,x\n" + "\n".join(f"{i},{y:.5f}" for i, y in enumerate(ys)))
    small = ["--horizon", "4", "--origins", "3", "--baselines", "persistence", "drift", "ets"]
    out = tmp_path / "out"
    argv = ["backtest", str(file), "--time", "day", "--clock", "number"]
    assert cli.main([*argv, *small, "--models", "mean", "autoregression", "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "walk.csv: 3 origins, 4 rows ahead" in said and "autoregression" in said
    found = json.loads((out / "backtest.json").read_text())
    assert len(found["by_lead"]) == 4 * len(found["table"]) and found["baselines"][0] in ("persistence", "drift")
    header, *rows = (out / "table.csv").read_text().splitlines()
    assert header.startswith("method,origins,difference,lower,upper,crps") and len(rows) == len(found["table"])
    assert "<svg" in (out / "backtest.svg").read_text() and (out / "leads.csv").exists()
    assert cli.main([*argv, "--horizon", "39"]) == 2
    assert "--horizon 39" in capsys.readouterr().err


def test_it_draws_and_shows_itself():
    found = ct.backtest(table(walk(40)), models=["mean"], baselines=("persistence", "drift"), origins=3)
    axes = found.plot("coverage")
    assert {line.get_label() for line in axes.get_lines()} >= {"persistence", "drift", "mean"}
    assert found.plot("crps", axes) is axes
    assert "<table>" in found._repr_html_() and "persistence" in repr(found)
    assert {row["lead"] for row in found.table("lead")} == set(range(1, 6)) and found.baselines == (
        "persistence",
        "drift",
    )
    lower, median, upper = found.band("drift")
    assert np.all(lower < median) and np.all(median < upper) and median.shape == (3, 5, 1)
    for wrong in (lambda: found.plot("rmse"), lambda: found.scores("day"), lambda: found.differences("ets")):
        with pytest.raises(ct.DataError, match="not known; there are|no such method"):
            wrong()


@pytest.mark.slow
def test_a_candidate_is_fitted_as_often_as_asked_and_looks_ahead_nowhere(monkeypatch, capsys):
    monkeypatch.setattr(_maps, "LINEAR", (1,))
    ts = np.arange(60.0)
    ys = np.stack([np.sin(ts / 3), np.cos(ts / 3)], axis=1) + 0.05 * np.random.default_rng(0).normal(size=(60, 2))
    changed = np.where(ts[:, None] < 46, ys, 0.3 * ys)
    how = dict(models=["linear"], baselines=("persistence",), horizon=4, origins=4, members=2, refit=2, progress=True)
    first, second = (ct.backtest(table(y), **how) for y in (ys, changed))
    assert capsys.readouterr().err.count("linear, ") == 4
    before = first.rows < 46
    assert 1 < before.sum() < 4
    np.testing.assert_array_equal(first.quantiles["linear"][before], second.quantiles["linear"][before])
    assert first.scores()["linear"]["crps"] < 0.3 * first.scores()["persistence"]["crps"]
