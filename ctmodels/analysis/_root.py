"""Levenberg and Marquardt's method, of what comes with its Jacobian.

Of our own, since the Jacobian is taken in the mode that a solver allows, and since each place at which a library's
evaluates the function or its derivative is a whole solve that is compiled: four times as long, of a neural ODE.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PyTree

MAX_STEPS = 200
FIRST_DAMPING, LARGEST_DAMPING = 1e-2, 1e10


class Least(eqx.Module):
    """Where |f|^2 is least near a start: `x`; `size`, |f| there; `aux`, what came with it; whether it `converged`."""

    x: Float[Array, " state"]
    size: Float[Array, ""]
    aux: PyTree
    converged: Bool[Array, ""]
    size_at_start: Float[Array, ""]


class _State(eqx.Module):
    x: Array
    f: Array
    J: Array
    aux: PyTree
    trial: Array  # where to look next
    damping: Array
    steps: Array
    first: Array  # |f| at the start
    done: Array


def least_squares(evaluate: Callable, x0: Float[Array, " state"], max_steps: int = MAX_STEPS) -> Least:
    """From `x0`, by `evaluate(x) -> (f, J, aux)`, downhill: to a root where there is one on the way.

    Quadratic close to a root, where the damping goes to nothing. It ends where steps are rounding.
    """
    shapes = jax.eval_shape(evaluate, x0)
    f, J, aux = jax.tree.map(lambda a: jnp.full(a.shape, jnp.inf, a.dtype), shapes)
    damping = jnp.asarray(FIRST_DAMPING, x0.dtype)
    infinite = jnp.asarray(jnp.inf, x0.dtype)
    start = _State(x0, f, J, aux, x0, damping, jnp.zeros((), jnp.int32), infinite, jnp.zeros((), bool))
    more = lambda state: ~state.done & (state.steps < max_steps)
    end = jax.lax.while_loop(more, lambda state: _step(evaluate, state), start)
    return Least(end.x, jnp.linalg.norm(end.f), end.aux, end.done & jnp.isfinite(end.first), end.first)


def _step(evaluate: Callable, state: _State) -> _State:
    """Looks at the trial, takes it if it is better, and says where to look next."""
    f, J, aux = evaluate(state.trial)
    size, before = jnp.linalg.norm(f), jnp.linalg.norm(state.f)
    first = jnp.where(state.steps == 0, size, state.first)
    better = (size < before) & jnp.all(jnp.isfinite(J))
    take = lambda new, old: jnp.where(better, new, old)
    x, f, J, aux = (jax.tree.map(take, n, o) for n, o in zip((state.trial, f, J, aux), _known(state), strict=True))
    eps = jnp.finfo(x.dtype).eps
    damping = jnp.where(better, jnp.maximum(0.1 * state.damping, eps), 8 * state.damping)
    move = _move(f, J, damping)
    small = jnp.linalg.norm(move) <= eps * jnp.linalg.norm(x)
    done = (jnp.linalg.norm(f) == 0) | small | (damping > LARGEST_DAMPING) | ~jnp.isfinite(first)
    return _State(x, f, J, aux, x + move, damping, state.steps + 1, first, done)


def _known(state: _State) -> tuple:
    return state.x, state.f, state.J, state.aux


def _move(f: Array, J: Array, damping: Array) -> Array:
    """argmin |J d + f|^2 + damping |D d|^2, D the lengths of J's columns: in any units the same."""
    lengths = jnp.linalg.norm(J, axis=0)
    # What no unknown moves has no length of its own.
    lengths = jnp.maximum(lengths, jnp.finfo(J.dtype).eps * jnp.max(lengths) + jnp.finfo(J.dtype).tiny)
    Q, R = jnp.linalg.qr(jnp.concatenate([J, jnp.diag(jnp.sqrt(damping) * lengths)]))
    return -jax.scipy.linalg.solve_triangular(R, Q.T @ jnp.concatenate([f, jnp.zeros_like(lengths)]))
