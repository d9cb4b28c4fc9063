"""Newton's iteration on all rows, and what it says of itself."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ctmodels._core._loops import varying_alike, while_loop
from ctmodels._core._output import NON_FINITE, NOT_CONVERGED, SUCCESS, Stats
from ctmodels.ssm._affine import growth
from ctmodels.ssm._problem import Problem, shifted

STRETCH = 32  # rows over which a tangent is carried, where there are no Jacobians


class NewtonStats(eqx.Module):
    """What a parallel solve took, and whether it can pay. Nothing of it carries a gradient.

    - `converged`: whether the states are those of the recurrence.
    - `iterations`: of Newton's method, the last of which found nothing left to correct; with chunks, the most of any.
    - `evaluations`: of the step, all rows counted.
    - `exponent`: an estimate of the largest Lyapunov exponent of the recurrence under its inputs, per row: the mean
      logarithm of how much a row multiplies a tangent vector by, at the states that were found; from the Jacobians, or,
      where the linearisation has only a part of them, from tangents that are carried over 32 rows. Few iterations
      suffice if and only if it is negative (Gonzalez et al., "Predictability enables parallelization of nonlinear state
      space models", 2025); where it is positive, take `jax.lax.scan`.
    - `status`: 0 is success; the meanings are in `ctmodels.STATUS`.
    """

    converged: Bool[Array, "..."]
    iterations: Int[Array, "..."]
    evaluations: Int[Array, "..."]
    exponent: Float[Array, "..."]
    status: Int[Array, "..."]

    def to_stats(self, t: Float[Array, ""]) -> Stats:
        """As the statistics of a model's `Output`; `t`: the time of the last row."""
        return dataclasses.replace(Stats.none(t), evaluations=self.evaluations, status=self.status)


class _Iterate(eqx.Module):
    """Where an iteration stands: whether the recurrence is solved, and whether it is known to have no solution."""

    hs: Array
    count: Array
    solved: Array
    lost: Array


def iterated(problem: Problem, guess: Array, rtol: float, atol: float) -> tuple[Array, NewtonStats]:
    """The last iterate, which is finite; in the place of the exponent, the logarithm of the whole growth."""
    rows, finite = guess.shape[0], not problem.damping  # whether as many iterations as rows are enough

    def one(it: _Iterate) -> _Iterate:
        hs, errors, found = iterate(problem, it.hs)
        count = it.count + 1
        # What these rows start from is right by now, and so is that they have no value.
        lost = jnp.any(~found & (jnp.arange(rows, dtype=jnp.int32) < count)) & finite
        solved = jnp.all(errors <= atol + rtol * jnp.abs(hs)) | (finite & (count >= rows))
        return _Iterate(hs, count, solved & jnp.all(found), lost)

    start = _Iterate(guess, jnp.asarray(0, jnp.int32), jnp.asarray(False), jnp.asarray(False))
    it = while_loop(lambda it: ~it.solved & ~it.lost & (it.count < problem.limit), one, start, like=guess)
    failed = jnp.where(it.lost | ~_all_finite((problem.h0, problem.xs)), NON_FINITE, NOT_CONVERGED)
    stats = NewtonStats(
        converged=it.solved,
        iterations=it.count,
        evaluations=(it.count + 1) * rows,
        exponent=_growth(problem, it.hs),
        status=jnp.where(it.solved, SUCCESS, failed).astype(jnp.int32),
    )
    return it.hs, stats


def iterate(problem: Problem, hs: Array) -> tuple[Array, Array, Array]:
    """The next iterate; how far it is from the last one, or that from its steps' values if further; and which rows'
    steps have finite values.

    Where the iterate overflows, as the products of an unstable recurrence do, the step's value stands for it: so right
    rows stay right, and the one that follows them becomes so.
    """
    values, matrices = problem.linearise(hs)
    following = problem.following(values, matrices, hs)
    good = jnp.isfinite(following)
    errors = jnp.where(good, jnp.maximum(jnp.abs(following - hs), jnp.abs(values - hs)), jnp.inf)
    found = jnp.all(jnp.isfinite(values.reshape(values.shape[0], -1)), axis=1)
    return jnp.where(good, following, jnp.where(jnp.isfinite(values), values, hs)), errors, found


def _growth(problem: Problem, hs: Array) -> Array:
    """The logarithm of how much all rows multiply a tangent by: from the Jacobians where they are there, else from
    tangents."""
    if not problem.linearisation.exact:
        return _growth_of_tangents(problem, hs)
    matrices = problem.linearise(hs)[1]
    return growth(matrices, diagonal=matrices.ndim == hs.ndim)


def _growth_of_tangents(problem: Problem, hs: Array) -> Array:
    """Stretches of rows side by side, each with a tangent of its own, which in the first half turns to where it grows
    most: what the second half does is taken for all."""
    rows = hs.shape[0]
    length = min(STRETCH, rows)
    cut = lambda x: jnp.moveaxis(x[: rows // length * length].reshape(-1, length, *x.shape[1:]), 1, 0)
    before = cut(shifted(hs, problem.start))
    any_one = jnp.cos(jnp.arange(before[0, 0].size, dtype=hs.dtype)).reshape(before[0, 0].shape)

    def carry(tangents, row):
        push = lambda h, x, tangent: jax.jvp(lambda h: problem.step(h, x), (h,), (tangent,))[1]
        tangents = jax.vmap(push)(row[0], row[1], tangents)
        norms = jnp.sqrt(jnp.sum(jnp.square(tangents.reshape(tangents.shape[0], -1)), axis=1))
        unit = jnp.where(norms == 0, 1, norms).reshape(-1, *[1] * (tangents.ndim - 1))
        return tangents / unit, jnp.log(norms)

    start = varying_alike(jnp.broadcast_to(any_one, before.shape[1:]), like=before)
    _, logs = jax.lax.scan(carry, start / jnp.linalg.norm(any_one), (before, jax.tree.map(cut, problem.xs)))
    return rows * jnp.mean(logs[length // 2 :])


def _all_finite(tree: PyTree) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree) if eqx.is_inexact_array(x)]))
