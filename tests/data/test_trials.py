"""Trials: long tables of several series; nothing of one half of a split is in the other."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings, strategies as st

import ctmodels as ct
from ctmodels.data import Table, Trials, from_pandas, read

pytestmark = pytest.mark.only("float64")


def says(*parts: str) -> str:
    """A pattern that finds all the parts, in their order, in one message."""
    return "(?s)" + ".*".join(re.escape(part) for part in parts)


def long_table(lengths=(5, 9, 7, 3, 12), seed=0) -> pd.DataFrame:
    """Interleaved rows of several ids, each in the order of its times."""
    rng = np.random.default_rng(seed)
    ids = rng.permutation(np.repeat([f"s{i}" for i in range(len(lengths))], lengths))
    ts = np.cumsum(rng.uniform(0.1, 1, len(ids)))  # increasing over all, and so within each
    return pd.DataFrame({"who": ids, "t": ts, "x": rng.normal(size=len(ids)), "y": np.cos(ts)})


def test_interleaved_ids_become_trials_of_unequal_length(tmp_path):
    frame = long_table()
    frame.loc[3, "x"] = np.nan
    frame.to_csv(tmp_path / "a.csv", index=False)
    frame.to_parquet(tmp_path / "a.parquet")
    np.savez(tmp_path / "a.npz", **{name: np.array(frame[name].tolist()) for name in frame})
    from_files = [read(tmp_path / f"a.{end}", "t", id="who") for end in ("csv", "parquet", "npz")]
    levels = from_pandas(frame.set_index(["who", "t"]), "t", id="who")
    for trials in (from_pandas(frame, "t", id="who"), levels, *from_files):
        assert trials.ids == tuple(dict.fromkeys(frame["who"])) and trials.names == ("x", "y")
        for name, rows in frame.groupby("who"):
            np.testing.assert_array_equal(trials[name].time, rows["t"])
            np.testing.assert_array_equal(trials[name].values, rows[["x", "y"]])
    assert from_files[0].select(["y"]).names == ("y",)


def test_trials_of_xarray_come_as_a_frame():
    data = xr.DataArray(np.arange(6.0).reshape(2, 3), {"trial": ["a", "b"], "time": [0, 1, 2]}, name="x")
    trials = from_pandas(data.to_dataframe().reset_index(), "time", id="trial")
    assert trials.ids == ("a", "b") and trials["b"].values[:, 0].tolist() == [3, 4, 5]


def test_dates_have_one_origin_and_the_spacing_within_trials_gives_the_unit():
    times = pd.to_datetime(["2020-01-01", "2020-03-01", "2020-01-02", "2020-03-02", "2020-01-03"])
    frame = pd.DataFrame({"who": list("ababa"), "t": times, "x": [1.0, 2, 3, 4, 5]})
    trials = from_pandas(frame, "t", id="who")
    assert trials["a"].time.tolist() == [0, 1, 2] and trials["b"].time.tolist() == [60, 61]
    assert {(t.time_unit, t.origin) for t in trials.tables} == {("days", "2020-01-01")}
    begun = trials.from_start()["b"]
    assert begun.time.tolist() == [0, 1] and (begun.time_unit, begun.origin) == ("days", "")


def with_row(frame, row, **changes):
    frame = frame.astype({"t": float})
    for name, value in changes.items():
        frame.loc[row, name] = value
    return frame


GOOD = pd.DataFrame({"who": list("abab"), "t": [0.0, 0, 1, 1], "x": [1.0, 2, 3, 4], "y": [1.0, 1, 1, 2]})


@pytest.mark.parametrize(
    "frame, parts",
    [
        (with_row(GOOD, 2, t=0.0), ("index 0 and ", "index 2", "who 'a' has time 0.0 twice", "average them")),
        (with_row(GOOD, 2, t=-1.0), ("index 2, column 't'", "-1.0 after 0.0", "within each 'who'", "sort=True")),
        (with_row(GOOD, 2, who=None), ("index 2, column 'who'", "missing id", "drop the row")),
        (with_row(GOOD, [0, 2], y=np.nan), ("who 'a', column 'y'", "all 2 values are missing", "leave it out")),
        (with_row(GOOD, 3, y=1.0), ("column 'y'", "constant, all 4 observed values are 1.0")),
        (with_row(GOOD, 3, x=np.inf), ("index 3, column 'x'", "infinite")),
        (with_row(GOOD, 3, who="c"), ("who 'b', column 't'", "only 1 time", "at least 2 points")),
    ],
)
def test_bad_trials(frame, parts, tmp_path):
    with pytest.raises(ct.DataError, match=says(*parts)):
        from_pandas(frame, "t", id="who")
    frame.to_csv(tmp_path / "a.csv", index=False)
    in_file = [re.sub(r"index (\d)", lambda m: f"row {int(m[1]) + 2}", part) for part in parts]
    with pytest.raises(ct.DataError, match=says(*in_file)):
        read(tmp_path / "a.csv", "t", id="who")


def test_the_id_is_no_value():
    with pytest.raises(ct.DataError, match=says("'who' is asked for as id and as a value", "drop one")):
        from_pandas(GOOD, "t", ["who", "x"], id="who")
    with pytest.raises(ct.DataError, match=says("no column 'id'", "'who', 't', 'x', 'y'")):
        from_pandas(GOOD, "t", id="id")


def test_a_channel_may_rest_in_one_trial():
    trials = from_pandas(GOOD, "t", id="who")  # y is 1 throughout "a"
    rest, _ = trials.series(trials.scaling())
    assert rest.mask.all() and rest.ys[0, 1] == rest.ys[1, 1]


def test_trials_share_channels_and_units():
    a = Table(np.arange(3.0), np.arange(3.0)[:, None], ("x",), "t", "", "", "a.csv", ("m",))
    with pytest.raises(ct.DataError, match=says("id 'b' has the units ('km',)", "'a' has ('m',)", "convert")):
        Trials(("a", "b"), (a, dataclasses.replace(a, units=("km",))))
    with pytest.raises(ct.DataError, match=says("id 'b' has the names ('z',)", "select common ones")):
        Trials(("a", "b"), (a, dataclasses.replace(a, names=("z",))))
    with pytest.raises(ct.DataError, match=says("id 'a' is there twice")):
        Trials(("a", "a"), (a, a))
    with pytest.raises(ct.DataError, match=says("no id 'c'", "'a'", "choose")):
        Trials(("a",), (a,))["c"]


@given(st.lists(st.integers(4, 9), min_size=3, max_size=7), st.integers(0, 99), st.floats(0.15, 0.6))
def test_splits_do_not_leak(lengths, seed, held_out):
    trials = from_pandas(long_table(lengths, seed), "t", id="who")
    try:
        train, test = trials.split_by_trial(held_out, seed)
    except ct.DataError:  # a fraction of few may be none
        assert not 1 <= round(held_out * len(trials)) < len(trials)
        return
    assert not set(train.ids) & set(test.ids) and set(train.ids) | set(test.ids) == set(trials.ids)
    # What is held out says nothing of the scaling.
    other = Trials(test.ids, tuple(dataclasses.replace(t, values=1e6 * t.values) for t in test.tables))
    swapped = Trials(trials.ids, tuple(other[i] if i in other.ids else trials[i] for i in trials.ids))
    assert swapped.split_by_trial(held_out, seed)[0].scaling() == train.scaling()


@given(st.lists(st.integers(6, 12), min_size=1, max_size=5), st.integers(0, 99), st.sampled_from([2, 0.35, 0.5]))
def test_a_split_by_time_is_one_of_before_and_after(lengths, seed, held_out):
    trials = from_pandas(long_table(lengths, seed), "t", id="who")
    train, test = trials.split_by_time(held_out)
    assert train.ids == test.ids == trials.ids
    for name in trials.ids:
        assert train[name].time[-1] < test[name].time[0]
        both = np.concatenate([train[name].values, test[name].values])
        np.testing.assert_array_equal(both, trials[name].values)


def test_splits_that_leave_nothing():
    trials = from_pandas(long_table(), "t", id="who")
    for held_out in (0.01, 0.99, 5, 9):
        with pytest.raises(ct.DataError, match=says("trials: held_out=", "both need at least 1", "choose another")):
            trials.split_by_trial(held_out)
    with pytest.raises(ct.DataError, match=says("who 's3'", "leaves 2 of 3", "1 to judge", "at least 2")):
        trials.split_by_time(0.3)
    frame = long_table([9])
    frame.loc[5:, "x"] = np.nan
    with pytest.raises(ct.DataError, match=says("who 's0', column 'x'", "nothing is observed at its end (2 samples)")):
        from_pandas(frame, "t", id="who").split_by_time(2)


def test_the_same_draw_twice_and_another_with_another_seed():
    trials = from_pandas(long_table([4] * 20), "t", id="who")
    assert trials.split_by_trial(5, 1)[1].ids == trials.split_by_trial(5, 1)[1].ids
    assert trials.split_by_trial(5, 1)[1].ids != trials.split_by_trial(5, 2)[1].ids


def test_the_scaling_of_one_trial_is_that_of_the_table():
    table = from_pandas(long_table(), "t", ["x", "y"])
    one = Trials(("all",), (table,))
    assert one.scaling() == ct.Scaling.fit(table.time, table.values)
    # Between the end of one trial and the start of the next there is neither a step nor a speed.
    far = dataclasses.replace(table, time=table.time + 1e6, values=table.values)
    assert Trials(("a", "b"), (table, far)).scaling().time_scale == pytest.approx(one.scaling().time_scale)


def test_times_that_run_together_are_refused_with_their_trial():
    table = Table(np.arange(3.0), np.arange(3.0)[:, None], ("x",), "t", "", "", "a.csv, who 'a'")
    late = dataclasses.replace(table, time=table.time + 2.0**26, source="a.csv, who 'b'")
    trials = Trials(("a", "b"), (table, late))
    if not jax.config.jax_enable_x64:
        with pytest.raises(ct.DataError, match=says("a.csv, who 'b'", "float32", "run together")):
            trials.series(trials.scaling())
    begun = trials.from_start()
    assert len(begun.series(begun.scaling())) == 2


def toy():
    field = ct.fields.MLPField(2, width=4, key=jax.random.key(0))
    return ct.NeuralODE(field, 2, integrate=ct.Integrate(ct.RK4(), ct.Substeps(1)))


@jax.jit
def toy_loss(batch):
    objective = ct.objective(ct.losses.squared)
    return objective(toy(), ct.Example(batch.ys[:, 0], batch), jax.random.key(0), jnp.zeros((), int))[0]


def toy_batch(seed):
    trials = from_pandas(long_table([4, 7, 5], seed), "t", id="who").from_start()
    return trials.series(trials.scaling())


few = settings(max_examples=4)


@few
@given(seed=st.integers(0, 99), value=st.floats(-9, 9))
def test_padding_and_what_is_under_the_mask_change_nothing(tolerance, seed, value):
    batch = ct.collate(toy_batch(seed))
    longer = ct.collate([s.pad(10) for s in toy_batch(seed)])
    other = ct.Series(longer.ts, jnp.where(longer.mask, longer.ys, jnp.asarray(value, longer.ys.dtype)), longer.mask)
    for changed in (longer, other):
        np.testing.assert_allclose(toy_loss(changed), toy_loss(batch), **tolerance())


@few
@given(order=st.permutations(range(3)), seed=st.integers(0, 3))
def test_the_order_of_a_batch_changes_nothing(tolerance, order, seed):
    batch = ct.collate(toy_batch(seed))
    shuffled = jax.tree.map(lambda a: a[jnp.array(order)], batch)
    np.testing.assert_allclose(toy_loss(shuffled), toy_loss(batch), **tolerance())


def test_a_batch_larger_than_the_data_is_all_of_them():
    batch = ct.collate(toy_batch(0))
    step = ct.make_step(ct.objective(ct.losses.squared), optax.sgd(1e-2))
    state = step.init(toy(), key=jax.random.key(0))
    data = ct.ArrayDataset(ct.Example(batch.ys[:, 0], batch))
    assert ct.fit(step, state, data, steps=2, batch_size=99, progress=False).stopped == "finished"


@given(
    shift=st.floats(-1e6, 1e6),
    power=st.integers(-40, 40),
    scale=st.floats(1e-3, 1e3),
    offset=st.floats(-1e3, 1e3),
)
def test_units_and_origins_do_not_reach_the_inside(shift, power, scale, offset, tolerance):
    """Another clock and other units of the values give the same series inside, from 1e-12 to 1e12."""
    ts, ys = np.arange(8.0), np.sin(np.arange(8.0))[:, None]
    inside = ct.Scaling.fit(ts, ys).series(ts, ys)
    for times in (ts * 2.0**power, ts + shift):
        values = scale * ys + offset
        other = ct.Scaling.fit(times, values).series(times, values)
        np.testing.assert_allclose(other.ts, inside.ts, **tolerance(1000))
        np.testing.assert_allclose(other.ys, inside.ys, **tolerance(1000))


@given(st.lists(st.one_of(st.none(), st.floats(-1e6, 1e6)), min_size=6, max_size=6), st.integers(0, 1))
def test_the_mask_is_what_was_not_nan(cells, extra):
    ys = np.array([np.nan if c is None else c for c in cells] + [0.0, 1.0])[:, None]
    series = ct.Series.from_nan(np.arange(float(len(ys))), ys).pad(len(ys) + extra)
    assert series.mask.dtype == bool and series.mask.shape == series.ys.shape
    np.testing.assert_array_equal(series.mask[: len(ys)], ~np.isnan(ys))
    assert not series.mask[len(ys) :].any() and np.isfinite(series.ys).all()
    assert np.isfinite(series.fill_forward()).all()
