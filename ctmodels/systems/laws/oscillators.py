"""Oscillators and circuits: jerks, spirals, and what is driven by a clock, z' = omega."""

import functools

import jax.numpy as jnp

from ctmodels.systems._law import law
from ctmodels.systems._systems import Roessler

Rossler = Roessler


@law
def Arneodo(x, y, z, *, a=-5.5, b=4.5, c=1.0, d=-1.0):
    """A jerk with a cubic (Arneodo, Coullet, Tresser 1980)."""
    return y, z, -a * x - b * y - c * z + d * x**3


Coullet = functools.partial(Arneodo, a=-0.8, b=1.1, c=0.45, d=-1.0)


@law
def GenesioTesi(x, y, z, *, a=0.44, b=1.1, c=1.0):
    """A jerk with a square (Genesio and Tesi 1992)."""
    return y, z, -c * x - b * y - a * z + x**2


@law
def MooreSpiegel(x, y, z, *, a=10.0, b=4.0, eps=9.0):
    """A thermally excited oscillator (Moore and Spiegel 1966)."""
    return y, a * z, -z + eps * y - y * x**2 - b * x


@law
def JerkCircuit(x, y, z, *, eps=1e-9, y0=0.026):
    """A jerk circuit with one diode (Sprott 2011)."""
    return y, z, -z - x - eps * (jnp.exp(y / y0) - 1)


@law
def Aizawa(x, y, z, *, a=0.95, b=0.7, c=0.6, d=3.5, e=0.25, f=0.1):
    """Aizawa and Uezu 1982, Langford 1984."""
    planar = x**2 + y**2
    return (z - b) * x - d * y, d * x + (z - b) * y, c + a * z - z**3 / 3 - planar * (1 + e * z) + f * z * x**3


@law
def AnishchenkoAstakhov(x, y, z, *, mu=1.2, eta=0.5):
    """A generator with inertial nonlinearity (Anishchenko et al. 2007)."""
    return mu * x + y - x * z, -x, eta * (jnp.where(x > 0, x**2, 0) - z)


@law
def GuckenheimerHolmes(x, y, z, *, a=0.4, b=20.25, c=3.0, d=1.6, e=1.7, f=0.44):
    """Guckenheimer and Holmes 1983."""
    planar = x**2 + y**2
    return a * x - b * y + c * z * x + d * z * planar, a * y + b * x + c * z * y, e - z**2 - f * planar - a * z**3


@law
def Bouali2(x, y, z, *, a=3.0, b=2.2, bb=0.0, c=0.0, g=1.0, m=-0.0026667, y0=1.0):
    """Van der Pol's extended to an economy (Bouali 1999)."""
    return a * x * (y0 - y) - b * z, -g * y * (1 - x**2), -1.5 * m * x + m * bb * x * z - c * z


Bouali = functools.partial(Bouali2, a=1.0, b=-0.3, bb=1.0, c=0.05, g=1.0, m=1.0, y0=4.0)


@law
def Torus(x, y, z, *, t, a=0.5, n=15.3, r=1.0):
    """Around a torus, by the time alone (Strogatz 1994): quasi-periodic; where it is does not matter."""
    out, out_dot = r + a * jnp.cos(n * t), -a * n * jnp.sin(n * t)
    sin, cos = jnp.sin(t), jnp.cos(t)
    return out_dot * cos - out * sin, out_dot * sin + out * cos, a * n * jnp.cos(n * t)


@law
def Chua(x, y, z, *, alpha=15.6, beta=28.0, m0=-1.142857, m1=-0.71429):
    """Chua's circuit: a resistor of three slopes (Chua 1969)."""
    current = m1 * x + (m0 - m1) / 2 * (jnp.abs(x + 1) - jnp.abs(x - 1))
    return alpha * (y - x - current), x - y + z, -beta * y


@law
def MultiChua(
    x, y, z, *, a=9.0, b=14.286, c=(0.0, 1.0, 2.15, 3.6, 8.2, 13.0),
    m=(-0.14285714, 0.28571429, -0.57142857, 0.28571429, -0.57142857, 0.28571429),
):  # fmt: skip
    """Chua's circuit with many scrolls (Yalcin, Suykens, Vandewalle)."""
    bends = jnp.abs(x + c[1:]) - jnp.abs(x - c[1:])
    current = m[-1] * x + jnp.sum((m[:-1] - m[1:]) * bends) / 2
    return a * (y - current), x - y + z, -b * y


@law
def CellularNeuralNetwork(x, y, z, *, a=4.4, b=3.21, c=1.1, d=1.24):
    """Three cells (Arena et al. 1998)."""
    f, g, h = (jnp.clip(v, -1, 1) for v in (x, y, z))
    return -x + d * f - b * (g + h), -y - b * f + c * g - a * h, -z - b * f + a * g + h


@law
def Colpitts(x, y, z, *, a=30.0, b=0.8, c=20.0, d=0.08, e=10.0):
    """The Colpitts oscillator, its transistor by two slopes (Kennedy 1994)."""
    return y - a * jnp.maximum(e - 1 - z, 0), c - x - b * y - z, y - d * z


@law(observe=lambda x, y, z, **_: (x, y, jnp.cos(z)))
def Duffing(x, y, z, *, alpha=1.0, beta=-1.0, delta=0.1, gamma=0.35, omega=1.4):
    """A driven spring that stiffens (Duffing 1918)."""
    return y, -delta * y - beta * x - alpha * x**3 + gamma * jnp.cos(z), omega


@law(observe=lambda x, y, z, **_: (x, y, jnp.sin(z)))
def ForcedVanDerPol(x, y, z, *, mu=8.53, a=1.2, w=0.63):
    """van der Pol 1920."""
    return y, mu * (1 - x**2) * y - x + a * jnp.sin(z), w


@law(observe=lambda x, v, th, **_: (x, v, jnp.cos(th)))
def StickSlipOscillator(
    x, v, th, *, a=1.0, alpha=0.3, b=1.0, beta=0.3, eps=0.05, gamma=1.0, t0=0.3, vs=0.4, w=2.0
):  # fmt: skip
    """Dry friction on a moving belt, driven (Awrejcewicz and Holicke 1999)."""
    friction = t0 * jnp.sign(v - vs) - alpha * v + beta * (v - vs) ** 3
    return v, eps * (gamma * jnp.cos(th) - friction) + a * x - b * x**3, w


@law(observe=lambda x, y, th, **_: (x, y, jnp.cos(th)))
def FluidTrampoline(x, y, th, *, gamma=1.82, psi=0.01019, w=1.21):
    """A droplet that bounces on a soap film (Gilet and Bush 2009)."""
    film = jnp.where(x < 0, x + psi * y * jnp.abs(y), 0)
    return y, -1 - film + gamma * jnp.cos(th), w
