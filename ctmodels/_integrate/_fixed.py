"""Explicit Runge-Kutta on a given grid, as a scan: what training on regular data needs."""

from collections.abc import Callable
from typing import ClassVar

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels._integrate._account import Step, gathered, measured, rms
from ctmodels._integrate._method import Method, combine
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


def rk_step(tableau: diffrax.ButcherTableau, field, t, h, y, args, f0=None, noise=None) -> Step:
    """One explicit Runge-Kutta step of length `h` from (t, y); `f0` is the slope there, if known, `noise` what
    measures may want."""
    h_y = jnp.asarray(h, jnp.finfo(y.dtype).dtype)  # the state keeps its precision, whatever the times'
    k = [h_y * (field(t, y, args) if f0 is None else f0)]
    for a_i, c_i in zip(tableau.a_lower, tableau.c, strict=True):
        k.append(h_y * field(t + c_i.item() * h, y + combine(a_i, k), args))
    y1 = y + combine(tableau.b_sol, k)
    error = combine(tableau.b_error, k) if np.any(tableau.b_error) else None
    return Step(t, h_y, y, y1, jnp.stack(k), tableau, error, None, lambda t, y: field(t, y, args), noise, rms)


def solve_fixed(integrate, measures, field, ts: Float[Array, " time"], y0: Float[Array, " state"], args: PyTree, noise):
    """Steps on a grid that is known: between the save times, or at times of its own."""
    if isinstance(integrate.controller, Substeps):
        ys, counts, steps, taken = _between_saves(integrate, measures, field, ts, y0, args, noise)
        longest = jnp.max(jnp.abs(jnp.diff(ts))) / integrate.controller.n
        shortest = jnp.min(jnp.where(jnp.diff(ts) == 0, jnp.inf, jnp.abs(jnp.diff(ts)))) / integrate.controller.n
    else:
        ys, counts, steps, taken = _at_times(integrate, measures, field, ts, y0, args, noise)
        gaps = jnp.abs(jnp.diff(jnp.asarray(integrate.controller.ts, ts.dtype)))
        shortest, longest = jnp.min(gaps), jnp.max(gaps)
    finite = jnp.all(jnp.isfinite(ys), axis=1)
    status = jnp.where(jnp.all(finite), SUCCESS, NON_FINITE)
    last = jnp.argmin(jnp.where(finite, 1, 0)) - 1  # -1 is the end if all are finite
    blank = y0 if integrate.failed == "hold" else jnp.full_like(y0, jnp.nan)
    ys = jnp.where(finite[:, None], ys, blank[None])
    stopped = jax.lax.stop_gradient((shortest, longest, ts[last]))
    return ys, Stats(counts, steps, 0 * steps, status, gathered(taken), *stopped)


def _between_saves(integrate, measures, field, ts, y0, args, noise):
    """`n` steps between neighbouring `ts`. Each step is rematerialised in the backward pass, which is faster than
    storing its inside."""
    tableau, n = integrate.method.tableau, integrate.controller.n

    @jax.checkpoint
    def one(y, t, h):
        step = rk_step(tableau, field, t, h, y, args, noise=noise)
        return step.y1, measured(measures, step)

    def interval(y, edges):
        t0, h = edges[0], (edges[1] - edges[0]) / n
        y, taken = jax.lax.scan(lambda y, i: one(y, t0 + i * h, h), y, jnp.arange(n, dtype=ts.dtype))
        return y, (y, taken)

    _, (ys, taken) = jax.lax.scan(interval, y0, jnp.stack([ts[:-1], ts[1:]], axis=1))
    steps = jnp.asarray((ts.shape[0] - 1) * n)
    return jnp.concatenate([y0[None], ys]), steps * len(tableau.b_sol), steps, taken


def _at_times(integrate, measures, field, ts, y0, args, noise):
    """Steps between neighbouring times of `diffrax.StepTo`, saved at `ts` by the interpolant."""
    grid, method = jnp.asarray(integrate.controller.ts, ts.dtype), Method(integrate.method)
    f = lambda t, y: field(t, y, args)

    @jax.checkpoint
    def one(carry, edges):
        y, slope = carry
        y1, fs = method.step(f, edges[0], edges[1] - edges[0], y, slope)
        step = method.taken(f, edges[0], edges[1] - edges[0], y, y1, fs, noise=noise)
        return (y1, fs[-1]), (jnp.concatenate([y[None], y1[None], step.k]), measured(measures, step))

    edges = jnp.stack([grid[:-1], grid[1:]], axis=1)
    _, (terms, taken) = jax.lax.scan(one, (y0, f(ts[0], y0)), edges)
    forward = jnp.sign(grid[-1] - grid[0])
    at = jnp.clip(jnp.searchsorted(forward * grid, forward * ts, side="left") - 1, 0, edges.shape[0] - 1)
    w = method.weights((ts - grid[at]) / (grid[at + 1] - grid[at])).astype(y0.dtype)
    steps = jnp.asarray(edges.shape[0])
    return jnp.einsum("sw,swd->sd", w, terms[at]), steps * method.fresh + 1, steps, taken
