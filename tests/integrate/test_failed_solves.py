"""What a sample whose solve failed does to training: it raises, is dropped, or is penalised."""

import functools

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import Fragile, arrays, equal, first, model

import ctmodels as ct

pytestmark = pytest.mark.only("float64")

GOOD, LOST = np.array([0, 2, 3, 5]), np.array([1, 4])
ALL_GOOD, ALL_LOST = np.resize(GOOD, 6), np.resize(LOST, 6)  # as many as the batch has: the same programs


def batch():
    """Six windows, of which two cannot be solved; the samples differ in weight."""
    examples = first(6)
    examples = eqx.tree_at(lambda b: b.x.y0, examples, examples.x.y0.at[LOST, 0].set(5.0))
    return eqx.tree_at(lambda b: b.target.mask, examples, examples.target.mask.at[3:, 2].set(False))


def work(model, output):
    return output.stats.measures["work"] ** 2


@functools.cache
def judged(policy, **kwargs):
    """The program of a policy."""
    objective = ct.objective(ct.losses.squared, {"work": (0.1, work)}, failed=policy, **kwargs)
    loss = lambda m, examples: objective(m, examples, jax.random.key(0), 0)
    return eqx.filter_jit(eqx.filter_value_and_grad(loss, has_aux=True))


def value_and_gradient(policy, examples, **kwargs):
    (value, metrics), gradient = judged(policy, **kwargs)(Fragile(), examples)
    return value, metrics, gradient


def test_dropping_is_training_on_the_others(tolerance):
    value, metrics, gradient = value_and_gradient("drop", batch())
    wanted, _, slope = value_and_gradient("raise", jax.tree.map(lambda x: x[GOOD], batch()))
    np.testing.assert_allclose(value, wanted, **tolerance())
    for a, b in zip(arrays(gradient), arrays(slope), strict=True):
        np.testing.assert_allclose(a, b, **tolerance())
    assert metrics["failed"] == 2 and metrics["failed_sample"] == 1 and metrics["failed_status"] == 1


def test_a_penalty_is_a_constant_per_unit_of_weight(tolerance):
    examples = batch()
    value, metrics, gradient = value_and_gradient("penalise", examples)
    _, dropped, slope = value_and_gradient("drop", examples)
    weights = np.sum(np.asarray(examples.target.mask), axis=(1, 2))
    share = weights[GOOD].sum() / weights.sum()
    np.testing.assert_allclose(metrics["loss"], share * dropped["loss"] + (1 - share) * 10, **tolerance())
    np.testing.assert_allclose(value, metrics["loss"] + 0.1 * dropped["work"], **tolerance())
    zero = value_and_gradient("penalise", examples, penalty=0)[2]
    assert equal(gradient, zero) and all(np.isfinite(x).all() for x in arrays(slope))


def test_where_all_failed_there_is_no_mean():
    examples = jax.tree.map(lambda x: x[ALL_LOST], batch())
    value, _, gradient = value_and_gradient("drop", examples)
    assert np.isnan(value) and all(np.isfinite(x).all() for x in arrays(gradient))
    value, _, gradient = value_and_gradient("penalise", examples)
    assert value == 10 and not any(map(np.any, arrays(gradient)))


class Turned(eqx.Module):
    w: jax.Array

    def __call__(self, t, y, args):
        return jnp.tanh(self.w @ y)


COARSE = diffrax.PIDController(rtol=1e-4, atol=1e-4)


def test_dropping_what_the_solver_gave_up_is_training_on_the_others(tolerance):
    """The same with the solver itself: what it holds, and what it could not measure, reaches no gradient."""
    integrate = ct.Integrate(diffrax.Heun(), COARSE, max_steps=16, measures=(ct.measures.local_error,))
    ode = ct.NeuralODE(Turned(jnp.array([[0.1, -0.5], [0.4, 0.2]])), 2, integrate=integrate)
    examples = first(6)
    examples = eqx.tree_at(lambda b: b.target.ts, examples, examples.target.ts.at[LOST].multiply(1e4))

    @eqx.filter_jit
    def value_and_slope(kept, policy):
        objective = ct.objective(ct.losses.squared, {"error": (1.0, ct.measures.local_error)}, failed=policy)
        loss = lambda m: objective(m, jax.tree.map(lambda x: x[kept], examples), jax.random.key(0), 0)
        return eqx.filter_value_and_grad(loss, has_aux=True)(ode)

    (value, metrics), gradient = value_and_slope(np.arange(6), "drop")
    (wanted, _), slope = value_and_slope(GOOD, "raise")
    assert metrics["failed"] == 2 and metrics["failed_sample"] == 1
    np.testing.assert_allclose(value, wanted, **tolerance())
    for a, b in zip(arrays(gradient), arrays(slope), strict=True):
        np.testing.assert_allclose(a, b, **tolerance())


def test_without_failures_the_policies_agree(tolerance):
    examples = jax.tree.map(lambda x: x[ALL_GOOD], batch())
    raised, *others = (value_and_gradient(policy, examples) for policy in ("raise", "drop", "penalise"))
    for other in others:
        for a, b in zip(arrays(raised), arrays(other), strict=True):
            np.testing.assert_allclose(a, b, **tolerance())
    assert raised[1]["failed"] == 0 and raised[1]["failed_sample"] == -1 and raised[1]["failed_status"] == 0


@pytest.mark.parametrize("policy, returned", [("raise", "nan"), ("drop", "hold"), ("penalise", "hold")])
def test_every_solve_is_told_the_policy(policy, returned):
    told = []

    def loss(model, example, key=None):
        told.extend((part.integrate.failed, part.integrate.cotangents) for part in model)
        return ct.losses.squared(model[0], example, key)

    for summed in (True, False):
        traced = functools.partial(ct.objective(loss, failed=policy, summed=summed), (model(), model(1)))
        jax.eval_shape(traced, first(2), jax.random.key(0), 0)
    assert told == [(returned, "summed")] * 2 + [(returned, "per_sample")] * 2


@pytest.mark.parametrize(
    "wrong, words",
    [
        (dict(failed="ignore"), "failed='ignore': choose among 'raise', 'drop', 'penalise'"),
        (dict(penalty=-1.0), "penalty=-1.0: must be a finite number"),
        (dict(penalty=float("nan")), "penalty=nan: must be a finite number"),
    ],
)
def test_wrong_policies_are_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        ct.objective(ct.losses.squared, **wrong)


@functools.cache
def step_of(policy):
    return ct.make_step(ct.objective(ct.losses.squared, failed=policy), optax.adam(1e-2))


def train(policy, examples, **kwargs):
    step = step_of(policy)
    state = step.init(Fragile(), key=jax.random.key(0))
    return ct.fit(step, state, ct.ArrayDataset(examples), steps=9, batch_size=6, every=3, progress=False, **kwargs)


def test_training_stops_with_the_failed_sample_and_the_remedy():
    one_bad = eqx.tree_at(lambda b: b.x.y0, first(6), batch().x.y0.at[1, 0].set(1.0))
    with pytest.warns(RuntimeWarning, match="5 steps in a row were not finite") as said:
        result = train("raise", one_bad)
    assert result.stopped == "not finite" and equal(result.model, Fragile())
    at = int(np.flatnonzero(np.random.default_rng((0, 0)).permutation(6) == 4)[0])  # in the first batch
    words = f"in step 1 the solve of sample {at} of the batch (data[4]) failed: too many steps: raise `max_steps`"
    assert words in str(said[0].message) and 'objective(..., failed="drop")' in str(said[0].message)


@pytest.mark.parametrize("policy", ["drop", "penalise"])
def test_training_goes_on_without_it(policy):
    result = train(policy, batch())
    assert result.stopped == "finished" and [line["failed"] for line in result.history] == [2, 2, 2]
    assert result.history[-1]["skipped"] == 0 and result.history[-1]["loss"] < result.history[0]["loss"]


def test_bad_data_are_told_as_such_and_not_as_a_failed_solve():
    bad = eqx.tree_at(lambda b: b.x.y0, batch(), batch().x.y0.at[0, 1].set(jnp.nan))
    with pytest.warns(RuntimeWarning, match=r"from `batch\.x\.y0` on.*look for NaN or infinity in the data"):
        train("raise", bad)


def test_the_callers_key_survives():
    key = jax.random.key(3)
    step = step_of("raise")
    step(step.init(Fragile(), key=key), first(6))
    assert jax.random.normal(key).shape == ()


class Cubic(eqx.Module):
    w: jax.Array

    def __call__(self, t, y, args):
        return self.w * y + 0.1 * args(t) * y**3  # blows up from large y


PID = diffrax.PIDController(rtol=1e-6, atol=1e-6)
FINE = diffrax.PIDController(rtol=1e-7, atol=1e-7)  # two solves by other steps agree as closely as is asked
ENGINES = {
    "ours": ct.Integrate(diffrax.Heun(), COARSE, max_steps=256),
    "shared": ct.Integrate(diffrax.Bosh3(), FINE, max_steps=4096, batching="shared"),
    "substeps": ct.Integrate(diffrax.Heun(), ct.Substeps(4)),
    "grid": ct.Integrate(diffrax.Bosh3(), diffrax.StepTo(jnp.linspace(0.0, 2.0, 17))),
    "diffrax": ct.Integrate(diffrax.Bosh3(), PID, max_steps=256, adjoint=diffrax.RecursiveCheckpointAdjoint()),
}


LATER = ("shared", False), ("diffrax", False), ("ours", True), ("substeps", False), ("grid", False)
ROWS = [*((name, False) for name in ENGINES), ("ours", True), ("substeps", True)]


@pytest.mark.parametrize(
    "name, ensemble", [pytest.param(*row, marks=[pytest.mark.slow] if row in LATER else []) for row in ROWS]
)
def test_on_every_engine_a_dropped_sample_leaves_the_gradient_of_the_others(name, ensemble, tolerance):
    """One that blows up, one that starts at infinity, at NaN, under an infinite control, at times out of order; against
    good ones in their places that have no weight, which is the same program."""
    integrate, ts, n = ENGINES[name], np.linspace(0.0, 2.0, 4), 7
    knots, mask = np.tile(ts, (n, 1)), np.ones((n, 4, 1), bool)
    y0, us, wanted, weightless = np.linspace(0.1, 0.4, n)[:, None], np.ones((n, 4, 1)), knots.copy(), mask.copy()
    weightless[1:6] = False
    bad_y0, bad_us, bad_wanted = y0.copy(), us.copy(), wanted.copy()
    bad_y0[1:4, 0], bad_us[4], bad_wanted[5, 1] = (50.0, np.inf, np.nan), np.inf, 9.0
    make = lambda w: ct.NeuralODE(Cubic(w), 1, integrate=integrate)

    @jax.jit
    def slope(ws, y0, us, wanted, mask):
        x = ct.Driven(y0, ct.paths.LinearPath(jnp.asarray(knots, y0.dtype), us))
        target = ct.Series(wanted, jnp.zeros(mask.shape, y0.dtype), mask)
        objective = ct.objective(ct.losses.squared, failed="drop")
        loss = lambda w: objective(make(w), ct.Example(x, target), jax.random.key(0), 0)
        one = jax.value_and_grad(loss, has_aux=True)
        return jax.vmap(one)(ws) if ensemble else one(ws)

    ws = jnp.array([-0.5, -0.3]) if ensemble else jnp.array(-0.5)
    (value, metrics), gradient = slope(ws, bad_y0, bad_us, bad_wanted, mask)
    (good, unfailed), its_gradient = slope(ws, y0, us, wanted, weightless)
    assert np.all(metrics["failed"] == 5) and not np.any(unfailed["failed"])
    factor = 1e5 if integrate.batching == "shared" else 1  # there, who has failed had a part in the steps
    np.testing.assert_allclose(value, good, **tolerance(factor))
    np.testing.assert_allclose(gradient, its_gradient, **tolerance(factor))
