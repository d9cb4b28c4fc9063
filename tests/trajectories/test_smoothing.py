"""The smoother against a batch least-squares solution, a closed-form likelihood, and what it is for."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels import smoothing

pytestmark = pytest.mark.mostly("float64")

F = jnp.array([[1.0, 0.1], [-0.2, 0.95]])
NOISE = smoothing.Noise(jnp.array([0.02, 0.05]), jnp.array([0.1]))


def linear_flow(t0, t1, z):
    return F @ z


def series(n=12):
    rng = np.random.default_rng(0)
    ys = rng.normal(size=(n, 1))
    ys[[3, 7]] = np.nan
    return ct.Series.from_nan(np.arange(n), ys)


def gaussian(s):
    """The joint prior of all states and the observation model, written out as one big Gaussian."""
    n, f = len(s.ts), np.asarray(F, np.float64)
    Q, R = np.diag(np.asarray(NOISE.process, np.float64)), float(NOISE.observation[0])
    cov = np.zeros((n, n, 2, 2))
    marginal = np.eye(2)
    for i in range(n):
        if i:
            marginal = f @ marginal @ f.T + Q
        block = marginal
        for j in range(i, n):
            cov[j, i], cov[i, j] = block, block.T
            block = f @ block
    joint = cov.transpose(0, 2, 1, 3).reshape(2 * n, 2 * n)
    H = np.zeros((n, 2 * n))
    H[np.arange(n), 2 * np.arange(n)] = 1
    seen = np.asarray(s.mask[:, 0])
    return joint, H[seen], np.asarray(s.ys[:, 0], np.float64)[seen], R


def test_equals_the_batch_solution_of_the_same_gaussian(tolerance):
    s = series()
    joint, H, y, R = gaussian(s)
    S = H @ joint @ H.T + R * np.eye(len(y))
    mean = joint @ H.T @ np.linalg.solve(S, y)
    cov = joint - joint @ H.T @ np.linalg.solve(S, H @ joint)
    log_likelihood = -0.5 * (y @ np.linalg.solve(S, y) + np.linalg.slogdet(S)[1] + len(y) * np.log(2 * np.pi))
    got = jax.jit(lambda s: smoothing.smooth(linear_flow, s, NOISE))(s)
    np.testing.assert_allclose(got.mean, mean.reshape(-1, 2), **tolerance(100))
    blocks = np.stack([cov[2 * i : 2 * i + 2, 2 * i : 2 * i + 2] for i in range(len(s.ts))])
    np.testing.assert_allclose(got.cov, blocks, **tolerance(100))
    np.testing.assert_allclose(got.log_likelihood, log_likelihood, **tolerance(5))
    np.testing.assert_allclose(got.filtered[-1], got.mean[-1], **tolerance(100))


def test_expectation_maximisation_never_lowers_the_likelihood():
    s, noise, values = series(40), NOISE, []
    run = jax.jit(lambda noise: smoothing.smooth(linear_flow, s, noise))
    for _ in range(6):
        out = run(noise)
        values.append(float(out.log_likelihood))
        noise = out.noise
    assert np.all(np.diff(values) > -1e-3)
    assert values[-1] > values[0] + 1


def test_what_lies_under_the_mask_changes_nothing_and_gets_no_gradient():
    s = series()

    @jax.jit
    def total(ys):
        return jnp.sum(smoothing.smooth(linear_flow, eqx.tree_at(lambda s: s.ys, s, ys), NOISE).mean)

    gradient = jax.jit(jax.grad(total))(s.ys)
    assert np.all(gradient[~np.asarray(s.mask)] == 0) and np.all(np.isfinite(gradient))
    assert total(jnp.where(s.mask, s.ys, 1e6)) == total(s.ys)


def test_padding_changes_nothing(tolerance):
    s = series()
    run = jax.jit(lambda s: smoothing.smooth(linear_flow_in_time, s, NOISE).mean)
    np.testing.assert_allclose(run(s.pad(15))[:12], run(s), **tolerance(10))


def linear_flow_in_time(t0, t1, z):
    return z + (t1 - t0) * (F @ z - z)


def test_coasting_smooths_a_noisy_sine_without_knowing_its_law(within):
    rng = np.random.default_rng(0)
    ts = np.sort(rng.uniform(0, 20, 200))
    true = np.sin(ts)[:, None]
    s = ct.Series.from_nan(ts, true + 0.2 * rng.normal(size=true.shape))
    first = smoothing.Noise(jnp.array([1e-4, 1.0]), jnp.array([1e-2]))
    out = jax.jit(
        lambda s: smoothing.smooth(
            smoothing.constant_velocity, s, smoothing.tune_noise(smoothing.constant_velocity, s, first)[0]
        )
    )(s)
    rms = lambda x: float(jnp.sqrt(jnp.mean(x**2)))
    assert rms(out.mean[:, :1] - true) < 0.45 * 0.2
    assert rms(out.mean[:, 1:] - np.cos(ts)[:, None]) < 0.25
    np.testing.assert_allclose(out.noise.observation, [0.04], **within(0.3))


def test_the_right_field_is_worth_more_than_coasting():
    field = ct.systems.VanDerPol()
    clean = ct.systems.simulate(field, jnp.array([2.0, 0.0]), dt=0.1, steps=200)
    noisy = clean + 0.3 * jax.random.normal(jax.random.key(0), clean.shape, clean.dtype)
    s = ct.Series(0.1 * jnp.arange(200.0), noisy, jnp.ones(noisy.shape, bool))
    flow = lambda t0, t1, z: ct.rk_step(ct.RK4().tableau, field, t0, t1 - t0, z, None).y1
    informed = jax.jit(lambda s: smoothing.smooth(flow, s, smoothing.Noise(jnp.full(2, 1e-5), jnp.full(2, 0.09))))(s)
    assert float(jnp.sqrt(jnp.mean((informed.mean - clean) ** 2))) < 0.05


def in_units(s, noise, prior, units):
    """The same series, noise and prior, with each state in a unit of its own."""
    units = jnp.asarray(units, s.ys.dtype)
    seen = units[: s.ys.shape[1]]
    mean, cov = prior
    scaled = smoothing.Noise(noise.process * units**2, noise.observation * seen**2)
    return eqx.tree_at(lambda s: s.ys, s, s.ys * seen[None]), scaled, (mean * units, cov * jnp.outer(units, units))


def turning(units):
    """A rotation that shrinks, in these units."""
    turn = jnp.array([[0.9, 0.3], [-0.3, 0.9]])
    return lambda t0, t1, z: (turn * jnp.outer(units, 1 / units)) @ z


@jax.jit
def turned(s, noise, prior, units):
    """One program for all units."""
    return smoothing.smooth(turning(units), s, noise, prior=prior)


@pytest.mark.mostly("float32")
@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("units", [(1e-6, 1e-6), (1e-4, 1e-4), (1e6, 1e6), (1e-4, 1e4), (1e3, 1e-3)])
def test_units_change_nothing(channels, units, tolerance):
    """Means in the units, covariances in their squares, the likelihood by the logarithms of the units."""
    ys = np.random.default_rng(0).normal(size=(12, channels))
    ys[[3, 7], 0] = np.nan
    s = ct.Series.from_nan(np.arange(12.0), ys)
    noise = smoothing.Noise(jnp.array([0.02, 0.0]), jnp.array([0.1, 0.3])[:channels])
    prior = jnp.array([0.5, -0.5]), jnp.array([[1.0, 0.2], [0.2, 2.0]])
    u = jnp.asarray(units, s.ys.dtype)
    plain, scaled = turned(s, noise, prior, jnp.ones(2)), turned(*in_units(s, noise, prior, units), u)
    close = lambda a, b: np.testing.assert_allclose(a, b, **tolerance(50))
    for name in ("mean", "filtered"):
        close(getattr(scaled, name) / u[None], getattr(plain, name))
    for name in ("cov", "filtered_cov"):
        close(getattr(scaled, name) / jnp.outer(u, u)[None], getattr(plain, name))
    close(scaled.noise.process / u**2, plain.noise.process)
    close(scaled.noise.observation / u[:channels] ** 2, plain.noise.observation)
    shift = float(np.asarray(s.mask).sum(axis=0) @ np.log(units[:channels]))
    close(scaled.log_likelihood + shift, plain.log_likelihood)


def noisy_sine(n, unit=1.0):
    ts = np.sort(np.random.default_rng(1).uniform(0, n / 10, n))
    ys = np.sin(ts)[:, None] + 0.2 * np.random.default_rng(2).normal(size=(n, 1))
    s = ct.Series.from_nan(ts, ys)
    first = smoothing.Noise(unit**2 * jnp.array([1e-4, 1.0]), unit**2 * jnp.array([1e-2]))
    return eqx.tree_at(lambda s: s.ys, s, unit * s.ys), first, (jnp.zeros(2), unit**2 * jnp.eye(2))


tuned = jax.jit(lambda s, first, prior: smoothing.tune_noise(smoothing.constant_velocity, s, first, prior=prior))


@jax.jit
def likelihoods(s, noise, prior, factors):
    """Of the noise times each of the factors, of two variances of the process and one of observation."""
    of = lambda noise: smoothing.smooth(smoothing.constant_velocity, s, noise, prior=prior).log_likelihood
    return jax.vmap(lambda f: of(smoothing.Noise(noise.process * f[:2], noise.observation * f[2:])))(factors)


FACTORS = np.array([[f if i in (j, 3) else 1 for i in range(3)] for j in range(4) for f in (0.1, 0.8, 1.25, 10)])
FACTORS = np.concatenate([np.ones((1, 3)), FACTORS])


@pytest.mark.parametrize("unit", [1.0, 1e-4, 1e4])
def test_the_noise_found_is_the_likeliest(unit):
    """No step of a tenth, a half, two or ten, in one variance or all, is a fiftieth of a nat likelier."""
    s, first, prior = noisy_sine(60, unit)
    found, converged = tuned(s, first, prior)
    assert converged
    near = likelihoods(s, found, prior, jnp.asarray(FACTORS, s.ys.dtype))
    assert np.all(near < near[0] + 0.02)
    # The optimum that a simplex search found from many starts.
    assert abs(near[0] + 60 * np.log(unit) - -6.4137) < 0.02


def test_noise_is_found_from_starts_that_are_orders_of_magnitude_off():
    s, _, prior = noisy_sine(60)
    for process, observation in (([1e-8, 1e-4], [1.0]), ([1.0, 1e4], [1e4]), ([1e2, 1e-6], [1e-8])):
        found, _ = tuned(s, smoothing.Noise(jnp.array(process), jnp.array(observation)), prior)
        assert abs(likelihoods(s, found, prior, jnp.asarray(FACTORS, s.ys.dtype))[0] - -6.4137) < 0.1


def test_a_start_that_is_no_noise_is_left_and_no_rounds_change_nothing(tolerance):
    s, first, prior = noisy_sine(20)
    same, converged = jax.jit(
        lambda s: smoothing.tune_noise(smoothing.constant_velocity, s, first, rounds=0, prior=prior)
    )(s)
    np.testing.assert_allclose(same.process, first.process, **tolerance())
    np.testing.assert_allclose(same.observation, first.observation, **tolerance())
    assert not converged
