"""Where systems rest, and what they do close by: against closed forms."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels import analysis

LORENZ = ct.systems.Lorenz63()
RNG = np.random.default_rng(0)
AROUND = jnp.asarray(RNG.normal(size=(48, 3)) * 15 + np.array([0, 0, 25]))
ON_A_LINE = jnp.linspace(-2.0, 2.0, 41)[:, None]


def linear(A):
    return lambda t, z, args: jnp.asarray(A, z.dtype) @ z


@pytest.mark.parametrize(
    ("dynamics", "dt", "loose"),
    [(LORENZ, None, 1), (ct.NeuralODE(LORENZ, 3, integrate=ct.Integrate(ct.RK4(), ct.Substeps(8))), 0.05, 3000)],
    ids=["field", "model"],
)
def test_those_of_lorenz(dynamics, dt, loose, tolerance):
    points = analysis.fixed_points(dynamics, AROUND, dt=dt)
    found = sorted((p.z for p in points), key=lambda z: z[0])
    side = np.sqrt(8 / 3 * 27)
    wanted = np.array([[-side, -side, 27], [0, 0, 0], [side, side, 27]])
    np.testing.assert_allclose(found, wanted, **tolerance(10))
    assert sum(p.hits for p in points) == len(AROUND) and not any(p.slow for p in points)
    for point in points:
        x, y, z = point.z
        exact = np.array([[-10, 10, 0], [28 - z, -1, -x], [y, x, -8 / 3]])
        rates = np.linalg.eigvals(exact)
        np.testing.assert_allclose(
            point.linear.rates, rates[np.argsort(-rates.real, kind="stable")], **tolerance(20 * loose)
        )
        assert point.linear.index == (1 if abs(x) < 1 else 2) and "saddle" in point.linear.kind


def test_slow_points_where_two_have_met():
    """z - z^3 + c: three fixed points up to |c| = 2 / 27^(1/2) = 0.385, beyond it one, and the ghost of the others."""
    field = lambda t, z, c: z - z**3 + c
    three = analysis.fixed_points(field, ON_A_LINE, control=0.1)
    assert sorted(p.linear.kind for p in three) == ["stable node", "stable node", "unstable node"]
    one = analysis.fixed_points(field, ON_A_LINE, control=0.5)
    assert [p.linear.stable for p in one] == [True]
    _, ghost = analysis.fixed_points(field, ON_A_LINE, control=0.5, slow=True)
    assert ghost.slow and "slow" in str(ghost) and abs(ghost.z[0] + 3**-0.5) < 1e-2
    assert abs(ghost.speed - (0.5 - 2 / 27**0.5)) < 1e-4


@pytest.mark.only("float64")
def test_kinds_in_words():
    at_zero = lambda A: analysis.linearise(linear(A), jnp.zeros(2))
    assert at_zero([[0, 1], [-4, 0]]).kind == "centre"
    assert at_zero([[-1, 2], [-2, -1]]).kind == "stable spiral"
    assert at_zero([[1, 2], [-2, 1]]).kind == "unstable spiral"
    assert at_zero([[-1, 0], [0, -2]]).kind == "stable node"
    assert at_zero([[1, 0], [0, -2]]).kind == "saddle, unstable in 1 of 2 directions"
    assert at_zero([[0, 0], [0, -2]]).kind.startswith("not hyperbolic")
    step = analysis.linearise(analysis.Map(linear([[-0.5, 0], [0, 0.5]])), jnp.zeros(2))
    assert step.kind == "stable node, alternating" and step.stable and step.index == 0


def test_rates_are_in_the_users_units(tolerance):
    """A damped oscillation of 2 turns per unit inside, where a unit is 5 seconds."""
    rate, turns = -0.5, 2.0
    A = np.array([[rate, -2 * np.pi * turns], [2 * np.pi * turns, rate]])
    scaling = ct.Scaling(mean=(0.0, 0.0), std=(1.0, 3.0), origin=0.0, time_scale=5.0)
    inside = analysis.linearise(linear(A), jnp.zeros(2))
    np.testing.assert_allclose(inside.frequencies, [turns, turns], **tolerance())
    outside = analysis.linearise(linear(A), jnp.zeros(2), scaling=scaling)
    np.testing.assert_allclose(outside.frequencies, [turns / 5] * 2, **tolerance())
    np.testing.assert_allclose(outside.time_constants, [10, 10], **tolerance(10))
    exact = jax.scipy.linalg.expm(jnp.asarray(0.1 * A))
    step = analysis.linearise(analysis.Map(linear(exact), dt=0.1), jnp.zeros(2))
    np.testing.assert_allclose(np.sort_complex(step.rates), np.sort_complex(inside.rates), **tolerance(30))


@pytest.mark.only("float32")
def test_what_is_refused():
    with pytest.raises(ValueError, match=r"starts: an array of float32, shape \(3,\), where floats \(start, state\)"):
        analysis.fixed_points(LORENZ, jnp.zeros(3))
    with pytest.raises(ValueError, match="tolerance=-1: above 0"):
        analysis.fixed_points(LORENZ, AROUND, tolerance=-1.0)
    with pytest.raises(ValueError, match="dt=None: the time of a step"):
        analysis.fixed_points(ct.NeuralODE(LORENZ, 3), AROUND)


@pytest.mark.only("float32")
def test_where_nothing_rests_nothing_is_found():
    """No root; none but at infinity; a law that is not finite."""
    for field in (lambda t, z, args: z**2 + 1, lambda t, z, args: jnp.exp(-z), lambda t, z, args: z * jnp.nan):
        assert analysis.fixed_points(field, ON_A_LINE) == []
