"""Explicit Runge-Kutta on a given grid, as a scan: what training on regular data needs."""

import functools
import operator
from collections.abc import Callable
from typing import ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels._integrate._account import Step
from ctmodels._output import NON_FINITE, SUCCESS, Stats


class Substeps(eqx.Module):
    """Steps without control: `n` equal ones between each two neighbouring save times."""

    n: int = eqx.field(static=True, default=1)

    def __check_init__(self):
        if self.n < 1:
            raise ValueError(f"n={self.n}: at least one step is needed between two save times")


class RK4(diffrax.AbstractERK):
    """The classical Runge-Kutta method: order 4, four stages, no error estimate (so no adaptive steps)."""

    tableau: ClassVar[diffrax.ButcherTableau] = diffrax.ButcherTableau(
        a_lower=(np.array([0.5]), np.array([0.0, 0.5]), np.array([0.0, 0.0, 1.0])),
        b_sol=np.array([1 / 6, 1 / 3, 1 / 3, 1 / 6]),
        b_error=np.zeros(4),
        c=np.array([0.5, 0.5, 1.0]),
    )
    interpolation_cls: ClassVar[Callable] = diffrax.ThirdOrderHermitePolynomialInterpolation.from_k

    def order(self, terms):
        return 4


def rk_step(tableau: diffrax.ButcherTableau, field, t, h, y, args, f0=None) -> Step:
    """One explicit Runge-Kutta step of length `h` from (t, y); `f0` is the slope there, if known."""
    k = [h * (field(t, y, args) if f0 is None else f0)]
    for a_i, c_i in zip(tableau.a_lower, tableau.c, strict=True):
        k.append(h * field(t + c_i.item() * h, y + _combine(a_i, k), args))
    y1 = y + _combine(tableau.b_sol, k)
    error = _combine(tableau.b_error, k) if np.any(tableau.b_error) else None
    return Step(h, y, y1, jnp.stack(k), error, tableau)


def _combine(weights: np.ndarray, k: list[Float[Array, " state"]]) -> Float[Array, " state"]:
    return functools.reduce(operator.add, (w.item() * k_j for w, k_j in zip(weights, k, strict=False) if w != 0))


def solve_fixed(
    tableau, field, ts: Float[Array, " time"], y0: Float[Array, " state"], args: PyTree, n: int, measures
) -> tuple[Float[Array, "time state"], Stats]:
    """`n` steps between neighbouring `ts`. Each step is rematerialised in the backward pass, which is
    faster than storing its inside."""

    @jax.checkpoint
    def one(y, t, h):
        step = rk_step(tableau, field, t, h, y, args)
        return step.y1, {m.__name__: m(step) for m in measures}

    def interval(y, edges):
        t0, h = edges[0], (edges[1] - edges[0]) / n
        y, taken = jax.lax.scan(lambda y, i: one(y, t0 + i * h, h), y, jnp.arange(n, dtype=ts.dtype))
        return y, (y, jax.tree.map(jnp.sum, taken))

    y1, (ys, taken) = jax.lax.scan(interval, y0, jnp.stack([ts[:-1], ts[1:]], axis=1))
    steps = (ts.shape[0] - 1) * n
    stats = Stats(
        jnp.asarray(steps * len(tableau.b_sol)),
        jnp.asarray(steps),
        jnp.asarray(0),
        jnp.where(jnp.all(jnp.isfinite(y1)), SUCCESS, NON_FINITE),
        jax.tree.map(jnp.sum, taken),
    )
    return jnp.concatenate([y0[None], ys]), stats
