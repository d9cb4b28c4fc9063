"""Fields and known systems against closed forms."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

PRECISE = ct.Integrate(controller=diffrax.PIDController(rtol=1e-6, atol=1e-8))


def test_second_order_is_the_harmonic_oscillator(within):
    field = ct.fields.SecondOrder(lambda t, y, args: -y[:1])
    ys, _ = PRECISE(field, jnp.linspace(0, 3, 4), jnp.array([1.0, 0.0]))
    np.testing.assert_allclose(ys[:, 0], np.cos(np.linspace(0, 3, 4)), **within(absolute=1e-4))


def test_a_sum_of_fields_and_its_gradients(tolerance):
    known = ct.systems.LotkaVolterra(1.0, 0.5, 0.3, 0.8)
    unknown = ct.fields.MLPField(2, width=3, depth=1, key=jax.random.key(0))
    y = jnp.array([1.2, 0.7])
    np.testing.assert_allclose(
        ct.fields.SumField(known, unknown)(0.0, y, None), known(0.0, y, None) + unknown(0.0, y, None), **tolerance()
    )
    np.testing.assert_allclose(known(0.0, y, None), [1.2 * (1 - 0.35), 0.7 * (0.36 - 0.8)], **tolerance())
    with pytest.raises(ValueError, match="parts is empty"):
        ct.fields.SumField()


@pytest.mark.parametrize("log", [False, True])
def test_a_rescaled_field_solves_to_the_scaled_solution(log, within):
    law = ct.systems.LotkaVolterra(0.9, 0.05, 0.02, 0.6)
    ts = np.linspace(1900.0, 1910.0, 6)
    solution, _ = PRECISE(law, jnp.asarray(ts - 1900), jnp.array([30.0, 10.0]))
    physical = np.asarray(solution, np.float64)
    scaling = ct.Scaling.fit(ts, physical, log=log)
    zs = scaling.scale(physical)
    taus = jnp.asarray(scaling.times(ts), solution.dtype)
    scaled, _ = PRECISE(ct.fields.Rescaled(law, scaling), taus, jnp.asarray(zs[0], solution.dtype))
    np.testing.assert_allclose(scaled, zs, **within(1e-3, absolute=2e-4))


def test_a_driven_field_follows_its_input(tolerance):
    field = ct.fields.MLPField(1, inputs=2, width=3, depth=1, key=jax.random.key(0))
    u = lambda t: jnp.array([1.0, 2.0]) * t
    y = jnp.array([0.3])
    np.testing.assert_allclose(field(jnp.array(2.0), y, u), field.mlp(jnp.array([0.3, 2.0, 4.0])), **tolerance())


def test_simulate_keeps_its_invariants_and_transient(tolerance):
    def energy(y):
        prey, predators = y.T
        return 0.3 * prey - 0.8 * np.log(prey) + 0.5 * predators - np.log(predators)

    y0 = jnp.array([1.0, 1.5])
    orbit = ct.systems.simulate(ct.systems.LotkaVolterra(1.0, 0.5, 0.3, 0.8), y0, dt=0.1, steps=100)
    np.testing.assert_array_equal(orbit[0], y0)
    assert np.ptp(energy(np.asarray(orbit, np.float64))) < 1e-4
    later = ct.systems.simulate(ct.systems.LotkaVolterra(1.0, 0.5, 0.3, 0.8), y0, dt=0.1, steps=50, transient=50)
    np.testing.assert_allclose(later, orbit[50:], **tolerance())


@pytest.mark.parametrize(
    "system, y, slope",
    [
        (ct.systems.Lorenz63(), [1.0, 2.0, 3.0], [10.0, 23.0, -6.0]),
        (ct.systems.Roessler(), [1.0, 2.0, 3.0], [-5.0, 1.4, -13.9]),
        (ct.systems.VanDerPol(), [2.0, 1.0], [1.0, -5.0]),
    ],
)
def test_systems_at_a_point(system, y, slope, tolerance):
    np.testing.assert_allclose(system(0.0, jnp.array(y), None), slope, **tolerance())
