"""From code for one sample to a batched solve with a discrete adjoint.

The solve is a `custom_vjp` whose two directions are each a `custom_vmap`: every vmap around it adds an axis of lanes
instead of being pushed into the loops. (JAX 0.10 vmaps a `while_loop` to one that runs on with all samples until the
last is done, and gives a `custom_vjp` no say in how it is vmapped.) All that either returns, what one keeps for the
other included, has the shapes of one sample with the axes of these vmaps in front, as of any function: so JAX may do
with it what it likes.
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp

from ctmodels._core._loops import axes_of, varying_alike
from ctmodels._integrate._engine._batched_backward import OfOutput, Pullback, Residuals, backward
from ctmodels._integrate._engine._batched_forward import Output, forward
from ctmodels._integrate._engine._draws import Draws
from ctmodels._integrate._engine._plan import Plan
from ctmodels._integrate._engine._pull import Wanted
from ctmodels._integrate._engine._record import Record
from ctmodels._integrate._engine._setting import Inputs, Setting
from ctmodels._integrate._samples import within_a_sample


@eqx.filter_custom_vjp
def solve_with_adjoint(perturbed, plan: Plan, field: Callable, whole, draws: Draws, sample) -> Output:
    """`perturbed`: (ts, y0, arrays), what a derivative may be taken of. Arrays and `whole`, those of whole numbers, are
    what the field closes over. `sample`: its number, in a vmap within which cotangents may be summed, or None where
    that is known of all."""
    return _solved(perturbed, plan._replace(backwards=False), field, whole, draws)[0]


def _solved(perturbed, plan: Plan, field: Callable, whole, draws: Draws) -> tuple[Output, Record | None]:
    inputs = _inputs(perturbed, whole, draws)
    return forward(Setting.of_one(plan, field, inputs.arrays), inputs)


def _inputs(perturbed, whole, draws: Draws) -> Inputs:
    ts, y0, arrays = perturbed
    return Inputs(ts=ts, y0=y0, arrays=[*arrays, *whole], draws=draws)


@solve_with_adjoint.def_fwd
def _(is_perturbed, perturbed, plan, field, whole, draws, sample):
    out, record = _solved(perturbed, plan, field, whole, draws)
    return out, Residuals(reached=out.ends.reached, maximum_at=out.ends.maximum_at, record=record)  # pyright: ignore


@solve_with_adjoint.def_bwd
def _(residuals, cotangents, is_perturbed, perturbed, plan, field, whole, draws, sample):
    p_ts, _, p_arrays = is_perturbed
    wanted = Wanted(ts=p_ts, arrays=(*p_arrays, *[False] * len(whole)))
    inputs = _inputs(perturbed, whole, draws)
    ct_ys = cotangents.ys
    if ct_ys is None:
        ct_ys = jnp.zeros((inputs.ts.shape[0], *inputs.y0.shape), inputs.y0.dtype)
    # A measure that nothing was made of is not taken again.
    ct_measured = {name: c for name, c in cotangents.measured.items() if c is not None}
    plan = plan._replace(measures=tuple(m for m in plan.measures if m.name in ct_measured))
    plan = plan._replace(summed=plan.summed and not within_a_sample())
    _refuse_sums_over_devices(inputs.y0, wanted.split(inputs.arrays))
    of_output = varying_alike(OfOutput(ys=ct_ys, measured=ct_measured), like=inputs.y0)
    pullback = Pullback(setting=Setting.of_one(plan, field, inputs.arrays), wanted=wanted)
    of_ts, of_y0, of_arrays = backward(pullback, inputs, residuals, of_output, sample)
    of_arrays = iter(of_arrays)
    return of_ts[0] if p_ts else None, of_y0, [next(of_arrays) if p else None for p in p_arrays]


def _refuse_sums_over_devices(y0, arrays) -> None:
    """Of what does not vary over the mesh, JAX sums the cotangent at each step (0.10, by the transpose of `pcast`):
    devices with fewer steps would not."""
    if any(axes_of(y0) - axes_of(x) for x in arrays):
        raise ValueError(
            "field: inside jax.shard_map it holds an array that is the same on all devices, where a gradient is wanted "
            'that they share: hand it over by `args`, or as `jax.lax.pcast(array, axis, to="varying")`'
        )
