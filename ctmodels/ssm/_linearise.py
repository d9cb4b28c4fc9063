"""What of a step's Jacobian an iteration keeps: all of it, its diagonal, or blocks on it.

A state is written as one vector, `(n,)`, or as many short ones, `(unit, k)`, on each of which a matrix of its own acts.
"""

import abc
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._loops import varying_alike

Step = Callable[[Array], Array]
Linearised = tuple[Float[Array, "..."], Float[Array, "..."]]


def _linear(step: Step, v: Array) -> tuple[Array, Step]:
    """A step's value, and where it carries tangents: from any that do not vary over devices, to such as do."""
    value, push = jax.linearize(step, v)
    return value, lambda tangent: push(varying_alike(tangent, like=v))


class AbstractLinearisation(eqx.Module):
    """Which linear recurrence is solved in place of the nonlinear one, at each iteration.

    - `exact`: whether it has the whole Jacobian of the step, so that Newton's method converges quadratically.
    """

    exact: eqx.AbstractClassVar[bool]

    @abc.abstractmethod
    def vector(self, h: Float[Array, "..."]) -> Float[Array, "..."]:
        """A state as what matrices act on, `(n,)` or `(unit, k)`."""

    @abc.abstractmethod
    def state(self, v: Float[Array, "..."], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Back again, in a state's shape."""

    @abc.abstractmethod
    def jacobian(self, step: Step, v: Float[Array, "..."]) -> Linearised:
        """What a step, from vectors to vectors, makes of `v`, and its matrices there: `(n, n)`, `(unit, k, k)`, or of
        diagonal ones `(n,)`."""


class FullJacobian(AbstractLinearisation):
    r"""The whole Jacobian: Newton's method (DEER, Lim et al. 2024).

    $h^{k+1}_t = f(h^k_{t-1}, x_t) + J_t (h^{k+1}_{t-1} - h^k_{t-1})$, with $J_t = \partial f / \partial h$ at
    $(h^k_{t-1}, x_t)$. It takes T n^2 of memory and, in parallel, T n^3 operations an iteration: for n up to 64 or so.
    """

    exact: ClassVar[bool] = True

    def vector(self, h: Float[Array, "..."]) -> Float[Array, "..."]:
        """`(n,)`."""
        return h.reshape(-1)

    def state(self, v: Float[Array, "..."], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Back again."""
        return v.reshape(shape)

    def jacobian(self, step: Step, v: Float[Array, "..."]) -> Linearised:
        """By n tangents at once."""
        value, push = _linear(step, v)
        return value, jax.vmap(push, out_axes=1)(jnp.eye(v.shape[0], dtype=v.dtype))


class DiagonalJacobian(AbstractLinearisation):
    """The diagonal of the Jacobian, for a step that mixes its units: quasi-Newton (quasi-DEER, Gonzalez et al. 2024).

    It takes T n of memory, n tangents of the step one after the other, and more iterations than the whole: the less the
    units mix, the fewer. For a step that does not mix them at all, [`ctmodels.ssm.BlockJacobian`][] takes one tangent.
    """

    exact: ClassVar[bool] = False

    def vector(self, h: Float[Array, "..."]) -> Float[Array, "..."]:
        """`(n,)`."""
        return h.reshape(-1)

    def state(self, v: Float[Array, "..."], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Back again."""
        return v.reshape(shape)

    def jacobian(self, step: Step, v: Float[Array, "..."]) -> Linearised:
        """By n tangents, of each of which one entry is kept."""
        value, push = _linear(step, v)
        at = jnp.arange(v.shape[0])
        return value, jax.lax.map(lambda i: push((at == i).astype(v.dtype))[i], at)


class BlockJacobian(AbstractLinearisation):
    r"""Blocks on the diagonal, of a state `(k, ...)` whose units, along all axes but the first, do not mix: exact, by k
    tangents of the step (ParaRNN, Danieli et al. 2026). A state `(n,)` has blocks of one, a diagonal Jacobian.

    It takes T n k of memory and T n k^2 operations in parallel. A step that does mix its units still comes to the right
    states, in more iterations, but its gradient is NaN.
    """

    exact: ClassVar[bool] = True

    def vector(self, h: Float[Array, "..."]) -> Float[Array, "..."]:
        """`(unit, k)`, or `(n,)` as it is."""
        return h if h.ndim < 2 else jnp.moveaxis(h.reshape(h.shape[0], -1), 0, 1)

    def state(self, v: Float[Array, "..."], shape: tuple[int, ...]) -> Float[Array, "..."]:
        """Back again."""
        return v.reshape(shape) if len(shape) < 2 else jnp.moveaxis(v, 1, 0).reshape(shape)

    def jacobian(self, step: Step, v: Float[Array, "..."]) -> Linearised:
        """By one tangent for all units at once, for each of their k numbers."""
        value, push = _linear(step, v)
        if v.ndim < 2:
            return value, push(jnp.ones_like(v))
        along = jnp.broadcast_to(jnp.eye(v.shape[1], dtype=v.dtype)[:, None], (v.shape[1], *v.shape))
        return value, jax.vmap(push, out_axes=2)(along)
