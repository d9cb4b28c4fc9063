"""Measures of accepted steps: the solver's own heuristics, and integrals along the solution.

Norms are `Step.norm`: root mean squares, over one sample's state, or over the batch's if it shares its steps.
"""

import dataclasses
import functools

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.jet import jet
from jaxtyping import Array, Float

from ctmodels._integrate._account import Step, maximum_over_steps

# -- the solver's heuristics (Pal, Ma, Shah, Rackauckas 2021)


def local_error(step: Step) -> Float[Array, ""]:
    """||E_j|| |h_j|: the summand of ERNODE's regulariser, as the paper has it."""
    return step.norm(_error(step, "local_error")) * jnp.abs(step.h)


def scaled_error(step: Step) -> Float[Array, ""]:
    """q_j |h_j|, where q_j = ||E_j / (atol + rtol max(|y0|, |y1|))|| is at most one on an accepted step: the summand of
    ERNODE's regulariser, as its released code has it."""
    error = _error(step, "scaled_error")
    if step.tolerance is None:
        raise ValueError(
            "measures: `scaled_error` is in units of the tolerance, and a fixed grid has none; ask for "
            "`local_error`, or give a diffrax.PIDController"
        )
    return step.norm(error / step.tolerance) * jnp.abs(step.h)


def stiffness(step: Step) -> Float[Array, ""]:
    """S_j |h_j|, where S_j = ||f(g_a) - f(g_b)|| / ||g_a - g_b|| of two stages at the end of the step estimates
    the largest eigenvalue (Shampine 1977): the summand of SRNODE's regulariser, as the paper has it."""
    a, b = stages_at_end(step.tableau)
    apart = step.tableau.a_lower[a - 1] - np.append(step.tableau.a_lower[b - 1], np.zeros(a - b))
    run = step.norm(sum(w.item() * step.k[j] for j, w in enumerate(apart) if w != 0))  # g_a - g_b
    rise = step.norm(step.k[a] - step.k[b])
    return jnp.where(run > 0, rise / jnp.where(run > 0, run, 1), 0)


def eigenvalue(step: Step) -> Float[Array, ""]:
    """S_j / (the largest |z| on the negative real axis at which the method is stable)."""
    h = jnp.abs(step.h)
    return jnp.where(h > 0, stiffness(step) / jnp.where(h > 0, h, 1), 0) / stability_size(step.tableau)


largest_eigenvalue = maximum_over_steps(eigenvalue)
"""The largest of them: SRNODE's regulariser, as its released code has it."""


# -- integrals along the solution


def kinetic(step: Step) -> Float[Array, ""]:
    """Integral of ||f||^2 dt (RNODE; Finlay, Jacobsen, Nurbekyan, Oberman 2020)."""
    return step.integral(lambda i: step.norm(_slope(step, i)) ** 2)


def path_length(step: Step) -> Float[Array, ""]:
    """Integral of ||f|| dt: the length of the path."""
    return step.integral(lambda i: step.norm(_slope(step, i)))


def jacobian(step: Step) -> Float[Array, ""]:
    """Integral of ||eps^T df/dy||^2 dt, whose mean over eps is the Frobenius norm of the Jacobian, squared, over the
    size of the state (RNODE; Hutchinson 1990). One eps for a solve, from `key`."""

    def rate(i: int):
        t, g = step.stage(i)
        return step.norm(jax.vjp(lambda y: step.field(t, y), g)[1](step.noise)[0]) ** 2

    return step.integral(rate)


jacobian.needs_noise = True


@dataclasses.dataclass(frozen=True)
class taylor:
    """Integral of ||d^K y/dt^K||^2 dt along the solution (TayNODE; Kelly, Bettencourt, Johnson, Duvenaud 2020), by
    Taylor mode. `order`: K, at least 1; the method's order plus one is what its steps feel."""

    order: int

    def __post_init__(self):
        if self.order < 1:
            raise ValueError(f"taylor: order={self.order} must be at least 1")

    @property
    def __name__(self) -> str:
        return f"taylor_{self.order}"

    def __call__(self, step: Step) -> Float[Array, ""]:
        try:
            return step.integral(lambda i: step.norm(self.derivative(step.field, *step.stage(i))) ** 2)
        except (NotImplementedError, KeyError) as error:  # the latter where jet has no rule
            raise ValueError(
                f"measures: `{self.__name__}` cannot go through this field: jax.experimental.jet lacks a rule "
                f"({error}); write that operation of others, or use `kinetic`, `jacobian` or `local_error`"
            ) from error

    def derivative(self, field, t, y) -> Array:
        """d^K y/dt^K where y' = f(t, y): each derivative of y is one more of f along it."""
        known = [field(t, y)]
        for _ in range(self.order - 1):
            clock = [jnp.ones_like(t), *[jnp.zeros_like(t)] * (len(known) - 1)]
            first, rest = jet(field, (t, y), (clock, known))
            known = [first, *rest]
        return known[-1]


# -- their parts


def _error(step: Step, name: str) -> Array:
    if step.error is None:
        raise ValueError(
            f"measures: `{name}` needs a method with an embedded error estimate, as Heun, Bosh3, Tsit5, "
            "Dopri5 or Dopri8 have; this method has none"
        )
    return step.error


def _slope(step: Step, i: int) -> Array:
    return jnp.where(step.h != 0, step.k[i] / jnp.where(step.h != 0, step.h, 1), 0)


def stages_at_end(tableau: diffrax.ButcherTableau) -> tuple[int, int]:
    at_end = 1 + np.flatnonzero(np.isclose(tableau.c, 1.0))
    if len(at_end) < 2:
        raise ValueError(
            "measures: `stiffness` compares two stages at the end of the step, as Tsit5, Dopri5 and Dopri8 "
            "have; this method has fewer"
        )
    return int(at_end[-1]), int(at_end[-2])


def stability_size(tableau: diffrax.ButcherTableau) -> float:
    """The largest x for which |R| <= 1 on all of [-x, 0], where R(z) = 1 + z b^T (1 - z A)^-1 1."""
    return _stability_size(tuple(map(tuple, tableau.a_lower)), tuple(tableau.b_sol))


@functools.cache
def _stability_size(a_lower, b_sol) -> float:
    s = len(b_sol)
    A = np.zeros((s, s))
    for i, row in enumerate(a_lower):
        A[i + 1, : len(row)] = row
    powers, v = [1.0], np.ones(s)
    for _ in range(s):
        powers.append(float(np.asarray(b_sol) @ v))
        v = A @ v
    x = np.linspace(0, 40, 400_001)
    beyond = np.abs(np.polynomial.polynomial.polyval(-x, powers)) > 1 + 1e-9
    return float(x[np.argmax(beyond)])
