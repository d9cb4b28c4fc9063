"""Initial value problems: DETEST's non-stiff ones (Hull, Enright, Fellen and Sedgwick 1972), and three more.

The fields are pure functions f(t, y, args) of NumPy's and of JAX's arrays alike. Problems that differ in numbers only
have one field, which is then compiled once.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Problem(NamedTuple):
    """dy/dt = field(t, y, args), y(0) = y0, for t from 0 to t1. `exact(t)`: the solution, where one is known."""

    name: str
    field: Callable
    y0: tuple[float, ...]
    args: float | np.ndarray | None = None
    t1: float = 20.0
    exact: Callable | None = None


def _field(derivatives: Callable) -> Callable:
    """A field from `derivatives(xp, t, a, b, ...)` of the numbers in y; `xp` is the module that y comes from."""

    def field(t, y, args):
        xp = y.__array_namespace__()
        return xp.stack(derivatives(xp, t, *y))

    return field


# -- A: one equation


def _a5(xp, t, y):
    return [(y - t) / (y + t)]


A = (
    Problem("A1", _field(lambda xp, t, y: [-y]), (1.0,), exact=lambda t: [np.exp(-t)]),
    Problem("A2", _field(lambda xp, t, y: [-(y**3) / 2]), (1.0,), exact=lambda t: [1 / np.sqrt(t + 1)]),
    Problem("A3", _field(lambda xp, t, y: [y * xp.cos(t)]), (1.0,), exact=lambda t: [np.exp(np.sin(t))]),
    Problem(
        "A4",
        _field(lambda xp, t, y: [y / 4 * (1 - y / 20)]),
        (1.0,),
        exact=lambda t: [20 / (1 + 19 * np.exp(-t / 4))],
    ),
    Problem("A5", _field(_a5), (4.0,)),
)


# -- B: small systems


def _b1(xp, t, a, b):
    return [2 * (a - a * b), -(b - a * b)]


def _b2(xp, t, a, b, c):
    return [-a + b, a - 2 * b + c, b - c]


def _b3(xp, t, a, b, c):
    return [-a, a - b**2, b**2]


def _b4(xp, t, a, b, c):
    r = xp.sqrt(a**2 + b**2)
    return [-b - a * c / r, a - b * c / r, a / r]


def _b5(xp, t, a, b, c):
    return [b * c, -a * c, -0.51 * a * b]


B = (
    Problem("B1", _field(_b1), (1.0, 3.0)),
    Problem("B2", _field(_b2), (2.0, 0.0, 1.0)),
    Problem("B3", _field(_b3), (1.0, 0.0, 0.0)),
    Problem("B4", _field(_b4), (3.0, 0.0, 0.0)),
    Problem("B5", _field(_b5), (0.0, 1.0, 1.0)),
)


# -- C: more equations


def _linear(t, y, args):
    return args @ y


def _chain(rates) -> np.ndarray:
    """Decay from each to the next."""
    return np.diag([*(-rates), 0.0]) + np.diag(rates, -1)


def _heat(n: int) -> np.ndarray:
    return np.diag(np.full(n, -2.0)) + np.diag(np.ones(n - 1), 1) + np.diag(np.ones(n - 1), -1)


SUN, PULL = 1.00000597682, 2.95912208286
MASSES = np.array([0.000954786104043, 0.000285583733151, 0.0000437273164546, 0.0000517759138449, 0.00000277777777778])
# Of Jupiter, Saturn, Uranus, Neptune and Pluto: where they are, and how they move.
PLANETS = (
    3.42947415189, 3.35386959711, 1.35494901715,
    6.64145542550, 5.97156957878, 2.18231499728,
    11.2630437207, 14.6952576794, 6.27960525067,
    -30.1552268759, 1.65699966404, 1.43785752721,
    -21.1238353380, 28.4465098142, 15.3882659679,
    -0.557160570446, 0.505696783289, 0.230578543901,
    -0.415570776342, 0.365682722812, 0.169143213293,
    -0.325325669158, 0.189706021964, 0.0877265322780,
    -0.0240476254170, -0.287659532608, -0.117219543175,
    -0.176860753121, -0.216393453025, -0.0148647893090,
)  # fmt: skip


def _planets(t, y, args):
    """Motion about the sun, which falls towards the planets as well."""
    xp = y.__array_namespace__()
    masses = xp.asarray(MASSES).reshape(5, 1)
    at = y[:15].reshape(5, 3)
    fall = at / (at**2).sum(1, keepdims=True) ** 1.5
    gaps = at[None] - at[:, None]
    distances = ((gaps**2).sum(2, keepdims=True) + xp.eye(5)[:, :, None]) ** 0.5  # from itself: not zero
    others = (masses[None] * gaps / distances**3).sum(1)
    suns_fall = (masses * fall).sum(0, keepdims=True)
    return xp.concat([y[15:], PULL * (others - SUN * fall - suns_fall).reshape(-1)])


def _first(n: int) -> tuple[float, ...]:
    return (1.0, *[0.0] * (n - 1))


C = (
    Problem("C1", _linear, _first(10), _chain(np.ones(9))),
    Problem("C2", _linear, _first(10), _chain(np.arange(1.0, 10.0))),
    Problem("C3", _linear, _first(10), _heat(10)),
    Problem("C4", _linear, _first(51), _heat(51)),
    Problem("C5", _planets, PLANETS),
)


# -- D: Kepler's orbits


def _kepler(xp, t, x, y, u, v):
    cube = (x**2 + y**2) ** 1.5
    return [u, v, -x / cube, -y / cube]


def _orbit(e: float) -> Callable:
    def exact(t):
        anomaly = t + e * np.sin(t)
        for _ in range(100):
            anomaly = anomaly - (anomaly - e * np.sin(anomaly) - t) / (1 - e * np.cos(anomaly))
        b, r = np.sqrt(1 - e**2), 1 - e * np.cos(anomaly)
        return [np.cos(anomaly) - e, b * np.sin(anomaly), -np.sin(anomaly) / r, b * np.cos(anomaly) / r]

    return exact


KEPLER = _field(_kepler)
D = tuple(
    Problem(f"D{i + 1}", KEPLER, (1 - e, 0.0, 0.0, float(np.sqrt((1 + e) / (1 - e)))), exact=_orbit(e))
    for i, e in enumerate((0.1, 0.3, 0.5, 0.7, 0.9))
)


# -- E: equations of second order


def _e1(xp, t, y, v):
    return [v, -(v / (t + 1) + (1 - 0.25 / (t + 1) ** 2) * y)]


def _bessel(t):
    """J_{1/2} and its derivative at t + 1."""
    x = t + 1
    size = np.sqrt(2 / (np.pi * x))
    return [size * np.sin(x), size * (np.cos(x) - np.sin(x) / (2 * x))]


def _van_der_pol(t, y, mu):
    return y.__array_namespace__().stack([y[1], mu * (1 - y[0] ** 2) * y[1] - y[0]])


def _duffing(xp, t, y, v):
    return [v, y**3 / 6 - y + 2 * xp.sin(2.78535 * t)]


def _fall(t):
    limit = np.sqrt(0.08)
    return [30 + np.log(np.cosh(0.4 * limit * t)) / 0.4, limit * np.tanh(0.4 * limit * t)]


def _pursuit(t):
    ahead = 25 / (25 - t)
    return [(25 * np.log(ahead) - (625 - (25 - t) ** 2) / 50) / 2, (ahead - 1 / ahead) / 2]


E = (
    Problem("E1", _field(_e1), tuple(map(float, _bessel(0.0))), exact=_bessel),
    Problem("E2", _van_der_pol, (2.0, 0.0), 1.0),
    Problem("E3", _field(_duffing), (0.0, 0.0)),
    Problem("E4", _field(lambda xp, t, y, v: [v, 0.032 - 0.4 * v**2]), (30.0, 0.0), exact=_fall),
    Problem("E5", _field(lambda xp, t, y, v: [v, xp.sqrt(1 + v**2) / (25 - t)]), (0.0, 0.0), exact=_pursuit),
)


# -- not of DETEST


def _lorenz(xp, t, x, y, z):
    return [10 * (y - x), x * (28 - z) - y, x * y - 8 / 3 * z]


def _arenstorf(xp, t, x, y, u, v):
    """A body without mass about the earth and the moon, which stand still (Hairer, Norsett and Wanner 1993, II.0)."""
    moon = 0.012277471
    earth = 1 - moon
    near_earth, near_moon = ((x + moon) ** 2 + y**2) ** 1.5, ((x - earth) ** 2 + y**2) ** 1.5
    ax = x + 2 * v - earth * (x + moon) / near_earth - moon * (x - earth) / near_moon
    ay = y - 2 * u - earth * y / near_earth - moon * y / near_moon
    return [u, v, ax, ay]


# Lorenz-63 is short: over 5, errors grow, but not beyond what a tolerance can answer for. Arenstorf's is one period.
OTHERS = (
    Problem("van der Pol, mu = 5", _van_der_pol, (2.0, 0.0), 5.0),  # E2 is that of mu = 1
    Problem("Lorenz-63", _field(_lorenz), (1.0, 1.0, 1.0), t1=5.0),
    Problem("Arenstorf", _field(_arenstorf), (0.994, 0.0, 0.0, -2.0015851063790825), t1=17.065216560157964),
)

PROBLEMS = (*A, *B, *C, *D, *E, *OTHERS)
