"""Populations: predators, prey, and what they eat."""

import math

import jax.numpy as jnp

from ctmodels.systems._law import law


@law
def HastingsPowell(x, y, z, *, a1=5.0, a2=0.1, b1=3.0, b2=2.0, d1=0.4, d2=0.01):
    """Three in a chain (Hastings and Powell 1991)."""
    first, second = a1 * x * y / (1 + b1 * x), a2 * y * z / (1 + b2 * y)
    return x * (1 - x) - first, first - second - d1 * y, second - d2 * z


@law
def Blasius(x, y, z, *, a=1.0, alpha1=0.2, alpha2=1.0, b=1.0, c=10.0, k1=0.05, k2=0.0, zs=0.006):
    """Populations that keep time and not size (Blasius, Huppert, Stone 1999)."""
    first, second = alpha1 * x * y / (1 + k1 * x), alpha2 * y * z / (1 + k2 * y)
    return a * x - first, first - b * y - second, second - c * (z - zs)


@law
def SaltonSea(x, y, z, *, a=15.0, d=8.3, k=400.0, lam=0.06, m=15.5, mu=3.4, r=22.0, th=10.0):
    """Fish, sick fish and birds (Upadhyay et al. 2007)."""
    infected, eaten = lam * x * y, y * z / (y + a)
    return r * x * (1 - (x + y) / k) - infected, infected - m * eaten - mu * y, th * eaten - d * z


@law(observe=lambda n, p, z, **_: (n, p, jnp.sin(z)))
def TurchinHanski(n, p, z, *, a=8.0, d=0.04, e=0.5, g=0.1, h=0.8, lamb=1.0, r=8.12, s=1.25):
    """Voles and weasels through the seasons (Turchin and Hanski 1997)."""
    season = 1 - e * jnp.sin(z)
    dn = r * season * n - r * n**2 - g * n**2 / (n**2 + h**2) - a * n * p / (n + d)
    return dn, s * season * p - s * p**2 / n, 2 * math.pi * lamb


@law
def CoevolvingPredatorPrey(
    x, y, alpha, *, a1=2.5, a2=0.05, a3=0.4, b1=6.0, b2=1.333, d1=0.16, d2=0.004, delta=1.0, k1=6.0, k2=9.0, k4=9.0,
    vv=0.33333,
):  # fmt: skip
    """Predator, prey, and a trait of the prey (Gilpin and Feldman 2017)."""
    birth = a1 * alpha * (1 - k1 * x * alpha * (delta - 1)) / (1 + b1 * alpha)
    death = d1 * (1 - k2 * alpha**2 * (delta**2 - 1) + k4 * alpha**4 * (delta**4 - 1))
    eaten = 1 / (1 + b2 * x)
    slope = -a1 * k1 * x * alpha * delta / (1 + b1 * alpha)
    slope = slope + d1 * (2 * k2 * alpha * delta**2 - 4 * k4 * alpha**3 * delta**4)
    return x * (birth - death - a3 * y * eaten), (a2 * x * eaten - d2) * y, vv * slope


@law
def MacArthur(
    y, *, d=0.25, m=0.25, r=1.0, s=(6.0, 10.0, 14.0, 4.0, 9.0),
    c=((0.04, 0.04, 0.07, 0.04, 0.04), (0.08, 0.08, 0.08, 0.1, 0.08), (0.1, 0.1, 0.1, 0.1, 0.14),
       (0.05, 0.03, 0.03, 0.03, 0.03), (0.07, 0.09, 0.07, 0.07, 0.07)),
    k=((0.39, 0.34, 0.3, 0.24, 0.23), (0.22, 0.39, 0.34, 0.3, 0.27), (0.27, 0.22, 0.39, 0.34, 0.3),
       (0.3, 0.24, 0.22, 0.39, 0.34), (0.34, 0.3, 0.22, 0.2, 0.39)),
):  # fmt: skip
    """Five species on five resources: each grows by its scarcest (MacArthur 1969, Huisman and Weissing 1999). The state
    is the species and then the resources; c and k have a row for each resource."""
    species, resources = y[:5], y[5:]
    growth = jnp.min(r * resources[:, None] / (k + resources[:, None]), axis=0)
    return jnp.concatenate([species * (growth - m), d * (s - resources) - c @ (growth * species)])
