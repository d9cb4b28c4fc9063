"""What a solve did inside."""

import dataclasses
from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from jaxtyping import Array, PyTree, Real

from ctmodels._integrate._adaptive import plan_of
from ctmodels._integrate._adjoint import DiscreteAdjoint
from ctmodels._integrate._engine._draws import Draws
from ctmodels._integrate._engine._forward import solve_lanes
from ctmodels._integrate._engine._lanes import Lanes
from ctmodels._integrate._engine._plan import Times
from ctmodels._integrate._engine._state import State
from ctmodels._integrate._integrate import Integrate
from ctmodels._integrate._layout import laid_out
from ctmodels._integrate._problem import Problem


@eqx.filter_jit
def _solved(integrate: Integrate, field, ts, y0s, args):
    """Of a batch (lane, ...), measures left out: where each lane ended, and the steps' history."""
    flat = jax.vmap(lambda y: ravel_pytree(y)[0])(y0s)
    unravel = ravel_pytree(jax.tree.map(lambda x: x[0], y0s))[1]
    flat_field = lambda t, y, args: ravel_pytree(field(t, unravel(y), args))[0]
    problem = Problem(integrate, (), (), flat_field, ts, flat[0], args, Draws())
    layout = laid_out(problem)
    arrays = [jnp.asarray(x) for x in (*layout.inexact, *layout.whole)]  # a field may hold constants of NumPy
    lanes = Lanes(shape=(flat.shape[0],), owned=((False,),) * len(arrays))
    plan = plan_of(integrate, layout.by_components)
    y0 = State.of(flat, plan.by_components)
    _, carry, history = solve_lanes(plan, lanes, layout.field, arrays, Draws(), ts[None], y0)
    return carry, history


def accepted_times(
    integrate: Integrate, field: Callable, ts: Real[Array, " time"], y0: PyTree, args: PyTree = None
) -> np.ndarray:
    """The times between which the accepted steps of one sample's solve go, its start and its end included: to be
    looked at, or to be taken again by `diffrax.StepTo`. Explicit methods with a PID controller only; not under `jit`.
    """
    keeps_all = DiscreteAdjoint(1 << max(integrate.max_steps - 1, 1).bit_length())
    integrate = dataclasses.replace(integrate, adjoint=keeps_all, batching="per_sample")
    carry, history = _solved(integrate, field, ts, jax.tree.map(lambda x: jnp.asarray(x)[None], y0), args)
    times, count = Times.of(ts[None]), int(history.count)  # pyright: ignore
    begun, end = times.at(history.sigma[:count, 0]), times.at(carry.sigma)  # pyright: ignore
    return np.append(np.asarray(begun), np.asarray(end)[0])


def loop_widths(integrate: Integrate, field, ts, y0s, args=None) -> list[tuple[int, int, int]]:
    """For each width at which the loop ran, in turn: the width, iterations forward, and iterations that the backward
    pass takes again."""
    carry, history = _solved(integrate, field, ts, y0s, args)
    few = plan_of(integrate, by_components=False).few(Lanes(shape=carry.status.shape, owned=()))
    # An iteration at which no lane's step is accepted is not taken again, so that attempts are counted apart.
    counts = np.sort(np.stack([carry.accepted + carry.rejected, history.ended]), axis=1)[:, ::-1]  # pyright: ignore
    together = counts[:, few[0] if few else 0]
    widths = [(counts.shape[1], *together.tolist())]
    if few:  # those that took most make the first few, the next few go as far as the longest of them
        apart = np.maximum(counts[:, : few[0] : few[1]] - together[:, None], 0).sum(axis=1)
        widths.append((few[1], *apart.tolist()))
    return widths
