"""Spikes in: counts in bins against NumPy's histogram, files of times and of counts, baselines, and what is refused."""

import re

import h5py
import hypothesis
import hypothesis.strategies as st
import jax
import numpy as np
import pandas as pd
import pytest
from scipy.ndimage import gaussian_filter1d

import ctmodels as ct
from ctmodels.data import condition_psth, count_series, from_pandas, gaussian_smoothing, read, spike_times

pytestmark = pytest.mark.only("float32")

close = np.testing.assert_allclose
same = np.testing.assert_array_equal
NAN = float("nan")

# Three neurons, of which the second never fires.
TRAINS = [np.array([0.05, 0.31, 0.32, 0.999]), np.zeros(0), np.array([0.2, 0.0])]
COUNTS = [[1, 0, 1], [0, 0, 1], [0, 0, 0], [2, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [0, 0, 0], [1, 0, 0]]
FLAT = np.concatenate(TRAINS)
INDEX = np.array([4, 4, 6])


# -- bins


def test_a_bin_is_stamped_with_its_end_and_holds_its_beginning(tolerance):
    series = ct.bin_spikes(TRAINS, 0.1, stop=1.0)
    close(series.ts, np.arange(1, 11) / 10, **tolerance())
    counts = np.array(COUNTS)
    counts[1, 2], counts[2, 2] = 0, 1  # at 0.2, where the third bin begins
    same(series.ys, counts)
    assert series.mask.all() and series.ys.dtype == np.float32
    close(np.diff(series.ts, prepend=0), 0.1, **tolerance(5))


def test_flat_times_with_ids_or_an_index_are_the_same():
    expected = ct.bin_spikes(TRAINS, 0.1, stop=1.0)
    mixed = np.array([4, 1, 0, 3, 5, 2])
    ids = np.array([7, 7, 7, 7, 2, 2])
    for series in (
        ct.bin_spikes(FLAT, 0.1, stop=1.0, index=INDEX),
        ct.bin_spikes(FLAT[mixed], 0.1, stop=1.0, units=ids[mixed], neurons=[7, 5, 2]),
        ct.bin_spikes([TRAINS[2], *TRAINS], 0.1, stop=1.0, neurons=[1, 2, 3]),
        ct.bin_spikes(TRAINS, edges=np.arange(11) / 10),
        ct.bin_spikes(TRAINS, 0.1),  # to the end of the bin of the last spike
    ):
        jax.tree.map(same, series, expected)
    both = ct.bin_spikes(FLAT, 0.1, stop=1.0, units=ids)
    same(both.ys, expected.ys[:, [2, 0]])  # ids in order


@hypothesis.given(
    times=st.lists(st.integers(0, 299), max_size=12),
    width=st.integers(1, 40),
    scale=st.sampled_from([0.001, 1 / 30_000, 0.1, 1.0]),
)
def test_ticks_of_a_clock_are_counted_as_integers_are(times, width, scale):
    """0.3 is in the bin that begins there, though 3 * 0.1 in floats comes after it."""
    stop = width * (300 // width + 1)
    expected, _ = np.histogram(times, np.arange(0, stop + 1, width))
    series = ct.bin_spikes([np.array(times) * scale], width * scale, stop=stop * scale)
    same(series.ys[:, 0], expected)


def test_bins_of_unequal_width():
    edges = [-1.0, 0.0, 0.25, 0.3, 2.0]
    series = ct.bin_spikes(TRAINS, edges=edges)
    same(series.ys, np.stack([np.histogram(train, edges)[0] for train in TRAINS], axis=1))
    same(series.ts, np.array(edges[1:], np.float32))


def test_trials_have_clocks_of_their_own(tolerance):
    times = [np.array([10.1, 10.35, 20.0, 20.3]), np.array([9.95, 20.29])]
    first, second = ct.bin_spikes(times, 0.1, trials=[(10.0, 10.4), (20.0, 20.3)], outside="drop")
    same(first.ys, [[0, 0], [1, 0], [0, 0], [1, 0]])
    same(second.ys, [[1, 0], [0, 0], [0, 1]])
    close(first.ts, [0.1, 0.2, 0.3, 0.4], **tolerance(5))
    around, _ = ct.bin_spikes(times, 0.1, start=-0.1, stop=0.1, trials=[10.0, 20.0], outside="drop")
    same(around.ys, [[0, 1], [0, 0]])
    close(around.ts, [0.0, 0.1], **tolerance(5))
    by_edges = ct.bin_spikes(times, edges=[-0.1, 0.0, 0.1], trials=[10.0, 20.0], outside="drop")
    jax.tree.map(same, by_edges[0].ys, around.ys)
    # Each spike in some trial, of which two overlap: nothing is outside.
    assert len(ct.bin_spikes(times, 1.0, trials=[(9, 11), (10, 12), (20, 21)])) == 3
    batch = ct.collate([first, second])
    assert batch.ys.shape == (2, 4, 2) and not batch.mask[1, 3].any()


def test_a_bin_with_a_part_in_a_pause_is_not_observed():
    series = ct.bin_spikes(TRAINS, 0.1, stop=1.0, unobserved=[(0.3, 0.4), (0.55, 0.71)])
    same(np.flatnonzero(~series.mask[:, 0]), [3, 5, 6, 7])
    same(series.mask.all(axis=1), series.mask.any(axis=1))
    assert series.ys[3, 0] == 0 and series.ys[0, 0] == 1
    (trial,) = ct.bin_spikes(TRAINS, 0.1, trials=[(0.3, 0.6)], unobserved=[(0.3, 0.4)], outside="drop")
    same(trial.mask[:, 0], [False, True, True])  # on the clock of the spikes


def test_what_is_outside_is_dropped_where_that_is_said():
    kept = ct.bin_spikes(TRAINS, 0.1, start=0.1, stop=0.95, outside="drop")
    assert kept.ys.shape == (8, 3) and kept.ys.sum() == 3


def test_a_recording_without_a_spike_has_counts_of_none():
    series = ct.bin_spikes([[], []], 0.5, stop=2.0)
    assert series.ys.shape == (4, 2) and not series.ys.any() and series.mask.all()
    assert not ct.bin_spikes([], 0.5, stop=1.0, units=[], neurons=[3, 4]).ys.any()


BINS = dict(width=0.1, stop=1.0)


@pytest.mark.parametrize(
    "times, arguments, told",
    [
        (TRAINS, dict(width=0.0), "width=0: a bin has a finite width above 0"),
        (TRAINS, dict(width=NAN), "width=nan"),
        (TRAINS, {}, "`width` and `edges`: neither"),
        (TRAINS, dict(width=1.0, edges=[0, 1]), "`width` and `edges`: both"),
        (TRAINS, dict(edges=[0, 1], stop=1.0), "`edges`: bins begin and end with them"),
        (TRAINS, dict(edges=[0.0, 0.5, 0.5, 1.0]), r"edges\[2\] is 0.5 after 0.5: .* increase"),
        (TRAINS, dict(edges=[0.0, 0.5, 0.4]), r"edges\[2\] is 0.4 after 0.5"),
        (TRAINS, dict(edges=[0.0, NAN]), r"edges\[1\] is nan"),
        (TRAINS, dict(edges=[0.0]), r"edges: shape \(1,\)"),
        (TRAINS, dict(width=0.3, stop=1.0), "stop: from 0 to 1 there are 3.33333 bins of width=0.3.* end at 0.9"),
        (TRAINS, dict(width=0.3, stop=0.1), "no bin of width=0.3: give a later end"),
        ([[], []], dict(width=0.3), "stop=None: no spike comes after start=0"),
        (TRAINS, dict(width=0.1, stop=0.3), "times: 3 of 6 spikes are in no bin from 0 to 0.3, the first of them at "
         "0.31 of neuron 0.*outside='drop'"),
        (TRAINS, dict(width=0.1, trials=[(0.0, 0.2), (0.2, 0.3)]), "3 of 6 spikes are in no bin of the 2 trials"),
        (TRAINS, dict(width=0.1, outside="keep"), "outside='keep'"),
        ([[0.1, NAN]], BINS, r"times\[0\]\[1\] is nan, and so 1 of 2"),
        ([[0.1], [0.2, np.inf]], BINS, r"times\[1\]\[1\] is inf"),
        (["a"], BINS, "times"),
        ([["a"]], BINS, r"times\[0\]: shape \(1,\) of <U1"),
        ([[[0.1]]], BINS, r"times\[0\]: shape \(1, 1\)"),
        ([], BINS, "times: empty"),
        (FLAT, BINS, r"times: one list of 6 times: .* units=\.\.\. or index=\.\.\., or \[times\]"),
        (FLAT, BINS | dict(units=[0] * 6, index=[6]), "units and index: both"),
        (FLAT, BINS | dict(units=[0, 0, 1.5, 1, 1, 1]), r"units\[2\] is 1.5: whole numbers"),
        (FLAT, BINS | dict(units=[0, 0, NAN, 1, 1, 1]), r"units\[2\] is nan"),
        (FLAT, BINS | dict(units=[0, 1]), "units: 2 ids for the 6 spikes of times"),
        (FLAT, BINS | dict(units=[0] * 6, neurons=[0, 0]), "neurons: 0 is there twice"),
        (with_nan := np.where(FLAT == 0.2, NAN, FLAT), BINS | dict(index=INDEX), r"times\[4\] is nan"),
        (FLAT, BINS | dict(index=[4, 3, 6]), r"index\[1\] is 3 after 4: .* never falls"),
        (FLAT, BINS | dict(index=[4, 4, 7]), r"index\[2\] is 7, where times has 6 spikes"),
        (FLAT, BINS | dict(index=[4, 9, 9]), r"index\[1\] is 9, where times has 6 spikes"),
        (FLAT, BINS | dict(index=[4, 5]), r"index\[1\] is 5, where times has 6 spikes"),
        (FLAT, BINS | dict(index=[]), "index is empty"),
        (FLAT, BINS | dict(index=[-1, 6]), r"index\[0\] is -1 and they begin at 0"),
        (FLAT, BINS | dict(index=[1.5, 6]), r"index\[0\] is 1.5"),
        (TRAINS, BINS | dict(neurons=[0, 3]), r"neurons\[1\] is 3: the neurons are numbered from 0 to 2"),
        (TRAINS, dict(width=0.1, trials=[(0.5, 0.5)]), r"trials\[0\] ends at 0.5 and begins at 0.5"),
        (TRAINS, dict(width=0.1, trials=[(0.5, NAN)]), r"trials\[0, 1\] is nan"),
        (TRAINS, dict(width=0.1, trials=[(0.0, 0.25)]), r"trials\[0\]: from 0 to 0.25 there are 2.5 bins"),
        (TRAINS, dict(width=0.1, trials=[(0.0, 1.0)], stop=1.0), "trials: each has an end of its own, and `stop`"),
        (TRAINS, dict(edges=[0, 1], trials=[(0.0, 1.0)]), "trials: each has an end of its own, and `edges`"),
        (TRAINS, BINS | dict(unobserved=[(0.2, 0.1)]), r"unobserved\[0\] is \(0.2, 0.1\)"),
    ],
)  # fmt: skip
def test_spikes_and_bins_that_are_refused(times, arguments, told):
    with pytest.raises(ct.DataError, match=told):
        ct.bin_spikes(times, **arguments)


def test_more_bins_than_memory_are_refused_before_they_are_made():
    with pytest.raises(ct.DataError, match="stop: .* bins of 3 neurons: .* of memory .* give a larger width"):
        ct.bin_spikes(TRAINS, 1e-14, stop=1.0)


# -- files


def hdf5(path, **arrays):
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file[name] = array
    return path


def test_times_in_groups_as_nwb_has_them(tmp_path):
    arrays = {"units/spike_times": FLAT, "units/spike_times_index": INDEX.astype(np.uint8), "units/id": [11, 12, 30]}
    np.savez(tmp_path / "a.npz", **arrays)
    paths = hdf5(tmp_path / "a.nwb", **arrays), tmp_path / "a.npz"
    for found in map(spike_times, paths):
        assert found.ids == [11, 12, 30]
        for train, expected in zip(found.times, TRAINS, strict=True):
            same(train, expected)
    jax.tree.map(same, ct.bin_spikes(found.times, 0.1), ct.bin_spikes(TRAINS, 0.1))


def test_times_in_arrays_of_other_names(tmp_path):
    arrays = dict(
        spike_times=FLAT, spike_times_index=INDEX, who=[7, 7, 7, 7, 2, 2], ends=INDEX, a=TRAINS[0], b=TRAINS[2]
    )
    np.savez(tmp_path / "a.npz", **arrays)
    for path in (tmp_path / "a.npz", hdf5(tmp_path / "a.h5", **arrays)):
        assert [len(train) for train in spike_times(path).times] == [4, 0, 2]
        assert [len(train) for train in spike_times(path, "spike_times", index="ends").times] == [4, 0, 2]
        by_id, by_name = spike_times(path, units="who"), spike_times(path, ["b", "a"])
        assert (by_id.ids, by_name.ids) == ([2, 7], ["b", "a"])
        for one, other, expected in zip(by_id.times, by_name.times, (TRAINS[2], TRAINS[0]), strict=True):
            same(one, expected)
            same(other, expected)


@pytest.mark.parametrize(
    "arrays, arguments, told",
    [
        (dict(x=FLAT), {}, "no array 'units/spike_times' or 'spike_times': there are 'x'; .* times=..."),
        (dict(spike_times=FLAT), {}, r"no array 'spike_times_index'.* units=..., or \['spike_times'\] for one neuron"),
        (dict(spike_times=FLAT), dict(times="x"), "no column 'x': there are 'spike_times'"),
        (dict(spike_times=FLAT), dict(index="x"), "no column 'x'"),
        (dict(spike_times=FLAT), dict(times=["spike_times", "y"]), "no column 'y'"),
        (dict(spike_times=FLAT, spike_times_index=[4, 3]), {}, r"array 'spike_times_index'\[1\] is 3 after 4"),
        (
            dict(spike_times=FLAT, spike_times_index=[4, 9]),
            {},
            r"array 'spike_times_index'\[1\] is 9, where .* 6 spikes",
        ),
        (dict(spike_times=FLAT + NAN, spike_times_index=INDEX), {}, r"array 'spike_times'\[0\] is nan"),
        (dict(spike_times=FLAT, u=[0.5] * 6), dict(units="u"), r"array 'u'\[0\] is 0.5"),
        (dict(spike_times=FLAT, u=[1] * 5), dict(units="u"), "array 'u': 5 ids for the 6 spikes"),
    ],
)
def test_files_of_times_that_are_refused(arrays, arguments, told, tmp_path):
    np.savez(tmp_path / "a.npz", **arrays)
    for path in (tmp_path / "a.npz", hdf5(tmp_path / "a.h5", **arrays)):
        with pytest.raises(ct.DataError, match=f"{re.escape(str(path))}.*{told}"):
            spike_times(path, **arguments)


def test_what_is_no_file_of_times(tmp_path):
    (tmp_path / "a.csv").write_text("t,x\n0,1\n")
    (tmp_path / "a.h5").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    for name, told in (("a.csv", "neither npz nor HDF5"), ("a.h5", "not a whole HDF5"), ("b.npz", "no such file")):
        with pytest.raises(ct.DataError, match=told):
            spike_times(tmp_path / name)


def test_the_trials_of_an_nwb_file_are_a_table_of_it(tmp_path):
    path = hdf5(tmp_path / "a.h5", **{
        "intervals/trials/start_time": [0.0, 0.5], "intervals/trials/stop_time": [0.4, 1.0],
        "units/spike_times": FLAT, "units/spike_times_index": INDEX,
    })  # fmt: skip
    table = read(path, "intervals/trials/start_time", ["intervals/trials/stop_time"])
    trials = ct.bin_spikes(
        spike_times(path).times, 0.1, trials=np.column_stack([table.time, table.values]), outside="drop"
    )
    assert [trial.ys.shape for trial in trials] == [(4, 3), (5, 3)]
    assert [trial.ys.sum() for trial in trials] == [5, 1]


# -- counts in tables


def test_counts_in_a_wide_table(tmp_path):
    (tmp_path / "a.csv").write_text("t,n1,n2,n3\n0.1,0,2,0\n0.2,1,,0\n0.3,0,0,0\n")
    series = count_series(read(tmp_path / "a.csv", "t", constant_ok=["n1", "n2", "n3"]))
    same(series.ys, [[0, 2, 0], [1, 0, 0], [0, 0, 0]])  # as they are: neither centred nor scaled
    same(series.mask, [[True] * 3, [True, False, True], [True] * 3])
    close(series.ts, [0.1, 0.2, 0.3])


def test_counts_in_a_long_table(tmp_path):
    (tmp_path / "a.csv").write_text("trial,t,n1,n2\na,0.1,0,2\nb,0.1,3,0\na,0.2,1,0\nb,0.2,0,0\n")
    first, second = count_series(read(tmp_path / "a.csv", "t", id="trial"))
    same(first.ys, [[0, 2], [1, 0]])
    same(second.ys, [[3, 0], [0, 0]])


def test_counts_in_a_table_of_one_count_for_each_row():
    long = pd.DataFrame({"trial": list("aaaabbbb"), "t": [0.1, 0.1, 0.2, 0.2] * 2, "neuron": [0, 1] * 4,
                         "count": [0, 2, 1, 0, 3, 0, 0, 5]})  # fmt: skip
    wide = long.pivot(index=["trial", "t"], columns="neuron", values="count").reset_index()
    first, second = count_series(from_pandas(wide, "t", id="trial"))
    same(first.ys, [[0, 2], [1, 0]])
    same(second.ys, [[3, 0], [0, 5]])


@pytest.mark.parametrize(
    "cell, told", [("-1", "-1 is no count"), ("0.5", "0.5 is no count of spikes, and so are 1 val")]
)
def test_what_is_no_count_is_refused_with_its_cell(cell, told, tmp_path):
    (tmp_path / "a.csv").write_text(f"t,n1\n0.1,0\n0.2,{cell}\n0.3,4\n")
    with pytest.raises(ct.DataError, match=f"a.csv, row 3, column 'n1': {told}"):
        count_series(read(tmp_path / "a.csv", "t"))


# -- rates without a model


def test_gaussian_smoothing_is_scipys_away_from_the_ends(within, tolerance):
    counts = np.random.default_rng(0).poisson(0.7, (2, 60, 3))
    rates = gaussian_smoothing(counts, 2.0)
    expected = gaussian_filter1d(counts.astype(float), 2.0, axis=1, truncate=8, mode="constant")
    close(rates[:, 20:40], expected[:, 20:40], **within(1e-5))
    # A kernel is normalised by what was observed: constant counts stay so, at ends and beside pauses.
    mask = np.ones(counts.shape, bool)
    mask[:, 10:14] = False
    close(gaussian_smoothing(np.where(mask, 3.0, NAN), 2.0, mask), 3.0, **tolerance())
    assert np.isnan(gaussian_smoothing(counts, 2.0, np.zeros_like(mask))).all()
    close(gaussian_smoothing(counts[0], 2.0), rates[0], **tolerance(5))


def test_a_psth_is_the_mean_of_its_condition(tolerance):
    counts = np.random.default_rng(1).poisson(1.0, (5, 4, 2))
    labels = np.array(["b", "a", "b", "a", "b"])
    psth = condition_psth(counts, labels)
    close(psth[0], counts[[0, 2, 4]].mean(0), **tolerance())
    close(psth[3], counts[[1, 3]].mean(0), **tolerance())
    close(condition_psth(counts, labels, ["a", "b", "a"]), psth[np.array([1, 0, 3])], **tolerance())
    mask = np.ones(counts.shape, bool)
    mask[0, 1] = mask[[1, 3], 2, 1] = False
    masked = condition_psth(np.where(mask, counts, NAN), labels, mask=mask)
    close(masked[2, 1], counts[[2, 4], 1].mean(0), **tolerance())
    assert np.isnan(masked[1, 2, 1]) and np.isfinite(masked).sum() == masked.size - 2


@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: gaussian_smoothing(np.zeros((4, 2)), 0.0), "width=0.0"),
        (lambda: gaussian_smoothing(np.zeros(4), 1.0), r"counts has shape \(4,\)"),
        (lambda: gaussian_smoothing(np.zeros((4, 2)), 1.0, np.ones((4, 1), bool)), r"mask has shape \(4, 1\)"),
        (lambda: condition_psth(np.zeros((4, 2)), [0, 1]), r"\(trial, time, neuron\)"),
        (lambda: condition_psth(np.zeros((2, 4, 2)), [0, 1, 1]), "one label for each of the 2 trials"),
        (lambda: condition_psth(np.zeros((2, 4, 2)), [0, 1], [1, 2]), r"wanted\[1\] is .*2.*: one label"),
    ],
)
def test_rates_that_are_refused(call, told):
    with pytest.raises(ValueError, match=told):
        call()
