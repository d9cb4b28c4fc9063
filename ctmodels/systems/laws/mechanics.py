"""Conservative mechanics: pendulums, galaxies, nuclei."""

import jax.numpy as jnp

from ctmodels.systems._law import law


@law(observe=lambda th1, th2, p1, p2, **_: (jnp.sin(th1), jnp.sin(th2), p1, p2))
def DoublePendulum(th1, th2, p1, p2, *, g=9.81, l1=1.0, l2=1.0, m1=1.0, m2=1.0):
    """Two angles and their momenta (Marion 2013), as dysts writes it."""
    sin, cos = jnp.sin(th1 - th2), jnp.cos(th1 - th2)
    inertia = l1 * l2 * (m1 + m2 * sin**2)
    th1_dot = (l2 * p1 - l1 * p2 * cos) / (l1 * inertia)
    th2_dot = ((m1 + m2) * l1 * p2 - m2 * l2 * p1 * cos) / (m2 * l2 * inertia)
    h1 = p1 * p2 * sin / inertia
    h2 = m2 * l2 * p1**2 / (2 * l1 * inertia**2) + m2 * l1 * l2 * p2 * th2_dot / (2 * inertia)
    turn = h2 * jnp.sin(2 * (th1 - th2)) - h1
    return th1_dot, th2_dot, -(m1 + m2) * g * l1 * jnp.sin(th1) + turn, -m2 * g * l2 * jnp.sin(th2) - turn


@law(observe=lambda r, th, pr, pth, **_: (r, jnp.sin(th), pr, pth))
def SwingingAtwood(r, th, pr, pth, *, m1=1.0, m2=4.5, g=9.82):
    """Atwood's machine, one of whose weights swings (Tufillaro, Abbott, Griffiths 1984)."""
    pull = pth**2 / (m1 * r**3) - m2 * g + m1 * g * jnp.cos(th)
    return pr / (m1 + m2), pth / (m1 * r**2), pull, -m1 * g * r * jnp.sin(th)


@law
def HenonHeiles(x, y, px, py, *, lam=1.0):
    """A star in a galaxy (Henon and Heiles 1964)."""
    return px, py, -x - 2 * lam * x * y, -y - lam * (x**2 - y**2)


@law
def NuclearQuadrupole(q1, q2, p1, p2, *, a=1.0, b=0.55, d=0.4):
    """Vibrations of a nucleus (Baran and Raduta 1998)."""
    root, square = jnp.sqrt(2.0), q1**2 + q2**2
    pull = -a * q1 + 3 / root * b * (q1**2 - q2**2) - d * q1 * square
    return a * p1, a * p2, pull, -a * q2 - 3 * root * b * q1 * q2 - d * q2 * square


@law(observe=lambda p1, p2, x1, x2, z, **_: (p1, p2, jnp.sin(x1), jnp.sin(x2), jnp.cos(z)))
def ArnoldWeb(p1, p2, x1, x2, z, *, mu=0.01, w=1.0):
    """Resonances that meet (Froeschle, Guzzo, Lega 2000)."""
    depth = mu / (4 + jnp.cos(x1) + jnp.cos(x2) + jnp.cos(z)) ** 2
    return -depth * jnp.sin(x1), -depth * jnp.sin(x2), p1, p2, w
