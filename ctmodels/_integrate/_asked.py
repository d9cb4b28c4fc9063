"""What `Integrate` is given, checked before anything is made of it: a class, a word or a number where a method, a
controller or a measure is wanted."""

from typing import Any

import diffrax
import numpy as np

from ctmodels._core._arguments import check_key
from ctmodels._core._words import kind_of
from ctmodels._integrate._adjoint import DiscreteAdjoint, ReversibleAdjoint
from ctmodels._integrate._fixed import Substeps
from ctmodels.fields import AbstractSDE
from ctmodels.measures import Measure

METHODS = "as diffrax.Tsit5() or ct.RK4()"
CONTROLLERS = "as ct.Substeps(4), diffrax.StepTo(ts) or diffrax.PIDController(rtol=1e-4, atol=1e-6)"
ADJOINTS = "as ct.DiscreteAdjoint() or diffrax.DirectAdjoint()"


# Without annotations, as Equinox would take them for those of the field.
def check_method(method):
    return _checked("method", method, diffrax.AbstractSolver, METHODS)


def check_controller(controller):
    return _checked("controller", controller, (diffrax.AbstractStepSizeController, Substeps), CONTROLLERS)


def check_adjoint(adjoint):
    return _checked("adjoint", adjoint, (diffrax.AbstractAdjoint, DiscreteAdjoint, ReversibleAdjoint), ADJOINTS)


def check_measures(measures):
    remedy = "measures=(ct.measures.local_error,); of a function of one step, ct.measures.measure(function)"
    if not isinstance(measures, tuple | list):
        raise TypeError(f"measures: {kind_of(measures)}, where a tuple of measures is wanted, {remedy}")
    for measure in measures:
        if not isinstance(measure, Measure):
            raise TypeError(f"measures: {kind_of(measure)}, where a measure is wanted, {remedy}")
    return tuple(measures)


def _checked(name: str, value: Any, kinds: type | tuple[type, ...], remedy: str) -> Any:
    if isinstance(value, kinds) or type(value) is object:  # JAX puts plain objects into trees of its own
        return value
    if isinstance(value, type):
        raise TypeError(f"{name}: {kind_of(value)}: call it, {name}={value.__name__}(...); {remedy}")
    raise TypeError(f"{name}: {kind_of(value)}, where a {name} is wanted, {remedy}")


def check_together(method, controller) -> None:
    """Refuse steps that adapt to an error that the method does not estimate."""
    adapts = isinstance(controller, diffrax.PIDController | diffrax.ClipStepSizeController)
    tableau = getattr(method, "tableau", None)
    estimates = isinstance(method, diffrax.AbstractAdaptiveSolver) and (
        not isinstance(method, diffrax.AbstractERK) or bool(np.any(tableau.b_error))  # pyright: ignore
    )
    if adapts and isinstance(method, diffrax.AbstractSolver) and not estimates:
        name = type(method).__name__
        raise ValueError(
            f"controller: {name} estimates no error, by which {type(controller).__name__} could choose its steps: give "
            f"a fixed grid, ct.Integrate({name}(), ct.Substeps(1)), or a method that estimates it, as diffrax.Tsit5()"
        )


def check_reversible(integrate, stochastic: bool) -> None:
    """Refuse what is not taken back."""
    method, controller = integrate.method, integrate.controller
    if not isinstance(controller, Substeps) or controller.longest is not None:
        raise ValueError("adjoint: ReversibleAdjoint takes back the steps of a fixed grid: give ctmodels.Substeps(n)")
    if stochastic and not isinstance(method, diffrax.ReversibleHeun):
        name = type(method).__name__
        raise ValueError(f"adjoint: ReversibleAdjoint of an SDE takes diffrax.ReversibleHeun(), and not {name}()")
    if not stochastic and not isinstance(method, diffrax.AbstractERK):
        raise ValueError(
            f"adjoint: ReversibleAdjoint takes an explicit Runge-Kutta method, as ctmodels.RK4(), and not "
            f"{type(method).__name__}()"
        )
    if integrate.measures:
        raise ValueError(
            f"measures: `{integrate.measures[0].name}` is not measured of steps that are taken back: leave them empty, "
            "or give ctmodels.DiscreteAdjoint()"
        )


def check_call(field, ts, key, **_) -> None:
    """The arguments of a solve."""
    if isinstance(field, type) or not (callable(field) or isinstance(field, AbstractSDE)):
        raise TypeError(f"field: {kind_of(field)}, where a function field(t, y, args) is wanted")
    if not hasattr(ts, "ndim"):
        raise TypeError(f"ts: {kind_of(ts)}, where an array of times (time,) is wanted: jnp.asarray(ts), of floats")
    if ts.ndim != 1:
        raise ValueError(f"ts: shape {ts.shape}: a solve is of one sample, of times (time,); for a batch, jax.vmap it")
    check_key(key)
