r"""Nonlinear recurrences $h_t = f(h_{t-1}, x_t)$ of all rows at once, by Newton's method.

Lim, Zhu, Selfridge and Kasim, "Parallelizing non-linear sequential models over the sequence length" (DEER, 2024);
Gonzalez, Warrington, Smith and Linderman, "Towards scalable and stable parallelization of nonlinear RNNs" (quasi-DEER
and ELK, 2024); Danieli et al., "ParaRNN" (2026).
"""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PyTree

from ctmodels._core._arguments import before
from ctmodels._core._model import AbstractSolver
from ctmodels._core._output import NON_FINITE, NOT_CONVERGED, SUCCESS, Stats
from ctmodels.ssm._adjoint import Problem, anchored
from ctmodels.ssm._affine import growth
from ctmodels.ssm._check import (
    check_guess,
    check_limit,
    check_linearisation,
    check_recurrence,
    check_step,
    check_tolerance,
)
from ctmodels.ssm._linearise import AbstractLinearisation, FullJacobian, shifted


class NewtonStats(eqx.Module):
    """What a parallel solve took, and whether it can pay. Nothing of it carries a gradient.

    - `converged`: whether the states are those of the recurrence.
    - `iterations`: of Newton's method, the last of which found nothing left to correct; with chunks, the most of any.
    - `evaluations`: of the step, all rows counted.
    - `exponent`: an estimate of the largest Lyapunov exponent of the recurrence under its inputs, per row: the mean
      logarithm of how much a row multiplies a tangent vector by, of the linearisation's matrices at the solution. Few
      iterations suffice if and only if it is negative (Gonzalez et al., "Predictability enables parallelization of
      nonlinear state space models", 2025); where it is positive, take `jax.lax.scan`. With
      [`ctmodels.ssm.DiagonalJacobian`][] it is that of the diagonal alone, and says less.
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


class NewtonScan(AbstractSolver):
    r"""Solve $h_t = f(h_{t-1}, x_t)$ for all t at once, to the same states as `jax.lax.scan`.

    From a first guess, each iteration evaluates all steps and their Jacobians side by side, and solves the linear
    recurrence that these make, by an associative scan. It is for accelerators and long series. On the CPU nothing is
    gained: every iteration costs more than the whole of `jax.lax.scan`.

    **Arguments:**

    - `linearisation`: [`ctmodels.ssm.FullJacobian`][], [`ctmodels.ssm.BlockJacobian`][] (of a step that does not mix
      its units), [`ctmodels.ssm.DiagonalJacobian`][], or [`ctmodels.ssm.Damped`][] of one of these.
    - `max_iterations`: reaching it is a status, not an exception. But for `Damped`, as many as there are rows always
      suffice.
    - `rtol`, `atol`: it is over where no row changes by more than `atol + rtol |h|`, nor is further than that from its
      step's value. None: 3e-4 in float32 and 1.5e-8 in float64, after which a Newton step is right to the last digits;
      6e-6 and 2e-12 if the linearisation has only a part of the Jacobian.
    - `chunk`: so many rows at once, one chunk after the other, which takes `chunk` n^2 of memory for full Jacobians.
      None: all rows.
    - `parallel`: whether linear recurrences are solved in log2(T) sweeps, or row by row; None: by the device.
    - `failed`: what a solve that did not converge returns: `"nan"`, or `"hold"` (the initial state, made finite, to be
      masked by `status`).
    - `cotangents`: as of [`ctmodels.Integrate`][]; here both are the same, and right.

    The gradient is implicit, by one linear scan in reverse: the iterations are not differentiated, and nothing of them
    is kept. It has a first derivative in reverse mode, and no second.

    **Good values:** the default for up to 32 units; `BlockJacobian()` for [`ctmodels.ssm.ParaGRU`][] and
    [`ctmodels.ssm.ParaLSTM`][] of any size.
    """

    linearisation: AbstractLinearisation = eqx.field(default=FullJacobian(), converter=check_linearisation)
    max_iterations: int = eqx.field(static=True, default=100, converter=check_limit("max_iterations"))
    rtol: float | None = eqx.field(static=True, default=None, converter=check_tolerance("rtol"))
    atol: float | None = eqx.field(static=True, default=None, converter=check_tolerance("atol"))
    chunk: int | None = eqx.field(static=True, default=None, converter=check_limit("chunk"))
    parallel: bool | None = eqx.field(static=True, default=None, kw_only=True)
    cotangents: str = eqx.field(static=True, default="per_sample", kw_only=True)
    failed: str = eqx.field(static=True, default="nan", kw_only=True)

    def __check_init__(self):
        for name, choices in (("cotangents", ("per_sample", "summed")), ("failed", ("nan", "hold"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be one of {', '.join(map(repr, choices))}")

    @before(check_recurrence)
    def __call__(
        self, step: Callable, h0: Float[Array, "..."], xs: PyTree, *, guess: Float[Array, "time ..."] | None = None
    ) -> tuple[Float[Array, "time ..."], NewtonStats]:
        """As [`ctmodels.ssm.newton_scan`][]."""
        check_step(step, h0, xs)
        check_guess(guess, h0, xs)
        # Compiled as one, unless it is part of something that is.
        return (_solved if _inside_jit() else _compiled)(self, step, h0, xs, guess)


@before(check_recurrence)
def newton_scan(
    step: Callable,
    h0: Float[Array, "..."],
    xs: PyTree,
    *,
    guess: Float[Array, "time ..."] | None = None,
    solver: NewtonScan = NewtonScan(),
) -> tuple[Float[Array, "time ..."], NewtonStats]:
    """The states of a nonlinear recurrence, all rows at once: what `jax.lax.scan` finds row by row.

    **Arguments:**

    - `step`: (h, x) -> h, the same shape and precision as h; what it closes over gets its gradient.
    - `h0`: the state before the first row: an array of floating point numbers, of any shape.
    - `xs`: what drives it, arrays with a leading axis of time.
    - `guess`: where the iteration begins, `(time, *h0.shape)`; None means `step(0, x)` for each row.
    - `solver`: how; see [`ctmodels.ssm.NewtonScan`][].

    **Returns:** the states after each row, `(time, *h0.shape)`, and [`ctmodels.ssm.NewtonStats`][]. Where it did not
    converge, there are no states: NaN, and a status.
    """
    return solver(step, h0, xs, guess=guess)


@before(check_recurrence)
def newton_step(
    step: Callable,
    h0: Float[Array, "..."],
    xs: PyTree,
    hs: Float[Array, "time ..."],
    *,
    linearisation: AbstractLinearisation = FullJacobian(),
) -> Float[Array, "time ..."]:
    """One iteration of [`ctmodels.ssm.newton_scan`][]: the iterate that follows `hs`, `(time, *h0.shape)`. To look at
    how it converges."""
    check_step(step, h0, xs)
    check_guess(hs, h0, xs, "hs")
    problem = _problem(NewtonScan(linearisation), step, h0, xs)
    return problem.states(_iterate(problem, problem.vectors(hs))[0])


def _inside_jit() -> bool:
    return isinstance(jnp.zeros(()), jax.core.Tracer)


def _solved(solver: NewtonScan, step: Callable, h0: Array, xs: PyTree, guess: Array | None):
    first = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), xs)
    step = eqx.filter_closure_convert(step, h0, first)
    if guess is None:
        guess = jax.vmap(lambda x: step(jnp.zeros_like(h0), x))(xs)
    guess = jax.lax.stop_gradient(jnp.where(jnp.isfinite(guess), guess, 0))
    _, (hs, solves) = _in_chunks(lambda h, rows: _solve(solver, step, h, rows), h0, (xs, guess), solver.chunk)
    stats = _together(solves, hs.shape[0])
    if solver.failed == "hold":
        return jnp.where(stats.converged, hs, jnp.where(jnp.isfinite(h0), h0, 0)[None]), stats
    # A product, so that the gradient is NaN as well.
    return hs * jnp.where(stats.converged, 1, jnp.nan).astype(hs.dtype), stats


_compiled = eqx.filter_jit(_solved)


def _in_chunks(solve: Callable, h0: Array, rows: PyTree, size: int | None):
    """`solve(h, rows) -> (h, (hs, stats))` on so many rows at a time, what is left over last. The statistics have an
    axis of chunks."""
    count = jax.tree.leaves(rows)[0].shape[0]
    if size is None or size >= count:
        h, (hs, stats) = solve(h0, rows)
        return h, (hs, jax.tree.map(lambda x: x[None], stats))
    whole = count // size * size
    chunks = jax.tree.map(lambda x: x[:whole].reshape(whole // size, size, *x.shape[1:]), rows)
    h, (hs, stats) = jax.lax.scan(solve, h0, chunks)
    hs = hs.reshape(whole, *h0.shape)
    if whole == count:
        return h, (hs, stats)
    h, rest = _in_chunks(solve, h, jax.tree.map(lambda x: x[whole:], rows), None)
    return h, jax.tree.map(lambda *parts: jnp.concatenate(parts), (hs, stats), rest)


def _together(solves: NewtonStats, rows: int) -> NewtonStats:
    """The statistics of chunks as those of the whole, of so many rows. An exponent becomes a mean only here."""
    return NewtonStats(
        converged=jnp.all(solves.converged),
        iterations=jnp.max(solves.iterations),
        evaluations=jnp.sum(solves.evaluations, dtype=jnp.int32),
        exponent=jnp.sum(solves.exponent) / rows,
        status=solves.status[jnp.argmax(solves.status != SUCCESS)],
    )


def _solve(solver: NewtonScan, step: Callable, h0: Array, rows: tuple[PyTree, Array]):
    """Of one chunk: its last state, and (states, statistics). They are finite, converged or not."""
    xs, guess = rows
    problem = _problem(solver, step, h0, xs)
    frozen = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, problem)
    hs, stats = _iterated(frozen, frozen.vectors(guess), solver)
    values = problem.values(shifted(hs, problem.start))
    hs = problem.states(anchored(values, frozen, hs))
    return hs[-1], (hs, stats)


def _problem(solver: NewtonScan, step: Callable, h0: Array, xs: PyTree) -> Problem:
    rows = jax.tree.leaves(xs)[0].shape[0]
    return Problem(
        linearisation=solver.linearisation,
        of_states=step,
        h0=h0,
        xs=xs,
        limit=min(solver.max_iterations, rows) if solver.linearisation.finite else solver.max_iterations,
        parallel=solver.parallel,
    )


class _Iterate(eqx.Module):
    """Where an iteration stands: whether the recurrence is solved, and whether it is known to have no solution."""

    hs: Array
    count: Array
    solved: Array
    lost: Array


def _iterated(problem: Problem, guess: Array, solver: NewtonScan) -> tuple[Array, NewtonStats]:
    """The last iterate; in the place of the exponent, the logarithm of the whole growth."""
    rtol, atol = _tolerances(solver, guess.dtype)
    rows, finite = guess.shape[0], problem.linearisation.finite

    def iterate(it: _Iterate) -> _Iterate:
        hs, errors, found = _iterate(problem, it.hs)
        count = it.count + 1
        # What these rows start from is right by now, and so is that they have no value.
        lost = jnp.any(~found & (jnp.arange(rows, dtype=jnp.int32) < count)) & finite
        solved = jnp.all(errors <= atol + rtol * jnp.abs(hs)) | (finite & (count >= rows))
        return _Iterate(hs, count, solved & jnp.all(found), lost)

    start = _Iterate(guess, jnp.asarray(0, jnp.int32), jnp.asarray(False), jnp.asarray(False))
    it = jax.lax.while_loop(lambda it: ~it.solved & ~it.lost & (it.count < problem.limit), iterate, start)
    matrices = problem.linearise(it.hs)[1]
    failed = jnp.where(it.lost | ~_all_finite((problem.h0, problem.xs)), NON_FINITE, NOT_CONVERGED)
    stats = NewtonStats(
        converged=it.solved,
        iterations=it.count,
        evaluations=(it.count + 1) * rows,
        exponent=growth(matrices, diagonal=matrices.ndim == guess.ndim),
        status=jnp.where(it.solved, SUCCESS, failed).astype(jnp.int32),
    )
    return it.hs, stats


def _iterate(problem: Problem, hs: Array) -> tuple[Array, Array, Array]:
    """The next iterate; how far it is from the last one, or that from its steps' values if further; and which rows'
    steps have finite values.

    Where the iterate overflows, as the products of an unstable recurrence do, the step's value stands for it: so right
    rows stay right, and the one that follows them becomes so.
    """
    values, matrices = problem.linearise(hs)
    following = problem.linearisation.following(matrices, values, hs, parallel=problem.parallel)
    good = jnp.isfinite(following)
    errors = jnp.where(good, jnp.maximum(jnp.abs(following - hs), jnp.abs(values - hs)), jnp.inf)
    found = jnp.all(jnp.isfinite(values.reshape(values.shape[0], -1)), axis=1)
    return jnp.where(good, following, jnp.where(jnp.isfinite(values), values, hs)), errors, found


def _all_finite(tree: PyTree) -> Array:
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(x)) for x in jax.tree.leaves(tree) if eqx.is_inexact_array(x)]))


def _tolerances(solver: NewtonScan, dtype) -> tuple[float, float]:
    usual = float(jnp.finfo(dtype).eps) ** (0.5 if solver.linearisation.exact else 0.75)
    return tuple(usual if given is None else given for given in (solver.rtol, solver.atol))  # pyright: ignore
