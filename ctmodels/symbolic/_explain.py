"""A learned field of a reconstruction in words, for its report."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

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


class Learned(NamedTuple):
    """A field in the units of the data, and the rows trained on where it was learned.

    - `field`: `f(t, y, args)`, of the first member; `points` `(point, channel)`; `inputs` `(point, input)`, or None.
    """

    field: Callable
    points: Array
    inputs: Array | None


@before(_check)
def learned(result: Reconstruction, name: str) -> Learned:
    """What a neural candidate learned, as [`ctmodels.symbolic.eliminate`][] and [`ctmodels.symbolic.search`][] take it:
    `eliminate(*learned(result, "neural"))`. The field of a model itself speaks in scaled values.

    **Arguments:** `result`: of [`ctmodels.reconstruct`][ctmodels.reconstruction.reconstruct]; `name`: of a candidate
    whose state is the channels. Of many rows every so many are taken, 1000 at the most.
    """
    table = result.table
    ts, values = table.time[: result.n_train], np.asarray(table.values, float)[: result.n_train]
    channels = [i for i, column in enumerate(table.names) if column not in result.inputs]
    driven = [table.names.index(column) for column in result.inputs]
    whole = np.flatnonzero(np.isfinite(values).all(axis=1) & np.isfinite(ts))
    rows = values[whole[:: -(-len(whole) // MOST_POINTS)]]
    inputs = jnp.asarray(rows[:, driven], float) if driven else None
    first = jax.tree.map(lambda x: x[0] if eqx.is_array(x) else x, result.fitted[name].trained.model)
    return Learned(_physical(first, result.problem), jnp.asarray(rows[:, channels], float), inputs)


@before(_check)
def explain(result: Reconstruction, name: str, find: Callable[..., Front] = eliminate) -> Reconstruction:
    """The same reconstruction, in which the neural candidate `name` says its field in words: in `result.formula(name)`,
    and in the report under *Laws that were found*.

    **Arguments:** `find(field, points, inputs)`: what finds the law on the field, in the units of the data, at the rows
    trained on: [`ctmodels.symbolic.eliminate`][], or [`ctmodels.symbolic.search`][], or one of these with settings.
    """
    law, fitted = find(*learned(result, name)).law(), result.fitted[name]
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
