"""Underdamped Langevin dynamics: positions and velocities in a potential, damped, at a temperature."""

from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels._core._arguments import before, check_called
from ctmodels._core._words import kind_of
from ctmodels.fields._potentials import number
from ctmodels.fields._sde import AbstractSDE


def _potential(value: Any) -> Any:
    check_called(
        "potential", value, "U(z) -> scalar of z: (d,)", "as ct.fields.Quadratic(1.0) or ct.fields.DoubleWell()"
    )
    return value


def _control(value: Any) -> Any:
    if value is not None:
        check_called("control", value, "control(t, state, args) -> (d,)", "None: no force but the potential's")
    return value


def _check_state(state: Any, weighed: bool) -> None:
    least = 2 + 2 * weighed
    array = isinstance(state, jax.Array | np.ndarray) and state.ndim == 1
    if not array or state.shape[0] % 2 or state.shape[0] < least:
        wanted = "[z, v, 0, 0], (2 d + 2,)" if weighed else "[z, v], (2 d,)"
        raise ValueError(f"y0: {kind_of(state)}: the state of a Langevin is one array {wanted}: langevin.state(z, v)")


class Langevin(AbstractSDE):
    r"""Positions z and velocities v in a potential U, damped, at a temperature T: one state `[z, v]`, `(2 d,)`,

    $$dz = v\,dt, \qquad dv = \left(-\nabla U(z) - \gamma v + r(t, z, v)\right) dt + \sqrt{2 \gamma T}\,dW$$

    Without the control r its stationary density is $e^{-(U(z) + |v|^2 / 2) / T}$ up to a factor. It is solved as a
    [`ctmodels.fields.SDE`][] of additive noise is, by each of its methods, and best by [`ctmodels.BAOAB`][] or
    [`ctmodels.OBABO`][], which know its parts; with steps that adapt, without a control, by `diffrax.ALIGN()`.

    **Arguments:**

    - `potential`: `U(z)`, a scalar of `(d,)`: [`ctmodels.fields.Quadratic`][], [`ctmodels.fields.DoubleWell`][],
      [`ctmodels.fields.MLPPotential`][], [`ctmodels.fields.CoupledOscillators`][], or any function.
    - `gamma`: the damping, per unit of time, and `temperature`: a number, which is fixed, or an array, `()` or `(d,)`,
      which is learned; not negative. What is learned stays positive if it is kept as what `jax.nn.softplus` is taken
      of, and the `Langevin` is made anew of that for each solve. With both zero it is the motion by Newton's law.
    - `control`: `r(t, state, args) -> (d,)`, a force, of a state `[z, v]`: that of a posterior, say.
    - `weighed`: the state has two entries more, `(2 d + 2,)`, which begin at zero: the divergence of the controlled
      path from the free one, $\int |r|^2 / (4 \gamma T)\,dt$, and $\log p/q$ of the path that was drawn, p without the
      control and q with it. Of the steps of [`ctmodels.BAOAB`][] and [`ctmodels.OBABO`][] both are exact.
    - `drawn`: whether noise is drawn; False, for the methods named so far alone: each increment is its mean, zero, and
      a solve takes no key.

    **Good values:** gamma of about the slowest frequency that the potential has, the root of its least curvature: less
    rings on, more creeps. Each step as long as a fifth of the inverse of the fastest.
    """

    potential: Callable = eqx.field(converter=_potential)
    gamma: float | Float[Array, "..."] = eqx.field(default=1.0, converter=number("gamma", 0))
    temperature: float | Float[Array, "..."] = eqx.field(default=1.0, converter=number("temperature", 0))
    control: Callable | None = eqx.field(default=None, converter=_control)
    weighed: bool = eqx.field(static=True, default=False)
    drawn: bool = eqx.field(static=True, default=True, kw_only=True)
    interpretation: ClassVar[str] = "ito"

    def __check_init__(self):
        for name in ("gamma", "temperature"):
            value = getattr(self, name)
            if self.weighed and not isinstance(value, jax.core.Tracer) and not np.all(np.asarray(value) > 0):
                raise ValueError(
                    f"{name}: 0 with weighed=True: without noise a controlled path has no divergence from the free "
                    f"one: give a positive {name}, or leave out weighed"
                )

    @property
    def noise(self) -> str:
        """The log weight's noise depends on the state by the control."""
        return "general" if self.weighed else "additive"

    def state(self, z: Float[Array, " d"], v: Float[Array, " d"]) -> Float[Array, " state"]:
        """One that begins at position and velocity: `[z, v]`, and the two zeros of `weighed`."""
        return jnp.concatenate([z, v, jnp.zeros(2 * self.weighed, z.dtype)])

    @before(lambda self, state: _check_state(state, self.weighed))
    def split(self, state: Float[Array, " state"]) -> tuple[Array, Array, Array]:
        """Position, velocity, and what weighs: `(d,)`, `(d,)`, and `(2,)` or `(0,)`."""
        d = state.shape[0] // 2 - self.weighed
        return state[:d], state[d : 2 * d], state[2 * d :]

    def of(self, name: str, z: Float[Array, " d"]) -> Float[Array, "..."]:
        """Damping or temperature, as what multiplies this."""
        value = jnp.asarray(getattr(self, name), z.dtype)
        if value.shape not in ((), z.shape):
            raise ValueError(
                f"{name}: shape {value.shape}: a number or one for each of {z.shape[0]} positions is needed"
            )
        return value

    def force(self, z: Float[Array, " d"]) -> Float[Array, " d"]:
        """That of the potential, minus its gradient."""

        def potential(z):
            u = self.potential(z)
            if jnp.shape(u) != ():
                raise ValueError(f"potential: of shape {jnp.shape(u)} for z of {z.shape}: a scalar is wanted: sum it")
            return u

        return -jax.grad(potential)(z)

    def push(self, t, z: Float[Array, " d"], v: Float[Array, " d"], args: PyTree) -> Float[Array, " d"]:
        """The control's force."""
        if self.control is None:
            return jnp.zeros_like(z)
        r = self.control(t, jnp.concatenate([z, v]), args)
        if jnp.shape(r) != z.shape or r.dtype != z.dtype:
            raise ValueError(f"control: {kind_of(r)}, where a force of {z.dtype}, shape {z.shape}, is wanted")
        return r

    def drift(self, t, y: Float[Array, " state"], args: PyTree) -> Float[Array, " state"]:
        """Rates of the state, and of what weighs."""
        z, v, _ = self.split(y)
        r, gamma = self.push(t, z, v, args), self.of("gamma", z)
        slope = jnp.concatenate([v, self.force(z) - gamma * v + r])
        if not self.weighed:
            return slope
        rate = jnp.sum(r**2 / (4 * gamma * self.of("temperature", z)))
        return jnp.concatenate([slope, jnp.stack([rate, -rate])])

    def diffusion(self, t, y: Float[Array, " state"], args: PyTree) -> Float[Array, "state d"]:
        """`(state, d)`, of the velocities; and of the log weight."""
        z, v, _ = self.split(y)
        twice = jnp.broadcast_to(2 * self.of("gamma", z) * self.of("temperature", z), z.shape)
        spread = jnp.where(twice > 0, jnp.sqrt(jnp.where(twice > 0, twice, 1)), 0)  # a root has no slope at zero
        rows = [jnp.zeros((z.shape[0], z.shape[0]), z.dtype), jnp.diag(spread)]
        if self.weighed:
            rows += [jnp.zeros((1, z.shape[0]), z.dtype), -(self.push(t, z, v, args) / spread)[None]]
        return jnp.concatenate(rows)
