"""Forms of HiPPO's matrices in which a step takes O(N): against the dense matrices, and each other's kernels."""

import functools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from ctmodels import ssm

FOLDER = Path(__file__).parents[1] / "reference"
KERNEL = json.loads((FOLDER / "ssm_lssl.json").read_text(encoding="utf-8"))["kernel"]
STEPS = json.loads((FOLDER / "state_spaces.json").read_text(encoding="utf-8"))["discretise"]
LOW_RANK = {"legs": ssm.legs, "legt": ssm.legt, "lagt": ssm.lagt, "fout": ssm.fout}
INVERSE = {"legs": ssm.legs, "legt": ssm.legt, "lagt": ssm.lagt, "lmu": ssm.lmu}


def steps_of(system, gap: float, alpha: float) -> tuple:
    eye, (A, B, _) = np.eye(len(system.B)), system
    return [np.linalg.solve(eye - alpha * gap * A, right) for right in (eye + (1 - alpha) * gap * A, gap * B)]


@jax.jit
def by_steps(form, gap) -> list:
    """The matrices of steps for some alpha, what is added, and A and B."""
    one, (N,) = jnp.ones_like(gap), form.B.shape
    both = lambda f: (jax.vmap(lambda x: f(x, 0 * one))(jnp.eye(N, dtype=gap.dtype)).T, f(jnp.zeros(N, gap.dtype), one))
    moves = [both(lambda x, u, alpha=alpha: form.step(x, u, gap, alpha)) for alpha in (0.0, 0.5, 1.0)]
    return [*moves, both(form.derivative)]


@pytest.mark.parametrize("name", LOW_RANK)
def test_a_step_of_low_rank_is_that_of_the_matrix(name, tolerance, within):
    """In coordinates that `rotation` leads to."""
    system, gap = LOW_RANK[name](8), 0.3
    form = ssm.normal_plus_low_rank(system)
    turn = ssm.rotation(form)
    np.testing.assert_allclose(turn @ turn.T, np.eye(8), **within(absolute=1e-12))
    compare(by_steps(ssm.DiagonalPlusLowRank.of(form), jnp.asarray(gap)), system, gap, turn, tolerance)


@pytest.mark.parametrize("name", INVERSE)
def test_a_step_by_the_tridiagonal_inverse_is_that_of_the_matrix(name, tolerance):
    system, gap = INVERSE[name](8), 0.3
    compare(by_steps(ssm.TridiagonalInverse.of(system), jnp.asarray(gap)), system, gap, np.eye(8), tolerance)


def compare(found: list, system, gap: float, turn, tolerance) -> None:
    wanted = [steps_of(system, gap, alpha) for alpha in (0.0, 0.5, 1.0)] + [(system.A, system.B)]
    for (A, b), (of_A, of_b) in zip(found, wanted, strict=True):
        size = max(1, np.abs(of_A).max())
        np.testing.assert_allclose(A / size, turn @ of_A @ turn.T / size, **tolerance(2))
        np.testing.assert_allclose(b / size, turn @ of_b / size, **tolerance(2))


@pytest.mark.only("float64")
@pytest.mark.parametrize("name, gap", [("legs", "0.1"), ("legt", "1")])
def test_steps_of_both_forms_are_those_of_the_released_code(name, gap, tolerance):
    low_rank = ssm.normal_plus_low_rank(LOW_RANK[name](4))
    turns = ssm.rotation(low_rank), np.eye(4)
    forms = ssm.DiagonalPlusLowRank.of(low_rank), ssm.TridiagonalInverse.of(LOW_RANK[name](4))
    for form, turn in zip(forms, turns, strict=True):
        for alpha, (A, b) in zip(("0", "0.5", "1"), by_steps(form, jnp.asarray(float(gap))), strict=False):
            saved = {part: np.asarray(STEPS[f"{name}_N4_dt{gap}_gbt{alpha}_{part}"]) for part in "AB"}
            np.testing.assert_allclose(turn.T @ A @ turn, saved["A"], **tolerance(10))
            np.testing.assert_allclose(turn.T @ b, saved["B"].reshape(4), **tolerance(10))


@pytest.mark.only("float64")
@pytest.mark.parametrize("name", INVERSE)
@pytest.mark.parametrize("N", [1, 2, 3, 64])
def test_the_tridiagonal_inverse_is_the_matrix_to_twelve_digits(name, N, within):
    system = INVERSE[name](N)
    form = ssm.TridiagonalInverse.of(system)
    T = np.diag(form.middle) + np.diag(form.lower, -1) + np.diag(form.upper, 1)
    inverse = np.diag(form.D) + np.linalg.inv(T)
    A = -np.exp(form.log_P)[:, None] * inverse * np.exp(form.log_Q)
    np.testing.assert_allclose(A, system.A, **within(1e-12, 1e-12 * np.abs(system.A).max()))
    np.testing.assert_allclose(form.B, system.B, **within(1e-12))


def test_a_tridiagonal_system_and_its_gradient(tolerance):
    """Against LAPACK's, of one equation too."""
    rng = np.random.default_rng(0)
    dense = lambda T: jnp.diag(T.middle) + jnp.diag(T.lower, -1) + jnp.diag(T.upper, 1)

    @jax.jit
    def both(T, b):
        total = lambda solve: lambda T, b: jnp.sum(jnp.sin(solve(T, b)))
        ways = ssm.Tridiagonal.solve, lambda T, b: jnp.linalg.solve(dense(T), b)
        return [(solve(T, b), jax.grad(total(solve), (0, 1))(T, b)) for solve in ways], T(b), dense(T) @ b

    for N in (1, 9):
        lower, upper = (jnp.asarray(rng.normal(size=N - 1)) for _ in range(2))
        T, b = ssm.Tridiagonal(lower, jnp.asarray(rng.normal(size=N) + 4), upper), jnp.asarray(rng.normal(size=N))

        (ours, theirs), product, wanted = both(T, b)
        np.testing.assert_allclose(product, wanted, **tolerance())
        for x, y in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
            np.testing.assert_allclose(x, y, **tolerance())


@functools.partial(jax.jit, static_argnums=3)
def kernels(form, C, gap, length) -> list:
    """By the generating function, by powers, and by a product; for two alphas."""

    def ways(alpha):
        A, b = form.matrices(gap, alpha)
        return form.kernel(C, gap, length, alpha), C @ ssm.krylov(A, b, length), ssm.kernel(A, b, C, length)

    return [ways(0.5), ways(0.75)]


@pytest.mark.parametrize("name", ["legs", "legt", "lagt"])
@pytest.mark.parametrize("length", [1, 24, 33])
def test_the_kernel_by_its_generating_function_is_that_of_powers(name, length, tolerance):
    """Also where -1 is a root, and of a length that cuts it off while it lasts."""
    form = ssm.DiagonalPlusLowRank.of(ssm.normal_plus_low_rank(LOW_RANK[name](8)))
    C = jnp.asarray(np.random.default_rng(0).normal(size=(2, 8)))
    for found, powers, product in kernels(form, C, jnp.asarray(0.1), length):
        assert powers.shape == (2, length) and np.abs(powers[:, -1]).max() > 1e-4
        np.testing.assert_allclose(found, powers, **tolerance(5))
        np.testing.assert_allclose(product, powers, **tolerance())


@pytest.mark.only("float64")
def test_the_kernel_is_that_of_the_released_code(tolerance):
    """Of a diagonal system: a rank of none."""
    pairs = {name: np.asarray(KERNEL[name]) for name in ("poles", "B", "C")}
    stacked = lambda z, sign=1: np.sqrt(2) * np.concatenate([z[:, 0], sign * z[:, 1]])
    poles = ssm.Pair(*map(jnp.asarray, pairs["poles"].T))
    form = ssm.DiagonalPlusLowRank(poles, jnp.asarray(stacked(pairs["B"])), jnp.zeros((16, 0)))
    K = form.kernel(jnp.asarray(stacked(pairs["C"], -1))[None], jnp.asarray(KERNEL["step"]), 16)
    np.testing.assert_allclose(K[0], KERNEL["K"], **tolerance(10))


def test_no_step_makes_a_state_larger_that_is_left_alone():
    """However long, where alpha is at least 1/2: to the roundings of single precision."""
    largest = lambda form: lambda gap: jnp.linalg.norm(form.matrices(gap)[0], 2)
    sizes = jax.jit(lambda form, gaps: jax.vmap(largest(form))(gaps))
    for measure in LOW_RANK.values():
        form = ssm.DiagonalPlusLowRank.of(ssm.normal_plus_low_rank(measure(16)))
        assert np.all(sizes(form, jnp.asarray(np.float64([1e-3, 1.0, 1e3]))) <= 1 + 1e-5)
