"""Potentials against closed forms and a plain loop; which of them are bounded below."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels.fields import check_bounded

least_eigenvalue = eqx.filter_jit(ct.fields.least_eigenvalue)
KEY = jax.random.key(0)


def array(*shape):
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.zeros(()).dtype)


def oscillators(size=8, **kwargs):
    return ct.fields.CoupledOscillators(size, key=KEY, **kwargs)


def test_quadratic_forms_and_wells_are_what_they_say(tolerance):
    z, matrix = array(3), array(3, 3)
    away = np.asarray(z) - 0.5
    for stiffness, wanted in (
        (2.0, away @ away),
        (jnp.array([1.0, 2.0, 3.0]), away @ (np.array([1, 2, 3]) * away) / 2),
        (matrix, away @ np.asarray(matrix) @ away / 2),
    ):
        potential = ct.fields.Quadratic(stiffness, 0.5)
        np.testing.assert_allclose(potential(z), wanted, **tolerance())
    symmetric = (matrix + matrix.T) / 2
    np.testing.assert_allclose(least_eigenvalue(potential, z), np.linalg.eigvalsh(symmetric)[0], **tolerance())
    np.testing.assert_allclose(jax.grad(potential)(z), symmetric @ away.astype(z.dtype), **tolerance())
    well = ct.fields.DoubleWell(1.5, 2.0)
    np.testing.assert_allclose(well(jnp.array([0.0, 2.0, -2.0])), 1.5, **tolerance())
    np.testing.assert_allclose(least_eigenvalue(well, jnp.zeros(2)), -4 * 1.5 / 4, **tolerance())
    np.testing.assert_allclose(least_eigenvalue(well, 2 * jnp.ones(2)), 8 * 1.5 / 4, **tolerance())
    confined, free = (ct.fields.MLPPotential(3, width=4, confinement=c, key=KEY) for c in (0.8, 0.0))
    np.testing.assert_allclose(confined(z) - free(z), 0.4 * z @ z, **tolerance())


def test_numbers_are_fixed_and_arrays_are_learned():
    learned = lambda potential: len(jax.tree.leaves(jax.grad(lambda p: p(jnp.ones(2)), allow_int=True)(potential)))
    assert isinstance(ct.fields.Quadratic(2).stiffness, float)
    assert learned(ct.fields.Quadratic(jnp.asarray(2.0), jnp.zeros(2))) == 2
    assert isinstance(ct.fields.DoubleWell(np.ones(2)).height, jax.Array)


def test_coupled_oscillators_are_a_grouped_convolution(within):
    """By a plain loop over groups, sites and taps, zeros beyond the ends."""
    potential, z = oscillators(12, groups=3, reach=3, confinement=0.7), array(12)
    kernel = np.asarray(potential.kernel, np.float64)
    kernel = kernel / np.linalg.norm(kernel, axis=2, keepdims=True)
    sites = np.pad(np.asarray(z, np.float64).reshape(3, 4), ((0, 0), (1, 1)))
    wanted = 0.35 * (np.asarray(z, np.float64) ** 2).sum()
    for g in range(3):
        for s in range(4):
            convolved = sum(kernel[g, h, k] * sites[h, s + k] for h in range(3) for k in range(3))
            wanted += convolved * sites[:, s + 1].sum()
    np.testing.assert_allclose(potential(z), wanted, **within(2e-5))  # of kernels that are nearly of unit norm


def test_the_default_confinement_bounds_coupled_oscillators_whatever_their_kernels(within):
    """No eigenvalue of the Hessian without it passes the bound, and the worst kernels come near it."""
    released, at = oscillators(4 * 25, confinement=0.0), jnp.zeros(100)
    spectrum = jax.jit(lambda p: jnp.linalg.eigvalsh(jax.hessian(p)(at)))
    drawn = spectrum(released)
    assert drawn[0] < -1 and np.abs(drawn).max() < released.bound
    of_kernel = lambda kernel: jax.tree.map(lambda _: kernel, released)
    worst = spectrum(of_kernel(-jnp.ones((4, 4, 3))))
    assert -released.bound < worst[0] < -0.98 * released.bound
    default = oscillators(100)
    np.testing.assert_allclose(default.confinement, released.bound + 1, **within(1e-12))
    np.testing.assert_allclose(least_eigenvalue(default, at), drawn[0] + default.confinement, **within(1e-4))


def test_the_gradient_of_a_kernel_of_zeros_is_finite():
    potential = oscillators()
    zero = jax.tree.map(jnp.zeros_like, potential)
    gradient = jax.grad(lambda p: p(array(8)))(zero).kernel
    assert np.isfinite(gradient).all() and np.abs(gradient).max() < 1e5
    assert zero(array(8)) > 0  # the confinement alone


DIAGONAL = np.array([1.0, -0.01, 2.0, 3.0])
BOUNDED = {
    "springs": ct.fields.Quadratic(1.0),
    "a free direction": ct.fields.Quadratic(np.maximum(DIAGONAL, 0)),
    "wells": ct.fields.DoubleWell(2.0, 0.5),
    "flat": lambda z: jnp.zeros(()),
    "a step": lambda z: jnp.sum(jnp.tanh(z)),
    "steep": lambda z: jnp.sum(jnp.cosh(z)),
    "a free plane": lambda z: jnp.dot(z, jnp.asarray(DIAGONAL, z.dtype)) ** 4,
    "network": ct.fields.MLPPotential(4, width=8, confinement=0.01, key=KEY),
    "oscillators": oscillators(4, groups=2),
}
FALLING = {
    "springs": (ct.fields.Quadratic(-1.0), r"a Quadratic falls without bound: the least eigenvalue .* is -1 at any z"),
    "one spring": (ct.fields.Quadratic(DIAGONAL), r"is -0.01 at any z, .* -50 at .* along \(0, 1, .* c above 0.01"),
    "a slope": (lambda z: -z[0] - z[2], r"eigenvalue of its Hessian is 0 at any z, .* along \(0.71, 0, 0.71, 0\)"),
    "wells": (ct.fields.DoubleWell(-1.0), r"is -1.2e\+05 at \|z\| = 100"),
    "network": (ct.fields.MLPPotential(4, width=8, confinement=0.0, key=KEY), "a MLPPotential falls without bound"),
    "oscillators": (oscillators(4, groups=2, confinement=0.0), "a CoupledOscillators falls without bound"),
    "between rising axes": (lambda z: jnp.sum(z**4) / 4 + 10 * jnp.prod(z), "falls without bound"),
    "beside a steep wall": (lambda z: z[0] ** 4 - z[1], r"-100 at \|z\| = 100 .* -1e\+03 at 1000 along \(0, 1, 0, 0\)"),
    "slower and slower": (lambda z: -jnp.log1p(jnp.sum(z**2)), "falls without bound"),
}


@pytest.mark.mostly("float32")
@pytest.mark.parametrize("name", BOUNDED)
def test_what_is_bounded_below_passes(name):
    check_bounded(BOUNDED[name], 4)


@pytest.mark.mostly("float32")
@pytest.mark.parametrize("name", FALLING)
def test_what_falls_without_bound_is_refused_with_the_eigenvalue(name):
    potential, message = FALLING[name]
    with pytest.raises(ValueError, match=f"potential: .*{message}"):
        check_bounded(potential, 4)


def test_boundedness_is_asked_where_the_parameters_are_known():
    def inside(stiffness):
        check_bounded(ct.fields.Quadratic(stiffness), 2)
        check_bounded(lambda z: stiffness * jnp.sum(z**2), 2)
        return stiffness

    assert jax.jit(inside)(jnp.asarray(-1.0)) == -1
    with pytest.raises(ValueError, match="falls without bound"):
        jax.jit(lambda x: check_bounded(ct.fields.Quadratic(-1.0), 2))(1.0)


REFUSED = {
    "groups": (lambda: oscillators(10), r"size=10: not divisible by groups=4: take 12"),
    "reach": (lambda: oscillators(8, reach=4), "reach=4: a kernel has a site in its middle: take 5"),
    "size": (lambda: oscillators(8.0), "size=8: a whole number is needed"),
    "key": (lambda: ct.fields.CoupledOscillators(8, key=None), "key: None is no key"),
    "confinement": (lambda: oscillators(8, confinement=-1), "confinement=-1: a finite number, of at least 0 is needed"),
    "another size": (lambda: oscillators(8)(jnp.ones(12)), r"z: shape \(12,\): this potential is of size=8"),
    "width of a network": (lambda: ct.fields.MLPPotential(2, width=0, key=KEY), "width=0: a whole number"),
    "width of a well": (lambda: ct.fields.DoubleWell(1.0, 0.0), "width=0: a finite number, above 0 is needed"),
    "stiffness": (lambda: ct.fields.Quadratic(np.array([1.0, np.inf])), "stiffness=inf: a finite number is needed"),
    "word": (lambda: ct.fields.Quadratic("1"), "stiffness: '1', where a number is wanted"),
}


@pytest.mark.only("float32")
@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_potential_is_refused(name):
    call, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        call()
