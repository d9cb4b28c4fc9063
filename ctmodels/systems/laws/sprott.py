"""Algebraically simple chaotic flows: the nineteen cases of Sprott (Phys. Rev. E 50, 1994), and later ones."""

import functools

import jax.numpy as jnp

from ctmodels.systems._law import law


@law
def SprottA(x, y, z):
    """Sprott 1994, case A: conservative; the oscillator of Nose and Hoover."""
    return y, -x + y * z, 1 - y**2


@law
def SprottB(x, y, z):
    """Sprott 1994, case B."""
    return y * z, x - y, 1 - x * y


@law
def SprottC(x, y, z):
    """Sprott 1994, case C."""
    return y * z, x - y, 1 - x**2


@law
def SprottD(x, y, z):
    """Sprott 1994, case D."""
    return -y, x + z, x * z + 3 * y**2


@law
def SprottE(x, y, z):
    """Sprott 1994, case E."""
    return y * z, x**2 - y, 1 - 4 * x


@law
def SprottF(x, y, z, *, a=0.5):
    """Sprott 1994, case F."""
    return y + z, -x + a * y, x**2 - z


@law
def SprottG(x, y, z, *, a=0.4):
    """Sprott 1994, case G."""
    return a * x + z, x * z - y, -x + y


@law
def SprottH(x, y, z, *, a=0.5):
    """Sprott 1994, case H."""
    return -y + z**2, x + a * y, x - z


@law
def SprottI(x, y, z, *, a=0.2):
    """Sprott 1994, case I."""
    return -a * y, x + z, x + y**2 - z


@law
def SprottJ(x, y, z):
    """Sprott 1994, case J."""
    return 2 * z, -2 * y + z, -x + y + y**2


@law
def SprottK(x, y, z, *, a=0.3):
    """Sprott 1994, case K."""
    return x * y - z, x - y, x + a * z


@law
def SprottL(x, y, z, *, a=0.9, b=3.9):
    """Sprott 1994, case L."""
    return y + b * z, a * x**2 - y, 1 - x


@law
def SprottM(x, y, z, *, a=1.7):
    """Sprott 1994, case M."""
    return -z, -(x**2) - y, a * (1 + x) + y


@law
def SprottN(x, y, z):
    """Sprott 1994, case N."""
    return -2 * y, x + z**2, 1 + y - 2 * z


@law
def SprottO(x, y, z, *, a=2.7):
    """Sprott 1994, case O."""
    return y, x - z, x + x * z + a * y


@law
def SprottP(x, y, z, *, a=2.7):
    """Sprott 1994, case P."""
    return a * y + z, -x + y**2, x + y


@law
def SprottQ(x, y, z, *, a=3.1, b=0.5):
    """Sprott 1994, case Q."""
    return -z, x - y, a * x + y**2 + b * z


@law
def SprottR(x, y, z, *, a=0.9, b=0.4):
    """Sprott 1994, case R."""
    return a - y, b + z, x * y - z


@law
def SprottS(x, y, z):
    """Sprott 1994, case S."""
    return -x - 4 * y, x + z**2, 1 + x


@law
def SprottJerk(x, y, z, *, mu=2.017):
    """x''' = -mu x'' + x'^2 - x: the simplest dissipative chaotic flow (Sprott, Phys. Lett. A, 1997)."""
    return y, z, -x + y**2 - mu * z


@law
def SprottMore(x, y, z):
    """A switched damping (Sprott 2020)."""
    return y, -x - jnp.sign(z) * y, y**2 - jnp.exp(-(x**2))


@law
def SprottTorus(x, y, z):
    """A torus beside a strange attractor (Sprott, Phys. Lett. A, 2014)."""
    return y + 2 * x * y + x * z, 1 - 2 * x**2 + y * z, x - x**2 - y**2


@law
def NoseHoover(x, y, z, *, a=1.5):
    """An oscillator in a heat bath, conservative (Nose 1984, Hoover 1985)."""
    return y, -x + y * z, a - y**2


@law
def Halvorsen(x, y, z, *, a=1.4, b=4.0):
    """Cyclically symmetric (Sprott 2010)."""
    return -a * x - b * (y + z) - y**2, -a * y - b * (z + x) - z**2, -a * z - b * (x + y) - x**2


@law
def Thomas(x, y, z, *, a=1.85, b=10.0):
    """Cyclically symmetric, by sines (Thomas 1999)."""
    return b * jnp.sin(y) - a * x, b * jnp.sin(z) - a * y, b * jnp.sin(x) - a * z


ThomasLabyrinth = functools.partial(Thomas, a=0.5, b=10.0)
