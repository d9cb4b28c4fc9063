"""The forward pass, each vmap of which is an axis of lanes more."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._core._output import is_largest
from ctmodels._integrate._engine._carry import Carry
from ctmodels._integrate._engine._forward import solve_lanes
from ctmodels._integrate._engine._plan import Times
from ctmodels._integrate._engine._record import Record
from ctmodels._integrate._engine._setting import Inputs, Setting
from ctmodels._integrate._engine._vmapped import vmapped, vmapped_by


class Start(NamedTuple):
    """Where an accepted step began, and its length."""

    t: Float[Array, "..."]
    h: Float[Array, "..."]
    y: Float[Array, "... state"]


class Ends(NamedTuple):
    """Of each lane: what it cost and where it ended. `reached`: how many save times it came to."""

    accepted: Int[Array, "..."]
    rejected: Int[Array, "..."]
    shortest: Float[Array, "..."]
    longest: Float[Array, "..."]
    status: Int[Array, "..."]
    t: Float[Array, "..."]
    reached: Int[Array, "..."]
    maximum_at: dict[str, Float[Array, "..."]]
    starts: dict[str, Start]  # of the steps that were sampled, by rule

    @classmethod
    def of(cls, carry: Carry, times: Times) -> "Ends":
        starts = {
            rule: Start(t=times.at(s.sigma), h=times.span * s.h, y=s.y.array()) for rule, s in carry.sampled.items()
        }
        return cls(
            accepted=carry.accepted,
            rejected=carry.rejected,
            shortest=carry.shortest,
            longest=carry.longest,
            status=carry.status,
            t=times.at(carry.sigma_reached),
            reached=carry.reached,
            maximum_at=carry.maximum_at,
            starts=starts,
        )


class Output(NamedTuple):
    """What the forward pass returns."""

    ys: Float[Array, "... time state"]
    ends: Ends
    measured: dict[str, Float[Array, "..."]]


def forward(setting: Setting, inputs: Inputs) -> tuple[Output, Record | None]:
    """The output, and what goes to the backward pass."""
    for_shapes = vmapped(inputs)

    def run(inputs):
        return unknown(setting, inputs) if for_shapes else solved(setting, inputs)

    def rule(size, batched, inputs):
        (b_inputs,) = batched
        wider = setting.vmapped(size, b_inputs.ts, b_inputs.arrays)
        out, record = forward(wider, setting.inputs_vmapped(size, inputs, b_inputs))
        every = jax.tree.map(lambda _: True, out)
        return (out, record), (every, setting.of_record(lambda _, lanewise: lanewise, record))

    return vmapped_by(rule, run, inputs)


def solved(setting: Setting, inputs: Inputs) -> tuple[Output, Record | None]:
    lanes, times = setting.lanes, setting.flat_times(inputs.ts)
    y0, draws = setting.flat((inputs.y0, inputs.draws))
    arrays = lanes.flatten_owned(inputs.arrays)
    ys, carry, history = solve_lanes(
        setting.plan, lanes.simplified(), setting.field, arrays, draws, times, setting.state(y0)
    )
    whole = lambda x: setting.unflat(jnp.broadcast_to(x, (lanes.number, *x.shape[1:])))
    out = Output(
        ys=setting.unflat(ys.array()),
        ends=jax.tree.map(whole, Ends.of(carry, Times.of(times))),
        measured=jax.tree.map(whole, carry.measured),
    )
    if history is None:
        return out, None
    record = history.by_lane(carry.saved, setting.plan.shared)
    return out, setting.of_record(lambda x, lanewise: setting.unflat(x) if lanewise else x, record)


def unknown(setting: Setting, inputs: Inputs) -> tuple[Output, Record | None]:
    """What a solve returns, in shape: NaN, as it is never to be seen."""
    plan, shape, ts, y0 = setting.plan, setting.lanes.shape, inputs.ts, inputs.y0
    counts, times = jnp.zeros(shape, jnp.int32), jnp.full(shape, jnp.nan, ts.dtype)
    state = lambda *more: jnp.full((*shape, *more, y0.shape[-1]), jnp.nan, y0.dtype)
    ends = Ends(
        accepted=counts,
        rejected=counts,
        shortest=times,
        longest=times,
        status=counts,
        t=times,
        reached=counts,
        maximum_at={name: times for name in plan.names if is_largest(name)},
        starts={rule: Start(t=times, h=times, y=state()) for rule in plan.sampling},
    )
    measured = {name: jnp.full(shape, jnp.nan, y0.dtype) for name in plan.names}
    record = Record.unknown(plan, shape, y0, ts.dtype) if plan.backwards else None
    return Output(ys=state(ts.shape[-1]), ends=ends, measured=measured), record
