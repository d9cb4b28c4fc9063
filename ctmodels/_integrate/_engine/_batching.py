"""From code for one sample to a batched solve with a discrete adjoint.

The solve is a `custom_vjp` whose two directions are each a `custom_vmap`: every vmap around it adds an axis of lanes
instead of being pushed into the loops. All that either returns, what one keeps for the other included, has the shapes
of one sample with the axes of these vmaps in front, as of any function: so JAX may do with it what it likes.

In the backward pass, a vmap is one over lanes if anything that the forward pass was given or returned has its axis;
else over cotangents of the same solve (`jacrev`).
"""

from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, PyTree

from ctmodels._integrate._engine._backward import Given, Wanted, undo
from ctmodels._integrate._engine._carry import Record
from ctmodels._integrate._engine._forward import solve
from ctmodels._integrate._engine._lanes import Lanes, Size
from ctmodels._integrate._engine._levels import Levels
from ctmodels._integrate._engine._loops import axes_of, varying_alike
from ctmodels._integrate._engine._plan import Plan, Times
from ctmodels._integrate._engine._vmapped import vmapped, vmapped_by
from ctmodels._integrate._samples import within_a_sample
from ctmodels._output import is_largest


class Ends(NamedTuple):
    """Of each lane: what it cost and where it ended. `reached`: how many save times it came to."""

    accepted: Int[Array, "..."]
    rejected: Int[Array, "..."]
    shortest: Float[Array, "..."]
    longest: Float[Array, "..."]
    status: Int[Array, "..."]
    t: Float[Array, "..."]
    reached: Int[Array, "..."]
    peaks: dict[str, Float[Array, "..."]]
    visits: dict[str, tuple[Float[Array, "..."], Float[Array, "..."], Float[Array, "... state"]]]  # a step: t, h, y


class Setting(NamedTuple):
    """What is solved, for lanes with the given axes."""

    plan: Plan
    field: Callable  # (arrays, t, y) -> slope, of one lane
    lanes: Lanes
    clocked: bool  # whether each lane has times of its own

    def vmapped(self, size: Size, ts: bool, arrays) -> "Setting":
        owned = tuple((bool(b), *own) for b, own in zip(arrays, self.lanes.owned, strict=True))
        return self._replace(lanes=Lanes((size, *self.lanes.shape), owned), clocked=self.clocked or ts)

    def axes_added(self, size: Size, x, batched: bool):
        """What has all lane axes, with one more."""
        return x if batched else jnp.broadcast_to(x, (size, *x.shape))

    def times_vmapped(self, size: Size, ts, batched: bool):
        if self.clocked:
            return self.axes_added(size, ts, batched)
        return self.common_vmapped(size, ts, True) if batched else ts

    def common_vmapped(self, size: Size, x, batched: bool):
        """What has no lane axes, with all of them and one more."""
        middle = (1,) * len(self.lanes.shape)
        x = x.reshape(size, *middle, *x.shape[1:]) if batched else x
        return jnp.broadcast_to(x, (size, *self.lanes.shape, *x.shape[len(middle) + 1 if batched else 0 :]))

    def of_lanes(self, f: Callable, kept: Record | None) -> Record | None:
        """f(array, whether it has lane axes), for what is kept: a clock that lanes share has none."""
        if kept is None:
            return None
        y, f_, saved = (f(x, True) for x in kept[:3])
        return Record(y, f_, saved, jax.tree.map(lambda x: f(x, not self.plan.shared), kept.clock))

    def flat_times(self, ts):
        return ts.reshape(-1, ts.shape[-1])

    def flat(self, x):
        n = len(self.lanes.shape)
        return x.reshape(self.lanes.number, *x.shape[n:])

    def unflat(self, x):
        return x.reshape(*self.lanes.shape, *x.shape[1:])


def unknown(setting: Setting, ts, y0):
    """What a solve returns, in shape: NaN, as it is never to be seen."""
    plan, shape = setting.plan, setting.lanes.shape
    counts, times = jnp.zeros(shape, jnp.int32), jnp.full(shape, jnp.nan, ts.dtype)
    state = lambda *more: jnp.full((*shape, *more, y0.shape[-1]), jnp.nan, y0.dtype)
    peaks = {name: times for name in plan.names if is_largest(name)}
    visits = {rule: (times, times, state()) for rule in plan.visits}
    ends = Ends(counts, counts, times, times, counts, times, counts, peaks, visits)
    measured = {name: jnp.full(shape, jnp.nan, y0.dtype) for name in plan.names}
    kept = Record.unknown(plan, shape, y0, ts.dtype) if plan.backwards else None
    return (state(ts.shape[-1]), ends, measured), kept


def forward(setting: Setting, ts, y0, arrays):
    """(ys, ends, measured), and what goes to the backward pass."""
    for_shapes = vmapped((ts, y0, arrays))

    def run(ts, y0, arrays):
        s, lanes = setting, setting.lanes
        if for_shapes:
            return unknown(s, ts, y0)
        times = s.flat_times(ts)
        ys, head, trail = solve(s.plan, lanes.simplified(), s.field, lanes.flatten_owned(arrays), times, s.flat(y0))
        whole = lambda x: s.unflat(jnp.broadcast_to(x, (lanes.number, *x.shape[1:])))
        clock = Times.of(times)
        visits = {rule: (clock.at(v.sigma), clock.span * v.h, v.y) for rule, v in head.visits.items()}
        ends = Ends(
            head.accepted, head.rejected, head.shortest, head.longest, head.status, clock.at(head.until), head.reached,
            head.peaks, visits,
        )  # fmt: skip
        out = s.unflat(ys), jax.tree.map(whole, ends), jax.tree.map(whole, head.measured)
        if trail is None:
            return out, None
        kept = trail.filed(head.saved, s.plan.shared)
        return out, s.of_lanes(lambda x, lanewise: s.unflat(x) if lanewise else x, kept)

    def rule(size, batched, ts, y0, arrays):
        b_ts, b_y0, b_arrays = batched
        wider = setting.vmapped(size, b_ts, b_arrays)
        out = forward(wider, setting.times_vmapped(size, ts, b_ts), setting.axes_added(size, y0, b_y0), arrays)
        return out, (jax.tree.map(lambda _: True, out[0]), setting.of_lanes(lambda _, lanewise: lanewise, out[1]))

    return vmapped_by(rule, run, ts, y0, arrays)


class Way(NamedTuple):
    """What is pulled back, for lanes and cotangents with the given axes."""

    setting: Setting
    wanted: Wanted
    levels: Levels = Levels()
    outside: bool = False  # of the vmap over samples: what is to come may not be summed
    apart: bool = False  # whether lanes that shared their steps have each a clock, which may be another's

    @property
    def summed(self) -> bool:
        return self.setting.plan.summed

    def vmapped(self, size: Size, batched, inputs, residuals) -> tuple["Way", tuple, PyTree, tuple]:
        """One more level: the way, the inputs and residuals with its axis, and which of the arrays have it."""
        (b_ts, b_y0, b_arrays), *b_residuals = batched
        setting, added = self.setting, self.setting.axes_added
        if not any(jax.tree.leaves(batched)):
            return self._replace(levels=self.levels.more(False, size)), inputs, residuals, b_arrays
        ts, y0, arrays = inputs
        if self.summed and self.outside:  # as if each lane had its own
            own = [bool(b or want) for b, want in zip(b_arrays, self.wanted.arrays, strict=True)]
            arrays = [added(size, x, b) if o else x for x, b, o in zip(arrays, b_arrays, own, strict=True)]
            b_arrays = own
        inputs = setting.times_vmapped(size, ts, b_ts), added(size, y0, b_y0), arrays
        ended, kept = residuals
        b_ended, b_kept = b_residuals
        apart = self.apart or (setting.plan.shared and any(jax.tree.leaves(b_kept.clock)))
        ended, rest = jax.tree.map(lambda x, b: added(size, x, b), (ended, kept[:3]), (b_ended, b_kept[:3]))
        clock = jax.tree.map(lambda x, b: self.clock_vmapped(size, x, b, apart), kept.clock, b_kept.clock)
        levels = self.levels.more(True, size)
        wider = self._replace(setting=setting.vmapped(size, b_ts, b_arrays), levels=levels, apart=apart)
        return wider, inputs, (ended, Record(*rest, clock)), b_arrays  # pyright: ignore

    def clock_vmapped(self, size: Size, x, batched: bool, apart: bool):
        if self.apart or not self.setting.plan.shared:
            return self.setting.axes_added(size, x, batched)
        return self.setting.common_vmapped(size, x, batched) if apart else x

    def owned(self) -> list[tuple[bool, ...]]:
        """Which lane axes the cotangents of the wanted arrays have."""
        every = (True,) * len(self.setting.lanes.shape)
        return [own if self.summed else every for own in self.wanted.split(self.setting.lanes.owned)]

    def unknown(self, ts, y0, arrays):
        """The cotangents, in shape: NaN, as they are never to be seen."""
        lanes, sizes = self.setting.lanes, self.levels.sizes
        blank = lambda shape, x: jnp.full(shape, jnp.nan, x.dtype)
        bare = [x.shape[sum(own) :] for x, own in zip(arrays, lanes.owned, strict=True)]
        wanted = zip(*(self.wanted.split(x) for x in (arrays, bare)), self.owned(), strict=True)
        of_arrays = [blank((*self.levels.present(own), *shape), x) for x, shape, own in wanted]
        of_ts = [blank((*sizes, ts.shape[-1]), ts)] if self.wanted.ts else []
        return of_ts, blank((*sizes, y0.shape[-1]), y0), of_arrays

    def pulled(self, inputs, ended, kept, cotangents):
        """The cotangents of times, state and wanted arrays."""
        ts, y0, arrays = inputs
        s, lanes, levels = self.setting, self.setting.lanes, self.levels
        arrays = lanes.flatten_owned(arrays)
        record = s.of_lanes(lambda x, lanewise: s.flat(x) if lanewise or self.apart else x, kept)

        def one(cotangents):
            of_ys, of_measured = cotangents
            given = Given(of_ys, of_measured, *jax.tree.map(s.flat, ended))
            times, y = s.flat_times(ts), s.flat(y0)
            return undo(s.plan, lanes.simplified(), s.field, arrays, self.wanted, times, y, record, given)  # pyright: ignore

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


def backward(way: Way, inputs, residuals, cotangents, sample):
    """Cotangents of (ts, y0, wanted arrays), from inputs (ts, y0, arrays), residuals ((reached, peaks), kept) and
    cotangents of (ys, measured)."""
    for_shapes = vmapped((inputs, residuals, cotangents, sample))

    def run(inputs, residuals, cotangents, sample):
        return way.unknown(*inputs) if for_shapes else way.pulled(inputs, *residuals, cotangents)  # pyright: ignore

    def rule(size, batched, inputs, residuals, cotangents, sample):
        b_inputs, b_residuals, b_cotangents, b_sample = batched
        cotangents = jax.tree.map(lambda x, b: way.setting.axes_added(size, x, b), cotangents, b_cotangents)
        wider, inputs, residuals, own = way.vmapped(size, (b_inputs, *b_residuals), inputs, residuals)
        each = [o or not wider.levels.of_lanes[0] or not way.summed for o in way.wanted.split(own)]
        wider = wider._replace(outside=way.outside or any(jax.tree.leaves(b_sample)))
        return backward(wider, inputs, residuals, cotangents, sample), ([True] * way.wanted.ts, True, each)

    return vmapped_by(rule, run, inputs, residuals, cotangents, sample)


@eqx.filter_custom_vjp
def replayed(inputs, plan: Plan, field: Callable, whole_numbers, sample):
    """inputs = (ts, y0, arrays); arrays and whole_numbers are what the field closes over. `sample`: its number, in a
    vmap within which cotangents may be summed, or None where that is known of all."""
    return _solved(inputs, plan._replace(backwards=False), field, whole_numbers)[0]


def _setting(plan, field, arrays) -> Setting:
    return Setting(plan, field, Lanes((), ((),) * len(arrays)), clocked=False)


def _solved(inputs, plan, field, whole_numbers):
    ts, y0, arrays = inputs
    arrays = [*arrays, *whole_numbers]
    return forward(_setting(plan, field, arrays), ts, y0, arrays)


def _refuse_sums_over_devices(y0, arrays) -> None:
    """Of what does not vary over the mesh, JAX sums the cotangent at each step: devices with fewer steps would not."""
    if any(axes_of(y0) - axes_of(x) for x in arrays):
        raise ValueError(
            "field: inside jax.shard_map it holds an array that is the same on all devices, where a gradient is wanted "
            'that they share: hand it over by `args`, or as `jax.lax.pcast(array, axis, to="varying")`'
        )


@replayed.def_fwd
def _(perturbed, inputs, plan, field, whole_numbers, sample):
    out, kept = _solved(inputs, plan, field, whole_numbers)
    return out, ((out[1].reached, out[1].peaks), kept)


@replayed.def_bwd
def _(residuals, cotangents, perturbed, inputs, plan, field, whole_numbers, sample):
    ts, y0, arrays = inputs
    p_ts, _, p_arrays = perturbed
    wanted = Wanted(p_ts, (*p_arrays, *[False] * len(whole_numbers)))
    arrays = [*arrays, *whole_numbers]
    ct_ys, _, ct_measured = cotangents
    if ct_ys is None:
        ct_ys = jnp.zeros((ts.shape[0], *y0.shape), y0.dtype)
    # A measure that nothing was made of is not taken again.
    ct_measured = {name: c for name, c in ct_measured.items() if c is not None}
    plan = plan._replace(measures=tuple(m for m in plan.measures if m.name in ct_measured))
    plan = plan._replace(summed=plan.summed and not within_a_sample())
    _refuse_sums_over_devices(y0, wanted.split(arrays))
    of_ct = varying_alike((ct_ys, ct_measured), like=y0)
    way = Way(_setting(plan, field, arrays), wanted)
    of_ts, of_y0, of_arrays = backward(way, (ts, y0, arrays), residuals, of_ct, sample)
    of_arrays = iter(of_arrays)
    return of_ts[0] if p_ts else None, of_y0, [next(of_arrays) if p else None for p in p_arrays]
