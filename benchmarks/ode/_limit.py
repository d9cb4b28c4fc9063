"""`benchmarks.ode`: the least that a training step can cost, from the field alone."""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

import ctmodels as ct
from benchmarks.ode._ours import METHOD, OPTIMISER, Problem
from ctmodels._integrate import loop_widths

FRESH = len(METHOD.tableau.b_sol) - METHOD.tableau.fsal  # field evaluations of a step
LOOP = 50  # evaluations in one compiled loop, so that its dispatch does not count

Work = list[tuple[int, float, float]]  # (width, evaluations forward, evaluations with a vjp) of what runs batched
Cost = Mapping[tuple[str, int], float]  # seconds of one of them, by its kind and width


def needed(setting, stats: ct.Stats) -> Work:
    """As if each sample cost its share of the batch: what was done, if the step is shared, else what samples needed."""
    forward, accepted = (float(jnp.mean(x, dtype=jnp.float32)) for x in (stats.evaluations, stats.accepted))
    return [(setting.batch, forward, FRESH * accepted + 1)]


def at_widths(problem: Problem, model: ct.NeuralODE) -> Work:
    """What was done with a step per sample: iterations, each at the width of its loop, and the slopes at the start."""
    loops = loop_widths(model.integrate, model.field, jnp.asarray(problem.ts), jnp.asarray(problem.y0))
    start = (problem.setting.batch, 2, 1)
    return [start, *((width, FRESH * forward, FRESH * back) for width, forward, back in loops if forward or back)]


def limit(work: Work, cost: Cost) -> float:
    return sum(forward * cost["f", width] + back * cost["f and vjp", width] for width, forward, back in work)


def bare(problem: Problem, width: int) -> dict[tuple[str, int], Callable[[], object]]:
    """`LOOP` evaluations of the batched field, and of it with its vjp. Each depends on the one before."""
    trained, static = eqx.partition(problem.field(), eqx.is_inexact_array)
    y = jnp.asarray(np.resize(problem.y0, (width, problem.setting.channels)))
    f = lambda trained, y: jax.vmap(lambda y: eqx.combine(trained, static)(0.0, y, None))(y)

    @jax.jit
    def forward(trained, y):
        return jax.lax.fori_loop(0, LOOP, lambda i, y: f(trained, y), y)

    @jax.jit
    def with_vjp(trained, y, cotangent):
        def one(i, carry):
            y, total = carry
            slope, pull = jax.vjp(f, trained, y)
            of_trained, of_y = pull(cotangent)
            return slope + of_y, jax.tree.map(jnp.add, total, of_trained)

        return jax.lax.fori_loop(0, LOOP, one, (y, jax.tree.map(jnp.zeros_like, trained)))

    return {
        ("f", width): lambda: jax.block_until_ready(forward(trained, y)),
        ("f and vjp", width): lambda: jax.block_until_ready(with_vjp(trained, y, jnp.ones_like(y))),
    }


def adam(problem: Problem) -> Callable[[], object]:
    """`LOOP` updates of the weights, which stand in for their gradient."""

    @jax.jit
    def updates(trained):
        def one(i, carry):
            trained, state = carry
            steps, state = OPTIMISER.update(trained, state, trained)
            return eqx.apply_updates(trained, steps), state

        return jax.lax.fori_loop(0, LOOP, one, (trained, OPTIMISER.init(trained)))

    trained = eqx.filter(problem.field(), eqx.is_inexact_array)
    return lambda: jax.block_until_ready(updates(trained))
