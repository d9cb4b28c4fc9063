"""The integrator: orders of convergence, agreement of its two paths, and statistics that can be trusted."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels._integrate import accepted_times

A = jnp.array([[-0.1, 2.0], [-2.0, -0.1]])
Y0 = jnp.array([1.0, 0.5])
TS = jnp.linspace(0.0, 2.0, 5)


def linear(t, y, args):
    return A @ y


def turning(t, y, args):
    """Not autonomous: a stage evaluated at the wrong time shows."""
    return jnp.cos(3 * t) * y


def exact(ts):
    w, V = np.linalg.eig(np.asarray(A, np.float64))
    c = np.linalg.solve(V, np.asarray(Y0, np.float64))
    return np.real(np.stack([V @ (np.exp(w * float(t)) * c) for t in ts]))


@pytest.mark.mostly("float64")
@pytest.mark.parametrize(
    "method, order",
    [
        (ct.RK4(), 4),
        (diffrax.Midpoint(), 2),
        pytest.param(diffrax.Ralston(), 2, marks=pytest.mark.slow),
        (diffrax.Heun(), 2),
        (diffrax.Bosh3(), 3),
        (diffrax.Tsit5(), 5),
        (diffrax.Dopri5(), 5),
    ],
)
def test_order_of_the_fixed_grid(method, order):
    def error(n):
        ys, _ = ct.Integrate(method, ct.Substeps(n))(turning, TS, Y0)
        return np.abs(np.asarray(ys[-1], np.float64) - np.asarray(Y0) * np.exp(np.sin(6.0) / 3)).max()

    if jax.config.jax_enable_x64:
        n = {2: 256, 3: 64, 4: 128, 5: 32}[order]  # fine enough to be asymptotic, coarse enough for rounding
        assert np.log2(error(n) / error(2 * n)) == pytest.approx(order, abs=0.15)
    else:  # rounding is reached before the asymptotic window, so only that it is reached
        assert error(64 if order == 2 else 32) < (2e-4 if order == 2 else 5e-6)


@pytest.mark.only("float64")
def test_order_eight_on_an_orbit():
    """Dopri8 is of order nine on linear problems; here, on an orbit of eccentricity 0.5 (Kepler's equation), eight."""
    field = lambda t, y, args: jnp.concatenate([y[2:], -y[:2] / jnp.sum(y[:2] ** 2) ** 1.5])
    anomaly = 2.0
    for _ in range(20):
        anomaly -= (anomaly - 0.5 * np.sin(anomaly) - 2.0) / (1 - 0.5 * np.cos(anomaly))
    place = np.array([np.cos(anomaly) - 0.5, np.sqrt(0.75) * np.sin(anomaly)])
    y0, ts = jnp.array([0.5, 0.0, 0.0, np.sqrt(3.0)]), jnp.array([0.0, 2.0])

    def error(n):
        ys, _ = ct.Integrate(diffrax.Dopri8(), ct.Substeps(n))(field, ts, y0)
        return np.abs(np.asarray(ys[-1, :2], np.float64) - place).max()

    if jax.config.jax_enable_x64:
        assert np.log2(error(24) / error(48)) == pytest.approx(8, abs=0.15)
    else:
        assert error(24) < 1e-5


@pytest.mark.mostly("float64")
@pytest.mark.parametrize("ts", [TS, TS[::-1], jnp.array([0.0, 0.3, 0.3, 2.0, 2.0])])
def test_adaptive_and_fixed_agree_with_the_exact_solution(ts, within):
    # Forward, backward in time, and with repeated times (padding).
    fixed, _ = ct.Integrate(ct.RK4(), ct.Substeps(64))(linear, ts, Y0)
    controller = diffrax.PIDController(rtol=1e-6, atol=1e-8)
    adaptive, stats = ct.Integrate(controller=controller)(linear, ts, Y0)
    assert stats.status == 0
    np.testing.assert_allclose(fixed, exact(ts - ts[0]), **within(1e-4, absolute=1e-5))
    np.testing.assert_allclose(adaptive, exact(ts - ts[0]), **within(1e-4, absolute=1e-5))


@pytest.mark.only("float32")
def test_a_state_may_be_any_pytree(within):
    def field(t, y, args):
        return {"q": y["p"], "p": -y["q"]}

    ys, _ = ct.Integrate()(field, TS, {"q": jnp.ones(2), "p": jnp.zeros(2)})
    np.testing.assert_allclose(ys["q"][:, 0], np.cos(TS), **within(1e-3, absolute=1e-4))


@pytest.mark.only("float32")
def test_evaluations_are_counted_truly():
    calls = []

    def field(t, y, args):
        jax.debug.callback(lambda: calls.append(1))
        return linear(t, y, args)

    for integrate in (ct.Integrate(), ct.Integrate(diffrax.Bosh3()), ct.Integrate(ct.RK4(), ct.Substeps(2))):
        calls.clear()
        _, stats = integrate(field, TS, Y0)
        jax.block_until_ready(stats)
        jax.effects_barrier()
        assert len(calls) == int(stats.evaluations)


@pytest.mark.only("float64")
def test_the_statistics_of_both_paths():
    measures = (ct.measures.local_error, ct.measures.stiffness)
    for controller in (diffrax.PIDController(rtol=1e-4, atol=1e-6), ct.Substeps(3)):
        integrate = ct.Integrate(diffrax.Tsit5(), controller, measures=measures)

        def error(y, integrate=integrate):
            _, stats = integrate(linear, TS, y)
            return stats.measures["local_error"], stats

        gradient, stats = jax.jit(jax.grad(error, has_aux=True))(Y0)
        # |S| is the norm of the matrix, near 2, and its sum over |h| near 2 x the span.
        assert stats.measures["stiffness"] == pytest.approx(4.0, rel=0.05)
        assert 0 < stats.measures["local_error"] < 1e-2
        assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


@pytest.mark.only("float64")
def test_only_accepted_steps_count(tolerance):
    # A field that turns sharp makes rejections; the same accepted steps, taken as a fixed grid, give the same sum.
    def sharp(t, y, args):
        return -50.0 * jnp.tanh(20 * (t - 1)) * y * jnp.exp(-30 * (t - 1) ** 2)

    y0, ts = jnp.ones(1), jnp.array([0.0, 2.0])
    controller = diffrax.PIDController(rtol=1e-3, atol=1e-6)
    _, stats = ct.Integrate(controller=controller, measures=(ct.measures.local_error,))(sharp, ts, y0)
    assert stats.rejected > 0
    keeping = ct.Integrate(controller=controller, max_steps=64)
    grid = jnp.asarray(accepted_times(keeping, sharp, ts, y0))
    _, taken = ct.Integrate(diffrax.Tsit5(), ct.Substeps(1), measures=(ct.measures.local_error,))(sharp, grid, y0)
    np.testing.assert_allclose(stats.measures["local_error"] / taken.measures["local_error"], 1, **tolerance(10))


@pytest.mark.only("float64")
def test_gradients_of_both_paths_agree_with_finite_differences(within):
    integrate = ct.Integrate(ct.RK4(), ct.Substeps(4))

    def loss(y0, scale):
        ys, _ = integrate(lambda t, y, args: args * linear(t, y, None), TS, y0, scale)
        return jnp.sum(ys**2)

    scale, h = jnp.array(1.0), 1e-6
    run = jax.jit(jax.value_and_grad(loss, argnums=1))
    gradient = run(Y0, scale)[1]
    difference = (run(Y0, scale + h)[0] - run(Y0, scale - h)[0]) / (2 * h)
    np.testing.assert_allclose(gradient, difference, **within(1e-7))


@pytest.mark.only("float32")
def test_failure_is_a_status_and_nan_never_a_plausible_value(within):
    blow_up = lambda t, y, args: y**2
    ts = jnp.array([0.0, 0.5, 2.0])
    for integrate in (ct.Integrate(max_steps=64), ct.Integrate(ct.RK4(), ct.Substeps(50))):
        ys, stats = integrate(blow_up, ts, jnp.ones(1))
        assert stats.status != 0 and not np.isfinite(ys[-1]).any()
        np.testing.assert_allclose(ys[1], 2.0, **within(1e-3))
        with pytest.raises(RuntimeError, match="1 of 1 solves failed; sample 0"):
            stats.check()
    assert np.isnan(ct.Integrate(max_steps=64)(blow_up, ts, jnp.ones(1))[0][-1]).all()


@pytest.mark.only("float64")
def test_vmap_equals_loop_and_one_bad_sample_spoils_no_other(tolerance):
    # y' = y^2 from 3 blows up at 1/3; its neighbours are what they are alone.
    integrate = ct.Integrate(diffrax.Bosh3(), max_steps=256)
    solve = eqx.filter_jit(lambda y: integrate(lambda t, y, args: y**2, jnp.array([0.0, 0.5]), y))
    y0s = jnp.array([[0.1], [3.0], [-1.0]])
    ys, stats = eqx.filter_vmap(solve)(y0s)
    assert stats.status.tolist()[0] == 0 and stats.status.tolist()[2] == 0 and stats.status[1] != 0
    for i in (0, 2):
        alone, own = solve(y0s[i])
        np.testing.assert_allclose(ys[i], alone, **tolerance())
        assert own.evaluations == stats.evaluations[i]
    with pytest.raises(RuntimeError, match="1 of 3 solves failed; sample 1"):
        stats.check()


@pytest.mark.only("float32")
def test_misuse_is_named():
    with pytest.raises(ValueError, match=r"field returns shape \(\) for a state of shape \(2,\)"):
        ct.Integrate()(lambda t, y, args: y[0], TS, Y0)
    with pytest.raises(ValueError, match="at least two"):
        ct.Integrate()(linear, TS[:1], Y0)
    with pytest.raises(ValueError, match="local_error.*Tsit5"):
        ct.Integrate(ct.RK4(), ct.Substeps(1), measures=(ct.measures.local_error,))(linear, TS, Y0)
    with pytest.raises(ValueError, match="stiffness.*Tsit5"):
        ct.Integrate(diffrax.Bosh3(), measures=(ct.measures.stiffness,))(linear, TS, Y0)
    with pytest.raises(ValueError, match="n=0"):
        ct.Substeps(0)


@pytest.mark.only("float32")
def test_stats_add_up():
    _, stats = ct.Integrate(measures=(ct.measures.local_error,))(linear, TS, Y0)
    both = stats + stats
    assert both.evaluations == 2 * stats.evaluations
    np.testing.assert_array_equal(both.measures["local_error"], 2 * stats.measures["local_error"])


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "integrate", [ct.Integrate, lambda measures: ct.Integrate(ct.RK4(), ct.Substeps(2), measures=measures)]
)
def test_of_a_measure_that_keeps_the_largest_the_larger_stays(integrate):
    asked = ct.measures.kinetic, ct.measures.maximum_over_steps(ct.measures.kinetic)
    first, second = (integrate(measures=asked)(linear, TS, scale * Y0)[1] for scale in (1.0, 3.0))
    for both in (first + second, second + first):
        np.testing.assert_array_equal(both.measures["largest_kinetic"], second.measures["largest_kinetic"])
        wanted = first.measures["kinetic"] + second.measures["kinetic"]
        np.testing.assert_array_equal(both.measures["kinetic"], wanted)
    alone = ct.Integrate(measures=(ct.measures.kinetic,))(linear, TS, Y0)[1]
    assert (alone + second).measures["largest_kinetic"] == second.measures["largest_kinetic"]


@pytest.mark.mostly("float64")
@pytest.mark.parametrize("adjoint", [diffrax.DirectAdjoint(), diffrax.ForwardMode()])
def test_the_measuring_solver_takes_other_adjoints(adjoint, within):
    # Diffrax 0.7.2 sets `scan_kind` on wrapped solvers; one that does not forward it breaks these.
    integrate = ct.Integrate(diffrax.Bosh3(), adjoint=adjoint, max_steps=32, measures=(ct.measures.local_error,))
    ys, _ = integrate(linear, jnp.array([0.0, 0.5]), Y0)
    np.testing.assert_allclose(ys[-1], exact([0.5])[0], **within(1e-3))


@pytest.mark.only("float32")
def test_a_solve_without_a_way_back_keeps_no_states():
    """A trail of 64 states of 4096 numbers is 2 MB in float32; what a prediction needs is some stages."""
    y0, ts = jnp.ones(4096), jnp.array([0.0, 1.0])
    solve = lambda y0: ct.Integrate()(lambda t, y, args: -y, ts, y0)[0]
    ahead = jax.jit(solve).lower(y0).compile().memory_analysis().temp_size_in_bytes
    with_way_back = jax.jit(jax.grad(lambda y0: jnp.sum(solve(y0)))).lower(y0).compile()
    assert ahead < 32 * y0.nbytes < with_way_back.memory_analysis().temp_size_in_bytes
