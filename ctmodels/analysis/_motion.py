"""A dynamics, a field or a map, as one: what moves on by a step, and takes tangent vectors along.

The solve behind a dynamics may know one mode of differentiation only (the discrete adjoint knows reverse mode, and
hides from forward mode what was compiled before). Here derivatives are taken right where the flow is called, forwards
where that goes and else backwards.
"""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import check_called
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._words import argument, kind_of
from ctmodels._integrate import RK4, rk_step


class Map(eqx.Module):
    """A function f(t, z, args) -> z as a map, from step to step: without this it is taken for a field, the slope of z.

    **Arguments:** `function`: shaped as z; `dt`: the time that a step takes; exponents and rates are per unit of it.
    """

    function: Callable
    dt: float = eqx.field(static=True, default=1.0)

    def __call__(self, t, z: Float[Array, " state"], args: PyTree = None) -> Float[Array, " state"]:
        return self.function(t, z, args)


class AbstractMotion(eqx.Module):
    """`dt`: of a step; `in_steps`: whether a step is all that is known of it, and no slope; `control`: its drive."""

    in_steps: ClassVar[bool] = True
    if TYPE_CHECKING:  # to whom an AbstractVar is one more argument of `__init__`

        @property
        def dt(self) -> float: ...

        @property
        def control(self) -> PyTree: ...

    else:
        dt: eqx.AbstractVar[float]
        control: eqx.AbstractVar[PyTree]

    @abc.abstractmethod
    def advance(self, t: Float[Array, ""], z: Float[Array, " state"], h: Float[Array, ""]) -> Float[Array, " state"]:
        """The state that follows after the time h."""

    def time(self, i, dtype) -> Float[Array, ""]:
        """When step i begins: zero unless a control drives, since late in a long run a short step drowns in its time's
        rounding."""
        zero = jnp.zeros((), dtype)
        return zero if self.control is None else i * jnp.asarray(self.dt, dtype)

    def step(self, z: Float[Array, " state"], t: Float[Array, ""] | None = None) -> Float[Array, " state"]:
        """The state after one step, from time zero unless it is told."""
        return self.advance(jnp.zeros((), z.dtype) if t is None else t, z, jnp.asarray(self.dt, z.dtype))

    def spread(
        self, t: Float[Array, ""], z: Float[Array, " state"], tangents: Float[Array, "state tangent"]
    ) -> tuple[Float[Array, " state"], Float[Array, "state tangent"]]:
        """The state after one step, and what becomes of tangent vectors, the columns."""
        return pushed(lambda z: self.step(z, t), z, tangents)

    def stretch(
        self, z: Float[Array, " state"], h: Float[Array, ""], tangents: Float[Array, "more tangent"]
    ) -> tuple[Float[Array, " state"], Float[Array, "state tangent"]]:
        """The state after the time h; and what becomes of tangent vectors, the last row of which is h's."""
        step = lambda both: self.advance(jnp.zeros_like(h), both[:-1], both[-1])
        return pushed(step, jnp.append(z, h), tangents)

    def slope(
        self, z: Float[Array, " state"]
    ) -> tuple[Float[Array, " state"], Float[Array, "state state"], Float[Array, "state state"]]:
        """How fast it moves, nothing where it rests; the Jacobian of that; and the Jacobian of what `in_steps` says."""
        z1, J = self.spread(jnp.zeros((), z.dtype), z, jnp.eye(z.shape[0], dtype=z.dtype))
        return (z1 - z) / self.dt, (J - jnp.eye(z.shape[0], dtype=z.dtype)) / self.dt, J


class _Field(AbstractMotion):
    """Moves on by classical Runge-Kutta steps."""

    in_steps: ClassVar[bool] = False
    field: Callable
    dt: float = eqx.field(static=True)
    control: PyTree

    def advance(self, t, z, h):
        return rk_step(RK4.tableau, self.field, t, h, z, self.control).y1

    def slope(self, z):
        f, J = jacobian(lambda z: self.field(jnp.zeros((), z.dtype), z, self.control), z)
        return f, J, J


class _Map(AbstractMotion):
    map: Callable
    dt: float = eqx.field(static=True)
    control: PyTree

    def advance(self, t, z, h):
        return self.map(t, z, self.control)


class _Flow(AbstractMotion):
    """A dynamics, by its own solver."""

    dynamics: AbstractDynamics
    dt: float = eqx.field(static=True)
    control: PyTree

    def advance(self, t, z, h):
        return self.dynamics.flow(t, t + h, z, self.control)[0]


def jacobian(
    function: Callable, z: Float[Array, " given"]
) -> tuple[Float[Array, " state"], Float[Array, "state given"]]:
    """The value and the Jacobian, by whichever mode goes."""
    return pushed(function, z, jnp.eye(z.shape[0], dtype=z.dtype))


def pushed(
    function: Callable, z: Float[Array, " given"], tangents: Float[Array, "given tangent"]
) -> tuple[Float[Array, " state"], Float[Array, "state tangent"]]:
    """The value, and the Jacobian times tangent vectors, the columns."""
    along = lambda z, v: jax.jvp(function, (z,), (v,))
    forwards = lambda z, tangents: jax.vmap(along, in_axes=(None, 1), out_axes=(None, 1))(z, tangents)
    if _goes(forwards, z, tangents):
        return forwards(z, tangents)
    z1, pull = jax.vjp(function, z)
    rows = jax.vmap(lambda v: pull(v)[0])(jnp.eye(z1.shape[0], dtype=z1.dtype))
    return z1, rows @ tangents


def _goes(function: Callable, *args: Array) -> bool:
    """Whether a function can be traced. (JAX refuses `custom_vjp` in forward mode, and where: under `vmap` at once.)"""
    try:
        jax.eval_shape(function, *args)
    except Exception:  # whatever the solver of the user's choice says; of what goes in no mode, reverse mode tells why
        return False
    return True


def motion(dynamics: Callable, dt: float | None, control: PyTree = None) -> AbstractMotion:
    """A dynamics, a `Map`, or else a field f(t, z, args)."""
    if isinstance(dynamics, AbstractDynamics):
        return _Flow(dynamics, _seconds(dt), control)
    if isinstance(dynamics, Map):
        return _Map(dynamics, dynamics.dt if dt is None else _seconds(dt), control)
    return _Field(dynamics, float("nan") if dt is None else _seconds(dt), control)


def _seconds(dt) -> float:
    if dt is None or not dt > 0:
        raise ValueError(
            f"{argument('dt', dt)}: the time of a step is needed, above 0: of a map its own, of a field a short one"
        )
    return float(dt)


def check_dynamics(dynamics) -> None:
    """What moves on."""
    check_called("dynamics", dynamics, "(t, z, args) -> dz/dt", "or an analysis.Map, or a ct.AbstractDynamics")


def check_step(dynamics, dt, **_) -> None:
    """What moves on, and by what time."""
    check_dynamics(dynamics)
    if dt is None and not isinstance(dynamics, Map):
        raise ValueError(f"{argument('dt', dt)}: the time of a step is needed, of whatever is no analysis.Map")


def check_states(name: str, zs, axes: str) -> None:
    """An array of floats with these axes."""
    count = axes.count(",") if axes.endswith(",)") else axes.count(",") + 1
    if not hasattr(zs, "dtype") or zs.ndim != count or not jnp.issubdtype(zs.dtype, jnp.floating):
        raise ValueError(f"{name}: {kind_of(zs)}, where floats {axes} are wanted: jnp.asarray(..., float)")
