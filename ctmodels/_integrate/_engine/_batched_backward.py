"""The backward pass, each vmap of which is an axis of lanes more, or one over cotangents of the same solve (`jacrev`):
over lanes if anything that the forward pass was given or returned has its axis."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._integrate._engine._backward import Batch, pull_back_solve
from ctmodels._integrate._engine._lanes import Size
from ctmodels._integrate._engine._levels import Levels
from ctmodels._integrate._engine._pull import Cotangents, Wanted
from ctmodels._integrate._engine._record import Record
from ctmodels._integrate._engine._setting import Inputs, Setting
from ctmodels._integrate._engine._vmapped import vmapped, vmapped_by


class Residuals(NamedTuple):
    """What goes from the forward pass to the backward one."""

    reached: Int[Array, "..."]
    maximum_at: dict[str, Float[Array, "..."]]
    record: Record


class OfOutput(NamedTuple):
    """Cotangents of what the forward pass returned."""

    ys: Float[Array, "... time state"]
    measured: dict[str, Float[Array, "..."]]


class Pullback(NamedTuple):
    """What is pulled back, for lanes and cotangents with the given axes."""

    setting: Setting
    wanted: Wanted
    levels: Levels = Levels()
    outside: bool = False  # of the vmap over samples: what is to come may not be summed
    apart: bool = False  # whether lanes that shared their steps have each a clock, which may be another's

    @property
    def summed(self) -> bool:
        return self.setting.plan.summed

    def vmapped(
        self, size: Size, inputs: Inputs, b_inputs: Inputs, residuals: Residuals, b_residuals: Residuals
    ) -> tuple["Pullback", Inputs, Residuals, list[bool]]:
        """One more level: the pullback, the inputs and residuals with its axis, and which of the arrays have it."""
        setting, b_arrays = self.setting, b_inputs.arrays
        if not any(jax.tree.leaves((b_inputs, b_residuals))):
            return self._replace(levels=self.levels.more(False, size)), inputs, residuals, b_arrays  # pyright: ignore
        wider_inputs = setting.inputs_vmapped(size, inputs, b_inputs)
        if self.summed and self.outside:  # as if each lane had its own
            own = [bool(b or want) for b, want in zip(b_arrays, self.wanted.arrays, strict=True)]
            each = zip(inputs.arrays, b_arrays, own, strict=True)
            arrays = [setting.axes_added(size, x, b) if o else x for x, b, o in each]
            wider_inputs, b_arrays = wider_inputs._replace(arrays=arrays), own
        clocks = any(jax.tree.leaves(b_residuals.record.clock))
        wider = self._replace(
            setting=setting.vmapped(size, b_inputs.ts, b_arrays),  # pyright: ignore
            levels=self.levels.more(True, size),
            apart=self.apart or (setting.plan.shared and clocks),
        )
        return wider, wider_inputs, self.residuals_vmapped(size, residuals, b_residuals, wider.apart), b_arrays  # pyright: ignore

    def residuals_vmapped(self, size: Size, residuals: Residuals, batched: Residuals, apart: bool) -> Residuals:
        record, b_record = residuals.record, batched.record
        lanewise = lambda x, b: self.setting.axes_added(size, x, b)
        clock = jax.tree.map(lambda x, b: self.clock_vmapped(size, x, b, apart), record.clock, b_record.clock)
        return Residuals(
            reached=lanewise(residuals.reached, batched.reached),
            maximum_at=lanewise(residuals.maximum_at, batched.maximum_at),
            record=Record(
                y=lanewise(record.y, b_record.y),
                f=lanewise(record.f, b_record.f),
                saved=lanewise(record.saved, b_record.saved),
                clock=clock,
            ),
        )

    def clock_vmapped(self, size: Size, x, batched: bool, apart: bool):
        if self.apart or not self.setting.plan.shared:
            return self.setting.axes_added(size, x, batched)
        return self.setting.common_vmapped(size, x, batched) if apart else x

    def owned(self) -> list[tuple[bool, ...]]:
        """Which lane axes the cotangents of the wanted arrays have."""
        every = (True,) * len(self.setting.lanes.shape)
        return [own if self.summed else every for own in self.wanted.split(self.setting.lanes.owned)]

    def unknown(self, inputs: Inputs):
        """The cotangents, in shape: NaN, as they are never to be seen."""
        lanes, sizes, ts, y0 = self.setting.lanes, self.levels.sizes, inputs.ts, inputs.y0
        blank = lambda shape, x: jnp.full(shape, jnp.nan, x.dtype)
        bare = [x.shape[sum(own) :] for x, own in zip(inputs.arrays, lanes.owned, strict=True)]
        wanted = zip(*(self.wanted.split(x) for x in (inputs.arrays, bare)), self.owned(), strict=True)
        of_arrays = [blank((*self.levels.present(own), *shape), x) for x, shape, own in wanted]
        of_ts = [blank((*sizes, ts.shape[-1]), ts)] if self.wanted.ts else []
        return of_ts, blank((*sizes, y0.shape[-1]), y0), of_arrays

    def pulled(self, inputs: Inputs, residuals: Residuals, cotangents: OfOutput):
        """The cotangents of times, state and wanted arrays."""
        s, levels = self.setting, self.levels
        y0, draws, reached, maximum_at = s.flat((inputs.y0, inputs.draws, residuals.reached, residuals.maximum_at))
        batch = Batch(
            plan=s.plan,
            lanes=s.lanes.simplified(),
            field=s.field,
            arrays=s.lanes.flatten_owned(inputs.arrays),
            draws=draws,
            wanted=self.wanted,
            ts=s.flat_times(inputs.ts),
            y0=s.state(y0),
        )
        record = s.of_record(lambda x, lanewise: s.flat(x) if lanewise or self.apart else x, residuals.record)

        def one(of: OfOutput):
            given = Cotangents(ys=s.state(of.ys), measured=of.measured, reached=reached, maximum_at=maximum_at)
            of_ts, of_y0, of_arrays = pull_back_solve(batch, record, given)  # pyright: ignore
            return of_ts, of_y0.array(), of_arrays

        cotangents = jax.tree.map(levels.gather, cotangents)
        if levels.cotangents == 1:
            found = jax.tree.map(lambda x: x[None], one(jax.tree.map(lambda x: x[0], cotangents)))
        else:
            found = jax.vmap(one)(cotangents)
        return self.unflat(*found)

    def unflat(self, of_ts, of_y0, of_arrays):
        lanes, levels = self.setting.lanes, self.levels
        every = (True,) * len(lanes.shape)
        unflat = lambda x: x.reshape(x.shape[0], *lanes.shape, *x.shape[2:])
        flat = lambda own: not self.summed or (lanes.simple and any(own))
        each = zip(of_arrays, self.owned(), strict=True)
        of_arrays = [levels.spread(unflat(x) if flat(own) else x, own) for x, own in each]
        of_ts = [levels.spread(unflat(of_ts), every)] if self.wanted.ts else []
        return of_ts, levels.spread(unflat(of_y0), every), of_arrays


def backward(pullback: Pullback, inputs: Inputs, residuals: Residuals, cotangents: OfOutput, sample):
    """Cotangents of (ts, y0, wanted arrays). `sample`: its number, of which a vmap around the one over samples has no
    axis, or None."""
    for_shapes = vmapped((inputs, residuals, cotangents, sample))

    def run(inputs, residuals, cotangents, sample):
        return pullback.unknown(inputs) if for_shapes else pullback.pulled(inputs, residuals, cotangents)

    def rule(size, batched, inputs, residuals, cotangents, sample):
        b_inputs, b_residuals, b_cotangents, b_sample = batched
        cotangents = pullback.setting.axes_added(size, cotangents, b_cotangents)
        wider, inputs, residuals, own = pullback.vmapped(size, inputs, b_inputs, residuals, b_residuals)
        of_lanes, summed = wider.levels.of_lanes[0], pullback.summed
        each = [o or not of_lanes or not summed for o in pullback.wanted.split(own)]
        wider = wider._replace(outside=pullback.outside or any(jax.tree.leaves(b_sample)))
        return backward(wider, inputs, residuals, cotangents, sample), ([True] * pullback.wanted.ts, True, each)

    return vmapped_by(rule, run, inputs, residuals, cotangents, sample)
