"""Sparse regression on what a learned field says: nothing is differentiated, and there is no noise."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_called, check_key, check_whole
from ctmodels._core._validation import DataError
from ctmodels.fields import Library, SparseField
from ctmodels.regression._fit import Fit, judged
from ctmodels.regression._sparse import bagged, fit_active
from ctmodels.regression._stepwise import elimination
from ctmodels.regression._stlsq import stlsq
from ctmodels.symbolic._front import Candidate, Front, undominated
from ctmodels.symbolic._points import check_finite, check_points, rounding_of, slopes_at, variables
from ctmodels.symbolic._written import complexity


def _check(field, points, inputs, library, bags=0, key=None, **_) -> None:
    check_called("field", field, "f(t, y, args) -> dy/dt", "as model.field of a NeuralODE")
    check_points(points, inputs)
    check_whole("bags", bags, 0)
    check_key(key, needed=bags > 0)
    columns = points.shape[1] + (0 if inputs is None else inputs.shape[1])
    if library is not None and library.variables != columns:
        raise DataError(f"library: of {library.variables} variables, and state and inputs have {columns}")
    size = (library or Library(columns)).size
    if points.shape[0] < 2 * size:
        raise DataError(f"points: {points.shape[0]} of them, for a library of {size} terms: give {2 * size} or more")


@before(_check)
def sparse(
    field: Callable,
    points: Float[Array, "point state"],
    inputs: Float[Array, "point input"] | None = None,
    *,
    library: Library | None = None,
    threshold: float = 0.02,
    penalty: float = 1e-6,
    normalise: bool = True,
    bags: int = 0,
    inclusion: float = 0.5,
    key: PRNGKeyArray | None = None,
) -> tuple[SparseField, Fit]:
    r"""A field as a sum of few terms, $f(y) \approx \Xi\, \theta(y)$, from what it says at points, at once.

    **Arguments:**

    - `field`: f(t, y, args), learned or known: `model.field`.
    - `points`: `(point, state)`, where it is to hold: those of the data, or of the attractor. `inputs`: at each.
    - `library`: the terms, of states and then of inputs; default: monomials up to degree 2.
    - `threshold`, `penalty`, `normalise`: of [`ctmodels.regression.stlsq`][].
    - `bags`, `inclusion`, `key`: of [`ctmodels.regression.bagged`][], where `bags` is not 0.

    **Returns:** a [`ctmodels.fields.SparseField`][], and how well it fits the slopes.

    **Good values:** a few hundred points. Where one threshold does not tell, [`ctmodels.symbolic.eliminate`][].
    """
    features, targets = _rows(field, points, inputs, library)
    library = library or Library(_columns(points, inputs))
    check_finite(targets)
    select = eqx.Partial(stlsq, threshold=threshold, penalty=penalty, normalise=normalise)
    if bags:
        found = bagged(select, features, targets, key=key, bags=bags, inclusion=inclusion)  # pyright: ignore
    else:
        found = select(features, targets)
    stayed = None if found.inclusion is None else found.inclusion.T
    weights = jnp.ones(features.shape[0], features.dtype)
    fit = judged(features @ found.coefficients, targets, targets, weights, stayed)
    return SparseField(library, found.coefficients.T, found.active.T), fit


@before(_check)
def eliminate(
    field: Callable,
    points: Float[Array, "point state"],
    inputs: Float[Array, "point input"] | None = None,
    *,
    library: Library | None = None,
    accuracy: float = 1e-3,
) -> Front:
    """Of each channel, laws of one term, of two, and so on: from all terms of a library the one that is missed least
    goes, one after the other.

    **Arguments:** as of [`ctmodels.symbolic.sparse`][]; `accuracy`: of the field, as a share of the slopes' mean
    square: smaller errors tell nothing. 1e-3 for a learned field, whose slopes are right to a few per cent; 0 for a
    known one.

    **Returns:** the [`ctmodels.symbolic.Front`][] of loss and complexity, in the units of the points.
    """
    features, targets = _rows(field, points, inputs, library)
    check_finite(targets)
    library = library or Library(_columns(points, inputs))
    supports, coefficients = (np.asarray(x) for x in _paths(features, targets))
    scale = np.maximum(np.mean(np.asarray(targets) ** 2, axis=0), np.finfo(targets.dtype).tiny)
    states = points.shape[1]
    terms = [name.replace(" ", " * ") for name in library.names()]
    left = np.mean((np.einsum("pf,csf->csp", features, coefficients) - np.asarray(targets).T[:, None]) ** 2, axis=2)
    fronts = []
    for c in range(states):
        texts = [as_sum(row, terms, on) for row, on in zip(coefficients[c], supports[c], strict=True)]
        found = zip(texts, left[c] / scale[c], strict=True)
        fronts.append(undominated(Candidate(text, complexity(text), float(loss)) for text, loss in found))
    return Front(tuple(fronts), max(accuracy, rounding_of(targets)), library.variables - states)


def _columns(points: Array, inputs: Array | None) -> int:
    return points.shape[1] + (0 if inputs is None else inputs.shape[1])


def _rows(field, points, inputs, library) -> tuple[Array, Array]:
    library = library or Library(_columns(points, inputs))
    return jax.vmap(library)(variables(points, inputs)), slopes_at(field, points, inputs)


@eqx.filter_jit
def _paths(features: Array, targets: Array) -> tuple[Array, Array]:
    """`(channel, size, term)`: supports and coefficients, from all terms to none."""
    unit = jnp.sqrt(jnp.mean(features**2, axis=0))
    unit = jnp.where(unit > 0, unit, 1)

    def one(target):
        supports = elimination(features / unit[None], target)
        fit = jax.vmap(lambda on: fit_active(features / unit[None], target, on))(supports)
        return supports, fit / unit[None]

    return jax.vmap(one, in_axes=1)(targets)


def as_sum(coefficients: np.ndarray, terms: list[str], active: np.ndarray) -> str:
    """Coefficients and terms as an equation."""
    parts = [
        repr(float(c)) + ("" if term == "1" else f" * {term}")
        for c, term, on in zip(coefficients, terms, active, strict=True)
        if on
    ]
    return " + ".join(parts) or "0"
