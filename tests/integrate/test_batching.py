"""Lanes: what a batch does to a sample (nothing), how the slow are waited for, and how the failed are left behind."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels._core._output import NON_FINITE, STEP_UNDERFLOW, SUCCESS, TOO_MANY_STEPS
from ctmodels._integrate import loop_widths

pytestmark = pytest.mark.only("float64")

TS = jnp.array([0.0, 0.5, 1.0])
PID = diffrax.PIDController(rtol=1e-3, atol=1e-3)


def stiff(t, y, rate):
    return -rate * (y - jnp.cos(t))


def test_narrowed_batches_give_each_lane_what_it_has_alone(tolerance):
    integrate = ct.Integrate(diffrax.Heun(), PID, max_steps=512, adjoint=ct.DiscreteAdjoint(64), layout="whole")
    # Of 128, sixteen may be left: eleven go on, in two groups. The first one's steps fill the buffer, which is thinned.
    rates = jnp.concatenate([jnp.array([300.0]), jnp.linspace(90.0, 30.0, 10), jnp.linspace(0.5, 2.0, 117)])
    one = lambda rate: integrate(stiff, TS, jnp.zeros(2), rate)
    # A closure over a lane's own parameter, so that what it closes over has to be narrowed too.
    loss = lambda rate: jnp.sum(one(rate)[0] ** 2)
    ys, stats = jax.jit(jax.vmap(one))(rates)
    gradient = jax.jit(jax.grad(lambda rates: jnp.sum(jax.vmap(loss)(rates))))(rates)
    alone = jax.jit(jax.grad(lambda rate: (lambda ys, stats: (jnp.sum(ys**2), (ys, stats)))(*one(rate)), has_aux=True))
    assert stats.accepted.max() > 4 * stats.accepted.min()
    for i in (0, 1, 4, 7, 8, 10, 11, 127):
        slope, (y, own) = alone(rates[i])
        np.testing.assert_allclose(ys[i], y, **tolerance(10))
        np.testing.assert_allclose(gradient[i], slope, **tolerance(10))
        assert abs(int(own.accepted) - int(stats.accepted[i])) == 0


def test_the_loop_runs_at_the_width_that_is_needed():
    integrate = ct.Integrate(diffrax.Bosh3(), PID, max_steps=2048, adjoint=ct.DiscreteAdjoint(2048))
    rates = jnp.ones(64).at[3].set(400.0)
    field = lambda t, y, args: jnp.stack([-y[1] * (y[0] - jnp.cos(t)), 0 * y[1]])
    y0s = jnp.stack([jnp.zeros(64), rates], axis=1)
    widths = loop_widths(integrate, field, TS, y0s)
    assert [w for w, _, _ in widths] == [64, 8]
    assert widths[1][1] > 5 * widths[0][1]  # the slow lane goes on alone


def test_one_failing_lane_changes_no_others_value_or_gradient(tolerance, within):
    # y' = a y^2 blows up at 1 / (a y0).
    field = lambda t, y, a: a * y**2
    for batching in ("per_sample", "shared"):
        controller = diffrax.PIDController(rtol=1e-5, atol=1e-5)
        integrate = ct.Integrate(diffrax.Bosh3(), controller, max_steps=1024, batching=batching)

        def loss(a, y0s, integrate=integrate):
            ys, stats = jax.vmap(lambda y: integrate(field, TS, y, a))(y0s)
            good = stats.status == 0
            return jnp.sum(jnp.where(good[:, None, None], ys, 0) ** 2), (ys, stats)

        run = jax.jit(jax.value_and_grad(loss, argnums=(0, 1), has_aux=True))
        a, bad = jnp.array(1.0), jnp.array([[0.1], [3.0], [-1.0]])
        (value, (ys, stats)), (da, dy) = run(a, bad)
        (value_2, (ys_2, _)), (da_2, dy_2) = run(a, bad.at[1].set(0))  # which rests and adds nothing: the same program
        assert stats.status.tolist()[0] == SUCCESS == stats.status.tolist()[2]
        assert stats.status[1] in (NON_FINITE, STEP_UNDERFLOW, TOO_MANY_STEPS)
        assert np.isnan(ys[1, -1]).all() and 0.3 < stats.t[1] < 0.34
        close = tolerance(10) if batching == "per_sample" else within(1e-3, absolute=1e-4)
        np.testing.assert_allclose(ys[jnp.array([0, 2])], ys_2[jnp.array([0, 2])], **close)
        np.testing.assert_allclose([value, da], [value_2, da_2], **close)
        np.testing.assert_allclose(dy, dy_2, **close)
        assert dy[1] == 0
        with pytest.raises(RuntimeError, match=r"1 of 3 solves failed; sample 1 at time 0\.3"):
            stats.check()


def test_a_lane_that_cannot_start_spoils_nothing(tolerance):
    """NaN in the state and in the lane's own input, and a field whose slope at rest is not finite."""
    field = lambda t, y, args: -args[0] * jnp.sqrt(y) * args[1]
    integrate = ct.Integrate(diffrax.Bosh3(), PID, max_steps=64, cotangents="summed", failed="hold")

    def loss(a, y0s, us):
        ys, stats = jax.vmap(lambda y, u: integrate(field, TS, y, (a, u)))(y0s, us)
        return jnp.sum(jnp.where((stats.status == 0)[:, None, None], ys, 0)), stats

    run = jax.jit(jax.value_and_grad(loss, has_aux=True))
    y0s = jnp.array([[1.0], [jnp.nan], [2.0], [1.0]])
    us = jnp.array([0.5, 0.5, 0.7, jnp.nan])
    (value, stats), gradient = run(jnp.array(0.3), y0s, us)
    (value_2, _), gradient_2 = run(jnp.array(0.3), y0s[jnp.array([0, 2])], us[jnp.array([0, 2])])
    assert stats.status.tolist() == [0, NON_FINITE, 0, NON_FINITE]
    np.testing.assert_allclose([value, gradient], [value_2, gradient_2], **tolerance())


def test_a_failed_solve_holds_its_start_when_asked(within):
    integrate = ct.Integrate(diffrax.Bosh3(), PID, max_steps=64, failed="hold")
    ys, stats = integrate(lambda t, y, args: y**2, jnp.array([0.0, 0.5, 3.0]), jnp.ones(1))
    assert stats.status != 0
    np.testing.assert_allclose(ys[:, 0], [1.0, 2.0, 1.0], **within(1e-2))


@pytest.mark.parametrize("batching", ["per_sample", "shared"])
def test_permuting_and_splitting_a_batch(batching, tolerance):
    integrate = ct.Integrate(diffrax.Bosh3(), diffrax.PIDController(rtol=1e-6, atol=1e-6), batching=batching)
    solve = jax.jit(jax.vmap(lambda y: integrate(lambda t, y, args: jnp.sin(3 * y), TS, y)[0]))
    y0s = jnp.linspace(-1.0, 2.0, 12)[:, None]
    ys, order = solve(y0s), jnp.arange(12)[::-1]
    np.testing.assert_allclose(solve(y0s[order])[order], ys, **tolerance(10))


def test_data_types_are_kept_and_statistics_are_per_sample():
    integrate = ct.Integrate(measures=(ct.measures.local_error, ct.measures.stiffness))
    for dtype in (jnp.float32, jnp.float64):
        y0s = jnp.ones((2, 3), dtype)
        solve = jax.jit(jax.vmap(lambda y, dtype=dtype: integrate(lambda t, y, a: -y, TS.astype(dtype), y)))
        ys, stats = solve(y0s)
        assert ys.dtype == dtype and stats.shortest.dtype == dtype
        assert {m.dtype for m in stats.measures.values()} == {jnp.dtype(dtype)}
        assert {x.shape for x in jax.tree.leaves(stats)} == {(2,)}
        assert (stats.shortest <= stats.longest).all() and (stats.shortest > 0).all()
        np.testing.assert_allclose(stats.t, 1.0)


def test_models_and_ensembles_of_them(tolerance):
    """An ensemble by a vmap over parameters: each member as alone."""
    make = lambda key: ct.fields.MLPField(2, width=8, depth=1, key=key)
    fields = eqx.filter_vmap(make)(jax.random.split(jax.random.key(0), 3))
    integrate = ct.Integrate(diffrax.Bosh3(), PID, max_steps=64)
    y0s = jax.random.normal(jax.random.key(1), (4, 2))
    member = lambda field: jax.vmap(lambda y: integrate(field, TS, y)[0])(y0s)
    together = eqx.filter_jit(eqx.filter_vmap(member))(fields)
    first = jax.tree.map(lambda x: x[1] if eqx.is_array(x) else x, fields)
    np.testing.assert_allclose(together[1], eqx.filter_jit(member)(first), **tolerance())
