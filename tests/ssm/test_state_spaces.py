"""Matrices, steps and kernels: against the released codes' numbers, and against each other."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctmodels import layers, ssm

REFERENCE = json.loads((Path(__file__).parents[1] / "reference" / "state_spaces.json").read_text(encoding="utf-8"))
SYSTEMS = {"legs": ssm.legs, "legt": ssm.legt, "lagt": ssm.lagt, "lmu": ssm.lmu, "fout": ssm.fout}
LOW_RANK = [name for name in SYSTEMS if name != "lmu"]


@pytest.mark.parametrize("name", SYSTEMS)
def test_the_matrices_are_those_of_the_released_code(name, within):
    system = SYSTEMS[name](8)
    np.testing.assert_allclose(system.A, REFERENCE["hippo"][name]["A"], **within(1e-12, 1e-12))
    np.testing.assert_allclose(system.B, REFERENCE["hippo"][name]["B"], **within(1e-12, 1e-12))


@pytest.mark.parametrize("name", LOW_RANK)
@pytest.mark.parametrize("N", [2, 8, 64])
def test_normal_plus_low_rank_is_the_system_again(name, N, within):
    """In a unitary basis, whatever the phases of its vectors; also where two real vectors are turned by nothing."""
    system = SYSTEMS[name](N)
    form = ssm.normal_plus_low_rank(system)
    back = lambda x: 2 * (form.V @ x).real
    np.testing.assert_allclose(
        back(np.diag(form.poles) @ form.V.conj().T) - system.P @ system.P.T, system.A, **within(absolute=1e-10)
    )
    np.testing.assert_allclose(back(form.B), system.B, **within(absolute=1e-10))
    np.testing.assert_allclose(back(form.P), system.P, **within(absolute=1e-10))
    np.testing.assert_allclose(form.V.conj().T @ form.V, np.eye(N // 2), **within(absolute=1e-10))
    assert np.all(form.poles.imag <= 0) and np.all(np.diff(form.poles.imag) >= 0)


@pytest.mark.parametrize("name", ["legs", "legt"])
def test_its_poles_are_those_of_the_released_code(name, within):
    found = np.sort(ssm.normal_plus_low_rank(SYSTEMS[name](8)).poles.imag)
    saved = np.array(REFERENCE["nplr"][name]["poles"])
    np.testing.assert_allclose(found, np.sort(saved[:, 1]), **within(1e-10))


@pytest.mark.parametrize(
    "name, init",
    [
        ("lin", layers.linear_poles),
        ("inv", layers.inverse_poles),
        ("quad", layers.quadratic_poles),
        ("real", layers.real_poles),
        ("legs", layers.legs_poles),
    ],
)
def test_poles_begin_where_those_of_the_released_code_do(name, init, within):
    """There pi is of single precision, and imaginary parts are below zero: the other one of a pair."""
    saved = np.array(REFERENCE["inits"][name])
    wanted = np.sort_complex(saved[:, 0] + 1j * np.abs(saved[:, 1]))
    np.testing.assert_allclose(np.sort_complex(init(4)), wanted, **within(1e-6))


def test_what_has_no_low_rank_form_says_so():
    with pytest.raises(ValueError, match="system: no P"):
        ssm.normal_plus_low_rank(ssm.lmu(4))
    with pytest.raises(ValueError, match="N=3 is odd"):
        ssm.normal_plus_low_rank(ssm.legs(3))
    with pytest.raises(ValueError, match="N"):
        ssm.legs(0)


@pytest.mark.only("float64")
@pytest.mark.parametrize("saved", sorted({key[:-2] for key in REFERENCE["discretise"]}))
def test_steps_are_those_of_the_released_code(saved, within):
    name, _, dt, way = saved.split("_")
    A, B = (jnp.asarray(x) for x in SYSTEMS[name](4)[:2])
    gap = jnp.asarray(float(dt.removeprefix("dt")))
    if way == "zoh":
        found = jax.jit(ssm.zero_order_hold)(A, B, gap)
    else:
        found = jax.jit(ssm.bilinear, static_argnums=3)(A, B, gap, float(way.removeprefix("gbt")))
    for matrix, which in zip(found, "AB", strict=True):
        np.testing.assert_allclose(matrix, REFERENCE["discretise"][f"{saved}_{which}"], **within(1e-9, 1e-12))


def test_steps_of_modes_are_those_of_matrices(tolerance):
    """Held and bilinear, over gaps from none to many turns."""
    poles = np.array([-0.5 + 3j, -1e-3 + 0.1j, -20.0 + 0j])
    gaps = np.array([0.0, 1e-4, 0.3, 50.0])

    @jax.jit
    def both(gap):
        return ssm.hold_modes(ssm.pair(poles), gap), ssm.bilinear_modes(ssm.pair(poles), gap)

    for gap in gaps:
        held, bilinear = jax.device_get(both(jnp.asarray(gap)))
        z = poles * gap
        of = lambda p: p.re + 1j * p.im
        np.testing.assert_allclose(of(held[0]), np.exp(z), **tolerance())
        np.testing.assert_allclose(of(held[1]), np.expm1(z) / poles, **tolerance())
        np.testing.assert_allclose(of(bilinear[0]), (1 + z / 2) / (1 - z / 2), **tolerance())
        np.testing.assert_allclose(of(bilinear[1]), gap / (1 - z / 2), **tolerance())


@pytest.mark.only("float32")
def test_sine_and_cosine_are_right_to_the_last_bits(within):
    """Of angles up to ten thousand, against double precision; and the exponential's slope is itself."""
    x = np.random.default_rng(0).uniform(-1e4, 1e4, 20_000).astype(np.float32)
    x[:8] = np.arange(8) * np.float32(np.pi / 4)
    cosine, sine = jax.jit(ssm.cosine_and_sine)(jnp.asarray(x))
    exact = x.astype(np.float64)
    assert np.abs(cosine - np.cos(exact)).max() < 2e-7 and np.abs(sine - np.sin(exact)).max() < 2e-7
    z, ones = ssm.pair(0.3 + 0.7j), ssm.pair(1 + 0j)
    value, slope = jax.jit(lambda z, d: jax.jvp(ssm.exponential, (z,), (d,)))(z, ones)
    np.testing.assert_allclose([slope.re, slope.im], [value.re, value.im], **within(1e-6))


def test_kernels_by_a_product_and_by_squaring_are_powers(tolerance):
    """And the convolution is the sum, of lengths that are no squares or powers."""
    rng, length = np.random.default_rng(0), 37
    poles, weights = -0.1 + 1j * rng.normal(size=(2, 3)), rng.normal(size=(2, 3)) + 1j * rng.normal(size=(2, 3))
    A, b, u = rng.normal(size=(3, 3)) / 3, rng.normal(size=3), rng.normal(size=(2, length))

    @jax.jit
    def ours(A, b, u):
        K = ssm.mode_kernel(ssm.pair(poles), ssm.pair(weights), length)
        return K, ssm.krylov(A, b, length), ssm.convolve(K, u)

    K, powers, convolved = ours(*(jnp.asarray(x) for x in (A, b, u)))
    wanted = np.sum(weights[:, None] * np.exp(np.arange(length)[:, None] * poles[:, None]), axis=2).real
    np.testing.assert_allclose(K, wanted, **tolerance(10))
    np.testing.assert_allclose(powers[:, 20], np.linalg.matrix_power(A, 20) @ b, **tolerance())
    np.testing.assert_allclose(convolved[1], np.convolve(wanted[1], u[1])[:length], **tolerance(10))


def test_a_scan_in_blocks_is_a_scan(tolerance):
    """Of a length that its blocks do not divide: states, outputs and gradients."""
    length = 70
    u, a = np.random.default_rng(0).normal(size=length), 0.9

    @jax.jit
    def ours(u):
        def total(u):
            step = lambda x, u, gap: (a * x + u * gap,) * 2
            last, ys = ssm.scan_rows(step, jnp.zeros(()), u, jnp.ones(length), every=False)
            return jnp.sum(ys**2), (last, ys)

        return jax.grad(total, has_aux=True)(u)

    gradient, (last, ys) = ours(jnp.asarray(u))
    M = np.tril(a ** np.maximum(np.subtract.outer(np.arange(length), np.arange(length)), 0))
    np.testing.assert_allclose(ys, M @ u, **tolerance())
    np.testing.assert_allclose(last, (M @ u)[-1], **tolerance())
    np.testing.assert_allclose(gradient, 2 * M.T @ (M @ u), **tolerance(10))
