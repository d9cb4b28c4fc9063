"""The solver's own heuristics as measures (Pal, Ma, Shah, Rackauckas 2021).

Norms are `Step.norm`: root mean squares, over one sample's state, or over the batch's if it shares its steps.
"""

import functools

import diffrax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels.measures._measure import maximum_over_steps, measure
from ctmodels.measures._step import Step


@measure
def local_error(step: Step) -> Float[Array, ""]:
    """||E_j|| |h_j|: as a regulariser ERNODE's, as the paper has it, the sum over the accepted steps."""
    return step.norm(_error(step, "local_error")) * jnp.abs(step.h)


@measure(per_step=True)
def scaled_error(step: Step) -> Float[Array, ""]:
    """q_j |h_j|, where q_j = ||E_j / (atol + rtol max(|y0|, |y1|))|| is at most one on an accepted step: as a
    regulariser ERNODE's, as its released code has it, the mean over the accepted steps."""
    error = _error(step, "scaled_error")
    if step.tolerance is None:
        raise ValueError(
            "measures: `scaled_error` is in units of the tolerance, and a fixed grid has none; ask for "
            "`local_error`, or give a diffrax.PIDController"
        )
    return step.norm(error / step.tolerance) * jnp.abs(step.h)


@measure
def stiffness(step: Step) -> Float[Array, ""]:
    """S_j |h_j|, where S_j = ||f(g_a) - f(g_b)|| / ||g_a - g_b|| of two stages at the end of the step estimates
    the largest eigenvalue (Shampine 1977): as a regulariser SRNODE's, as the paper has it, the sum over the accepted
    steps."""
    return _stiffness(step)


@measure
def eigenvalue(step: Step) -> Float[Array, ""]:
    """S_j / (the largest |z| on the negative real axis at which the method is stable)."""
    h = jnp.abs(step.h)
    return jnp.where(h > 0, _stiffness(step) / jnp.where(h > 0, h, 1), 0) / stability_size(step.tableau)


largest_eigenvalue = maximum_over_steps(eigenvalue)
"""The largest of them: as a regulariser SRNODE's, as its released code has it."""


def _stiffness(step: Step) -> Float[Array, ""]:
    a, b = stages_at_end(step.tableau)
    apart = step.tableau.a_lower[a - 1] - np.append(step.tableau.a_lower[b - 1], np.zeros(a - b))
    run = step.norm(sum(w.item() * step.k[j] for j, w in enumerate(apart) if w != 0))  # g_a - g_b
    rise = step.norm(step.k[a] - step.k[b])
    return jnp.where(run > 0, rise / jnp.where(run > 0, run, 1), 0)


def _error(step: Step, name: str) -> Array:
    if step.error is None:
        raise ValueError(
            f"measures: `{name}` needs a method with an embedded error estimate, as Heun, Bosh3, Tsit5, "
            "Dopri5 or Dopri8 have; this method has none"
        )
    return step.error


def stages_at_end(tableau: diffrax.ButcherTableau) -> tuple[int, int]:
    """The last two stages that are taken at t + h."""
    at_end = 1 + np.flatnonzero(np.isclose(tableau.c, 1.0))
    if len(at_end) < 2:
        raise ValueError(
            "measures: `stiffness` compares two stages at the end of the step, as Tsit5, Dopri5 and Dopri8 "
            "have; this method has fewer, or is of an SDE"
        )
    return int(at_end[-1]), int(at_end[-2])


def stability_size(tableau: diffrax.ButcherTableau) -> float:
    """The largest x for which |R| <= 1 on all of [-x, 0], where R(z) = 1 + z b^T (1 - z A)^-1 1."""
    return _stability_size(tuple(map(tuple, tableau.a_lower)), tuple(tableau.b_sol))


@functools.cache
def _stability_size(a_lower, b_sol) -> float:
    s = len(b_sol)
    A = np.zeros((s, s))
    for i, row in enumerate(a_lower):
        A[i + 1, : len(row)] = row
    powers, v = [1.0], np.ones(s)
    for _ in range(s):
        powers.append(float(np.asarray(b_sol) @ v))
        v = A @ v
    x = np.linspace(0, 40, 400_001)
    beyond = np.abs(np.polynomial.polynomial.polyval(-x, powers)) > 1 + 1e-9
    return float(x[np.argmax(beyond)])
