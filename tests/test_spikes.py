"""Metrics of spikes against scipy, formulas written out, closed forms, and elephant's and PySpike's numbers."""

import itertools
import json
from pathlib import Path

import equinox as eqx
import hypothesis
import hypothesis.strategies as st
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from ctmodels import metrics

pytestmark = pytest.mark.mostly("float64")

close = np.testing.assert_allclose
FLOAT = jax.dtypes.canonicalize_dtype(float)
NAN, INF = float("nan"), float("inf")
PEERS = json.loads((Path(__file__).parent / "reference" / "spike_trains.json").read_text(encoding="utf-8"))
PAIRS = list(itertools.combinations(range(len(PEERS["trains"])), 2))


def modulated(seed=0, trials=6, bins=25, neurons=5):
    """True rates of three conditions, and counts."""
    rng = np.random.default_rng(seed)
    conditions = np.arange(trials) % 3
    phase, gain = rng.uniform(0, 2 * np.pi, (3, 1, neurons)), rng.uniform(0.5, 1.5, neurons)
    rates = np.exp(gain * np.sin(np.arange(bins)[:, None] / 3 + phase) - 1)[conditions]
    return rates, rng.poisson(rates), conditions


RATES, COUNTS, CONDITIONS = modulated()


def bits_by_scipy(rates, counts, mean, where=True):
    gain = stats.poisson.logpmf(counts, rates) - stats.poisson.logpmf(counts, np.broadcast_to(mean, counts.shape))
    return gain.sum(where=where) / counts.sum(where=where) / np.log(2)


# -- bits per spike


def test_bits_of_true_rates_are_scipys(tolerance):
    mean = COUNTS.mean((0, 1))
    bits = metrics.bits_per_spike(RATES, COUNTS)
    close(bits, bits_by_scipy(RATES, COUNTS, mean), **tolerance(20))
    assert bits > 0.2
    close(metrics.bits_per_spike(RATES[0], COUNTS[0], reference=mean), bits_by_scipy(RATES[0], COUNTS[0], mean),
          **tolerance(20))  # fmt: skip
    # The counts are the same ones whatever their type, and a reference that is not the best constant makes more of it.
    close(metrics.bits_per_spike(RATES, COUNTS.astype(np.uint8)), bits, **tolerance())
    assert metrics.bits_per_spike(RATES, COUNTS, reference=1.3 * mean) > bits


def test_bits_of_the_mean_rates_are_exactly_none():
    counts = np.zeros((4, 8, 2))
    counts[0, :, 0] = counts[1:, 3, 1] = 1  # means 1/4 and 3/32
    rates = np.broadcast_to([0.25, 3 / 32], counts.shape)
    assert metrics.bits_per_spike(rates, counts) == 0
    assert eqx.filter_jit(metrics.bits_per_spike)(rates, counts) == 0
    assert metrics.bits_per_spike(1.1 * rates, counts) < 0


def test_what_was_not_observed_counts_for_nothing(tolerance):
    mask = np.random.default_rng(3).uniform(size=COUNTS.shape) < 0.7
    mean = np.where(mask, COUNTS, 0).sum((0, 1)) / mask.sum((0, 1))
    wrong = np.where(mask, RATES, NAN), np.where(mask, COUNTS, -1.5)
    close(metrics.bits_per_spike(*wrong, mask), bits_by_scipy(RATES, COUNTS, mean, mask), **tolerance(20))
    assert jnp.isnan(metrics.bits_per_spike(*wrong, np.zeros_like(mask)))


def test_neurons_and_trials_without_a_spike(tolerance):
    counts, rates = COUNTS.copy(), RATES.copy()
    counts[:, :, 1] = 0
    counts[2] = 0
    mean, others = counts.mean((0, 1)), [0, 2, 3, 4]
    of_others = bits_by_scipy(rates[..., others], counts[..., others], mean[others])
    # Under a mean rate of 0 no spike is certain: rates above it lose what they promise.
    lost = rates[..., 1].sum() / counts.sum() / np.log(2)
    close(metrics.bits_per_spike(rates, counts), of_others - lost, **tolerance(20))
    rates[..., 1] = 0
    close(metrics.bits_per_spike(rates, counts), of_others, **tolerance(20))
    rates[0, :, 0] = 0
    assert metrics.bits_per_spike(rates, counts) == -INF
    assert jnp.isnan(metrics.bits_per_spike(rates, np.zeros_like(counts)))


def test_what_is_no_count_or_rate_is_nan_where_values_are_not_known(tolerance):
    counts = np.stack([COUNTS, COUNTS + 0.5, COUNTS, COUNTS - 3]).astype(FLOAT)
    rates = np.stack([RATES, RATES, -RATES, RATES]).astype(FLOAT)
    found = jax.jit(jax.vmap(metrics.bits_per_spike))(rates, counts)
    close(found[0], metrics.bits_per_spike(RATES, COUNTS), **tolerance(20))
    assert np.isnan(found[1:]).all()


def test_co_smoothing_is_of_the_neurons_held_out(tolerance):
    bits = metrics.co_smoothing_bits(RATES, COUNTS, [3, 1], inputs=[0, 2, 4])
    close(bits, bits_by_scipy(RATES[..., [1, 3]], COUNTS[..., [1, 3]], COUNTS[..., [1, 3]].mean((0, 1))),
          **tolerance(20))  # fmt: skip
    mask = np.ones(COUNTS.shape, bool)
    reference = COUNTS[:3].mean((0, 1))
    again = metrics.co_smoothing_bits(RATES, COUNTS, [3, 1], inputs=[0], mask=mask, reference=reference)
    close(again, bits_by_scipy(RATES[..., [1, 3]], COUNTS[..., [1, 3]], reference[[1, 3]]), **tolerance(20))


def test_forward_bits_are_of_the_later_bins(tolerance):
    later = slice(20, None)
    expected = bits_by_scipy(RATES[:, later], COUNTS[:, later], COUNTS[:, later].mean((0, 1)))
    close(metrics.forward_bits(RATES, COUNTS, 20), expected, **tolerance(20))
    mean = COUNTS.mean((0, 1))
    close(metrics.forward_bits(RATES[0], COUNTS[0], 20, mask=COUNTS[0] >= 0, reference=mean),
          bits_by_scipy(RATES[0, later], COUNTS[0, later], mean), **tolerance(20))  # fmt: skip


# -- variance explained


def r2_written_out(true, estimated):
    true, estimated = (x.reshape(-1, x.shape[-1]) for x in (true, estimated))
    left, there = ((true - estimated) ** 2).sum(0), ((true - true.mean(0)) ** 2).sum(0)
    return {"uniform": np.mean(1 - left / there), "variance": 1 - left.sum() / there.sum()}


@pytest.mark.parametrize("weighting", ["uniform", "variance"])
def test_rates_r2(weighting, tolerance):
    estimated = RATES + 0.2 * np.random.default_rng(1).normal(size=RATES.shape)
    r2 = eqx.filter_jit(lambda **of: metrics.rates_r2(**of, weighting=weighting))
    close(r2(true=RATES, estimated=estimated), r2_written_out(RATES, estimated)[weighting], **tolerance(20))
    assert r2(true=RATES, estimated=RATES) == 1
    close(r2(true=RATES, estimated=np.broadcast_to(RATES.mean((0, 1)), RATES.shape)), 0, **tolerance(20))
    assert abs(r2(true=estimated, estimated=RATES) - r2(true=RATES, estimated=estimated)) > 0.01
    # A constant neuron has nothing to be explained; an entry that does not count may hold anything.
    constant, of = (np.concatenate([x, np.full_like(x[..., :1], 0.1)], axis=-1) for x in (RATES, estimated))
    close(r2(true=constant, estimated=of), r2(true=RATES, estimated=estimated), **tolerance(20))
    assert jnp.isnan(r2(true=constant[..., -1:], estimated=of[..., -1:]))
    mask = np.ones(RATES.shape, bool)
    mask[1] = False
    others = [0, 2, 3, 4, 5]
    close(r2(true=np.where(mask, RATES, NAN), estimated=estimated, mask=mask),
          r2_written_out(RATES[others], estimated[others])[weighting], **tolerance(20))  # fmt: skip
    assert jnp.isnan(r2(true=np.where(mask, RATES, NAN), estimated=estimated))


def test_psth_r2(tolerance):
    means = lambda x: np.stack([x[CONDITIONS == c].mean(0) for c in range(3)])
    expected = r2_written_out(means(COUNTS), means(RATES))
    for weighting, value in expected.items():
        close(metrics.psth_r2(RATES, COUNTS, CONDITIONS, weighting=weighting), value, **tolerance(20))
    named = np.array(["left", "right", "up"])[CONDITIONS]
    psth = means(COUNTS)[CONDITIONS]
    close(metrics.psth_r2(psth, COUNTS, named), 1, **tolerance(20))
    # One trial of each condition not observed: of the other.
    mask = np.broadcast_to((np.arange(6) < 3)[:, None, None], COUNTS.shape)
    close(metrics.psth_r2(RATES, COUNTS, CONDITIONS, mask), r2_written_out(COUNTS[:3], RATES[:3])["uniform"],
          **tolerance(20))  # fmt: skip
    # A condition of which nothing was observed is left out.
    two = np.broadcast_to((CONDITIONS < 2)[:, None, None], COUNTS.shape)
    close(metrics.psth_r2(RATES, COUNTS, CONDITIONS, two),
          r2_written_out(means(COUNTS)[:2], means(RATES)[:2])["uniform"], **tolerance(20))  # fmt: skip


PARTS = dict(train=[0, 1, 2], test=[5])


def test_decoding_is_ridge_regression(tolerance):
    """Against the normal equations of all predictors and a column of ones, penalised in their own deviations."""
    rng = np.random.default_rng(4)
    hand = RATES[..., :3] @ rng.normal(size=(3, 2)) + rng.normal(size=(6, 25, 2))
    x, y = RATES[:3].reshape(-1, 5), hand[:3].reshape(-1, 2)
    for ridge in (0.01, 1.0):
        ones = np.concatenate([x, np.ones((len(x), 1))], axis=1)
        penalty = np.diag([*(ridge * x.var(0)), 0]) * len(x)
        map_ = np.linalg.solve(ones.T @ ones + penalty, ones.T @ y)
        found = np.concatenate([RATES[5], np.ones((25, 1))], axis=1) @ map_
        decoding = metrics.decoding_r2(RATES, hand, **PARTS, ridge=ridge)
        close(decoding.r2, r2_written_out(hand[5], found)["uniform"], **tolerance(200))
        close(decoding.ridge, ridge, **tolerance())


def test_a_linear_hand_is_decoded_and_the_strength_chosen(within, tolerance):
    rng = np.random.default_rng(5)
    hand = RATES @ rng.normal(size=(5, 2)) + 3
    score = eqx.filter_jit(lambda x, y, mask: metrics.decoding_r2(x, y, **PARTS, validation=[3, 4], mask=mask))
    observed = np.ones(hand.shape, bool)
    exact = score(RATES, hand, observed)
    close(exact.r2, 1, **within(absolute=1e-3))
    close(exact.ridge, 1e-5, **tolerance(5))
    # Of neurons that tell nothing, many for few bins, the penalty takes the weights away.
    noise = rng.normal(size=(6, 25, 40))
    blind = score(noise, hand, observed)
    assert blind.ridge > 1 and blind.r2 < 0.3
    # Bins in which the hand was not seen entirely are not looked at.
    some = rng.uniform(size=hand.shape) < 0.8
    close(score(RATES, np.where(some, hand, NAN), some).r2, 1, **within(absolute=1e-3))
    chosen = np.where(some, hand, NAN)
    assert np.isfinite(score(RATES, chosen, some).r2)


# -- distances of trains


def padded(train, length=8):
    return np.array([*train, *[INF] * (length - len(train))], FLOAT)


def times(values):
    return np.array(values, FLOAT)


TRAINS = np.stack([padded(train) for train in PEERS["trains"]])
FIRST, SECOND = (TRAINS[list(at)] for at in zip(*PAIRS, strict=True))
each = lambda distance: jax.jit(jax.vmap(distance, (0, 0, None)))
victor_purpura, van_rossum = each(metrics.victor_purpura), each(metrics.van_rossum)


def test_distances_are_elephants(tolerance):
    for cost, expected in PEERS["victor_purpura"].items():
        found = victor_purpura(FIRST, SECOND, float(cost))
        close(found, expected, **tolerance(20))
        close(victor_purpura(SECOND, FIRST, float(cost)), found, **tolerance(20))
    for tau, expected in PEERS["van_rossum"].items():
        close(np.sqrt(2) * van_rossum(FIRST, SECOND, float(tau)), expected, **tolerance(20))


def test_the_distance_of_intervals_is_pyspikes(tolerance):
    isi = eqx.filter_jit(jax.vmap(lambda a, b: metrics.isi_distance(a, b, 0.0, 1.0)))
    close(isi(FIRST, SECOND), PEERS["isi"], **tolerance(20))
    close(isi(SECOND, FIRST), PEERS["isi"], **tolerance(20))
    np.testing.assert_array_equal(isi(TRAINS, TRAINS), 0)


ONE = {"none": [], "at 0.3": [0.3], "at 0.7": [0.7]}
NONE, EARLY, LATE = (np.array(padded(train))[None].repeat(len(PAIRS), 0) for train in ONE.values())


def test_distances_of_single_spikes(tolerance):
    for cost in (0.0, 1.0, 4.9, 5.1, 100.0):
        close(victor_purpura(EARLY, LATE, cost), min(0.4 * cost, 2), **tolerance())
        close([victor_purpura(EARLY, NONE, cost), victor_purpura(NONE, EARLY, cost)], 1, **tolerance())
    for tau in (1e-3, 0.1, 10.0):
        close(van_rossum(EARLY, NONE, tau) ** 2, 0.5, **tolerance())
        close(van_rossum(EARLY, LATE, tau) ** 2, 1 - np.exp(-0.4 / tau), **tolerance(5))
    assert not van_rossum(NONE, NONE, 1.0).any() and not victor_purpura(NONE, NONE, 1.0).any()


def test_trains_of_no_length():
    for distance in (metrics.van_rossum, metrics.victor_purpura):
        assert distance(times([]), times([]), 1.0) == 0


def test_limits_of_the_distances(within, tolerance):
    a, b = (padded(train)[None].repeat(len(PAIRS), 0) for train in ([0.1, 0.2, 0.5, 0.9], [0.2, 0.6]))
    close(victor_purpura(a, b, 0.0), 2, **tolerance())  # numbers of spikes
    close(victor_purpura(a, b, 1e6), 4, **tolerance())  # spikes that do not coincide
    close(van_rossum(a, b, 1e-4) ** 2, 4 / 2, **tolerance())
    close(van_rossum(a, b, 1e6) ** 2, 2**2 / 2, **within(1e-5))  # a difference of 2


def test_times_may_come_in_any_order(tolerance):
    turned = FIRST[:, ::-1].copy()
    for distance in (victor_purpura, van_rossum):
        close(distance(turned, SECOND, 5.0), distance(FIRST, SECOND, 5.0), **tolerance())


def double_sum(a, b, tau):
    """van Rossum's distance squared by its other closed form."""
    overlap = lambda x, y: np.exp(-np.abs(np.subtract.outer(x, y)) / tau).sum()
    return (overlap(a, a) + overlap(b, b)) / 2 - overlap(a, b)


trains = st.lists(st.floats(0, 4, width=32), max_size=8)


@hypothesis.given(a=trains, b=trains, c=trains, scale=st.sampled_from([0.05, 0.7, 20.0]))
def test_they_are_metrics(within, a, b, c, scale):
    three = np.stack([padded(train) for train in (a, b, c)])
    slack = 1e-4 if FLOAT == np.float32 else 1e-9
    for distance in (victor_purpura, van_rossum):
        left, right = [0, 1, 0, 1, 0, 1, 2, 0, 1, 2], [1, 2, 2, 0, 0, 1, 2, 0, 1, 2]
        ab, bc, ac, ba, *same = distance(three[left], three[right], scale)
        np.testing.assert_array_equal(same, 0)
        assert abs(ab - ba) <= slack and ac <= ab + bc + slack and ab >= 0
    close(ab**2, double_sum(np.array(a), np.array(b), scale), **within(absolute=100 * slack))


def test_a_time_that_is_none_gives_none_where_it_is_not_known():
    bad = FIRST.copy()
    bad[:5, 0], bad[5:, 3] = NAN, -INF
    for distance in (victor_purpura, van_rossum):
        assert np.isnan(distance(bad, SECOND, 1.0)).all() and np.isnan(distance(FIRST, SECOND, -1.0)).all()


# -- what is refused


def with_entry(x, at, value):
    x = x.astype(float)
    x[at] = value
    return x


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: metrics.bits_per_spike(RATES, with_entry(COUNTS, (1, 2, 3), -2.0)),
         r"counts\[1, 2, 3\] is -2, and so 1 of 750: a count is at least 0; mask"),
        (lambda: metrics.bits_per_spike(RATES, with_entry(COUNTS, (1, 2, 3), 0.5)), r"counts\[1, 2, 3\] is 0.5.*whole"),
        (lambda: metrics.bits_per_spike(np.log(RATES), COUNTS), r"rates\[.* is -.*not their logarithms"),
        (lambda: metrics.bits_per_spike(RATES[0, 0], COUNTS[0, 0]), r"rates has shape \(5,\)"),
        (lambda: metrics.bits_per_spike(RATES[:3], COUNTS), r"counts has shape \(6, 25, 5\) and rates"),
        (lambda: metrics.bits_per_spike(RATES, COUNTS, reference=RATES), "one mean rate for each neuron"),
        (lambda: metrics.bits_per_spike(RATES, COUNTS, reference=np.arange(5.0)), r"reference\[0\] is 0.*fires here"),
        (lambda: metrics.bits_per_spike(RATES, COUNTS, reference=-np.ones(5)), r"reference\[0\] is -1"),
        (lambda: metrics.co_smoothing_bits(RATES, COUNTS, [1, 3], inputs=[0, 3]), "held_out: neuron 3 is among"),
        (lambda: metrics.co_smoothing_bits(RATES, COUNTS, [5], inputs=[0]), r"held_out\[0\] is 5: neurons are"),
        (lambda: metrics.co_smoothing_bits(RATES, COUNTS, [1, 1], inputs=[0]), "held_out: 1 is there twice"),
        (lambda: metrics.co_smoothing_bits(RATES, COUNTS, [True], inputs=[0]), "np.flatnonzero"),
        (lambda: metrics.co_smoothing_bits(RATES[..., :4], COUNTS, [1], inputs=[0]), "rates has shape .* 5 neurons"),
        (lambda: metrics.forward_bits(RATES, COUNTS, 25), "begin=25: .* of 25 bins"),
        (lambda: metrics.forward_bits(RATES, COUNTS, 0), "begin=0"),
        (lambda: metrics.psth_r2(COUNTS, RATES, CONDITIONS), r"counts\[0, 0, 0\] is .*whole numbers"),  # swapped
        (lambda: metrics.psth_r2(RATES[0], COUNTS[0], CONDITIONS), "of trials"),
        (lambda: metrics.psth_r2(RATES, COUNTS, CONDITIONS[:4]), r"conditions: shape \(4,\)"),
        (lambda: metrics.rates_r2(RATES, RATES), "positional"),
        (lambda: metrics.rates_r2(true=RATES[0, :, 0], estimated=RATES[0, :, 0]), "of one neuron"),
        (lambda: metrics.decoding_r2(RATES, RATES, train=[0, 1], test=[1], ridge=1.0), "trial 1 is in train and test"),
        (lambda: metrics.decoding_r2(RATES, RATES, train=[0, 1], test=[2]), "ridge=None.*validation"),
        (lambda: metrics.decoding_r2(RATES, RATES, train=[0], test=[2], ridge=0), "ridge=0: .* above 0"),
        (lambda: metrics.decoding_r2(RATES, RATES, train=[0], test=[2], validation=[1], ridge=1.0), "not both"),
        (lambda: metrics.decoding_r2(RATES, RATES[:, :9], train=[0], test=[2], ridge=1.0), "same trials and bins"),
        (lambda: metrics.van_rossum(times([0.1, NAN]), times([0.2]), 1.0), r"a\[1\] is nan"),
        (lambda: metrics.victor_purpura(times([0.1]), times([-INF]), 1.0), r"b\[0\] is -inf"),
        (lambda: metrics.van_rossum(times([[0.1]]), times([0.2]), 1.0), "jax.vmap"),
        (lambda: metrics.van_rossum(times([0.1]), times([0.2]), 0.0), "tau=0.0"),
        (lambda: metrics.victor_purpura(times([0.1]), times([0.2]), -1.0), "cost=-1.0"),
        (lambda: metrics.isi_distance(times([0.1]), times([1.2]), 0.0, 1.0), r"b\[0\] is 1.2.*from 0 to 1"),
        (lambda: metrics.isi_distance(times([0.1]), times([0.2]), 1.0, 1.0), "start=1.0, stop=1.0"),
    ],
)  # fmt: skip
def test_what_is_refused(call, told):
    with pytest.raises((ValueError, TypeError), match=told):
        call()


@pytest.mark.only("float32")
def test_a_weighting_is_one_of_two():
    with pytest.raises(Exception, match="weighting"):
        metrics.rates_r2(true=RATES, estimated=RATES, weighting="both")
