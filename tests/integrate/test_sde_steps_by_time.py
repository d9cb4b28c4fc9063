"""SDEs by as many steps as the time between save times asks for: each has noise of its own."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

import ctmodels as ct

TS = jnp.array([0.0, 0.1, 0.1, 1.0])  # a repeat, and a pause
KEYS = jax.random.split(jax.random.key(2), 400)
MU, SIGMA = 0.5, 0.7


def with_its_noise(mu=MU):
    """A Brownian motion w, and dx = mu x dt + SIGMA x dw."""
    drift = lambda t, y, _: y * jnp.stack([jnp.zeros_like(mu), mu])
    return ct.fields.SDE(drift, lambda t, y, _: jnp.stack([jnp.ones_like(y[0]), SIGMA * y[1]]), noise="scalar")


def solve(ts, key, longest, method, mu, n=1):
    solver = ct.Integrate(method, ct.Substeps(n, longest=longest))
    return solver(with_its_noise(mu), ts, jnp.array([0.0, 1.0]), key=key)


@pytest.mark.only("float64")
def test_the_noise_of_all_steps_is_that_of_one_brownian_motion():
    mu = jnp.asarray(MU)
    run = lambda longest: jax.jit(jax.vmap(lambda key: solve(TS, key, longest, diffrax.ItoMilstein(), mu)[0]))(KEYS)

    def error(ys):
        exact = jnp.exp(MU - SIGMA**2 / 2 + SIGMA * ys[:, -1, 0])
        return jnp.sqrt(jnp.mean((ys[:, -1, 1] - exact) ** 2))

    coarse, fine = run(0.1), run(0.0125)
    assert abs(jnp.log2(error(coarse) / error(fine)) / 3 - 1) < 0.15
    for ys in (coarse, fine):
        first, none, last = np.diff(np.asarray(ys)[..., 0], axis=1).T
        assert stats.kstest(first / 0.1**0.5, "norm").pvalue > 1e-3 and not none.any()
        assert stats.kstest(last / 0.9**0.5, "norm").pvalue > 1e-3
        assert abs(np.corrcoef(first, last)[0, 1]) < 4 / 400**0.5


@pytest.mark.only("float64")
@pytest.mark.parametrize("method", [ct.SRI(), diffrax.ReversibleHeun()])
def test_where_no_step_is_too_long_they_are_those_between_save_times(method, tolerance):
    """With an odd number, of which no increment is halved: also what a method keeps is handed on."""
    ts, mu = jnp.linspace(0.0, 1.0, 4), jnp.asarray(MU)
    sde = with_its_noise(mu)
    if isinstance(method, diffrax.ReversibleHeun):
        sde = ct.fields.SDE(sde.drift, sde.diffusion, noise="scalar", interpretation="stratonovich")
    run = lambda c: jax.jit(lambda key: ct.Integrate(method, c)(sde, ts, jnp.array([0.0, 1.0]), key=key))(KEYS[0])
    (found, stats), (wanted, others) = run(ct.Substeps(3, longest=0.2)), run(ct.Substeps(3))
    np.testing.assert_allclose(found, wanted, **tolerance())
    assert int(stats.accepted) == int(others.accepted) == 9 and int(stats.evaluations) == int(others.evaluations)


def test_batches_and_derivatives_are_those_of_the_steps_of_each(tolerance, within):
    ts = jnp.stack([TS, jnp.linspace(0.0, 0.6, 4), TS[jnp.array([0, 3, 3, 3])]])

    def last(mu, ts, key):
        ys, stats = solve(ts, key, 0.1, diffrax.Euler(), mu)
        return ys[-1, 1], (ys, stats)

    of_one = jax.value_and_grad(last, has_aux=True)
    mu, each = jnp.asarray(MU), jax.jit(jax.vmap(of_one, (None, 0, 0)))
    (_, (ys, stats)), slopes = each(mu, ts, KEYS[:3])
    assert stats.accepted.tolist() == [10, 6, 10] and not stats.status.any()
    alone = jax.jit(of_one)
    for i in range(3):
        (_, (wanted, _)), slope = alone(mu, ts[i], KEYS[i])
        np.testing.assert_allclose(ys[i], wanted, **tolerance())
        np.testing.assert_allclose(slopes[i], slope, **tolerance())
    eps = 1e-5 if jax.config.jax_enable_x64 else 1e-2
    value = lambda mu: alone(mu, ts[0], KEYS[0])[0][0]
    close = within(1e-7) if jax.config.jax_enable_x64 else within(5e-3)
    np.testing.assert_allclose(slopes[0], (value(mu + eps) - value(mu - eps)) / (2 * eps), **close)


@pytest.mark.only("float32")
def test_more_steps_than_may_be_taken_are_a_status():
    solver = ct.Integrate(diffrax.Euler(), ct.Substeps(1, longest=0.01), max_steps=8)
    ys, stats = solver(with_its_noise(jnp.asarray(MU)), TS, jnp.array([0.0, 1.0]), key=KEYS[0])
    assert ct.STATUS[int(stats.status)].startswith("too many steps") and np.isnan(ys[-1]).all()


@pytest.mark.only("float64")
def test_an_exported_solve_of_any_number_of_times_has_the_same_noise(tolerance):
    [time] = jax.export.symbolic_shape("time", constraints=["time >= 2"])
    run = jax.jit(lambda ts: solve(ts, KEYS[0], 0.1, diffrax.Euler(), jnp.asarray(MU))[0])
    written = jax.export.export(run)(jax.ShapeDtypeStruct((time,), TS.dtype))
    np.testing.assert_allclose(written.call(TS), run(TS), **tolerance())
