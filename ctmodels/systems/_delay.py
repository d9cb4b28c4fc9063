"""Equations with one delay, by Runge-Kutta with a history of fixed steps.

The past is the cubic through values and slopes at the steps (Hermite's), of the order of the method where the solution
is smooth; at multiples of the delay after the start it has kinks, which grow fainter by one derivative each time.
"""

import math
from collections.abc import Callable

import jax
import jax.core
import jax.numpy as jnp
from jaxtyping import Array

from ctmodels._core._validation import DataError
from ctmodels._core._words import argument


def solve_delayed(field: Callable, y0: Array, dt: float, steps: int, transient: int, substeps: int) -> Array:
    """`(steps, state)`, from the rest at y0. The delay is a number: it says how long the history is."""
    tau, h = _delay_of(field), dt / substeps
    if h > tau:
        remedy = f"give at least substeps={math.ceil(dt / tau)}"
        raise DataError(f"{argument('substeps', substeps)}: steps of {h:g} are longer than the delay {tau:g}; {remedy}")
    kept = math.ceil(tau / h) + 2
    start = (jnp.asarray(0), y0, jnp.tile(y0, (kept, 1)), jnp.zeros((kept, *y0.shape), y0.dtype))
    step = _stepper(field, y0, tau / h, jnp.asarray(h, y0.dtype), kept)

    def save(carry, _):
        carry, _ = jax.lax.scan(lambda carry, _: (step(carry), None), carry, length=substeps)
        return carry, carry[1]

    def run(start):
        start, _ = jax.lax.scan(save, start, length=transient)
        _, ys = jax.lax.scan(save, start, length=steps - 1)
        return jnp.concatenate([start[1][None], ys])

    return jax.jit(run)(start)


def _delay_of(field: Callable) -> float:
    tau = field.tau  # pyright: ignore
    if isinstance(tau, jax.core.Tracer):
        raise DataError("`tau` says how long the history is, so it cannot be differentiated or vmapped: give a number")
    return float(tau)


def _stepper(field: Callable, y0: Array, lag: float, h: Array, kept: int) -> Callable:
    """One step of RK4; in the ring of values and slopes, step i is entry i modulo its length. `lag`: in steps."""

    def past(values, slopes, i, node):
        shift = math.floor(node - lag)  # the step before the time asked for, from step i
        s = jnp.asarray(node - lag - shift, h.dtype)
        here, there = (i + shift) % kept, (i + shift + 1) % kept
        lower, upper = values[here], values[there]
        bend = (1 - 2 * s) * (upper - lower) + h * ((s - 1) * slopes[here] + s * slopes[there])
        # At the start the slope jumps, so the rest before it is not the cubic.
        return jnp.where(i + shift < 0, y0, lower + s * (upper - lower) + s * (s - 1) * bend)

    def step(carry):
        i, y, values, slopes = carry
        t = h * i.astype(h.dtype)
        k1 = field(t, y, past(values, slopes, i, 0))
        values, slopes = values.at[i % kept].set(y), slopes.at[i % kept].set(k1)
        k2 = field(t + h / 2, y + h / 2 * k1, past(values, slopes, i, 0.5))
        k3 = field(t + h / 2, y + h / 2 * k2, past(values, slopes, i, 0.5))
        k4 = field(t + h, y + h * k3, past(values, slopes, i, 1))
        return i + 1, y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4), values, slopes

    return step
