"""An expression that was found, as a sum of few terms with short constants; SymPy is imported where it is used."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from ctmodels.symbolic._written import evaluate, rounded

NO_HARM = 0.01  # a share of the loss that a simpler expression may cost
DIGITS = (1, 2, 3)


def tidied(text: str, X: np.ndarray, target: np.ndarray, accuracy: float) -> Iterator[str]:
    """The same in other words, from long to short; nothing where it has no finite values. `X` `(variable, point)`."""
    terms = list(_terms(text))
    floor = accuracy * float(np.mean(target**2)) + 1e-300
    coefficients, loss = _fitted(terms, X, target)
    if not np.isfinite(loss):
        return
    terms = [str(_short(term, terms, X, target, loss + floor)) for term in terms]
    while terms:
        coefficients, loss = _fitted(terms, X, target)
        yield _sum(coefficients, terms)
        without = [[*terms[:i], *terms[i + 1 :]] for i in range(len(terms))]
        losses = [_fitted(rest, X, target)[1] for rest in without]
        if not losses or min(losses) > (1 + NO_HARM) * loss + floor:
            return
        terms = without[int(np.argmin(losses))]


def _terms(text: str) -> Iterator[str]:
    """The different terms of the sum, each without its coefficient."""
    import sympy  # pyright: ignore

    whole = sympy.expand(_normal(sympy.sympify(text.replace("^", "**"))))
    seen = dict.fromkeys(part.as_coeff_Mul()[1] for part in sympy.Add.make_args(whole))
    return (str(term) for term in seen)


def _normal(expression: Any) -> Any:
    """Denominators begin with one: (2 x)/(3 + 3 x) is (2/3) x/(1 + x)."""
    import sympy  # pyright: ignore

    def of_power(base, exponent):
        if not (base.is_Add and exponent.is_negative):
            return sympy.Pow(base, exponent)
        base = sympy.expand(base)
        constant = base.as_coeff_Add()[0]
        size = max(abs(part.as_coeff_Mul()[0]) for part in sympy.Add.make_args(base))
        leading = sympy.Add.make_args(base)[-1].as_coeff_Mul()[0]
        unit = constant if abs(constant) > 1e-6 * size else leading
        return sympy.Pow(unit, exponent) * sympy.Pow(sympy.expand(base / unit), exponent)

    whole: Any = sympy.together(expression) if expression.is_rational_function() else expression
    whole = sympy.cancel(whole) if whole.is_rational_function() else whole
    return whole.replace(lambda e: e.is_Pow and e.exp.is_number, lambda e: of_power(*e.args))


def _short(term: str, terms: list[str], X: np.ndarray, target: np.ndarray, loss: float) -> Any:
    """With each constant of as few digits as do no harm, whole where it is."""
    import sympy  # pyright: ignore

    rest = [other for other in terms if other != term]
    found = sympy.sympify(term)
    for number in sorted(found.atoms(sympy.Float), key=abs):
        for digits in DIGITS:
            value = rounded(float(number), digits)
            whole = sympy.Integer(int(value)) if value == int(value) else sympy.Float(value)
            shorter = found.xreplace({number: whole})
            if _fitted([*rest, str(shorter)], X, target)[1] <= (1 + NO_HARM) * loss:
                found = shorter
                break
    return found


def _fitted(terms: list[str], X: np.ndarray, target: np.ndarray) -> tuple[np.ndarray, float]:
    """Coefficients by least squares, and the mean squared error."""
    columns = np.stack([evaluate(term)(X) for term in terms], axis=1) if terms else np.zeros((len(target), 0))
    if not np.all(np.isfinite(columns)):
        return np.zeros(len(terms)), np.inf
    unit = np.sqrt(np.mean(columns**2, axis=0))
    unit = np.where(unit > 0, unit, 1)
    coefficients = np.linalg.lstsq(columns / unit, target, rcond=1e-12)[0] / unit
    return coefficients, float(np.mean((columns @ coefficients - target) ** 2))


def _sum(coefficients: np.ndarray, terms: list[str]) -> str:
    return " + ".join(
        repr(float(c)) + ("" if t == "1" else f" * {t}") for c, t in zip(coefficients, terms, strict=True)
    )
