"""What the integrator needs to know of an explicit Runge-Kutta method of diffrax: its tableau, and its interpolant as a
matrix."""

import functools
import operator
from collections.abc import Sequence
from typing import Any

import diffrax
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels.measures import Step
from ctmodels.measures._step import rms


class Method:
    """An explicit Runge-Kutta method: g_i = y0 + h sum_j a_ij f_j, y1 = y0 + h sum_i b_i f_i.

    Between the ends, y(t0 + theta h) = w_0 y0 + w_1 y1 + h sum_i w_(2+i) f_i, with polynomials w(theta).
    """

    def __init__(self, solver: diffrax.AbstractERK):
        self.tableau: diffrax.ButcherTableau = solver.tableau  # pyright: ignore
        self.order = int(solver.order(diffrax.ODETerm(lambda t, y, args: y)))  # pyright: ignore
        self.stages = len(self.tableau.b_sol)
        self.fsal = bool(self.tableau.fsal)
        self.nodes = [0.0, *self.tableau.c.tolist()]
        self._solver = type(solver)

    @property
    def interpolant(self) -> np.ndarray:
        """Coefficients (power of theta, term) of w."""
        return _interpolant(self._solver)

    @property
    def fresh(self) -> int:
        """Field evaluations of a step: the first slope is the last of the step before, if the method is FSAL."""
        return self.stages - self.fsal

    def step(self, field, t, h, y, f0) -> tuple[Any, tuple]:
        """Of an array, or a state that has its arithmetic: y1 and the slopes of all stages. `f0` is field(t, y), and
        not looked at unless the method is FSAL."""
        h_y = h.astype(y.dtype)
        fs = [f0 if self.fsal else field(t, y)]
        g = y
        for i in range(1, self.stages):
            g = self.point(i, h_y, y, fs)
            fs.append(field(t + self.nodes[i] * h, g))
        y1 = g if self.tableau.ssal else y + h_y * self.along(None, fs)
        return y1, tuple(fs)

    def along(self, i: int | None, fs: Sequence) -> Any:
        """sum_j a_ij f_j, by which the i-th stage is away from y0 (i > 0); sum_j b_j f_j (None)."""
        return combine(self.tableau.b_sol if i is None else self.tableau.a_lower[i - 1], fs)

    def point(self, i: int, h, y, fs: Sequence) -> Any:
        """g_i, where the i-th slope is taken."""
        return y + h * self.along(i, fs) if i else y

    def weight(self, i: int, j: int) -> float:
        """a_ij, for i > j."""
        return self.tableau.a_lower[i - 1][j].item()

    def error(self, h, fs: Sequence) -> Any:
        """The embedded estimate of the local error; None where the method has none."""
        if not np.any(self.tableau.b_error):
            return None
        return h.astype(fs[0].dtype) * combine(self.tableau.b_error, fs)

    def taken(self, field, t, h, y, y1, fs, *, tolerance=None, noise=None, norm=rms) -> Step:
        """The step as measures want to see it."""
        h_y = h.astype(y.dtype)
        return Step(
            t=t,
            h=h_y,
            y0=y,
            y1=y1,
            k=jnp.stack([h_y * f for f in fs]),
            tableau=self.tableau,
            error=self.error(h, fs),
            tolerance=tolerance,
            field=field,
            noise=noise,
            norm=norm,
        )

    def weights(self, theta: Float[Array, "..."]) -> list[Float[Array, "..."]]:
        """w(theta): weights of y0, y1 and the slopes times h."""
        horner = lambda w, c: w * theta + c.item()
        return [functools.reduce(horner, c[::-1], jnp.zeros_like(theta)) for c in self.interpolant.T]

    def slopes(self, theta: Float[Array, "..."]) -> list[Float[Array, "..."]]:
        """dw/dtheta."""
        return jax.jvp(self.weights, (theta,), (jnp.ones_like(theta),))[1]


def combine(weights: np.ndarray, fs: Sequence) -> Any:
    """Of slopes, arrays or states, their weighted sum."""
    return functools.reduce(operator.add, (w.item() * f for w, f in zip(weights, fs, strict=False) if w != 0))


@functools.cache
def _interpolant(solver: type[diffrax.AbstractERK]) -> np.ndarray:
    """Coefficients (power of theta, term) of w. Diffrax interpolates linearly in (y0, y1, k), by polynomials in theta:
    its interpolation of the unit vectors, at enough points, gives them in float64, whatever the precision in use."""
    degree = 8  # more than any of them has; what is beyond comes out as zero
    theta = 0.5 - 0.5 * np.cos(np.pi * np.arange(degree + 1) / degree)

    def weights(theta):
        stages = len(solver.tableau.b_sol)  # pyright: ignore
        unit = jnp.eye(stages + 2, dtype=theta.dtype)
        line = solver.interpolation_cls(t0=0 * theta, t1=1 + 0 * theta, y0=unit[0], y1=unit[1], k=unit[2:])
        return line.evaluate(theta)

    with jax.enable_x64(True):  # pyright: ignore
        values = np.asarray(jax.jit(jax.vmap(weights)).lower(theta).compile()(theta))
    P = np.linalg.solve(np.vander(theta, increasing=True), values)
    P = np.where(np.abs(P) < 1e-9, 0, P)
    return P[: 1 + np.flatnonzero(np.any(P != 0, axis=1)).max()]
