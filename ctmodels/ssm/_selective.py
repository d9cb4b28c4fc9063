r"""Linear systems whose step, input map and output map are functions of each row: selective state spaces.

$x' = \Delta_k (A x + B_k u_k)$, $y_k = C_k x_k$, in which $A < 0$ is diagonal and each feature has states of its own.
Gu, Dao (2023), Mamba.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels.ssm._scan import linear_scan
from ctmodels.ssm._transitions import RealDiagonal

Rates = Float[Array, "feature mode"]
Steps = Float[Array, " feature"]


def hold_rates(A: Rates, steps: Steps) -> tuple[Rates, Rates]:
    r"""Exact where the input is held: $e^{A \Delta}$, and $(e^{A \Delta} - 1)/A$ for the input; nothing over a step of
    none, and the same in one step and in its two halves."""
    z = A * steps[:, None]
    return jnp.exp(z), jnp.expm1(z) / A


def euler_rates(A: Rates, steps: Steps) -> tuple[Rates, Rates]:
    r"""As Mamba was released: $e^{A \Delta}$, and $\Delta$ for the input, which two halves of a step do not give."""
    return jnp.exp(A * steps[:, None]), jnp.broadcast_to(steps[:, None], A.shape)


def selective_scan(
    us: Float[Array, "row feature"],
    steps: Float[Array, "row feature"],
    A: Rates,
    B: Float[Array, "row mode"],
    C: Float[Array, "row mode"],
    gaps: Float[Array, " row"],
    *,
    method: Callable = hold_rates,
    parallel: bool | None = None,
) -> tuple[Float[Array, "row feature mode"], Float[Array, "row feature"]]:
    r"""$x_k = \bar A_k x_{k-1} + \bar b_k B_k u_k$, $y_k = C_k x_k$.

    **Arguments:** `us`: what drives each feature; `steps`: $\Delta_k$ over a gap of one; `A`: rates, below zero; `B`,
    `C`: of each row, for all features; `gaps`: before each row, by which its steps are multiplied; `method`: of one
    step, [`ctmodels.ssm.hold_rates`][] or [`ctmodels.ssm.euler_rates`][]; `parallel`: as in
    [`ctmodels.ssm.linear_scan`][].

    **Returns:** states and outputs, `(row, feature, mode)` and `(row, feature)`.
    """

    def transition(row, gap):
        u, step, B, _ = row
        return selective_step(A, gap * step, u, B, method)

    read = lambda x, row: x @ row[3]
    return linear_scan(transition, read, jnp.zeros(A.shape, us.dtype), (us, steps, B, C), gaps, parallel=parallel)


def selective_step(
    A: Rates, steps: Steps, u: Float[Array, " feature"], B: Float[Array, " mode"], method: Callable
) -> tuple[RealDiagonal, Rates]:
    """The map of the states over one step, and what the input adds."""
    factor, weight = method(A, steps)
    return RealDiagonal(factor), weight * u[:, None] * B[None]
