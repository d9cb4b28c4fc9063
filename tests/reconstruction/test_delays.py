"""What is seen in part: states of delays in the main job."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels.cli import main
from ctmodels.data import Table
from ctmodels.reconstruction import Recipe, _maps, _reconstruct as job, forecast_csv, load_model
from ctmodels.reconstruction._delays import Delays, of_delays
from ctmodels.reconstruction._joined import Joined

pytestmark = pytest.mark.only("float32")

TOY = Recipe(members=2, steps=10, window=4, batch_size=8, refreshes=1)


def wave(n=300, dt=0.25) -> Table:
    """Two tones, through one channel."""
    ts = dt * np.arange(n)
    ys = (np.sin(ts) + 0.5 * np.sin(2.3 * ts))[:, None] + 2
    return Table(ts, ys, ("x",), "t", "", "", "wave")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Through the command line."""
    folder, table = tmp_path_factory.mktemp("delays"), wave()
    columns = np.stack([table.time, table.values[:, 0]], 1)
    np.savetxt(folder / "x.csv", columns, delimiter=",", header="t,x", comments="")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "LYAPUNOV_STEPS", 20)
        patch.setattr(_maps, "LINEAR", (1,))
        patch.setattr(_maps, "PENALTIES", (1e-6,))
        how = ["--time", "t", "--embed", "auto", "--model", "linear", "--members", "2", "--horizon", "10"]
        assert main(["reconstruct", str(folder / "x.csv"), *how, "--out", str(folder / "out")]) == 0
    return folder / "out"


def size_of(metrics):
    """A linear map remembers all rows that the delays reach over."""
    embedding, delays = metrics["embedding"], metrics["candidates"]["linear"]["settings"]["delays"]
    reach = embedding["delay"] * (embedding["dimension"] - 1)
    assert delays in (reach + 1, embedding["delay"] * (2 * embedding["dimension"] - 1) + 1)
    return delays


def test_the_choice_is_shown_with_its_curves(done):
    found = json.loads((done / "metrics.json").read_text())
    embedding = found["embedding"]
    assert embedding["delay"] >= 2 and embedding["dimension"] >= 2
    assert len(embedding["mutual_information"][0]["information"]) > embedding["delay"]
    assert len(embedding["false_neighbours"][0]["false"]) == 8
    page = (done / "report.html").read_text(encoding="utf-8")
    assert "States made of delays" in page and embedding["rule"].split(": ")[1].split(";")[0] in page
    assert len(found["candidates"]["linear"]["exponents"]) == min(12, size_of(found))


def test_forecasts_are_of_the_channels_and_go_on_from_the_folder(done, within):
    """What no linear map of one value foretells, one of enough delays does."""
    metrics = json.loads((done / "metrics.json").read_text())
    trained, problem, _ = load_model(done / "model-linear.safetensors")
    assert problem.embedding == (metrics["embedding"]["delay"], metrics["embedding"]["dimension"])
    assert problem.channels == 1 == trained.model.channels and trained.model.size == size_of(metrics)
    assert metrics["candidates"]["linear"]["nrmse"] < 1
    lines = forecast_csv(done, 3).splitlines()
    assert lines[0] == "t,x,x_lower,x_upper" and len(lines) == 4
    t = 0.25 * 300
    np.testing.assert_allclose(float(lines[1].split(",")[1]), np.sin(t) + 0.5 * np.sin(2.3 * t) + 2, **within(0, 0.3))


def test_a_listener_hears_delay_vectors(monkeypatch, tmp_path):
    monkeypatch.setattr(job, "LYAPUNOV_STEPS", 20)
    monkeypatch.setattr(_maps, "CONFIGURATIONS", 4)
    how = dict(models=["reservoir"], recipe=TOY, progress=False, horizon=10)
    fitted = ct.reconstruct(wave(), embed="3,2", out=tmp_path / "run", **how).fitted["reservoir"]
    assert isinstance(fitted.trained.model, Delays) and fitted.trained.listens
    assert fitted.median.shape == (60, 1) and fitted.scores["nrmse"].value < 0.5
    assert len(forecast_csv(tmp_path / "run", 2).splitlines()) == 3


@pytest.mark.slow  # trained models go through the job elsewhere
def test_a_model_that_is_trained_learns_delays(monkeypatch):
    monkeypatch.setattr(job, "LYAPUNOV_STEPS", 20)
    small = lambda problem, key: ct.NeuralODE(
        ct.fields.MLPField(problem.channels, width=4, depth=1, key=key),
        problem.channels,
        integrate=ct.Integrate(ct.RK4(), ct.Substeps(1)),
    )
    candidate = ct.reconstruction.Candidate("small", small)
    result = ct.reconstruct(wave(), models=[candidate], embed=(3, 2), recipe=TOY, progress=False, horizon=10)
    fitted = result.fitted["small"]
    assert fitted.median.shape == (60, 1) and np.isfinite(fitted.median).all()
    assert fitted.trained.model.size == 2 and fitted.exponents.shape == (2, 2)
    assert result.embedding.delay == 3 and not result.embedding.delays


def test_vectors_are_those_of_embed_and_reach_over_no_pause(tolerance):
    ts = np.concatenate([np.arange(12.0), 20 + np.arange(10.0)])
    ys = np.random.default_rng(0).normal(size=(22, 2))
    ys[4, 1] = np.nan
    series = ct.Series.from_nan(ts, ys)
    model = Delays(ct.NeuralODE(ct.fields.MLPField(6, width=2, depth=1, key=jax.random.key(0)), 6), 2, 3, 1.0)
    vectors, wanted = model.vectors(series), ct.embedding.embed(series, 3, 3)
    kept = np.isin(ts, np.asarray(wanted.ts))
    np.testing.assert_array_equal(vectors.mask[kept], wanted.mask)
    np.testing.assert_allclose(vectors.ys[kept], wanted.ys, **tolerance())
    assert not vectors.mask[~kept, 4:].any()  # the oldest values of those that reach over it
    np.testing.assert_allclose(model.lift(jnp.array([1.0, 2.0]), jnp.array([1.0, 0.0])), [1, 2, -2, 2, -5, 2])


def test_inputs_stay_beside_their_rows():
    ts = np.arange(30.0)
    series, control = (ct.Series.from_nan(ts, np.sin(k * ts)[:, None]) for k in (1, 2))
    found = of_delays(Joined.of([(series, control)]), 2, 3)
    np.testing.assert_array_equal(found.series.ts, ts[4:])
    np.testing.assert_array_equal(found.control.ys, control.ys[4:])


@pytest.mark.parametrize(
    ("embed", "said"),
    [
        ("three", "delay and dimension are wanted, two whole numbers"),
        ("3", "delay and dimension are wanted"),
        ((0, 3), "the delay"),
        ((3, 1), "the dimension"),
        ("200,3", "embed='200,3': .*a vector spans 401 rows and the longest piece .* has 240"),
        ("113,3", "a delay of 113 rows and 3 of them leave 14 vectors to train on, and 20 at least"),
    ],
)
def test_a_bad_embedding_is_refused(embed, said):
    with pytest.raises(ct.DataError, match=said):
        ct.reconstruct(wave(), models=["linear"], embed=embed, progress=False)


def test_uneven_times_noise_and_laws_are_refused():
    table = wave()
    table.time[20:] += 0.1
    with pytest.raises(ct.DataError, match="embed='auto': series.ts.20.*times have to be even"):
        ct.reconstruct(table, models=["neural"], embed="auto", progress=False)
    noise = Table(
        table.time * 0 + np.arange(300), np.random.default_rng(0).normal(size=(300, 1)), ("x",), "t", "", "", "n"
    )
    with pytest.raises(ct.DataError, match="no dimension up to 8 .* or give both: embed="):
        ct.reconstruct(noise, models=["neural"], embed="auto", progress=False)
    law = ct.reconstruction.law_candidate(lambda t, y, *, a=1.0: [-a * y[0]])
    with pytest.raises(ct.DataError, match="a law of what is measured"):
        ct.reconstruct(wave(), models=[law], embed=(3, 2), progress=False)
