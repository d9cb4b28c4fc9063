"""A layer by a solver: the third form, which asks for no closed form and shares no arithmetic with the other two."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ctmodels._core._output import Stats
from ctmodels._integrate import Integrate, solve_piecewise_constant
from ctmodels.layers._layer import AbstractStateSpace, Rows
from ctmodels.paths._paths import HeldPath


def solve(
    layer: AbstractStateSpace, state: PyTree, us: Rows, gaps: Float[Array, " row"], integrate: Integrate = Integrate()
) -> tuple[PyTree, Rows, Stats]:
    """States after, and outputs at, all rows, by solving $x' = $ `derivative(x, u)` over each gap, u held.

    **Arguments:** `layer`, `state`, `us`, `gaps`: as of [`ctmodels.layers.AbstractStateSpace`][]; `integrate`: the
    solver.

    **Returns:** states, outputs, and the statistics of the solves.
    """
    ts = jnp.concatenate([jnp.zeros_like(gaps[:1]), jnp.cumsum(gaps)])
    held = HeldPath(ts, jnp.concatenate([us, us[-1:]]))  # from each time on, what leads to the next
    field = lambda t, x, path: layer.derivative(x, path(t))
    states, stats = solve_piecewise_constant(integrate, field, None, state, held)
    states = jax.tree.map(lambda a: a[1:], states)
    return states, jax.vmap(layer.read)(states, us), stats
