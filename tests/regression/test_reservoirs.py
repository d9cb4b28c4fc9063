"""Echo-state networks: what a reservoir forgets, what it remembers, and the sweep that tunes it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels.models._echo_state import spectral_radius_of

KEY = jax.random.key(0)


def linear(units: int, radius: float) -> ct.EchoState:
    """A ring, which is an orthogonal matrix, and no squashing."""
    model = ct.EchoState(1, units, dt=1.0, spectral_radius=radius, washout=0, activation=lambda x: x, key=KEY)
    ring = jnp.roll(jnp.eye(units), 1, axis=0)
    W_in = jnp.zeros_like(model.W_in).at[0, 1].set(1.0)
    return eqx.tree_at(lambda m: (m.W, m.W_in), model, (ring, W_in))


def test_the_spectral_radius_is_that_of_the_eigenvalues(within):
    W = np.random.default_rng(1).normal(size=(20, 20))
    wanted = np.abs(np.linalg.eigvals(W)).max()
    np.testing.assert_allclose(spectral_radius_of(jnp.asarray(W)), wanted, **within(1e-4))
    model = ct.EchoState(2, 30, dt=0.1, key=KEY)
    np.testing.assert_allclose(np.abs(np.linalg.eigvals(model.W)).max(), 1, **within(1e-3))


def test_two_starts_converge_below_a_radius_of_one_and_not_above(within):
    """Driven by the same, weakly, so that it is the radius that decides."""
    heard = np.random.default_rng(2).normal(size=(200, 2)) * [1, 0.1]

    @jax.jit
    def apart(radius, heard):
        model = ct.EchoState(1, 40, dt=1.0, spectral_radius=radius, input_scale=0.1, key=KEY)
        hear = lambda rs, v: (jax.vmap(lambda r: model.drive(r, v))(rs), None)
        rs = jax.lax.scan(hear, jnp.stack([jnp.zeros(40), 0.5 * jnp.ones(40)]), heard)[0]
        return jnp.linalg.norm(rs[1] - rs[0])

    below, above = (float(apart(jnp.asarray(radius), jnp.asarray(heard))) for radius in (0.8, 1.5))
    assert below < 1e-5 and above > 0.1


@pytest.mark.only("float64")
def test_a_linear_reservoir_remembers_as_many_inputs_as_it_has_units(within):
    """The sum over lags of r^2 is the number of units (Jaeger 2002): of the readout of each, by least squares."""
    units, rows, lags = 6, 4000, 40
    us = np.random.default_rng(3).normal(size=(rows, 1))
    model = linear(units, 0.9)
    rs = np.asarray(model.listen(ct.Series.from_nan(np.arange(float(rows)), us)))[:, 1:]  # before it hears the row
    kept = np.arange(200, rows)
    wanted = np.stack([us[kept - lag, 0] for lag in range(1, lags + 1)], axis=1)
    W = np.asarray(ct.regression.ridge(jnp.asarray(rs[kept]), jnp.asarray(wanted)))
    r2 = 1 - ((wanted - rs[kept] @ W) ** 2).sum(axis=0) / (wanted**2).sum(axis=0)
    assert np.all(r2[:3] > 0.15) and r2[-1] < 0.02
    np.testing.assert_allclose(r2.sum(), units, **within(0.03))


def sampled(rows=200):
    """Of two tones, the second of which is an input; and a gap."""
    ts = 0.25 * np.arange(rows)
    ys = np.stack([np.sin(ts) + 0.3 * np.sin(0.7 * ts), np.cos(ts)], axis=1)
    ys[60, 0] = np.nan
    return ct.Series.from_nan(ts, ys), ct.Series.from_nan(ts, np.sin(0.7 * ts)[:, None])


@pytest.mark.only("float32")
def test_the_sweep_finds_settings_and_the_best_runs_free(within):
    """Its error is that of the model which comes out of it, fitted to all; it listens, and goes on by itself."""
    series, control = sampled()
    reservoir = ct.EchoState(2, 24, dt=0.25, inputs=1, washout=20, key=KEY)
    kwargs = dict(configurations=6, penalties=(1e-6, 1e-3), starts=3, horizon=12, batch=4)
    tune = jax.jit(lambda s, c: ct.regression.tune_echo_state(reservoir, s, c, key=jax.random.key(1), **kwargs))
    model, tuned = tune(series, control)
    assert tuned.error.shape == (6, 2) and tuned.best == np.min(tuned.error) < 0.2
    i = int(np.argmin(tuned.error.min(axis=1)))
    assert model.leak == tuned.leak[i] and model.spectral_radius == tuned.spectral_radius[i]
    path = ct.paths.LinearPath.from_series(control)
    zs = model.listen(series, path)
    assert np.isnan(zs[:20]).all() and np.isfinite(zs[20:]).all()
    ahead = model(ct.Driven(zs[150], path), series.ts[150:175]).ys
    assert float(ct.metrics.nrmse(series.ys[150:175], ahead)) < 0.3


def test_a_readout_is_a_ridge_regression_of_what_the_reservoir_heard(within):
    """One step by the model from each state is what the regression says, and as good as it says."""
    series, control = sampled(80)
    reservoir = ct.EchoState(2, 12, dt=0.25, inputs=1, washout=10, squared=True, leak=0.5, key=KEY)
    model, fit = ct.regression.echo_state(reservoir, series, control, penalty=1e-4)
    assert fit.rows == 80 - 10 - 2  # after the washout, without the row with a gap and the one after it
    path = ct.paths.LinearPath.from_series(control)
    zs = model.listen(series[:60], path)[10:-1]
    ahead = jax.jit(jax.vmap(lambda t, z: model.step(t, z, path)[:2]))(series.ts[10:59], zs)
    changes = np.diff(series.ys[10:60], axis=0)
    error = np.sqrt(np.mean((ahead - series.ys[11:60]) ** 2, axis=0) / np.mean(changes**2, axis=0))
    np.testing.assert_allclose(error, fit.error, **within(0.5))


@pytest.mark.only("float32")
def test_a_sweep_without_room_for_forecasts_is_refused():
    series, control = sampled(80)
    reservoir = ct.EchoState(2, 8, dt=0.25, inputs=1, washout=5, key=KEY)
    with pytest.raises(ValueError, match="horizon=50: of 80 rows the last 16 are held out"):
        ct.regression.tune_echo_state(reservoir, series, control, key=KEY)
