"""Integrate: how a field is solved, and what is to be said about it."""

from collections.abc import Callable

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._integrate._account import Step
from ctmodels._integrate._adaptive import solve_adaptive
from ctmodels._integrate._fixed import Substeps, solve_fixed
from ctmodels._output import Stats


class Integrate(eqx.Module):
    """Solve dy/dt = field(t, y, args) of one sample, and account for the work.

    **Arguments:**

    - `method`: an explicit Runge-Kutta method of diffrax, or [`ctmodels.RK4`][]; with a diffrax step size
      controller any diffrax solver.
    - `controller`: a diffrax step size controller (adaptive), or [`ctmodels.Substeps`][] (a fixed grid).
    - `adjoint`: diffrax's; adaptive solves only.
    - `max_steps`: adaptive solves only; reaching it is a status, not an exception.
    - `account`: measures of the accepted steps, such as [`ctmodels.local_error`][] and
      [`ctmodels.stiffness`][]; what is asked here comes back in `Stats.measures`.

    The gradient is that of the accepted steps as taken: the step sizes carry none.

    **Good values:** `Integrate(RK4(), Substeps(1))` for training on densely sampled series; the default
    (Tsit5, rtol 1e-4, atol 1e-6) elsewhere in float32.
    """

    method: diffrax.AbstractSolver = diffrax.Tsit5()
    controller: diffrax.AbstractStepSizeController | Substeps = diffrax.PIDController(rtol=1e-4, atol=1e-6)
    adjoint: diffrax.AbstractAdjoint = diffrax.RecursiveCheckpointAdjoint()
    max_steps: int = eqx.field(static=True, default=4096)
    account: tuple[Callable[[Step], Float[Array, ""]], ...] = eqx.field(static=True, default=())

    def __call__(
        self,
        field: Callable,
        ts: Float[Array, " time"],
        y0: PyTree,
        args: PyTree = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[PyTree, Stats]:
        """Solve from `ts[0]` and save at `ts`.

        **Arguments:** `field(t, y, args)`, shaped as `y`; `ts`: monotone, repeats allowed (padding), at
        least two; `y0`: the state at `ts[0]`; `args`: handed on to the field (a control, parameters).

        **Returns:** states at `ts`, with a leading time axis, and [`ctmodels.Stats`][].
        """
        if ts.shape[0] < 2:
            raise ValueError(f"ts has {ts.shape[0]} time(s): a solve needs at least two, its start and its end")
        flat0, unravel = ravel_pytree(y0)
        field = _flattened(field, unravel, ts, y0, args)
        if isinstance(self.controller, Substeps):
            tableau = self.method.tableau  # pyright: ignore
            ys, stats = solve_fixed(tableau, field, ts, flat0, args, self.controller.n, self.account)
        else:
            ys, stats = solve_adaptive(
                self.method, self.controller, self.adjoint, self.max_steps, field, ts, flat0, args, self.account
            )
        return jax.vmap(unravel)(ys), stats


def _flattened(field, unravel, ts, y0, args):
    """The field on the flattened state; refuses one that returns another shape than the state's, since
    broadcasting would go unseen."""
    out = jax.eval_shape(lambda t, y: field(t, y, args), ts[0], y0)
    want, got = jax.tree.map(jnp.shape, y0), jax.tree.map(lambda s: s.shape, out)
    if jax.tree.structure(want) != jax.tree.structure(got) or jax.tree.leaves(want) != jax.tree.leaves(got):
        raise ValueError(f"field returns shape {got} for a state of shape {want}: make them equal")
    return lambda t, y, args: ravel_pytree(field(t, unravel(y), args))[0]
