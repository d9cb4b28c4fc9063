"""Maps that are linear in regions: their fixed points and cycles are known, and found."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

pytestmark = pytest.mark.mostly("float64")

KEY = jax.random.key(0)


def tent(slope=2.0):
    """x <- s x where x < 1/2, s (1 - x) beyond; beside it a direction that contracts to 1."""
    cell = ct.fields.ShallowPLRNN(2, 1, clipped=False, key=KEY)
    parts = lambda c: (c.A, c.W1, c.W2, c.h1, c.h2)
    return eqx.tree_at(parts, cell, tuple(map(jnp.asarray, (
        [slope, 0.3], [[-2 * slope], [0.0]], [[1.0, 0.0]], [0.0, 0.7], [-0.5]
    ))))  # fmt: skip


def orbits(found):
    """First coordinates, each cycle from its lowest point on."""
    turned = [np.roll(c.points[:, 0], -np.argmin(c.points[:, 0])).tolist() for c in found]
    return sorted(turned)


@pytest.mark.parametrize(
    "length, wanted",
    [
        (1, [[0], [2 / 3]]),
        (2, [[2 / 5, 4 / 5]]),
        (3, [[2 / 9, 4 / 9, 8 / 9], [2 / 7, 4 / 7, 6 / 7]]),
    ],
)
def test_the_cycles_of_the_tent_map(length, wanted, tolerance):
    """All of them; a shorter cycle gone through again is none."""
    field = tent()
    cycles = ct.analysis.exact_cycles(field, length)
    assert cycles.complete
    np.testing.assert_allclose(orbits(cycles.found), wanted, **tolerance(10))
    for cycle in cycles.found:
        np.testing.assert_allclose(np.abs(cycle.eigenvalues), [2**length, 0.3**length], **tolerance(10))
        np.testing.assert_allclose(cycle.points[:, 1], 1, **tolerance(10))
        assert not cycle.stable


def test_the_exponents_of_the_tent_map(tolerance):
    field = tent()
    found = jax.jit(lambda y: ct.metrics.lyapunov_spectrum(lambda z: field(0.0, z), y, steps=40))(jnp.array([0.3, 0.0]))
    np.testing.assert_allclose(found, [np.log(2), np.log(0.3)], **tolerance(10))


@pytest.mark.parametrize("clipped", [True, False])
def test_a_region_is_the_map_and_its_jacobian(clipped, tolerance):
    shallow = ct.fields.ShallowPLRNN(3, 6, clipped=clipped, key=KEY)
    for field in (shallow, ct.fields.AlmostLinear(3, 2, key=KEY)):
        z = jnp.array([0.4, -1.0, 0.7])
        J, b = field.affine(field.region(z))
        assert field.region(z).shape == (field.kinks,)
        np.testing.assert_allclose(J @ z + b, field(0.0, z), **tolerance())
        np.testing.assert_allclose(J, jax.jacfwd(lambda z, f=field: f(0.0, z))(z), **tolerance())
        assert np.linalg.norm(J, 2) <= field.jacobian_bound()


def test_of_many_regions_few_are_looked_at(tolerance):
    """A contraction of 2^80 regions: its one fixed point is where every orbit goes, and there is no other cycle."""
    cell = ct.fields.ShallowPLRNN(2, 40, key=KEY)
    cell = eqx.tree_at(lambda c: (c.A, c.h1, c.h2), cell, (jnp.array([0.2, -0.3]), jnp.array([0.3, -1.0]), 5 * cell.h2))
    end, orbit = jax.jit(lambda z: jax.lax.scan(lambda z, _: (cell(0.0, z), z), z, length=60))(jnp.array([9.0, 0.1]))
    cycles = ct.analysis.exact_cycles(cell, 1, orbit=orbit, starts=4)
    (rest,) = cycles.found
    assert not cycles.complete and rest.stable
    np.testing.assert_allclose(rest.points[0], end, **tolerance(100))
    assert not ct.analysis.exact_cycles(cell, 2, orbit=orbit, starts=4).found


def test_a_field_is_at_rest_where_it_is_zero(tolerance):
    """dx/dt = x - 2 relu(x - 1/2), of which 0 repels and 1 attracts; beside it, y to -2."""
    cell = ct.fields.ShallowPLRNN(2, 1, clipped=False, key=KEY)
    parts = lambda c: (c.A, c.W1, c.W2, c.h1, c.h2)
    field = eqx.tree_at(parts, cell, tuple(map(jnp.asarray, (
        [1.0, -3.0], [[-2.0], [0.0]], [[1.0, 0.0]], [0.0, -6.0], [-0.5]
    ))))  # fmt: skip
    rests = ct.analysis.exact_equilibria(field)
    rests = sorted(rests.found, key=lambda rest: rest.points[0, 0])
    np.testing.assert_allclose([r.points[0] for r in rests], [[0, -2], [1, -2]], **tolerance())
    np.testing.assert_allclose([r.eigenvalues for r in rests], [[1, -3], [-1, -3]], **tolerance())
    assert [r.stable for r in rests] == [False, True]


@pytest.mark.only("float32")
def test_what_has_no_regions_is_refused():
    with pytest.raises(TypeError, match="field: .* has no `region` and `affine`"):
        ct.analysis.exact_cycles(ct.fields.MLPField(2, key=KEY))
    with pytest.raises(ct.DataError, match="length=0: a whole number of at least 1"):
        ct.analysis.exact_cycles(tent(), 0)
