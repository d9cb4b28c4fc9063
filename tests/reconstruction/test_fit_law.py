"""Parameters of a law: against straight lines, whose least squares and intervals are known in closed form, and against
laws that were simulated."""

from typing import Annotated

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.stats

import ctmodels as ct
from ctmodels.fields import Law, PositiveFloat
from ctmodels.reconstruction import fit_law


def rise(t, y, *, rate: Annotated[float, "mm/s"] = 0.3):
    return jnp.full_like(y, rate)


def lines(lengths=(9, 14, 6), noise=0.2, seed=0):
    """Trials that rise alike, each from a start of its own; a value is missing."""
    rng = np.random.default_rng(seed)
    trials = []
    for n in lengths:
        ts = np.sort(rng.uniform(0, 3, n))
        ys = rng.normal() + 1.5 * ts + noise * rng.normal(size=n)
        ys[n // 2] = np.nan
        trials.append((ts, ys))
    return trials


def as_series(trials):
    return [ct.Series.from_nan(ts, ys[:, None]) for ts, ys in trials]


def by_regression(trials, level=0.9):
    """Slope, standard error, interval and noise: a line with an intercept for each trial."""
    seen = [(ts[~np.isnan(ys)], ys[~np.isnan(ys)]) for ts, ys in trials]
    x = np.concatenate([ts - ts.mean() for ts, _ in seen])
    y = np.concatenate([ys - ys.mean() for _, ys in seen])
    slope, dof = x @ y / (x @ x), len(x) - len(trials) - 1
    noise = np.sqrt(np.sum((y - slope * x) ** 2) / dof)
    error = noise / np.sqrt(x @ x)
    half = scipy.stats.t.ppf(0.5 + level / 2, dof) * error
    return slope, error, (slope - half, slope + half), noise


@pytest.fixture(scope="module")
def fitted():
    return fit_law(rise, as_series(lines()), seed=1)


def test_a_line_has_the_estimate_and_interval_of_regression(fitted, within):
    slope, error, interval, noise = by_regression(lines())
    (rate,) = fitted.parameters.table
    np.testing.assert_allclose(rate.value, slope, **within(1e-4))
    np.testing.assert_allclose([rate.error, *fitted.noise], [error, noise], **within(1e-3))
    np.testing.assert_allclose((rate.lower, rate.upper), interval, **within(1e-3))
    assert rate.unit == "mm/s" and fitted.window is None and fitted.parameters.flat == ()
    np.testing.assert_allclose(fitted.law.parameters["rate"], rate.value, **within(1e-6))


def test_fitted_lines_go_through_the_trials_means(fitted, within):
    for (_, ys), line, start in zip(lines(), fitted.fitted, fitted.starts, strict=True):
        assert line.shape == (len(ys), 1)
        np.testing.assert_allclose(np.mean(line[~np.isnan(ys)]), np.nanmean(ys), **within(absolute=1e-3))
        np.testing.assert_allclose(line[0], start, **within(absolute=1e-5))


def test_the_table_reads_as_one(fitted):
    head, row = repr(fitted.parameters).splitlines()
    assert head.split() == ["value", "error", "90", "%", "interval", "unit"]
    assert row.startswith("rate") and " to " in row
    with pytest.raises(KeyError, match="there are rate"):
        fitted.parameters["speed"]


LONG = 0.05 * np.arange(400)


@pytest.mark.only("float64")
def test_residuals_with_a_memory_widen_the_interval(within):
    rng = np.random.default_rng(0)
    noise = scipy.signal.lfilter([1], [1, -0.5], rng.normal(size=400))[:, None]
    ts = LONG
    found = fit_law(rise, ct.Series.from_nan(ts, 1.5 * ts[:, None] + noise)).parameters
    slope, error, *_ = by_regression([(ts, 1.5 * ts + noise[:, 0])])
    np.testing.assert_allclose(found["rate"].value, slope, **within(1e-6))
    assert any("widened for it" in note for note in found.notes)
    # Of so much memory, the variance of a slow average is (1 + r) / (1 - r) times as large.
    np.testing.assert_allclose(found["rate"].error, np.sqrt(3) * error, **within(0.3))


@pytest.mark.only("float64")
def test_a_law_that_holds_for_short_spans_alone_is_fitted_to_those(within):
    """A line, until something strikes it."""
    struck = 1.5 * LONG + 20 * (LONG >= LONG[256])
    found = fit_law(rise, ct.Series.from_nan(LONG, struck[:, None]))
    assert found.window == 256
    assert "over 256 rows at a time" in repr(found) and "not over twice as many" in repr(found)
    np.testing.assert_allclose(found.parameters["rate"].value, 1.5, **within(1e-6))


def swing(t, y, *, damping: PositiveFloat = 0.6, stiffness=5.0):
    angle, velocity = y
    return [velocity, -damping * velocity - stiffness * jnp.sin(angle)]


def swings(trials=30, samples=24, noise=0.1, seed=3):
    """Angles alone of a pendulum of damping 0.3 and stiffness 9."""
    rng = np.random.default_rng(seed)
    starts = jnp.asarray(rng.uniform(-1.5, 1.5, (trials, 2)), float)
    law = Law(swing, {"damping": 0.3, "stiffness": 9.0})
    clean = np.stack([ct.systems.simulate(law, start, dt=0.1, steps=samples)[:, :1] for start in starts])
    noisy = clean + noise * rng.normal(size=clean.shape)
    return [ct.Series.from_nan(0.1 * np.arange(samples), one) for one in noisy]


@pytest.mark.only("float32")
def test_a_pendulum_seen_by_its_angle_has_its_parameters_back():
    """30 short noisy trials, of which the velocity was not observed."""
    found = fit_law(swing, swings())
    for name, true in (("damping", 0.3), ("stiffness", 9.0)):
        parameter = found.parameters[name]
        assert abs(parameter.value / true - 1) < 0.05, parameter
        assert parameter.holds(true), parameter
    assert found.starts.shape == (30, 2) and 0.08 < found.noise[0] < 0.12


def pulled(t, y, *, mass=1.0, spring=1.5, friction=0.3, colour=1.0):
    return [-spring / mass * y[0] + friction]


@pytest.mark.only("float64")
def test_what_is_not_determined_is_said_and_has_no_interval(within):
    rng = np.random.default_rng(0)
    ts = np.linspace(0, 3, 30)
    ys = 0.2 + np.exp(-2 * ts) + 0.01 * rng.normal(size=30)
    found = fit_law(pulled, ct.Series.from_nan(ts, ys[:, None])).parameters
    assert [found[name].error for name in ("mass", "spring", "colour")] == [None] * 3
    np.testing.assert_allclose(found["spring"].value / found["mass"].value, 2, **within(0.1))
    assert found["friction"].holds(0.4) and not found["mass"].holds(1.0)
    text = repr(found)
    assert "mass +1 % with spring +1 % changes nothing" in text and "only mass / spring matters" in text
    assert "do not determine colour: it changes nothing" in text and "not determined" in text
    assert np.isnan(found.correlation[0]).all() and np.isfinite(found.correlation[2, 2])


def heated(t, y, u, *, loss: PositiveFloat = 1.0, gain=1.0):
    return [-loss * y[0] + gain * u[0]]


@pytest.mark.only("float64")
def test_a_driven_law_sees_its_input_in_the_users_units(within):
    ts = np.linspace(0, 8, 30)  # as many as above
    exact = 6 + 3 * ts + 2 * np.exp(-0.5 * ts)  # of y' = -y/2 + 0.3 (20 + 5 t)
    data = ct.Series.from_nan(ts, exact[:, None])
    found = fit_law(heated, data, controls=ct.Series.from_nan(ts, 20 + 5 * ts[:, None])).parameters
    np.testing.assert_allclose((found["loss"].value, found["gain"].value), (0.5, 0.3), **within(1e-4))


def two_or_more(t, y, *, a=1.0):
    return jnp.stack([y[0], y[0], y[0]])


def plain_math(t, y, *, a=1.0):
    import math

    return [a * math.sin(y[0])]


def branches(t, y, *, a=1.0):
    return [a * y[0] if y[0] > 0 else y[0]]


def without_guess(t, y, *, a):
    return [a * y[0]]


def before_the_star(t, y, a=1.0):
    return [a * y[0]]


def of_one(t, *, a=1.0):
    return [a]


def misspelt(t, y, *, a=1.0):
    return [a * jnp.snh(y[0])]


def nothing_to_find(t, y):
    return [-y[0]]


def bursts(t, y, *, a=1.0):
    return [a / (y[0] - y[0])]


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    ("law", "more", "said"),
    [
        (two_or_more, {"states": 2}, r"no law of 2 states.*slopes of shape \(3,\)"),
        (plain_math, {}, r"by jax.numpy \(jnp.sin"),
        (branches, {}, "by jnp.where"),
        (without_guess, {}, "parameter a has no first guess; give one, as a=1.0"),
        (before_the_star, {}, r"`a` stands before the `\*`"),
        (of_one, {}, r"takes \(t\) before its parameters"),
        (misspelt, {}, "fails when it is called: AttributeError.*snh"),
        (nothing_to_find, {}, "no parameters to estimate"),
        (heated, {}, "the data have no inputs: leave out u"),
        (rise, {"level": 90}, "level=90: a share between 0 and 1"),
        (bursts, {}, r"not finite within 8 rows.*\(a=1\)"),
    ],
    ids=lambda x: getattr(x, "__name__", ""),
)
def test_what_cannot_be_a_law_is_refused(law, more, said):
    data = ct.Series.from_nan(np.linspace(0, 1, 8), np.linspace(1, 3, 8)[:, None])
    with pytest.raises(ct.DataError, match=said):
        fit_law(law, data, **more)


@pytest.mark.only("float32")
def test_data_that_are_no_trials_are_refused():
    two = [ct.Series.from_nan(np.arange(4.0), np.random.default_rng(0).normal(size=(4, c))) for c in (1, 2)]
    with pytest.raises(ct.DataError, match=r"trials of \[1, 2\] channels"):
        fit_law(rise, two)
    with pytest.raises(TypeError, match="data: an array"):
        fit_law(rise, np.zeros((4, 1)))
    with pytest.raises(ct.DataError, match="controls: 1 series, where there are 2"):
        fit_law(rise, [two[0], two[0]], controls=[two[0]])


@pytest.mark.only("float32")
def test_a_law_is_a_field_whose_leaves_are_its_parameters(tolerance):
    law = Law(swing, {"stiffness": 4.0})
    assert set(law.parameters) == {"damping", "stiffness"} and law.positive == ("damping",)
    y = jnp.array([0.5, 1.0])
    np.testing.assert_allclose(law(0.0, y, None), [1.0, -0.6 - 4 * np.sin(0.5)], **tolerance())
    with pytest.raises(ct.DataError, match="no parameter 'mass': there are damping, stiffness"):
        Law(swing, {"mass": 1.0})
    with pytest.raises(ct.DataError, match="damping is positive, and its first guess is -1"):
        Law(swing, {"damping": -1.0})


class Decay(eqx.Module):
    rate: float = 0.7

    def __call__(self, t, y, args):
        return -self.rate * y


@pytest.mark.only("float32")
def test_a_module_is_a_law_of_its_scalar_leaves(tolerance):
    law = Law(Decay())
    assert law.names == ("rate",) and law.name == "Decay"
    np.testing.assert_allclose(law(0.0, jnp.array([2.0]), None), [-1.4], **tolerance())
