"""Windows and free starts."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import ctmodels as ct


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


def test_a_control_is_cut_with_its_window():
    s = series()
    data = ct.Windows(s, 3, starts=s.ys, control=s)
    path = jax.tree.map(lambda a: a[0], data[jnp.array([5])].x.control)
    np.testing.assert_allclose(path(jnp.array(0.25)), s.ys[6], rtol=1e-6)


@pytest.mark.parametrize("length", [1, 10])
def test_a_window_that_does_not_fit_is_refused(length):
    with pytest.raises(ValueError, match=f"length={length}: .* at most the series' 9"):
        ct.Windows(series(), length)


def test_the_true_trajectory_has_no_gaps_and_a_false_start_has():
    s = series()
    data = ct.Windows(s, 3, stride=2)
    batch = data[jnp.arange(len(data))]
    loss = ct.pooled(ct.losses.shooting(10.0))
    right = ct.Shooting(rotation(), s.ys[data.at])
    assert loss(right, batch, jax.random.key(0))[0] < 1e-6
    wrong = ct.Shooting(rotation(), right.starts.at[1, 0].add(0.1))
    # 0.1 off at a start: its window misses by 0.01 in each of 3 samples, and two gaps open.
    squares = 0.01 * 3 + 10.0 * (0.01 + 0.01)
    np.testing.assert_allclose(loss(wrong, batch, jax.random.key(0))[0], squares / (4 * 3 * 2), rtol=1e-2)


def test_model_and_starts_are_trained_together():
    s = series()
    data = ct.Windows(s, 3, stride=2)
    shooting = ct.Shooting(rotation(), jnp.zeros((len(data), 2)))
    step = ct.make_step(ct.objective(ct.losses.shooting(1.0)), optax.adam(0.05))
    result = ct.fit(
        step, step.init(shooting, key=jax.random.key(0)), data, steps=300, batch_size=len(data), progress=False
    )
    np.testing.assert_allclose(result.model.starts, s.ys[data.at], atol=5e-3)
