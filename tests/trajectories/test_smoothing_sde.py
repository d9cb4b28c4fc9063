"""The natural-gradient smoother against the exact one where that is exact, and else against sums over a fine grid of
states."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels import smoothing

pytestmark = pytest.mark.mostly("float64")

VARIANCE = np.array([0.1, 0.3])
PRIOR = jnp.array([0.5, -0.5]), jnp.array([[1.0, 0.2], [0.2, 2.0]])
NOISE = jnp.array([0.8, 0.3])


def irregular(n=14, seed=0):
    rng = np.random.default_rng(seed)
    ys = rng.normal(size=(n, 2))
    ys[[3, 7, 7], [0, 0, 1]] = np.nan
    return ct.Series.from_nan(np.sort(rng.uniform(0, 4, n)), ys)


def linear(matrix, s, noise=NOISE, **kwargs):
    likelihood = smoothing.GaussianLikelihood(jnp.asarray(VARIANCE, float))
    return smoothing.smooth_sde(lambda t, z: matrix @ z, lambda t: noise, likelihood, s, prior=PRIOR, **kwargs)


@jax.jit
def exact(matrix, s, noise=NOISE):
    noise = smoothing.Noise(noise**2, jnp.asarray(VARIANCE, float))
    return smoothing.smooth(lambda t0, t1, z: z + (t1 - t0) * (matrix @ z), s, noise, prior=PRIOR)


one_step = jax.jit(lambda matrix, s, noise=NOISE: linear(matrix, s, noise, steps=1))
SHRINKING = jnp.array([[-0.7, 0.0], [0.0, -1.5]])
TURNING = jnp.array([[-0.1, 1.0], [-1.0, -0.1]])


@pytest.mark.parametrize("matrix", [SHRINKING, TURNING], ids=["Ornstein-Uhlenbeck", "rotation"])
def test_one_step_is_exact_where_all_is_linear(matrix, tolerance):
    s = irregular()
    found, wanted = one_step(matrix, s), exact(matrix, s)
    assert found.iterations == 1
    np.testing.assert_allclose(found.mean, wanted.mean, **tolerance(5))
    np.testing.assert_allclose(found.cov, wanted.cov, **tolerance(5))
    np.testing.assert_allclose(found.elbo, wanted.log_likelihood, **tolerance(5))


def dense_precision(chain):
    n = chain.mean.shape[0]
    full = np.zeros((n, 2, n, 2))
    for i in range(n):
        full[i, :, i] = chain.diagonal[i]
    for i in range(n - 1):
        full[i + 1, :, i], full[i, :, i + 1] = chain.below[i], chain.below[i].T
    return full.reshape(2 * n, 2 * n)


@pytest.mark.only("float64")
def test_moments_are_those_of_the_whole_precision(tolerance):
    out = one_step(TURNING, irregular())
    precision = dense_precision(out.chain)
    cov = np.linalg.inv(precision).reshape(14, 2, 14, 2)
    for i in range(14):
        np.testing.assert_allclose(out.cov[i], cov[i, :, i], **tolerance(10))
    for i in range(13):
        np.testing.assert_allclose(out.cross[i], cov[i + 1, :, i], **tolerance(10))
    np.testing.assert_allclose(np.ravel(out.chain.linear), precision @ np.ravel(out.mean), **tolerance(100))


@pytest.mark.only("float64")
def test_little_noise_is_no_other_noise(tolerance):
    """Nothing is added to the precision: of 1e-3 beside 10 it would show."""
    s, noise = irregular(), jnp.array([1e-3, 1e-3])
    found, wanted = one_step(TURNING, s, noise), exact(TURNING, s, noise)
    np.testing.assert_allclose(found.elbo, wanted.log_likelihood, **tolerance())
    np.testing.assert_allclose(found.mean, wanted.mean, **tolerance(50))
    np.testing.assert_allclose(found.cov, wanted.cov, **tolerance(50))


@pytest.mark.only("float64")
def test_what_lies_under_the_mask_and_padding_change_nothing(tolerance):
    s = irregular()
    hidden = eqx.tree_at(lambda s: s.ys, s, jnp.where(s.mask, s.ys, jnp.nan))
    np.testing.assert_array_equal(one_step(TURNING, s).mean, one_step(TURNING, hidden).mean)
    masked = eqx.tree_at(lambda s: s.mask, s, s.mask & (jnp.arange(14) < 10)[:, None])
    removed = exact(TURNING, s[:10])
    for found in (one_step(TURNING, masked), one_step(TURNING, s[:10].pad(14))):
        np.testing.assert_allclose(found.elbo, removed.log_likelihood, **tolerance())
        np.testing.assert_allclose(found.mean[:10], removed.mean, **tolerance())
        np.testing.assert_allclose(found.cov[:10], removed.cov, **tolerance())


@pytest.mark.only("float64")
def test_a_batch_is_its_samples(tolerance):
    several = [irregular(seed=i) for i in range(2)]
    batch = jax.jit(jax.vmap(lambda s: linear(TURNING, s, steps=1)))(ct.collate(several))
    for i, s in enumerate(several):
        one = jax.tree.leaves(one_step(TURNING, s))
        for many, alone in zip(jax.tree.leaves(batch), one, strict=True):
            np.testing.assert_allclose(many[i], alone, **tolerance(10))


H, ROWS = 0.05, 60
WELL_NOISE, WELL_VARIANCE = 0.6, 0.04
GAP = 0.2  # nats: the posterior of a double well is skew, and q is not


def well(theta, z):
    return theta * z * (1 - z**2)


def path():
    rng = np.random.default_rng(1)
    z = np.ones(ROWS)
    for i in range(ROWS - 1):
        z[i + 1] = z[i] + H * well(2.0, z[i]) + np.sqrt(H) * WELL_NOISE * rng.normal()
    return z, rng


def well_series():
    z, rng = path()
    ys = np.full((ROWS, 1), np.nan)
    ys[::4, 0] = z[::4] + np.sqrt(WELL_VARIANCE) * rng.normal(size=ROWS // 4)
    return ct.Series.from_nan(H * np.arange(ROWS), ys)


def count_series():
    z, rng = path()
    ys = rng.poisson(np.exp(1 + z))[:, None].astype(float)
    ys[10:20] = np.nan
    return ct.Series.from_nan(H * np.arange(ROWS), ys)


def gaussian_row(z, y, mask):
    return smoothing.GaussianLikelihood(jnp.array([WELL_VARIANCE]))(z, y, mask)


def poisson_row(z, y, mask):
    return jnp.sum(jnp.where(mask, ct.distributions.Poisson(1 + z).log_prob(y), 0))


def by_sums(s, likelihood, theta=2.0):
    """Log-likelihood and posterior means of Euler's steps, by sums over a grid of states: forward and backward."""
    z = np.linspace(-3.5, 3.5, 701)
    dz, variance = z[1] - z[0], H * WELL_NOISE**2
    kernel = np.exp(-0.5 * (z[:, None] - z[None] - H * well(theta, z)[None]) ** 2 / variance)
    kernel *= dz / np.sqrt(2 * np.pi * variance)
    rows = jax.vmap(lambda y, m: jax.vmap(lambda z: likelihood(z, y, m))(jnp.asarray(z, float)[:, None]))(s.ys, s.mask)
    rows = np.where(np.any(s.mask, axis=1)[:, None], np.exp(np.asarray(rows)), 1)
    forward, total, p = [], 0.0, np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
    for i, row in enumerate(rows):
        p = (kernel @ p if i else p) * row
        scale = np.sum(p) * dz
        p, total = p / scale, total + np.log(scale)
        forward.append(p)
    back, means = np.ones_like(z), []
    for p, row in zip(forward[::-1], rows[::-1], strict=True):
        means.append(np.sum(z * p * back) / np.sum(p * back))
        back = kernel.T @ (back * row)
        back /= np.max(back)
    return total, np.array(means[::-1])


def in_the_well(theta, s, likelihood=gaussian_row, **kwargs):
    out = smoothing.smooth_sde(
        lambda t, z: well(theta, z), lambda t: jnp.full(1, WELL_NOISE, s.ys.dtype), likelihood, s, **kwargs
    )
    return out.elbo, out


# To the bottom: no gain but rounding.
settled = jax.jit(jax.value_and_grad(lambda theta, s: in_the_well(theta, s, tolerance=0.0), has_aux=True))


@pytest.mark.only("float64")
def test_the_bound_rises_to_just_below_the_likelihood_of_a_double_well(within):
    s = well_series()
    again = jax.jit(lambda s, chain: in_the_well(2.0, s, start=chain, steps=1, rate=0.5)[1])
    (elbo, out), _ = settled(2.0, s)
    assert out.converged and out.iterations < 100
    # From a start far off: the posterior of the other well.
    far = eqx.tree_at(lambda c: c.mean, out.chain, -out.chain.mean)
    bounds = []
    for _ in range(25):
        state = again(s, far)
        far = state.chain
        bounds.append(float(state.elbo))
    assert np.all(np.diff(bounds) > -1e-9) and bounds[-1] > bounds[0] + 10
    np.testing.assert_allclose(bounds[-1], elbo, **within(absolute=1e-6))
    total, means = by_sums(s, gaussian_row)
    assert total - GAP < elbo < total
    np.testing.assert_allclose(out.mean[:, 0], means, **within(absolute=0.03))


@pytest.mark.only("float64")
def test_counts_are_smoothed_as_sums_have_it(within):
    s = count_series()
    _, out = jax.jit(lambda s: in_the_well(2.0, s, poisson_row))(s)
    total, means = by_sums(s, poisson_row)
    assert out.converged and total - GAP < out.elbo < total
    np.testing.assert_allclose(out.mean[:, 0], means, **within(absolute=0.02))


@pytest.mark.only("float64")
def test_data_that_contradict_the_drift_are_smoothed_better_than_by_linearisation(within):
    """The drift's curvature times a large error is what an extended filter leaves out."""
    ys = np.linspace(0.5, 2.5, ROWS)[:, None] + 0.2 * np.random.default_rng(0).normal(size=(ROWS, 1))
    ys[1::2] = np.nan
    s = ct.Series.from_nan(H * np.arange(ROWS), ys)
    (elbo, out), _ = settled(2.0, s)
    flow = lambda t0, t1, z: z + (t1 - t0) * well(2.0, z)
    noise = smoothing.Noise(jnp.array([WELL_NOISE**2]), jnp.array([WELL_VARIANCE]))
    linearised = jax.jit(lambda s: smoothing.smooth(flow, s, noise))(s)
    total, means = by_sums(s, gaussian_row)
    np.testing.assert_allclose(elbo, total, **within(absolute=GAP))
    assert abs(linearised.log_likelihood - total) > 10 * (total - elbo) > 0
    assert np.max(np.abs(linearised.mean[:, 0] - means)) > 10 * np.max(np.abs(out.mean[:, 0] - means))


@pytest.mark.only("float64")
def test_the_gradient_at_fixed_q_is_that_of_the_optimum(within):
    s, step = well_series(), 1e-3
    (_, out), slope = settled(2.0, s)
    (high, _), _ = settled(2.0 + step, s)
    (low, _), _ = settled(2.0 - step, s)
    np.testing.assert_allclose(slope, (high - low) / (2 * step), **within(1e-5))
    # And in q there is none: the value that is reported has its maximum where the steps end.
    diffusion = lambda t: jnp.full(1, WELL_NOISE, t.dtype)
    bound = lambda chain: smoothing.evidence_bound(lambda t, z: well(2.0, z), diffusion, gaussian_row, s, chain)
    value, gradient = jax.jit(jax.value_and_grad(bound))(out.chain)
    np.testing.assert_allclose(value, out.elbo, **within(1e-12))
    sizes = out.cov[:, 0, 0] ** 0.5, out.cov[:, 0, 0] ** -1, out.cov[1:, 0, 0] ** -1
    for size, part in zip(sizes, jax.tree.leaves(gradient), strict=True):
        assert np.max(np.abs(size * part.reshape(size.shape))) < 1e-5


@pytest.mark.only("float64")
@pytest.mark.slow
def test_expectation_maximisation_finds_the_likeliest_reversion(within):
    """Of an Ornstein-Uhlenbeck process; the exact likelihood is Kalman's."""
    s, noise, variance = well_series(), jnp.array([0.5]), jnp.array([0.04])

    @jax.jit
    def iterate(theta):
        arguments = lambda t: noise, smoothing.GaussianLikelihood(variance), s
        out = smoothing.smooth_sde(lambda t, z: -theta * z, *arguments)
        square = out.mean[:-1, 0] ** 2 + out.cov[:-1, 0, 0]
        change = out.mean[1:, 0] * out.mean[:-1, 0] + out.cross[:, 0, 0] - square
        new = -jnp.sum(change) / jnp.sum(H * square)
        bound = lambda theta: smoothing.evidence_bound(lambda t, z: -theta * z, *arguments, out.chain)
        return new, jax.grad(bound)(new)

    flow = lambda theta: lambda t0, t1, z: z - (t1 - t0) * theta * z
    kalman = lambda theta: smoothing.smooth(flow(theta), s, smoothing.Noise(noise**2, variance)).log_likelihood
    theta = jnp.asarray(1.0)
    for _ in range(40):
        theta, left = iterate(theta)
        np.testing.assert_allclose(left, 0, **within(absolute=1e-8))
    slope = jax.jit(jax.grad(kalman))
    curvature = (slope(theta + 1e-4) - slope(theta - 1e-4)) / 2e-4
    assert curvature < 0
    np.testing.assert_allclose(slope(theta) / curvature, 0, **within(absolute=1e-5))


@pytest.mark.only("float32")
def test_a_lane_without_a_number_is_no_convergence_and_leaves_the_others():
    thetas = jnp.array([2.0, jnp.nan])
    out = jax.jit(jax.vmap(lambda theta, s: in_the_well(theta, s)[1], in_axes=(0, None)))(thetas, well_series())
    assert np.isnan(out.elbo[1]) and np.isfinite(out.elbo[0])
    assert list(out.converged) == [True, False]


@pytest.mark.only("float64")
@pytest.mark.parametrize(
    "nodes, degree",
    [
        (lambda: smoothing.gauss_hermite(2, 4), 7),
        (lambda: smoothing.cubature(5), 3),
        (lambda: smoothing.monte_carlo(jax.random.key(0), 3, 20), 3),
    ],
)
def test_nodes_are_exact_to_their_degree(nodes, degree, tolerance):
    nodes = nodes()
    moments = [1, 0, 1, 0, 3, 0, 15, 0]
    for power in range(degree + 1):
        for entry in nodes.points.T:
            np.testing.assert_allclose(nodes.weights @ entry**power, moments[power], **tolerance(100))
    second = nodes.points.T @ (nodes.weights[:, None] * nodes.points)
    np.testing.assert_allclose(second, np.eye(len(second)), **tolerance())


@pytest.mark.only("float32")
def test_a_refined_series_has_its_rows_and_others_unobserved(tolerance):
    s = irregular()
    fine = smoothing.refine(s, 3)
    assert fine.ts.shape == (40,) and np.sum(fine.mask) == np.sum(s.mask)
    jax.tree.map(np.testing.assert_array_equal, fine[::3], s)
    np.testing.assert_allclose(np.diff(fine.ts), np.repeat(np.diff(s.ts), 3) / 3, **tolerance(10))


def wrong(**changes):
    right = {
        "drift": lambda t, z: -z,
        "diffusion": lambda t: NOISE,
        "likelihood": smoothing.GaussianLikelihood(jnp.asarray(VARIANCE, float)),
        "series": irregular(),
    }
    return lambda: smoothing.smooth_sde(**(right | changes))


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "call, error, message",
    [
        (wrong(drift=3), TypeError, r"drift: 3, where a function"),
        (wrong(drift=lambda t, z: z[:1]), ValueError, r"drift: returns .* shape \(1,\), where shape \(2,\)"),
        (wrong(diffusion=lambda t: jnp.eye(2)), ValueError, r"diffusion: returns .* shape \(2, 2\)"),
        (wrong(diffusion=NOISE), TypeError, r"diffusion: an array .* lambda t: constant"),
        (wrong(likelihood=lambda z, y, mask: y), ValueError, r"likelihood: returns .* shape \(2,\), where shape \(\)"),
        (wrong(likelihood=smoothing.GaussianLikelihood(jnp.ones(3))), ValueError, r"variance: shape \(3,\) for rows"),
        (
            wrong(likelihood=smoothing.GaussianLikelihood(jnp.ones(2), lambda z: z[:1])),
            ValueError,
            r"observe: gives shape \(1,\)",
        ),
        (wrong(series=ct.collate([irregular()])), ValueError, r"series: times of shape \(1, 14\).*vmap"),
        (wrong(prior=(jnp.zeros(3), jnp.eye(3))), ValueError, r"prior: shapes .* for 2 states"),
        (wrong(nodes=smoothing.cubature(3)), ValueError, r"nodes: points .*gauss_hermite\(2\)"),
        (wrong(rate=1.5), ValueError, r"rate=1.5"),
        (wrong(steps=0), ValueError, r"steps=0"),
        (wrong(tolerance=-1.0), ValueError, r"tolerance=-1"),
        (lambda: smoothing.monte_carlo(jax.random.key(0), 2, 5), ValueError, r"count=5: .* give 6"),
    ],
)
def test_what_does_not_fit_is_named(call, error, message):
    with pytest.raises(error, match=message):
        call()


@pytest.mark.only("float32")
def test_a_chain_of_another_grid_is_named():
    chain = jax.eval_shape(lambda s: linear(TURNING, s), irregular()).chain
    with pytest.raises(ValueError, match=r"start: a chain of shape \(14, 2\), where \(15, 2\) is wanted"):
        wrong(series=irregular(15), start=chain)()
