"""Every dynamics is a candidate by name: maps and laws fitted in closed form, and maps trained by forcing."""

import dataclasses
import json
import re

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from toys import equal

import ctmodels as ct
from ctmodels.data import Table
from ctmodels.reconstruction import Recipe, _maps, _reconstruct as job, _sparse_laws, forecast_csv, load_model

pytestmark = pytest.mark.only("float32")

TERM = re.compile(r"([-+]? ?[0-9.e-]+[0-9])(?: ([xy]))?")
TOY = Recipe(members=2, steps=10, window=4, batch_size=8, refreshes=1)
CLOSED = ("linear", "nvar", "kernel", "reservoir", "sparse-law")
USUAL = ("nvar", "reservoir", "sparse-law")  # a map of delays, a reservoir, a law


def oscillator(n=160, dt=0.25, noise=0.0) -> Table:
    """x' = -0.05 x + y, y' = -x - 0.05 y, in units of its own, about a mean."""
    ts = dt * np.arange(n)
    z = np.exp((-0.01 + 1.0j) * ts)
    ys = np.stack([3 + 2 * z.real, 1 - 4 * z.imag], axis=1) + noise * np.random.default_rng(0).normal(size=(n, 2))
    ys[50, 0] = np.nan  # a missing value
    kept = np.delete(np.arange(n), [70, 71])  # and missing rows
    return Table(ts[kept], ys[kept], ("x", "y"), "t", "", "", "oscillator")


@pytest.fixture(scope="module")
def few():
    """Few settings to choose from, and short spectra."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(job, "LYAPUNOV_STEPS", 20)
        patch.setattr(_maps, "LINEAR", (1,))
        patch.setattr(_maps, "NVARS", ((1, 1, 2),))
        patch.setattr(_maps, "KERNELS", ((2, 1),))
        patch.setattr(_maps, "WIDTHS", (4.0,))
        patch.setattr(_maps, "PENALTIES", (1e-6,))
        patch.setattr(_maps, "CONFIGURATIONS", 4)
        patch.setattr(_sparse_laws, "LAWS", ((1, 10),))
        yield


@pytest.fixture(scope="module")
def done(few, tmp_path_factory):
    out = tmp_path_factory.mktemp("candidates") / "run"
    return ct.reconstruct(oscillator(), models=USUAL, recipe=TOY, out=out, progress=False, horizon=10), out


def test_those_in_closed_form_foretell_an_oscillation(done):
    result, _ = done
    for name in USUAL:
        fitted = result.fitted[name]
        assert fitted.scores["nrmse"].value < 0.1, name
        assert fitted.median.shape == (32, 2) and fitted.exponents.shape[0] == 2
    assert result.best in CLOSED


@pytest.mark.slow  # they go the way of those above
@pytest.mark.parametrize("name", ["linear", "kernel", "plrnn", "neural-gtf"])
def test_the_others_too(few, name):
    fitted = ct.reconstruct(oscillator(), models=[name], recipe=TOY, progress=False, horizon=10).fitted[name]
    assert fitted.scores["nrmse"].value < (0.1 if name in CLOSED else 10)


def test_a_listener_hears_and_has_no_covariance(done):
    trained = done[0].fitted["reservoir"].trained
    assert trained.listens and trained.model.size > 20
    assert trained.end[1].shape == (2, 0, 0) and trained.end[0].shape == (2, trained.model.size)
    assert not done[0].fitted["sparse-law"].trained.listens


def test_a_law_is_told_in_the_units_of_the_data(done, within):
    """x' = -0.01 (x - 3) + (y - 1) / 2, y' = -2 (x - 3) - 0.01 (y - 1), as the model has it inside."""
    result, out = done
    formula = result.formula("sparse-law")
    assert formula.startswith("x' = ") and "\ny' = " in formula
    found = json.loads((out / "metrics.json").read_text())["candidates"]["sparse-law"]
    assert found["formula"] == formula and found["settings"] == {"degree": 1, "width": 10}
    one = jax.tree.map(lambda a: a[0] if eqx.is_array(a) else a, result.fitted["sparse-law"].trained.model)
    inside = result.problem.scaling.scale(np.array([4.0, 2.0]))
    slope = np.asarray(one.field(0.0, jnp.asarray(inside, jnp.float32), None)) * result.problem.scaling.std
    found = {"x": 4.0, "y": 2.0, "": 1.0}
    said = [
        sum(float(c.replace(" ", "")) * found[n] for c, n in TERM.findall(line.split(" = ")[1]))
        for line in formula.splitlines()
    ]
    np.testing.assert_allclose(said, slope / result.problem.scaling.time_scale, **within(1e-2, 1e-2))
    np.testing.assert_allclose(said, [-0.01 + 0.5, -2.0 - 0.01], **within(0.05, 0.02))
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Laws that were found" in page and "y&#x27; = " in page


@pytest.mark.parametrize("name", USUAL)
def test_models_come_back_from_a_folder_and_go_on(done, name, within):
    result, out = done
    trained, _, _ = load_model(out / f"model-{name}.safetensors")
    assert equal(trained.model, result.fitted[name].trained.model)
    rows = [line.split(",") for line in forecast_csv(out, 4, model=name).splitlines()]
    assert len(rows) == 5 and np.isfinite([float(x) for x in rows[-1]]).all()
    z = np.exp((-0.01 + 1.0j) * 0.25 * 160)
    got = [float(rows[1][1]), float(rows[1][4])]
    np.testing.assert_allclose(got, [3 + 2 * z.real, 1 - 4 * z.imag], **within(0, 0.1))


def test_inputs_drive_a_map(few, within):
    """y_{k+1} = 0.8 y_k + u_k."""
    rng, ys = np.random.default_rng(0), [0.0]
    us = np.repeat(rng.normal(size=30), 4)
    for u in us[:-1]:
        ys.append(0.8 * ys[-1] + u)
    table = Table(np.arange(120.0), np.stack([ys, us], 1), ("y", "u"), "t", "", "", "driven")
    result = ct.reconstruct(table, inputs=["u"], models=["linear"], recipe=TOY, progress=False)
    assert result.fitted["linear"].scores["nrmse"].value < 1e-2
    np.testing.assert_allclose(result.fitted["linear"].trained.model.A[:, 0, 0], 0.8, **within(1e-3, 0))


@pytest.mark.parametrize("name", ["linear", "plrnn"])
def test_uneven_times_are_refused_by_maps(name):
    table = oscillator()
    table.time[20:] += 0.1
    with pytest.raises(ct.DataError, match=f"model {name}: a map.*index 20 .*1.4 of the usual step.*sparse-law"):
        ct.reconstruct(table, models=["neural", name], progress=False)


@pytest.mark.parametrize("name", CLOSED)
def test_too_little_for_a_candidate_is_refused(name):
    table = oscillator(300)
    wide = np.random.default_rng(0).normal(size=(24, 30))
    wide = Table(table.time[:24], wide, tuple(f"y{i}" for i in range(30)), "t", "", "", "wide")
    recipe = dataclasses.replace(TOY, members=1)
    with pytest.raises(ct.DataError, match=f"model {name}: 19 rows of 30 channels to train on are fewer than the"):
        ct.reconstruct(wide, models=[name], recipe=recipe, progress=False)


def test_many_trials_of_a_map(few):
    """Whole trials are held out, and a state is heard in each."""
    ts, rng = 0.25 * np.arange(40), np.random.default_rng(0)
    tables = []
    for i, phase in enumerate(rng.uniform(0, 6, 5)):
        z = np.exp((-0.01 + 1.0j) * ts + 1j * phase)
        tables.append(Table(ts, np.stack([z.real, z.imag], 1), ("x", "y"), "t", "", "", f"trial {i}"))
    trials = ct.data.Trials(tuple("abcde"), tuple(tables))
    result = ct.reconstruct(trials, models=["nvar"], recipe=TOY, progress=False)
    assert result.fitted["nvar"].scores["nrmse"].value < 0.1
    assert result.fitted["nvar"].trained.ends[1].shape == (2, 5, 0, 0)
