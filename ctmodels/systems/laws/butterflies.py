"""Quadratic flows of three variables of the kind of Lorenz's, with two wings or more."""

import functools

import jax.numpy as jnp

from ctmodels.systems._law import law
from ctmodels.systems._systems import Lorenz63

Lorenz = functools.partial(Lorenz63, beta=2.667)


@law
def LorenzBounded(x, y, z, *, sigma=10.0, rho=28.0, beta=2.667, r=64.0):
    """Lorenz's, slowed down to rest on a sphere of radius r (Sprott and Xiong 2015)."""
    rate = 1 - (x**2 + y**2 + z**2) / r**2
    return rate * sigma * (y - x), rate * (rho * x - x * z - y), rate * (x * y - beta * z)


@law
def LorenzCoupled(x, y, z, u, v, w, *, sigma=10.0, beta=2.667, rho1=35.0, rho2=1.15, eps=2.85):
    """A Lorenz system that drives another one."""
    driver = sigma * (y - x), x * (rho1 - z) - y, x * y - beta * z
    return *driver, sigma * (v - u) + eps * (x - u), u * (rho2 - w) - v, u * v - beta * w


@law
def RayleighBenard(x, y, z, *, a=30.0, b=5.0, r=18.0):
    """A convecting roll (Yanagita and Kaneko 1995)."""
    return a * (y - x), r * y - x * z, x * y - b * z


@law
def Chen(x, y, z, *, a=35.0, b=3.0, c=28.0):
    """Chen 1997."""
    return a * (y - x), (c - a) * x - x * z + c * y, x * y - b * z


@law
def LuChen(x, y, z, *, a=36.0, b=3.0, c=18.0):
    """Between Lorenz's and Chen's (Lu and Chen 2002)."""
    return a * (y - x), c * y - x * z, x * y - b * z


@law
def LuChenCheng(x, y, z, *, a=-10.0, b=-4.0, c=18.1):
    """Four scrolls (Lu, Chen, Cheng 2004)."""
    return -(a * b) / (a + b) * x - y * z + c, a * y + x * z, b * z + x * y


@law
def ChenLee(x, y, z, *, a=5.0, b=-10.0, c=-0.38):
    """A gyro under feedback (Chen and Lee 2004)."""
    return a * x - y * z, b * y + x * z, c * z + x * y / 3


@law
def QiChen(x, y, z, *, a=38.0, b=2.666, c=80.0):
    """Qi et al. 2008."""
    return a * (y - x) + y * z, c * x + y - x * z, x * y - b * z


@law
def ZhouChen(x, y, z, *, a=2.97, b=0.15, c=-3.0, d=1.0, e=-8.78):
    """Three layers (Zhou and Chen 2004)."""
    return a * x + b * y + y * z, c * y - x * z + d * y * z, e * z - x * y


@law
def BurkeShaw(x, y, z, *, n=10.0, e=13.0):
    """Shaw 1981."""
    return -n * (x + y), y - n * x * z, n * x * y + e


@law
def WangSun(x, y, z, *, a=0.2, b=-0.01, d=-0.4, e=-1.0, f=-1.0, q=1.0):
    """Four wings (Wang et al. 2009)."""
    return a * x + q * y * z, b * x + d * y - x * z, e * z + f * x * y


@law
def YuWang(x, y, z, *, a=10.0, b=40.0, c=2.0, d=2.5):
    """With an exponential (Yu and Wang 2012)."""
    return a * (y - x), b * x - c * x * z, jnp.exp(x * y) - d * z


@law
def YuWang2(x, y, z, *, a=10.0, b=30.0, c=2.0, d=2.5):
    """With a hyperbolic cosine (Yu and Wang 2012)."""
    return a * (y - x), b * x - c * x * z, jnp.cosh(x * y) - d * z


@law
def SanUmSrisuchinwong(x, y, z, *, a=2.0):
    """San-Um and Srisuchinwong 2012."""
    return y - x, -z * jnp.tanh(x), -a + x * y + jnp.abs(y)


@law
def DequanLi(x, y, z, *, a=40.0, c=1.833, d=0.16, eps=0.65, f=20.0, k=55.0):
    """Three scrolls (Li 2008)."""
    return a * (y - x) + d * x * z, k * x + f * y - x * z, c * z + x * y - eps * x**2


PanXuZhou = functools.partial(DequanLi, a=10.0, c=-2.6667, d=0.0, eps=0.0, f=0.0, k=16.0)  # Zhou et al. 2008
Tsucs2 = functools.partial(DequanLi, a=40.0, c=0.833, d=0.5, eps=0.65, f=20.0, k=0.0)  # Pan, Zhou, Li 2013


@law
def Sakarya(x, y, z, *, a=-1.0, b=1.0, c=1.0, h=1.0, p=1.0, q=0.4, r=0.3, s=1.0):
    """Four wings (Li et al. 2015)."""
    return a * x + h * y + s * y * z, -b * y - p * x + q * x * z, c * z - r * x * y


LiuChen = functools.partial(Sakarya, a=0.4, b=12.0, c=-5.0, h=0.0, p=0.0, q=-1.0, r=1.0, s=1.0)  # Liu and Chen 2004


@law
def Dadras(x, y, z, *, c=2.0, e=9.0, o=2.7, p=3.0, r=1.7):
    """Two, three and four scrolls (Dadras and Momeni 2009)."""
    return y - p * x + o * y * z, r * y - x * z + z, c * x * y - e * z


@law
def PehlivanWei(x, y, z):
    """Pehlivan and Wei 2012."""
    return y - y * z, y + y * z - 2 * x, 2 - x * y - y**2


@law
def NewtonLiepnik(x, y, z, *, a=0.4, b=0.175):
    """A rigid body under linear feedback (Leipnik and Newton 1981)."""
    return -a * x + y + 10 * y * z, -x - 0.4 * y + 5 * x * z, b * z - 5 * x * y


@law
def ShimizuMorioka(x, y, z, *, a=0.85, b=0.5):
    """Shimizu and Morioka 1980."""
    return y, x - a * y - x * z, -b * z + x**2


@law
def Rucklidge(x, y, z, *, a=2.0, b=6.7):
    """Double convection (Rucklidge 1992)."""
    return -a * x + b * y - y * z, x, -z + y**2


@law
def RabinovichFabrikant(x, y, z, *, a=1.1, g=0.87):
    """Waves in a medium out of equilibrium (Rabinovich and Fabrikant 1979)."""
    return y * (z - 1 + x**2) + g * x, x * (3 * z + 1 - x**2) + g * y, -2 * z * (a + x * y)


@law
def RikitakeDynamo(x, y, z, *, a=1.0, mu=1.0):
    """Two coupled disk dynamos (Rikitake 1958)."""
    return -mu * x + y * z, -mu * y + x * (z - a), 1 - x * y


@law
def Finance(x, y, z, *, a=0.001, b=0.2, c=1.1):
    """Interest, investment and prices (Cai and Huang 2007)."""
    return (1 / b - a + y) * x + z, -b * y - x**2, -x - c * z


@law
def Laser(x, y, z, *, a=10.0, b=1.0, c=5.0, d=-1.0, h=-5.0, k=-6.0):
    """Abooee, Yaghini-Bonabi, Jahed-Motlagh 2013."""
    return a * (y - x) + b * y * z**2, c * x + d * x * z**2, h * z + k * x**2
