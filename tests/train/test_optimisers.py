"""Every optimiser of optax trains: those that want the loss are given it, and each takes the steps that it takes in a
loop written by hand."""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toys import arrays, equal, first

import ctmodels as ct

pytestmark = pytest.mark.only("float64")

OPTIMISERS = {
    "adam": lambda: optax.adam(1e-2),
    "lbfgs": lambda: optax.lbfgs(memory_size=3),
    "backtracking": lambda: optax.chain(
        optax.sgd(1.0), optax.scale_by_backtracking_linesearch(max_backtracking_steps=5, store_grad=True)
    ),
    "polyak": lambda: optax.polyak_sgd(max_learning_rate=0.1),
    "plateau": lambda: optax.chain(optax.adam(1e-2), optax.contrib.reduce_on_plateau(patience=1)),
    "schedule free": lambda: optax.contrib.schedule_free_adamw(1e-2),
    "accumulated": lambda: optax.MultiSteps(optax.polyak_sgd(max_learning_rate=0.1), 2),
    "hyperparameters": lambda: optax.inject_hyperparams(optax.adam)(learning_rate=1e-2),
    "masked": lambda: optax.adamw(1e-2, mask=lambda tree: jax.tree.map(lambda x: x.ndim > 1, tree)),
    "clipped": lambda: optax.chain(optax.clip_by_global_norm(0.1), optax.lbfgs(memory_size=2)),
}


class Line(eqx.Module):
    """y = a x + b."""

    a: jax.Array
    b: jax.Array
    degree: int

    def __init__(self, factor=1.0):
        self.a, self.b, self.degree = factor * jnp.array([[0.5, -0.3]]), jnp.zeros(1), 1


def misfit(line, batch, key, step):
    xs, ys = batch
    error = xs @ line.a[0] + line.b - ys
    return jnp.mean(error**2), {"loss": jnp.mean(error**2)}


def points():
    xs = jnp.asarray(np.random.default_rng(0).normal(size=(12, 2)), float)
    return xs, jnp.sin(xs[:, 0]) + 0.3 * xs[:, 1]


def by_hand(optimiser, line, steps):
    """The loop of optax's documentation."""
    trained, rest = eqx.partition(line, eqx.is_inexact_array)
    value_fn = lambda trained: misfit(eqx.combine(trained, rest), points(), None, None)[0]
    update = (
        optimiser.update if isinstance(optimiser, optax.MultiSteps) else optax.with_extra_args_support(optimiser).update
    )

    @jax.jit
    def advance(trained, state):
        value, grad = jax.value_and_grad(value_fn)(trained)
        updates, state = update(grad, state, trained, value=value, grad=grad, value_fn=value_fn)
        return optax.apply_updates(trained, updates), state

    state = optimiser.init(trained)
    with jax.numpy_dtype_promotion("standard"):
        for _ in range(steps):
            trained, state = advance(trained, state)
    return trained


SLOW = pytest.mark.slow
SEARCH = ["backtracking", pytest.param("lbfgs", marks=SLOW)]  # both evaluate, differentiate and keep what they found


@pytest.mark.parametrize("name", [pytest.param(n, marks=SLOW) if n == "clipped" else n for n in OPTIMISERS])
def test_an_optimiser_takes_the_steps_that_it_takes_by_hand(name, tolerance):
    step = ct.make_step(misfit, OPTIMISERS[name]())
    state = step.init(Line(), key=jax.random.key(0))
    for _ in range(4):
        state, _ = step(state, points())
    assert step.traces == 1 and not equal(state.model, Line())
    wanted = arrays(by_hand(OPTIMISERS[name](), Line(), 4))
    for a, b in zip(arrays(state.model), wanted, strict=True):
        np.testing.assert_allclose(a, b, **tolerance(10))


@pytest.mark.parametrize("name", [*SEARCH, "polyak", pytest.param("plateau", marks=SLOW)])
def test_each_member_of_an_ensemble_has_a_loss_of_its_own(name, tolerance):
    members = eqx.filter_vmap(Line)(jnp.array([1.0, -2.0]))
    step = ct.make_step(misfit, OPTIMISERS[name](), ensemble=True)
    state = step.init(members, key=jax.random.key(0))
    batches = jax.tree.map(lambda x: jnp.stack([x, x]), points())
    for _ in range(4):
        state, _ = step(state, batches)
    wanted = by_hand(OPTIMISERS[name](), Line(-2.0), 4)
    np.testing.assert_allclose(state.model.a[1], wanted.a, **tolerance(10))


class Turned(eqx.Module):
    """y' = w y, as the windows turn."""

    w: jax.Array

    def __call__(self, t, y, args):
        return self.w @ y


@pytest.mark.parametrize("name", SEARCH)
def test_a_line_search_differentiates_solves_of_our_engine(name):
    adaptive = ct.NeuralODE(Turned(jnp.zeros((2, 2))), 2, integrate=ct.Integrate(diffrax.Heun()))
    step = ct.make_step(ct.objective(ct.losses.squared), OPTIMISERS[name]())
    state, batch, losses = step.init(adaptive, key=jax.random.key(1)), first(8), []
    for _ in range(6):
        state, metrics = step(state, batch)
        losses.append(float(metrics["loss"]))
    assert losses[-1] < 0.7 * losses[0] and all(np.diff(losses) < 0)  # what a line search promises


@pytest.mark.parametrize("name", [*SEARCH, "accumulated"])
def test_their_state_is_saved_and_resumed_in_all_bits(name, tmp_path):
    rows = ct.ArrayDataset(points())

    def run(*parts, **kwargs):
        step = ct.make_step(misfit, OPTIMISERS[name]())
        for steps in parts:
            state = step.init(Line(), key=jax.random.key(0))
            result = ct.fit(step, state, rows, steps=steps, batch_size=6, progress=False, **kwargs)
        return result.state

    assert equal(run(7), run(3, 7, folder=tmp_path, resume=True))


def test_what_is_no_optimiser_or_objective_is_said():
    with pytest.raises(TypeError, match="^optimiser: the function adam has no `init` .*; call it: optax.adam"):
        ct.make_step(misfit, optax.adam)
    with pytest.raises(TypeError, match=r"^optimiser: 0.001 has no `init` and `update`"):
        ct.make_step(misfit, 1e-3)
    with pytest.raises(TypeError, match=r"^objective: 'squared', where a function .* is wanted; give ct.objective"):
        ct.make_step("squared", optax.adam(1e-3))
    with pytest.raises(TypeError, match=r"^key: 0 is no key of random numbers: give key=jax.random.key\(0\)"):
        ct.make_step(misfit, optax.adam(1e-3)).init(Line(), key=0)
