"""Where orbits go, how that changes with a parameter, and what noise does to it: against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctmodels import analysis


def double_well(t, z, args):
    return z - z**3


def logistic(r):
    return analysis.Map(lambda t, z, args: r * z * (1 - z))


def test_basins_of_a_double_well_are_its_halves():
    starts = jnp.linspace(-2.0, 2.0, 40)[:, None]
    found = analysis.basins(double_well, starts, dt=0.1, steps=200, tail=10)
    assert found.fractions.tolist() == [0.5, 0.5] and np.all((found.labels == found.labels[0]) == (starts[:, 0] < 0))
    assert abs(np.sort(found.means[:, 0]) - [-1, 1]).max() < 1e-4 and np.ptp(found.highest - found.lowest) < 1e-4


@pytest.mark.only("float64")
def test_basins_of_a_cycle_a_point_and_infinity():
    """r' = r (r^2 - 1/4) (1 - r^2) (r^2 - 4), phi' = 1: the origin, the cycle of radius 1, and what is beyond 2."""

    def field(t, z, args):
        s = jnp.sum(z**2)
        return z * (s - 0.25) * (1 - s) * (4 - s) + jnp.stack([-z[1], z[0]])

    starts = jnp.asarray([[0.1, 0.2], [0.3, 0.0], [0.7, 0.3], [1.5, 0.0], [0.0, -1.9], [2.5, 0.0]])
    found = analysis.basins(field, starts, dt=0.01, steps=3000, tail=700)
    assert found.labels.tolist() == [1, 1, 0, 0, 0, -1]
    np.testing.assert_array_equal(found.fractions, [3 / 6, 2 / 6])
    assert abs(found.highest[0] - 1).max() < 1e-3 and abs(found.highest[1]).max() < 1e-3


def test_the_logistic_map_doubles_its_period_where_it_is_known_to(within):
    """At 3, and at 1 + 6^(1/2); chaotic at 4, with an exponent of log 2."""
    first, second = 3.0, 1 + 6**0.5
    values = jnp.asarray([first - 0.05, first + 0.05, second - 0.03, second + 0.03, 4.0])
    found = analysis.bifurcation(logistic, values, jnp.array([0.3]), steps=4000, transient=3000)
    counts = [len(np.unique(np.round(orbit[:, 0], 3))) for orbit in found.orbits]
    assert counts[:4] == [1, 2, 2, 4] and counts[4] > 500
    assert np.all(found.exponents[:4, 0] < -0.01)
    np.testing.assert_allclose(found.exponents[4], [np.log(2)], **within(0.05))
    np.testing.assert_allclose(found.exponents[0], [np.log(abs(2 - values[0]))], **within(1e-3))
    assert found.lowest.shape == found.highest.shape == (5, 1) and found.highest[4] <= 1
    r, x = found.states()
    assert r.shape == x.shape == (5 * 4000,)


@pytest.mark.only("float64")
def test_a_cycle_is_born_at_hopfs_point(within):
    """r' = r (mu - r^2), phi' = 1: a point that is stable below 0, above it a cycle of radius mu^(1/2)."""

    def make(mu):
        turn = jnp.array([[0.0, -1.0], [1.0, 0.0]])
        return lambda t, z, args: z * (mu - jnp.sum(z**2)) + turn @ z

    values = jnp.array([-0.5, 0.25, 1.0])
    found = analysis.bifurcation(make, values, jnp.array([0.5, 0.0]), dt=0.1, steps=200, transient=2000)
    mu, x = found.maxima()
    np.testing.assert_allclose(x[mu > 0], np.sqrt(mu[mu > 0]), **within(1e-3))
    assert x[mu < 0].shape == (1,) and np.abs(x[mu < 0]) < 1e-6 and np.sum(mu == 1.0) in (3, 4)
    np.testing.assert_allclose(found.exponents, [[-0.5, -0.5], [0, -0.5], [0, -2]], **within(absolute=2e-3))
    points = analysis.fixed_points_along(make, values, 0.3 * jnp.asarray(np.random.default_rng(0).normal(size=(8, 2))))
    assert [p.linear.kind for (p,) in points] == ["stable spiral", "unstable spiral", "unstable spiral"]


def test_fixed_points_along_a_pitchfork():
    make = lambda r: lambda t, z, args: r * z - z**3
    values = jnp.array([-1.0, 0.25, 1.0])
    branches = analysis.fixed_points_along(make, values, jnp.linspace(-2.0, 2.0, 21)[:, None])
    found = [sorted((round(float(p.z[0]), 4) + 0.0, p.linear.stable) for p in points) for points in branches]
    assert found[0] == [(0, True)]
    assert found[1] == [(-0.5, True), (0, False), (0.5, True)]
    assert found[2] == [(-1, True), (0, False), (1, True)]


@pytest.mark.only("float64")
def test_noise_has_the_variance_and_the_escape_times_that_are_known(within):
    """Of an Ornstein-Uhlenbeck process scale^2 / (2 rate); of Brownian motion in (-1, 1) a mean time of 1 / scale^2."""
    keys = jax.random.split(jax.random.key(0), 400)
    run = lambda key: analysis.noisy_orbit(lambda t, z, args: -z, jnp.zeros(1), 0.5, dt=0.02, steps=500, key=key)
    ends = jax.jit(jax.vmap(run))(keys)[:, 250:]
    np.testing.assert_allclose(np.var(ends), 0.125, **within(0.1))
    still, inside = lambda t, z, args: 0 * z, lambda z: jnp.abs(z[0]) < 1
    leave = lambda key: analysis.escape_time(still, jnp.zeros(1), 0.5, inside, dt=0.01, steps=5000, key=key)
    times = jax.jit(jax.vmap(leave))(keys)
    np.testing.assert_allclose(np.mean(times), (1 + 0.5826 * 0.5 * 0.1) ** 2 / 0.25, **within(0.1))
    assert not np.isfinite(analysis.escape_time(still, jnp.zeros(1), 0.0, inside, dt=0.01, steps=5, key=keys[0]))


@pytest.mark.only("float32")
def test_what_is_refused():
    values, z0 = jnp.linspace(3, 4, 3), jnp.array([0.3])
    with pytest.raises(ValueError, match="steps=105: a multiple of 10"):
        analysis.bifurcation(logistic, values, z0, steps=105, transient=0)
    with pytest.raises(ValueError, match="values: 3.5, where floats"):
        analysis.bifurcation(logistic, 3.5, z0, steps=100, transient=0)
    with pytest.raises(ValueError, match="dt=None: the time of a step is needed"):
        analysis.basins(double_well, jnp.zeros((2, 1)), steps=5, tail=5)
    with pytest.raises(ValueError, match=r"scale.*shape \(2,\): one number, or one for each state"):
        analysis.noisy_orbit(double_well, z0, jnp.ones(2), dt=0.1, steps=5, key=jax.random.key(0))
    with pytest.raises(TypeError, match="key"):
        analysis.noisy_orbit(double_well, z0, 0.1, dt=0.1, steps=5, key=None)
