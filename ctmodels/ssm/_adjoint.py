r"""The gradient of a recurrence that is solved as a whole: by the implicit function theorem, as of any fixed point.

At the solution $h_t = f_t(h_{t-1})$, and the cotangents $g_t$ of the states become those of the steps' values,
$\lambda_t = g_t + J_{t+1}^\top \lambda_{t+1}$: a linear recurrence in reverse. What then becomes of a step's parameters
and inputs, JAX does by itself, and the iterations are differentiated by nobody.
"""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ctmodels.ssm._affine import affine_scan, transposed
from ctmodels.ssm._problem import Problem, shifted


@eqx.filter_custom_vjp
def anchored(values: Array, problem: Problem, hs: Array) -> Array:
    """`hs`, with the gradient of the solution whose steps have these values. It has a first derivative, in reverse."""
    return hs


@anchored.def_fwd
def _(perturbed, values, problem, hs):
    return hs, None


@anchored.def_bwd
def _(residuals, cotangents, perturbed, values, problem, hs):
    _, cotangents = _first_derivative((values, cotangents))
    return _cotangents_of_values(problem, hs, cotangents)


@jax.custom_jvp
def _first_derivative(tree):
    """What it is given. A second derivative would leave out how the solution moves, and say nothing."""
    return tree


@_first_derivative.defjvp
def _(primals, tangents):
    raise NotImplementedError(
        "newton_scan: it has a first derivative only; for a second one, solve row by row with jax.lax.scan"
    )


def _cotangents_of_values(problem: Problem, hs: Array, g: Array) -> Array:
    r"""$\lambda$, by one scan where the Jacobian is whole; by more of them where it is not, as in the solve itself.
    Where it says that it is and is not, NaN."""
    past_end = lambda x: jnp.concatenate([x[1:], jnp.zeros_like(x[:1])])
    matrices = past_end(transposed(problem.linearise(hs)[1], hs))
    pull = jax.vjp(problem.values, shifted(hs, problem.start))[1]

    def refine(state):
        count, of_values, missing = state
        of_values = of_values + affine_scan(matrices, missing, reverse=True, parallel=problem.parallel)
        return count + 1, of_values, g + past_end(pull(of_values)[0]) - of_values

    def goes_on(state):
        count, of_values, missing = state
        return (count < problem.limit) & ~_is_small(missing, of_values, 0.75)

    state = refine((jnp.asarray(0), jnp.zeros_like(g), g))
    if not problem.linearisation.exact:
        state = jax.lax.while_loop(goes_on, refine, state)
    _, of_values, missing = state
    # Rounding alone is far below this, also where matrices are multiplied in fewer digits, as on some accelerators.
    return jnp.where(_is_small(missing, of_values, 1 / 3), of_values, jnp.nan)


def _is_small(missing: Array, of_values: Array, power: float):
    return jnp.max(jnp.abs(missing)) <= jnp.finfo(missing.dtype).eps ** power * jnp.max(jnp.abs(of_values))
