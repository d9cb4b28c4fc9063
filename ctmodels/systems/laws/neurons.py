"""Neurons, and networks of them."""

import jax
import jax.numpy as jnp

from ctmodels.systems._law import law


@law(observe=lambda v, w, z, **_: (v, w, jnp.sin(z)))
def ForcedFitzHughNagumo(v, w, z, *, a=0.7, b=0.8, curr=0.965, f=0.4008225, gamma=0.08, omega=0.043650793650793655):
    """A driven excitable cell (FitzHugh 1961)."""
    return v - v**3 / 3 - w + curr + f * jnp.sin(z), gamma * (v + a - b * w), omega


@law
def HindmarshRose(x, y, z, *, a=0.49, b=1.0, c=0.0322, d=1.0, s=1.0, tx=0.03, tz=0.8):
    """A neuron that bursts (Marhl and Perc 2005)."""
    return -x + (y - a * x**3 + b * x**2 + z) / tx, -a * x**3 - (d - b) * x**2 + z, (c - s * x - z) / tz


@law
def ExcitableCell(
    v, n, c, *, aho=2.5, ahr=0.05, ahs=0.07, ams=0.1, amvb=25.0, amvo=2.5, ans=0.01, anvb=20.0, anvo=2.0, ar=0.1,
    bho=2.0, bhr=0.1, bmo=2.7777777777777777, bmr=0.05555555555555555, bms=4.0, bno=0.375, bnr=0.0125, bns=0.125,
    gi=1800.0, gkc=11.0, gkv=1700.0, gl=7.0, kc=0.183333, rho=0.27, tscl=230.0, vc=100.0, vi=100.0, vk=-75.0, vl=-40.0,
):  # fmt: skip
    """A cell with calcium (Chay 1985)."""
    alpha_m = ams * (amvb + v) / (1 - jnp.exp(-ar * v - amvo))
    m = alpha_m / (alpha_m + bms * jnp.exp(-bmr * v - bmo))
    alpha_h = ahs * jnp.exp(-ahr * v - aho)
    h = alpha_h / (alpha_h + 1 / (1 + jnp.exp(-bhr * v - bho)))
    alpha_n = ans * (anvb + v) / (1 - jnp.exp(-ar * v - anvo))
    rate_n = alpha_n + bns * jnp.exp(-bnr * v - bno)
    potassium = (gkv * n**4 + gkc * c / (1 + c)) * (vk - v)
    dv = gi * m**3 * h * (vi - v) + potassium + gl * (vl - v)
    return dv, tscl * (alpha_n - rate_n * n), rho * (m**3 * h * (vc - v) - kc * c)


@law
def BeerRNN(
    y, *, tau=(1.0, 2.5, 1.0), theta=(-4.108, -2.787, -1.114),
    w=((5.422, -0.018, 2.75), (-0.24, 4.59, 1.21), (0.535, -2.25, 3.885)),
):  # fmt: skip
    """A small recurrent network (Beer 1995)."""
    return (w @ jax.nn.sigmoid(y + theta) - y) / tau


@law
def Hopfield(
    y, *, beta=0.5, eps=10.0, tau=2.5,
    k=((0.0, -1.0, 0.0, 0.0, -1.0, -1.0), (0.0, 0.0, 0.0, -1.0, -1.0, -1.0), (-1.0, -1.0, 0.0, 0.0, -1.0, 0.0),
       (-1.0, -1.0, -1.0, 0.0, 0.0, 0.0), (-1.0, -1.0, 0.0, -1.0, 0.0, 0.0), (0.0, -1.0, -1.0, -1.0, 0.0, 0.0)),
):  # fmt: skip
    """Genes or neurons that switch one another off (Lewis and Glass 1992)."""
    return -y / tau + (1 + jnp.tanh(eps * (k @ y))) / 2 - beta
