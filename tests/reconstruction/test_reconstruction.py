"""The main job, at toy size: what it writes, what it says, and what comes back from its files."""

import dataclasses
import functools
import html
import json
import os
import signal
import sys

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import equal, on_a_grid

import ctmodels as ct
from ctmodels.data import Table
from ctmodels.demo import noisy_lorenz63
from ctmodels.reconstruction import (
    Candidate,
    MeanDynamics,
    Problem,
    Recipe,
    export_model,
    forecast_csv,
    load_model,
    reconstruct,
)
from ctmodels.reconstruction._preparing import dominant_period
from ctmodels.reconstruction.report import _page

pytestmark = pytest.mark.only("float32")


def toy(**changes):
    return lambda n: dataclasses.replace(Recipe(members=2, steps=40, window=4, batch_size=16, refreshes=1), **changes)


def oscillation(n=60, inputs=False):
    ts = 1900 + 0.5 * np.arange(n)
    rng = np.random.default_rng(0)
    values = np.stack([np.cos(ts), np.sin(ts)], axis=1) + 0.02 * rng.normal(size=(n, 2))
    names = ("x", "y")
    if inputs:
        values, names = np.concatenate([values, np.sin(0.3 * ts)[:, None]], axis=1), (*names, "u")
    return Table(ts, values, names, "year", "", "", "toy.csv")


GRID = Candidate("grid", on_a_grid)  # steps are by time in `free`, as in the candidates of the library
PELTS = dict(models=["lotka-volterra"], recipe=toy(free_starts=True), held_out=7, season=10, log=True, progress=False)


@pytest.fixture(scope="module")
def smoothed(tmp_path_factory):
    out = tmp_path_factory.mktemp("smoothed")
    return reconstruct(noisy_lorenz63(600), models=[GRID], recipe=toy(), out=out, progress=False), out


@pytest.fixture(scope="module", autouse=True)
def few_stages_and_few_steps_to_exponents():
    """Neither the method nor the exponents' values are a matter of these tests."""
    usual = Problem.integrate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Problem, "integrate", lambda problem: dataclasses.replace(usual(problem), method=diffrax.Heun()))
        patch.setattr(sys.modules[reconstruct.__module__], "LYAPUNOV_STEPS", 100)
        patch.setattr(_page, "plane", lambda view: "")  # compiled for each report: test_report_contents.py
        yield


@pytest.fixture(scope="module")
def free(tmp_path_factory):
    """In a folder that held another reconstruction, and what is no part of one."""
    out = tmp_path_factory.mktemp("free")
    (out / "model-other.safetensors").write_bytes(b"")
    (out / "notes.txt").write_text("mine")
    return reconstruct(ct.data.lynx_hare(), out=out, overwrite=True, **PELTS), out


@pytest.fixture(scope="module")
def went_on(tmp_path_factory):
    """A job that was interrupted and goes on, of the same data with nothing observed in the tail."""
    from ctmodels.reconstruction import _free_starts

    def interrupt(state, line):
        if line["step"] == 20:
            os.kill(os.getpid(), signal.SIGINT)

    out, table = tmp_path_factory.mktemp("went on"), ct.data.lynx_hare()
    table.values[14:] = np.nan
    job = lambda **more: reconstruct(table, out=out, **PELTS, **more)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_free_starts, "fit", functools.partial(ct.fit, callbacks=[interrupt]))
        with pytest.raises(KeyboardInterrupt, match="training is saved"):
            job()
        with pytest.raises(ct.DataError, match="holds a run of 20 steps.*resume=True"):
            job()
    return job(resume=True), out


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """A second-order model of half of a driven oscillation's channels, with missing values."""
    out = tmp_path_factory.mktemp("driven")
    table = oscillation(40, inputs=True)
    table.values[5, 0] = table.values[11, :2] = np.nan
    kwargs = dict(models=["second-order"], recipe=toy(free_starts=True), held_out=0.25, out=out, progress=False)
    return reconstruct(table, inputs=["u"], **kwargs), out


def test_what_is_written(smoothed):
    result, out = smoothed
    assert {p.name for p in out.iterdir()} == {
        "model-grid.safetensors",
        "metrics.json",
        "history.jsonl",
        "report.html",
    }
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["n_train"] == 480 and metrics["n_test"] == 120 and metrics["horizon"] == 15
    assert metrics["verdict"] in (out / "report.html").read_text()
    scores = metrics["candidates"]["grid"]
    assert {"nrmse", "rmse", "smape", "mase", "valid_prediction_time", "lyapunov_max", "kaplan_yorke", "d_stsp",
            "d_hellinger", "seconds"} <= set(scores)  # fmt: skip
    assert set(metrics["baselines"]) >= {"mean", "persistence"}
    lines = [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]
    assert lines[-1]["step"] == 40 and lines[-1]["model"] == "grid" and len(lines[-1]["validation"]) == 2


def test_the_forecast_has_the_shape_of_the_tail_and_its_limits_are_ordered(smoothed):
    fitted = smoothed[0].fitted["grid"]
    assert fitted.median.shape == fitted.lower.shape == (120, 3)
    assert np.all(fitted.lower <= fitted.median) and np.all(fitted.median <= fitted.upper)
    assert fitted.generated.shape == (600, 3) and fitted.exponents.shape == (2, 3)


def test_numbers_by_lead_time_are_those_of_the_scores_and_residuals_those_of_one_row(smoothed, within):
    result, out = smoothed
    fitted, ahead, scores = result.fitted["grid"], result.lead_times, result.fitted["grid"].scores
    pooled = lambda x: np.sum(ahead.counts * x) / ahead.counts.sum()
    assert np.sqrt(pooled(ahead.errors["grid"] ** 2)) == pytest.approx(scores["nrmse"].value)
    assert pooled(ahead.coverage["grid"]) == pytest.approx(scores["coverage"].value)
    for name, base in ahead.baselines.items():
        assert np.sqrt(pooled(base**2)) == pytest.approx(result.baselines[name]["nrmse"].value)
    # The forecast of the tail begins one row ahead of what was trained on.
    np.testing.assert_allclose(fitted.residuals[480], result.table.values[480] - fitted.median[0], **within(1e-3, 1e-3))
    assert np.isfinite(fitted.residuals[-500:]).all() and np.isnan(fitted.residuals[:100]).all()
    metrics = json.loads((out / "metrics.json").read_text())
    assert metrics["lead_times"]["errors"]["grid"] == pytest.approx(ahead.errors["grid"].tolist())
    assert metrics["advice"] == result.advice and html.escape(result.advice) in (out / "report.html").read_text()
    assert metrics["provenance"]["of"] == "times and values" and metrics["provenance"]["seed"] == 0
    assert "models=['grid']" in metrics["provenance"]["call"] and "progress" not in metrics["provenance"]["call"]


def test_a_model_comes_back_from_its_file(smoothed):
    result, out = smoothed
    trained, problem, about = load_model(out / "model-grid.safetensors", GRID)
    assert problem == result.problem and about["names"] == ["x", "y", "z"]
    before, after = (jax.tree.leaves((t.model, t.end, t.noise)) for t in (result.fitted["grid"].trained, trained))
    for a, b in zip(before, after, strict=True):
        if hasattr(a, "shape"):
            np.testing.assert_array_equal(a, b)


def test_the_mean_dynamics_moves_as_the_members_do_in_the_mean(smoothed, tolerance):
    trained = smoothed[0].fitted["grid"].trained
    z, ts = jnp.array([0.1, -0.2, 0.3]), jnp.array([0.0, 0.1])

    @eqx.filter_jit
    def both(model):
        members = [jax.tree.map(lambda a, i=i: a[i] if eqx.is_array(a) else a, model) for i in range(2)]
        return MeanDynamics(model)(z, ts).ys, sum(member(z, ts).ys for member in members) / 2

    np.testing.assert_allclose(*both(trained.model), **tolerance(10))


def test_a_file_of_another_model_is_refused(smoothed, free, tmp_path):
    with pytest.raises(ct.DataError, match="another structure"):
        load_model(smoothed[1] / "model-grid.safetensors", ct.reconstruction.CANDIDATES["augmented"])
    (tmp_path / "broken.safetensors").write_bytes(b"nothing")
    with pytest.raises(ct.DataError, match="broken.safetensors: a header of"):
        load_model(tmp_path / "broken.safetensors")


def test_an_interrupted_job_is_kept_and_goes_on_as_if_unbroken(free, went_on):
    broken, unbroken = (job.fitted["lotka-volterra"].trained.model for job in (went_on[0], free[0]))
    assert equal(broken, unbroken)  # of data that are the same where they train
    assert not (went_on[1] / "training").exists()


def test_forecast_beyond_the_data(smoothed, free):
    text = forecast_csv(free[1], 3, model="lotka-volterra").splitlines()
    assert text[0] == "year,hare,hare_lower,hare_upper,lynx,lynx_lower,lynx_upper" and len(text) == 4
    rows = np.array([line.split(",") for line in text[1:]], float)
    assert rows[:, 0].tolist() == [1921, 1922, 1923] and np.all(rows[:, 2] < rows[:, 1]) and np.all(rows[:, 1:] > 0)
    assert forecast_csv(smoothed[1], 2, model=GRID).count("\n") == 3


def test_a_model_of_a_folder_is_exported(free, tmp_path, tolerance):
    import jax.export

    export_model(free[1], tmp_path / "pelts.stablehlo", model="lotka-volterra")
    solve = jax.export.deserialize(bytearray((tmp_path / "pelts.stablehlo").read_bytes())).call
    dtype = jnp.zeros(()).dtype
    ys = solve(np.array([[20.0, 10.0]], dtype), np.arange(5.0, dtype=dtype)[None])
    assert ys.shape == (2, 1, 5, 2) and np.allclose(ys[:, 0, 0], [20, 10], **tolerance()) and np.all(ys > 0)


def test_a_law_and_a_network_in_one_table(free):
    result, _ = free
    assert result.measure == "rmse_log" and set(result.baselines) == {
        "mean",
        "persistence",
        "drift",
        "autoregression",
        "seasonal",
    }
    # Figures that need no fit: the seasonal forecast repeats 1904-1910, the mean is that of the logarithms.
    assert result.baselines["seasonal"]["rmse_log"].value == pytest.approx(0.398, abs=2e-3)
    assert result.baselines["mean"]["rmse_log"].value == pytest.approx(0.855, abs=2e-3)
    assert all(name in result.verdict for name in ("lotka-volterra", "seasonal"))


def test_a_result_forecasts_as_its_folder_does(free, tolerance):
    result, out = free
    frame = result.forecast(3)
    lines = [line.split(",") for line in forecast_csv(out, 3).splitlines()]
    assert [frame.index.name, *frame.columns] == lines[0] and list(frame.index) == [1921, 1922, 1923]
    np.testing.assert_allclose(frame.to_numpy(), np.array(lines[1:], float)[:, 1:], **tolerance(10))
    dated = dataclasses.replace(result.table, time_unit="days", origin="2001-02-03", form=None)
    dates = dataclasses.replace(result, table=dated).forecast(2, model="lotka-volterra").index
    first = np.datetime64("2001-02-03") + 1921  # the table's years are days now
    assert dates.to_numpy().tolist() == (first + np.arange(2)).astype("M8[us]").tolist()
    with pytest.raises(ct.DataError, match="inputs='u.csv': the model has no inputs"):
        result.forecast(2, inputs="u.csv")
    with pytest.raises(ct.DataError, match="model='other': no such candidate: there are lotka-volterra"):
        result.forecast(2, model="other")
    with pytest.raises(ct.DataError, match="steps=0"):
        result.forecast(0)


def test_a_result_saves_what_the_command_writes(free, tmp_path):
    result, out = free
    path = result.save(tmp_path / "again")
    assert {p.name for p in out.iterdir()} - {p.name for p in path.iterdir()} == {"notes.txt"}
    assert (path / "metrics.json").read_bytes() == (out / "metrics.json").read_bytes()
    with pytest.raises(ct.DataError, match="holds a reconstruction already"):
        result.save(path)
    assert result.save(path, overwrite=True) == path


@pytest.mark.slow  # what is asked of inputs is in test_clock.py too
def test_inputs_drive_and_are_needed_for_a_forecast(driven, tmp_path):
    result, out = driven
    assert result.problem.inputs == 1 and result.n_train == 30
    fitted = result.fitted["second-order"]
    assert fitted.generated is None and np.isfinite(fitted.median).all()
    with pytest.raises(ct.DataError, match="driven by u.*inputs="):
        forecast_csv(out, 2)
    with pytest.raises(ct.DataError, match="driven by u.*times="):
        export_model(out, tmp_path / "driven.stablehlo")
    ahead = tmp_path / "ahead.csv"
    ahead.write_text("year,u\n1920,0.1\n1920.5,0.2\n1921,0.3\n")
    assert forecast_csv(out, 2, inputs=ahead).splitlines()[1].startswith("1920,")
    with pytest.raises(ct.DataError, match="driven by u.*inputs="):
        result.forecast(2)
    given = Table(np.array([1920.0, 1920.5]), np.array([[0.1], [0.2]]), ("u",), "year", "", "", "ahead")
    assert result.forecast(2, inputs=given).equals(result.forecast(2, inputs=ahead))
    with pytest.raises(ct.DataError, match="3 rows of inputs for 4 steps"):
        forecast_csv(out, 4, inputs=ahead)
    ahead.write_text("year,u\n1910,0.1\n1910.5,0.2\n")
    with pytest.raises(ct.DataError, match="ahead.csv: begins at 1910, not after the data's end at 1919.5"):
        forecast_csv(out, 2, inputs=ahead)
    ahead.write_text("year,u\n2020-01-01,0.1\n2020-01-02,0.2\n")
    with pytest.raises(
        ct.DataError, match="its times are dates without a time zone and those of the training data are plain numbers"
    ):
        forecast_csv(out, 2, inputs=ahead)


def test_a_series_becomes_a_table():
    series = ct.Series.from_nan(oscillation().time - 1900, oscillation().values)
    with pytest.raises(ct.DataError, match="series: 3 samples"):  # read, and refused for its length only
        reconstruct(series, held_out=57, recipe=toy(window=10))


@pytest.mark.parametrize(
    "kwargs, words",
    [
        (dict(models=["neurl"]), ["'neurl'", "neural"]),
        (dict(held_out=60), ["held_out=60", "60 samples"]),
        (dict(held_out=57, recipe=toy(window=10)), ["toy.csv", "3 samples", "window of 10"]),
        (dict(inputs=["x", "y"]), ["no column is left"]),
        (dict(inputs=["v"]), ["'v'"]),
        (dict(log=True), ["toy.csv, index 0, column 'x'", "positive"]),
        (dict(models=["lotka-volterra"], inputs=["y"]), ["two channels"]),
    ],
)
def test_misuse_is_named(kwargs, words):
    with pytest.raises(ct.DataError) as error:
        reconstruct(oscillation(), progress=False, **kwargs)
    for word in words:
        assert word in str(error.value)


def test_an_output_folder_that_cannot_be_is_refused_before_the_work(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(ct.DataError, match="this is a file; name a folder"):
        reconstruct(oscillation(), out=tmp_path / "file")


def test_a_folder_that_holds_another_reconstruction_is_refused_or_replaced(free, tmp_path):
    (tmp_path / "model-other.safetensors").write_bytes(b"")
    with pytest.raises(ct.DataError, match="holds a reconstruction already .model-other.*overwrite=True"):
        reconstruct(oscillation(), out=tmp_path, progress=False)
    assert [p.name for p in tmp_path.iterdir()] == ["model-other.safetensors"]
    names = {"history.jsonl", "metrics.json", "model-lotka-volterra.safetensors", "notes.txt", "report.html"}
    assert {p.name for p in free[1].iterdir()} == names


@pytest.mark.parametrize("value, words", [(0.0, "rests at 0 in all of the 48 rows"), (np.nan, "was never observed in")])
def test_what_does_not_move_while_training_is_refused(value, words):
    table = oscillation()
    table.values[:48, 0] = value
    with pytest.raises(ct.DataError, match=f"toy.csv: column 'x' {words}"):
        reconstruct(table, progress=False)


def test_nothing_observed_in_the_tail_is_said_and_nothing_is_lost(went_on):
    result, out = went_on
    assert result.selected is None and "nothing observed in the held-out tail" in result.verdict
    scores = json.loads((out / "metrics.json").read_text())["candidates"]["lotka-volterra"]
    assert scores["rmse_log"] is scores["valid_prediction_time"] is scores["coverage"] is None
    assert scores["counts"]["rmse_log"] == 0 and "nothing observed" in scores["reasons"]["rmse_log"]
    assert "nothing observed" in (out / "report.html").read_text()
    assert forecast_csv(out, 3).count("\n") == 4


def test_widths_of_the_bands_are_saved_and_used(smoothed):
    _, out = smoothed
    trained, problem, _ = load_model(out / "model-grid.safetensors", GRID)
    assert trained.widths == smoothed[0].fitted["grid"].trained.widths and trained.widths(5).shape == (5, 3)
    assert np.all(np.isfinite(trained.widths(5)))


def test_dominant_period():
    ts = np.arange(120) / 12.0
    ys = np.stack([np.sin(2 * np.pi * ts / 2.5) + 0.3 * ts], axis=1)
    assert dominant_period(ts, ys) == pytest.approx(2.5, rel=0.05)


def test_forecasts_are_scored_from_where_the_data_lead(smoothed):
    # The origin's own state is known, so that the first forecast sample is near its target.
    result = smoothed[0]
    assert result.fitted["grid"].scores["nrmse"].value < result.baselines["mean"]["nrmse"].value


@pytest.mark.only("float32")
def test_scores_of_an_attractor_carry_their_count_or_their_reason():
    from ctmodels.reconstruction._attractor_scores import attractor_scores

    ts = 0.1 * np.arange(2000)
    true = np.stack([np.cos(ts), -np.sin(ts)], axis=1)
    run = np.roll(true, 40, axis=0)[None].astype(np.float32)
    complete = attractor_scores(true, run)
    half, tenth, turns = true.copy(), true.copy(), true.copy()
    half[np.random.default_rng(0).random(2000) < 0.5] = np.nan
    tenth[np.random.default_rng(0).random(2000) < 0.9] = np.nan
    turns[::2, 0] = turns[1::2, 1] = np.nan
    scores = attractor_scores(half, run, ts)
    assert abs(scores["d_hellinger"].value - complete["d_hellinger"].value) < 0.01
    assert scores["d_stsp"].count == np.isfinite(half).all(axis=1).sum() and scores["d_hellinger"].count > 900
    for few in (tenth, turns):
        for score in attractor_scores(few, run, ts).values():
            assert score.value is None and "500 are needed" in score.reason
    diverged = attractor_scores(true, np.full_like(run, np.nan))
    assert {name: s.value for name, s in diverged.items()} == {"d_stsp": np.inf, "d_hellinger": 1}
    assert diverged["d_stsp"].reason == "the free run diverged"
