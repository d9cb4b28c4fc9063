r"""Splitting methods of underdamped Langevin dynamics: its parts one after the other, each exactly.

- A, drift: $z \mathrel{+}= h v$; B, kick: $v \mathrel{-}= h \nabla U(z)$;
- O, damping, noise and the control's force r, held: with $e = e^{-\gamma h}$,
  $v \leftarrow e\,v + \frac{1 - e}{\gamma} r + \sqrt{T (1 - e^2)}\,\varepsilon$.

Leimkuhler, Matthews (2013). Of O with the control and without the variance is one and the same, so that the divergence
of a step is known exactly, $|m|^2 / 2 s^2 = \frac{|r|^2}{2 \gamma^2 T} \tanh \frac{\gamma h}{2}$, m the difference of
the means and s the deviation, and $\log p/q$ of what was drawn is minus it and $m \cdot \varepsilon / s$.
"""

from typing import Any

import diffrax
import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._integrate._check import value_of
from ctmodels._integrate._stochastic import Move, Moved, Terms, root_of
from ctmodels.fields import Langevin
from ctmodels.fields._potentials import number

SMALL = 1e-2  # below it a series of few terms is exact, and the difference of two numbers is not


def _decayed(x: Array) -> Array:
    """(1 - exp(-x)) / x, with its derivatives at zero too."""
    series = 1 - x / 2 * (1 - x / 3 * (1 - x / 4 * (1 - x / 5 * (1 - x / 6 * (1 - x / 7)))))
    apart = jnp.where(x < SMALL, 1, x)
    return jnp.where(x < SMALL, series, -jnp.expm1(-apart) / apart)


def _turned(terms: Terms, t, z, v, rest, h, noise: Array) -> tuple[Array, Array]:
    """O: the velocity a time h later, by unit normal noise, and what weighs."""
    sde: Langevin = terms.sde
    gamma, temperature, r = sde.of("gamma", z), sde.of("temperature", z), sde.push(t, z, v, terms.args)
    left = jnp.exp(-gamma * h)
    reach = h * _decayed(gamma * h)
    spread = root_of(gamma * temperature * reach * (1 + left))
    if sde.weighed:
        away = r * root_of(reach / (gamma * temperature * (1 + left)))  # m / s, also of a step of no length
        divergence = 0.5 * jnp.sum(away**2)
        rest = rest + jnp.stack([divergence, -divergence - jnp.sum(away * noise)])
    return left * v + reach * r + spread * noise, rest


def begin_langevin(terms: Terms, t, y) -> Float[Array, " d"]:
    """The force, which the end of each step hands on to the next."""
    return terms.sde.force(terms.sde.split(y)[0])


def baoab(terms: Terms, t, y, kept, move: Move) -> Moved:
    z, v, rest = terms.sde.split(y)
    half = 0.5 * move.h
    v = v + half * kept
    z = z + half * v
    v, rest = _turned(terms, t + half.astype(t.dtype), z, v, rest, move.h, move.unit.w)
    z = z + half * v
    force = terms.sde.force(z)
    return Moved(jnp.concatenate([z, v + half * force, rest]), kept=force)


def obabo(terms: Terms, t, y, kept, move: Move) -> Moved:
    """Its two O are each of half the length; their noise is the two halves' of the increment, but for the sign of what
    bends it."""
    z, v, rest = terms.sde.split(y)
    assert move.unit.h is not None  # since its area is asked for
    half, w, bend = 0.5 * move.h, move.unit.w, 12**0.5 * move.unit.h
    v, rest = _turned(terms, t, z, v, rest, half, 0.5**0.5 * (w + bend))
    v = v + half * kept
    z = z + move.h * v
    force = terms.sde.force(z)
    v, rest = _turned(terms, t + move.h.astype(t.dtype), z, v + half * force, rest, half, 0.5**0.5 * (w - bend))
    return Moved(jnp.concatenate([z, v, rest]), kept=force)


def released(terms: Terms, t, y, kept, move: Move) -> Moved:
    sde, scale = terms.sde, terms.method.scale
    z, v, _ = sde.split(y)
    gamma, temperature = sde.of("gamma", z), sde.of("temperature", z)
    z = z + scale * v
    v = (1 - gamma) * (v + scale * sde.force(z)) + root_of(2 * gamma * temperature) * move.unit.w
    return Moved(jnp.where(move.h > 0, jnp.concatenate([z, v]), y))


class AbstractSplitting(diffrax.AbstractItoSolver):
    """A method of a [`ctmodels.fields.Langevin`][], on fixed grids only."""

    term_structure = diffrax.AbstractTerm
    interpolation_cls = diffrax.LocalLinearInterpolation

    def init(self, terms, t0, t1, y0, args):
        name = type(self).__name__
        raise ValueError(f"method: {name}() takes fixed grids only: give ctmodels.Substeps(n), or diffrax.StepTo(ts)")

    def step(self, terms, t0, t1, y0, args, solver_state, made_jump):
        return self.init(terms, t0, t1, y0, args)

    def func(self, terms, t0, y0, args):
        return self.init(terms, t0, t0, y0, args)


class BAOAB(AbstractSplitting):
    r"""Half a kick, half a drift, damping and noise for the whole step, half a drift, half a kick: of a
    [`ctmodels.fields.Langevin`][], one gradient a step.

    Weak order 2; its positions are the more exact for it. In $U = \frac k2 z^2$ their stationary variance is exactly
    T / k for every stable step, $h < 2 / \sqrt k$, and that of the velocities $T (1 - h^2 k / 4)$. A control is taken
    at the middle of the step; where it depends on the velocity, as it was before the noise, the order is 1.
    With `gamma=0, temperature=0` it is symplectic and goes back as it came.

    **Good values:** the first choice; h a fifth of the inverse of the fastest frequency. Leimkuhler, Matthews (2013).
    """

    def order(self, terms: Any) -> int:
        """Weak, of the mean of what is smooth: 2."""
        return 2


class OBABO(AbstractSplitting):
    r"""Damping and noise for half a step, half a kick, a drift, half a kick, damping and noise for half a step: of a
    [`ctmodels.fields.Langevin`][], one gradient a step.

    Weak order 2, the velocities exact: in $U = \frac k2 z^2$ their stationary variance is T, and that of the positions
    $(T / k) / (1 - h^2 k / 4)$. Bussi, Parrinello (2007).
    """

    def order(self, terms: Any) -> int:
        """Weak, of the mean of what is smooth: 2."""
        return 2


class Released(AbstractSplitting):
    r"""The steps of LangevinFlow's authors, to compare with: whatever the time between, $z \mathrel{+}= s v$,
    $v \mathrel{-}= s \nabla U(z)$, $v \leftarrow (1 - \gamma) v + \sqrt{2 \gamma T}\,\varepsilon$. A step of no length
    is none.

    It is no method of the equation: damping and noise are a step's, and do not grow smaller with it. A control is
    refused, as the released posterior has none. Song, Keller, Yue, Perona, Welling (2025).

    **Arguments:** `scale`: s. **Good values:** the authors' 0.01, with a `gamma` of 0.55 and one step a bin.
    """

    scale: float = eqx.field(static=True, default=0.01, converter=number("scale"))

    def order(self, terms: Any) -> int:
        """None: 0."""
        return 0


def check_langevin(integrate: Any, method: Any, sde: Any, wanted: type) -> None:
    """A method of Langevins solves them alone. `wanted`: what this one solves."""
    name = type(method).__name__
    wanted = Langevin if is_underdamped(method) else wanted
    if not isinstance(sde, wanted):
        raise ValueError(
            f"method: {name} takes steps of a Langevin, and not of any {type(sde).__name__}: give "
            "ct.fields.Langevin(potential, gamma, temperature), or a method of any SDE, as diffrax.Euler()"
        )
    if isinstance(method, Released) and (sde.control is not None or sde.weighed):
        raise ValueError(
            "method: Released takes no control, as the released posterior has none: take ct.BAOAB(), or a Langevin "
            "without control and weighed"
        )
    if is_underdamped(method):
        _check_underdamped(name, sde)


def is_underdamped(method: Any) -> bool:
    """Whether it is one of diffrax's own methods of Langevins: ALIGN, ShOULD, QUICSORT, or two halves of one."""
    return isinstance(getattr(method, "solver", method), diffrax.AbstractFosterLangevinSRK)


def _check_underdamped(name: str, sde: Langevin) -> None:
    if sde.control is not None or sde.weighed:
        raise ValueError(f"method: {name} takes a potential's force alone, and no control: take ct.BAOAB()")
    temperature = value_of(sde.temperature)
    if temperature is not None and not temperature.all():
        raise ValueError(
            f"temperature: 0: method {name} divides by it: take ct.BAOAB(), or diffrax.Tsit5() of the drift"
        )
