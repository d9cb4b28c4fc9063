"""Exponents of any dynamics: against a linear field's, a map's, and the trace of a law, whatever solves it."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels import analysis
from ctmodels._core._steps import whole_steps

LORENZ = ct.systems.Lorenz63()
TRACE = -(10 + 1 + 8 / 3)
START = jnp.array([1.0, 1.0, 20.0])
GRID = dict(method=ct.RK4(), controller=ct.Substeps(4))


def spectrum(dynamics, z0=START, **settings):
    return jax.jit(lambda z0: analysis.lyapunov(dynamics, z0, **settings))(z0)


@pytest.mark.parametrize(
    "integrate",
    [
        ct.Integrate(),
        pytest.param(ct.Integrate(**GRID, adjoint=ct.ReversibleAdjoint()), marks=pytest.mark.only("float64")),
        pytest.param(ct.Integrate(adjoint=diffrax.ForwardMode()), marks=pytest.mark.slow),
        pytest.param(ct.Integrate(adjoint=diffrax.RecursiveCheckpointAdjoint()), marks=pytest.mark.slow),
    ],
    ids=["default", "reverse mode only", "forward mode only", "checkpoints"],
)
def test_lorenz_through_whatever_solves_it(integrate, within):
    got = spectrum(ct.NeuralODE(LORENZ, 3, integrate=integrate), dt=0.05, steps=4000, transient=200)
    np.testing.assert_allclose(got.exponents.sum(), TRACE, **within(1e-3))
    assert abs(got.exponents[0] - 0.906) < 0.06 and abs(got.exponents[1]) < 0.02
    assert np.all(got.error < 0.05) and got.error[0] > 1e-4
    np.testing.assert_allclose(ct.metrics.kaplan_yorke(got.exponents), 2.062, **within(0.005))


def test_a_linear_field_is_exact(tolerance):
    A = np.array([[-1.0, 2.0, 0.0], [0.0, -0.5, 1.0], [0.0, 0.0, 0.25]])
    got = spectrum(lambda t, z, args: jnp.asarray(A, z.dtype) @ z, dt=0.02, steps=1000, transient=4000)
    h = 0.02 * np.diag(A)
    steps = 1 + h + h**2 / 2 + h**3 / 6 + h**4 / 24  # what Runge-Kutta makes of it
    np.testing.assert_allclose(got.exponents, np.sort(np.log(steps) / 0.02)[::-1], **tolerance(100))
    assert got.exponents.shape == got.error.shape == got.end.shape == (3,)


class Henon(ct.AbstractDynamics):
    """A map that takes a hundredth: late in a long run, whole steps are told apart in float32 no more."""

    channels = size = 2

    def __call__(self, x, ts=None, *, key=None):
        return ct.roll_out(self, x, ts)

    def lift(self, ys, slopes=None):
        return ys

    def flow(self, t0, t1, z, control=None):
        return whole_steps(lambda t, z: henon(z), z, t0, t1, 0.01)

    def observe(self, z):
        return z

    def describe(self):
        return "Henon's map"


def henon(z):
    return jnp.stack([1 - 1.4 * z[0] ** 2 + z[1], 0.3 * z[0]])


def test_maps_a_bare_one_and_a_model(within):
    logistic = analysis.Map(lambda t, z, args: 4 * z * (1 - z), dt=0.5)
    got = spectrum(logistic, jnp.array([0.3]), steps=20_000, transient=100)
    np.testing.assert_allclose(got.exponents, [np.log(2) / 0.5], **within(0.02))
    settings = dict(steps=10_000, transient=100, every=5)
    bare = spectrum(analysis.Map(lambda t, z, args: henon(z)), jnp.array([0.1, 0.1]), **settings)
    np.testing.assert_allclose(bare.exponents.sum(), np.log(0.3), **within(1e-4))
    np.testing.assert_allclose(bare.exponents[0], 0.419, **within(0.05))
    # Later than 1000, where steps of a hundredth are no whole ones in float32.
    model = spectrum(Henon(), jnp.array([0.1, 0.1]), dt=0.01, steps=150_000, transient=100, every=5)
    np.testing.assert_allclose(0.01 * model.exponents, bare.exponents, **within(0.03))


def test_of_a_driven_field_along_its_drive(within):
    """z' = -u(t) z: the mean of the drive over the time, which begins at zero."""
    path = ct.paths.LinearPath(jnp.array([0.0, 10.0]), jnp.array([[0.0], [2.0]]))
    field = lambda t, z, path: -path(t) * z
    got = spectrum(field, jnp.array([1.0]), dt=0.1, steps=100, control=path)
    np.testing.assert_allclose(got.exponents, [-1.0], **within(1e-4))


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(steps=100), "dt=None: the time of a step is needed"),
        (dict(steps=100, dt=0.0), "dt=0: the time of a step is needed, above 0"),
        (dict(steps=105, dt=0.1), "steps=105: no multiple of 10"),
        (dict(steps=100, dt=0.1, count=4), "count=4: a whole number from 1 to 3"),
        (dict(steps=100, dt=0.1, z0=jnp.ones((2, 3))), "z0: an array of float32, shape"),
        (dict(steps=100, dt=0.1, dynamics="lorenz"), "dynamics: 'lorenz', where a function"),
    ],
)
def test_what_is_refused(settings, message):
    with pytest.raises((ValueError, TypeError), match=message):
        analysis.lyapunov(**{"dynamics": LORENZ, "z0": START, **settings})
