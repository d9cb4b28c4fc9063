"""Metrics against closed forms, exact exponents, scipy, and their own limits."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from ctmodels import metrics
from ctmodels.metrics._arrays import numbers

pytestmark = pytest.mark.mostly("float64")

close = np.testing.assert_allclose

DTYPES = [jnp.float32] + ([jnp.float64] if jax.config.jax_enable_x64 else [])
DTYPE = DTYPES[-1]
EPS = float(jnp.finfo(DTYPE).eps)
NAN, INF = float("nan"), float("inf")


# One compile per shape, instead of one per operation.
smape = eqx.filter_jit(metrics.smape)
mase = eqx.filter_jit(metrics.mase)
rmse = eqx.filter_jit(metrics.rmse)
nrmse = eqx.filter_jit(metrics.nrmse)
valid_prediction_time = eqx.filter_jit(metrics.valid_prediction_time)
valid_time = eqx.filter_jit(metrics.valid_time)
d_stsp = eqx.filter_jit(metrics.d_stsp)
d_stsp_gmm = eqx.filter_jit(metrics.d_stsp_gmm)
d_hellinger = eqx.filter_jit(metrics.d_hellinger)
power_spectrum = eqx.filter_jit(metrics.power_spectrum)
lyapunov_spectrum = eqx.filter_jit(metrics.lyapunov_spectrum)
lyapunov_spectrum_of_field = eqx.filter_jit(metrics.lyapunov_spectrum_of_field)
kaplan_yorke = eqx.filter_jit(metrics.kaplan_yorke)


def array(values, dtype=DTYPE):
    return jnp.asarray(values, dtype)


def lorenz(t, y, rho):
    x, y, z = y
    return jnp.stack([10 * (y - x), x * (rho - z) - y, x * y - 8 / 3 * z])


@eqx.filter_jit
def lorenz_orbit(y0, steps, dt=0.02, rho=28.0):
    def step(y, _):
        f = lambda y: lorenz(None, y, rho)
        k1 = f(y)
        k2 = f(y + dt / 2 * k1)
        k3 = f(y + dt / 2 * k2)
        y = y + dt / 6 * (k1 + 2 * k2 + 2 * k3 + f(y + dt * k3))
        return y, y

    return jax.lax.scan(step, y0, length=steps)[1]


@pytest.fixture(scope="module")
def orbit():
    return lorenz_orbit(array([1.0, 2.0, 20.0]), 4500)[500:]


#
# Forecast
#


def test_smape_by_hand(tolerance):
    true, predicted = array([1.0, 2.0, 0.0, -3.0]), array([3.0, 2.0, 0.0, 3.0])
    # 2/4, 0/4, 0/0 := 0, 6/6
    close(smape(true, predicted), 200 * (0.5 + 0 + 0 + 1) / 4, **tolerance())
    close(smape(predicted, true), 75.0, **tolerance())


def test_smape_of_an_infinite_forecast_is_its_limit():
    assert smape(array([1.0, 1.0]), array([INF, 1.0])) == 100.0
    assert jnp.isnan(smape(array([1.0, 1.0]), array([NAN, 1.0])))


def test_mase_by_hand(tolerance):
    history = array([[0.0, 0.0], [1.0, 10.0], [3.0, 0.0], [3.0, 10.0]])
    true, predicted = array([[4.0, 0.0], [4.0, 0.0]]), array([[5.0, 5.0], [4.0, 0.0]])
    # Season 1: scales (1+2+0)/3 = 1 and 10; errors 0.5 and 2.5.
    # Season 2: scales (3+2)/2 = 2.5 and 0.
    close(mase(true, predicted, history), (0.5 / 1 + 2.5 / 10) / 2, **tolerance())
    close(mase(true[:, 0], predicted[:, 0], history[:, 0], 2), 0.5 / 2.5, **tolerance())
    assert mase(true, predicted, history, 2) == INF
    close(mase(true, true.at[0, 0].add(1.0), history, 2), 0.5 / 2.5 / 2, **tolerance())  # 0/0 is 0


def test_mase_of_the_naive_forecast_on_the_history_is_one(tolerance):
    history = jr.normal(jr.key(0), (50, 3), DTYPE)
    close(mase(history[4:], history[:-4], history, 4), 1.0, **tolerance())


def test_mase_counts_a_pair_of_the_history_if_both_ends_were_seen(tolerance):
    history, seen = array([0.0, NAN, 3.0, 7.0]), jnp.array([True, False, True, True])
    value = mase(jnp.zeros(2, DTYPE), jnp.ones(2, DTYPE), history, history_mask=seen)
    close(value, 1 / 4, **tolerance())
    one = seen.at[2].set(False)
    assert jnp.isnan(mase(jnp.zeros(2, DTYPE), jnp.ones(2, DTYPE), history, history_mask=one))


@pytest.mark.parametrize("season", [0, 4, 5])
def test_mase_wants_a_season_within_the_history(season):
    with pytest.raises(ValueError, match="season"):
        mase(jnp.ones(3), jnp.ones(3), jnp.ones(4), season)


def test_rmse_pools_and_nrmse_does_not(tolerance):
    true = array([[1.0, 100.0], [-1.0, -100.0]])  # standard deviations 1 and 100
    error = array([[1.0, 50.0], [1.0, 50.0]])
    close(rmse(true, true + error), np.sqrt((1 + 2500) / 2), **tolerance())
    close(nrmse(true, true + error), (1 / 1 + 50 / 100) / 2, **tolerance())
    close(nrmse(true, jnp.zeros_like(true)), 1.0, **tolerance())


def test_nrmse_of_a_constant_truth():
    true = jnp.ones((5, 1), DTYPE)
    assert nrmse(true, true) == 0
    assert nrmse(true, true + 1) == INF


def vpt_case(error):
    ts = array([10.0, 10.5, 11.5, 12.0])
    true = array([[1.0, 1.0], [-1.0, 1.0], [1.0, -1.0], [-1.0, -1.0]])  # <||x - mean||^2> = 2
    return ts, true, true.at[:, 0].add(array(error) * 2**0.5)


@pytest.mark.parametrize(
    "error, expected",
    [
        ([0.0, 0.0, 0.0, 0.0], 2.0),
        ([0.0, 0.39, 0.41, 0.0], 1.5),
        ([0.0, -0.41, 0.0, 0.0], 0.5),
        ([9.0, 0.0, 0.0, 0.0], 0.0),
        ([0.0, 0.0, NAN, 0.0], 1.5),
        ([0.0, INF, 0.0, 0.0], 0.5),
        ([0.0, 0.0, 0.0, -INF], 2.0),
    ],
)
def test_valid_prediction_time_by_hand(error, expected):
    assert valid_prediction_time(*vpt_case(error)) == expected


def test_valid_prediction_time_scale_and_threshold():
    case = vpt_case([0.0, 0.3, 0.6, 9.0])
    root = 2**0.5
    assert valid_prediction_time(*case, scale=root) == 1.5
    assert valid_prediction_time(*case, scale=root / 2) == 0.5
    assert valid_prediction_time(*case, scale=array(2 * root)) == 2.0
    assert valid_prediction_time(*case, threshold=0.29) == 0.5


def test_valid_prediction_time_of_a_truth_at_rest():
    ts, rest = array([0.0, 1.0, 2.0]), jnp.ones((3, 2), DTYPE)
    assert valid_prediction_time(ts, rest, rest) == 2
    assert valid_prediction_time(ts, rest, rest.at[1].add(1e-3)) == 1


def test_valid_prediction_time_with_missing_channels():
    ts, true, predicted = vpt_case([0.0, 0.3, 0.3, 9.0])
    mask = jnp.ones((4, 2), bool)
    # Alone, the erring channel speaks for both: 0.3 * sqrt(2) > 0.4.
    erring = mask.at[1, 1].set(False)
    assert valid_prediction_time(ts, true, predicted, scale=2**0.5, mask=mask) == 2.0
    assert valid_prediction_time(ts, true, predicted, scale=2**0.5, mask=erring) == 0.5
    unseen, gone = mask.at[1].set(False), predicted.at[1].set(NAN)
    assert valid_prediction_time(ts, true, gone, scale=2**0.5, mask=unseen) == 2.0
    assert valid_prediction_time(ts, true, gone, scale=2**0.5, mask=mask) == 0.5
    # A channel that was never seen does not enter the spread.
    one = mask.at[:, 1].set(False)
    assert valid_prediction_time(ts, true, predicted, threshold=0.43, mask=one) == 2.0
    assert valid_prediction_time(ts, true, predicted, threshold=0.42, mask=one) == 0.5


FORECASTS = {
    "smape": smape,
    "mase": lambda true, predicted, mask: mase(true, predicted, true, mask=mask, history_mask=mask),
    "rmse": rmse,
    "nrmse": nrmse,
    "vpt": lambda true, predicted, mask: valid_prediction_time(
        jnp.arange(len(true), dtype=true.dtype), true, predicted, mask=mask
    ),
}


@pytest.mark.parametrize("name", FORECASTS)
def test_forecast_mask(name, tolerance):
    """What is masked may be anything; masking a tail is the same as cutting it; masking matters."""
    metric = jax.jit(FORECASTS[name])
    true = jr.normal(jr.key(1), (20, 2), DTYPE)
    predicted = true + jnp.linspace(0, 1.5, 20, dtype=DTYPE)[:, None]
    mask = jr.bernoulli(jr.key(2), 0.7, (20, 2)).at[12].set(False).at[15:].set(False)
    value = metric(true, predicted, mask)
    hole = lambda x, fill: jnp.where(mask, x, fill)
    assert metric(hole(true, NAN), hole(predicted, INF), mask) == value
    assert metric(hole(true, 1e9), hole(predicted, NAN), mask) == value
    everything = jnp.ones_like(mask)
    assert metric(true, predicted, everything) != value
    close(metric(true, predicted, everything), metric(true, predicted, None), **tolerance())
    short = FORECASTS[name](true[:15], predicted[:15], mask[:15])
    close(value, short, **tolerance())
    # A channel never seen is left out, whatever it holds.
    blind = mask.at[:, 1].set(False)
    alone = FORECASTS[name](true[:, :1], predicted[:, :1], mask[:, :1])
    close(metric(true.at[:, 1].set(NAN), predicted, blind), alone, **tolerance())


@pytest.mark.parametrize("name", ["smape", "mase", "rmse", "nrmse"])
def test_nothing_observed_is_nan_and_an_observed_nan_is_not_forgiven(name):
    true = jr.normal(jr.key(1), (6, 2), DTYPE)
    assert jnp.isnan(FORECASTS[name](true, true, jnp.zeros((6, 2), bool)))
    assert jnp.isnan(FORECASTS[name](true, true.at[3, 1].set(NAN), None))


@pytest.mark.parametrize("name", FORECASTS)
def test_forecast_vmap_equals_loop(name, tolerance):
    true = jr.normal(jr.key(1), (3, 20, 2), DTYPE)
    growth = jnp.linspace(0, 2, 20, dtype=DTYPE)[None, :, None]
    predicted = true + growth * jr.normal(jr.key(2), true.shape, DTYPE)
    mask = jr.bernoulli(jr.key(3), 0.7, true.shape)
    loop = [FORECASTS[name](*one) for one in zip(true, predicted, mask, strict=True)]
    close(jax.vmap(FORECASTS[name])(true, predicted, mask), jnp.stack(loop), **tolerance())
    assert len({float(x) for x in loop}) > 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_dtype_is_kept_and_numpy_is_taken(dtype):
    true = np.random.default_rng(0).normal(size=(40, 2)).astype(dtype)
    predicted, ts = true + 1, np.arange(40).astype(dtype)
    wide = np.tile(true, 2)
    calls = [
        lambda: metrics.smape(true, predicted),
        lambda: metrics.mase(true, predicted, true),
        lambda: metrics.rmse(true, predicted),
        lambda: metrics.nrmse(true, predicted),
        lambda: metrics.valid_prediction_time(ts, true, predicted, scale=1),
        lambda: metrics.d_stsp(true, predicted),
        lambda: metrics.d_stsp(wide, wide + 1, key=jr.key(0)),
        lambda: metrics.d_hellinger(true, predicted, sigma=2),
        lambda: metrics.power_spectrum(true, 1.5),
        lambda: metrics.lyapunov_spectrum(lambda y: 0.5 * y, true[0], steps=2, dt=0.1, transient=1),
        lambda: metrics.lyapunov_spectrum_of_field(lambda t, y, _: t - y, true[0], steps=2, dt=0.1),
        lambda: metrics.kaplan_yorke(true[0]),
    ]
    for call in calls:  # traced only: nothing is compiled
        assert jax.eval_shape(call).dtype == dtype


#
# What comes in
#

Y = np.arange(1.0, 7.0).astype(DTYPE)
COMPARED = {
    **{name: lambda a, b, name=name: getattr(metrics, name)(a, b) for name in ("smape", "rmse", "nrmse")},
    "mase": lambda a, b: metrics.mase(a, b, a),
    "vpt": lambda a, b: metrics.valid_prediction_time(np.arange(6), a, b),
    "valid_time": lambda a, b: metrics.valid_time(np.arange(6), a, b).value,
    "d_stsp": lambda a, b: metrics.d_stsp(a, b, bins=4),
    "d_stsp_gmm": lambda a, b: metrics.d_stsp_gmm(a, b, samples=8, key=jr.key(0)),
    "d_hellinger": lambda a, b: metrics.d_hellinger(a, b, sigma=0),
}
PERFECT = {"vpt": 5, "valid_time": 5}


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", COMPARED)
def test_one_channel_with_its_axis_or_without(name, tolerance):
    metric, wanted = jax.jit(COMPARED[name]), PERFECT.get(name, 0)
    for a, b in ((Y[:, None], Y), (Y, Y[:, None])):
        close(metric(a, b), wanted, **tolerance())


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", COMPARED)
@pytest.mark.parametrize("shape", [(1, 6), (6, 2), (6, 1, 1), (1,), ()])
def test_other_shapes_are_refused_with_both(name, shape):
    with pytest.raises(ValueError, match=r"shape") as told:
        COMPARED[name](np.tile(Y[:, None], 3), np.ones(shape, DTYPE))
    assert str(shape) in str(told.value)


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", sorted({*COMPARED} - {"d_stsp", "d_stsp_gmm"}))
def test_other_lengths_are_refused_with_both(name):
    with pytest.raises(ValueError, match=r"\(7, 2\).*\(6, 2\)|\(6, 2\).*\(7, 2\)"):
        COMPARED[name](np.ones((6, 2), DTYPE), np.ones((7, 2), DTYPE))


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", COMPARED)
def test_nothing_to_compare_is_refused(name):
    with pytest.raises(ValueError, match="nothing in it|one time for each row"):
        COMPARED[name](np.ones((0, 2), DTYPE), np.ones((0, 2), DTYPE))


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", COMPARED)
def test_counts_of_any_type_are_computed_in_floating_numbers(name, tolerance):
    """Differences of unsigned integers wrap, squares of short ones overflow, and half of the rest is no number."""
    rng = np.random.default_rng(0)
    a, b = (rng.integers(0, 100, (6, 2)) for _ in range(2))
    for dtype in (np.uint8, np.float16):
        value = COMPARED[name](a.astype(dtype), jnp.asarray(b, dtype))
        close(value, COMPARED[name](a.astype(value.dtype), b.astype(value.dtype)), **tolerance(10))


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "dtype", [bool, np.int8, np.uint8, np.int16, np.uint16, np.int64, np.uint64, np.float16, jnp.bfloat16, np.float64]
)
def test_no_type_is_computed_in_unless_it_can(dtype):
    x = numbers(np.array([0, 1, 120]).astype(dtype), "x")
    half = dtype in (np.float16, jnp.bfloat16)
    assert x.dtype == (np.float32 if half else DTYPE) and x[2] == (1 if dtype is bool else 120)
    narrow = jax.dtypes.canonicalize_dtype(dtype)
    assert numbers(x.astype(narrow), "x").dtype == x.dtype


@pytest.mark.only("float32")
def test_counts_by_hand():
    assert metrics.rmse(np.array([0, 0]), np.array([60000, 60000])) == 60000
    assert metrics.rmse(np.array([0], np.int64), np.array([3 * 10**9])) == 3e9
    assert metrics.rmse(np.array([200], np.uint8), np.array([216], np.uint8)) == 16
    assert np.isclose(metrics.smape(np.array([200], np.uint8), np.array([100], np.uint8)), 200 * 100 / 300)
    int8 = metrics.nrmse(np.array([[0], [100]], np.int8), np.array([[120], [100]], np.int8))
    assert np.isclose(int8, np.sqrt(120**2 / 2) / 50)
    assert np.isclose(kaplan_yorke(np.array([1, 0, -2])), 2.5)
    assert np.isclose(metrics.lyapunov_spectrum(lambda y: 2 * y, np.array([1]), steps=4)[0], np.log(2))


@pytest.mark.only("float32")
@pytest.mark.parametrize("unit", [1e-30, 1e30])
def test_units_whose_squares_are_no_numbers(unit, tolerance):
    true, predicted = array([[1.0, 2.0], [3.0, 5.0], [4.0, 4.0]]), array([[1.0, 2.5], [3.5, 5.0], [4.0, 3.0]])
    for name in ("rmse", "nrmse"):
        value = metrics.__dict__[name](true * unit, predicted * unit)
        close(value / (unit if name == "rmse" else 1), metrics.__dict__[name](true, predicted), **tolerance())
    ts = np.arange(3.0).astype(DTYPE)
    assert metrics.valid_prediction_time(ts, true * unit, predicted * unit) == 2
    assert metrics.valid_prediction_time(ts, true * unit, predicted * unit, threshold=0.1) == 0


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", ["smape", "mase", "rmse", "nrmse", "vpt"])
def test_masks_of_numbers_and_of_other_shapes_are_refused(name):
    y = np.ones((6, 2), DTYPE)
    call = FORECASTS_PLAIN[name]
    with pytest.raises(TypeError, match="mask is of type float32: True where"):
        call(y, y, np.ones((6, 2), np.float32))
    with pytest.raises(TypeError, match="mask is of type int"):
        call(y, y, np.ones((6, 2), int))
    for shape in ((6,), (2,), (1, 2), (6, 1), (2, 6), ()):
        with pytest.raises(ValueError, match=r"mask has shape .* and true \(6, 2\)"):
            call(y, y, np.ones(shape, bool))
    assert np.isfinite(call(Y, Y, np.ones((6, 1), bool)))  # one channel


FORECASTS_PLAIN = {
    **{name: lambda a, b, mask, name=name: getattr(metrics, name)(a, b, mask) for name in ("smape", "rmse", "nrmse")},
    "mase": lambda a, b, mask: metrics.mase(a, b, a, mask=mask),
    "vpt": lambda a, b, mask: metrics.valid_prediction_time(np.arange(6), a, b, mask=mask),
}


@pytest.mark.only("float32")
def test_the_history_has_the_channels_of_the_truth():
    y = np.ones((6, 2), DTYPE)
    for shape in ((9, 1), (9,), (9, 3)):
        with pytest.raises(ValueError, match="history has shape"):
            metrics.mase(y, y, np.ones(shape, DTYPE))
    with pytest.raises(ValueError, match="history_mask has shape"):
        metrics.mase(y, y, y, history_mask=np.ones(6, bool))
    assert metrics.mase(Y, Y[:, None] + 1, Y) == 1


@pytest.mark.only("float32")
def test_what_is_no_real_number_is_refused():
    for bad in (np.ones(6, complex), np.array(["a"] * 6), np.ones(6, object), np.zeros(6, "M8[s]")):
        for call in (metrics.rmse, metrics.d_stsp, metrics.nrmse):
            with pytest.raises(TypeError, match="predicted|generated"):
                call(Y, bad)


@pytest.mark.only("float32")
@pytest.mark.parametrize("ts", [np.arange(5), np.arange(7), np.ones((6, 1)), np.ones(())])
def test_there_is_one_time_for_each_row(ts):
    with pytest.raises(ValueError, match="ts has shape"):
        metrics.valid_prediction_time(ts, Y, Y)


@pytest.mark.only("float32")
def test_exponents_are_of_one_state():
    identity = lambda y: y
    for bad in (np.ones((3, 1)), np.ones(()), np.ones(0)):
        with pytest.raises(ValueError, match="y0 has shape"):
            metrics.lyapunov_spectrum(identity, bad, steps=2)
        with pytest.raises(ValueError, match="spectrum has shape"):
            metrics.kaplan_yorke(bad)
    for count in (0, 4, -1):
        with pytest.raises(ValueError, match="count"):
            metrics.lyapunov_spectrum(identity, np.ones(3), steps=2, count=count)
    with pytest.raises(ValueError, match="steps=0"):
        metrics.lyapunov_spectrum(identity, np.ones(3), steps=0)


#
# Under the minimum
#


def test_one_value_has_no_spread():
    one, two = np.array([[True, False]] + [[False, False]] * 5), np.array([[True, True], [False, True]])
    y, ts = np.ones((6, 2), DTYPE), np.arange(6).astype(DTYPE)
    assert jnp.isnan(nrmse(y, y + 1, one))
    # The channel seen once is left out.
    true, predicted = array([[5.0, 0.0], [0.0, 2.0]]), array([[0.0, 1.0], [0.0, 3.0]])
    assert nrmse(true, predicted, two) == 1
    assert jnp.isnan(valid_prediction_time(ts, y, y, mask=one))
    assert valid_prediction_time(ts, y, y, mask=one, scale=1.0) == 0


def test_valid_time_says_at_least_where_it_met_the_horizon():
    ts, true, predicted = vpt_case([0.0, 0.0, 0.5, 0.0])
    wrong, right = (valid_time(ts, true, p) for p in (predicted, true))
    assert (wrong.value, wrong.count, wrong.censored) == (1.5, 4, False)
    assert (right.value, right.count, right.censored) == (2.0, 4, True)
    # Up to the last observation, and not to the end of what was not observed.
    cut = jnp.ones((4, 2), bool).at[2:].set(False)
    assert valid_time(ts, true, true, mask=cut) == (0.5, 2, True)
    nothing = valid_time(ts, true, true, mask=jnp.zeros((4, 2), bool), scale=1.0)
    assert jnp.isnan(nothing.value) and nothing.count == 0 and not nothing.censored


@pytest.mark.parametrize("horizon", [1, 2, 4])
def test_valid_time_from_where_the_forecast_was_made(horizon):
    ts, true, predicted = vpt_case([0.0, 0.0, 9.0, 0.0])
    first = lambda *arrays: [a[:horizon] for a in arrays]
    right = valid_time(*first(ts, true, true), t0=9.5, scale=1.0)
    assert right.value == ts[horizon - 1] - 9.5 and right.censored
    never = valid_time(*first(ts, true, true + 9), t0=9.5, scale=1.0)
    assert never.value == 0 and not never.censored
    assert valid_time(ts, true, predicted, t0=9.5, scale=1.0).value == 2.0


@pytest.mark.only("float32")
def test_valid_time_of_seconds_since_1970():
    ts = 1.7e9 + np.arange(4.0)
    assert metrics.valid_time(ts, Y[:4], Y[:4], t0=1.7e9 - 1).value == 4
    assert metrics.valid_prediction_time(ts.astype(np.int64), Y[:4], Y[:4]) == 3
    assert metrics.valid_prediction_time((ts * 1e9).astype(np.int64), Y[:4], Y[:4]) == 3e9


@pytest.mark.parametrize("samples, sigma", [(160, 20), (24, 3)])
def test_d_hellinger_of_orbits_that_the_smoothing_makes_alike(samples, sigma):
    ts = np.arange(samples + 1).astype(DTYPE)
    a, b = np.sin(ts), np.sin(2 * ts)
    assert jnp.isnan(d_hellinger(a[:-1], b[:-1], sigma=sigma))
    assert d_hellinger(a, b, sigma=sigma) > 0.1


#
# D_stsp
#


def test_d_stsp_by_hand(tolerance, within):
    # Two cells on [0, 1]: p = (3, 1)/4 and q = (1, 1)/2, the points at 2 and -1 being outside.
    true, generated = array([[0.0], [0.1], [0.2], [1.0]]), array([[0.3], [0.7], [2.0], [-1.0]])
    value = d_stsp(true, generated, bins=2, widen=0.0, alpha=1e-9)
    assert np.isclose(value, 0.75 * np.log(0.75 / 0.5) + 0.25 * np.log(0.25 / 0.5), **within(1e-5))
    # Smoothing by 1: p = (4, 2)/6, q = (2, 2)/4.
    value = d_stsp(true, generated, bins=2, widen=0.0, alpha=1.0)
    assert np.isclose(value, 2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3), **tolerance())
    # Half a standard deviation (0.396...) wider, the grid is [-0.198, 1.198] and takes in 1.15:
    # q = (1, 2)/3.
    value = d_stsp(true, generated.at[2].set(1.15), bins=2, widen=0.5, alpha=1e-9)
    assert np.isclose(value, 0.75 * np.log(0.75 * 3) + 0.25 * np.log(0.25 * 3 / 2), **within(1e-5))


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_d_stsp_agrees_with_numpy(channels, within):
    rng = np.random.default_rng(channels)
    true = rng.normal(size=(3000, channels)).astype(DTYPE)
    generated = (1.2 * rng.normal(size=(2000, channels)) + 0.3).astype(DTYPE)
    margin = 0.1 * true.std(0)
    edges = list(zip(true.min(0) - margin, true.max(0) + margin, strict=True))
    p, q = (np.histogramdd(x, bins=10, range=edges)[0] + 1e-5 for x in (true, generated))
    p, q = p / p.sum(), q / q.sum()
    # In float32 a point may fall on the other side of an edge: one in 3000.
    assert np.isclose(d_stsp(true, generated, bins=10), np.sum(p * np.log(p / q)), **within(2e-3))


def test_d_stsp_of_one_orbit_is_zero_and_of_others_is_not(orbit):
    metric, orbit, another = d_stsp, orbit[:2000], orbit[2000:]
    assert metric(orbit, orbit) == 0
    assert metric(orbit, orbit[::-1]) == 0
    floor = metric(orbit, another)
    other = metric(orbit, lorenz_orbit(orbit[0], 2000, rho=40.0))
    white = jr.normal(jr.key(0), (2000, 3), DTYPE)
    noise = metric(orbit, orbit.mean(0)[None] + orbit.std(0)[None] * white)
    rest = metric(orbit, jnp.tile(orbit[:1], (2000, 1)))
    assert 0 < floor < 0.6 * noise
    assert noise < other < rest


@pytest.mark.parametrize("channels", [3, 4])
def test_a_divergent_run_does_not_score_well(channels):
    metric = lambda x, y: d_stsp(x, y, key=jr.key(0))
    true = jr.normal(jr.key(0), (60, channels), DTYPE)
    for bad in (NAN, INF, -INF):
        assert metric(true, true.at[-1, 0].set(bad)) == INF
        assert jnp.isnan(metric(true.at[-1, 0].set(bad), true))
    assert metric(true, jnp.full_like(true, 1e30)) > 1e30


def test_d_stsp_of_a_truth_at_rest():
    rest = jnp.ones((10, 2), DTYPE)
    assert d_stsp(rest, rest) == 0
    assert d_stsp(rest, rest + 1e-3) == INF


def test_d_stsp_above_three_channels_is_the_mixture():
    true, generated = jr.normal(jr.key(0), (2, 60, 4), DTYPE)
    value = d_stsp(true, generated, key=jr.key(1))
    assert value == d_stsp_gmm(true, generated, key=jr.key(1))
    assert value != d_stsp_gmm(true, generated, key=jr.key(2))
    with pytest.raises(ValueError, match="key"):
        d_stsp(true, generated)


def test_d_stsp_gmm_of_two_gaussians():
    """All centres in one point: KL = |shift|^2 / (2 variance), with variance 2 KL per sample."""
    true, shift = jnp.ones((7, 5), DTYPE), array([1.0, -1.0, 0.5, 0.0, 2.0])
    exact = 6.25 / (2 * 0.25)
    value = d_stsp_gmm(true, true[:3] + shift[None], variance=0.25, samples=2000, key=jr.key(0))
    assert abs(value - exact) < 3.5 * np.sqrt(2 * exact / 2000)
    assert value != exact


def test_d_stsp_gmm_of_two_mixtures():
    """Two places far apart, with weights 3/4 and 1/4 against halves: KL = sum p log(p / q)."""
    a, b = jnp.zeros((1, 4), DTYPE), jnp.full((1, 4), 50.0, DTYPE)
    true, generated = jnp.concatenate([a, a, a, b]), jnp.concatenate([b, a])
    exact = 0.75 * np.log(1.5) + 0.25 * np.log(0.5)
    value = d_stsp_gmm(true, generated, samples=4000, key=jr.key(0))
    assert abs(value - exact) < 3.5 * 0.75**0.5 * 0.25**0.5 * np.log(3) / np.sqrt(4000)


def test_d_stsp_gmm_of_one_orbit_and_of_a_few_centres():
    true, generated = jr.normal(jr.key(0), (2, 60, 4), DTYPE)
    assert d_stsp_gmm(true, true, key=jr.key(1)) == 0
    # 33 samples are two chunks and a rest.
    few = d_stsp_gmm(true, generated, centres=20, samples=33, key=jr.key(1))
    assert few == d_stsp_gmm(true[:20], generated[:20], samples=33, key=jr.key(1))


#
# D_H
#


@pytest.mark.parametrize("sigma, length", [(0.0, 64), (0.1, 64), (1.5, 101), (20.0, 400), (20.0, 64)])
def test_power_spectrum_agrees_with_scipy(sigma, length, tolerance):
    ys = np.random.default_rng(0).normal(size=(length, 2)).cumsum(0).astype(DTYPE)
    z = (ys - ys.mean(0)) / ys.std(0)
    power = np.abs(np.fft.rfft(z, axis=0)) ** 2
    # 64 samples have 33 frequencies, fewer than the 80 by which the kernel reaches out: reflected
    # more than once.
    power = gaussian_filter1d(power, sigma, axis=0) if sigma else power
    expected = power / power.sum(0)
    close(power_spectrum(ys, sigma), expected, **tolerance())


def test_power_spectrum_finds_the_frequency(tolerance, within):
    ts = jnp.arange(200, dtype=DTYPE) / 200
    ys = jnp.stack([5 + 3 * jnp.sin(2 * jnp.pi * 12 * ts), jnp.cos(2 * jnp.pi * 30 * ts)], axis=1)
    p = power_spectrum(ys, 2.0)
    assert p.shape == (101, 2)
    assert p.argmax(axis=0).tolist() == [12, 30]
    close(p.sum(axis=0), 1, **tolerance())
    # The discrete Gaussian at its peak.
    assert np.isclose(p[12, 0], 1 / np.exp(-0.5 * (np.arange(-8, 9) / 2) ** 2).sum(), **within(1e-4))


def test_d_hellinger_by_hand(tolerance):
    """Power 1:1 at two frequencies against all at one of them: BC = sqrt(1/2)."""
    ts = jnp.arange(64, dtype=DTYPE) / 64
    a, b = jnp.sin(2 * jnp.pi * 5 * ts)[:, None], jnp.sin(2 * jnp.pi * 20 * ts)[:, None]
    metric = lambda x, y: d_hellinger(x, y, sigma=0.0)
    assert np.isclose(metric(a + b, 7 * a - 3), np.sqrt(1 - np.sqrt(0.5)), **tolerance())
    assert np.isclose(metric(a, b), 1, **tolerance(50))
    assert np.isclose(metric(jnp.hstack([a, a]), jnp.hstack([b, a])), 0.5, **tolerance(50))
    close(metric(a + b, a), metric(a, a + b), **tolerance())


def test_d_hellinger_of_one_orbit_is_zero_and_of_others_is_not(orbit):
    metric, orbit, another = d_hellinger, orbit[:2000], orbit[2000:]
    assert metric(orbit, orbit) == 0
    assert metric(orbit, 5 * orbit + 100) < 100 * EPS**0.5
    floor = metric(orbit, another)
    noise = metric(orbit, jr.normal(jr.key(0), (2000, 3), DTYPE))
    assert 0 < floor < 0.2
    assert noise > 3 * floor


@pytest.mark.only("float32")
def test_d_hellinger_limits(orbit, tolerance):
    metric, true = d_hellinger, orbit[:500]
    rest = jnp.full_like(true, 0.1)
    assert metric(true, rest) == 1
    assert metric(rest, true) == 1
    assert metric(rest, 3 * rest) == 0
    # At rest in one channel of three, up to rounding.
    sign = jr.rademacher(jr.key(0), (500,), DTYPE)
    jitter = true.at[:, 1].set(0.1 * (1 + EPS * sign))
    close(metric(true, jitter), 1 / 3, **tolerance())
    for bad in (NAN, INF):
        assert metric(true, true.at[-1, 0].set(bad)) == 1
        assert jnp.isnan(metric(true.at[-1, 0].set(bad), true))
    # Finite, but its square is not.
    assert metric(true, true * (jnp.finfo(DTYPE).max / 1e4)) < 100 * EPS**0.5


def test_d_hellinger_wants_orbits_of_one_length():
    with pytest.raises(ValueError, match="equally long"):
        metrics.d_hellinger(jnp.ones((101, 2)), jnp.ones((100, 2)))  # both have 51 frequencies


@pytest.mark.parametrize(
    "channels",
    [pytest.param(2, marks=pytest.mark.only("float32")), pytest.param(4, marks=pytest.mark.only("float64"))],
)
def test_attractor_vmap_equals_loop(channels, tolerance):
    true = jr.normal(jr.key(0), (3, 200, channels), DTYPE)
    generated = jr.normal(jr.key(2), true.shape, DTYPE) * array([1.0, 0.5, 5.0])[:, None, None]
    generated = generated.at[1, 5, 1].set(NAN)
    keys = jr.split(jr.key(1), 3)

    @jax.jit
    def both(x, y, key):
        d_h = metrics.d_hellinger(x, y, sigma=3)
        return metrics.d_stsp(x, y, bins=5, key=key), d_h

    loop = [both(*one) for one in zip(true, generated, keys, strict=True)]
    batch = jax.vmap(both)(true, generated, keys)
    for batched, single in zip(batch, zip(*loop, strict=True), strict=True):
        close(batched, jnp.stack(single), **tolerance(2))
        assert len({float(x) for x in single}) == 3


#
# Gaps
#


def turn(ts, speed=1.0):
    return np.stack([np.cos(speed * ts), -np.sin(speed * ts)], axis=1)


def missing(share):
    ys = turn(0.1 * np.arange(2000))
    ys[np.random.default_rng(0).random(2000) < share] = np.nan
    return 0.1 * np.arange(2000), ys


NIGHTS = (0.1 * np.arange(48)[None] + 14.4 * np.arange(42)[:, None]).ravel()
MONTHS = np.cumsum(np.tile([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], 170)) / 310
POISSON = np.cumsum(np.random.default_rng(0).exponential(0.1, 2000))
RECORDS = {
    "complete": missing(0),
    "half missing": missing(0.5),
    "two thirds missing": missing(0.67),
    "weekends": (0.1 * np.arange(2000), np.where((np.arange(2000) % 7 < 5)[:, None], missing(0)[1], np.nan)),
    **{name: (ts, turn(ts)) for name, ts in (("nights", NIGHTS), ("months", MONTHS), ("Poisson", POISSON))},
}


@pytest.mark.parametrize("name", RECORDS)
def test_one_orbit_is_one_orbit_whenever_it_was_looked_at(name):
    """D_H of the same orbit is small as if it were complete, and of one ten times in a hundred faster it is not."""
    ts, true = RECORDS[name]
    dt = np.median(np.diff(ts))
    run = dt * np.arange(round((ts[-1] - ts[0]) / dt) + 1)
    same, faster = (metrics.as_sampled(ts, true, turn(run + 0.37, speed)) for speed in (1.0, 1.1))
    floor, other = (float(d_hellinger(array(x.true), array(x.generated))) for x in (same, faster))
    assert floor < 0.015 and other > max(0.03, 3 * floor)
    assert same.observed >= 0.9 * np.isfinite(true).all(axis=1).sum()


def test_a_complete_even_record_is_as_it_is(tolerance):
    ts, true = 100 + 0.02 * np.arange(50.0), np.random.default_rng(0).normal(size=(50, 3))
    for generated in (2 * true, 2 * true[:30], np.concatenate([2 * true, true])):
        seen = metrics.as_sampled(ts.astype(np.float32), true, generated)
        length = min(50, len(generated))
        close(seen.true, true[:length], **tolerance(dtype=float))
        close(seen.generated, generated[:length], **tolerance(dtype=float))
        assert seen.observed == length


def test_short_gaps_are_filled_and_long_ones_cut_in_both(tolerance):
    ts = np.array([*range(8), 10, *range(11, 40), *range(60, 80), 95])
    generated = np.arange(100.0)[:, None] ** 2
    seen = metrics.as_sampled(ts, -ts[:, None].astype(float), generated, dt=1, longest_gap=4)
    kept = np.r_[0:40, 60:80]  # a single row is no stretch
    close(seen.true[:, 0], -kept, **tolerance(dtype=float))
    filled = np.where(kept == 8, 49 + 17, np.where(kept == 9, 49 + 34, kept**2))
    close(seen.generated[:, 0], filled, **tolerance(dtype=float))
    assert seen.observed == len(ts) - 1


def test_a_record_that_was_never_observed_is_empty():
    seen = metrics.as_sampled(np.arange(9.0), np.full((9, 2), np.nan), np.ones((20, 2)))
    assert seen.true.shape == seen.generated.shape == (0, 2) and seen.observed == 0


@pytest.mark.parametrize(
    "ts, true, generated, told",
    [
        (np.arange(5), np.ones((6, 2)), np.ones((6, 2)), "one time for each row"),
        (np.arange(6), np.ones((6, 2)), np.ones((6, 3)), r"generated has shape \(6, 3\)"),
        (np.array([0, 2, 1]), np.ones((3, 1)), np.ones((3, 1)), r"ts\[2\] is 1 after"),
    ],
)
def test_records_that_cannot_be_laid_on_a_grid(ts, true, generated, told):
    with pytest.raises(ValueError, match=told):
        metrics.as_sampled(ts, true, generated)


#
# Lyapunov
#


@pytest.mark.parametrize("every", [1, 5])
def test_lyapunov_of_a_linear_map(every, tolerance):
    # Within five steps the tangents become parallel by (1.5 / 0.9)**5 = 13, which leaves six digits of float32.
    eigenvalues = np.array([1.5, -1.2, 0.9])
    basis = np.eye(3) + 0.3 * np.random.default_rng(1).normal(size=(3, 3))
    matrix = array(basis @ np.diag(eigenvalues) @ np.linalg.inv(basis))
    y0 = jnp.zeros(3, DTYPE)
    settings = {"steps": 500, "dt": 0.5, "transient": 100, "every": every}
    spectrum = lyapunov_spectrum(lambda y: matrix @ y, y0, **settings)
    close(spectrum, np.log(np.abs(eigenvalues)) / 0.5, **tolerance(10))
    two = lyapunov_spectrum(lambda y: matrix @ y, y0, **settings, count=2)
    close(two, spectrum[:2], **tolerance(10))


def test_lyapunov_of_a_rotation_that_shrinks(tolerance):
    """Complex eigenvalues: both exponents are log|eigenvalue|."""
    c, s = 0.9 * np.cos(1.0), 0.9 * np.sin(1.0)
    matrix = array([[c, -s], [s, c]])
    spectrum = lyapunov_spectrum(lambda y: matrix @ y, jnp.ones(2, DTYPE), steps=50)
    close(spectrum, np.log(0.9), **tolerance(5))


@pytest.mark.only("float32")
def test_lyapunov_sums_do_not_drift(tolerance):
    """A long sum of equal terms, which a running sum in float32 gets wrong."""
    rates = array([0.9, 0.7])
    spectrum = lyapunov_spectrum(lambda y: rates * y, jnp.ones(2, DTYPE), steps=200_000, dt=0.01)
    assert np.allclose(spectrum, np.log([0.9, 0.7]) / 0.01, **tolerance())


def test_lyapunov_of_the_logistic_map(within):
    spectrum = lyapunov_spectrum(lambda y: 4 * y * (1 - y), array([0.3]), steps=2000, transient=10)
    assert np.isclose(spectrum[0], np.log(2), **within(absolute=0.01))


@pytest.mark.only("float32")
def test_lyapunov_of_the_henon_map(tolerance, within):
    def henon(z):
        x, y = z
        return jnp.stack([1 - 1.4 * x**2 + y, 0.3 * x])

    spectrum = lyapunov_spectrum(henon, array([0.1, 0.1]), steps=10_000, transient=100, every=2)
    assert np.isclose(spectrum[0], 0.419, **within(absolute=0.015))
    assert np.isclose(spectrum.sum(), np.log(0.3), **tolerance(5))  # the determinant is -0.3 everywhere
    assert np.isclose(kaplan_yorke(spectrum), 1.258, **within(absolute=0.01))


@pytest.mark.only("float32")
def test_lyapunov_of_a_contraction_to_nothing_and_of_divergence():
    spectrum = lyapunov_spectrum(lambda y: jnp.stack([2 * y[0], y[0]]), jnp.ones(2, DTYPE), steps=4)
    assert spectrum[0] > 0
    assert spectrum[1] == -INF
    assert kaplan_yorke(spectrum) == 1
    assert jnp.isnan(lyapunov_spectrum(lambda y: y**3, array([10.0, 2.0]), steps=50)).all()


def test_lyapunov_steps_are_whole_blocks():
    with pytest.raises(ValueError, match="multiple"):
        lyapunov_spectrum(lambda y: y, jnp.ones(2), steps=10, every=3)


def test_lyapunov_of_a_linear_field(tolerance):
    """The discretised flow of y' = a y grows by the Runge-Kutta polynomial of a dt."""
    rates, dt = array([0.5, -1.0]), 0.1
    spectrum = lyapunov_spectrum_of_field(
        lambda t, y, args: args * y, jnp.ones(2, DTYPE), dt=dt, steps=20, args=rates, transient=3
    )
    h = np.array([0.5, -1.0]) * dt
    growth = 1 + h + h**2 / 2 + h**3 / 6 + h**4 / 24
    close(spectrum, np.log(growth) / dt, **tolerance(5))


def lorenz_spectrum(y0, steps, every=1):
    return lyapunov_spectrum_of_field(lorenz, y0, args=28.0, dt=0.01, steps=steps, transient=1000, every=every)


def test_lyapunov_of_lorenz_63(within):
    spectrum = eqx.filter_jit(lorenz_spectrum)(array([1.0, 2.0, 20.0]), 20_000)
    assert np.allclose(spectrum, [0.906, 0.0, -14.572], **within(absolute=0.05))
    # The divergence of the field, which is the same everywhere.
    assert np.isclose(spectrum.sum(), -(10 + 1 + 8 / 3), **within(2e-4))
    assert np.isclose(kaplan_yorke(spectrum), 2.062, **within(absolute=0.004))


@pytest.mark.slow
def test_lyapunov_of_lorenz_63_longer(within):
    spectrum = eqx.filter_jit(lorenz_spectrum)(array([1.0, 2.0, 20.0]), 400_000)
    assert np.allclose(spectrum, [0.9056, 0.0, -14.5723], **within(absolute=0.012))


def test_lyapunov_vmap_equals_loop(tolerance, within):
    y0s = jr.normal(jr.key(0), (3, 3), DTYPE) + array([0.0, 0.0, 20.0])[None]
    settings = {"args": 28.0, "dt": 0.01, "steps": 80, "transient": 20, "every": 4}
    run = jax.jit(lambda y0: metrics.lyapunov_spectrum_of_field(lorenz, y0, **settings))
    batched, loop = jax.vmap(run)(y0s), jnp.stack([run(y0) for y0 in y0s])
    close(batched, loop, **tolerance(20))
    assert not np.allclose(loop[0], loop[1], **within(0.01))


@pytest.mark.parametrize(
    "spectrum, dimension",
    [
        ([0.9, 0.0, -14.5], 2 + 0.9 / 14.5),
        ([-14.5, 0.9, 0.0], 2 + 0.9 / 14.5),  # any order
        ([-1.0, -2.0], 0.0),  # a fixed point
        ([0.0, -1.0, -2.0], 1.0),  # a limit cycle
        ([0.0, 0.0, -2.0], 2.0),  # a torus
        ([1.0, -1.0, -3.0], 2.0),  # a partial sum of exactly zero
        ([1.0, 0.5, -1.0], 3.0),  # never negative
        ([1.0, 0.5], 2.0),
        ([0.5], 1.0),
        ([-0.5], 0.0),
        ([1.0, -INF], 1.0),
        ([1.0, NAN, -2.0], NAN),
        ([NAN, NAN], NAN),
    ],
)
def test_kaplan_yorke(spectrum, dimension, tolerance):
    close(kaplan_yorke(array(spectrum)), dimension, **tolerance(), equal_nan=True)


def test_kaplan_yorke_vmap(tolerance):
    spectra = array([[0.9, 0.0, -14.5], [-1.0, -2.0, -3.0], [1.0, 0.5, -1.0]])
    close(jax.vmap(kaplan_yorke)(spectra), [2 + 0.9 / 14.5, 0.0, 3.0], **tolerance())


@pytest.mark.only("float32")
def test_a_score_says_which_way_is_better_in_a_word():
    assert metrics.Score(0.5, "x", "").better is None
    with pytest.raises((ValueError, TypeError), match="better"):
        metrics.Score(0.5, "x", "", "up")


#
# Calibration
#

MASKED = array([[1.0, 5.0], [NAN, 4.0], [4.0, NAN], [2.0, NAN]])


def test_quadratic_variation_by_hand(tolerance):
    found = eqx.filter_jit(metrics.quadratic_variation)(MASKED, ~jnp.isnan(MASKED))
    close(found, [9.0 + 4.0, 1.0], **tolerance())
    close(metrics.quadratic_variation(array([1.0, 3.0, 0.0])), [13.0], **tolerance())
    one = metrics.quadratic_variation(MASKED[2:], ~jnp.isnan(MASKED[2:]))
    close(one, [4.0, NAN], **tolerance(), equal_nan=True)


def test_quadratic_variation_shows_the_diffusion_and_not_the_drift(within):
    dt, steps = 1e-3, 4000
    noise = np.random.default_rng(0).normal(size=(2, steps, 2)) * dt**0.5 * np.array([0.5, 2.0])
    ys = np.cumsum(noise + 3.0 * dt, axis=1)
    close(metrics.quadratic_variation(ys[0]) / (steps * dt), [0.25, 4.0], **within(0.1))
    close(metrics.quadratic_variation_ratio(2 * ys[:1], ys[1:]), [4.0, 4.0], **within(0.15))


def test_the_ratio_of_quadratic_variations_pools_paths_that_were_seen(tolerance):
    true = jnp.stack([MASKED, jnp.full((4, 2), NAN)])
    generated = array(np.arange(4.0)[None, :, None] * [1.0, 2.0])
    found = metrics.quadratic_variation_ratio(true, generated, ~jnp.isnan(true))
    close(found, [13.0 / 3, 1.0 / 12], **tolerance())


@pytest.mark.parametrize("samples, level", [(19, 0.9), (9, 0.5), (30, 0.9)])
def test_coverage_is_the_level_whatever_the_number_of_samples(samples, level, within):
    draws = np.random.default_rng(samples).normal(size=(samples + 1, 40_000))
    close(metrics.coverage(draws[1:], draws[0], level), level, **within(absolute=0.01))


def test_coverage_and_pit_by_hand(tolerance):
    samples = array(np.arange(1.0, 5.0))[:, None]  # 1 2 3 4, at one time
    # From 0.25 to 0.75: between 1 and 2 is from 0.2 to 0.4, and at 2 from 0.2 to 0.6.
    for truth, inside in ((0.9, 0.0), (1.2, 0.75), (2.0, 0.875), (2.7, 1.0), (3.2, 0.75), (4.1, 0.0)):
        close(metrics.coverage(samples, array([truth]), 0.5), inside, **tolerance())
    each = jax.vmap(metrics.pit, (None, 0))(samples, array([[0.0], [2.0], [2.5], [9.0], [NAN]]))
    close(each[:, 0], [0.1, 0.4, 0.5, 0.9, NAN], **tolerance(), equal_nan=True)


def test_what_was_not_observed_is_not_judged(tolerance):
    samples = jr.normal(jr.key(0), (9, 3, 2), DTYPE)
    truth = array([[0.0, NAN], [0.1, 9.0], [NAN, NAN]])
    mask = ~jnp.isnan(truth)
    coverage, pit = eqx.filter_jit(metrics.coverage), eqx.filter_jit(metrics.pit)
    by_hand = np.mean([metrics.coverage(samples[:, i, 0], truth[i, 0], 0.8) for i in (0, 1)] + [0.0])
    close(coverage(samples, truth, 0.8, mask), by_hand, **tolerance())
    np.testing.assert_array_equal(np.isnan(pit(samples, truth, mask)), ~mask)
    close(
        metrics.pit_distance(pit(samples, truth, mask)),
        metrics.pit_distance(pit(samples, truth, mask)[mask]),
        **tolerance(),
    )
    assert jnp.isnan(coverage(samples, truth, 0.8, jnp.zeros_like(mask)))
    assert jnp.isnan(coverage(samples, truth, 0.8))


def test_pit_distance_is_kolmogorovs(within, tolerance):
    from scipy.stats import kstest, norm

    pits = np.random.default_rng(0).random(50) ** 1.5
    close(metrics.pit_distance(pits), kstest(pits, "uniform").statistic, **tolerance(5))
    assert jnp.isnan(metrics.pit_distance(np.full(3, NAN)))
    for share, distance in ((1.0, 0.0), (0.5, 0.161), (0.1, 0.399)):
        narrow = norm.cdf(norm.ppf((np.arange(5000) + 0.5) / 5000) / share)
        close(metrics.pit_distance(narrow), distance, **within(absolute=2e-3))


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: metrics.coverage(np.zeros((9, 4)), np.zeros(4), 0.9), "level=0.9: 9 samples .* give 19 samples"),
        (lambda: metrics.coverage(np.zeros((9, 4)), np.zeros(4), 1.0), "level=1.0"),
        (lambda: metrics.coverage(np.zeros((9, 4)), np.zeros((4, 1)), 0.5), r"truth has shape \(4, 1\) and samples"),
        (lambda: metrics.pit(np.zeros((9, 4)), np.zeros(4), np.zeros(4)), "mask is of type"),
        (lambda: metrics.quadratic_variation(np.zeros((2, 3, 4))), "jax.vmap"),
        (lambda: metrics.quadratic_variation_ratio(np.zeros((3, 4)), np.zeros((2, 3, 4))), r"true has shape \(3, 4\)"),
        (lambda: metrics.quadratic_variation_ratio(np.zeros((2, 3, 4)), np.zeros((2, 3, 1))), "same channels"),
    ],
)
def test_calibration_refuses(call, told):
    with pytest.raises((ValueError, TypeError), match=told):
        call()
