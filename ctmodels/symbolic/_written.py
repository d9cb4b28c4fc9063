"""Equations as text, and laws made of them: numbers with a point are parameters, whole numbers stay."""

import ast
import dataclasses
import inspect
import math
from collections.abc import Callable, Sequence

import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._arguments import before
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.fields import Law
from ctmodels.systems import Formula


@dataclasses.dataclass(frozen=True)
class Written:
    """A law's function: equations in `x_0`, ..., the inputs after the state, and `c_0`, ... which are `guesses`."""

    equations: tuple[str, ...]
    guesses: tuple[float, ...]
    driven: bool

    @property
    def __name__(self) -> str:
        return "found"

    @property
    def __signature__(self) -> inspect.Signature:
        plain = ("t", "y", "u") if self.driven else ("t", "y")
        first = [inspect.Parameter(name, inspect.Parameter.POSITIONAL_OR_KEYWORD) for name in plain]
        named = enumerate(self.guesses)
        rest = [inspect.Parameter(f"c{k}", inspect.Parameter.KEYWORD_ONLY, default=value) for k, value in named]
        return inspect.Signature([*first, *rest])

    def __call__(self, t, y: Float[Array, " state"], u: Array | None = None, **parameters) -> Float[Array, " state"]:
        constants = [jnp.asarray(parameters[f"c{k}"], y.dtype) for k in range(len(self.guesses))]
        constants = jnp.stack(constants) if constants else jnp.zeros(0, y.dtype)
        if u is None:
            return Formula(self.equations, constants)(t, y, None)
        resting = ("0",) * u.shape[0]  # as a Formula has an equation for each of its variables
        return Formula((*self.equations, *resting), constants)(t, jnp.concatenate([y, u]), None)[: y.shape[0]]


def _check(equations, names, inputs, **_) -> None:
    if isinstance(equations, str) or not equations:
        raise DataError(f"{argument('equations', equations)}: a list of text is wanted, one for each state")
    if names is not None and len(names) != len(equations):
        raise DataError(f"{argument('names', list(names))}: there are {len(equations)} equations: name as many states")


@before(_check)
def law(equations: Sequence[str], names: Sequence[str] | None = None, inputs: Sequence[str] = ()) -> Law:
    """Equations as a field: in `NeuralODE`, in `Integrate`, in `fit_law`.

    `law(["1.5 * prey - 0.8 * prey * fox", "0.7 * prey * fox - fox"], ["prey", "fox"])` has the parameters c0, c1 and
    c2: numbers with a point are parameters in their order, whole numbers stay as they are.

    **Arguments:** `equations`: of each state its slope, with `+ - * / ^` and `abs cos cot exp log sin`; `names`: of the
    states, default `x0`, `x1`, ...; `inputs`: names of inputs.

    **Returns:** a [`ctmodels.fields.Law`][].
    """
    names = [f"x{i}" for i in range(len(equations))] if names is None else list(names)
    numbers = {name: f"x_{i}" for i, name in enumerate([*names, *inputs])}
    reader = _Constants(numbers)
    read = tuple(ast.unparse(reader.visit(tree(text))) for text in equations)
    written = Written(read, tuple(reader.found), bool(inputs))
    guesses = {f"c{k}": value for k, value in enumerate(written.guesses)}
    written(
        0.0, jnp.zeros(len(names)), jnp.zeros(len(inputs)) if inputs else None, **guesses
    )  # says what cannot be read
    return Law(written)


@before(lambda law, **_: _check_law(law))
def formula(law: Law, names: Sequence[str] | None = None, inputs: Sequence[str] = (), *, digits: int = 4) -> str:
    """A law that [`ctmodels.symbolic.law`][] made, with its parameters as they are: a line for each state."""
    lines = _texts(law, names, inputs, digits)
    states = [f"x{i}" for i in range(len(lines))] if names is None else names
    return "\n".join(f"{name}' = {_plain(text)}" for name, text in zip(states, lines, strict=True))


@before(lambda law, **_: _check_law(law))
def equations(law: Law) -> list[str]:
    """Of a law that [`ctmodels.symbolic.law`][] made, what it is made of, its parameters as they are, in `x0`, ...."""
    return _texts(law, None, (), 17)


def _texts(law: Law, names: Sequence[str] | None, inputs: Sequence[str], digits: int) -> list[str]:
    lines = law.function.equations  # pyright: ignore
    values = {f"c_{k}": float(f"{float(law.parameters[f'c{k}']):.{digits}g}") for k in range(len(law.names))}
    states = [f"x{i}" for i in range(len(lines))] if names is None else list(names)
    known = {f"x_{i}": name for i, name in enumerate([*states, *inputs])}
    return [ast.unparse(_Values(values, known).visit(tree(text))) for text in lines]


def tree(equation: str) -> ast.expr:
    """As Python reads it."""
    try:
        return ast.parse(equation.replace("^", "**").strip(), mode="eval").body
    except SyntaxError as error:
        raise DataError(f"equation {equation!r} cannot be read, at character {error.offset}") from None


def complexity(equation: str) -> int:
    """Constants, variables and operations of an equation, counted; a sign is part of its number."""
    counted = (ast.BinOp, ast.Call, ast.Constant, ast.Name)
    nodes = list(ast.walk(tree(equation)))
    functions = sum(isinstance(node, ast.Call) for node in nodes)
    return sum(isinstance(node, counted) for node in nodes) - functions


class _Constants(ast.NodeTransformer):
    """Numbers with a point become `c_0`, `c_1`, ...; variables `x_0`, ...."""

    def __init__(self, names: dict[str, str]):
        self.names, self.found = names, []

    def visit_Constant(self, node):
        if not isinstance(node.value, float):
            return node
        self.found.append(node.value)
        return ast.Name(f"c_{len(self.found) - 1}", ast.Load())

    def visit_UnaryOp(self, node):
        if isinstance(node.op, ast.USub) and isinstance(node.operand, ast.Constant):
            value = -node.operand.value  # pyright: ignore
            return self.visit(ast.Constant(value)) if isinstance(value, float) else node
        return self.generic_visit(node)

    def visit_Name(self, node):
        return ast.Name(self.names.get(node.id, node.id), ast.Load())


class _Values(ast.NodeTransformer):
    def __init__(self, values: dict[str, float], names: dict[str, str]):
        self.values, self.names = values, names

    def visit_Name(self, node):
        if node.id in self.values:
            return ast.Constant(self.values[node.id])
        return ast.Name(self.names.get(node.id, node.id), ast.Load())


def _plain(text: str) -> str:
    return text.replace(" ** ", "^").replace("**", "^").replace("+ -", "- ").replace("- -", "+ ").replace(" * ", " ")


def _check_law(law) -> None:
    if not isinstance(law, Law) or not isinstance(law.function, Written):
        raise DataError(f"law: {type(law).__name__}: only one that ct.symbolic.law made knows its equations")


def rounded(value: float, digits: int) -> float:
    """To so many digits that count."""
    return float(f"{value:.{digits}g}") if math.isfinite(value) else value


def evaluate(equation: str) -> Callable:
    """An equation in x0, x1, ... as a function of `(state, point)` arrays of NumPy, on the host."""
    import numpy as np

    code = compile(ast.fix_missing_locations(ast.Expression(tree(equation))), "equation", "eval")
    known = {name: getattr(np, name) for name in ("abs", "cos", "exp", "log", "sin")}
    known |= {"cot": lambda x: 1 / np.tan(x), "__builtins__": {}}

    def of(X):
        with np.errstate(all="ignore"):
            values = {f"x{i}": x for i, x in enumerate(X)}
            return np.broadcast_to(np.asarray(eval(code, known, values), float), X.shape[1:])

    return of
