"""The benchmarks' harness, and that each benchmark runs at toy size."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from benchmarks import _harness, _reproduction
from benchmarks.cde import physionet
from benchmarks.cde._baselines import GRUD, Recurrent, Row
from benchmarks.chaos import _scores as chaos
from benchmarks.dysts import _baselines, _past, _scores as dysts
from benchmarks.ode import accuracy
from benchmarks.ode._problems import MASSES, PROBLEMS, PULL, SUN
from benchmarks.sde._kernel import kernel_x_tensordev
from benchmarks.sde_quality import _paths, _scores

ROOT = Path(__file__).parents[1]
FILES = [p.relative_to(ROOT).with_suffix("") for p in (ROOT / "benchmarks").rglob("*.py")]
NAMES = [".".join(p.parts).removesuffix(".__main__") for p in FILES if p.name == "__main__" or p.name[0] != "_"]


def test_a_saved_result_becomes_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_harness, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(_harness, "REPORT", tmp_path / "RESULTS.md")
    monkeypatch.setattr(sys, "argv", ["toy", "--save", "--quick"])
    summary = {"worst": 1 / 3, "peers": {"a": {"x": 2.0}, "b": None}}
    _harness.main("toy", lambda quick: ([{"seed": 0, "score": 1 / 3, "quick": quick, "points": [1, 2]}], summary))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "| seed | score | quick |" and said[2] == "| 0 | 0.3333 | True |"
    assert json.loads(said[-1]) == summary
    kept = json.loads((tmp_path / "results" / "toy.json").read_text())
    assert kept["rows"][0]["points"] == [1, 2]  # kept, and not in the table
    assert kept["summary"] == summary and kept["command"] == "python -m benchmarks.toy --quick"
    page = (tmp_path / "RESULTS.md").read_text()
    assert "## toy" in page and "| 0 | 0.3333 | True |" in page and "- `worst`: 0.3333" in page
    assert "- `peers.a.x`: 2\n- `peers.b`: None" in page


def test_a_benchmark_without_rows_has_its_numbers(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["toy"])
    _harness.main("toy", lambda quick: ([], {"faults": 0}))
    assert capsys.readouterr().out == 'Nothing to list.\n{"faults": 0}\n'


def test_the_results_page_is_that_of_the_results():
    assert _harness.REPORT.read_text(encoding="utf-8") == _harness.report()


@pytest.mark.parametrize("problem", [p for p in PROBLEMS if p.exact], ids=lambda p: p.name)
def test_closed_forms_solve_their_equations(problem, tolerance, within):
    exact = lambda t: np.array(problem.exact(t))
    assert np.allclose(exact(0.0), problem.y0, **tolerance(0.01, float))
    for t in np.linspace(0.1, problem.t1 - 0.1, 9):
        slope = (8 * (exact(t + 1e-4) - exact(t - 1e-4)) - (exact(t + 2e-4) - exact(t - 2e-4))) / 12e-4
        assert np.allclose(slope, problem.field(t, exact(t), problem.args), **within(1e-7, absolute=1e-9))


def test_the_sun_and_its_planets_keep_their_energy_and_their_field_under_jax(tolerance):
    problem = next(p for p in PROBLEMS if p.name == "C5")
    y = np.array(problem.y0)
    slope = problem.field(0.0, y, None)
    assert np.allclose(jax.jit(problem.field)(0.0, jnp.asarray(y), None) / slope, 1, **tolerance(5))
    assert abs(_energy(y + 1e-4 * slope) - _energy(y - 1e-4 * slope)) < 1e-6 * 1e-4


def _energy(y):
    """Of the planets about the sun, in heliocentric coordinates: the sun moves so that the momenta sum to zero."""
    masses = np.array([SUN, *MASSES])
    at, velocity = (np.vstack([np.zeros(3), half.reshape(5, 3)]) for half in (y[:15], y[15:]))
    velocity = velocity - masses @ velocity / masses.sum()
    pairs = [(i, j) for i in range(6) for j in range(i)]
    potential = sum(masses[i] * masses[j] / np.linalg.norm(at[i] - at[j]) for i, j in pairs)
    return masses @ (velocity**2).sum(1) / 2 - PULL * potential


@pytest.mark.only("float32")
@pytest.mark.parametrize("make", [Recurrent.gru_dt, Recurrent.gru_d])
def test_a_recurrent_baseline_keeps_the_laws_of_our_models(make, tolerance):
    model = make(2, 3, 2, key=jax.random.key(0))
    ts, ys = np.array([0.5, 1.0, 1.5, 2.5]), np.array([[1.0, np.nan], [np.nan, np.nan], [np.nan, 2.0], [3.0, 1.0]])
    x, asked = ct.Series.from_nan(ts, ys, one_of_many=True), jnp.array([0.2, 0.7, 1.5, 2.0, 4.0])
    call = eqx.filter_jit(lambda x: model(x, asked).ys)
    wanted = call(x)
    np.testing.assert_allclose(call(x.pad(6)), wanted, **tolerance())
    np.testing.assert_allclose(call(jax.tree.map(lambda a: jnp.delete(a, 1, axis=0), x)), wanted, **tolerance())
    changed = call(eqx.tree_at(lambda x: x.ys, x, x.ys.at[3].set(9.0)))
    np.testing.assert_array_equal(changed[:4], wanted[:4])
    assert not np.allclose(changed[4], wanted[4])


def test_gru_d_decays_by_the_time_since_a_channel_was_seen(tolerance):
    """A cell that returns what it is given shows it: values fall to their mean, zero, and so does the state."""
    unit = GRUD(1, 1, 0, jax.random.key(0))
    given = []
    unit = eqx.tree_at(lambda u: (u.cell, u.of_state.weight, u.of_state.bias), unit, (
        lambda row, h: given.append((row, h)) or h, jnp.array([[2.0]]), jnp.array([0.5])
    ))  # fmt: skip
    one = jnp.ones(1)
    unit(one, Row(3 * one, 0 * one, 0.7 * one, jnp.asarray(0.7), jnp.zeros(0)))
    unit(one, Row(3 * one, one, 0.7 * one, jnp.asarray(0.7), jnp.zeros(0)))
    np.testing.assert_allclose(given[0][0], [3 * np.exp(-0.7), 0], **tolerance())
    np.testing.assert_allclose(given[1][0], [3, 1], **tolerance())
    np.testing.assert_allclose(given[0][1], [np.exp(-1.9)], **tolerance())


def test_the_area_is_how_often_the_dead_have_the_higher_score():
    scores, died = np.array([0.1, 0.4, 0.35, 0.8, 0.35]), np.array([0, 0, 1, 1, 0])
    assert physionet.area(scores, died) == pytest.approx((1 + 0 + 0.5 + 3) / 6)


def test_ratios_are_of_evaluations_for_the_same_error():
    """Errors of order five in the evaluations, of which ours takes a tenth more, at other errors than the peer's."""
    peers = [[n, 0.5 * 1e10 * n**-5.0, 1e10 * n**-5.0] for n in (200, 600, 1800)]
    ours = [[1.1 * n, 0.5 * 1e10 * n**-5.0, 1e10 * n**-5.0] for n in (300, 900, 2700)]
    assert accuracy.ratio(ours, peers) == pytest.approx(1.1) == accuracy.ratio(ours, peers, at=1)
    assert accuracy.ratio(ours[:1], peers) is None and accuracy.ratio(ours, None) is None
    assert accuracy.ratio([None, *ours], [*peers, [9000, 1.0, 1.0]]) == pytest.approx(1.1)  # 1.0: no solution


@pytest.mark.slow
@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "name, method", [("mnist", "error"), ("spiral", "both"), ("spiral_sde", "strong"), ("physionet", "error")]
)
def test_a_reproduction_at_toy_size_shows_the_direction(name, method):
    module = importlib.import_module(f"benchmarks.regularisers.{name}")
    data = module.toy() if hasattr(module, "toy") else None
    rows = {m: module.one(m, 0, data, True) for m in ("vanilla", method)}
    assert rows[method]["nfe"] < rows["vanilla"]["nfe"]
    numbers = module.compared(_reproduction.means([{"method": m, "seed": 0, **row} for m, row in rows.items()]))
    assert numbers["nfe_over_vanilla"] == {method: rows[method]["nfe"] / rows["vanilla"]["nfe"]}


def test_a_reproduction_keeps_each_row_and_goes_on(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(_harness, "FOLDER", tmp_path / "results")
    monkeypatch.setattr(_harness, "REPORT", tmp_path / "RESULTS.md")
    monkeypatch.setattr(_reproduction, "FOLDER", tmp_path / "results")
    done = []

    def one(method, seed, data, quick):
        if (method, seed) == ("b", 1) and not done.count(("b", 1)):
            done.append((method, seed))
            raise KeyboardInterrupt
        done.append((method, seed))
        return {"nfe": {"a": 10, "b": 5}[method] + seed}

    compared = lambda methods: {"over": _reproduction.ratio(methods, "b", "a", "nfe")}
    run = lambda *words: (
        monkeypatch.setattr(sys, "argv", ["toy", *words]),
        _reproduction.main("toy", one, ["a", "b"], compared),
    )
    with pytest.raises(KeyboardInterrupt):
        run("--seeds", "0,1", "--save")
    run("--seeds", "0,1", "--resume")
    assert done == [("a", 0), ("b", 0), ("a", 1), ("b", 1), ("b", 1)]
    last = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert last["over"] == pytest.approx(5.5 / 10.5)
    assert [row["nfe"] for row in last["rows"] if row["seed"] == "mean"] == [10.5, 5.5]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_quick(name):
    command = [sys.executable, "-m", name, "--quick"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert isinstance(json.loads(done.stdout.splitlines()[-1]), dict)


@pytest.mark.only("float64")
def test_the_signature_kernel_is_timed_also_alone():
    numbers = kernel_x_tensordev(2, 3, 1, 0.0)
    assert numbers["kernel_ms"] > 0 and numbers["kernel_gradient_ms"] > 0


@pytest.mark.only("float32")
def test_the_grid_of_many_cells_is_that_of_the_metric(tolerance):
    """Which has a number for each cell; some points lie outside."""
    rng = np.random.default_rng(0)
    true, other = (rng.normal(size=(400, 2)).astype(np.float32) * [[1.0, scale]] for scale in (1.0, 1.5))
    wanted = ct.metrics.d_stsp(jnp.asarray(true), jnp.asarray(other))
    np.testing.assert_allclose(chaos.d_stsp(true, other), wanted, **tolerance(10))
    assert chaos.d_stsp(true, np.full_like(true, np.nan)) == np.inf


@pytest.mark.only("float32")
def test_generated_paths_are_scored_with_the_gaps_of_the_data(within):
    data = _paths.observed(np.random.default_rng(0), (400, 10, 200), 12)
    assert [len(x) for x in (data.train.ts, data.validation.ts, data.test.ts, data.again)] == [400, 10, 200, 600]
    known = data.train.to_nan()
    np.testing.assert_allclose(np.nanmean(known, axis=0), 0, **within(absolute=1e-5))
    np.testing.assert_allclose(np.nanstd(known, axis=0), 1, **within(1e-5))
    assert 0.25 < np.isnan(known).mean() < 0.35
    fake = _scores.with_gaps_of(data.test, 0.5 * data.test.ys + 0.3)
    found = _scores.marginals(data.test, fake)
    deviations, means = (f(data.test.to_nan()[..., 0], axis=0) for f in (np.nanstd, np.nanmean))
    assert found["deviation_ratio"] == pytest.approx(2, rel=1e-4)
    assert found["mean_off"] == pytest.approx(np.sqrt(np.mean(((0.3 - 0.5 * means) / deviations) ** 2)), rel=1e-4)


@pytest.mark.only("float32")
def test_the_baseline_has_the_increments_of_the_data(within):
    rng, level = np.random.default_rng(0), np.array([0.5, 1.0, -2.0])
    ys = np.cumsum(level + np.array([1.0, 0.5, 2.0]) * rng.normal(size=(4000, 3)), axis=1)[..., None]
    seen = rng.random(ys.shape) > 0.3
    ts = np.broadcast_to(np.arange(3.0), ys.shape[:2])
    series = ct.Series(*(jnp.asarray(x, float) for x in (ts, np.where(seen, ys, 0))), jnp.asarray(seen))
    steps = np.diff(_paths.increments(series, 4000, 0)[..., 0], axis=1, prepend=0)
    np.testing.assert_allclose(steps.mean(axis=0), level, **within(absolute=0.15))
    np.testing.assert_allclose(steps.std(axis=0), [1.0, 0.5, 2.0], **within(0.05))
    np.testing.assert_allclose(np.corrcoef(steps.T), np.eye(3), **within(absolute=0.06))


def test_baselines_of_forecasts_go_on_with_what_they_know(within):
    """A line, a season, and waves of whole periods with a line under them; and the numbers that they are judged by."""
    ts = np.arange(260.0)
    line, wave = 0.1 * ts[:, None], np.cos(2 * np.pi * (ts + 0.5) / 20)[:, None]
    pasts = {"drift": line, "seasonal": wave, "fourier": wave, "last": np.ones((260, 2)), "mean": np.ones((260, 1))}
    for name, ys in pasts.items():
        found = _baselines.BASELINES[name](ys[:200], 60)
        np.testing.assert_allclose(found, ys[200:], **within(absolute=0.2 if name == "fourier" else 1e-9))
    judged = dysts.scores(wave[200:], wave[200:], wave[:200])
    assert judged["smape"] == 0 and judged["r2"] == 1 and judged["valid"] == 60 and judged["pearson"] > 0.999
    assert dysts.smape(np.ones(4), np.full(4, np.nan)) == 200


def test_settings_are_chosen_within_the_past():
    for rows in (100, 300, 1000):
        cut, origins = _past.origins_of(rows)
        assert origins[0] == cut == round(0.8 * rows) and origins[-1] < rows
