"""Sparse laws: the terms, the rounds of thresholding, and laws found from slopes, integrals and resampled rows."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

LAW = {"x": {"x": -10, "y": 10}, "y": {"x": 28, "y": -1, "x z": -1}, "z": {"z": -8 / 3, "x y": 1}}
REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "pysindy_stlsq.json").read_text())
LORENZ = jax.vmap(lambda y: ct.systems.Lorenz63()(0.0, y, None))


def rows() -> tuple:
    """Points that lie about Lorenz' attractor, and slopes with an error."""
    i = np.arange(200.0)
    z = np.stack([15 * np.sin(0.37 * i), 20 * np.sin(0.53 * i + 1), 25 + 10 * np.sin(0.71 * i + 2)], axis=1)
    return z, np.asarray(LORENZ(jnp.asarray(z))), 4 * np.sin(i[:, None] ** 2 * np.array([1.0, 2.0, 3.0]))


@pytest.fixture(scope="module")
def orbit():
    """Of Lorenz' system, on the attractor."""
    start = jnp.array([1.0, 2.0, 20.0])
    return np.asarray(ct.systems.simulate(ct.systems.Lorenz63(), start, dt=0.01, steps=600, transient=100))


def found(field) -> dict:
    """Channel -> term -> coefficient."""
    terms = field.library.names(["x", "y", "z"])
    table = np.where(field.active, field.coefficients, 0)
    return {c: {t: v for t, v in zip(terms, row, strict=True) if v} for c, row in zip("xyz", table, strict=True)}


def check(field, within, relative) -> None:
    got = found(field)
    assert {c: set(row) for c, row in got.items()} == {c: set(row) for c, row in LAW.items()}
    for channel, row in LAW.items():
        for term, value in row.items():
            np.testing.assert_allclose(got[channel][term], value, **within(relative), err_msg=f"{channel}': {term}")


def test_terms_are_products_and_waves_and_have_names(tolerance):
    library, x = ct.fields.Library(2, degree=3, waves=2), np.array([0.3, -1.2])
    names = library.names(["a", "b"])
    values = dict(a=x[0], b=x[1], sin=np.sin, cos=np.cos)
    python = lambda name: name.replace("^", "**").replace("2 a", "2*a").replace("2 b", "2*b").replace(" ", "*")
    wanted = [eval(python(name), {}, values) for name in names]
    assert library.size == len(names) == 10 + 8 and {"1", "a^2 b", "sin(2 b)"} <= set(names)
    np.testing.assert_allclose(library(jnp.asarray(x)), wanted, **tolerance())


@pytest.mark.only("float64")
@pytest.mark.parametrize("setting", [name for name in REFERENCE if name != "source"])
def test_thresholding_goes_as_in_pysindy(setting, within):
    z, slopes, error = rows()
    threshold, penalty = map(float, setting.split())
    features = jax.vmap(ct.fields.Library(3))(jnp.asarray(z))
    fit = ct.regression.stlsq(features, jnp.asarray(slopes + error), threshold=threshold, penalty=penalty)
    np.testing.assert_allclose(fit.coefficients, REFERENCE[setting], **within(1e-7, 1e-9))
    np.testing.assert_array_equal(fit.active, np.asarray(REFERENCE[setting]) != 0)


def test_elimination_knows_no_units_and_keeps_what_is_missed(tolerance):
    """Of eight features that depend on one another, three; rows without weight are not looked at."""
    rng = np.random.default_rng(4)
    X = rng.normal(size=(60, 8)) @ (np.eye(8) + 0.3 * rng.normal(size=(8, 8)))
    W = np.zeros((8, 2))
    W[[1, 4, 6], 0], W[[0], 1] = [1, -2, 0.5], [3]
    Y, weights = X @ W + 0.01 * rng.normal(size=(60, 2)), (np.arange(60) < 50).astype(float)
    Y[50:] = np.nan
    units = 10.0 ** np.arange(-3, 5)
    fit = jax.jit(lambda X, Y, w: ct.regression.stepwise(X, Y, weights=w))
    one, other = (fit(*map(jnp.asarray, (X * scale, Y, weights))) for scale in (1.0, units))
    np.testing.assert_array_equal(one.active, W != 0)
    np.testing.assert_array_equal(other.active, W != 0)
    kept = X[:50][:, [1, 4, 6]]
    wanted = np.linalg.lstsq(kept, Y[:50, 0], rcond=None)[0]
    np.testing.assert_allclose(one.coefficients[:, 0][np.array([1, 4, 6])], wanted, **tolerance(10))
    np.testing.assert_allclose(other.coefficients * units[:, None], one.coefficients, **tolerance(100))


@pytest.mark.only("float64")
@pytest.mark.parametrize("threshold", [None, 0.1])
def test_exact_slopes_give_the_law_in_words(threshold):
    z, slopes, _ = rows()
    series = ct.Series.from_nan(np.cumsum(1 + np.arange(200) % 3), np.where(np.arange(200)[:, None] == 7, np.nan, z))
    model, fit = ct.regression.sparse_law(series, slopes=jnp.asarray(slopes), threshold=threshold)
    assert model.field.formula(["x", "y", "z"]) == "x' = -10 x + 10 y\ny' = 28 x - 1 y - 1 x z\nz' = -2.667 z + 1 x y"
    assert fit.rows == 199 and np.max(fit.error) < 1e-10


def test_the_weak_form_finds_the_law_of_an_orbit_seen_at_irregular_times(orbit, within):
    """Of whose rows some have something missing: their windows are left out."""
    kept = np.flatnonzero(np.random.default_rng(0).random(600) < 0.9)
    ys = orbit[kept]
    ys[100, 1] = np.nan
    model, fit = ct.regression.sparse_law(ct.Series.from_nan(0.01 * kept, ys))
    check(model.field, within, 0.05)
    windows = len(range(0, len(kept) - 19, 2))
    assert windows - 10 == fit.rows


@pytest.mark.only("float32")
def test_resampled_rows_say_how_sure_a_term_is(orbit, within):
    """Under noise of five per cent, without units: what belongs to the law is in nearly all samples."""
    rng = np.random.default_rng(1)
    ys = orbit + 0.05 * np.std(orbit, axis=0) * rng.normal(size=orbit.shape)
    series = ct.Series.from_nan(0.01 * np.arange(600), ys)
    model, fit = ct.regression.sparse_law(series, bags=10, key=jax.random.key(0))
    terms = model.field.library.names(["x", "y", "z"])
    for i, row in enumerate(LAW.values()):
        sure = dict(zip(terms, np.asarray(fit.inclusion)[i], strict=True))
        assert all(sure[term] >= 0.9 for term in row if term != "y"), sure


@pytest.mark.only("float32")
def test_slopes_by_a_smoother_come_near_the_law(within):
    """Of a swing that fades, two trials with noise."""
    ts = 0.1 * np.arange(80)
    swing = lambda phase: np.exp(-0.1 * ts)[:, None] * np.stack([np.cos(ts + phase), -np.sin(ts + phase)], axis=1)
    rng = np.random.default_rng(2)
    many = [ct.Series.from_nan(ts, swing(phase) + 0.005 * rng.normal(size=(80, 2))) for phase in (0.0, 2.0)]
    model, fit = ct.regression.sparse_law(many, degree=1, method="smooth", threshold=0.05)
    np.testing.assert_allclose(model.field.coefficients, [[0, -0.1, 1], [0, -1, -0.1]], **within(absolute=0.1))
    assert np.max(fit.error) < 0.2


def test_what_is_zero_stays_so_in_training_and_inputs_are_terms():
    """The field of a law under an input, by the gradient of its coefficients."""
    ts = 0.1 * np.arange(60)
    us = np.sin(1.7 * ts) + np.cos(0.4 * ts)
    ys = np.cumsum(0.1 * us)[:, None] * 0 + (-np.cos(1.7 * ts) / 1.7 + np.sin(0.4 * ts) / 0.4)[:, None]
    series, control = ct.Series.from_nan(ts, ys), ct.Series.from_nan(ts, us[:, None])
    model, _ = ct.regression.sparse_law(series, control, degree=1, slopes=jnp.asarray(us[:, None]))
    assert model.field.formula(["y"], ["u"]) == "y' = 1 u"
    path = ct.paths.LinearPath.from_series(control)
    slope = eqx.filter_grad(lambda f: f(jnp.asarray(1.0), jnp.ones(1), path)[0])(model.field).coefficients
    assert np.count_nonzero(slope) == 1


BAD = {
    "a method of another name": (dict(method="derivative"), "method='derivative': must be one of"),
    "bags without a key": (dict(bags=3), "key: None is no key"),
    "windows longer than the series": (dict(width=100), "width=100: the series has 30 rows"),
    "fewer rows than terms": (dict(degree=6), "series: 6 usable rows: a library of 28 terms"),
    "slopes of another shape": (dict(slopes=jnp.ones((29, 2))), r"slopes\[0\]: shape \(29, 2\)"),
}


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_fitted_is_refused_with_a_remedy(name):
    kwargs, message = BAD[name]
    series = ct.Series.from_nan(np.arange(30.0), np.random.default_rng(0).normal(size=(30, 2)))
    with pytest.raises((ValueError, TypeError), match=message):
        ct.regression.sparse_law(series, **kwargs)
