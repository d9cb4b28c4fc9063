r"""Nonlinear recurrences $h_t = f(h_{t-1}, x_t)$ of all rows at once, by Newton's method.

Lim, Zhu, Selfridge and Kasim, "Parallelizing non-linear sequential models over the sequence length" (DEER, 2024);
Gonzalez, Warrington, Smith and Linderman, "Towards scalable and stable parallelization of nonlinear RNNs" (quasi-DEER
and ELK, 2024); Danieli et al., "ParaRNN" (2026).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before
from ctmodels._core._loops import varying_alike
from ctmodels._core._model import AbstractSolver
from ctmodels._core._output import SUCCESS
from ctmodels.ssm._adjoint import anchored
from ctmodels.ssm._check import (
    check_damping,
    check_guess,
    check_limit,
    check_linearisation,
    check_recurrence,
    check_step,
    check_tolerance,
)
from ctmodels.ssm._iteration import NewtonStats, iterate, iterated
from ctmodels.ssm._linearise import AbstractLinearisation, FullJacobian
from ctmodels.ssm._problem import Problem, shifted


class NewtonScan(AbstractSolver):
    r"""Solve $h_t = f(h_{t-1}, x_t)$ for all t at once, to the same states as `jax.lax.scan`.

    From a first guess, each iteration evaluates all steps and their Jacobians side by side, and solves the linear
    recurrence that these make, by an associative scan. It is for accelerators and long series. On the CPU nothing is
    gained: every iteration costs more than the whole of `jax.lax.scan`.

    **Arguments:**

    - `linearisation`: [`ctmodels.ssm.FullJacobian`][], [`ctmodels.ssm.BlockJacobian`][] (of a step that does not mix
      its units) or [`ctmodels.ssm.DiagonalJacobian`][].
    - `max_iterations`: reaching it is a status, not an exception. Undamped, as many as there are rows always suffice.
    - `rtol`, `atol`: it is over where no row changes by more than `atol + rtol |h|`, nor is further than that from its
      step's value. None: 3e-4 in float32 and 1.5e-8 in float64, after which a Newton step is right to the last digits;
      6e-6 and 2e-12 if it is not Newton's own, being damped or of a part of the Jacobian.
    - `chunk`: so many rows at once, one chunk after the other, which takes `chunk` n^2 of memory for full Jacobians.
      None: all rows.
    - `damping`: $\lambda$ of a trust region (ELK, Gonzalez et al. 2024), 0 for none. The new iterate is then the
      filtered mean of the chain $h_t = A_t h_{t-1} + b_t + \epsilon$, $\epsilon \sim N(0, I)$, in which the last
      iterate is an observation, with noise of variance $1/\lambda$. Where the recurrence is unstable, a Newton step
      overflows and this one does not; where it is stable, it costs iterations, as each keeps $\lambda / (1 + \lambda)$
      of the error or more. As rows that overflow are mended without it too, it seldom pays; try 0.01.
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
    damping: float = eqx.field(static=True, default=0.0, kw_only=True, converter=check_damping)
    parallel: bool | None = eqx.field(static=True, default=None, kw_only=True)
    cotangents: str = eqx.field(static=True, default="per_sample", kw_only=True)
    failed: str = eqx.field(static=True, default="nan", kw_only=True)

    def __check_init__(self):
        for name, choices in (("cotangents", ("per_sample", "summed")), ("failed", ("nan", "hold"))):
            if getattr(self, name) not in choices:
                raise ValueError(f"{name}={getattr(self, name)!r}: must be one of {', '.join(map(repr, choices))}")

    def tolerances(self, dtype: jnp.dtype) -> tuple[float, float]:
        """`rtol` and `atol`, for states of this type."""
        newton = self.linearisation.exact and not self.damping
        usual = float(jnp.finfo(dtype).eps) ** (0.5 if newton else 0.75)
        return usual if self.rtol is None else self.rtol, usual if self.atol is None else self.atol

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
    damping: float = 0.0,
) -> Float[Array, "time ..."]:
    """One iteration of [`ctmodels.ssm.newton_scan`][]: the iterate that follows `hs`, `(time, *h0.shape)`. To look at
    how it converges."""
    check_step(step, h0, xs)
    check_guess(hs, h0, xs, "hs")
    problem = Problem(linearisation, step, h0, xs, damping)
    return problem.states(iterate(problem, problem.vectors(hs))[0])


def _inside_jit() -> bool:
    return isinstance(jnp.zeros(()), jax.core.Tracer)


def _solved(solver: NewtonScan, step: Callable, h0: Array, xs: PyTree, guess: Array | None):
    step, h0, xs, guess = varying_alike((step, h0, xs, guess))
    step = eqx.filter_closure_convert(step, h0, jax.tree.map(lambda x: x[0], xs))
    zero = varying_alike(jnp.zeros_like(h0), like=h0)
    first_guess = jax.vmap(lambda x: step(zero, x))(xs) if guess is None else guess
    guess = jax.lax.stop_gradient(jnp.where(jnp.isfinite(first_guess), first_guess, 0))
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
    problem = Problem(solver.linearisation, step, h0, xs, solver.damping, solver.max_iterations, solver.parallel)
    frozen = jax.tree.map(lambda x: jax.lax.stop_gradient(x) if eqx.is_array(x) else x, problem)
    hs, stats = iterated(frozen, frozen.vectors(guess), *solver.tolerances(guess.dtype))
    values = problem.values(shifted(hs, problem.start))
    hs = problem.states(anchored(values, frozen, hs))
    return hs[-1], (hs, stats)
