"""Series, Scaling and paths: what comes in, in which units, and what is refused."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, strategies as st

import ctmodels as ct

TS = np.array([0.0, 0.5, 2.0, 2.25])
YS = np.array([[np.nan, 1.0], [2.0, np.nan], [3.0, 5.0], [np.nan, 7.0]])


def test_nan_becomes_mask_and_never_lives_inside():
    s = ct.Series.from_nan(TS, YS)
    assert np.isfinite(s.ys).all() and not s.mask[0, 0] and s.mask[0, 1]
    np.testing.assert_array_equal(s.to_nan(), YS.astype(s.ys.dtype))


def test_fill_forward():
    filled = ct.Series.from_nan(TS, YS).fill_forward()
    np.testing.assert_array_equal(filled, [[2, 1], [2, 1], [3, 5], [3, 7]])


def test_a_path_is_finite_before_the_first_and_after_the_last_observation():
    series = ct.Series.from_nan(TS, np.array([[np.nan], [2.0], [3.0], [np.nan]])).pad(6)
    path = ct.paths.LinearPath.from_series(series)
    t = jnp.array([-1.0, 0.0, 0.25, 2.25, 9.0])
    np.testing.assert_array_equal(jax.vmap(path)(t)[:, 0], [2, 2, 2, 3, 3])
    assert np.isfinite(jax.vmap(jax.grad(lambda t: path(t)[0]))(t)).all()


def test_a_batch_of_none_is_refused_and_one_is_a_batch():
    with pytest.raises(ValueError, match="at least one"):
        ct.collate([])
    assert ct.collate([ct.Series.from_nan(TS, YS)]).ys.shape == (1, 4, 2)


def test_a_batch_is_the_same_inside_compiled_code():
    parts = [ct.Series.from_nan(TS, YS), ct.Series.from_nan(TS[:3], YS[:3])]
    batch, inside = ct.collate(parts), jax.jit(ct.collate)(parts)
    for one, other in zip(jax.tree.leaves(batch), jax.tree.leaves(inside), strict=True):
        assert isinstance(one, jax.Array) and one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


def test_collate_pads_with_unobserved_repeats_of_the_last_time():
    a, b = ct.Series.from_nan(TS, YS), ct.Series.from_nan(TS[:2], YS[2:] * [[1], [2]], constant=True)
    batch = ct.collate([a, b])
    assert batch.ts.shape == (2, 4) and batch.ys.shape == (2, 4, 2)
    np.testing.assert_array_equal(batch.ts[1], [0, 0.5, 0.5, 0.5])
    assert not batch.mask[1, 2:].any()


@pytest.mark.parametrize(
    "ts, ys, words",
    [
        ([0, 2, 1], np.arange(3.0)[:, None], ["ts[2]", "1", "increase"]),
        ([0, 1, 1], np.arange(3.0)[:, None], ["ts[2]", "1"]),
        ([0, np.nan, 1], np.arange(3.0)[:, None], ["ts[1]", "nan"]),
        ([0, 1, np.inf], np.arange(3.0)[:, None], ["ts[2]", "inf"]),
        ([0, 1, 2], np.array([[1.0], [np.inf], [2.0]]), ["ys[1]", "inf"]),
        ([0, 1, 2], np.array([[1.0], [1e39], [2.0]]), ["ys[1]", "1e+39"]),
        ([0, 1, 2], np.full((3, 1), np.nan), ["column '0'"]),
        ([0, 1, 2], np.ones((3, 1)), ["column '0'", "constant"]),
        ([0, 1, 2], np.ones((2, 1)), ["3", "2"]),
        ([0], np.ones((1, 1)), ["1"]),
    ],
)
def test_bad_input_is_refused_with_place_and_value(ts, ys, words):
    with pytest.raises(ct.DataError) as error:
        ct.Series.from_nan(ts, ys)
    for word in words:
        assert word in str(error.value)


def test_a_mask_says_what_is_missing_and_must_not_contradict_nan():
    ts, ys = np.arange(3.0), np.array([[1.0, 5.0], [-1.0, np.nan], [3.0, 4.0]])
    series = ct.Series.from_nan(ts, ys, (ys != -1) & ~np.isnan(ys))
    np.testing.assert_array_equal(series.to_nan(), [[1, 5], [np.nan, np.nan], [3, 4]])
    with pytest.raises(ct.DataError, match=r"mask\[1, 1\] is True where ys\[1, 1\] is NaN.*1 places.*give False there"):
        ct.Series.from_nan(ts, ys, ys != -1)
    for mask in (np.ones((3, 1), bool), np.ones((3, 2))):
        with pytest.raises(ct.DataError, match=r"mask: shape .*True or False for each value, \(3, 2\)"):
            ct.Series.from_nan(ts, ys, mask)


def test_one_record_of_many_may_have_a_single_row():
    series = ct.Series.from_nan([2.0], np.array([[1.0, np.nan]]), one_of_many=True)
    np.testing.assert_array_equal(series.to_nan(), [[1, np.nan]])
    with pytest.raises(ct.DataError, match="1 time"):
        ct.Series.from_nan([2.0], np.array([[1.0]]))
    with pytest.raises(ct.DataError, match="nan"):
        ct.Series.from_nan([np.nan], np.array([[1.0]]), one_of_many=True)


def test_times_that_float32_cannot_tell_apart_are_refused():
    ts = 1.7e9 + 0.01 * np.arange(5)
    ys = np.arange(5.0)[:, None]
    if jax.config.jax_enable_x64:
        assert len(ct.Series.from_nan(ts, ys).ts) == 5
    else:
        with pytest.raises(ct.DataError, match="origin.*x64"):
            ct.Series.from_nan(ts, ys)
    # With the origin taken off there is nothing to refuse.
    assert ct.Scaling.fit(ts, ys).series(ts, ys).ts[0] == 0


@pytest.mark.parametrize("log", [False, True])
def test_scaling_round_trip(log, tolerance):
    rng = np.random.default_rng(0)
    ts, ys = np.sort(rng.uniform(1900, 1950, 40)), np.exp(rng.normal(size=(40, 2)))
    scaling = ct.Scaling.fit(ts, ys, log=log)
    zs = scaling.scale(ys)
    np.testing.assert_allclose([zs.mean(), zs.std()], [0, 1], **tolerance(0.01, float))
    np.testing.assert_allclose(scaling.unscale(zs), ys, **tolerance(0.01, float))
    np.testing.assert_allclose(scaling.unscale_times(scaling.times(ts)), ts, **tolerance(0.01, float))
    np.testing.assert_allclose(scaling.unscale(jnp.asarray(zs)), ys, **tolerance())
    assert ct.Scaling.from_dict(json.loads(json.dumps(scaling.to_dict()))) == scaling


@pytest.mark.parametrize(
    "ts, ys, words",
    [
        ([0.0, 2.0, 1.0], np.arange(3.0)[:, None], "ts\\[2\\].*must increase"),
        ([0.0, 1.0, 2.0], np.ones((2, 3)), "pass ys.T"),
        ([0.0, 1.0, 2.0], np.array([[1.0, np.nan]] * 3), "ys, column 'lynx': all 3 values are missing"),
        ([0.0, 1.0, 2.0], np.array([[1.0, np.inf]] * 3), "column 'lynx': infinite"),
    ],
)
def test_a_scaling_is_not_fitted_to_bad_data(ts, ys, words):
    with pytest.raises(ct.DataError, match=words):
        ct.Scaling.fit(ts, ys, names=["hare", "lynx"][: ys.shape[1]])


def test_noise_over_short_gaps_does_not_set_the_unit_of_time():
    rng = np.random.default_rng(0)
    ts = np.cumsum(rng.exponential(0.1, 800))
    clean = np.sin(ts)[:, None]
    noisy = clean + 0.01 * rng.normal(size=clean.shape)
    assert ct.Scaling.fit(ts, noisy).time_scale == ct.Scaling.fit(ts, clean).time_scale


def test_scaling_refuses_the_logarithm_of_what_is_not_positive():
    with pytest.raises(ct.DataError, match=r"ys\[1, 0\] = -2"):
        ct.Scaling.fit([0, 1], np.array([[1.0], [-2.0]]), log=True)


@given(origin=st.floats(-1e9, 1e9), dt=st.floats(1e-6, 1e6), n=st.integers(3, 3000))
def test_regular_times_are_exact_inside(origin, dt, n):
    # The unit of time is a power of two samples, so that float32 holds every regular time exactly.
    ts = origin + dt * np.arange(n)
    if np.any(np.diff(ts) <= 0) or np.ptp(np.diff(ts)) > 1e-3 * dt:
        return
    scaling = ct.Scaling.fit(ts, np.sin(np.arange(n))[:, None])
    step = np.median(np.diff(ts)) / scaling.time_scale
    assert np.log2(step) == pytest.approx(round(np.log2(step)), abs=1e-9)


def test_linear_path_interpolates_and_holds_at_the_ends(tolerance):
    path = ct.paths.LinearPath(jnp.array([0.0, 1.0, 3.0, 3.0]), jnp.array([[0.0], [2.0], [4.0], [4.0]]))
    t = jnp.array([-1.0, 0.5, 2.0, 3.0, 9.0])
    np.testing.assert_allclose(jax.vmap(path)(t)[:, 0], [0, 1, 3, 4, 4], **tolerance())
    slope = jax.vmap(jax.grad(lambda t: path(t)[0]))(jnp.array([0.5, 2.0, 3.5]))
    np.testing.assert_allclose(slope, [2, 1, 0], **tolerance())
