"""Many trials of one system in the main job: a damped pendulum, let go again and again."""

import dataclasses
import json

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import on_a_grid

import ctmodels as ct
from ctmodels.cli import main
from ctmodels.data import Table, Trials
from ctmodels.reconstruction import (
    Candidate,
    Recipe,
    _reconstruct as job,
    export_model,
    forecast_csv,
    load_model,
    reconstruct,
)
from ctmodels.reconstruction._arguments import to_data
from ctmodels.reconstruction._baselines import baselines
from ctmodels.reconstruction._free_starts import LinkedWindows
from ctmodels.reconstruction._joined import Joined
from ctmodels.reconstruction._preparing import prepare
from ctmodels.reconstruction._rows import Rows
from ctmodels.reconstruction._scores import forecast_errors
from ctmodels.reconstruction._smoothed_starts import windows_within
from ctmodels.reconstruction._trained import smooth_each, tune_each
from ctmodels.trajectories._smoothing import Noise, constant_velocity, smooth

pytestmark = pytest.mark.only("float32")

GRID = Candidate("grid", on_a_grid)
TOY = Recipe(members=2, steps=30, window=5, batch_size=16, refreshes=1)
DT = 0.25


def under_inputs(problem, key):
    field = ct.fields.MLPField(problem.channels, inputs=problem.inputs, width=8, depth=1, key=key)
    return ct.NeuralODE(field, problem.channels, 0, ct.Integrate(diffrax.Heun(), ct.Substeps(1)))


def swing(start, n, rng, push=None):
    """x'' = -x - 0.2 x' + push by fine steps, seen with noise."""
    z, rows = np.array([start, 0.0]), []
    push = np.zeros(n) if push is None else push
    for i in range(n):
        rows.append(z)
        for _ in range(50):
            z = z + DT / 50 * np.array([z[1], -z[0] - 0.2 * z[1] + push[i]])
    return np.array(rows) + 0.01 * rng.normal(size=(n, 2))


def trials(lengths=(24, 18, 30, 21, 26, 24), inputs=False) -> Trials:
    """Each with times of its own, at unlike dates of one clock."""
    rng, tables = np.random.default_rng(0), []
    for i, n in enumerate(lengths):
        push = 0.3 * np.sin(0.5 * np.arange(n) + i) if inputs else None
        ys = swing(rng.uniform(0.5, 2), n, rng, push)
        columns, names = (ys, ("x", "v")) if push is None else (np.c_[ys, push], ("x", "v", "u"))
        tables.append(Table(1e6 * i + DT * np.arange(n), columns, names, "t", "", "", f"swings.csv, trial {i}"))
    return Trials(tuple("abcdefgh"[: len(lengths)]), tuple(tables))


def csv(path, data: Trials):
    rows = [f"{name},{t!r},{','.join(map(repr, row))}" for name, table in zip(data.ids, data.tables, strict=True)
            for t, row in zip(table.time.tolist(), table.values.tolist(), strict=True)]  # fmt: skip
    path.write_text("\n".join([f"trial,t,{','.join(data.names)}", *rows]) + "\n")
    return path


def joined(lengths=(9, 5, 7)) -> Joined:
    rng = np.random.default_rng(1)
    one = lambda n: ct.Series.from_nan(np.cumsum(rng.uniform(0.1, 0.3, n)), rng.normal(size=(n, 2)), one_of_many=True)
    return Joined.of([(one(n), None) for n in lengths])


def reconstructed(folder, data, candidate, recipe=TOY, **more):
    """From a file, by its column of ids."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "LYAPUNOV_STEPS", 100)
        how = dict(time="t", id="trial", models=[candidate], recipe=recipe, out=folder / "out", progress=False)
        return reconstruct(csv(folder / "swings.csv", data), **how, **more), folder / "out"


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    return reconstructed(tmp_path_factory.mktemp("trials"), trials(), GRID, held_out=2)


@pytest.fixture(scope="module")
def driven(tmp_path_factory):
    """A law, of which each trial is one window with a start of its own; its trials have inputs."""
    law = Candidate("law", under_inputs, whole_series=True)
    return reconstructed(tmp_path_factory.mktemp("driven"), trials((16, 12, 20, 14), True), law, inputs=["u"])


def test_whole_trials_are_held_out_and_named(fitted):
    result, out = fitted
    held = result.held_out
    assert len(held) == 2 and set(held) < set("abcdef") and result.trials.ids[-2:] == held
    assert result.n_train == sum(len(result.trials[name].time) for name in result.trials.ids[:4])
    found = json.loads((out / "metrics.json").read_text())
    assert found["trials"] == {"train": list(result.trials.ids[:4]), "held_out": list(held)}
    assert found["n_train"] + found["n_test"] == 24 + 18 + 30 + 21 + 26 + 24
    for candidate in found["candidates"].values():
        assert np.isfinite(candidate["nrmse"]) and candidate["counts"]["coverage"] > 0


def test_a_forecast_begins_in_each_held_out_trial_after_its_warm_up(fitted):
    result, _ = fitted
    first = [len(result.trials[name].time) // 4 for name in result.held_out]
    lengths = [len(result.trials[name].time) for name in result.held_out]
    wanted = np.concatenate([np.arange(n) >= warm for n, warm in zip(lengths, first, strict=True)])
    for one in result.fitted.values():
        assert (np.isfinite(one.median).all(axis=1) == wanted).all() and one.median.shape == (sum(lengths), 2)
        assert np.all((one.lower <= one.upper)[wanted])


def test_the_report_draws_trials_and_lists_them(fitted):
    page = (fitted[1] / "report.html").read_text()
    assert "6 trials: 4 to train on, 2 held out" in page and "Trials and forecasts" in page
    assert page.count(">held out<") == 2 and page.count(">trained on<") == 4 and "--id TRIAL" in page
    held = ", ".join(map(repr, fitted[0].held_out))
    assert f"Whole trials are held out: {held}" in page.replace("&#x27;", "'")


def test_the_trial_that_goes_on_is_named(fitted, capsys, tmp_path, tolerance):
    result, out = fitted
    for name in (result.trials.ids[0], result.held_out[-1]):
        lines = forecast_csv(out, 3, id=name, model=GRID).splitlines()
        table = result.trials[name]
        rows = np.array([line.split(",") for line in lines[1:]], float)
        assert lines[0].startswith("t,x,") and np.allclose(rows[:, 0], table.time[-1] + DT * np.arange(1, 4))
        assert abs(rows[0, 1] - table.values[-1, 0]) < 0.7 * np.std(table.values)
        assert np.allclose(result.forecast(3, id=name, model="grid").to_numpy(), rows[:, 1:], **tolerance(10))
    assert main(["forecast", str(out), "--steps", "2", "--model", "grid", "--id", "z"]) == 2
    assert "which no name stands for" in capsys.readouterr().err  # a candidate of one's own: not of the command line
    with pytest.raises(ct.DataError, match=r"is of 6 trials, .*say which one is to go on: id=\.\.\."):
        forecast_csv(out, 3, model=GRID)
    with pytest.raises(ct.DataError, match="id='z': no such trial in .*name one of them"):
        forecast_csv(out, 3, id="z", model=GRID)
    trained, problem, about = load_model(out / "model-grid.safetensors", GRID)
    assert trained.ends[0].shape == (2, 6, 2) and [t["id"] for t in about["trials"]] == list(result.trials.ids)
    np.testing.assert_array_equal(trained.end[0], result.fitted["grid"].trained.end[0])
    export_model(out, tmp_path / "model.bin", model=GRID)
    assert problem.scaling.origin == 0


def test_training_knows_nothing_of_what_is_held_out(fitted, within):
    """Neither the scaling nor the windows."""
    result, _ = fitted
    train = np.concatenate([t.values for t in result.trials.tables[:4]])
    np.testing.assert_allclose(result.problem.scaling.mean, train.mean(axis=0), **within(1e-12))
    assert result.problem.scaling.origin == 0  # each trial on a clock of its own


@pytest.mark.only("float64")
def test_trials_are_smoothed_each_as_if_alone(tolerance):
    """In one program, under noise that all share; the update of it is what all say together."""
    every = joined()
    noise = Noise(jnp.full(4, 0.3), jnp.full(2, 0.1))
    flow = lambda control: constant_velocity
    smoothed = eqx.filter_jit(smooth_each)(flow, every, noise)
    means, covs = every.rows(smoothed.mean), every.rows(smoothed.filtered_cov)
    alone = [jax.jit(lambda s: smooth(constant_velocity, s, noise))(every[part].series) for part in every.slices()]
    np.testing.assert_allclose(means, np.concatenate([s.mean for s in alone]), **tolerance(10))
    np.testing.assert_allclose(covs, np.concatenate([s.filtered_cov for s in alone]), **tolerance(10))
    np.testing.assert_allclose(smoothed.log_likelihood, [s.log_likelihood for s in alone], **tolerance(10))
    steps, rows = np.array([8, 4, 6]) / 18, np.array([9, 5, 7]) / 21
    np.testing.assert_allclose(smoothed.noise.process, steps @ [s.noise.process for s in alone], **tolerance(10))
    np.testing.assert_allclose(smoothed.noise.observation, rows @ [s.noise.observation for s in alone], **tolerance(10))


def test_rows_padding_and_windows_stay_within_trials():
    every = joined()
    assert every.bounds.tolist() == [0, 9, 14, 21] and every.longest == 9
    series, _ = every.batch()
    assert series.ts.shape == (3, 9) and series.mask[:, :, 0].sum(axis=1).tolist() == [9, 5, 7]
    np.testing.assert_array_equal(every.rows(series.ys), every.series.ys)
    np.testing.assert_array_equal(series.ys[1, :5], every[9:14].series.ys)
    windows = windows_within(every, 6, stop=21, starts=every.series.ys)
    assert windows.at.tolist() == [0, 1, 2, 3, 14, 15]  # the second has but five rows
    padded = every.padded(np.array([10, 7, 7]))
    seen = [True] * 9 + [False] + [True] * 5 + [False] * 2 + [True] * 7
    assert padded.breaks == (10, 17) and padded.series.mask[:, 1].tolist() == seen
    assert (padded.series.ts[15:17] == every.series.ts[13]).all()
    linked = LinkedWindows.of(padded, 4)
    assert linked.windows.at.tolist() == [0, 3, 6, 10, 13, 17, 20]
    assert linked[jnp.arange(7)].x.last.tolist() == [False, False, True, False, True, False, True]


def test_neither_baselines_nor_scores_reach_over_an_edge(tolerance):
    """Beside other trials, forecasts in one are as they are without them; and so is what a season's change scales."""
    data = trials((20, 20, 20, 20))
    rows = Rows.of(data, 2)
    split = prepare(rows, (), 3, 4, False).split
    assert split.by_trial and split.origins.min() == 40 + 5 - 1 and split.origins.max() == 80 - 1 - 3
    first, second = split.origins < 60, split.origins >= 60
    turned = split.series.ys.at[40:60].multiply(-3)
    other = split._replace(series=eqx.tree_at(lambda s: s.ys, split.series, turned))
    before, after = (baselines(s, {"seasonal": float(2 * split.whole.gaps()[0])}) for s in (split, other))
    for name in before:
        np.testing.assert_array_equal(before[name][second], after[name][second])
        assert name == "mean" or not np.array_equal(before[name][first], after[name][first])
    scaling = prepare(rows, (), 3, 4, False).problem.scaling
    values = scaling.unscale(np.asarray(split.train().series.ys, np.float64)).reshape(2, 20, 2)
    scale = np.abs(values[:, 4:] - values[:, :-4]).mean(axis=(0, 1))
    errors = forecast_errors(before["mean"], split, scaling, 4)["mase"].value
    true = scaling.unscale(np.nan_to_num(split.targets()))
    np.testing.assert_allclose(
        errors, np.mean(np.abs(true - scaling.unscale(0 * true)).mean(axis=(0, 1)) / scale), 1e-5
    )


def test_noise_is_tuned_on_all_trials_as_on_one(within):
    """Of a trial that is there twice, the noise is that of the trial."""
    one = joined((12,))
    twice = Joined.of([(one.series, None)] * 2)
    start, flow = Noise(jnp.array([1e-4, 1e-4, 1.0, 1.0]), jnp.full(2, 1e-2)), lambda control: constant_velocity
    tuned = eqx.filter_jit(lambda trials: tune_each(flow, trials, start)[0])
    alike = lambda series: jnp.log(series.observation)
    np.testing.assert_allclose(alike(tuned(twice)), alike(tuned(one)), **within(absolute=0.2))


def test_one_trial_is_one_series():
    data = trials((40,))
    rows = Rows.of(data, 0.2)
    assert rows.trials is None and rows.n_train == 32
    task = prepare(rows, (), None, None, False)
    assert not task.split.by_trial and task.split.train().breaks == () and task.trials is None


def test_the_least_is_one_trial_and_a_number_counts_trials():
    assert len(Rows.of(trials((20, 20)), 0.2).trials) == 2 and Rows.of(trials((20, 20)), 0.2).n_train == 20
    assert Rows.of(trials((20, 20, 20, 20)), 3).n_train == 20
    with pytest.raises(ct.DataError, match="held_out=2: holds out 2 of 2 trials, which leaves none to train on"):
        Rows.of(trials((20, 20)), 2)


@pytest.mark.slow  # a law under inputs; what it is trained on is in the next test
def test_inputs_are_each_trials_own(driven, tmp_path):
    result, out = driven
    assert result.trials is not None and len(result.held_out) == 1 and result.fitted["law"].generated is None
    assert np.isfinite(result.fitted["law"].median[-4:]).all()
    name = result.held_out[0]
    last = float(result.trials[name].time[-1])
    still, pushed = tmp_path / "still.csv", tmp_path / "pushed.csv"
    for path, push in ((still, 0), (pushed, 5)):
        path.write_text("t,u\n" + "".join(f"{last + k * DT!r},{push}\n" for k in (1, 2)))
    candidate = result.fitted["law"].candidate
    lines = [forecast_csv(out, 2, id=name, model=candidate, inputs=path).splitlines() for path in (still, pushed)]
    assert lines[0][1].split(",")[0] == str(last + DT) and lines[0][2] != lines[1][2]


def test_a_window_of_a_law_is_a_trial_with_a_start_of_its_own(monkeypatch):
    """All trials at once, in one batch, whatever the recipe; none is bound to the next."""
    from ctmodels.reconstruction import _fitting, _free_starts

    seen = []
    monkeypatch.setattr(_free_starts, "fit", lambda step, state, data, **how: seen.append((state, data, how)) or 1 / 0)
    task = prepare(Rows.of(trials((16, 12, 20, 14), True), 1), ("u",), None, None, False)
    with pytest.raises(ZeroDivisionError):
        _fitting.train(Candidate("law", under_inputs, whole_series=True), task.problem, task.split.train(), TOY, 0)
    (state, data, how), lengths = seen[0], task.split.train().lengths
    batch = data[jnp.arange(3)]
    assert how["batch_size"] == 3 and state.model.starts.shape == (2, 3, 2) and batch.x.last.all()
    assert batch.target.mask[:, :, 0].sum(axis=1).tolist() == lengths.tolist()
    controls = [task.split.train()[part].control.ys for part in task.split.train().slices()]
    for i, control in enumerate(controls):
        np.testing.assert_array_equal(batch.x.control.ys[i, : len(control)], control)


GOOD = "".join(f"{name},{i},{np.sin(i + k):.4f}\n" for k, name in enumerate("abc") for i in range(12))
BAD = {
    "no such column": (GOOD, ["--id", "run"], "no column 'run': there are 'trial', 't', 'x'"),
    "a time twice": (GOOD + "b,3,1\n", [], "trial 'b' has time 3 twice"),
    "all missing": (
        GOOD + "".join(f"d,{i},\n" for i in range(12)),
        [],
        "trial 'd', column 'x': all 12 values are missing",
    ),
    "too short": (GOOD + "d,0,1\n", [], "trial 'd', column 't'"),
    "too many held out": (GOOD, ["--held-out", "3"], "--held-out 3: holds out 3 of 3 trials"),
    "the id as a value": (GOOD, ["--column", "trial"], "'trial' is asked for as id and as a value"),
}


@pytest.mark.parametrize("case", BAD)
def test_a_bad_trial_is_named(case, tmp_path, capsys):
    text, more, told = BAD[case]
    (tmp_path / "data.csv").write_text("trial,t,x\n" + text)
    command = ["reconstruct", str(tmp_path / "data.csv"), "--time", "t", "--out", str(tmp_path / "out"), "--steps", "2"]
    assert main([*command, *([] if "--id" in more else ["--id", "trial"]), *more]) == 2
    said = capsys.readouterr().err
    assert told in said and said.count("\n") == 1, said


def test_trials_that_cannot_be_are_refused():
    data = trials((20, 20))
    missing = dataclasses.replace(data.tables[1], values=np.full((20, 2), np.nan), source="other")
    with pytest.raises(ct.DataError, match="other, trial 'b', column 'x': all 20 values are missing"):
        reconstruct(Trials(data.ids, (data.tables[0], missing)), progress=False)
    with pytest.raises(ct.DataError, match="`id`: .*has its own; leave it out"):
        to_data(data, None, "b", None, ())
    with pytest.raises(ct.DataError, match="id 'b' has the units"):
        Trials(data.ids, (data.tables[0], dataclasses.replace(data.tables[1], units=("m", "m/s"))))


def test_a_series_has_no_trial_to_go_on_with(tmp_path):
    from ctmodels.reconstruction._about import about, of_trial

    with pytest.raises(ct.DataError, match="is of one series, which goes on by itself; leave it out"):
        of_trial(about(ct.data.lynx_hare(), (), "run"), "a", tmp_path)
