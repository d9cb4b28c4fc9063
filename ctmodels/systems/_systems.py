"""Known systems, as fields whose parameters are leaves: they can be trained, vmapped over, or left alone."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float


class Lorenz63(eqx.Module):
    """x' = sigma (y - x), y' = x (rho - z) - y, z' = x y - beta z (Lorenz 1963).

    At the default parameters the Lyapunov exponents are 0.906, 0, -14.57 (Sprott 2003).
    """

    sigma: float | Float[Array, ""] = 10.0
    rho: float | Float[Array, ""] = 28.0
    beta: float | Float[Array, ""] = 8 / 3

    def __call__(self, t, y, args):
        x, y, z = y
        return jnp.stack([self.sigma * (y - x), x * (self.rho - z) - y, x * y - self.beta * z])


class Roessler(eqx.Module):
    """x' = -y - z, y' = x + a y, z' = b + z (x - c) (Roessler 1976)."""

    a: float | Float[Array, ""] = 0.2
    b: float | Float[Array, ""] = 0.2
    c: float | Float[Array, ""] = 5.7

    def __call__(self, t, y, args):
        x, y, z = y
        return jnp.stack([-y - z, x + self.a * y, self.b + z * (x - self.c)])


class VanDerPol(eqx.Module):
    """x' = v, v' = mu (1 - x^2) v - x (van der Pol 1926)."""

    mu: float | Float[Array, ""] = 1.0

    def __call__(self, t, y, args):
        x, v = y
        return jnp.stack([v, self.mu * (1 - x**2) * v - x])


class LotkaVolterra(eqx.Module):
    """prey' = prey (growth - predation predators), predators' = predators (gain prey - death)
    (Lotka 1925, Volterra 1926).

    The parameters are positive: their logarithms are what is stored and trained, `(4,)`.
    """

    log_parameters: Float[Array, "*ensemble 4"]

    def __init__(self, growth: float, predation: float, gain: float, death: float):
        self.log_parameters = jnp.log(jnp.array([growth, predation, gain, death]))

    def __call__(self, t, y, args):
        growth, predation, gain, death = jnp.exp(self.log_parameters)
        prey, predators = y
        return jnp.stack([prey * (growth - predation * predators), predators * (gain * prey - death)])
