"""Delay vectors, and how they are chosen: of a circle, an attractor, noise, and records with holes."""

import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels import embedding

PERIOD = 40.37  # rows: of a sine that never meets its own values again
LORENZ_DT = 0.02


def series(ys, dt=1.0, ts=None):
    ys = np.reshape(ys, (len(ys), -1))
    return ct.Series.from_nan(np.arange(len(ys)) * dt if ts is None else ts, ys)


def sine(n=1500):
    return series(np.sin(2 * np.pi * np.arange(n) / PERIOD))


@pytest.fixture(scope="module")
def lorenz():
    y0 = jnp.array([1.0, 1.0, 20.0])
    return np.asarray(ct.systems.simulate(ct.systems.Lorenz63(), y0, dt=LORENZ_DT, steps=5000, transient=500))


@pytest.mark.only("float64")
def test_a_sine_is_a_circle():
    delay = embedding.choose_delay(sine())
    assert delay.delay == round(PERIOD / 4) and "first minimum" in delay.rule
    assert delay.information.shape == delay.correlation.shape == delay.lags.shape
    chosen = embedding.choose_dimension(sine(), delay.delay, most=3)
    assert chosen.dimension == 2 and chosen.false[0] > 0.5 and chosen.false[1] == 0
    zs = np.asarray(embedding.embed(sine(), delay.delay, 2).ys)
    assert np.abs(np.hypot(*zs.T) - 1).max() < 0.05


@pytest.mark.only("float64")
def test_lorenz_seen_through_x_alone(lorenz):
    seen = series(lorenz[:, 0], LORENZ_DT)
    delay = embedding.choose_delay(seen)
    assert 0.1 <= delay.delay * LORENZ_DT <= 0.2 and "first minimum" in delay.rule
    chosen = embedding.choose_dimension(seen, delay.delay, most=4)
    assert chosen.dimension == 3 and "dimension 3" in chosen.rule
    # The same of one record in three pieces, as a list of trials.
    trials = [seen[:1700], seen[1700:3400], seen[3400:]]
    assert abs(embedding.choose_delay(trials).delay - delay.delay) <= 1


@pytest.mark.only("float64")
def test_noise_has_neither_and_says_so():
    noise = series(np.random.default_rng(0).normal(size=1500))
    delay = embedding.choose_delay(noise)
    assert delay.delay == 1 and "no minimum" in delay.rule and "1/e" in delay.rule
    chosen = embedding.choose_dimension(noise, 1)
    assert chosen.dimension is None and "no dimension" in chosen.rule and chosen.false.min() > 0.1


@pytest.mark.only("float64")
def test_information_of_correlated_gaussians_is_the_known_one(within):
    rng, n, r = np.random.default_rng(0), 5000, 0.8
    pairs = rng.multivariate_normal([0, 0], [[1, r], [r, 1]], size=n)
    ts = (np.arange(n)[:, None] * 10 + np.array([0, 1])).ravel()  # a pause after each pair
    gaps = series(pairs.ravel(), ts=ts)
    # The kernel adds its own variance, and the median spacing is that within a pair.
    width = 0.15
    blurred = r / (1 + width**2)
    information = embedding.mutual_information(gaps, [1], width=width)
    np.testing.assert_allclose(information, -0.5 * np.log(1 - blurred**2), **within(0.05))


def test_vectors_hold_what_the_series_held_and_reach_over_no_pause():
    ts = np.concatenate([np.arange(10), 20 + np.arange(8), 40 + np.arange(3)]) * 0.5
    ys = np.stack([np.arange(21.0), 100 + np.arange(21.0)], axis=1)
    ys[4, 1] = np.nan
    given = series(ys, ts=ts)
    out = embedding.embed(given, 2, 3)
    rows = np.r_[4:10, 14:18]
    assert out.ys.dtype == given.ys.dtype and np.array_equal(out.ts, np.asarray(given.ts)[rows])
    want = np.concatenate([ys[rows], ys[rows - 2], ys[rows - 4]], axis=1)
    assert np.array_equal(out.to_nan(), want, equal_nan=True) and not out.mask.all()
    assert np.array_equal(embedding.observed(out.ys, 2), out.ys[:, :2])
    # Rows that pad a batch are no rows.
    assert embedding.embed(given.pad(40), 2, 3).ys.shape == out.ys.shape


@pytest.mark.only("float64")
@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: embedding.embed(sine(30), 29, 2), "delay=29 and dimension=2: a vector spans 30 rows"),
        (lambda: embedding.embed(sine(30), 5, 7), "give a shorter delay, a smaller dimension"),
        (lambda: embedding.embed(sine(30), 0, 2), "delay=0: a whole number of at least 1"),
        (lambda: embedding.embed(sine(30), 2, 1.5), "dimension=1.5: a whole number"),
        (lambda: embedding.embed(np.ones(5), 1, 2), "ct.Series.from_nan"),
        (lambda: embedding.embed(series(np.arange(9.0), ts=[0, 1, 2, 3, 4.3, 5, 6, 7, 8]), 1, 2), "resample"),
        (lambda: embedding.choose_delay(sine(60), most=50), "most=50: the longest piece"),
        (lambda: embedding.choose_delay(sine(), channel=1), "channel=1: a whole number from 0 to 0"),
        (lambda: embedding.choose_delay(sine(), width=-1.0), "width=-1"),
        (lambda: embedding.false_neighbours(sine(60), 10, [5]), "delay=10, dimension 5: 10 vectors"),
        (lambda: embedding.choose_dimension(sine(), 5, few=2.0), "few=2: a fraction"),
        (lambda: embedding.mutual_information(sine(60), [55]), "55 rows leave 5 pairs"),
    ],
)
def test_what_cannot_be_embedded_is_refused_with_a_remedy(call, message):
    with pytest.raises((ValueError, TypeError), match=message):
        call()
