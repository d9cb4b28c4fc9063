"""Flows of four variables, most of them with two positive exponents."""

from ctmodels.systems._law import law


@law
def HyperRossler(x, y, z, w, *, a=0.25, b=3.0, c=0.5, d=0.05):
    """The first of them (Roessler 1979)."""
    return -y - z, x + a * y + w, b + x * z, -c * z + d * w


@law
def HyperLorenz(x, y, z, w, *, a=10.0, b=2.667, c=28.0, d=1.1):
    """Meier 2003."""
    return a * (y - x) + w, x * (c - z) - y, x * y - b * z, d * w - x * z


@law
def HyperJha(x, y, z, w, *, a=10.0, b=28.0, c=2.667, d=1.3):
    """Meier 2003."""
    return a * (y - x) + w, x * (b - z) - y, x * y - c * z, d * w - x * z


@law
def HyperCai(x, y, z, w, *, a=27.5, b=3.0, c=19.3, d=2.9, e=3.3):
    """Cai and Huang 2007."""
    return a * (y - x), b * x + c * y - x * z + w, y**2 - d * z, -e * x


@law
def HyperBao(x, y, z, w, *, a=36.0, b=3.0, c=20.0, d=0.1, e=21.0):
    """Bao and Liu 2008."""
    return a * (y - x) + w, c * y - x * z, x * y - b * z, e * x + d * y * z


@law
def HyperQi(x, y, z, w, *, a=50.0, b=24.0, c=13.0, d=8.0, e=33.0, f=30.0):
    """Qi et al. 2008."""
    return a * (y - x) + y * z, b * (x + y) - x * z, -c * z - e * w + x * y, -d * w + f * z + x * y


@law
def Qi(x, y, z, w, *, a=45.0, b=10.0, c=1.0, d=10.0):
    """Qi et al. 2008."""
    return a * (y - x) + y * z * w, b * (x + y) - x * z * w, -c * z + x * y * w, -d * w + x * y * z


@law
def LorenzStenflo(x, y, z, w, *, a=2.0, b=0.7, c=26.0, d=1.5):
    """Lorenz's on a rotating planet (Letellier and Roessler 2007)."""
    return a * (y - x) + d * w, x * (c - z) - y, x * y - b * z, -x - a * w


@law
def HyperYangChen(x, y, z, w, *, a=30.0, b=3.0, c=35.0, d=8.0):
    """Meier 2003."""
    return a * (y - x), x * (c - z) + w, x * y - b * z, -d * x


@law
def HyperYan(x, y, z, w, *, a=37.0, b=3.0, c=26.0, d=38.0):
    """Meier 2003."""
    third = -b * z + x * y - y * z + x * z - w
    return a * (y - x), (c - a) * x - x * z + c * y, third, -d * w + y * z - x * z


@law
def HyperXu(x, y, z, w, *, a=10.0, b=40.0, c=2.5, d=2.0, e=16.0):
    """Letellier and Roessler 2007."""
    return a * (y - x) + w, b * x + e * x * z, -c * z - x * y, x * z - d * y


@law
def HyperWang(x, y, z, w, *, a=10.0, b=40.0, c=2.5, d=10.6, e=4.0):
    """Wang et al. 2009."""
    return a * (y - x), x * (b - z) + w, e * x**2 - c * z, -d * x


@law
def HyperPang(x, y, z, w, *, a=36.0, b=3.0, c=20.0, d=2.0):
    """Pang and Liu 2011."""
    return a * (y - x), -x * z + c * y + w, x * y - b * z, -d * (x + y)


@law
def HyperLu(x, y, z, w, *, a=36.0, b=3.0, c=20.0, d=1.3):
    """Chen et al. 2006."""
    return a * (y - x) + w, -x * z + c * y, x * y - b * z, d * w + x * z
