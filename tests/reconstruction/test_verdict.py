"""The verdict: what is selected, and on what evidence; scores, baselines and bands. No model is trained here."""

import numpy as np
import pytest
from toys import scores

import ctmodels as ct
from ctmodels.data import Table
from ctmodels.reconstruction._baselines import baselines, calendar, one_step_variance
from ctmodels.reconstruction._calibration import Ratios, widths
from ctmodels.reconstruction._joined import Joined
from ctmodels.reconstruction._preparing import turns_back
from ctmodels.reconstruction._scores import coverage, forecast_errors, valid_prediction_time, valid_times
from ctmodels.reconstruction._split import Split
from ctmodels.reconstruction._text import TimeUnit
from ctmodels.reconstruction._verdict import Predictions, evidence, judge
from ctmodels.reconstruction._widths import Widths

pytestmark = pytest.mark.only("float32")
SCALING = ct.Scaling(0.0, 1.0, (0.0,), (1.0,))
DAYS = TimeUnit("days", "1/day")


def split_of(ys, n_train, horizon, ts=None):
    ys = np.asarray(ys, float).reshape(len(ys), -1)
    series = ct.Series.from_nan(np.arange(float(len(ys))) if ts is None else ts, ys)
    return Split.make(Joined(series), n_train, horizon)


def autoregressive(memory, n, seed):
    values = np.random.default_rng(seed).normal(size=n + 200)
    for i in range(1, len(values)):
        values[i] += memory * values[i - 1]
    values = values[200:]
    return (values - values[: n * 4 // 5].mean()) / values[: n * 4 // 5].std()


def found(median, split, bases, models=1, noise=0.0, valid=1.0, within=0.9):
    one = Predictions(median, scores(valid_prediction_time=valid, coverage=within), np.full(median.shape[2], noise))
    return evidence({f"m{i}": one for i in range(models)}, bases, split, np.ones(median.shape[2]))["m0"]


def test_a_forecast_that_is_much_better_is_good_evidence_and_one_that_is_not_is_none():
    split = split_of(np.sin(np.arange(200.0)), 160, 10)
    true = split.targets()
    rng = np.random.default_rng(0)
    bases = {"mean": np.zeros_like(true), "other": true + 0.3 * rng.normal(size=true.shape)}
    good = found(true + 0.1 * rng.normal(size=true.shape), split, bases)
    assert good.grade == "good" and good.accepted and good.baseline == "other"
    assert good.skill == pytest.approx(1 - 1 / 9, abs=0.03) and 0.8 < good.lower < good.skill
    assert (good.rows, good.values, good.origins) == (40, 200, 20)
    worse = found(true + 0.31 * rng.normal(size=true.shape), split, bases)
    assert worse.grade == "no evidence" and not worse.accepted and "a baseline does as well" in worse.objection


def test_luck_is_not_accepted():
    """Forecasts of noise by other constants than the mean, and of AR(1) by what half of the training part says."""
    accepted = 0
    for seed in range(60):
        ys = autoregressive(0.6 * (seed % 2), 200, 1000 + seed)
        split = split_of(ys, 160, 10)
        guess = np.full(split.targets().shape, 0.1 * np.random.default_rng(seed).normal())
        half = baselines(split_of(ys[:100], 80, 10), {})  # so that the baseline is not the guess
        assert set(half) == {"mean", "persistence", "drift", "autoregression"}
        accepted += found(guess, split, baselines(split, {"seasonal": 12.0})).accepted
    assert accepted <= 3


@pytest.mark.parametrize(
    "changes, grade, words",
    [
        ({"valid": 0.0}, "weak", "its valid time is zero"),
        ({"within": 0.5}, "weak", "holds 50%"),
        ({}, "good", ""),
    ],
)
def test_skill_alone_is_not_enough(changes, grade, words):
    split = split_of(np.sin(np.arange(200.0)), 160, 10)
    evidence = found(split.targets() + 0.01, split, {"mean": np.zeros_like(split.targets())}, **changes)
    assert evidence.grade == grade and words in evidence.objection and evidence.accepted == (not words)


def test_what_has_diverged_is_said_so_in_words():
    split = split_of(np.sin(np.arange(200.0)), 160, 10)
    lost = split.targets().copy()
    lost[3, 5:] = 4.64e12
    errors = forecast_errors(lost, split, SCALING, 6)
    assert errors["nrmse"].value == np.inf and errors["nrmse"].reason == "diverged from 1 of 20 origins"
    assert forecast_errors(np.full_like(lost, np.nan), split, SCALING, 6)["rmse"].value == np.inf
    bases = {"mean": np.zeros_like(lost)}
    evidence = {"net": found(lost, split, bases)}
    of_mean = forecast_errors(bases["mean"], split, SCALING, 6)
    selected, said, best = judge(evidence, {"net": errors}, {"mean": of_mean}, "nrmse", "")
    assert selected is None and best == "net" and "nrmse diverged against 0.7" in said and "e+" not in said


def test_an_error_at_the_noise_level_is_accepted_though_a_baseline_is_there_too():
    rng = np.random.default_rng(1)
    clean = np.sin(np.arange(200.0) / 3) * 1.4
    split = split_of(clean + 0.1 * rng.normal(size=200), 160, 10)
    known = clean[split.origins[:, None] + 1 + np.arange(10)][..., None]
    bases = {name: np.zeros_like(known) for name in ("mean", "persistence", "drift")} | {
        "autoregression": known + 0.001
    }
    assert found(known, split, bases, noise=0.01).grade == "at noise level"
    assert found(known, split, bases, noise=0.001).grade == "no evidence"
    noise = split_of(rng.normal(size=200), 160, 10)
    nothing = np.zeros(noise.targets().shape)
    assert not found(nothing, noise, dict.fromkeys(bases, nothing), noise=1.0).accepted


def test_few_rows_are_weak_evidence_and_fewer_are_none():
    ys = np.sin(np.arange(27.0) / 2)
    split = split_of(ys, 20, 7)
    noisy = np.random.default_rng(0).normal(size=(1, 7, 1))
    weak = found(split.targets() + 0.28 * noisy, split, {"mean": split.targets() + 0.4 * noisy[:, ::-1]})
    assert weak.grade in ("weak", "good") and weak.rows == 7 and weak.origins == 1
    law = scores(nrmse=0.2, valid_prediction_time=2.0, coverage=0.9)
    unsure = weak._replace(grade="weak", accepted=True, skill=0.31, error=0.21, lower=-0.2)
    said = judge({"law": unsure}, {"law": law}, {"mean": scores(nrmse=0.3)}, "nrmse", "")[1]
    assert said.startswith("Selected is law: ") and "Weak evidence, from so few rows: it saves 31% ± 21%" in said
    assert "chance may have done it; 7 values in 7 rows, from 1 origin" in said
    assert found(split.targets(), split_of(ys[:22], 20, 2), {"mean": np.zeros((1, 2, 1))}).objection.startswith(
        "2 observed"
    )


def test_the_verdict_says_plainly_what_is_selected():
    split = split_of(np.sin(np.arange(200.0)), 160, 10)
    true = split.targets()
    medians = {"law": true + 0.1, "net": true + 0.9, "hybrid": true + 0.15}
    tables = {"mean": np.zeros_like(true), "seasonal": true + 0.3}
    models = {
        n: forecast_errors(m, split, SCALING, 6)
        | {"valid_prediction_time": valid_prediction_time(m, split, 1.0, DAYS)}
        | scores(coverage=0.9)
        for n, m in medians.items()
    }
    evidences = evidence(
        {n: Predictions(medians[n], models[n], np.zeros(1)) for n in medians}, tables, split, np.ones(1)
    )
    bases = {n: forecast_errors(m, split, SCALING, 6) for n, m in tables.items()}
    selected, said, best = judge(evidences, models, bases, "nrmse", "days")
    assert selected == best == "law" and said.startswith(
        "Selected is law: nrmse 0.1 against 0.3 of the best baseline (seasonal)"
    )
    assert "Not accepted: net (0.9): a baseline does as well" in said
    assert "Also accepted: hybrid (0.15)" in said
    assert "200 values in 40 rows, from 20 origins" in said and "valid for at least 10 days" in said
    only = {"net": evidences["net"]}, {"net": models["net"]}
    selected, said, best = judge(*only, bases, "nrmse", "days")
    assert selected is None and best == "net" and said.startswith("No model is selected") and "No evidence" in said


def test_scores_have_their_counts_and_nothing_observed_is_a_reason():
    ys = np.sin(np.arange(40.0))
    split = split_of(ys, 30, 5)
    perfect = split.targets()
    nrmse = forecast_errors(perfect, split, SCALING, 1)["nrmse"]
    assert nrmse.value == 0 and nrmse.count == perfect.size
    ys[30:] = np.nan
    unseen = split_of(ys, 30, 5)
    errors = forecast_errors(perfect, unseen, SCALING, 1)
    valid = valid_prediction_time(perfect, unseen, 1.0, DAYS)
    for score in (*errors.values(), valid, coverage(perfect, perfect, unseen)):
        assert score.value is None and score.count == 0 and "nothing observed" in score.reason
    said = judge({"net": found(perfect, unseen, {"mean": perfect})}, {"net": errors}, {"mean": errors}, "nrmse", "")[1]
    assert said.startswith("The models cannot be judged: nothing observed")


@pytest.mark.parametrize("horizon", [1, 2, 5])
def test_a_forecast_that_is_right_is_valid_up_to_its_horizon_at_least(horizon):
    split = split_of(np.sin(np.arange(40.0)), 30, horizon)
    valid = valid_prediction_time(split.targets(), split, 0.5, DAYS)
    assert valid.value == horizon * 0.5 and valid.at_least and valid.count == len(split.origins)
    assert valid_prediction_time(split.targets() + 1, split, 0.5, DAYS).value == 0


def test_valid_times_end_at_the_first_error_and_unobserved_origins_have_none():
    ys = np.sin(np.arange(40.0))
    ys[36:] = np.nan
    split = split_of(ys, 30, 4)._replace(origins=np.array([29, 31, 35]))
    median = np.nan_to_num(split.targets())
    median[0, 2] += 1
    times, held = valid_times(median, split, 1.0)
    np.testing.assert_array_equal(times, [3, 4, np.nan])
    assert held.tolist() == [False, True, False]
    median[1, 0] = np.nan
    assert valid_times(median, split, 1.0)[0][1] == 0


def test_an_autoregression_finds_its_coefficients_and_is_never_unstable():
    ys = autoregressive(0.8, 2000, 3)
    split = split_of(ys, 1600, 5)
    ahead = baselines(split, {})["autoregression"]
    expected = ys[split.origins][:, None] * 0.8 ** np.arange(1, 6)
    assert np.sqrt(np.mean((ahead[..., 0] - expected) ** 2)) < 0.1
    assert one_step_variance(split) == pytest.approx(1 - 0.64, abs=0.03)
    ys[::7] = np.nan
    holes = baselines(split_of(ys, 1600, 5), {})["autoregression"]
    assert np.sqrt(np.nanmean((holes[..., 0] - expected) ** 2)) < 0.25
    growing = split_of(1.1 ** np.arange(60.0), 48, 12)
    assert np.abs(baselines(growing, {})["autoregression"]).max() < 1e4


def test_the_drift_is_a_line_in_time_and_a_season_is_a_stretch_of_time(tolerance):
    ts = np.sort(np.random.default_rng(0).uniform(0, 100, 120))
    split = split_of(2 + 0.3 * ts, 100, 10, ts)
    np.testing.assert_allclose(baselines(split, {})["drift"], split.targets(), **tolerance())
    days = np.arange(1200.0)
    yearly = split_of(np.sin(2 * np.pi * days / 365.25), 1000, 200, days)
    error = lambda period: np.abs(baselines(yearly, {"last year": period})["last year"] - yearly.targets()).max()
    assert error(365.25) < 1e-4 < 2e-3 < error(365.0)


def test_no_season_looks_ahead():
    ys = np.arange(60.0)
    split = split_of(ys, 40, 20)
    season = baselines(split, {"seasonal": 7.0})["seasonal"]
    assert np.all(season[..., 0] <= ys[split.origins][:, None]) and np.all(season[0, :7, 0] == np.arange(33, 40))


def test_seasons_of_the_calendar():
    daily = Table(np.arange(900.0), np.zeros((900, 1)), ("x",), "date", "days", "2001-01-01", "a")
    assert calendar(daily) == {"last week": 7.0, "last year": 365.25}
    hourly = Table(np.arange(100) * 3600.0, np.zeros((100, 1)), ("x",), "date", "seconds", "2001-01-01T00:00", "a")
    assert calendar(hourly) == {"last day": 86_400.0, "last week": 7 * 86_400.0, "last year": 365.25 * 86_400}
    assert calendar(Table(np.arange(9.0), np.zeros((9, 1)), ("x",), "t", "days", "", "a")) == {}


def wide(rng, n):
    return np.sin(2 * np.pi * np.arange(n) / 20 + rng.uniform(0, 6)) + 0.3 * rng.normal(size=n)


@pytest.mark.parametrize(
    "make, expected",
    [
        (wide, True),
        (lambda rng, n: rng.normal(size=n), False),
        (lambda rng, n: autoregressive(0.9, n, rng.integers(1000)), False),
        (lambda rng, n: np.exp(-np.arange(n) / 30) + 0.02 * rng.normal(size=n), False),
        (lambda rng, n: np.arange(n) / n + 0.02 * rng.normal(size=n), False),
    ],
)
def test_an_oscillation_is_told_from_noise_and_from_what_rises_or_falls(make, expected):
    said = [turns_back(np.arange(150.0), make(np.random.default_rng(seed), 150)) for seed in range(20)]
    assert np.mean(said) >= 0.9 if expected else np.mean(said) <= 0.2


def test_bands_are_as_wide_as_past_forecasts_missed_by_lead():
    rng = np.random.default_rng(0)
    rows = np.arange(400)[:, None] + 1 + np.arange(8)
    ratios = Ratios(np.abs(rng.normal(size=(400, 8, 1))) * (1 + np.arange(8))[:, None], rows)
    factors = widths(ratios, 401, 0)(8)
    assert factors[0, 0] == pytest.approx(1, abs=0.15) and factors[6, 0] == pytest.approx(6.5, rel=0.25)
    # What lies ahead of the origin is not used.
    ratios.values[200:] = 1e3
    assert widths(ratios, 200, 0)(8).max() < 12


def test_widths_come_back_from_json_and_hold_beyond_their_last_lead():
    first = Widths.of(np.array([1.0, 2.0, 4.0]), np.array([[1.0, np.nan], [2.0, np.nan], [np.nan, np.nan]]))
    assert Widths.from_dict(first.to_dict()) == first
    np.testing.assert_allclose(first(6)[:, 0], [1, 2, 2, 2, 2, 2])
    np.testing.assert_allclose(first(6)[:, 1], 1)


def test_channels_that_take_turns_have_no_attractor_score_but_a_reason():
    from ctmodels.reconstruction._attractor_scores import attractor_scores

    ys = np.stack([np.cos(np.arange(600.0)), np.sin(np.arange(600.0))], axis=1)
    ys[::2, 0] = ys[1::2, 1] = np.nan
    scores = attractor_scores(ys, np.zeros((1, 600, 2)))
    assert scores["d_stsp"].value is scores["d_hellinger"].value is None
    assert scores["d_stsp"].reason == "0 rows in which all channels were observed, and 500 are needed"


def test_coverage_is_the_share_within():
    split = split_of(np.linspace(-1, 1, 40), 20, 4)
    median = np.zeros(split.targets().shape)
    within = np.abs(split.targets()) <= 0.5
    assert coverage(median - 0.5, median + 0.5, split).value == pytest.approx(within.mean())
