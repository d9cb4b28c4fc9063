"""What of a step's Jacobian an iteration keeps: all of it, its diagonal, blocks on it; and how far it believes the new
iterate.

A state is written as one vector, `(n,)`, or as many short ones, `(unit, k)`, on each of which a matrix of its own acts.
"""

import abc
import math
from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels.ssm._affine import affine_scan, apply
from ctmodels.ssm._filter import filtered_covariances

Step = Callable[[Array], Array]


class AbstractLinearisation(eqx.Module):
    """Which linear recurrence is solved in place of the nonlinear one, at each iteration.

    - `exact`: whether it has the whole Jacobian of the step, so that Newton's method converges quadratically.
    - `finite`: whether after k iterations the first k rows are those of the sequential recurrence, whatever the step.
    """

    exact: eqx.AbstractClassVar[bool]
    finite: eqx.AbstractClassVar[bool]

    @abc.abstractmethod
    def vector(self, h: Array) -> Array:
        """A state as what matrices act on, `(n,)` or `(unit, k)`."""

    @abc.abstractmethod
    def state(self, v: Array, shape: tuple[int, ...]) -> Array:
        """Back again."""

    @abc.abstractmethod
    def jacobian(self, step: Step, v: Array) -> tuple[Array, Array]:
        """What a step, from vectors to vectors, makes of `v`, and its matrices there: `(n, n)`, `(unit, k, k)`, or of
        diagonal ones `(n,)`."""

    def following(self, A: Array, values: Array, hs: Array, *, parallel: bool | None) -> Array:
        """The iterate that follows `hs`, by the steps' values there and their matrices: of h_t = value_t + A_t d_(t-1)
        and d = h - `hs`. As d is solved for, a row after right rows is its step's value to the last bit."""
        d = affine_scan(A, values - hs, parallel=parallel)
        return jnp.concatenate([values[:1], values[1:] + apply(A[1:], d[:-1])])


class FullJacobian(AbstractLinearisation):
    r"""The whole Jacobian: Newton's method (DEER, Lim et al. 2024).

    $h^{k+1}_t = f(h^k_{t-1}, x_t) + J_t (h^{k+1}_{t-1} - h^k_{t-1})$, with $J_t = \partial f / \partial h$ at
    $(h^k_{t-1}, x_t)$. It takes T n^2 of memory and, in parallel, T n^3 operations an iteration: for n up to 64 or so.
    """

    exact: ClassVar[bool] = True
    finite: ClassVar[bool] = True

    def vector(self, h):
        return h.reshape(-1)

    def state(self, v, shape):
        return v.reshape(shape)

    def jacobian(self, step, v):
        value, push = jax.linearize(step, v)
        return value, jax.vmap(push, out_axes=1)(jnp.eye(v.shape[0], dtype=v.dtype))


class DiagonalJacobian(AbstractLinearisation):
    """The diagonal of the Jacobian, for a step that mixes its units: quasi-Newton (quasi-DEER, Gonzalez et al. 2024).

    It takes T n of memory, n tangents of the step one after the other, and more iterations than the whole: the less the
    units mix, the fewer. For a step that does not mix them at all, [`ctmodels.ssm.BlockJacobian`][] takes one tangent.
    """

    exact: ClassVar[bool] = False
    finite: ClassVar[bool] = True

    def vector(self, h):
        return h.reshape(-1)

    def state(self, v, shape):
        return v.reshape(shape)

    def jacobian(self, step, v):
        value, push = jax.linearize(step, v)
        at = jnp.arange(v.shape[0])
        return value, jax.lax.map(lambda i: push((at == i).astype(v.dtype))[i], at)


class BlockJacobian(AbstractLinearisation):
    r"""Blocks on the diagonal, of a state `(k, ...)` whose units, along all axes but the first, do not mix: exact, by k
    tangents of the step (ParaRNN, Danieli et al. 2026). A state `(n,)` has blocks of one, a diagonal Jacobian.

    It takes T n k of memory and T n k^2 operations in parallel. A step that does mix its units still comes to the right
    states, in more iterations, but its gradient is NaN.
    """

    exact: ClassVar[bool] = True
    finite: ClassVar[bool] = True

    def vector(self, h):
        return h if h.ndim < 2 else jnp.moveaxis(h.reshape(h.shape[0], -1), 0, 1)

    def state(self, v, shape):
        return v.reshape(shape) if len(shape) < 2 else jnp.moveaxis(v, 1, 0).reshape(shape)

    def jacobian(self, step, v):
        value, push = jax.linearize(step, v)
        if v.ndim < 2:
            return value, push(jnp.ones_like(v))
        along = jnp.broadcast_to(jnp.eye(v.shape[1], dtype=v.dtype)[:, None], (v.shape[1], *v.shape))
        return value, jax.vmap(push, out_axes=2)(along)


class Damped(AbstractLinearisation):
    r"""A trust region (ELK, Gonzalez et al. 2024): the new iterate is believed only as far as it is near to the last.

    It is the filtered mean of the chain $h_t = A_t h_{t-1} + b_t + \epsilon$, $\epsilon \sim N(0, I)$, which is
    observed as the last iterate, with noise of variance $1/\lambda$. Where the recurrence is unstable, a Newton step
    overflows and this one does not; where it is stable, it costs iterations, since each keeps at least $\lambda / (1 +
    \lambda)$ of the error.

    **Arguments:** `of`: what is linearised and how; `damping`: $\lambda$, positive, and 0 in the limit for none.

    **Good values:** `Damped(FullJacobian(), 0.1)`, where the undamped one runs away.
    """

    of: AbstractLinearisation = FullJacobian()
    damping: float = eqx.field(static=True, default=0.1)
    exact: ClassVar[bool] = False
    finite: ClassVar[bool] = False

    def __check_init__(self):
        if not (math.isfinite(self.damping) and self.damping > 0):
            raise ValueError(f"damping={self.damping}: must be positive and finite; for none, give {self.of} itself")

    def vector(self, h):
        return self.of.vector(h)

    def state(self, v, shape):
        return self.of.state(v, shape)

    def jacobian(self, step, v):
        return self.of.jacobian(step, v)

    def following(self, A, values, hs, *, parallel):
        diagonal = A.ndim == hs.ndim
        matrices = A[..., None, None] if diagonal else A
        # With h = hs + d for the mean, hs observed, and the gain K = damping P: d_t = (I - K) (A d_(t-1) + value - hs).
        gains = self.damping * filtered_covariances(matrices, self.damping, parallel=parallel)
        kept = jnp.eye(gains.shape[-1], dtype=gains.dtype)[(None,) * (gains.ndim - 2)] - gains
        if diagonal:
            kept = kept[..., 0, 0]
        return hs + affine_scan(kept * A if diagonal else kept @ A, apply(kept, values - hs), parallel=parallel)


def shifted(hs: Float[Array, "time ..."], h0: Float[Array, "..."]) -> Float[Array, "time ..."]:
    """What each row starts from."""
    return jnp.concatenate([h0[None], hs[:-1]])
