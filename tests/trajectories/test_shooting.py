"""Windows and free starts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ctmodels as ct

pytestmark = pytest.mark.mostly("float64")


def series(n=9):
    ts = 3.0 + 0.25 * np.arange(n)
    return ct.Series.from_nan(ts, np.stack([np.cos(ts), -np.sin(ts)], axis=1))


def rotation():
    return ct.NeuralODE(lambda t, y, args: jnp.stack([y[1], -y[0]]), 2, 0, ct.Integrate(ct.RK4(), ct.Substeps(2)))


def test_windows_have_their_own_clock_and_a_given_start_teaches_nothing():
    s = series()
    data = ct.Windows(s, 4, starts=s.ys, stride=2)
    assert len(data) == 3
    batch = data[jnp.array([2, 0])]
    np.testing.assert_array_equal(batch.target.ts[0], [0, 0.25, 0.5, 0.75])
    np.testing.assert_array_equal(batch.target.ys[0], s.ys[4:8])
    np.testing.assert_array_equal(batch.x.y0[0], s.ys[4])
    assert not batch.target.mask[:, 0].any() and batch.target.mask[:, 1:].all()


def test_a_control_is_cut_with_its_window(tolerance):
    s = series()
    data = ct.Windows(s, 3, starts=s.ys, control=s)
    path = jax.tree.map(lambda a: a[0], data[jnp.array([5])].x.control)
    np.testing.assert_allclose(path(jnp.array(0.25)), s.ys[6], **tolerance())


@pytest.mark.only("float32")
@pytest.mark.parametrize("length", [1, 10])
def test_a_window_that_does_not_fit_is_refused(length):
    with pytest.raises(ValueError, match=f"length={length}: .* at most the series' 9"):
        ct.Windows(series(), length)


def test_the_true_trajectory_has_no_gaps_and_a_false_start_has(within):
    s = series()
    data = ct.Windows(s, 3, stride=2)
    batch = data[jnp.arange(len(data))]
    loss = ct.pooled(ct.losses.shooting(10.0))
    right = ct.Shooting(rotation(), s.ys[data.at])
    assert loss(right, batch, jax.random.key(0))[0] < 1e-6
    wrong = ct.Shooting(rotation(), right.starts.at[1, 0].add(0.1))
    # 0.1 off at a start: its window misses by 0.01 in each of 3 samples, and two gaps open.
    squares = 0.01 * 3 + 10.0 * (0.01 + 0.01)
    np.testing.assert_allclose(loss(wrong, batch, jax.random.key(0))[0], squares / (4 * 3 * 2), **within(1e-2))


def test_model_and_starts_are_trained_together(within):
    s = series()
    data = ct.Windows(s, 3, stride=2)
    shooting = ct.Shooting(rotation(), jnp.zeros((len(data), 2)))
    step = ct.make_step(ct.objective(ct.losses.shooting(1.0)), optax.adam(0.05))
    result = ct.fit(
        step, step.init(shooting, key=jax.random.key(0)), data, steps=300, batch_size=len(data), progress=False
    )
    np.testing.assert_allclose(result.model.starts, s.ys[data.at], **within(absolute=5e-3))


def gappy() -> ct.Series:
    ys = 5 + np.sin(np.arange(12) / 4.0)[:, None] * np.ones(2)
    ys[::3, 1] = np.nan
    return ct.Series.from_nan(np.arange(12.0), ys)


def test_windows_that_start_where_something_is_not_known_are_left_out_if_asked():
    s = gappy()
    data = ct.Windows(s, 3, starts=s.to_nan())
    np.testing.assert_array_equal(data.at, [1, 2, 4, 5, 7, 8])
    np.testing.assert_array_equal(data[jnp.arange(6)].x.y0, s.ys[data.at])
    assert len(ct.Windows(s, 3, starts=s.fill_forward())) == 10


def test_a_window_begins_with_the_last_value_of_its_control():
    control = ct.Series.from_nan(np.arange(12.0), np.where(np.arange(12) % 6, np.nan, 1.0 + np.arange(12))[:, None])
    batch = ct.Windows(gappy(), 3, starts=gappy().fill_forward(), control=control)[jnp.array([2, 8])]
    np.testing.assert_array_equal(batch.x.control.ys[..., 0], [[1, 1, 1], [7, 7, 7]])


def turned(s: ct.Series, **changes) -> ct.Series:
    return ct.Series(**{**vars(s), **changes})


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "make, message",
    [
        (
            lambda s: ct.Windows(s, 3, starts=s.ys),
            r"starts\[0, 1\] is 0, where nothing was observed, and so for 4 of 10",
        ),
        (lambda s: ct.Windows(s, 3, starts=np.pad(s.ys, ((0, 0), (0, 1)))), r"starts\[0, 1\] is 0, where nothing"),
        (
            lambda s: ct.Windows(s, 3, starts=s.ys[:10]),
            r"starts has shape \(10, 2\): .* 12 times .* not for each window",
        ),
        (lambda s: ct.Windows(s, 3, starts=s.ys[:, 0]), r"starts has shape \(12,\)"),
        (lambda s: ct.Windows(s, 3, starts=np.ones((12, 2), int)), "starts has dtype int"),
        (lambda s: ct.Windows(s, 3, starts=np.full((12, 2), np.nan)), "none of the 10 windows begins at a state"),
        (lambda s: ct.Windows(s, 3, stride=0), "stride=0"),
        (lambda s: ct.Windows(s, 3, control=s[:10]), "control has 10 times and the series 12"),
        (lambda s: ct.Windows(s, 3, control=turned(s, ts=s.ts + 1)), r"control.ts\[0\] is 1 and series.ts\[0\] is 0"),
        (lambda s: ct.Windows(s, 3, control=turned(s, mask=s.mask & False)), "control, channel 0: never observed"),
        (lambda s: ct.Windows(ct.collate([s, s]), 3), r"series: .* is a batch: windows are of one series"),
    ],
)
def test_starts_and_controls_of_other_shapes_and_times_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make(gappy())


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "shape, message",
    [((3, 2), r"starts has shape \(3, 2\) and there are 4 windows"), ((4, 1), r"\(1,\).*state of \(2,\)|1 channels")],
)
def test_free_starts_of_another_shape_are_refused(shape, message):
    data = ct.Windows(series(), 3, stride=2)
    with pytest.raises(ValueError, match=message):
        ct.losses.shooting(1.0)(ct.Shooting(rotation(), jnp.zeros(shape)), data[jnp.array(0)])
