"""Intervals and profiles: against straight lines, of which both are known in closed form, and one against another."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.signal
import scipy.stats

import ctmodels as ct
from ctmodels.fields import PositiveFloat
from ctmodels.reconstruction import fit_law
from ctmodels.uncertainty import intervals, profile


def rise(t, y, *, rate=0.3):
    return jnp.full_like(y, rate)


def lines(lengths=(9, 14, 6, 8, 10), noise=0.2, rates=0.0, seed=0):
    """Trials that rise alike, or by rates that differ, each from a start of its own."""
    rng = np.random.default_rng(seed)
    trials = []
    for n in lengths:
        ts = np.sort(rng.uniform(0, 3, n))
        ys = rng.normal() + (1.5 + rates * rng.normal()) * ts + noise * rng.normal(size=n)
        ys[n // 2] = np.nan
        trials.append(ct.Series.from_nan(ts, ys[:, None]))
    return trials


@pytest.fixture(scope="module")
def straight():
    return fit_law(rise, lines())


def width(parameters, name="rate"):
    return parameters[name].upper - parameters[name].lower


@pytest.mark.parametrize("method", ["bootstrap", "blocks"])
def test_of_white_noise_the_bootstraps_agree_with_laplace(method, straight, within):
    found, drawn = intervals(straight)["rate"], intervals(straight, method)["rate"]
    assert found == straight.parameters["rate"]
    assert drawn.value == found.value
    np.testing.assert_allclose(drawn.error, found.error, **within(0.2))
    np.testing.assert_allclose((drawn.lower, drawn.upper), (found.lower, found.upper), **within(0.015))


@pytest.mark.only("float32")
def test_draws_are_those_of_their_seed(straight):
    one, same, other = (intervals(straight, "bootstrap", draws=24, seed=seed)["rate"] for seed in (0, 0, 1))
    assert one == same and one != other
    wide = intervals(straight, "bootstrap", level=0.99)
    assert width(wide) > 1.2 * width(intervals(straight, "bootstrap")) and wide.level == 0.99


@pytest.mark.only("float32")
def test_other_guesses_tell_nothing_of_the_data(straight):
    """All members see the same noise."""
    ensemble = intervals(straight, "ensemble", draws=3)
    assert width(ensemble) < 0.05 * width(straight.parameters)
    assert "not the parameters" in repr(ensemble)


@pytest.mark.only("float32")
def test_trials_that_differ_are_seen_by_drawing_trials(within):
    fit = fit_law(rise, lines((10,) * 25, noise=0.05, rates=0.3))
    drawn = intervals(fit, "trials")["rate"]
    # Of rates that differ by 0.3 the mean of 25, of which each weighs as its times are spread.
    weight = np.array([np.sum((t.ts - np.mean(t.ts)) ** 2) for t in lines((10,) * 25)])
    expected = 0.3 * np.sqrt(np.sum(weight**2)) / np.sum(weight)
    np.testing.assert_allclose(drawn.error, expected, **within(0.35))
    assert drawn.holds(1.5) and drawn.error > 3 * intervals(fit, "bootstrap")["rate"].error / 2


@pytest.mark.only("float64")
def test_blocks_and_profiles_allow_for_a_memory(within):
    rng = np.random.default_rng(0)
    ts = 0.05 * np.arange(400)
    noise = scipy.signal.lfilter([1], [1, -0.7], rng.normal(size=400))
    fit = fit_law(rise, ct.Series.from_nan(ts, (1.5 * ts + noise)[:, None]))
    of = {method: intervals(fit, method) for method in ("laplace", "bootstrap", "blocks")}
    laplace, white, blocks = (found["rate"].error for found in of.values())
    assert "too narrow for these data" in repr(of["bootstrap"]) and "in blocks of" in repr(of["blocks"])
    # Of so much memory the variance of a slow average is (1 + r) / (1 - r) times as large.
    np.testing.assert_allclose(laplace / white, np.sqrt(1.7 / 0.3), **within(0.35))
    np.testing.assert_allclose(blocks / laplace, 1, **within(0.25))
    found = profile(fit, "rate")
    np.testing.assert_allclose((found.lower, found.upper), _ends(fit.parameters["rate"]), **within(1e-3))
    assert "widened for it" in repr(found)


def _ends(parameter):
    return parameter.lower, parameter.upper


def test_the_profile_of_a_line_is_a_parabola_with_the_interval_of_regression(straight, within):
    found = profile(straight, "rate")
    rate = straight.parameters["rate"]
    np.testing.assert_allclose((found.lower, found.upper), _ends(rate), **within(1e-3))
    np.testing.assert_allclose(found.ratio, ((found.values - rate.value) / rate.error) ** 2, **within(0.01, 0.02))
    np.testing.assert_allclose(found.limit, scipy.stats.t.ppf(0.95, 47 - 5 - 5 - 1) ** 2, **within(1e-6))
    assert found.holds(rate.value) and not found.holds(2.0)
    assert repr(found) == f"rate = {rate.value:.4g}, at 90 % from {found.lower:.4g} to {found.upper:.4g}"


def settle(t, y, *, rate: PositiveFloat = 2.0, level=1.0):
    return [rate * (level - y[0])]


@pytest.fixture(scope="module")
def settled():
    """Seen at its start, and then where it rests: how fast it went there is not known, but that it was fast."""
    ts = np.array([0.0, *np.linspace(1, 2, 11)])
    ys = np.where(ts > 0, 3.0, 0.0) + 0.05 * np.random.default_rng(1).normal(size=12)
    return fit_law(settle, ct.Series.from_nan(ts, ys[:, None]))


@pytest.mark.only("float64")
def test_what_is_only_known_to_be_large_has_a_lower_end_alone(settled):
    found = profile(settled, "rate")
    assert found.upper is None and 2 < found.lower < 6
    assert "at least" in repr(found) and found.holds(1e6) and not found.holds(1.0)
    shade = found.plot().patches[0].get_extents().transformed(found.plot().transData.inverted())
    assert shade.x0 == pytest.approx(found.lower) and shade.x1 == pytest.approx(found.values[-1])  # to the edge


@pytest.mark.only("float64")
def test_the_others_are_found_anew(settled, within):
    """Of the level all but the rate's doubt is that of a mean of eleven values."""
    found = profile(settled, "level")
    np.testing.assert_allclose(found.upper - found.lower, 2 * 1.86 * 0.05 / np.sqrt(11), **within(0.5))


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda fit: intervals(fit, "bayes"), "method='bayes': one of laplace, bootstrap, blocks, trials, ensemble"),
        (lambda fit: intervals(fit, level=90), "level=90: a share"),
        (lambda fit: intervals(fit, "blocks", draws=5), "draws=5: a whole number of at least 20"),
        (lambda fit: intervals(fit, seed=-1), "seed=-1"),
        (lambda fit: profile(fit, "speed"), "name='speed': no parameter of rise: there are rate"),
        (lambda fit: profile(fit, "rate", level=0), "level=0"),
        (lambda fit: intervals(fit_law(rise, lines((6, 7))), "trials"), "'trials': 2 trials.*5 at least.*'blocks'"),
    ],
)
def test_what_is_refused(call, said, straight):
    with pytest.raises(ct.DataError, match=said):
        call(straight)


@pytest.mark.only("float32")
def test_a_fit_is_wanted():
    for call in (lambda: intervals(rise), lambda: profile(rise, "rate")):
        with pytest.raises(TypeError, match="fit: the function rise.*fit_law returns"):
            call()
