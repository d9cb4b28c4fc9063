"""Measures: what may be asked of each accepted step. Their sums come back in `Stats.measures`.

A measure is a function of one [`ctmodels.Step`][]; adding one is writing a function.
"""

from typing import NamedTuple

import diffrax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


class Step(NamedTuple):
    """One accepted step of a Runge-Kutta method on the flattened state.

    `h`: its length; `y0`, `y1`: states before and after; `k`: the stages' increments h f(t_i, g_i),
    `(stage, state)`; `error`: the embedded estimate of the local error, or None.
    """

    h: Float[Array, ""]
    y0: Float[Array, " state"]
    y1: Float[Array, " state"]
    k: Float[Array, "stage state"]
    error: Float[Array, " state"] | None
    tableau: diffrax.ButcherTableau


def local_error(step: Step) -> Float[Array, ""]:
    """||E_j|| |h_j| (root mean square norm): the summand of ERNODE's regulariser (Pal et al. 2021)."""
    if step.error is None:
        raise ValueError(
            "account: `local_error` needs a method with an embedded error estimate, as Heun, Bosh3, Tsit5, "
            "Dopri5 or Dopri8 have; this method has none"
        )
    return _rms(step.error) * jnp.abs(step.h)


def stiffness(step: Step) -> Float[Array, ""]:
    """S_j |h_j|, where S_j = ||f(g_a) - f(g_b)|| / ||g_a - g_b|| of two stages at the end of the step estimates
    the largest eigenvalue (Shampine 1977): the summand of SRNODE's regulariser (Pal et al. 2021)."""
    a, b = _stages_at_end(step.tableau)
    rise, run = _rms(step.k[a] - step.k[b]), _rms(_stage(step, a) - _stage(step, b))
    return jnp.where(run > 0, rise / jnp.where(run > 0, run, 1), 0)


def _stages_at_end(tableau: diffrax.ButcherTableau) -> tuple[int, int]:
    at_end = 1 + np.flatnonzero(np.isclose(tableau.c, 1.0))
    if len(at_end) < 2:
        raise ValueError(
            "account: `stiffness` compares two stages at the end of the step, as Tsit5, Dopri5 and Dopri8 "
            "have; this method has fewer"
        )
    return int(at_end[-1]), int(at_end[-2])


def _stage(step: Step, i: int) -> Float[Array, " state"]:
    """g_i = y0 + sum_j a_ij k_j."""
    return step.y0 + sum(w.item() * step.k[j] for j, w in enumerate(step.tableau.a_lower[i - 1]) if w != 0)


def _rms(x: Float[Array, " state"]) -> Float[Array, ""]:
    # The square root has no derivative at zero: guarded, since a lane at rest must not give NaN.
    square = jnp.mean(x**2)
    return jnp.where(square > 0, jnp.sqrt(jnp.where(square > 0, square, 1)), 0)
