"""Signatures against signax's (tests/reference/signatures.json), their algebra, and the order of the log-ODE method."""

import functools
import itertools
import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from ctmodels import signatures

pytestmark = pytest.mark.mostly("float64")

REFERENCE = json.loads((Path(__file__).parent / "reference" / "signatures.json").read_text(encoding="utf-8"))
SIGNATURE = jax.jit(signatures.signature, static_argnums=1)
LOGSIGNATURE = jax.jit(signatures.logsignature, static_argnums=1)
CHEN, EXP = jax.jit(signatures.chen), jax.jit(signatures.exp_tensor)
WINDOWS = jax.jit(signatures.logsignature_windows, static_argnums=(1, 2))


def normal(*shape, seed=0):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), float)


def increments(name):
    return jnp.asarray(np.diff(REFERENCE[name], axis=0), float)


def flat(levels):
    return np.concatenate([np.ravel(level) for level in levels])


@pytest.fixture
def close(tolerance):
    """Relative to the largest entry, for the small ones are differences of large ones."""

    def compare(found, wanted, factor):
        assert np.shape(found) == np.shape(wanted)
        largest = np.max(np.abs(wanted))
        np.testing.assert_allclose(np.divide(found, largest), np.divide(wanted, largest), **tolerance(factor))

    return compare


@pytest.mark.parametrize("name, depth", [("d2_L10", 4), ("d3_L20", 3)])
def test_signature_equals_signax(name, depth, close):
    close(flat(SIGNATURE(increments(f"path_{name}"), depth)), REFERENCE[f"sig_{name}_N{depth}"], 1)


@pytest.mark.parametrize("name, depth", [("d2_L10", 4), ("d3_L20", 4), ("d4_L6", 3)])
def test_log_signature_equals_signax(name, depth, close):
    found = signatures.lyndon_coordinates(LOGSIGNATURE(increments(f"path_{name}"), depth))
    close(found, REFERENCE[f"logsig_lyndonwords_{name}_N{depth}"], 10)


def test_chen_identity(close):
    x = increments("path_d3_L20")
    first, last = SIGNATURE(x[:9], 3), SIGNATURE(x[9:], 3)
    close(flat(first), REFERENCE["sig_first10_d3_N3"], 1)
    close(flat(last), REFERENCE["sig_last11_d3_N3"], 1)
    close(flat(CHEN(first, last)), REFERENCE["sig_d3_L20_N3"], 1)


def test_a_straight_line_has_no_more_than_its_increment(tolerance):
    total, *higher = LOGSIGNATURE(jnp.tile(jnp.array([0.5, -1.0, 0.25]), (6, 1)), 4)
    np.testing.assert_allclose(total, [3.0, -6.0, 1.5], **tolerance())
    for level in higher:
        np.testing.assert_allclose(level, 0, **tolerance())


def test_the_second_level_is_the_area(tolerance):
    corners = np.array([[0.0, 0.0], [2.0, 0.5], [1.5, 2.0], [-0.5, 1.0], [0.0, 0.0]])
    x, y = corners.T
    shoelace = 0.5 * np.sum(x[:-1] * y[1:] - x[1:] * y[:-1])
    total, area = LOGSIGNATURE(jnp.asarray(np.diff(corners, axis=0), float), 2)
    np.testing.assert_allclose(total, 0, **tolerance())
    np.testing.assert_allclose(area, [[0, shoelace], [-shoelace, 0]], **tolerance())


@pytest.mark.only("float64")
def test_levels_five_and_six_are_shuffles_of_those_below(tolerance):
    """S[u] S[v] is the sum of S over the shuffles of u and v (Ree 1958)."""
    levels = [np.asarray(level) for level in SIGNATURE(normal(5, 2) / 2, 6)]
    for short, both in ((2, 5), (3, 6)):
        shuffled = 0
        for places in itertools.combinations(range(both), short):  # of the letters of u; the others are v's
            order = [*places, *(i for i in range(both) if i not in places)]
            shuffled = shuffled + np.transpose(levels[both - 1], order)
        product = np.multiply.outer(levels[short - 1], levels[both - short - 1])
        np.testing.assert_allclose(shuffled, product, **tolerance(10))


def test_log_and_exp_are_inverse(tolerance):
    levels = [normal(*(2,) * k, seed=k) for k in range(1, 5)]
    for there, back in (
        (signatures.exp_tensor, signatures.log_tensor),
        (signatures.log_tensor, signatures.exp_tensor),
    ):
        again = jax.jit(lambda levels, there=there, back=back: back(there(levels)))(levels)
        np.testing.assert_allclose(flat(again), flat(levels), **tolerance(10))


def test_lyndon_words_in_order_and_as_many_as_witt_says():
    for length in (2, 3, 4):
        words = [w for w in signatures.lyndon_words(3, 4) if len(w) == length]
        assert words == [tuple(w) for w in REFERENCE[f"lyndon_words_d3_len{length}"]]
    for c in (1, 2, 5):
        lengths = [len(w) for w in signatures.lyndon_words(c, 4)]
        assert [lengths.count(k) for k in (1, 2, 3, 4)] == [c, (c**2 - c) // 2, (c**3 - c) // 3, (c**4 - c**2) // 4]
    assert signatures.lyndon_coordinates([normal(1), normal(1, 1)]).shape == (1,)


def test_zero_increments_change_nothing(tolerance):
    x = normal(5, 2)
    padded = jnp.concatenate([x[:2], jnp.zeros((2, 2)), x[2:], jnp.zeros((3, 2))])
    np.testing.assert_allclose(flat(SIGNATURE(padded, 3)), flat(SIGNATURE(x, 3)), **tolerance())


def test_each_window_is_the_path_between_its_ends(tolerance, close):
    values = 100 + normal(9, 2)
    levels = WINDOWS(values, 3, 3)
    assert [level.shape for level in levels] == [(3, 2), (3, 2, 2), (3, 2, 2, 2)]
    # The last is shorter; neighbours share an end; the start far from zero is not a jump.
    for i, (start, end) in enumerate([(0, 3), (3, 6), (6, 8)]):
        wanted = LOGSIGNATURE(jnp.diff(values[start : end + 1], axis=0), 3)
        np.testing.assert_allclose(flat([level[i] for level in levels]), flat(wanted), **tolerance())
    whole = functools.reduce(CHEN, [EXP([level[i] for level in levels]) for i in range(3)])
    close(flat(whole), flat(SIGNATURE(jnp.diff(values, axis=0), 3)), 10)


def test_windows_of_a_padded_path_and_one_window_for_all(tolerance):
    values = normal(5, 2)
    padded = jnp.concatenate([values, jnp.tile(values[-1:], (4, 1))])
    levels, wanted = WINDOWS(padded, 2, 2), WINDOWS(values, 2, 2)
    for level, want in zip(levels, wanted, strict=True):
        np.testing.assert_allclose(level[:2], want, **tolerance())
        assert not np.any(level[2:])
    np.testing.assert_allclose(
        flat(WINDOWS(values, 99, 2)), flat(LOGSIGNATURE(jnp.diff(values, axis=0), 2)), **tolerance()
    )


@pytest.mark.only("float32")
def test_what_cannot_be_computed_is_refused():
    values = normal(4, 2)
    with pytest.raises(ValueError, match="depth=7"):
        signatures.signature(values, 7)
    with pytest.raises(ValueError, match="depth=0"):
        signatures.logsignature_windows(values, 2, 0)
    with pytest.raises(ValueError, match="window=0: a window needs at least two points"):
        signatures.logsignature_windows(values, 0, 2)
    with pytest.raises(ValueError, match="values: 1 times"):
        signatures.logsignature_windows(values[:1], 2, 2)


@pytest.mark.only("float32")
def test_a_long_path_keeps_its_digits(within):
    steps = np.float32(0.02 * np.random.default_rng(0).normal(size=(17000, 3)))
    x = steps.astype(np.float64)
    before = np.cumsum(x, axis=0) - x
    wanted = before.T @ x + 0.5 * x.T @ x
    total, second = SIGNATURE(jnp.asarray(steps), 2)
    assert second.dtype == "float32"
    np.testing.assert_allclose(total, x.sum(0), **within(absolute=2e-5 * np.max(np.abs(before))))
    np.testing.assert_allclose(second, wanted, **within(absolute=2e-5 * np.max(np.abs(wanted))))


@pytest.mark.only("float64")
def test_gradients_against_finite_differences():
    coordinates = lambda values: jax.vmap(signatures.lyndon_coordinates)(signatures.logsignature_windows(values, 3, 3))
    check_grads(jax.jit(coordinates), (normal(6, 2),), order=1, modes=("fwd", "rev"))
    value = lambda z, levels: signatures.lie_field(tanh_field, levels)(z)
    levels = signatures.logsignature(normal(3, 2), 2)
    check_grads(jax.jit(value), (normal(3), levels), order=1, modes=("rev",))


def linear_field(z):
    return jnp.stack([0.7 * normal(3, 3, seed=i) @ z for i in (1, 2)], axis=1)


def tanh_field(z):
    return jnp.tanh(normal(3, 2, 3, seed=1) @ z + normal(3, 2, seed=2))


FIELDS = pytest.mark.parametrize("field", [linear_field, tanh_field])


def test_words_and_brackets_of_linear_fields(tolerance):
    """(Df_j) f_i = A_j A_i z at the word (i, j): the later letter acts last."""
    z = np.asarray(normal(3))
    A = [0.7 * np.asarray(normal(3, 3, seed=i)) for i in (1, 2)]
    level = [np.asarray(normal(*(2,) * k, seed=k)) for k in (1, 2, 3)]
    wanted = sum(level[0][i] * A[i] @ z for i in range(2))
    wanted += sum(level[1][i, j] * A[j] @ A[i] @ z for i in range(2) for j in range(2))
    wanted += sum(level[2][i, j, k] * A[k] @ A[j] @ A[i] @ z for i in range(2) for j in range(2) for k in range(2))
    found = jax.jit(lambda z, level: signatures.lie_field(linear_field, level)(z))(z, level)
    np.testing.assert_allclose(found, wanted, **tolerance(10))


def test_brackets_of_a_nonlinear_field(tolerance):
    """At e1 e2 - e2 e1 it is [f1, f2], and at [[e1, e2], e2] it is [[f1, f2], f2]."""
    bracket = lambda f, g: lambda z: jax.jacfwd(g)(z) @ f(z) - jax.jacfwd(f)(z) @ g(z)
    f1, f2 = (lambda z: tanh_field(z)[:, 0]), (lambda z: tanh_field(z)[:, 1])
    z, e = normal(3), np.eye(2)
    commutator = np.outer(e[0], e[1]) - np.outer(e[1], e[0])
    triple = np.multiply.outer(commutator, e[1]) - np.multiply.outer(e[1], commutator)
    value = jax.jit(
        lambda z, *levels: signatures.lie_field(tanh_field, [jnp.asarray(level, float) for level in levels])(z)
    )
    wanted = jax.jit(lambda z: (bracket(f1, f2)(z), bracket(bracket(f1, f2), f2)(z)))(z)
    np.testing.assert_allclose(value(z, np.zeros(2), commutator), wanted[0], **tolerance(10))
    np.testing.assert_allclose(value(z, np.zeros(2), np.zeros((2, 2)), triple), wanted[1], **tolerance(100))


@functools.partial(jax.jit, static_argnums=(0, 2, 3))
def log_ode(field, values, window, depth):
    """The state at the end, by Runge and Kutta's classical method in each window; windows of 1 step are exact."""
    nodes, weights, h = jnp.array([0, 0.5, 0.5, 1]), jnp.array([1, 2, 2, 1]) / 6, 1 / 8

    def cross(z, levels):
        V = signatures.lie_field(field, levels)

        # Stages in a loop and not written out: V is compiled once.
        def stage(slope, node, z):
            slope = V(z + h * node * slope)
            return slope, slope

        def step(_, z):
            slopes = jax.lax.scan(lambda slope, node: stage(slope, node, z), jnp.zeros_like(z), nodes)[1]
            return z + h * weights @ slopes

        return jax.lax.fori_loop(0, 8, step, z), None

    z0 = jnp.array([0.5, -0.3, 0.8], values.dtype)
    return jax.lax.scan(cross, z0, signatures.logsignature_windows(values, window, depth))[0]


def error(field, values, window, depth):
    return float(jnp.linalg.norm(log_ode(field, values, window, depth) - log_ode(field, values, 1, 1)))


ROUGH = 0.05 * np.cumsum(np.random.default_rng(0).normal(size=(65, 2)), axis=0)


@pytest.mark.only("float32")
@FIELDS
def test_depth_pays_on_a_rough_path(field):
    errors = [error(field, jnp.asarray(ROUGH, float), 8, depth) for depth in (1, 2, 3)]
    assert errors[2] < 0.5 * errors[1] < 0.5 * 0.5 * errors[0]


@FIELDS
@pytest.mark.only("float64")
def test_a_window_misses_what_is_beyond_the_depth(field):
    """The path scaled by s has levels scaled by s^k: the error of depth N falls as s^(N+1)."""
    for depth in (1, 2, 3):
        large, small = (error(field, jnp.asarray(s * ROUGH), 8, depth) for s in (0.2, 0.1))
        assert abs(np.log2(large / small) - (depth + 1)) < 0.3


@FIELDS
@pytest.mark.only("float64")
def test_orders_on_a_smooth_path(field):
    """In shrinking windows, 2 at depth 1 and 4 at depth 2: Magnus' expansion of a smooth path has even orders."""
    t = jnp.linspace(0, 1, 65)
    values = jnp.stack([jnp.sin(4 * t), jnp.cos(3 * t) + t], axis=1)
    for depth, order in ((1, 2), (2, 4)):
        large, small = (error(field, values, window, depth) for window in (16, 8))
        assert abs(np.log2(large / small) - order) < 0.4
