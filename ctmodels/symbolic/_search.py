"""A search over expressions by genetic programming, with local least squares of their constants.

The engine is Operon (Burlacu, Kronberger and Kommenda, GECCO 2020), by its package pyoperon; what it finds is
written as a sum of terms by SymPy, terms that do nothing are left out, and constants
are rounded where that does no harm.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from jaxtyping import Array, Float

from ctmodels._core._arguments import before, check_called, check_seed, check_whole
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.symbolic._front import Candidate, Front, undominated
from ctmodels.symbolic._points import check_finite, check_points, rounding_of, slopes_at, variables
from ctmodels.symbolic._tidy import tidied
from ctmodels.symbolic._written import complexity, evaluate

OPERATORS = ("add", "sub", "mul", "div", "sin", "cos", "exp")
KNOWN = (*OPERATORS, "log", "square", "abs")


def _check(field, points, inputs, operators, length, generations, population, seed, **_) -> None:
    check_called("field", field, "f(t, y, args) -> dy/dt", "as model.field of a NeuralODE")
    check_points(points, inputs)
    for name, value, least in (("length", length, 3), ("generations", generations, 1), ("population", population, 10)):
        check_whole(name, value, least)
    check_seed(seed)
    for one in operators:
        if one not in KNOWN:
            raise DataError(f"{argument('operators', one)}: not known: there are {', '.join(KNOWN)}")


@before(_check)
def search(
    field: Callable,
    points: Float[Array, "point state"],
    inputs: Float[Array, "point input"] | None = None,
    *,
    operators: Sequence[str] = OPERATORS,
    accuracy: float = 1e-3,
    length: int = 20,
    generations: int = 40,
    population: int = 500,
    seed: int = 0,
) -> Front:
    """Expressions for a field's slopes at points, one channel after the other.

    It takes the extra `symbolic`: `pip install 'ctmodels[symbolic]'`. A few seconds for each channel.

    **Arguments:**

    - `field`: f(t, y, args), learned or known: `model.field`.
    - `points`: `(point, state)`, where it is to hold: those of the data, or of the attractor. `inputs`: at each.
    - `operators`: what expressions are made of, beside constants and variables.
    - `accuracy`: of the field, as a share of the slopes' mean square: smaller errors tell nothing. 1e-3 for a learned
        field, whose slopes are right to a few per cent; 0 for a known one.
    - `length`: nodes of an expression, at most. `generations`, `population`: how long it is searched.
    - `seed`: of the search, which gives the same front again.

    **Returns:** the [`ctmodels.symbolic.Front`][] of loss and complexity, in the units of the points.
    """
    engine = _engine()
    slopes = slopes_at(field, points, inputs)
    check_finite(slopes)
    X = np.asarray(variables(points, inputs), np.float64)
    found, accuracy = [], max(accuracy, rounding_of(slopes))
    for target in np.asarray(slopes, np.float64).T:
        texts = _found(engine, X, target, operators, length, generations, population, seed)
        found.append(_front(_enough(texts, X.T, target, accuracy), X.T, target))
    return Front(tuple(found), accuracy, 0 if inputs is None else inputs.shape[1])


def _engine() -> Any:
    try:
        import sympy  # pyright: ignore  # noqa: F401  # tidies what is found
        from pyoperon.sklearn import SymbolicRegressor  # pyright: ignore
    except ImportError as error:
        raise DataError(
            f"search: {error.name} searches and is not installed: it comes with an extra; pip install "
            "'ctmodels[symbolic]'; ct.symbolic.sparse and ct.symbolic.eliminate do without"
        ) from None
    return SymbolicRegressor


def _found(engine, X, target, operators, length, generations, population, seed) -> list[str]:
    if np.ptp(target) == 0:
        return [repr(float(target[0]))]
    run = engine(
        allowed_symbols=",".join([*operators, "constant", "variable"]),
        objectives=["mse", "length"],
        optimizer_iterations=8,
        max_length=length,
        population_size=population,
        pool_size=population,
        generations=generations,
        max_evaluations=10 * population * generations,
        epsilon=1e-9,
        n_threads=1,
        random_state=seed,
    )
    run.fit(X, target)
    texts = [
        run.get_model_string(one["tree"], 17) for one in sorted(run.pareto_front_, key=lambda one: one["complexity"])
    ]
    names = {f"X{i + 1}": f"x{i}" for i in range(X.shape[1])}
    for theirs in sorted(names, key=len, reverse=True):
        texts = [text.replace(theirs, names[theirs]) for text in texts]
    return texts


def _enough(texts: list[str], X: np.ndarray, target: np.ndarray, accuracy: float) -> list[str]:
    """In short, from simple ones to the second that is as good as the field."""
    short, good = [], 0
    for text in texts:
        short += tidied(text, X, target, accuracy)
        good += float(np.mean((evaluate(text)(X) - target) ** 2)) <= accuracy * float(np.mean(target**2))
        if good == 2:
            break
    return short


def _front(texts: list[str], X: np.ndarray, target: np.ndarray) -> tuple[Candidate, ...]:
    size = max(float(np.mean(target**2)), float(np.finfo(float).tiny))
    loss = lambda text: float(np.mean((evaluate(text)(X) - target) ** 2)) / size
    return undominated(Candidate(text, complexity(text), loss(text)) for text in dict.fromkeys(texts))
