"""Fields written as text, such as `c_0 * x_0 - x_1^2`: arithmetic and six functions, read by Python's own grammar."""

import ast
import operator
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels._core._validation import DataError

FUNCTIONS = {
    "abs": jnp.abs,
    "cos": jnp.cos,
    "cot": lambda x: 1 / jnp.tan(x),
    "exp": jnp.exp,
    "log": jnp.log,
    "sin": jnp.sin,
}
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.Pow: operator.pow,
}


class Formula(eqx.Module):
    """x_i' = a formula in `x_0`, `x_1`, ... and `c_0`, `c_1`, ..., with `+ - * / ^` and `abs cos cot exp log sin`.

    **Arguments:** `equations`: one for each component; `constants`: `(constant,)`, fixed if NumPy's, learned if JAX's.
    """

    equations: tuple[str, ...] = eqx.field(static=True)
    constants: np.ndarray | Float[Array, " constant"]

    def __call__(self, t, y: Float[Array, " state"], args) -> Float[Array, " state"]:
        constants = jnp.asarray(self.constants, y.dtype)
        names = {f"x_{i}": x for i, x in enumerate(y)} | {f"c_{i}": c for i, c in enumerate(constants)}
        return jnp.stack([jnp.asarray(_value(_tree(equation), names), y.dtype) for equation in self.equations])


def _tree(equation: str) -> ast.expr:
    try:
        return ast.parse(equation.replace("^", "**").strip(), mode="eval").body
    except SyntaxError as error:
        raise DataError(f"equation {equation!r} cannot be read, at character {error.offset}") from None


def _value(node: ast.expr, names: Mapping[str, Any]) -> Any:
    match node:
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left, names), _value(right, names))
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, names)
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            return FUNCTIONS[name](_value(argument, names))
        case ast.Name(id=name) if name in names:
            return names[name]
        case ast.Constant(value=int() | float() as number):
            return number
    told = f"of {', '.join(sorted(names))}, numbers, + - * / ^ and {', '.join(FUNCTIONS)}"
    raise DataError(f"equation: {ast.unparse(node)!r} is not known: a formula is made {told}")
