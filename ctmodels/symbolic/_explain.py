"""A learned field of a reconstruction in words, for its report."""

import dataclasses
from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ctmodels._core._arguments import before
from ctmodels._core._validation import DataError
from ctmodels.models import NeuralODE
from ctmodels.reconstruction import Reconstruction
from ctmodels.symbolic._front import Front
from ctmodels.symbolic._sparse import eliminate
from ctmodels.symbolic._written import formula

MOST_POINTS = 1000


def _check(result, name, **_) -> None:
    if name not in result.fitted:
        raise DataError(f"name: {name!r} is no candidate: there are {', '.join(result.fitted)}")
    model = result.fitted[name].trained.model
    if not isinstance(model, NeuralODE) or model.size != model.channels:
        raise DataError(
            f"name: {name!r} has no field of the channels alone, which is what can be written in their names"
        )


@before(_check)
def explain(result: Reconstruction, name: str, find: Callable[..., Front] = eliminate) -> Reconstruction:
    """The same reconstruction, in which the neural candidate `name` says its field in words: in `result.formula(name)`,
    and in the report under *Laws that were found*.

    **Arguments:** `find(field, points, inputs)`: what finds the law on the field, in the units of the data, at the rows
    trained on: [`ctmodels.symbolic.eliminate`][], or [`ctmodels.symbolic.search`][], or one of these with settings.
    """
    fitted = result.fitted[name]
    problem, table = result.problem, result.table
    ts, values = table.time[: result.n_train], np.asarray(table.values, float)[: result.n_train]
    channels = [i for i, column in enumerate(table.names) if column not in result.inputs]
    driven = [table.names.index(column) for column in result.inputs]
    whole = np.flatnonzero(np.isfinite(values).all(axis=1) & np.isfinite(ts))
    rows = values[whole[:: -(-len(whole) // MOST_POINTS)]]
    inputs = jnp.asarray(rows[:, driven], float) if driven else None
    first = jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, fitted.trained.model)
    law = find(_physical(first, problem), jnp.asarray(rows[:, channels], float), inputs).law()
    words: Callable[[Sequence[str], Sequence[str]], str] = lambda names, inputs: formula(law, names, inputs)
    explained = dataclasses.replace(fitted, trained=fitted.trained._replace(formula=words))
    return dataclasses.replace(result, fitted=result.fitted | {name: explained})


def _physical(model: NeuralODE, problem) -> Callable:
    """The learned field in the units of the data."""
    scaling, of_inputs = problem.scaling, problem.input_scaling

    def field(t, y, args):
        path = None if args is None or of_inputs is None else lambda t: of_inputs.scale(args(t))
        slope = model.field(t, scaling.scale(y), path)
        unscale = lambda z: scaling.unscale(z)
        return jax.jvp(unscale, (scaling.scale(y),), (slope / scaling.time_scale,))[1]

    return field
