"""Reactions, in a beaker and in a cell."""

import functools

import jax.numpy as jnp

from ctmodels.systems._law import law


@law
def BelousovZhabotinsky(
    x, z, v, *, c1=-8.03474, c2=0.05408, c3=-0.0115886, c4=832.587, c5=-0.029155, c6=0.00321617, c7=-0.01352,
    c8=-0.0831709, c9=-0.0199985, c10=0.0223915, c11=7.53559e-05, c12=8.07384e-06, c13=-0.000499825, ci=0.000833,
    kf=0.00035, t0=2308.62, y0=7.72571e-06, yb1=6.92813e-07, yb2=2.00869, yb3=0.01352, z0=8.33e-06,
):  # fmt: skip
    """Three variables of the oscillating reaction (Gyorgyi and Field 1992)."""
    y = yb1 * z * v / (y0 * (yb2 * x + yb3 + kf))
    there = x > 0
    x = jnp.where(there, x, 0)
    rf = (ci - z0 * z) * jnp.where(there, jnp.sqrt(jnp.where(there, x, 1)), 0)  # sqrt has no slope at zero
    dx = c1 * x * y + c2 * y + c3 * x**2 + c4 * rf + c5 * x * z - kf * x
    dz = c6 / z0 * rf + (c7 * x + c8 * v + c9 - kf) * z
    return t0 * dx, t0 * dz, t0 * (c10 * x * y + c11 * y + c12 * x**2 + c13 * z * v - kf * v)


@law
def IsothermalChemical(alpha, beta, gamma, *, delta=1.0, kappa=2.5, mu=0.29786, sigma=0.013):
    """Mixed-mode oscillations (Petrov, Scott, Showalter 1992)."""
    made = alpha * (beta**2 + 1)
    return mu * (kappa + gamma) - made, (made - beta) / sigma, (beta - gamma) / delta


@law(observe=lambda x, y, z, **_: (x, y, jnp.sin(z)))
def ForcedBrusselator(x, y, z, *, a=0.4, b=1.2, f=0.05, w=0.81):
    """Prigogine 1980."""
    made = x**2 * y
    return a + made - (b + 1) * x + f * jnp.cos(z), b * x - made, w


@law
def KawczynskiStrizhak(x, y, z, *, beta=-0.4, gamma=0.49, kappa=0.2, mu=2.1):
    """Strizhak and Kawczynski 1995."""
    return gamma * (y - x**3 + 3 * mu * x), beta - 2 * mu * x - y - z, kappa * (x - z)


@law
def GlycolyticOscillation(
    a, b, c, *, d=0.0, k=4.422, l1=5e8, l2=100.0, nu=1.0, q1=50.0, q2=0.02, s1=22.2222, s2=22.2222
):  # fmt: skip
    """Two enzymes in a row (Decroly and Goldbeter 1982)."""
    phi = a * (1 + a) * (1 + b) ** 2 / (l1 + (1 + a) ** 2 * (1 + b) ** 2)
    eta = b * (1 + d * b) * (1 + c) ** 2 / (l2 + (1 + d * b) ** 2 * (1 + c) ** 2)
    return nu - s1 * phi, q1 * s1 * phi - s2 * eta, q2 * s2 * eta - k * c


@law
def CaTwoPlus(
    z, y, a, *, K2=0.1, K5=0.3194, Ka=0.1, Kd=1.0, Ky=0.3, Kz=0.6, V0=2.0, V1=2.0, V4=3.0, Vm2=6.0, Vm3=30.0, Vm5=50.0,
    beta=0.65, eps=13.0, k=10.0, kf=1.0, m=2.0, n=4.0, p=1.0,
):  # fmt: skip
    """Calcium within a cell (Houart, Dupont, Goldbeter 1999)."""
    hill = lambda x, K, power: x**power / (K**power + x**power)
    into = Vm2 * hill(z, K2, 2) - Vm3 * hill(z, Kz, m) * hill(y, Ky, 2) * hill(a, Ka, 4) - kf * y
    return V0 + V1 * beta - into - k * z, into, beta * V4 - Vm5 * hill(a, K5, p) * hill(z, Kd, n) - eps * a


CaTwoPlusQuasiperiodic = functools.partial(
    CaTwoPlus, K5=0.3, Ka=0.2, Kd=0.5, Ky=0.2, Kz=0.5, V4=5.0, Vm3=20.0, Vm5=30.0, beta=0.51, eps=0.1, p=2.0
)


@law
def CellCycle(
    c1, m1, x1, c2, m2, x2, *, K=0.01, Kc=0.5, Kd1=0.02, Kim=0.65, V2=0.15, V4=0.05, Vm1=0.3, Vm3=0.1, kd1=0.001,
    vd=0.025, vi=0.05,
):  # fmt: skip
    """Two cycles, each of which holds the other back (Romond et al. 1999)."""

    def cycle(c, m, x, other):
        dc = vi * Kim / (Kim + other) - vd * x * c / (Kd1 + c) - kd1 * c
        dm = Vm1 * c / (Kc + c) * (1 - m) / (K + 1 - m) - V2 * m / (K + m)
        return dc, dm, Vm3 * m * (1 - x) / (K + 1 - x) - V4 * x / (K + x)

    return *cycle(c1, m1, x1, m2), *cycle(c2, m2, x2, m1)


@law(observe=lambda m, fc, fs, fn, th, **_: (m, fc, fs, fn, jnp.cos(th)))
def CircadianRhythm(
    m, fc, fs, fn, th, *, Ki=1.0, k=0.5, k1=0.3, k2=0.15, kd=1.4, kdn=0.4, km=0.4, ks=1.0, n=4.0, ps=24.0, vc=2.5,
    vd=6.0, vdn=1.5, vm=0.7, vmax=4.7, vmin=1.0,
):  # fmt: skip
    """A clock of cells under day and night (Leloup, Gonze, Goldbeter 1999)."""
    light = vc * (0.5 + 0.5 * jnp.cos(th) + vmin) * (vmax - vmin)
    dm = light * Ki**n / (Ki**n + fn**n) - vm * m / (km + m)
    exchange = k1 * fc - k2 * fn
    dfs = k * fc - vd * fs / (kd + fs)
    return dm, ks * m - exchange - k * fc, dfs, exchange - vdn * fn / (kdn + fn), 2 * jnp.pi / ps


@law
def ItikBanksTumor(x, y, z, *, a12=1.0, a13=2.5, a21=1.5, a31=0.2, d3=0.5, k3=1.0, r2=0.6, r3=4.5):
    """Tumour, healthy and immune cells (Itik and Banks 2010)."""
    dz = r3 * x * z / (x + k3) - a31 * x * z - d3 * z
    return x * (1 - x) - a12 * x * y - a13 * x * z, r2 * y * (1 - y) - a21 * x * y, dz
