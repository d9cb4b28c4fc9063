"""Weak orders of the stochastic methods, without sampling: of a linear SDE the moments of a step follow from the step.

A step takes what is carried, v, to A v + b, where A and b are polynomials of the noise, whose expectations a Gauss rule
gives exactly. With M = [[A, b], [0, 1]], E[M (x) M]^n gives first and second moments after n steps.
"""

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree

import ctmodels as ct
from ctmodels._integrate._methods import METHODS
from ctmodels._integrate._stochastic import Terms, move_by
from ctmodels.noise import Increment

pytestmark = pytest.mark.only("float64")
MU, SIGMA, THETA, T = 0.9, 0.6, 1.2, 1.0
Y0 = jnp.array([0.8])


def gauss():
    """Nodes of an increment and its area, and their weights: exact of polynomials up to degree 15."""
    x, weight = np.polynomial.hermite_e.hermegauss(8)
    w, h = np.meshgrid(x, x / 12**0.5)
    return Increment(jnp.asarray(w.ravel()), jnp.asarray(h.ravel())), np.outer(weight, weight).ravel() / (2 * np.pi)


def geometric(stratonovich):
    """dy = MU y dt + SIGMA y dW in the sense of Ito, written in either."""
    drift = MU - (SIGMA**2 / 2 if stratonovich else 0)
    exact = [np.exp(MU * T) * 0.8, np.exp((2 * MU + SIGMA**2) * T) * 0.8**2]
    return Terms(lambda t, y: drift * y, lambda t, y: SIGMA * y, "diagonal"), exact


def relaxing():
    """Ornstein and Uhlenbeck's: dy = -THETA y dt + SIGMA dW."""
    mean = 0.8 * np.exp(-THETA * T)
    exact = [mean, mean**2 + SIGMA**2 * (1 - np.exp(-2 * THETA * T)) / (2 * THETA)]
    return Terms(lambda t, y: -THETA * y, lambda t, y: jnp.full((1, 1), SIGMA), "additive"), exact


CASES = {  # method, problem, weak order
    "Euler": (diffrax.Euler(), geometric(False), 1),
    "Milstein": (diffrax.ItoMilstein(), geometric(False), 1),
    "SRI": (ct.SRI(), geometric(False), 2),
    "Euler-Heun": (diffrax.EulerHeun(), geometric(True), 1),
    "Heun": (diffrax.Heun(), geometric(True), 1),
    "Milstein, Stratonovich": (diffrax.StratonovichMilstein(), geometric(True), 1),
    "reversible Heun": (diffrax.ReversibleHeun(), geometric(True), 1),
    "Euler, additive": (diffrax.Euler(), relaxing(), 1),
    "Heun, additive": (diffrax.Heun(), relaxing(), 2),
    "SRA1": (diffrax.SRA1(), relaxing(), 2),
}


def moments(method, terms, n):
    """Of the end after n steps: first and second."""
    method, h, t = METHODS[type(method)], jnp.asarray(T / n), jnp.zeros(())
    begun, unravel = ravel_pytree((Y0, method.begin(terms, t, Y0)))

    def one(v, increment):
        y, kept = unravel(v)
        moved = method.step(terms, t, y, kept, move_by(increment, h, y.dtype))
        return ravel_pytree((moved.y, moved.kept))[0]

    def square(increment):
        b = one(jnp.zeros_like(begun), increment)
        a = jax.jacfwd(one)(begun, increment)
        m = jnp.block([[a, b[:, None]], [jnp.zeros((1, b.size)), jnp.ones((1, 1))]])
        return jnp.kron(m, m)

    nodes, weights = gauss()
    along = jax.vmap(square)(Increment(nodes.w[:, None], nodes.h[:, None]))
    begun = np.append(begun, 1.0)
    end = np.linalg.matrix_power(np.einsum("n,nij->ij", weights, along), n) @ np.kron(begun, begun)
    return np.array([end[begun.size - 1], end[0]])  # y times one, y times y


@pytest.mark.parametrize("name", CASES)
def test_weak_orders(name):
    method, (terms, exact), order = CASES[name]
    error = lambda n: np.abs(moments(method, terms, n) - exact)
    found = np.log2(error(32) / error(128)) / 2
    assert np.abs(found - order).max() < 0.15
