"""A model with noise of its own as a candidate of the main job: its training on draws, its forecasts, its files."""

import functools
import json
import os
import signal

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels.cli import main
from ctmodels.reconstruction import CANDIDATES, Candidate, Problem, Trained, _drawn_starts, _reconstruct, load_model
from ctmodels.reconstruction._drawn_starts import Believed, crps_of_draws
from ctmodels.reconstruction._draws import Start
from ctmodels.reconstruction._evaluation import forecast_from, generate
from ctmodels.reconstruction._joined import Joined
from ctmodels.reconstruction._scores import pit_distance
from ctmodels.reconstruction._split import Split, Spread

pytestmark = pytest.mark.only("float32")
EULER = ct.Integrate(diffrax.Euler(), ct.Substeps(1))


def walk(scales):
    """Brownian motions of these deviations, as members of an ensemble: Euler's steps are exact."""
    diffusion = ct.fields.Positive(ct.fields.Constant(jnp.asarray(scales)[:, None]), by=jnp.abs, floor=1e-6)
    drift = ct.fields.Constant(jnp.zeros((len(scales), 1)))
    return ct.NeuralSDE(ct.fields.SDE(drift, diffusion), 1, 0, EULER)


def toy(problem, key):
    """Of the candidate's kind, and soon compiled."""
    diffusion = ct.fields.Positive(ct.fields.Constant(jnp.zeros(problem.channels)))
    drift = ct.fields.MLPField(problem.channels, width=4, depth=1, key=key)
    return ct.NeuralSDE(ct.fields.SDE(drift, diffusion), problem.channels, 0, EULER)


def as_noisy(model, deviation):
    return eqx.tree_at(lambda m: m.sde.diffusion.field.value, model, jnp.log(jnp.expm1(deviation)))


TOY = Candidate("neural-sde", toy, draws=3, with_noise=as_noisy)


def split_of(ys, n_train, horizon):
    ys = np.asarray(ys, np.float32)[:, None]
    series = ct.Series(jnp.arange(float(len(ys))), jnp.asarray(np.nan_to_num(ys)), jnp.asarray(~np.isnan(ys)))
    return Split.make(Joined(series), n_train, horizon)


def trained(scales, draws, cov=0.0, noise=0.0):
    size = len(scales)
    end = jnp.zeros((size, 1)), jnp.full((size, 1, 1), cov)
    noise = ct.smoothing.Noise(jnp.ones((size, 1)), jnp.full((size, 1), noise))
    return Trained(walk(scales), end, noise, [], "finished", draws=draws)


def test_a_forecast_is_the_distribution_of_start_noise_and_measurement():
    """Of a Brownian motion it is normal, and its variance is the sum of the three; by one path it is the measurement's
    alone."""
    split, origins = split_of(np.zeros(12), 6, 4), np.array([5, 6])
    known = jnp.zeros((2, 2, 1)), jnp.full((2, 2, 1, 1), 0.25)
    ours = trained((0.5, 0.5), 2000, noise=0.04)
    spread = forecast_from(ours, split, known, origins, 5)
    exact = np.sqrt(0.25 + 0.25 * np.arange(1, 6) + 0.04)
    for side in (spread.below, spread.above):
        assert side.shape == (2, 5, 1) and np.abs(side[..., 0] / exact - 1).max() < 0.07
    assert np.abs(spread.median[..., 0]).max() < 0.1
    again = forecast_from(ours, split, known, origins, 5)
    assert all(np.array_equal(a, b) for a, b in zip(spread, again, strict=True))
    still = forecast_from(ours._replace(draws=1), split, known, origins, 5)
    assert still.below is still.above and np.allclose(still.below, 0.2) and not still.median.any()
    runs = generate(ours, 1.0, 200)
    assert runs.shape == (2, 200, 1) and np.abs(np.diff(runs, axis=1).std() / 0.5 - 1) < 0.15
    assert not np.array_equal(runs[0], runs[1]) and not generate(ours._replace(draws=1), 1.0, 20).any()


def test_the_score_of_draws_is_least_for_the_noise_that_made_them():
    rng = np.random.default_rng(0)
    paths = np.cumsum(0.5 * rng.normal(size=(256, 6)), axis=1) + 0.3 * rng.normal(size=(256, 1))
    ys = jnp.asarray((paths + 0.1 * rng.normal(size=paths.shape))[..., None], jnp.float32)
    loss, ts = crps_of_draws(8), jnp.arange(6.0)

    def of_path(model, ys, key):
        # Known of the start: nothing but its law. What is at the first time is observed as well.
        start = Start(jnp.zeros(1), jnp.full((1, 1), (0.3**2 + 0.5**2) ** 0.5))
        x = Believed(start, None, jnp.full(1, 0.1))
        total, weight, _ = loss(model, ct.Example(x, ct.Series(ts, ys, jnp.ones(ys.shape, bool))), key)
        return total / weight

    keys = jax.random.split(jax.random.key(0), 256)
    batch = lambda model: jnp.mean(jax.vmap(lambda y, key: of_path(model, y, key))(ys, keys))
    low, right, high = eqx.filter_jit(eqx.filter_vmap(batch))(walk((0.15, 0.5, 1.2)))
    assert right < 0.98 * low and right < 0.98 * high


def test_a_start_of_which_something_is_certain_can_be_drawn(tolerance):
    cov = jnp.array([[4.0, 0.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.25]])
    root = Start.of(jnp.zeros(3), cov).root
    np.testing.assert_allclose(root @ root.T, cov, **tolerance(100))


def test_pit_distance_knows_either_side():
    """Of draws of a law that is wider above than below; and of the same law, half as wide."""
    z = np.random.default_rng(0).normal(size=400)
    split = split_of(np.concatenate([np.zeros(20), np.where(z < 0, z, 3 * z)]), 20, 4)
    ones = np.ones(split.targets().shape)
    right = Spread(0 * ones, ones, 3 * ones)
    score = pit_distance(right, split)
    assert score.value < 0.15 and score.count == 80 and score.better == "lower"
    assert pit_distance(right.widened(0.3), split).value > 0.2 < pit_distance(Spread(ones, ones, ones), split).value
    assert pit_distance(Spread(np.nan * ones, ones, ones), split).value == 1
    assert pit_distance(right, split_of(np.r_[np.zeros(20), np.full(20, np.nan)], 20, 4)).value is None


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What the command line makes of it, after it was interrupted in the middle of the training on draws."""

    def interrupt(state, line):
        if line["step"] == 1:
            os.kill(os.getpid(), signal.SIGINT)

    path = tmp_path_factory.mktemp("neural-sde")
    (path / "data.csv").write_text("t,x\n" + "\n".join(f"{i},{np.sin(i):.4f}" for i in range(30)))
    job = ["reconstruct", str(path / "data.csv"), "--time", "t", "--out", str(path / "out"), "--model", "neural-sde"]
    job += ["--steps", "12", "--members", "2"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_reconstruct, "LYAPUNOV_STEPS", 100)
        patch.setattr(_drawn_starts, "DRAWS", 2)
        patch.setitem(CANDIDATES, "neural-sde", TOY)
        with pytest.MonkeyPatch.context() as stopped:
            stopped.setattr(_drawn_starts, "fit", functools.partial(ct.fit, callbacks=[interrupt]))
            assert main(job) == 130
        assert main([*job, "--resume"]) == 0
    return path / "out"


def test_it_goes_through_the_command_line(folder, capsys, monkeypatch):
    monkeypatch.setitem(CANDIDATES, "neural-sde", TOY)
    metrics = json.loads((folder / "metrics.json").read_text())
    found = metrics["candidates"]["neural-sde"]
    assert 0 <= found["pit_distance"] <= 1 and found["counts"]["pit_distance"] == found["counts"]["coverage"] > 0
    text = (folder / "report.html").read_text()
    assert "3 paths of each member" in text and "a stochastic equation" in text and "PIT distance" in text
    steps = [json.loads(line)["step"] for line in (folder / "history.jsonl").read_text().splitlines()]
    assert steps == sorted(steps) and steps[-1] == 12 + 3
    assert not (folder / "training").exists()
    command = ["forecast", str(folder), "--steps", "3"]
    assert main(command) == 0
    first = capsys.readouterr().out
    assert main(command) == 0 and capsys.readouterr().out == first
    median, lower, upper = np.array([line.split(",")[1:] for line in first.splitlines()[1:]], float).T
    assert np.all(lower < median) and np.all(median < upper)


def test_it_comes_back_from_its_file_with_noise_that_was_trained(folder):
    trained, problem, _ = load_model(folder / "model-neural-sde.safetensors", TOY)
    assert trained.draws == 3 and problem.channels == 1
    noise = np.asarray(trained.model.sde.diffusion.field.value)
    assert np.isfinite(noise).all() and (noise != 0).all() and noise[0] != noise[1]


def test_the_candidate_of_the_table_draws_paths_under_inputs():
    """Traced, and not compiled; and its noise is what it is told to be."""
    scaling, units = ct.Scaling(0.0, 1.0, (0.0,) * 3, (1.0,) * 3), ct.Scaling(0.0, 1.0, (0.0,) * 2, (1.0,) * 2)
    problem, ts = Problem(3, scaling, units, 2, 1.0, (0.0,) * 3), jnp.arange(4.0)
    control = ct.paths.LinearPath(ts, jnp.zeros((4, 2)))
    candidate, start = CANDIDATES["neural-sde"], ct.Driven(jnp.zeros(3), control)
    model = candidate.build(problem, jax.random.key(0))
    path = lambda key: (model(start, ts, key=key).ys, model(start, ts).ys)
    drawn, still = eqx.filter_eval_shape(path, jax.random.key(0))
    assert drawn.shape == still.shape == (4, 3) and candidate.draws > 1
    noisy = candidate.with_noise(model, jnp.array([0.01, 0.2, 1.0]))
    found = noisy.sde.diffusion(ts[0], jnp.zeros(3), control)
    assert np.all(np.abs(np.log(found / jnp.array([0.01, 0.2, 1.0]))) < 0.5)
