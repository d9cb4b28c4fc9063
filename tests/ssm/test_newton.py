"""Recurrences in parallel against the same row by row: states, gradients, exponents; DEER's numbers; what fails."""

import json
from pathlib import Path

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import ctmodels as ct
from ctmodels import ssm
from ctmodels._core._output import NON_FINITE, NOT_CONVERGED

DEER = json.loads((Path(__file__).parents[1] / "reference" / "deer_gru.json").read_text(encoding="utf-8"))


class Turned(eqx.Module):
    """Equinox's cells take the input first."""

    cell: eqx.nn.GRUCell

    def __call__(self, h, x):
        return self.cell(x, h)


class Logistic(eqx.Module):
    """x h (1 - h): chaotic where x is 4, at rest where it is 2.5."""

    scale: jax.Array

    def __call__(self, h, x):
        return self.scale * x * h * (1 - h)


def array(x):
    return jnp.asarray(np.asarray(x, jax.dtypes.canonicalize_dtype(float)))


def gru(inputs=2, size=3):
    return Turned(eqx.nn.GRUCell(inputs, size, key=jax.random.key(0)))


def drawn(*shape, seed=0):
    return array(np.random.default_rng(seed).normal(size=shape))


def row_by_row(step, h0, xs):
    return jax.lax.scan(lambda h, x: (step(h, x),) * 2, h0, xs)[1]


def in_parallel(solver):
    return lambda step, h0, xs: ssm.newton_scan(step, h0, xs, solver=solver)[0]


def value_and_gradients(solve, weights, *args):
    def total(args):
        hs = solve(*args)
        return jnp.sum(weights * hs), hs

    return eqx.filter_value_and_grad(total, has_aux=True)(args)


def close(a, b, **tolerance):
    for x, y in zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True):
        np.testing.assert_allclose(x, y, **tolerance)


def deer():
    """The cell, the start and the inputs of the reference."""
    parts = ("weight_ih", "weight_hh", "bias", "bias_n")
    get = lambda step: [getattr(step.cell, name) for name in parts]
    return eqx.tree_at(get, gru(3, 4), [array(DEER[name]) for name in parts]), array(DEER["y0"]), array(DEER["x"])


@pytest.mark.only("float64")
def test_states_and_gradients_are_those_of_deer(tolerance):
    step, h0, xs = deer()
    weights = jnp.cos(jnp.arange(xs.shape[0] * 4.0)).reshape(-1, 4)
    solve = eqx.filter_jit(lambda *args: value_and_gradients(in_parallel(ssm.NewtonScan()), weights, *args))
    (value, hs), (of_step, of_h0, of_xs) = solve(step, h0, xs)
    np.testing.assert_allclose(value, DEER["loss"], **tolerance())
    np.testing.assert_allclose(hs[np.array(DEER["rows"])], DEER["y"], **tolerance())
    np.testing.assert_allclose(of_h0, DEER["g_y0"], **tolerance())
    np.testing.assert_allclose(of_xs[np.array(DEER["rows"])], DEER["g_x"], **tolerance())
    for name in ("weight_ih", "weight_hh", "bias", "bias_n"):
        np.testing.assert_allclose(getattr(of_step.cell, name), DEER[f"g_{name}"], **tolerance())


@pytest.mark.only("float64")
@pytest.mark.parametrize(
    "linearisation, name", [(ssm.FullJacobian(), "full"), (ssm.DiagonalJacobian(), "quasi")], ids=["full", "quasi"]
)
def test_iterates_miss_by_as_much_as_those_of_deer_and_elk(linearisation, name, within):
    step, h0, xs = deer()

    @eqx.filter_jit
    def errors(step):
        hs, true = jnp.zeros((xs.shape[0], 4)), row_by_row(step, h0, xs)
        errors = []
        for _ in DEER[f"errors_{name}"]:
            errors.append(jnp.max(jnp.abs(hs - true)))
            hs = ssm.newton_step(step, h0, xs, hs, linearisation=linearisation)
        return jnp.stack(errors)

    np.testing.assert_allclose(errors(step), DEER[f"errors_{name}"], **within(1e-3, 1e-14))


SOLVERS = {
    "full": ssm.NewtonScan(),
    "full, in parallel": ssm.NewtonScan(parallel=True),
    "full, in chunks": ssm.NewtonScan(chunk=5),
    "diagonal, in parallel": ssm.NewtonScan(ssm.DiagonalJacobian(), parallel=True),
    "damped, in parallel": ssm.NewtonScan(damping=0.1, parallel=True),
    "damped diagonal": ssm.NewtonScan(ssm.DiagonalJacobian(), damping=0.5),
}


@pytest.mark.mostly("float64")
@pytest.mark.parametrize("solver", SOLVERS.values(), ids=SOLVERS)
def test_states_and_gradients_are_those_row_by_row(solver, tolerance):
    step, h0, xs, weights = gru(), drawn(3), drawn(13, 2), drawn(13, 3, seed=1)
    both = eqx.filter_jit(
        lambda *args: [value_and_gradients(f, weights, *args) for f in (in_parallel(solver), row_by_row)]
    )
    found, wanted = both(step, h0, xs)
    # What is left where an iteration ends that is not Newton's own.
    close(found, wanted, **tolerance(1 if solver.linearisation.exact and not solver.damping else 10))


def test_states_and_inputs_may_have_any_shape(tolerance):
    """And a step closes over what it likes: its gradient comes."""
    xs = {"a": drawn(9, 2), "gate": jnp.asarray(np.arange(9) % 3 > 0)}

    def totals(weight):
        step = lambda h, x: jnp.where(x["gate"], jnp.tanh(weight @ h + x["a"][:, None]), h)
        h0 = jnp.ones((2, 3), weight.dtype)
        return jnp.stack([jnp.sum(hs(step, h0, xs) ** 2) for hs in (in_parallel(ssm.NewtonScan()), row_by_row)])

    values, gradients = jax.jit(lambda weight: (totals(weight), jax.jacrev(totals)(weight)))(0.5 * drawn(2, 2))
    np.testing.assert_allclose(values[0], values[1], **tolerance())
    np.testing.assert_allclose(gradients[0], gradients[1], **tolerance())


def test_a_linear_recurrence_is_solved_by_one_iteration(tolerance):
    matrix, h0, xs = 0.4 * drawn(3, 3), drawn(3), drawn(20, 3, seed=1)
    step = lambda h, x: matrix @ h + x

    @jax.jit
    def solve(xs):
        hs, stats = ssm.newton_scan(step, h0, xs)
        return hs, stats, ssm.newton_step(step, h0, xs, jnp.zeros_like(xs)), row_by_row(step, h0, xs)

    hs, stats, one, true = solve(xs)
    np.testing.assert_allclose(hs, true, **tolerance())
    np.testing.assert_allclose(one, true, **tolerance())
    assert stats.converged and stats.iterations == 2  # the second finds that nothing is left
    assert stats.evaluations == 3 * 20


@pytest.mark.mostly("float32")
@pytest.mark.parametrize("linearisation", [ssm.FullJacobian(), ssm.DiagonalJacobian()], ids=["full", "diagonal"])
def test_each_iteration_gets_one_more_row_right_whatever_the_step(linearisation, tolerance):
    """Of a chaotic map, whose corrections overflow: two logistic maps, coupled."""
    mix = array([[0.9, 0.1], [0.2, 0.8]])
    step, h0, xs = (lambda h, x: mix @ (x * h * (1 - h))), array([0.3, 0.7]), jnp.full(300, array(4.0))

    @jax.jit
    def iterate(h0, xs):
        move = lambda hs, _: (ssm.newton_step(step, h0, xs, hs, linearisation=linearisation),) * 2
        return jax.lax.scan(move, jnp.full((300, 2), array(0.4)), None, length=8)[1], row_by_row(step, h0, xs)

    iterates, true = iterate(h0, xs)
    assert np.isfinite(iterates).all()
    for k, hs in enumerate(iterates, 1):
        np.testing.assert_allclose(hs[:k], true[:k], **tolerance(10))
    assert np.max(np.abs(iterates[-1][-1] - true[-1])) > 1e-3  # and the last not yet


def logistic_batch():
    return Logistic(array(1.0)), array([0.2, 0.2, 0.3]), jnp.broadcast_to(array([2.5, 4.0, 2.0])[:, None], (3, 150))


@pytest.mark.parametrize("failed", ["nan", "hold"])
def test_what_does_not_converge_says_so_and_harms_no_other(failed, tolerance):
    step, h0, xs = logistic_batch()
    solver = ssm.NewtonScan(ssm.BlockJacobian(), max_iterations=30, failed=failed)

    @eqx.filter_jit
    def solve(step):
        one = lambda step, h0, xs: (lambda hs, stats: (jnp.sum(hs), (hs, stats)))(
            *solver(step, h0, xs, guess=jnp.full_like(xs, 0.5))
        )
        gradient = eqx.filter_grad(one, has_aux=True)
        return jax.vmap(gradient, in_axes=(None, 0, 0))(step, h0, xs), jax.vmap(row_by_row, (None, 0, 0))(step, h0, xs)

    (gradient, (hs, stats)), true = solve(step)
    assert list(stats.status) == [0, NOT_CONVERGED, 0] and list(stats.converged) == [True, False, True]
    assert stats.iterations[1] == 30 and max(stats.iterations[0], stats.iterations[2]) < 20
    np.testing.assert_allclose(hs[np.array([0, 2])], true[np.array([0, 2])], **tolerance(10))
    assert np.isfinite(gradient.scale[np.array([0, 2])]).all()
    if failed == "nan":
        assert np.isnan(hs[1]).all() and np.isnan(gradient.scale[1])
    else:
        np.testing.assert_array_equal(hs[1], np.full(150, np.asarray(h0)[1]))
    assert "did not converge" in ct.STATUS[NOT_CONVERGED]


@pytest.mark.only("float32")
def test_with_as_many_iterations_as_rows_even_chaos_is_right(tolerance):
    step, h0, xs = Logistic(array(1.0)), array(0.3), jnp.full(40, array(4.0))
    hs, stats = ssm.newton_scan(step, h0, xs)
    true = jax.jit(row_by_row)(step, h0, xs)
    assert stats.converged and 20 < stats.iterations <= 40
    np.testing.assert_allclose(hs[:12], true[:12], **tolerance(1000))  # chaos shows the roundings of two programs
    assert np.all(np.abs(hs) <= 1)
    slopes = np.log(np.abs(4 * (1 - 2 * np.concatenate([[0.3], hs[:-1]]))))
    np.testing.assert_allclose(stats.exponent, np.mean(slopes), **tolerance(10))
    assert abs(stats.exponent - np.log(2)) < 0.2


def test_the_exponent_of_a_linear_recurrence_is_known(tolerance):
    """Of a rotation that shrinks, in the one form; of factors, in the other; row by row, and in chunks."""
    angle = 0.3
    rotation = 0.8 * array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    factors = array([0.5, 0.7])

    @jax.jit
    def exponents(xs, h0):
        full = [
            ssm.newton_scan(lambda h, x: rotation @ h + x, h0, xs, solver=s)[1]
            for s in (SOLVERS["full"], SOLVERS["full, in chunks"])
        ]
        block = ssm.newton_scan(lambda h, x: factors * h + x, h0, xs, solver=ssm.NewtonScan(ssm.BlockJacobian()))[1]
        return [stats.exponent for stats in (*full, block)]

    found = exponents(drawn(13, 2), drawn(2))
    np.testing.assert_allclose(np.array(found), np.log([0.8, 0.8, 0.7]), **tolerance())


@pytest.mark.only("float64")
def test_the_exponent_is_how_fast_two_orbits_come_together(within):
    """From the Jacobians, and nearly so from tangents over stretches of the rows."""
    step, h0, xs = gru(), drawn(3), drawn(100, 2)

    @eqx.filter_jit
    def solve(step, h0):
        end = lambda h0: row_by_row(step, h0, xs)[-1]
        ways = [ssm.NewtonScan(), ssm.NewtonScan(ssm.DiagonalJacobian())]
        return [ssm.newton_scan(step, h0, xs, solver=way)[1] for way in ways], jax.jacfwd(end)(h0)

    (full, diagonal), along = solve(step, h0)
    wanted = np.log(np.linalg.norm(along) / np.sqrt(3)) / 100
    assert wanted < 0 and full.iterations < 8
    np.testing.assert_allclose(full.exponent, wanted, **within(1e-6))
    np.testing.assert_allclose(diagonal.exponent, wanted, **within(0.1))


@pytest.mark.mostly("float64")
def test_it_may_be_mapped_nested_and_compiled_as_any_function(tolerance):
    step, h0, xs = gru(), drawn(4, 3), drawn(4, 8, 2)

    def totals(step, h0, xs):
        """Of two passes, one after the other in a scan."""
        solve = lambda h, _: (in_parallel(ssm.NewtonScan())(step, h, xs)[-1],) * 2
        return jnp.sum(jax.lax.scan(solve, h0, None, length=2)[1] ** 2)

    plain = lambda step, h0, xs: jnp.sum(
        jax.lax.scan(lambda h, _: (row_by_row(step, h, xs)[-1],) * 2, h0, None, length=2)[1] ** 2
    )
    gradient = lambda f: eqx.filter_vmap(eqx.filter_grad(f), in_axes=(None, 0, 0))
    of_sum = eqx.filter_grad(lambda step: jnp.sum(eqx.filter_vmap(totals, in_axes=(None, 0, 0))(step, h0, xs)))
    mapped, wanted, summed = eqx.filter_jit(
        lambda s: (gradient(totals)(s, h0, xs), gradient(plain)(s, h0, xs), of_sum(s))
    )(step)
    close(mapped, wanted, **tolerance(10))
    close(summed, jax.tree.map(lambda x: np.sum(x, axis=0), wanted), **tolerance(10))


@pytest.mark.only("float32")
@pytest.mark.parametrize("power", [1, 2])
def test_a_second_derivative_is_refused(power):
    """Also of a loss that is linear in the states, whose cotangents do not move."""
    step, xs = Logistic(array(1.0)), array([2.5, 2.0, 2.2])
    total = lambda h: jnp.sum(in_parallel(ssm.NewtonScan())(step, h, xs) ** power)
    with pytest.raises(NotImplementedError, match="a first derivative only"):
        jax.jit(jax.grad(jax.grad(total)))(array(0.3))


class Recurrent(eqx.Module):
    """A model that is solved in parallel."""

    step: Logistic
    solver: ssm.NewtonScan

    def __call__(self, x):
        hs, stats = self.solver(self.step, x[0] / 10, x, guess=jnp.full_like(x, 0.5))
        return ct.Output(hs[:, None], stats.to_stats(array(1.0)))


def loss(model, example, key):
    output = model(example)
    return jnp.sum(output.ys), array(1.0), output


@pytest.mark.only("float32")
@pytest.mark.parametrize("failed", ["raise", "drop"])
def test_the_objective_reaches_the_solver(failed, tolerance):
    _, _, xs = logistic_batch()
    model = Recurrent(Logistic(array(1.0)), ssm.NewtonScan(ssm.BlockJacobian(), max_iterations=30))

    @eqx.filter_jit
    def step(model, xs):
        total = ct.objective(loss, failed=failed)
        return eqx.filter_value_and_grad(lambda m: total(m, xs, jax.random.key(0), 0), has_aux=True)(model)

    (value, metrics), gradient = step(model, xs)
    assert metrics["failed"] == 1 and metrics["failed_sample"] == 1 and metrics["failed_status"] == NOT_CONVERGED
    if failed == "raise":
        assert np.isnan(value)
    else:
        alone = step(model, xs[np.array([0, 2])])
        close((value, gradient), (alone[0][0], alone[1]), **tolerance(10))


@pytest.mark.only("float32")
def test_units_that_mix_are_no_blocks(tolerance):
    step, h0, xs = gru(), drawn(3), drawn(13, 2)
    solver = ssm.NewtonScan(ssm.BlockJacobian())
    (_, hs), (_, of_h0, _) = eqx.filter_jit(lambda *a: value_and_gradients(in_parallel(solver), array(1.0), *a))(
        step, h0, xs
    )
    np.testing.assert_allclose(hs, jax.jit(row_by_row)(step, h0, xs), **tolerance(100))
    assert np.isnan(of_h0).all()


@pytest.mark.only("float32")
def test_a_value_that_is_not_finite_is_a_status():
    xs = drawn(9, 2).at[4, 0].set(jnp.nan)
    hs, stats = ssm.newton_scan(gru(), drawn(3), xs)
    assert stats.status == NON_FINITE and not stats.converged and np.isnan(hs).all()
    hs, stats = ssm.newton_scan(lambda h, x: h * h + x, array(2.0), jnp.ones(20, np.float32))
    assert stats.status == NON_FINITE and np.isnan(hs).all()


@pytest.mark.only("float32")
def test_a_guess_that_is_right_is_confirmed_and_one_row_is_enough(tolerance):
    step, h0, xs = gru(), drawn(3), drawn(9, 2)
    true = jax.jit(row_by_row)(step, h0, xs)
    hs, stats = ssm.newton_scan(step, h0, xs, guess=true)
    assert stats.iterations == 1
    np.testing.assert_allclose(hs, true, **tolerance())
    hs, stats = ssm.newton_scan(step, h0, xs[:1], guess=jnp.full((1, 3), jnp.inf))
    assert stats.converged
    np.testing.assert_allclose(hs, true[:1], **tolerance())


BAD = {
    "xs: its arrays have 4, 5 rows": dict(xs=(np.zeros((4, 2)), np.zeros((5, 2)))),
    "xs: 0 rows": dict(xs=np.zeros((0, 2))),
    "xs: no array": dict(xs=None),
    "xs: a number in it": dict(xs=(np.zeros(4), np.float32(1))),
    "h0: an array of int": dict(h0=np.zeros(3, int)),
    "h0: an array of complex": dict(h0=np.zeros(3, complex)),
    "h0: 'a', where an array": dict(h0="a"),
    "step: 3, where a function": dict(step=3),
    "step: of h0": dict(step=lambda h, x: jnp.concatenate([h, h])),
    r"guess: an array .* shape \(3, 3\), where": dict(guess=np.zeros((3, 3), np.float32)),
}


@pytest.mark.only("float32")
@pytest.mark.parametrize("message", BAD)
def test_bad_recurrences_are_refused(message):
    given = dict(step=lambda h, x: h, h0=np.zeros(3, np.float32), xs=np.zeros((4, 2), np.float32)) | BAD[message]
    as_array = lambda x: jnp.asarray(x) if isinstance(x, np.ndarray) else x
    with pytest.raises((TypeError, ValueError), match=message):
        ssm.newton_scan(**jax.tree.map(as_array, given))


@pytest.mark.only("float32")
def test_another_precision_of_the_step_is_refused():
    with pytest.raises(ValueError, match="step: of h0, an array of float32, .* makes an array of float16"):
        ssm.newton_scan(lambda h, x: h.astype(jnp.float16), jnp.zeros(3, jnp.float32), jnp.zeros(4, jnp.float32))


SETTINGS = {
    "max_iterations=0: a whole number of at least 1": lambda: ssm.NewtonScan(max_iterations=0),
    "chunk=1.5: a whole number": lambda: ssm.NewtonScan(chunk=1.5),
    "`rtol`: -1.0: a tolerance": lambda: ssm.NewtonScan(rtol=-1.0),
    "`damping`: -1: a finite number": lambda: ssm.NewtonScan(damping=-1),
    "linearisation: 'full', where an object": lambda: ssm.NewtonScan("full"),
    "failed='drop': must be one of 'nan', 'hold'": lambda: ssm.NewtonScan(failed="drop"),
    "cotangents='all': must be": lambda: ssm.NewtonScan(cotangents="all"),
}


@pytest.mark.only("float32")
@pytest.mark.parametrize("message", SETTINGS)
def test_bad_settings_are_refused(message):
    with pytest.raises((TypeError, ValueError), match=message):
        SETTINGS[message]()
