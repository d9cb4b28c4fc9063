"""A trained model and its scaling as one file of StableHLO, which needs nothing but JAX to run."""

import os

import equinox as eqx
import jax
import jax.export
import jax.numpy as jnp

from ctmodels._core._files import write_whole
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._scaling import Scaling
from ctmodels._core._series import Driven
from ctmodels._core._validation import DataError
from ctmodels.paths._paths import LinearPath

PLATFORMS = ("cpu", "cuda", "tpu")


def export(
    path: str | os.PathLike,
    model: AbstractDynamics,
    scaling: Scaling,
    *,
    inputs: Scaling | None = None,
    ensemble: bool = False,
    times: int | None = None,
    platforms: tuple[str, ...] = PLATFORMS,
) -> None:
    """Write a model as a function of physical units: `(y0, ts) -> ys`, or `(y0, ts, us) -> ys` with inputs.

    To run it, with any batch and any number of times, in the type of the model's arrays:

        solve = jax.export.deserialize(bytearray(open(path, "rb").read())).call
        ys = solve(y0, ts)

    - `y0`: `(batch, channel)`, the observed channels at the first time; the model's `lift` makes a state of them.
    - `ts`: `(batch, time)`, from the first time on in the data's unit. Take off a large origin in float64 first: a
      date in seconds does not fit into float32.
    - `us`: `(batch, time, input)`, the inputs at `ts`, between which they are linear.
    - `ys`: `(batch, time, channel)`; with `ensemble`, `(member, batch, time, channel)`.

    **Arguments:**

    - `model`: any [`ctmodels.AbstractDynamics`][], such as [`ctmodels.NeuralODE`][]; in scaled units.
    - `scaling`: of the times and of the channels. `inputs`: of the inputs, if there are any.
    - `ensemble`: the model's arrays have a leading axis of members, as `Trained.model` has.
    - `times`: how many times the file takes; default: any number. Needed with inputs.
    - `platforms`: on which the file shall run.

    Random numbers are not drawn: the mean is exported, and of a [`ctmodels.NeuralSDE`][] its drift's path. Raises
    `DataError` where a solver cannot be written.
    """
    if inputs is not None and times is None:
        raise ValueError("times=None: a file with inputs takes a fixed number of times; give it")
    members, rest = eqx.partition(model, eqx.is_array)
    solve = lambda members, *data: _solve(eqx.combine(members, rest), scaling, inputs, *data)
    over_batch = jax.vmap(solve, in_axes=(None, 0, 0, 0) if inputs else (None, 0, 0))
    over_all = jax.vmap(over_batch, in_axes=(0, *(None,) * (3 if inputs else 2))) if ensemble else over_batch
    run = jax.jit(lambda *data: over_all(members, *data))
    try:
        written = jax.export.export(run, platforms=platforms)(*_shapes(model, scaling, inputs, times)).serialize()
    except (NotImplementedError, TypeError) as error:
        raise DataError(
            f"{path}: this model's solver cannot be written ({str(error).splitlines()[0]}); give it an explicit method "
            "with fixed steps or a PID controller, or set EQX_ON_ERROR=nan before Python starts and pass times="
        ) from error
    except ImportError as error:
        raise DataError(f"{path}: {error}; pip install 'ctmodels[export]'") from None
    write_whole(path, bytes(written))


def _solve(model, scaling: Scaling, inputs: Scaling | None, y0, ts, us=None):
    taus = (ts - ts[0]) / scaling.time_scale
    control = None if inputs is None else LinearPath(taus, inputs.scale(us))
    return scaling.unscale(model(Driven(model.lift(scaling.scale(y0)), control), taus).ys)


def _shapes(model, scaling: Scaling, inputs: Scaling | None, times: int | None):
    batch, time = jax.export.symbolic_shape("batch, time", constraints=["time >= 2"])
    if times is not None:
        [batch], time = jax.export.symbolic_shape("batch"), times
    dtype = jnp.result_type(*jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))
    shapes = [(batch, len(scaling.mean)), (batch, time)]
    if inputs is not None:
        shapes.append((batch, time, len(inputs.mean)))
    return [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
