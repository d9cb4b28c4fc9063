r"""Steps of stochastic methods: of $dy = f\,dt + g\,dW$ on the flattened state of one sample.

Written here, and not diffrax's own, where a step is taken on the training path: diffrax 0.7.2 takes the stages of a
stochastic Runge-Kutta method in a loop, and all of the Jacobian of a diagonal diffusion for Milstein's correction.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ctmodels.fields import AbstractSDE
from ctmodels.noise import Increment


class Terms(NamedTuple):
    """`drift(t, y)`, `diffusion(t, y)`, and the kind of noise, which says how a diffusion takes an increment; for
    methods that know more of it, the SDE itself with its `args`, and the method as it was given."""

    drift: Callable
    diffusion: Callable
    noise: str
    sde: Any = None
    args: PyTree = None
    method: Any = None

    def along(self, g: Array, dW: Array) -> Float[Array, " state"]:
        return g @ dW if self.noise in ("additive", "general") else g * dW

    def slopes(self, t, y) -> tuple[Array, Array]:
        return self.drift(t, y), self.diffusion(t, y)

    def correction(self, t, y, g: Array, squares: Array) -> Array:
        """1/2 (g . d/dy) g times squares of increments; of noise that commutes."""
        if self.noise == "additive":
            return jnp.zeros_like(y)
        return 0.5 * jax.jvp(lambda y: self.diffusion(t, y), (y,), (g,))[1] * squares


class Move(NamedTuple):
    """One step's length and noise: dW, and J, the integral of W over the step divided by its length, or None; and the
    increment of which both are made, in units of the root of time."""

    h: Array
    dW: Array
    J: Array | Any = None
    unit: Increment | Any = None


class Moved(NamedTuple):
    """The state at the end of a step; its error, where the method estimates one; what the next step takes over."""

    y: Float[Array, " state"]
    error: Float[Array, " state"] | None = None
    kept: Any = ()


def euler(terms: Terms, t, y, kept, move: Move) -> Moved:
    """Euler-Maruyama."""
    f, g = terms.slopes(t, y)
    return Moved(y + move.h * f + terms.along(g, move.dW))


def ito_milstein(terms: Terms, t, y, kept, move: Move) -> Moved:
    f, g = terms.slopes(t, y)
    correction = terms.correction(t, y, g, move.dW**2 - move.h)
    return Moved(y + move.h * f + terms.along(g, move.dW) + correction)


def stratonovich_milstein(terms: Terms, t, y, kept, move: Move) -> Moved:
    f, g = terms.slopes(t, y)
    return Moved(y + move.h * f + terms.along(g, move.dW) + terms.correction(t, y, g, move.dW**2))


def euler_heun(terms: Terms, t, y, kept, move: Move) -> Moved:
    f, g = terms.slopes(t, y)
    noise = terms.along(g, move.dW)
    later = terms.along(terms.diffusion(t + move.h.astype(t.dtype), y + noise), move.dW)
    return Moved(y + move.h * f + 0.5 * (noise + later))


def heun(terms: Terms, t, y, kept, move: Move) -> Moved:
    f, g = terms.slopes(t, y)
    rise = move.h * f + terms.along(g, move.dW)
    f1, g1 = terms.slopes(t + move.h.astype(t.dtype), y + rise)
    error = 0.5 * (move.h * (f1 - f) + terms.along(g1 - g, move.dW))
    return Moved(y + rise + error, error)


class Reversed(NamedTuple):
    """What reversible Heun keeps beside the state: the other state, and the slopes there."""

    z: Array
    f: Array
    g: Array


def begin_reversible_heun(terms: Terms, t, y) -> Reversed:
    return Reversed(y, *terms.slopes(t, y))


def reversible_heun(terms: Terms, t, y, kept: Reversed, move: Move) -> Moved:
    """Kidger, Foster, Li, Lyons (2021)."""
    rise = lambda f, g: move.h * f + terms.along(g, move.dW)
    z = 2 * y - kept.z + rise(kept.f, kept.g)
    f, g = terms.slopes(t + move.h.astype(t.dtype), z)
    y1 = y + rise(0.5 * (kept.f + f), 0.5 * (kept.g + g))
    return Moved(y1, rise(0.5 * (f - kept.f), 0.5 * (g - kept.g)), Reversed(z, f, g))


def sra1(terms: Terms, t, y, kept, move: Move) -> Moved:
    """Roessler's SRA1 (2010): of additive noise."""
    h, t1 = move.h, t + move.h.astype(t.dtype)
    g, g1 = terms.diffusion(t, y), terms.diffusion(t1, y)
    f = terms.drift(t, y)
    f1 = terms.drift(t + 0.75 * (t1 - t), y + 0.75 * h * f + terms.along(g1, 1.5 * move.J))
    noise = terms.along(g1, move.dW) + terms.along(g - g1, move.J)
    error = h * (2 / 3) * (f1 - f)
    return Moved(y + h * f + error + noise, error)


def sri(terms: Terms, t, y, kept, move: Move) -> Moved:
    """Roessler's SRIW1 (2010). Its error is what it adds to its own embedded method of strong order 1: so Rackauckas
    and Nie (2017)."""
    h, dW, J = move.h, move.dW, move.J
    root, on = root_of(h), lambda part: t + part * h.astype(t.dtype)
    f, g1 = terms.slopes(t, y)
    g2 = terms.diffusion(on(0.25), y + 0.25 * h * f + 0.5 * root * g1)
    g3 = terms.diffusion(on(1.0), y + h * f - root * g1)
    g4 = terms.diffusion(on(0.25), y + 0.25 * h * f + root * (-5 * g1 + 3 * g2 + 0.5 * g3))
    f2 = terms.drift(on(0.75), y + 0.75 * h * f + 1.5 * g1 * J)
    squares = (dW**2 - h) / (2 * jnp.where(h > 0, root, 1))
    cubes = (dW**3 - 3 * h * dW) / (6 * jnp.where(h > 0, h, 1))
    first = dW * (-g1 + 4 / 3 * g2 + 2 / 3 * g3) + squares * (-g1 + 4 / 3 * g2 - 1 / 3 * g3)
    further = J * (2 * g1 - 4 / 3 * g2 - 2 / 3 * g3) + cubes * (-2 * g1 + 5 / 3 * g2 - 2 / 3 * g3 + g4)
    error = h * (2 / 3) * (f2 - f) + further
    return Moved(y + h * f + first + error, error)


def root_of(x: Array) -> Array:
    # The square root has no derivative at zero, the length of a step between two equal times.
    return jnp.where(x > 0, jnp.sqrt(jnp.where(x > 0, x, 1)), 0)


def move_by(increment, h: Float[Array, ""], dtype) -> Move:
    """A step's noise, from an increment in units of the root of time. `h`: its length."""
    h = h.astype(dtype)
    root = root_of(h)
    area = None if increment.h is None else root * (0.5 * increment.w + increment.h)
    return Move(h, root * increment.w, area, increment)


class SRI(diffrax.AbstractItoSolver, diffrax.AbstractAdaptiveSolver):
    """Roessler's SRIW1 (2010): strong order 1.5 for Ito SDEs of scalar or diagonal noise, with an estimate of the
    error, so that [`ctmodels.measures.local_error`][] can be asked of an SDE. On fixed grids only.

    Four evaluations of the diffusion, two of the drift a step.
    """

    term_structure = diffrax.AbstractTerm
    interpolation_cls = diffrax.LocalLinearInterpolation

    def order(self, terms):
        return 1

    def strong_order(self, terms):
        return 1.5

    def init(self, terms, t0, t1, y0, args):
        raise ValueError("method: SRI() takes fixed grids only: give ctmodels.Substeps(n), or diffrax.StepTo(ts)")

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        return self.init(terms, t0, t1, y0, args)

    def func(self, terms, t0, y0, args):
        return self.init(terms, t0, t0, y0, args)


class Method(NamedTuple):
    """A stochastic method: its step and what it needs."""

    step: Callable
    noise: tuple[str, ...] = ("scalar", "diagonal", "additive", "general")
    area: bool = False
    drifts: int = 1  # evaluations of the drift in a step
    of: type = AbstractSDE  # that it solves
    begin: Callable = lambda terms, t, y: ()
