"""A law of one's own: a plain function in one's own units, whose keyword arguments are parameters to be estimated."""

import inspect
import math
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._arguments import before
from ctmodels._core._validation import DataError
from ctmodels._core._words import kind_of


class _Positive:
    """Marks an annotation."""


PositiveFloat = Annotated[float, _Positive()]
"""A parameter of a law that is above zero: it is estimated by its logarithm. `Annotated[PositiveFloat, "1/s"]` has a
unit too, and `Annotated[float, "1/s"]` only that."""

LIKE = "write it as `def field(t, y, *, damping=0.1, stiffness=9.0): ...`"
MOST_STATES = 32  # up to which a law is asked of how many it is


class Law(eqx.Module):
    r"""$dy/dt = f(t, y, u(t);\ \theta)$ in the units of its literature, with named parameters $\theta$: a field whose
    leaves they are.

    **Arguments:**

    - `function`: `f(t, y, *, damping=0.1, stiffness=9.0)`, or `f(t, y, u, *, ...)` of a driven system. `y` is the
      state, `(state,)`, the observed channels first; `u` the input, `(input,)`. It returns the slopes, an array or a
      list of as many numbers, and computes by `jax.numpy`. Parameters are keyword-only, and their defaults the first
      guesses. Annotations say more: [`ctmodels.fields.PositiveFloat`][], `Annotated[float, "1/s"]`. A module of equinox
      will do too, a field `f(t, y, args)` whose scalar leaves are the parameters.
    - `parameters`: other first guesses, by name.
    - `positive`: names of those above zero, beside those that are annotated so.

    `names` are in the order of the signature, `units` as annotated, "" where there is none.
    """

    parameters: dict[str, Float[Array, "*member"]]
    function: Callable = eqx.field(static=True)
    names: tuple[str, ...] = eqx.field(static=True)
    positive: tuple[str, ...] = eqx.field(static=True)
    units: tuple[str, ...] = eqx.field(static=True)
    name: str = eqx.field(static=True)
    driven: bool | None = eqx.field(static=True)  # None: as it is given an input or not

    @before(lambda function, parameters, positive, **_: _check_made_of(function, parameters, positive))
    def __init__(
        self,
        function: Callable,
        parameters: Mapping[str, float] | None = None,
        *,
        positive: Sequence[str] = (),
    ):
        self.name = getattr(function, "__name__", type(function).__name__)
        self.function, guesses, notes, self.driven = (
            _of_module(function, self.name) if isinstance(function, eqx.Module) else _of_function(function, self.name)
        )
        known = {name: float(value) for name, value in (parameters or {}).items()}
        _check_known(self.name, guesses, {"parameters": known, "positive": positive})
        guesses = guesses | known
        self.parameters = {name: jnp.asarray(value, float) for name, value in guesses.items()}
        self.names = tuple(guesses)
        marked = (name for name, said in notes.items() if any(isinstance(x, _Positive) for x in said))
        self.positive = tuple(dict.fromkeys([*marked, *positive]))
        self.units = tuple(next((x for x in notes.get(n, ()) if isinstance(x, str)), "") for n in guesses)
        for name in guesses:
            _check_guess(self.name, name, guesses[name], name in self.positive)

    def __call__(self, t, y: Float[Array, " state"], args: Any) -> Float[Array, " state"]:
        return self.slopes(t, y, None if args is None or self.driven is False else args(t))

    def slopes(self, t, y: Float[Array, " state"], u: Float[Array, " input"] | None = None) -> Array:
        """dy/dt under an input, `(state,)`."""
        if self.driven and u is None:
            raise ValueError(
                f"law {self.name}: takes an input u, and none is given: the model's x is Driven(y0, control)"
            )
        inputs = () if self.driven is False else (u,)
        return _stacked(self.function(t, y, *inputs, **{name: self.parameters[name] for name in self.names}), y)

    def with_parameters(self, values: Mapping[str, Any]) -> "Law":
        """The same law with other values of some."""
        like = lambda name: jnp.asarray(values.get(name, self.parameters[name]), self.parameters[name].dtype)
        return eqx.tree_at(lambda law: law.parameters, self, {name: like(name) for name in self.names})


def states_of(law: Law, channels: int, inputs: int, states: int | None = None) -> int:
    """How many states a law has: as many as are said, else the least number, from that of the channels on, for which it
    returns as many slopes. Refuses a law that cannot be called so, with what it said."""
    if law.driven and not inputs:
        raise DataError(
            f"law {law.name}: takes (t, y, u), and the data have no inputs: leave out u, or name the inputs"
        )
    if law.driven is False and inputs:
        raise DataError(f"law {law.name}: takes (t, y), and the data have inputs: write (t, y, u, *, ...)")
    first = None
    for size in range(channels, MOST_STATES + 1) if states is None else (states,):
        try:
            found = _returned(law, size, inputs)
        except (ValueError, TypeError, IndexError) as error:
            if isinstance(error, jax.errors.JAXTypeError):
                raise _untraceable(law, error) from error
            first = first or f"of {size} states it says: {error}"
            continue
        except Exception as error:  # the user's own, whatever it is
            raise DataError(f"law {law.name}: fails when it is called: {type(error).__name__}: {error}") from error
        if found == (size,):
            return size
        first = first or f"of {size} states it returns slopes of shape {found}"
    wanted = f"{channels} or more states (the data have {channels} channels)" if states is None else f"{states} states"
    raise DataError(
        f"law {law.name}: it is no law of {wanted}: {first}. It returns one slope for each state; observed ones are "
        "first; choose the columns, or change the law"
    )


def _returned(law: Law, size: int, inputs: int) -> tuple[int, ...]:
    number = jnp.zeros(()).dtype
    y, u = jax.ShapeDtypeStruct((size,), number), jax.ShapeDtypeStruct((inputs,), number)
    given = (u,) if inputs else ()
    return jax.eval_shape(law.slopes, jax.ShapeDtypeStruct((), number), y, *given).shape


def _untraceable(law: Law, error: Exception) -> DataError:
    return DataError(
        f"law {law.name}: asks for the value of a number while it is compiled ({type(error).__name__}): compute by "
        "jax.numpy (jnp.sin and not math.sin or np.sin), and choose by jnp.where and not by `if`"
    )


def _stacked(slopes: Any, y: Array) -> Array:
    """A list of numbers as an array."""
    if not isinstance(slopes, list | tuple):
        if not isinstance(slopes, jax.Array):
            raise TypeError(f"it returns {kind_of(slopes)}, where an array or a list of slopes is wanted")
        return slopes
    parts = [jnp.asarray(part, y.dtype) for part in slopes]
    for i, part in enumerate(parts):
        if part.shape != ():
            raise TypeError(f"slope {i} of its list has shape {part.shape}, where a number is wanted")
    return jnp.stack(parts) if parts else jnp.zeros(0, y.dtype)


def _of_function(function: Callable, name: str) -> tuple[Callable, dict[str, float], dict[str, tuple], bool]:
    """The function, its first guesses, what is annotated to them, and whether it takes an input."""
    plain, guesses = [], {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise DataError(f"law {name}: takes {parameter}: parameters have names of their own; {LIKE}")
        if parameter.kind is parameter.KEYWORD_ONLY:
            guesses[parameter.name] = parameter.default
        elif parameter.default is not parameter.empty:
            raise DataError(f"law {name}: `{parameter.name}` stands before the `*`: parameters come after it; {LIKE}")
        else:
            plain.append(parameter.name)
    if len(plain) not in (2, 3):
        raise DataError(f"law {name}: takes ({', '.join(plain)}) before its parameters: (t, y) or (t, y, u); {LIKE}")
    for guess in guesses:
        if guesses[guess] is inspect.Parameter.empty:
            raise DataError(f"law {name}: parameter {guess} has no first guess; give one, as {guess}=1.0")
    return function, guesses, _annotations(function), len(plain) == 3


def _annotations(function: Callable) -> dict[str, tuple]:
    try:
        hints = typing.get_type_hints(function, include_extras=True)
    except (NameError, TypeError):  # names that are known to type checkers alone
        hints = {}
    return {name: getattr(hint, "__metadata__", ()) for name, hint in hints.items()}


def _of_module(module: Any, name: str) -> tuple[Callable, dict[str, float], dict, None]:
    """A field of equinox as a function of its scalar leaves."""
    numbers, rest = eqx.partition(module, lambda leaf: eqx.is_inexact_array(leaf) or type(leaf) is float)
    leaves, tree = jax.tree_util.tree_flatten_with_path(numbers)
    named = {jax.tree_util.keystr(path).lstrip("."): leaf for path, leaf in leaves}
    for leaf, value in named.items():
        if jnp.shape(value) != ():
            raise DataError(
                f"law {name}: its leaf {leaf} has shape {jnp.shape(value)}: parameters are numbers with a name each; "
                "give it a field for each"
            )

    def function(t, y, u, **parameters):
        made = eqx.combine(jax.tree.unflatten(tree, [parameters[leaf] for leaf in named]), rest)
        return made(t, y, None if u is None else lambda _: u)

    return function, {leaf: float(value) for leaf, value in named.items()}, {}, None


def _check_made_of(function: Any, parameters: Any, positive: Any) -> None:
    if isinstance(function, type) or not callable(function):
        raise TypeError(f"function: {kind_of(function)}, where a function f(t, y, *, ...) is wanted; {LIKE}")
    if parameters is not None and not isinstance(parameters, Mapping):
        raise TypeError(f"parameters: {kind_of(parameters)}, where a dict name -> first guess is wanted")
    if isinstance(positive, str) or not isinstance(positive, Sequence):
        raise TypeError(f"positive: {kind_of(positive)}, where a list of names is wanted")


def _check_known(law: str, guesses: Mapping, given: Mapping[str, Any]) -> None:
    for argument, names in given.items():
        for name in names:
            if name not in guesses:
                there = ", ".join(guesses) or "none"
                raise DataError(f"{argument}: law {law} has no parameter {name!r}: there are {there}")


def _check_guess(law: str, name: str, value: Any, positive: bool) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise DataError(f"law {law}: the first guess of {name} is {value!r}: a finite number is needed")
    if positive and value <= 0:
        raise DataError(f"law {law}: {name} is positive, and its first guess is {value:g}: give one above zero")
