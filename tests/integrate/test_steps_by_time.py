"""Steps that are no longer than a time, whatever the gaps: in solves, and in models that go from row to row."""

import functools
import inspect

import diffrax
import equinox as eqx
import jax
import jax.export
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct

PAUSE = jnp.array([0.0, 0.1, 0.2, 0.3, 5.0, 5.1, 5.1, 5.1])  # a long gap, and padding
TIMES = jnp.stack([PAUSE, jnp.linspace(0.0, 0.7, 8), jnp.array([0.0, 1.0, 2.0, 2.05, 3.0, 4.0, 4.0, 4.0])])
BY_TIME = ct.Integrate(ct.RK4(), ct.Substeps(1, longest=0.1))


def turning(t, y, rate):
    return rate * jnp.stack([y[1], -y[0]])


def solve(integrate, ts, rate=1.0):
    return integrate(turning, ts, jnp.array([1.0, 0.0]), jnp.asarray(rate, ts.dtype))


compiled = eqx.filter_jit(solve)


def exact(ts, rate=1.0):
    return jnp.stack([jnp.cos(rate * ts), -jnp.sin(rate * ts)], axis=1)


@pytest.mark.only("float64")
def test_a_pause_is_followed_as_closely_as_all_else_and_counts_its_steps(tolerance, within):
    ys, stats = compiled(BY_TIME, PAUSE)
    np.testing.assert_allclose(ys, exact(PAUSE), **within(absolute=1e-5))
    assert stats.accepted == 3 + 47 + 1 and stats.evaluations == 4 * 51 and stats.status == 0
    np.testing.assert_allclose([stats.longest, stats.shortest], [0.1, 0.1], **tolerance())
    assert jnp.abs(compiled(ct.Integrate(ct.RK4(), ct.Substeps(1)), PAUSE)[0] - exact(PAUSE)).max() > 1
    back, _ = compiled(BY_TIME, PAUSE[::-1])
    np.testing.assert_allclose(back, exact(PAUSE[::-1] - PAUSE[-1]), **within(absolute=1e-5))


@pytest.mark.only("float32")
def test_regular_times_take_the_steps_that_they_took(tolerance):
    """Rounding of times, and a gap of just the longest step, make no step more."""
    ts = 7.0 + 0.1 * jnp.arange(9.0)
    for n, longest in ((1, 0.1), (3, 0.1 / 3), (2, 10.0)):
        found, stats = solve(ct.Integrate(ct.RK4(), ct.Substeps(n, longest)), ts)
        wanted, usual = solve(ct.Integrate(ct.RK4(), ct.Substeps(n)), ts)
        np.testing.assert_allclose(found, wanted, **tolerance())
        assert stats.accepted == usual.accepted == 8 * n


@pytest.mark.only("float64")
def test_batches_and_all_derivatives_are_those_of_the_steps_of_each(tolerance, within):
    """First derivatives by two stages, as they are compared with one another; the second one by four, as it is with
    the exact one."""
    heun = ct.Integrate(diffrax.Heun(), BY_TIME.controller)
    slope = lambda of: jax.grad(of, has_aux=True)
    of_one = lambda rate, ts: (lambda ys: (jnp.sum(ys), ys))(solve(heun, ts, rate)[0])
    of_all = lambda rate: (lambda ys: (jnp.sum(ys), ys))(jax.vmap(lambda ts: solve(heun, ts, rate)[0])(TIMES))
    rate, alone = jnp.asarray(1.0), jax.jit(slope(of_one))
    both = lambda rate: (slope(of_all)(rate), jax.vmap(slope(of_one), (None, 0))(rate, TIMES))
    (total, ys), (gradients, _) = jax.jit(both)(rate)
    for i, ts in enumerate(TIMES):
        gradient, one = alone(rate, ts)
        np.testing.assert_allclose(ys[i], one, **tolerance())
        np.testing.assert_allclose(gradients[i], gradient, **tolerance())
    np.testing.assert_allclose(total, jnp.sum(gradients), **tolerance())
    second = jax.jit(jax.hessian(lambda rate: jnp.sum(solve(BY_TIME, PAUSE, rate)[0])))(rate)
    t = np.asarray(PAUSE)  # the sum is that of cos(rate t) - sin(rate t)
    np.testing.assert_allclose(second, np.sum(t**2 * (np.sin(t) - np.cos(t))), **within(1e-4))


@pytest.mark.only("float64")
def test_measures_are_those_of_all_steps(tolerance):
    asked = (ct.measures.local_error, ct.measures.maximum_over_steps(ct.measures.local_error))
    by_time, grid = ct.Substeps(1, longest=0.1), diffrax.StepTo(ts=jnp.linspace(0.0, 4.8, 49))
    ts = jnp.array([0.0, 0.2, 4.8])
    found, wanted = (solve(ct.Integrate(diffrax.Heun(), c, measures=asked), ts)[1].measures for c in (by_time, grid))
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name] / value, 1, **tolerance(100), err_msg=name)


def test_more_steps_than_may_be_taken_are_a_status_not_a_value(tolerance):
    few = ct.Integrate(ct.RK4(), ct.Substeps(1, longest=0.1), max_steps=10)
    ys, stats = solve(few, PAUSE)
    assert stats.status == 1 and np.isfinite(ys[:4]).all() and np.isnan(ys[4:]).all()
    np.testing.assert_allclose(stats.t, 0.3, **tolerance())
    held, _ = solve(
        eqx.tree_at(lambda i: i, few, ct.Integrate(few.method, few.controller, max_steps=10, failed="hold")), PAUSE
    )
    np.testing.assert_array_equal(held[4:], jnp.broadcast_to(ys[0], (4, 2)))


@pytest.mark.parametrize("longest", [0.0, -1.0, np.nan, np.inf])
def test_a_longest_step_is_a_positive_time(longest):
    with pytest.raises(ValueError, match="longest=.*must be a positive time"):
        ct.Substeps(1, longest=longest)


@pytest.mark.only("float64")
def test_an_exported_solve_of_any_number_of_times_follows_a_pause(within):
    [time] = jax.export.symbolic_shape("time", constraints=["time >= 2"])
    run = jax.jit(lambda ts: solve(BY_TIME, ts)[0])
    written = jax.export.export(run)(jax.ShapeDtypeStruct((time,), PAUSE.dtype))
    for ts in (PAUSE, PAUSE[:3]):
        np.testing.assert_allclose(written.call(ts), exact(ts), **within(absolute=1e-5))


OPTIONS = "integrate", "forecast_solver"
FINE = ct.Integrate(ct.RK4(), ct.Substeps(1, longest=0.02))


def reads(encoder, integrate, key):
    a, b, c, d = jax.random.split(key, 4)
    code = encoder(2, 6, key=a, **integrate)
    decoder, field = eqx.nn.Linear(3, 2, key=b), ct.fields.MLPField(3, width=4, depth=1, key=c)
    return ct.LatentODE(code, eqx.nn.Linear(code.size, 6, key=d), field, decoder, t0=0.0)


MODELS = {
    "ODE-RNN": lambda i, key: ct.ODERNN(2, 6, 2, width=8, key=key, **i("integrate")),
    "GRU-ODE-Bayes": lambda i, key: ct.GRUODEBayes(2, 6, prepared=3, key=key, **i("integrate")),
    "neural CDE": lambda i, key: ct.NeuralCDE(2, 6, 2, width=8, key=key, **i("forecast_solver")),
    "log NCDE": lambda i, key: ct.LogNCDE(2, 6, 2, window=2, width=8, key=key, **i("forecast_solver")),
    "encoder": lambda i, key: reads(ct.ReverseODERNNEncoder, i("integrate"), key),
}


def over_a_gap(name, solver=None):
    """What a model says of rows with a gap of 20 between them, and of times far ahead."""
    ts = np.array([0.0, 0.3, 0.7, 1.2, 21.2, 21.5])
    x = ct.Series.from_nan(ts, np.random.default_rng(0).normal(size=(6, 2)))
    asked = jnp.concatenate([x.ts, jnp.array([24.0, 40.0])])
    model = MODELS[name](lambda option: {option: solver} if solver else {}, jax.random.key(1))
    return eqx.filter_jit(lambda model: model(x, asked))(model)


by_default = functools.cache(over_a_gap)


@pytest.mark.parametrize("make", [ct.ODERNN, ct.GRUODEBayes, ct.NeuralCDE, ct.LogNCDE, ct.ReverseODERNNEncoder])
def test_a_model_takes_no_step_of_more_than_one_by_default(make):
    defaults = [p.default for name, p in inspect.signature(make).parameters.items() if name in OPTIONS]
    assert [solver.controller for solver in defaults] == [ct.Substeps(1, longest=1.0)]


@pytest.mark.only("float64")
@pytest.mark.parametrize("name", ["ODE-RNN", pytest.param("GRU-ODE-Bayes", marks=pytest.mark.slow)])
def test_over_a_gap_its_steps_are_that_long(name):
    stats = by_default(name).stats
    assert 0.5 < stats.longest <= 1 + 1e-9 and stats.accepted >= 20


LATER = "GRU-ODE-Bayes", "log NCDE", "encoder"  # which go the way of the others, by `flow_of_field` or between rows


@pytest.mark.only("float64")
@pytest.mark.parametrize("name", [pytest.param(n, marks=[pytest.mark.slow] if n in LATER else []) for n in MODELS])
def test_a_model_goes_over_a_long_gap_and_far_ahead_by_default(name, within):
    close = within(5e-3, absolute=5e-3)
    np.testing.assert_allclose(by_default(name).ys, over_a_gap(name, FINE).ys, **close)
