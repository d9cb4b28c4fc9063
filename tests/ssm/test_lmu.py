"""LMU: its matrices against keras-lmu's, and what its memory knows against polynomials; its forms: `test_layers.py`."""

import json
from pathlib import Path

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.linalg import expm

import ctmodels as ct

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "ssm_lmu.json").read_text(encoding="utf-8"))
KEY, FEATURES = jax.random.key(0), 3
CARRY = jax.jit(lambda order, gap: jax.vmap(ct.ssm.Delay(gap, order))(jnp.eye(order)).T, static_argnums=0)
DRIVE = jax.jit(lambda order, gap: ct.ssm.Delay(gap, order).drive(), static_argnums=0)
INTEGRATE = ct.Integrate(diffrax.Tsit5(), diffrax.PIDController(rtol=1e-10, atol=1e-12))


def array(x):
    return jnp.asarray(np.asarray(x), float)


def scales(order):
    return np.sqrt(2 * np.arange(order) + 1)


def system(order):
    """A, and minus its first column, B, in orthonormal polynomials; in double precision."""
    A, B, _ = ct.ssm.lmu(order)
    return A / scales(order)[:, None] * scales(order), B / scales(order)


@pytest.mark.parametrize("name, window", [("o4_th16", 16.0), ("o16_th784", 784.0)])
def test_a_gap_of_one_equals_keras_lmu(name, window, tolerance):
    order = int(name[1:].split("_")[0])
    scale, gap = scales(order), array(1 / window)
    A = np.asarray(CARRY(order, gap)) * scale[:, None] / scale
    wanted = np.asarray(REFERENCE[f"{name}_A"])
    np.testing.assert_allclose(A[:, :: 5 if order == 16 else 1], wanted, **tolerance())
    np.testing.assert_allclose(DRIVE(order, gap) * scale, REFERENCE[f"{name}_B"], **tolerance())


def test_the_impulse_response_equals_keras_lmu(tolerance):
    kernel = jax.jit(lambda gap: ct.ssm.delay_kernel(16, gap, 64))(array(1 / 16))
    found = np.asarray(kernel)[REFERENCE["rows"]] * scales(16)
    np.testing.assert_allclose(found, REFERENCE["o16_th16_impulse"], **tolerance())


@pytest.mark.parametrize("order", [1, 32, pytest.param(256, marks=pytest.mark.slow)])
def test_every_gap_is_carried_to_the_last_digits_whatever_the_order(order, tolerance):
    """Against one exponential of both maps on the host. The modes of an order of 32 would give no digit at all."""
    A, B = system(order)
    both = np.block([[A, B[:, None]], [np.zeros((1, order + 1))]])
    for gap in np.float32([0, 1e-5, 1e-3, 0.3, 1.0, 7.3]):
        wanted = expm(float(gap) * both)
        np.testing.assert_allclose(CARRY(order, array(gap)), wanted[:order, :order], **tolerance())
        drive, wanted = np.asarray(DRIVE(order, array(gap))), wanted[:order, order]
        largest = max(np.abs(wanted).max(), 1e-30)
        np.testing.assert_allclose(drive / largest, wanted / largest, **tolerance(10))
    assert not np.any(DRIVE(order, array(0)))
    np.testing.assert_allclose(DRIVE(order, array(1e6)), np.eye(order)[0], **tolerance())


def test_nothing_that_is_carried_grows():
    """That is why no digits are lost."""
    for order in (1, 2, 16, 256):
        A, _ = system(order)
        assert np.linalg.eigvalsh(A + A.T).max() < 1e-9 * np.linalg.norm(A)


def test_gradients_in_the_gap(tolerance):
    A, B = system(5)
    slope = jax.jit(jax.jacfwd(lambda gap: ct.ssm.Delay(gap, 5).drive()))
    for gap in (0.0, 0.01, 0.7):
        np.testing.assert_allclose(slope(array(gap)), expm(gap * A) @ B, **tolerance(10))


@pytest.mark.only("float64")
@pytest.mark.parametrize("order", [1, 4, 16])
def test_the_memory_of_a_polynomial_is_its_own_past(order, tolerance, within):
    """m(t) that reads u(t - d) for all d, u of a degree below the order, solves m' = A m + B u, to all digits."""
    A, B, _ = ct.ssm.lmu(order)
    delays = np.linspace(0, 1, 3 * order)
    read = ct.ssm.recall(order, delays)
    u = np.polynomial.Chebyshev(np.random.default_rng(0).normal(size=order))
    fit = lambda f: np.linalg.lstsq(read, f(0.4 - delays), rcond=None)[0]
    m, slope = fit(u), fit(u.deriv() if order > 1 else lambda t: 0 * t)
    np.testing.assert_allclose(read @ m, u(0.4 - delays), **tolerance(100))
    np.testing.assert_allclose(A @ m + B * u(0.4), slope, **within(absolute=1e-12 * np.abs(A).sum()))


@pytest.mark.only("float64")
def test_from_nothing_the_memory_comes_to_know_a_polynomial():
    """A cubic, in an order of five, solved through `Integrate`: what began without it has faded after some windows."""
    lmu = ct.layers.LMU(FEATURES, 5, window=2.5, key=KEY)
    lmu = eqx.tree_at(lambda m: (m.enter.weight, m.enter.bias), lmu, (jnp.eye(1, FEATURES), jnp.zeros(1)))
    cubic = lambda t: 1 - t + 0.3 * t**2 - 0.02 * t**3
    field = lambda t, x, args: lmu.derivative(x, jnp.zeros(FEATURES).at[0].set(cubic(t)))
    ts, delays = np.array([0.0, 10.0, 25.0]), np.linspace(0, 1, 7)
    xs, _ = eqx.filter_jit(INTEGRATE)(field, array(ts), lmu.start())
    error = [np.abs(lmu.recall(x, delays)[0] - cubic(t - 2.5 * delays)).max() for x, t in zip(xs, ts, strict=True)]
    assert error[2] < 1e-7 < error[1] < 0.1 * error[0]


def test_its_matrices_are_no_parameters():
    """So that no optimiser moves them, and no decay shrinks them."""
    lmu = ct.layers.LMU(3, 6, window=1.0, memories=2, key=KEY)
    shapes = sorted(leaf.shape for leaf in jax.tree.leaves(eqx.filter(lmu, eqx.is_array)))
    assert shapes == [(2,), (2, 3), (3,), (3, 2 * 6 + 3)]


@pytest.mark.only("float32")
@pytest.mark.parametrize("kind", [ct.layers.LMU, ct.layers.LMUFormer])
def test_what_cannot_be_is_refused(kind):
    for changed, said in (
        (dict(order=0), "order=0: a whole number from 1 to 256"),
        (dict(order=257), "order=257: a whole number from 1 to 256"),
        (dict(window=0.0), "window=0.0: .* a time above zero"),
        (dict(window=float("inf")), "window=inf"),
        (dict(memories=0), "memories=0"),
        (dict(features=0), "features=0"),
    ):
        with pytest.raises(ValueError, match=said):
            kind(**(dict(features=2, window=1.0, key=KEY) | changed))
    with pytest.raises(TypeError, match=r"key=jax.random.key\(0\)"):
        kind(2, window=1.0, key=None)
    with pytest.raises(ValueError, match="width=0"):
        ct.layers.LMUFormer(2, window=1.0, width=0, key=KEY)
    with pytest.raises(ValueError, match="order=0"):
        ct.ssm.recall(0, np.ones(1))
