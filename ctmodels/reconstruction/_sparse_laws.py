"""A sparse law as a candidate: polynomials of few terms, and what they say in the user's units."""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels import regression
from ctmodels._core._series import Series
from ctmodels.fields import Library, SparseField
from ctmodels.models import NeuralODE
from ctmodels.reconstruction._candidate import Problem
from ctmodels.reconstruction._regressed import Family, Trials, as_lists

LAWS = tuple(itertools.product((1, 2, 3), (10, 20, 40)))  # degree, rows of a window
TERMS = 100  # at most
FAR = 3.0  # standard deviations: values further from zero have monomials that cannot be told apart


class Uncentred(eqx.Module):
    """A field of values that are scaled, but not moved to a mean of zero: few terms stay few."""

    field: SparseField
    state: tuple[float, ...] = eqx.field(static=True)
    inputs: tuple[float, ...] = eqx.field(static=True)

    def __call__(self, t, y: Float[Array, " state"], args: PyTree) -> Float[Array, " state"]:
        moved = lambda t: args(t) + jnp.asarray(self.inputs, y.dtype)
        return self.field(t, y + jnp.asarray(self.state, y.dtype), moved)


def _offsets(problem: Problem) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The means in standard deviations, of channels and inputs; zeros where these are far off."""
    scalings = [problem.scaling, *([] if problem.input_scaling is None else [problem.input_scaling])]
    away = [np.asarray(s.mean) / np.asarray(s.std) for s in scalings]
    centred = problem.scaling.log or max(float(np.max(np.abs(a))) for a in away) > FAR
    kept = [tuple((0 * a if centred else a).tolist()) for a in away]
    return kept[0], kept[1] if len(kept) > 1 else ()


def _dynamics(problem: Problem, field: SparseField) -> NeuralODE:
    return NeuralODE(Uncentred(field, *_offsets(problem)), problem.channels, 0, problem.integrate())


def _moved(series: Series, offset: tuple[float, ...]) -> Series:
    return Series(series.ts, series.ys + jnp.asarray(offset, series.ys.dtype)[None], series.mask)


def _fit(problem: Problem, trials: Trials, key, degree: int, width: int) -> NeuralODE:
    series, controls = as_lists(trials)
    of_state, of_inputs = _offsets(problem)
    series = [_moved(one, of_state) for one in series]
    controls = controls and [_moved(one, of_inputs) for one in controls]
    how: dict[str, Any] = dict(degree=degree, width=width, stride=max(1, width // 10))
    model, _ = regression.sparse_law(series, controls, **how)
    return _dynamics(problem, model.field)  # pyright: ignore


def _build(problem: Problem, key=None, *, degree: int, width: int) -> NeuralODE:
    library = Library(problem.channels + problem.inputs, degree)
    nothing = jnp.zeros((problem.channels, library.size))
    return _dynamics(problem, SparseField(library, nothing, nothing != 0))


def _terms(problem: Problem, degree: int) -> int:
    return math.comb(problem.channels + problem.inputs + degree, degree)


def _choices(problem: Problem, rows: int) -> list[dict]:
    fits = lambda degree, width: _terms(problem, degree) <= min(rows // 4, TERMS) and 3 * width <= rows
    return [{"degree": d, "width": w} for d, w in LAWS if fits(d, w)] or [{"degree": 1, "width": 10}]


def _formula(model: NeuralODE, problem: Problem) -> Callable[[Sequence[str], Sequence[str]], str]:
    """(names of the state, of the inputs) -> the law, a line for each channel."""
    of_state, of_inputs = _offsets(problem)
    centred = not any((*of_state, *of_inputs)) and any(problem.scaling.mean)
    field = model.field.field
    if centred:
        about = "in scaled values and scaled time (see below how they are scaled):\n"
        return lambda names, inputs: about + field.formula(names, inputs or None)
    unit = np.asarray([*problem.scaling.std, *(() if problem.input_scaling is None else problem.input_scaling.std)])
    of_term = np.array([np.prod(unit[list(row)]) for row in field.library.exponents])
    own = np.asarray(problem.scaling.std)[:, None] / problem.scaling.time_scale / of_term
    physical = SparseField(field.library, np.asarray(field.coefficients, float) * own, np.asarray(field.active))
    return lambda names, inputs: physical.formula(names, inputs or None)


SPARSE_LAW = Family(
    "sparse-law",
    _fit,
    _build,
    lambda problem: 40 + 4 * (problem.channels + problem.inputs),
    _choices,
    listens=False,
    formula=_formula,
)
