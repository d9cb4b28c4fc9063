"""A dynamics, a field or a map, as one: what moves on by a step, and can be differentiated in both modes.

The solve behind a dynamics may know one mode of differentiation only (the discrete adjoint knows reverse mode, and
hides from forward mode what was compiled before). Here the Jacobian is taken right where the flow is called, forwards
where that goes and else backwards, and stands for the derivative in every transformation around.
"""

import abc
from collections.abc import Callable
from typing import TYPE_CHECKING

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
    """`advance(t, z, h)`: the state a time h later; `speed(z)`: its slope, zero where it rests; `dt`: of a step."""

    if TYPE_CHECKING:  # to whom an AbstractVar is one more argument of `__init__`

        @property
        def dt(self) -> float: ...

    else:
        dt: eqx.AbstractVar[float]

    @abc.abstractmethod
    def advance(self, t: Float[Array, ""], z: Float[Array, " state"], h: Float[Array, ""]) -> Float[Array, " state"]:
        """The state that follows after the time h."""

    @abc.abstractmethod
    def speed(self, z: Float[Array, " state"]) -> Float[Array, " state"]:
        """How fast it moves on, at time zero."""

    @abc.abstractmethod
    def linear(self, z: Float[Array, " state"]) -> tuple[Float[Array, "state state"], bool]:
        """The Jacobian at a state, and whether it is that of a step, rather than of a slope."""

    def spread(
        self, t: Float[Array, ""], z: Float[Array, " state"], tangents: Float[Array, "state tangent"]
    ) -> tuple[Float[Array, " state"], Float[Array, "state tangent"]]:
        """The state after one step, and what becomes of tangent vectors, the columns."""
        return along(lambda z: self.step(z, t), z, tangents)

    def step(self, z: Float[Array, " state"], t=0.0) -> Float[Array, " state"]:
        """The state after one step."""
        return self.advance(jnp.asarray(t, z.dtype), z, jnp.asarray(self.dt, z.dtype))


class _Field(AbstractMotion):
    """Moves on by classical Runge-Kutta steps."""

    field: Callable
    dt: float = eqx.field(static=True)
    control: PyTree

    def advance(self, t, z, h):
        return rk_step(RK4.tableau, self.field, t, h, z, self.control).y1

    def speed(self, z):
        return self.field(jnp.zeros((), z.dtype), z, self.control)

    def linear(self, z):
        return jax.jacfwd(self.speed)(z), False


class _Map(AbstractMotion):
    map: Callable
    dt: float = eqx.field(static=True)
    control: PyTree

    def advance(self, t, z, h):
        return self.map(t, z, self.control)

    def speed(self, z):
        return (self.step(z) - z) / self.dt

    def linear(self, z):
        return jax.jacfwd(self.step)(z), True


class _Flow(AbstractMotion):
    """A dynamics, by its own solver."""

    dynamics: AbstractDynamics
    dt: float = eqx.field(static=True)
    control: PyTree

    def advance(self, t, z, h):
        return _advance(self.dynamics, self.control, t, z, h)

    def spread(self, t, z, tangents):
        flow = lambda z: self.dynamics.flow(t, t + jnp.asarray(self.dt, z.dtype), z, self.control)[0]
        return pushed(flow, z, tangents)

    def speed(self, z):
        return (self.step(z) - z) / self.dt

    def linear(self, z):
        return jax.jacfwd(self.step)(z), True


@eqx.filter_custom_jvp
def _advance(dynamics, control, t, z, h):
    return dynamics.flow(t, t + h, z, control)[0]


@_advance.def_jvp
def _advance_jvp(primals, tangents):
    dynamics, control, t, z, h = primals
    others, (_, dz, dh) = tangents[:2], tangents[2:]
    if jax.tree.leaves(others):
        raise NotImplementedError("what an analysis finds is differentiated by the state alone, not by parameters")
    flow = lambda z, h: dynamics.flow(t, t + h, z, control)[0]
    fixed = lambda z: flow(z, h)
    if dh is None:
        z1, J = jacobian(fixed, z)
        return z1, J @ dz
    z1, J = jacobian(lambda both: flow(both[:-1], both[-1]), jnp.append(z, h))
    return z1, J @ jnp.append(jnp.zeros_like(z) if dz is None else dz, dh)


def jacobian(
    function: Callable, z: Float[Array, " given"]
) -> tuple[Float[Array, " state"], Float[Array, "state given"]]:
    """The value and the Jacobian, by whichever mode goes."""
    return pushed(function, z, jnp.eye(z.shape[0], dtype=z.dtype))


def pushed(
    function: Callable, z: Float[Array, " given"], tangents: Float[Array, "given tangent"]
) -> tuple[Float[Array, " state"], Float[Array, "state tangent"]]:
    """The value, and the Jacobian times tangent vectors, the columns."""
    if _goes(lambda z, tangents: along(function, z, tangents), z, tangents):
        return along(function, z, tangents)
    z1, pull = jax.vjp(function, z)
    rows = jax.vmap(lambda v: pull(v)[0])(jnp.eye(z1.shape[0], dtype=z1.dtype))
    return z1, rows @ tangents


def along(function: Callable, z, tangents) -> tuple[Array, Array]:
    """The same in forward mode."""
    of = lambda v: jax.jvp(function, (z,), (v,))
    return jax.vmap(of, in_axes=1, out_axes=(None, 1))(tangents)


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
