"""Distances of paths: closed forms, two methods, masks, and what is refused."""

import json
import math
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from scipy.special import i0, j0
from scipy.stats import multivariate_normal, norm, wasserstein_distance

import ctmodels as ct
from ctmodels import losses
from ctmodels.losses import _signature_kernel as of_kernel

pytestmark = pytest.mark.mostly("float64")

close = np.testing.assert_allclose
FILE = Path(__file__).parent / "reference" / "signature_kernel.json"
REFERENCE = json.loads(FILE.read_text(encoding="utf-8"))
KERNEL = jax.jit(losses.signature_kernel, static_argnames="refine")
MMD = jax.jit(losses.signature_mmd)


def array(x):
    return jnp.asarray(x, float)


def normal(*shape, seed=0, scale=1.0):
    return array(scale * np.random.default_rng(seed).normal(size=shape))


def walks(paths, steps, channels=2, seed=0):
    """Of about unit length."""
    return jnp.cumsum(normal(paths, steps, channels, seed=seed, scale=0.5 / steps**0.5), axis=1)


def lines(product: float, steps: int):
    """Two straight lines, of this product."""
    share = np.linspace(0, 1, steps + 1)[None, :, None]
    return array(share * [1.0, 0.5]), array(share * [product, 0.0])


#
# The signature kernel
#


@pytest.mark.parametrize("refine", [0, 1])
def test_kernel_equals_tensordev(refine, tolerance):
    found = KERNEL(array(REFERENCE["x"]), array(REFERENCE["y"]), refine=refine)
    close(found, REFERENCE[f"kernel_refine_{refine}"], **tolerance())


def test_gradient_of_the_kernel_equals_tensordev(tolerance):
    y = array(REFERENCE["y"])
    found = jax.jit(jax.grad(lambda x: jnp.sum(losses.signature_kernel(x, y))))(array(REFERENCE["x"]))
    close(found, REFERENCE["gradient"], **tolerance(10))


@pytest.mark.only("float64")
@pytest.mark.parametrize("product", [0.7, -2.0])
def test_kernel_of_straight_lines_is_a_bessel_function_to_second_order(product, within):
    exact = i0(2 * product**0.5) if product > 0 else j0(2 * (-product) ** 0.5)
    x, y = lines(product, 8)
    errors = np.array([abs(float(KERNEL(x, y, refine=r)[0, 0]) - exact) for r in (0, 1, 2)])
    close(np.log2(errors[:-1] / errors[1:]), 2.0, **within(absolute=0.3))


def test_kernel_forgets_what_is_gone_through_and_back():
    x = walks(1, 6)
    there_and_back = jnp.concatenate([x, x[:, -2::-1]], axis=1)
    errors = [abs(float(KERNEL(there_and_back, walks(1, 4, seed=1), refine=r)[0, 0]) - 1) for r in (1, 2)]
    assert errors[1] < 0.35 * errors[0] < 0.01


def test_kernel_is_that_of_its_formula_cell_by_cell(tolerance):
    """And 1 for paths of one point, which go nowhere."""
    x, y = walks(2, 4), walks(3, 6, seed=1)
    wanted = np.ones((2, 3))
    for i, j in np.ndindex(2, 3):
        a = np.diff(np.asarray(x[i], float), axis=0) @ np.diff(np.asarray(y[j], float), axis=0).T
        u = np.ones((4, 6))
        for k, l in np.ndindex(3, 5):
            b = a[k, l]
            grown = (u[k + 1, l] + u[k, l + 1]) * (1 + b / 2 + b**2 / 12)
            u[k + 1, l + 1] = grown - u[k, l] * (1 - b**2 / 12)
        wanted[i, j] = u[-1, -1]
    close(KERNEL(x, y), wanted, **tolerance())
    close(KERNEL(y, x), wanted.T, **tolerance())
    for points in ((1, 1), (1, 6), (4, 1)):
        assert np.all(losses.signature_kernel(x[:, : points[0]], y[:, : points[1]]) == 1)


def test_blocks_of_pairs_change_nothing(monkeypatch, tolerance):
    x, y = walks(5, 4), walks(3, 3, seed=1)
    whole = losses.signature_kernel(x, y)
    monkeypatch.setattr(of_kernel, "CELLS_ON_CPU", 4 * 3 * 2)
    close(losses.signature_kernel(x, y), whole, **tolerance())


def test_kernel_is_positive_and_symmetric(tolerance):
    x = walks(5, 4)
    gram = KERNEL(x, x, refine=2)
    close(gram, gram.T, **tolerance())
    assert np.linalg.eigvalsh(gram).min() > 0


#
# Discrepancies
#


def test_mmd_and_score_are_means_over_pairs_of_different_paths(tolerance):
    x, y = walks(3, 4), walks(4, 4, seed=1)
    ts = array([0.0, 0.2, 0.7, 2.0])

    def seen(ys):
        clock = jnp.broadcast_to(ts[:, None] / 2, (*ys.shape[:2], 1))
        return jnp.pad(jnp.concatenate([clock, 3 * ys], axis=2), ((0, 0), (1, 0), (0, 0)))

    gram = np.asarray(losses.signature_kernel(*2 * (jnp.concatenate([seen(x), seen(y)]),)))
    among = lambda g: (g.sum() - np.trace(g)) / (len(g) * (len(g) - 1))
    xx, yy, xy = gram[:3, :3], gram[3:, 3:], gram[:3, 3:]
    close(MMD(x, y, ts=ts, scale=3.0), among(xx) + among(yy) - 2 * xy.mean(), **tolerance(10))
    scores = jax.jit(jax.vmap(lambda y: losses.signature_score(x, y, ts=ts, scale=3.0)))(y)
    close(scores, among(xx) - 2 * xy.mean(axis=0), **tolerance(10))


def test_truncated_mmd_tends_to_the_kernels():
    x, y = 0.6 * walks(4, 4), walks(3, 4, seed=1)
    whole = losses.signature_mmd(x, y, refine=4)
    truncated = jax.jit(lambda x, y: [losses.truncated_signature_mmd(x, y, d) for d in (1, 2, 3, 4)])(x, y)
    errors = [abs(float(d - whole)) for d in truncated]
    assert errors[3] < 0.1 * errors[1] and errors[3] < 2e-3 * errors[0] + 1e-4


def test_truncated_mmd_of_depth_one_is_that_of_the_ends(tolerance):
    x, y = walks(3, 4), walks(4, 4, seed=1)
    ends = lambda z: np.asarray(z[:, -1], np.float64)
    pairs = lambda z: np.mean([a @ b for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
    wanted = pairs(ends(x)) + pairs(ends(y)) - 2 * ends(x).mean(0) @ ends(y).mean(0)
    close(losses.truncated_signature_mmd(x, y, 1), wanted, **tolerance(10))


@pytest.mark.only("float64")
def test_truncated_mmd_of_straight_lines_is_a_power_series(tolerance):
    """Of <a, b> / k!^2, to any depth."""
    a, b = 3 * walks(3, 4)[:, -1], 3 * walks(4, 4, seed=1)[:, -1]
    line = lambda ends: jnp.linspace(0.0, 1.0, 4)[None, :, None] * ends[:, None]
    kernel = lambda a, b, depth: sum((a @ b.T) ** k / math.factorial(k) ** 2 for k in range(1, depth + 1))
    among = lambda gram: (gram.sum() - np.trace(gram)) / (len(gram) * (len(gram) - 1))
    for depth in (5, 6):
        of = lambda a, b, depth=depth: np.asarray(kernel(a, b, depth))
        wanted = among(of(a, a)) + among(of(b, b)) - 2 * of(a, b).mean()
        close(losses.truncated_signature_mmd(line(a), line(b), depth), wanted, **tolerance(10))


def test_mmd_is_without_bias_and_tells_laws_apart():
    """The mean over many pairs of sets of one law is zero, and not so of another."""
    sets = [walks(200, 3, 1, seed=s).reshape(50, 4, 3, 1) for s in (0, 1)]
    apart = jax.jit(jax.vmap(lambda x, y: losses.signature_mmd(x, y)))
    same, other = apart(*sets), apart(sets[0], 3 * sets[1])
    error = np.std(same) / 50**0.5
    assert abs(np.mean(same)) < 3 * error < 0.5 * np.mean(other)


#
# Scores
#


def test_crps_and_energy_of_a_normal_law(within):
    """By its quantiles, which are no random draws; s (w (2 Phi(w) - 1) + 2 phi(w) - 1 / sqrt(pi))."""
    m, s, n = 0.3, 2.0, 2000
    truth = np.array([-2.0, 0.3, 5.0])
    w = (truth - m) / s
    exact = s * (w * (2 * norm.cdf(w) - 1) + 2 * norm.pdf(w) - 1 / np.pi**0.5)
    samples = m + s * norm.ppf((np.arange(n) + 0.5) / n)
    each = jax.jit(jax.vmap(losses.crps, (None, 0)))(array(samples).reshape(n, 1, 1), array(truth).reshape(3, 1, 1))
    close(each, exact, **within(2e-3))


def test_crps_is_the_energy_score_of_one_channel(tolerance):
    samples, truth = normal(7, 4, 1), normal(4, 1, seed=1)
    close(losses.crps(samples, truth), losses.energy_score(samples, truth), **tolerance(10))


def test_energy_score_by_hand(tolerance):
    samples, truth = np.asarray(normal(5, 3, 2), np.float64), np.asarray(normal(3, 2, seed=1), np.float64)
    mask = np.array([[True, False], [True, True], [False, False]])
    one, two = np.abs(samples[:, 0, 0] - truth[0, 0]), np.linalg.norm(samples[:, 1] - truth[1], axis=1)
    pairs = lambda z: np.mean([np.linalg.norm(a - b) for i, a in enumerate(z) for j, b in enumerate(z) if i != j])
    wanted = (one.mean() - pairs(samples[:, 0, :1]) / 2 + two.mean() - pairs(samples[:, 1]) / 2) / 2
    close(losses.energy_score(array(samples), array(truth), mask), wanted, **tolerance(10))


def test_scores_without_bias_do_not_depend_on_the_number_of_samples(within):
    draws, truth = normal(4000, 1, 1), array([[0.0]])
    whole = losses.crps(draws, truth)
    of_two = jnp.mean(jax.vmap(losses.crps, (0, None))(draws.reshape(2000, 2, 1, 1), truth))
    close(of_two, whole, **within(absolute=0.03))


def test_sliced_wasserstein_of_one_channel_is_scipys(tolerance):
    x, y = normal(5, 1, 1), normal(7, 1, 1, seed=1)
    found = losses.sliced_wasserstein(x, y, jax.random.key(0), power=1, projections=3)
    close(found, wasserstein_distance(np.ravel(x), np.ravel(y)), **tolerance(10))


def test_sliced_wasserstein_of_a_shift(within):
    x = normal(6, 3, 2)
    assert losses.sliced_wasserstein(x, x[::-1], jax.random.key(0)) == 0
    found = losses.sliced_wasserstein(x, x + 0.5, jax.random.key(0), projections=2000)
    close(found, 0.25, **within(0.1))


#
# Transitions
#


def ornstein(t, y, args):
    return -args * y + jnp.cos(t)


MIX = np.array([[0.4, 0.1, 0.0], [0.2, 0.5, 0.3]])


@pytest.mark.parametrize("general", [False, True], ids=["diagonal", "general"])
def test_transitions_against_scipy(general, tolerance):
    """A row unseen, and one seen in part."""
    ts = np.array([0.0, 0.3, 0.5, 1.0, 1.2])
    ys = np.random.default_rng(0).normal(size=(5, 2))
    seen = ys.copy()
    seen[1], seen[3, 0] = np.nan, np.nan
    noise = lambda t, y, args: array(MIX) * (1 + y[0] ** 2) if general else 0.3 + y**2
    found = jax.jit(lambda s: losses.euler_transition_likelihood(ornstein, noise, s, array(0.7)))(
        ct.Series.from_nan(ts, seen)
    )
    wanted = np.zeros(4)
    for start, end, at in ((0, 2, [0, 1]), (2, 3, [1]), (2, 4, [0, 1])):
        h, y = ts[end] - ts[start], ys[start]
        mean = y + h * (-0.7 * y + np.cos(ts[start]))
        g = MIX * (1 + y[0] ** 2) if general else np.diag(0.3 + y**2)
        wanted[end - 1] = multivariate_normal(mean[at], h * (g @ g.T)[np.ix_(at, at)]).logpdf(ys[end, at])
    close(found, wanted, **tolerance(10))


def test_transitions_learn_from_what_was_seen_only(tolerance):
    """A drift that knows no zero, padding, and a row that is not there."""
    drift, noise = lambda t, y, args: args * jnp.log(y), lambda t, y, args: 0.1 * y
    ys = 2 + np.abs(np.random.default_rng(0).normal(size=(4, 1)))
    series = ct.Series.from_nan([0.0, 0.1, 0.3, 0.4], np.where([[0], [0], [1], [0]], np.nan, ys))
    rows = np.array([0, 1, 3])
    without = ct.Series.from_nan(np.array([0.0, 0.1, 0.4]), ys[rows]).pad(4)
    total = lambda args, s: jnp.sum(losses.euler_transition_likelihood(drift, noise, s, args))
    both = jax.jit(jax.value_and_grad(total))
    for one, other in zip(both(array(0.5), series), both(array(0.5), without), strict=True):
        assert np.isfinite(one)
        close(one, other, **tolerance(10))
    assert total(array(0.5), series[:1]) == 0


#
# All of them
#


TS = np.array([0.0, 0.5, 0.7, 1.5])
KEY = jax.random.key(1)
OF_SETS = {
    "kernel": lambda x, y, mask: losses.signature_kernel(x, y, mask_x=mask),
    "mmd": lambda x, y, mask: (
        losses.signature_mmd(x, y, mask_x=mask, ts=array(TS)[: x.shape[1]], scale=2.0)
        if x.shape[1] == y.shape[1]
        else None
    ),
    "truncated": lambda x, y, mask: losses.truncated_signature_mmd(x, y, 3, mask_x=mask),
    "sliced": lambda x, y, mask: losses.sliced_wasserstein(x, y, KEY, mask_x=mask, projections=4),
}
OF_ENSEMBLE = {
    "score": lambda x, y, mask: losses.signature_score(y, x[0], mask=None if mask is None else mask[0]),
    "energy": lambda x, y, mask: losses.energy_score(y, x[0], None if mask is None else mask[0]),
    "crps": lambda x, y, mask: losses.crps(y, x[0], None if mask is None else mask[0]),
}
ALL = OF_SETS | OF_ENSEMBLE


@pytest.mark.parametrize("name", ALL)
def test_gradients_by_differences(name, within):
    x, y = walks(3, 4), walks(2, 4, seed=1)
    step, error = (1e-6, 1e-6) if x.dtype == jnp.float64 else (1e-2, 2e-2)
    value = jax.jit(lambda x, y: jnp.sum(ALL[name](x, y, None)))
    check_grads(value, (x, y), 1, ("rev",), **within(error, error), eps=step)


@pytest.mark.parametrize("name", ALL)
def test_what_lies_under_the_mask_changes_nothing(name):
    x, y = walks(3, 4), walks(2, 4, seed=1)
    mask = jnp.asarray(np.random.default_rng(2).random(x.shape) > 0.3)
    both = jax.jit(jax.value_and_grad(lambda x, y: jnp.sum(ALL[name](x, y, mask)), argnums=(0, 1)))
    clean, filled = both(jnp.where(mask, x, 0), y), both(jnp.where(mask, x, jnp.nan), y)
    for one, other in zip(jax.tree.leaves(clean), jax.tree.leaves(filled), strict=True):
        assert np.isfinite(one).all()
        np.testing.assert_array_equal(one, other)
    assert not np.any(np.where(mask, 0, filled[1][0]))


@pytest.mark.parametrize("name", ["kernel", "mmd", "score", "energy", "crps"])
def test_a_row_unseen_is_a_row_that_is_not_there(name, tolerance):
    x, y = walks(3, 4), walks(2, 4, seed=1)
    rows = np.array([0, 1, 3])
    mask = jnp.broadcast_to(jnp.asarray(np.isin(np.arange(4), rows)), (3, 4))
    if name == "mmd":
        # Both sets through one mask.
        ts = array(TS)
        found = losses.signature_mmd(x, y, mask_x=mask, mask_y=mask[:2], ts=ts)
        wanted = losses.signature_mmd(x[:, rows], y[:, rows], ts=ts[rows])
    else:
        found = ALL[name](x, y, mask)
        wanted = ALL[name](x[:, rows], y if name == "kernel" else y[:, rows], None)
    close(found, wanted, **tolerance())


@pytest.mark.only("float32")
def test_a_score_is_a_loss_of_an_objective():
    """As its page says: an ensemble for each example."""

    def loss(spread, example, key):
        samples = spread * jax.random.normal(key, (8, *example.target.ys.shape))
        value = losses.crps(samples, example.target.ys, example.target.mask)
        weight = jnp.sum(example.target.mask, dtype=value.dtype)
        return value * weight, weight, None

    series = ct.Series.from_nan(TS, np.array([[1.0], [np.nan], [-1.0], [2.0]]))
    slope = jax.grad(lambda s: loss(s, ct.Example(None, series), KEY)[0])
    assert slope(jnp.asarray(0.1)) < 0 < slope(jnp.asarray(10.0))


X, Y = np.zeros((3, 4, 2)), np.zeros((2, 4, 2))


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "call, told",
    [
        (lambda: losses.signature_kernel(X[0], Y), r"x: shape \(4, 2\), .*x\[None\]"),
        (lambda: losses.signature_kernel(X.tolist(), Y), "x: a list"),
        (lambda: losses.signature_kernel(X.astype(int), Y), "x: dtype int"),
        (lambda: losses.signature_kernel(X, Y[..., :1]), r"y: shape \(2, 4, 1\), and x \(3, 4, 2\)"),
        (lambda: losses.signature_kernel(X, Y, refine=-1), "refine=-1"),
        (lambda: losses.signature_kernel(X, Y, mask_x=X), r"mask_x: shape \(3, 4, 2\) of float"),
        (lambda: losses.signature_mmd(X, Y, mask_y=X > 0), r"mask_y: shape \(3, 4, 2\)"),
        (lambda: losses.signature_mmd(X, Y[:1]), "y: 1 path"),
        (lambda: losses.signature_mmd(X, Y, ts=TS[1:]), r"ts: shape \(3,\)"),
        (lambda: losses.signature_mmd(X, Y[:, 1:], ts=TS), "times and channels"),
        (lambda: losses.signature_mmd(X, Y, scale=np.ones(3)), r"scale: shape \(3,\)"),
        (lambda: losses.truncated_signature_mmd(X, Y, 7), "depth=7"),
        (lambda: losses.signature_score(X, Y), r"truth: shape \(2, 4, 2\), where \(time, channel\)"),
        (lambda: losses.crps(X, Y[0, 1:]), "truth: shape"),
        (lambda: losses.energy_score(X[:1], Y[0]), "samples: 1 path"),
        (lambda: losses.sliced_wasserstein(X, Y, None), "key: .*jax.random.key"),
        (lambda: losses.sliced_wasserstein(X, Y, KEY, power=0.5), "power=0.5"),
        (lambda: losses.sliced_wasserstein(X, Y, KEY, projections=0), "projections=0"),
        (lambda: losses.euler_transition_likelihood(1.0, ornstein, None), "drift: a number|drift: "),
        (lambda: losses.euler_transition_likelihood(ornstein, ornstein, X), "series: "),
        (
            lambda: losses.euler_transition_likelihood(
                lambda t, y, args: y[:1], ornstein, ct.Series.from_nan(TS, np.eye(4)[:, :2])
            ),
            r"drift: returns shape \(1,\) for values of shape \(2,\)",
        ),
    ],
)
def test_what_cannot_be_compared_is_refused(call, told):
    with pytest.raises((ValueError, TypeError), match=told):
        call()
