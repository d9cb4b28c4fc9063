"""Orbits: of systems of the catalogue, of stiff fields, of equations with a delay, and of what diverges."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

CATALOGUE = ct.systems.catalogue


@ct.systems.law(delayed=True)
def Remembering(x, past, *, tau=1.0):
    """x' = -x(t - tau): a polynomial on each interval between multiples of tau."""
    return (-past,)


def remembered(t):
    """Its solution after x = 1, up to t = 4, tau = 1."""
    from math import factorial

    return sum((-1) ** k * np.maximum(t - k + 1, 0) ** k / factorial(k) for k in range(5))


def test_a_system_knows_start_step_and_grid(tolerance):
    lorenz = CATALOGUE["Lorenz"]
    orbit = ct.systems.simulate(lorenz, steps=4, points_per_period=50)
    np.testing.assert_allclose(orbit[0], lorenz.y0, **tolerance())
    plain = ct.systems.simulate(
        ct.systems.Lorenz63(beta=2.667), jnp.array(lorenz.y0), dt=lorenz.period / 50, substeps=100, steps=4
    )
    np.testing.assert_allclose(orbit, plain, **tolerance(10))


@pytest.mark.only("float64")
def test_time_reaches_the_field(within):
    ts = np.arange(8) * 0.05
    out = 1 + 0.5 * np.cos(15.3 * ts)
    torus = np.stack([out * np.cos(ts), out * np.sin(ts), 0.5 * np.sin(15.3 * ts)], axis=1)
    for how in ({"substeps": 40}, {"solver": diffrax.Tsit5()}):
        orbit = ct.systems.simulate(CATALOGUE["Torus"], jnp.array([1.5, 0.0, 0.0]), dt=0.05, steps=8, **how)
        np.testing.assert_allclose(orbit, torus, **within(absolute=1e-6))


@pytest.mark.only("float64")
def test_a_stiff_field_gets_an_implicit_solver(within):
    field, y0 = ct.systems.VanDerPol(1000.0), jnp.array([2.0, 0.0])
    truth = [1.779397769, 1.484575693, -1.936443545]  # by scipy's Radau at 1e-11
    orbit = ct.systems.simulate(field, y0, dt=300.0, steps=4)
    np.testing.assert_allclose(orbit[1:, 0], truth, **within(1e-4))
    with pytest.raises(ct.DataError, match=r"^the field diverges before t=300 \(row 1 of 4\).*Kvaerno5"):
        ct.systems.simulate(field, y0, dt=300.0, steps=4, substeps=10)


def test_a_delay_is_solved_with_a_history(tolerance, within):
    orbit = ct.systems.simulate(Remembering(), jnp.ones(1), dt=0.5, steps=8, substeps=4)
    np.testing.assert_allclose(orbit[:, 0], remembered(np.arange(8) * 0.5), **tolerance(10))  # cubics: exact
    orbit = ct.systems.simulate(Remembering(), jnp.ones(1), dt=0.3, steps=8, transient=3, substeps=7)
    np.testing.assert_allclose(orbit[:, 0], remembered(np.arange(3, 11) * 0.3), **within(absolute=2e-4))
    with pytest.raises(ct.DataError, match=r"^substeps=1: .*longer than the delay 1; give at least substeps=3"):
        ct.systems.simulate(Remembering(), jnp.ones(1), dt=3.0, steps=2, substeps=1)
    with pytest.raises(ct.DataError, match="`solver`: a system with a delay"):
        ct.systems.simulate(CATALOGUE["MackeyGlass"], steps=2, solver=diffrax.Tsit5())


def test_what_diverges_says_when_and_what_helps():
    lorenz = CATALOGUE["Lorenz"]
    with pytest.raises(ct.DataError, match=r"^Lorenz diverges before t=0.0\d+ \(row 1 of 5\): take a smaller `dt`"):
        ct.systems.simulate(lorenz, jnp.full(3, 1e9), steps=5)
    ys = jax.vmap(lambda y0: ct.systems.simulate(lorenz, y0, steps=5))(jnp.array([[1.0, 1, 20], [1e9, 1e9, 1e9]]))
    assert jnp.isfinite(ys[0]).all() and not jnp.isfinite(ys[1, 1:]).any()


@pytest.mark.only("float32")
def test_what_a_plain_field_has_to_be_given():
    field = ct.systems.Lorenz63()
    with pytest.raises(ct.DataError, match=r"^y0=None: only systems of `systems.catalogue` know theirs"):
        ct.systems.simulate(field, steps=5, dt=0.1)
    with pytest.raises(ct.DataError, match=r"^dt=None: only"):
        ct.systems.simulate(field, jnp.ones(3), steps=5)
    with pytest.raises(ct.DataError, match=r"^steps=0: a whole number of at least 1"):
        ct.systems.simulate(field, jnp.ones(3), dt=0.1, steps=0)
    with pytest.raises(ct.DataError, match=r"^y0 is of shape \(2,\), and a state of Lorenz is of shape \(3,\)"):
        ct.systems.simulate(CATALOGUE["Lorenz"], jnp.ones(2), steps=5)
    with pytest.raises(ct.DataError, match=r"^dt=0: a finite time that is not zero is needed"):
        ct.systems.simulate(CATALOGUE["Lorenz"], dt=0.0, steps=5)
    with pytest.raises(ct.DataError, match=r"^dt=-0.1: a positive time is needed"):
        ct.systems.simulate(CATALOGUE["MackeyGlass"], dt=-0.1, steps=5)
    with pytest.raises(ct.DataError, match=r"^tolerance=0: a number between 0 and 1 is needed"):
        ct.systems.simulate(CATALOGUE["Lorenz"], tolerance=0.0, steps=5)
    with pytest.raises(ct.DataError, match=r"^substeps=3: `solver` chooses its own steps"):
        ct.systems.simulate(CATALOGUE["Lorenz"], steps=5, substeps=3, solver=diffrax.Tsit5())


@pytest.mark.only("float64")
def test_exponents_add_up_to_the_divergence(within):
    lorenz = CATALOGUE["Lorenz"]
    run = jax.jit(lambda y0: ct.metrics.lyapunov_spectrum_of_field(lorenz.field, y0, dt=0.005, steps=400))
    assert abs(float(run(jnp.asarray(lorenz.y0)).sum()) + 10 + 1 + 2.667) < 1e-4
