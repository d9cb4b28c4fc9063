"""Fluids: what is stirred in them, and the weather."""

import functools
import math

import jax.numpy as jnp

from ctmodels.systems._law import law


def blink(t, tau):
    """From 0 to 1 and back, smoothly, once in a time tau."""
    return 0.5 + 0.5 * jnp.tanh(20 * tau * jnp.sin(2 * math.pi * t / tau))


def polar(r, th, t, *, tau, **_):
    return r * jnp.cos(th), r * jnp.sin(th), jnp.sin(2 * math.pi * t / tau)


@law(observe=lambda x, y, z, **_: (jnp.sin(x), jnp.cos(y), jnp.sin(z)))
def ArnoldBeltramiChildress(x, y, z, *, a=1.73205, b=1.41421, c=1.0):
    """A steady flow whose particles are chaotic (Arnold 1966)."""
    return a * jnp.sin(z) + c * jnp.cos(y), b * jnp.sin(x) + a * jnp.cos(z), c * jnp.sin(y) + b * jnp.cos(x)


@law(observe=lambda x, y, z, **_: (x, y, jnp.sin(z)))
def DoubleGyre(x, y, z, *, alpha=0.1, eps=0.1, omega=0.62832):
    """Two gyres that swing (Shadden, Lekien, Marsden 2005)."""
    a = eps * jnp.sin(z)
    f, slope = a * x**2 + (1 - 2 * a) * x, 2 * a * x + 1 - 2 * a
    dx = -alpha * math.pi * jnp.sin(math.pi * f) * jnp.cos(math.pi * y)
    return dx, alpha * math.pi * jnp.cos(math.pi * f) * jnp.sin(math.pi * y) * slope, omega


@law(observe=lambda x, y, z, *, k, **_: (jnp.cos(k * x), y, jnp.sin(z)))
def OscillatingFlow(x, y, z, *, b=0.48, k=1.0, omega=0.49, u=0.72):
    """Convection rolls that sway (Solomon and Gollub 1988)."""
    f = x + b * jnp.sin(z)
    return u * jnp.cos(k * y) * jnp.sin(k * f), -u * jnp.sin(k * y) * jnp.cos(k * f), omega


def _jet_seen(y, x, z, *, k, sigma, omega, **_):
    return y, jnp.sin(jnp.min(k) * x), jnp.sin(omega * z * jnp.min(k) * jnp.min(sigma))


@law(observe=_jet_seen)
def BickleyJet(
    y, x, z, *, ell=1.77, eps=(0.0075, 0.15, 0.3), k=(0.313922, 0.627845, 0.941767), omega=1.0,
    sigma=(9.05854e-6, 1.28453e-5, 2.88863e-5), u=6.266e-5,
):  # fmt: skip
    """A jet with three waves; y is across it, x along it (Hadjighasem et al. 2016)."""
    sech2, phase = 1 / jnp.cosh(y / ell) ** 2, k * (x - z * sigma)
    along = u * sech2 * (-1 - 2 * jnp.sum(eps * jnp.cos(phase)) * jnp.tanh(y / ell))
    return ell * u * sech2 * jnp.sum(eps * k * jnp.sin(phase)), along, omega


def _rotlet(r, th, a, b, bc):
    """The velocity that a rotlet at distance b from the middle of a cylinder of radius a makes."""
    sin, cos = jnp.sin(th), jnp.cos(th)
    kappa = a**2 + (b * r / a) ** 2 - 2 * b * r * cos
    gamma = (1 - (r / a) ** 2) * (a**2 - (b * r / a) ** 2)
    iota = b**2 * r / a**2 - b * cos
    zeta = b**2 + r**2 - 2 * b * r * cos
    nu = a**2 + b**2 - 2 * (b * r / a) ** 2
    outward = b * sin * (-bc * gamma / kappa**2 - 1 / kappa + 1 / zeta)
    no_slip = bc * (gamma * iota / kappa**2 + r * nu / (a**2 * kappa))
    return outward, no_slip + iota / kappa - (r - b * cos) / zeta


@law(observe=polar)
def BlinkingRotlet(r, th, t_, *, a=1.0, b=0.5298833894399929, bc=1.0, sigma=-1.0, tau=3.0):
    """Two rotlets in a cylinder that take turns (Meleshko and Aref 1996)."""
    weight = blink(t_, tau)
    (r1, th1), (r2, th2) = _rotlet(r, th, a, b, bc), _rotlet(r, th, a, -b, bc)
    around = (weight * th1 + (1 - weight) * th2) / r
    return sigma * (weight * r1 + (1 - weight) * r2), sigma * around, 1.0


BlinkingVortex = functools.partial(BlinkingRotlet, b=0.5, bc=0.0)  # walls along which fluid slips (Aref 1984)


def _lid(x, y, a, b, u, n):
    """The n-th mode of a cavity, length a and half height b, whose lids move."""
    q = n * math.pi / a
    scale = 2 * u / (2 * n * math.pi * b + a * jnp.sinh(2 * q * b))
    sinh, cosh = jnp.sinh(q * b), jnp.cosh(q * b)
    along = cosh * (n * math.pi * y * jnp.cosh(q * y) + a * jnp.sinh(q * y)) - n * math.pi * b * sinh * jnp.sinh(q * y)
    across = n * math.pi * (b * sinh * jnp.cosh(q * y) - cosh * y * jnp.sinh(q * y))
    return scale * jnp.sin(q * x) * along, scale * jnp.cos(q * x) * across


@law(observe=lambda x, y, t_, *, tau, **_: (x, y, jnp.sin(2 * math.pi * t_ / tau)))
def LidDrivenCavityFlow(x, y, t_, *, a=6.0, b=1.0, tau=1.1, u1=9.92786, u2=8.34932):
    """A cavity whose lids move by turns (Grover et al. 2012)."""
    weight = blink(t_, tau)
    (x1, y1), (x2, y2) = _lid(x, y, a, b, u1, 1), _lid(x, y, a, b, u2, 2)
    turn = 2 * weight - 1  # the first mode changes its sign
    return turn * x1 + x2, turn * y1 + y2, 1.0


@law(observe=polar)
def InteriorSquirmer(r, th, t_, *, a=(0.5,) * 5, g=(0.5,) * 5, tau=3.0):
    """What a swimmer's moving wall stirs inside (Blake 1971)."""
    phase, n = blink(t_, tau), jnp.arange(1, a.shape[0] + 1, dtype=a.dtype)
    sines, cosines, power = jnp.sin(n * th), jnp.cos(n * th), r**n
    odd, even = a * phase, g * (1 - phase)
    outward = jnp.sum((even * cosines + odd * sines) * n * power) * (r**2 - 1) / r
    around = jnp.sum((2 * r + (r**2 - 1) * n / r) * (odd * cosines - even * sines) * power)
    return outward, around / r, 1.0


@law
def Lorenz84(x, y, z, *, a=1.32, b=7.91, f=4.83, g=4.194):
    """The westerlies and two waves (Lorenz 1984)."""
    return a * (f - x) - y**2 - z**2, x * y - b * x * z - y + g, b * x * y + x * z - z


Hadley = functools.partial(Lorenz84, a=0.2, b=4.0, f=9.0, g=1.0)  # Hadley 1735


@law
def Lorenz96(y, *, f=20.0):
    """Waves around a circle of latitude, any number of places (Lorenz 1996)."""
    return (jnp.roll(y, -1) - jnp.roll(y, 2)) * jnp.roll(y, 1) - y + f


@law
def VallisElNino(x, y, z, *, b=102.0, c=3.0, p=0.0):
    """Winds and temperatures of the Pacific (Vallis 1988)."""
    return b * y - c * (x + p), -y + x * z, -z - x * y + 1


@law
def AtmosphericRegime(x, y, z, *, alpha=-2.0, beta=-5.0, mu1=0.05, mu2=-0.01, omega=3.0, sigma=1.1):
    """Widely spaced frequencies (Tuwankotta 2006)."""
    turn = omega + alpha * y + beta * z
    return mu1 * x + sigma * x * y, mu2 * y + turn * z - sigma * x**2, mu2 * z - turn * y


@law
def WindmiReduced(i, v, p, *, a1=0.247, b1=10.8, b2=0.0752, b3=1.06, d1=2200.0, vsw=5.0):
    """Storms of the magnetosphere, driven by the solar wind (Smith, Thiffeault, Horton 2000). The pressure enters as
    p / 2, as in dysts, where Horton, Weigel and Sprott 2001 have its root."""
    loss = p**1.25 * jnp.sqrt(vsw) * (1 + jnp.tanh(d1 * (i - 1))) / 2
    return a1 * (vsw - v), b1 * i - b2 * p / 2 - b3 * v, vsw**2 - loss
