r"""Reversible methods: their steps there, and back with the cotangents, by one evaluation of each slope.

Of reversible Heun (Kidger, Foster, Li, Lyons 2021), and of any explicit Runge-Kutta method, of which a pair of states
is made (McCallum, Foster 2024), with $\Psi_h(t, y)$ what a step of the method adds:
$y_1 = \lambda y + (1 - \lambda) z + \Psi_h(t, z)$, $\; z_1 = z - \Psi_{-h}(t_1, y_1)$.

The cotangent of a slope never depends on the slope's own value. So a step back asks for both at once, the value to take
the step back and the pull-back for the cotangents. Reversible Heun's slopes belong to two steps, the one that leads to
their point and the one from there: it stands at points on its way back, between the halves of two steps.
"""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import diffrax
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ctmodels._integrate._fixed import rk_step
from ctmodels._integrate._stochastic import Terms, begin_reversible_heun, move_by, reversible_heun
from ctmodels.noise import Increment


class Steps(NamedTuple):
    """Of a reversible method, for one sample: its beginning, and one step; how its backward pass begins, one step back,
    and how it ends. `slopes(t, y)`, of the field or of drift and diffusion; what is carried has the state in front."""

    begin: Callable  # (slopes, t, y) -> carry
    there: Callable  # (slopes, carry, t0, t1, increment) -> carry
    turn: Callable  # (carry, t, increment) -> back, without cotangents
    back: Callable  # (pull, back, ct_y, t0, t1, increment) -> back, cotangents of its ends, of those of the step after
    finish: Callable  # (pull, back, ct_y, t) -> cotangents of y, of t, and of the ends of the step after it


# What steps back take slopes by, once at each point, for the way back and for their cotangents:
Pull: TypeAlias = Callable  # (f, args, cotangent) -> f(slopes, *args), and the cotangents of args


class PairBack(NamedTuple):
    """A pair on the way back, with its cotangents."""

    y: Array
    z: Array
    ct_y: Array
    ct_z: Array


def pair_of(tableau: diffrax.ButcherTableau, coupling: float) -> Steps:
    """A pair of states by a Runge-Kutta method."""

    def psi(slopes, t0, t1, y):
        return rk_step(tableau, lambda t, y, args: slopes(t, y), t0, t1 - t0, y).y1 - y

    def there(slopes, carry, t0, t1, increment):
        y, z = carry
        y = coupling * y + (1 - coupling) * z + psi(slopes, t0, t1, z)
        return y, z - psi(slopes, t1, t0, y)

    def back(pull: Pull, at: PairBack, ct_y, t0, t1, increment):
        ct_y, nothing = at.ct_y + ct_y, jnp.zeros_like(t0)
        moved, (of_t1, of_t0, of_y) = pull(psi, (t1, t0, at.y), -at.ct_z)
        z, ct_y = at.z + moved, ct_y + of_y
        moved, (more_t0, more_t1, of_z) = pull(psi, (t0, t1, z), ct_y)
        y = (at.y - (1 - coupling) * z - moved) / coupling
        at = PairBack(y, z, coupling * ct_y, at.ct_z + (1 - coupling) * ct_y + of_z)
        return at, (of_t0 + more_t0, of_t1 + more_t1), (nothing, nothing)

    def finish(pull: Pull, at: PairBack, ct_y, t):
        nothing = jnp.zeros_like(t)
        return at.ct_y + at.ct_z + ct_y, nothing, (nothing, nothing)

    begin = lambda slopes, t, y: (y, y)
    turn = lambda carry, t, increment: PairBack(*carry, *map(jnp.zeros_like, carry))
    return Steps(begin, there, turn, back, finish)


class HeunBack(NamedTuple):
    """Reversible Heun on the way back, at a point whose slopes are not known yet: `half` is what the step after it
    (from t0 to t1) added its second half to, z the other state here; and the cotangents of `half`, and of the z that
    this step led to."""

    half: Array
    z: Array
    ct_half: Array
    ct_z: Array
    t0: Array
    t1: Array
    increment: Increment


def reversible_heun_of(noise: str) -> Steps:
    terms = lambda slopes: Terms(lambda t, y: slopes(t, y)[0], lambda t, y: slopes(t, y)[1], noise)
    along = Terms(lambda t, y: y, lambda t, y: y, noise).along
    evaluated = lambda slopes, t, z: slopes(t, z)

    def rise(fg, t0, t1, increment):
        move = move_by(increment, t1 - t0, fg[0].dtype)
        return move.h * fg[0] + along(fg[1], move.dW)

    def there(slopes, carry, t0, t1, increment):
        y, kept = carry
        moved = reversible_heun(terms(slopes), t0, y, kept, move_by(increment, t1 - t0, y.dtype))
        return moved.y, moved.kept

    def turn(carry, t, increment):
        """As if a step of no length came after."""
        y, kept = carry
        nothing = jnp.zeros_like(y)
        return HeunBack(y, kept.z, nothing, nothing, t, t, jax.tree.map(jnp.zeros_like, increment))

    def first_half(y, z, fg, t0, t1, increment):
        rises = rise(fg, t0, t1, increment)
        return y + 0.5 * rises, 2 * y - z + rises

    def second_half(half, fg, t0, t1, increment):
        return half + 0.5 * rise(fg, t0, t1, increment)

    def of_later(at: HeunBack, fg):
        """Cotangents of (y, z, slopes) here and of the ends of the step after it: those of the ends if the slopes are
        known, the others anyhow."""
        of = lambda y, z, fg, t0, t1: first_half(y, z, fg, t0, t1, at.increment)
        return jax.vjp(of, at.half, at.z, fg, at.t0, at.t1)[1]((at.ct_half, at.ct_z))

    def slopes_here(pull: Pull, at: HeunBack, t, cotangent):
        fg, (of_t, of_z) = pull(evaluated, (t, at.z), cotangent)
        return fg, at.half - 0.5 * rise(fg, at.t0, at.t1, at.increment), of_later(at, fg)[3:], of_t, of_z

    def back(pull: Pull, at: HeunBack, ct_y, t0, t1, increment):
        none = _no_slopes(at, noise)
        of_y, ct_z, ct_fg, *_ = of_later(at, none)
        ct_half = of_y + ct_y
        of = lambda fg, t0, t1: second_half(at.half, fg, t0, t1, increment)
        of_ends = lambda fg: jax.vjp(of, fg, t0, t1)[1](ct_half)
        ct_fg = jax.tree.map(jnp.add, ct_fg, of_ends(none)[0])
        fg, y, later, of_t, of_z = slopes_here(pull, at, t1, ct_fg)
        rises, (_, of_t0, of_t1) = rise(fg, t0, t1, increment), of_ends(fg)
        at = HeunBack(y - 0.5 * rises, 2 * y - at.z - rises, ct_half, ct_z + of_z, t0, t1, increment)
        return at, (of_t0, of_t1 + of_t), later

    def finish(pull: Pull, at: HeunBack, ct_y, t):
        of_y, of_z, ct_fg, *_ = of_later(at, _no_slopes(at, noise))
        _, _, later, of_t, more = slopes_here(pull, at, t, ct_fg)
        return of_y + of_z + more + ct_y, of_t, later

    begin = lambda slopes, t, y: (y, begin_reversible_heun(terms(slopes), t, y))
    return Steps(begin, there, turn, back, finish)


def _no_slopes(at: HeunBack, noise: str) -> tuple[Array, Array]:
    """Drift and diffusion of zero."""
    more = at.increment.w.shape if noise in ("additive", "general") else ()
    return jnp.zeros_like(at.z), jnp.zeros(at.z.shape + more, at.z.dtype)
