"""Equations with a delay, x'(t) = f(x(t), x(t - tau)): `args` of the field is the delayed state."""

import functools

import jax.numpy as jnp

from ctmodels.systems._law import law


@law(delayed=True)
def MackeyGlass(x, past, *, beta=0.2, gamma=0.1, n=10.0, tau=16.0):
    """The regulation of blood cells (Glass and Mackey 1979)."""
    return (beta * past / (1 + past**n) - gamma * x,)


@law(delayed=True)
def IkedaDelay(x, past, *, c=1.0, mu=-20.0, tau=2.0, x0=0.0):
    """Light in a ring (Ikeda and Matsumoto 1987)."""
    return (mu * jnp.sin(past - x0) - c * x,)


SprottDelay = functools.partial(IkedaDelay, c=0.0, mu=1.0, tau=5.1, x0=0.0)  # x' = sin(x(t - tau)) (Sprott 2007)


@law(delayed=True)
def VossDelay(x, past, *, alpha=3.24, tau=13.28):
    """A circuit that is foretold (Voss 2002)."""
    return (-alpha * x - 10.44 * past**3 - 13.95 * past**2 - 3.63 * past + 0.85,)


@law(delayed=True)
def ScrollDelay(x, past, *, alpha=0.2, beta=0.2, tau=10.0):
    """Two scrolls of a circuit (Driver 1977)."""
    return (-alpha * past + beta * jnp.tanh(10 * past),)


@law(delayed=True)
def PiecewiseCircuit(x, past, *, alpha=1.0, beta=1.0, c=2.24, tau=4.9):
    """Two scrolls of a circuit (Tamasevicius, Mykolaitis, Bumeliene 2006)."""
    return (-alpha * past + beta * (3 * past / c - (past / c) ** 3),)
