"""Bad inputs of a solve: each an error that says what and where, or a status, never a plausible value."""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels._core._output import NON_FINITE, STATUS, STEP_UNDERFLOW, TOO_MANY_STEPS

TS = jnp.array([0.0, 0.5, 1.0])
Y0 = jnp.array([1.0, 0.5])
decay = lambda t, y, args: -y


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "controller, message",
    [
        (
            diffrax.PIDController(rtol=-1e-3, atol=1e-6),
            "rtol=-0.001: a tolerance is one number, finite and not negative",
        ),
        (diffrax.PIDController(rtol=1e-3, atol=float("nan")), "atol=nan"),
        (diffrax.PIDController(rtol=0.0, atol=0.0), "rtol=0 and atol=0"),
        (diffrax.PIDController(rtol=np.array([1e-3, 1e-4]), atol=1e-6), "rtol=.*one number"),
        (diffrax.PIDController(rtol=1e-3, atol=1e-6, dtmin=-1.0), "dtmin=-1.0: must be a positive number"),
        (diffrax.PIDController(rtol=1e-3, atol=1e-6, dtmax=0.0), "dtmax=0.0"),
    ],
)
def test_tolerances_and_limits(controller, message):
    with pytest.raises(ValueError, match=message):
        ct.Integrate(controller=controller)


def test_a_tolerance_below_what_the_type_resolves():
    rtol = 1e-17 if TS.dtype == "float64" else 1e-12
    with pytest.raises(ValueError, match=f"below what {TS.dtype} resolves.*raise it"):
        ct.Integrate(controller=diffrax.PIDController(rtol=rtol, atol=1e-9))(decay, TS, Y0)


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "settings, message",
    [
        (dict(max_steps=0), "max_steps=0: at least one step is needed"),
        (dict(batching="both"), "batching='both': must be one of 'per_sample', 'shared'"),
        (dict(cotangents="mean"), "cotangents='mean'"),
        (dict(failed="zero"), "failed='zero'"),
    ],
)
def test_choices(settings, message):
    with pytest.raises(ValueError, match=message):
        ct.Integrate(**settings)


@pytest.mark.only("float32")
def test_buffers():
    with pytest.raises(ValueError, match="buffer=48: must be a power of two"):
        ct.DiscreteAdjoint(48)


@pytest.mark.only("float32")
@pytest.mark.parametrize(
    "ts, message",
    [
        ([0.0], "at least two"),
        ([0.0, np.nan, 1.0], r"ts\[1\] is nan: times must be finite"),
        ([0.0, 1.0, np.inf], r"ts\[2\] is inf"),
        ([0.0, 0.7, 0.5, 1.0], r"ts\[2\] is 0.5 after 0.7: times go in one direction"),
        ([0.0, 2.0, 1.0], r"ts\[2\] is 1 after 2"),  # a save time outside the span
        ([1.0, 0.0, 0.5], r"ts\[2\] is 0.5 after 0"),
    ],
)
@pytest.mark.parametrize("integrate", [ct.Integrate(), ct.Integrate(ct.RK4(), ct.Substeps(2))])
def test_times(ts, message, integrate):
    with pytest.raises(ValueError, match=message):
        integrate(decay, jnp.array(ts), Y0)


def test_times_that_are_whole_numbers_or_not_resolved():
    with pytest.raises(ValueError, match="ts has dtype int"):
        ct.Integrate()(decay, jnp.arange(3), Y0)
    with pytest.raises(ValueError, match=r"ts\[1\]: .* units in the last place of float32"):
        ct.Integrate()(decay, jnp.array([1e9, 1e9 + 128, 1e9 + 4096], jnp.float32), Y0)


@pytest.mark.only("float64")
def test_a_span_of_zero_is_the_start_and_repeats_are_padding():
    for batching in ("per_sample", "shared"):
        integrate = ct.Integrate(diffrax.Bosh3(), batching=batching)

        @jax.jit
        def run(ts, integrate=integrate):
            def total(y):
                solved = integrate(decay, ts, y)
                return jnp.sum(solved[0]), solved

            return jax.grad(total, has_aux=True)(Y0)

        gradient, (ys, stats) = run(jnp.ones(5))
        np.testing.assert_array_equal(ys, np.stack([Y0] * 5))
        assert stats.status == 0 and stats.accepted == 0
        np.testing.assert_array_equal(gradient, [5.0, 5.0])
        _, (ys, _) = run(jnp.array([0.0, 0.5, 0.5, 1.0, 1.0]))
        np.testing.assert_array_equal(ys[1], ys[2])
        np.testing.assert_array_equal(ys[3], ys[4])


@pytest.mark.mostly("float64")
@pytest.mark.parametrize("padded", [[0.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
def test_padded_lanes_beside_others(padded, within):
    tss = jnp.array([[0.0, 0.4, 1.0], padded])
    ys, stats = jax.vmap(lambda ts: ct.Integrate()(decay, ts, Y0))(tss)
    assert stats.status.tolist() == [0, 0]
    np.testing.assert_allclose(ys, np.asarray(Y0) * np.exp(padded[0] - np.asarray(tss))[:, :, None], **within(1e-3))


@pytest.mark.only("float32")
def test_a_state_that_is_not_of_finite_numbers():
    with pytest.raises(ValueError, match=r"y0\[1\] is nan: a solve starts from finite values"):
        ct.Integrate()(decay, TS, jnp.array([1.0, jnp.nan]))
    with pytest.raises(ValueError, match=r"y0\['q'\] has dtype int"):
        ct.Integrate()(lambda t, y, a: y, TS, {"q": jnp.array([1, 2])})
    _, stats = jax.jit(lambda y: ct.Integrate()(decay, TS, y))(jnp.array([1.0, jnp.nan]))
    assert stats.status == NON_FINITE and stats.accepted + stats.rejected == 0 and stats.t == 0


@pytest.mark.only("float32")
def test_parameters_that_are_not_finite():
    ys, stats = ct.Integrate()(lambda t, y, p: -p * y, TS, Y0, jnp.array(jnp.nan))
    assert stats.status == NON_FINITE and stats.accepted + stats.rejected == 0
    np.testing.assert_array_equal(ys[1:], jnp.nan)


@pytest.mark.mostly("float32")
@pytest.mark.parametrize(
    "field, message",
    [
        (lambda t, y, a: y[0], r"field returns shape \(\) for a state of shape \(2,\)"),
        (lambda t, y, a: (y, y), r"field returns shape \(\(2,\), \(2,\)\)"),
        (lambda t, y, a: y.astype(jnp.float16), "returns float16 for a state of float"),
        (lambda t, y, a: jnp.zeros(2, int), "returns int"),
    ],
)
def test_fields_that_return_something_else(field, message):
    with pytest.raises(ValueError, match=message):
        ct.Integrate()(field, TS, Y0)


@pytest.mark.only("float32")
def test_a_field_that_turns_to_nan_stops_at_once_and_says_when():
    field = lambda t, y, a: jnp.where(t > 0.6, jnp.nan, -1.0) * y
    ys, stats = ct.Integrate()(field, TS, Y0)
    assert stats.status == NON_FINITE and stats.accepted + stats.rejected < 80
    assert stats.t == pytest.approx(0.6, abs=0.05)
    assert np.isfinite(ys[1]).all() and np.isnan(ys[2]).all()
    with pytest.raises(RuntimeError, match="sample 0 at time 0.[56].*non-finite value"):
        stats.check()


@pytest.mark.only("float64")
def test_blow_up_stiffness_and_a_jump_end_with_a_status():
    ys, stats = ct.Integrate()(lambda t, y, a: y**2, jnp.array([0.0, 0.5, 2.0]), jnp.ones(1))
    assert stats.status in (NON_FINITE, STEP_UNDERFLOW, TOO_MANY_STEPS) and np.isnan(ys[-1]).all()
    assert stats.t == pytest.approx(1.0, abs=1e-2)
    _, stats = ct.Integrate(max_steps=50)(lambda t, y, a: -1e4 * (y - jnp.cos(t)), TS, Y0)
    assert stats.status == TOO_MANY_STEPS and stats.accepted + stats.rejected == 50
    with pytest.raises(RuntimeError, match="too many steps"):
        stats.check()


@pytest.mark.only("float32")
def test_no_failure_is_without_words():
    for status, words in STATUS.items():
        assert words and (status == 0 or len(words) > 20)


@pytest.mark.only("float32")
def test_a_constant_step_is_told_what_to_give():
    with pytest.raises(ValueError, match=r"ConstantStepSize\(\): it has no step length here; give ctmodels.Substeps"):
        ct.Integrate(diffrax.Euler(), diffrax.ConstantStepSize())


@pytest.mark.mostly("float64")
@pytest.mark.parametrize("grid", [ct.Substeps(4), diffrax.StepTo(jnp.linspace(0, 1, 9))])
def test_implicit_methods_take_a_fixed_grid(grid, within):
    """Euler backwards: each step divides by 1 + h."""
    implicit = ct.Integrate(diffrax.ImplicitEuler(), grid)
    ys, stats = implicit(lambda t, y, a: -y, jnp.array([0.0, 0.5, 0.5, 1.0])[:: 1 if grid == ct.Substeps(4) else 3], Y0)
    steps = 12 if grid == ct.Substeps(4) else 8
    assert stats.status == 0 and stats.accepted == steps
    np.testing.assert_allclose(ys[-1], Y0 / (1 + 1 / 8) ** 8, **within(1e-4))


@pytest.mark.only("float32")
def test_implicit_methods_take_the_other_engine(within):
    # Of a stiff field, at a tolerance at which float32 still solves the implicit equations.
    implicit = ct.Integrate(diffrax.Kvaerno5(), diffrax.PIDController(rtol=1e-3, atol=1e-3))
    ys, stats = implicit(lambda t, y, a: -1e4 * (y - jnp.cos(t)), TS, Y0)
    assert stats.status == 0 and stats.accepted < 200
    np.testing.assert_allclose(ys[-1], np.cos(1.0), **within(1e-3))
