r"""A law that is a sum of few simple terms: $\dot y_c = \sum_k \Xi_{ck}\, \theta_k(y, u)$.

The terms are monomials, and sines and cosines. Brunton, Proctor and Kutz, PNAS 113, 3932 (2016).
"""

import functools
import itertools
from collections.abc import Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PyTree


class Library(eqx.Module):
    r"""Terms $\theta_k(x)$: all monomials in x up to a degree, from 1 on, then $\sin(j x_i)$ and $\cos(j x_i)$.

    **Arguments:** `variables`: of x; `degree`: the highest; `waves`: j goes from 1 to this, 0 for none.

    **Good values:** degree 2 or 3; of d variables there are `(d + degree)! / (d! degree!)` monomials.
    """

    variables: int = eqx.field(static=True)
    degree: int = eqx.field(static=True, default=2)
    waves: int = eqx.field(static=True, default=0)

    def __check_init__(self):
        if self.variables < 1 or self.degree < 0 or self.waves < 0:
            raise ValueError(
                f"Library: variables={self.variables}, degree={self.degree}, waves={self.waves}: at least one "
                "variable, and no negative numbers"
            )

    def __call__(self, x: Float[Array, " variable"]) -> Float[Array, " term"]:
        padded = jnp.concatenate([jnp.ones(1, x.dtype), x])
        terms = jnp.ones(len(_exponents(self.variables, self.degree)), x.dtype)
        for chosen in _selections(self.variables, self.degree):
            # As a product, whose transpose is one: that of an index is slow on the CPU (JAX 0.9).
            terms = terms * jnp.matmul(jnp.asarray(chosen, x.dtype), padded, precision=jax.lax.Precision.HIGHEST)
        turns = [wave(j * x) for j in range(1, self.waves + 1) for wave in (jnp.sin, jnp.cos)]
        return jnp.concatenate([terms, *turns])

    @property
    def size(self) -> int:
        """How many terms there are."""
        return len(_exponents(self.variables, self.degree)) + 2 * self.waves * self.variables

    @property
    def exponents(self) -> list[tuple[int, ...]]:
        """Of each monomial its factors: the numbers of their variables."""
        return _exponents(self.variables, self.degree)

    def describe(self) -> str:
        """In words."""
        waves = f", and {self.waves} waves of each" if self.waves else ""
        return f"monomials up to degree {self.degree}{waves}"

    def names(self, names: Sequence[str] | None = None) -> list[str]:
        """What the terms are called, of variables of these names; default x0, x1, ..."""
        names = [f"x{i}" for i in range(self.variables)] if names is None else list(names)
        if len(names) != self.variables:
            raise ValueError(f"names: {len(names)} of them, {names}: there are {self.variables} variables")
        products = [_product([names[i] for i in row]) for row in _exponents(self.variables, self.degree)]
        count = lambda j: "" if j == 1 else f"{j} "
        turns = range(1, self.waves + 1)
        return products + [f"{wave}({count(j)}{name})" for j in turns for wave in ("sin", "cos") for name in names]


class SparseField(eqx.Module):
    r"""$f(t, y) = \Xi\, \theta(y, u(t))$ with few entries of $\Xi$ that are not zero, u = `args` if there are inputs.

    Those that are zero stay so: training moves the others.

    **Arguments:** `library`: the terms, of the state and then of the inputs; `coefficients`: `(channel, term)`;
    `active`: which are not zero, by default as they are.
    """

    library: Library
    coefficients: Float[Array, "*batch channel term"]
    active: Bool[Array, "*batch channel term"]

    def __init__(self, library: Library, coefficients, active=None):
        self.library = library
        self.coefficients = coefficients
        self.active = (coefficients != 0) if active is None else active

    def __call__(self, t, y: Float[Array, " state"], args: PyTree) -> Float[Array, " state"]:
        x = jnp.concatenate([y, args(t)]) if self.library.variables > y.shape[0] else y
        return jnp.where(self.active, self.coefficients, 0) @ self.library(x)

    def formula(
        self, names: Sequence[str] | None = None, inputs: Sequence[str] | None = None, *, digits: int = 4
    ) -> str:
        """The law in words, a line for each channel: `x' = -10 x + 10 y`."""
        coefficients = np.where(self.active, self.coefficients, 0)
        channels, count = coefficients.shape[0], self.library.variables - coefficients.shape[0]
        names = [f"x{i}" for i in range(channels)] if names is None else list(names)
        inputs = [f"u{i}" for i in range(count)] if inputs is None else list(inputs)
        terms = self.library.names([*names, *inputs])
        return "\n".join(f"{name}' = {_sum(row, terms, digits)}" for name, row in zip(names, coefficients, strict=True))


@functools.cache
def _exponents(variables: int, degree: int) -> list[tuple[int, ...]]:
    """The variables of each monomial, from degree 0 up, in order."""
    degrees = range(degree + 1)
    return [row for d in degrees for row in itertools.combinations_with_replacement(range(variables), d)]


@functools.cache
def _selections(variables: int, degree: int) -> np.ndarray:
    """`(degree, term, 1 + variable)`: the factors of each monomial, among 1 and the variables."""
    rows = _exponents(variables, degree)
    chosen = np.array([[*(np.asarray(row, int) + 1), *[0] * (degree - len(row))] for row in rows], int)
    return np.eye(1 + variables)[chosen.reshape(len(rows), degree)].transpose(1, 0, 2)


def _product(factors: Sequence[str]) -> str:
    powers = {factor: list(factors).count(factor) for factor in factors}
    return " ".join(name if n == 1 else f"{name}^{n}" for name, n in powers.items()) or "1"


def _sum(row: np.ndarray, terms: list[str], digits: int) -> str:
    """Coefficients and terms, with signs between."""
    text = ""
    for value, term in zip(row.tolist(), terms, strict=True):
        if value != 0:
            sign = (" - " if value < 0 else " + ") if text else ("-" if value < 0 else "")
            text += f"{sign}{abs(value):.{digits}g}" + ("" if term == "1" else f" {term}")
    return text or "0"
