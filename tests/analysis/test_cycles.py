"""What is repeated: van der Pol's cycle, the logistic map's, against what is known of them."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels import analysis

VAN_DER_POL = ct.systems.VanDerPol()
PERIOD = 6.663286859  # at mu = 1
GRID = jnp.linspace(0.02, 0.98, 80)[:, None]


def logistic(r):
    return analysis.Map(lambda t, z, args: r * z * (1 - z))


def test_the_cycle_of_van_der_pol(within):
    cycle = analysis.limit_cycle(VAN_DER_POL, jnp.array([1.0, 0.0]), dt=0.04, transient=500, steps=400)
    np.testing.assert_allclose(cycle.period, PERIOD, **within(2e-6))
    assert cycle.stable and cycle.multipliers.shape == (1,) and abs(cycle.trivial - 1) < 1e-4
    # Of a plane flow the other multiplier is the exponential of the mean divergence over a turn.
    divergence = np.mean(1 - cycle.orbit[:, 0] ** 2) * cycle.period
    np.testing.assert_allclose(cycle.multipliers, [np.exp(divergence)], **within(2e-3))
    assert abs(np.abs(cycle.orbit[:, 0]).max() - 2.0086) < 1e-3


@pytest.mark.only("float64")
def test_through_a_model_and_backwards_in_time_where_it_repels(within):
    model = ct.NeuralODE(VAN_DER_POL, 2, integrate=ct.Integrate(ct.RK4(), ct.Substeps(8)))
    cycle = analysis.limit_cycle(model, jnp.array([2.0, 0.0]), dt=0.3, period=6.5)
    np.testing.assert_allclose(cycle.period, PERIOD, **within(1e-5))
    backwards = lambda t, z, args: -VAN_DER_POL(t, z, args)
    repels = analysis.limit_cycle(backwards, jnp.array([2.0, 0.0]), dt=0.02, period=6.6)
    assert not repels.stable and "unstable cycle of period 6.66" in str(repels)
    np.testing.assert_allclose(repels.multipliers, 1 / cycle.multipliers, **within(1e-3))


def test_cycles_of_the_logistic_map(tolerance):
    """At r = 3.5 a 2-cycle that repels and a 4-cycle that attracts; at 1 + 5^(1/2) a 2-cycle through 1/2."""
    r = 3.5
    (two,) = analysis.map_cycles(logistic(r), GRID, 2)
    roots = np.roots([r**2, -r * (r + 1), r + 1])
    np.testing.assert_allclose(np.sort(two.orbit[:, 0]), np.sort(roots), **tolerance(10))
    np.testing.assert_allclose(two.multipliers, [4 + 2 * r - r**2], **tolerance(50))
    (four,) = analysis.map_cycles(logistic(r), GRID, 4)
    assert four.stable and not two.stable and four.orbit.shape == (4, 1) and four.period == 4
    (best,) = analysis.map_cycles(logistic(1 + 5**0.5), GRID, 2)
    np.testing.assert_allclose(best.multipliers, [0], **tolerance(50))
    assert np.abs(best.orbit[:, 0] - 0.5).min() < 1e-5


@pytest.mark.only("float64")
def test_what_does_not_come_back_is_said():
    with pytest.raises(ValueError, match="it rests, runs away, or needs more steps"):
        analysis.limit_cycle(lambda t, z, args: -z, jnp.ones(2), dt=0.1, steps=100)
    with pytest.raises(ValueError, match="no closed orbit is close"):
        analysis.limit_cycle(lambda t, z, args: jnp.ones_like(z), jnp.ones(2), dt=0.1, period=3.0)
    with pytest.raises(TypeError, match="analysis.map_cycles"):
        analysis.limit_cycle(logistic(3.5), jnp.ones(1), dt=0.1)
    with pytest.raises(ValueError, match="order=0"):
        analysis.map_cycles(logistic(3.5), GRID, 0)


@pytest.mark.only("float64")
def test_a_search_through_a_model_finds_what_is_exact(tolerance):
    """The tent map as a PLRNN, x <- 2 x and 2 (1 - x) beyond 1/2, beside a direction that contracts to 1."""
    cell = ct.fields.ShallowPLRNN(2, 1, clipped=False, key=jax.random.key(0))
    parts = lambda c: (c.A, c.W1, c.W2, c.h1, c.h2)
    values = [2.0, 0.3], [[-4.0], [0.0]], [[1.0, 0.0]], [0.0, 0.7], [-0.5]
    cell = eqx.tree_at(parts, cell, tuple(map(jnp.asarray, values)))
    model = ct.PLRNN(cell, ct.FirstChannels(1), dt=0.5)
    starts = jnp.stack([jnp.linspace(0.01, 0.97, 40), jnp.ones(40)], axis=1)
    searched = analysis.map_cycles(model, starts, 3, dt=0.5)
    exact = analysis.exact_cycles(cell, 3).found
    lowest = lambda points: sorted(float(p[:, 0].min()) for p in points)
    np.testing.assert_allclose(lowest([c.orbit for c in searched]), lowest([c.points for c in exact]), **tolerance(10))
    for cycle in searched:
        np.testing.assert_allclose(np.abs(cycle.multipliers), [8.0, 0.3**3], **tolerance(100))
        assert cycle.period == 1.5 and not cycle.stable
