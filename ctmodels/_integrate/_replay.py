"""From code for one sample to a batched solve with a discrete adjoint.

The solve is a `custom_vjp` whose two directions are each a `custom_vmap`: every vmap around it adds an axis of lanes
instead of being pushed into the loops. In the backward pass, a vmap may be one over lanes, or one over cotangents of
the same solve (`jacrev`); what the forward pass returned tells which.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap
from jaxtyping import Array, Float, Int

from ctmodels._integrate._account import is_largest, name_of
from ctmodels._integrate._backward import Given, Wanted, undo
from ctmodels._integrate._forward import solve
from ctmodels._integrate._lanes import Lanes, Size
from ctmodels._integrate._levels import Levels
from ctmodels._integrate._plan import Plan, Times
from ctmodels._integrate._state import Trail

TRAILS = 8  # more than the widths of any batch


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
        if self.clocked or not batched:
            return self.axes_added(size, ts, batched) if self.clocked else ts
        middle = (1,) * len(self.lanes.shape)
        return jnp.broadcast_to(ts.reshape(size, *middle, -1), (size, *self.lanes.shape, ts.shape[-1]))

    def flat_times(self, ts):
        return ts.reshape(-1, ts.shape[-1])

    def flat(self, x):
        n = len(self.lanes.shape)
        return x.reshape(self.lanes.number, *x.shape[n:])

    def unflat(self, x):
        return x.reshape(*self.lanes.shape, *x.shape[1:])


@functools.cache
def _vmap_tracer() -> type:
    seen = []
    jax.vmap(lambda x: seen.append(type(x)) or x)(jnp.zeros(1))
    return seen[0]


def vmapped(tree) -> bool:
    """Whether the transformation that sees these arrays first is a vmap."""
    return any(isinstance(x, _vmap_tracer()) and x.batch_dim is not None for x in jax.tree.leaves(tree))


def blank(setting: Setting, ts, y0):
    """What a solve returns, without solving: JAX traces a `custom_vmap` as if it were not vmapped, even where it is."""
    shape = setting.lanes.shape
    counts, times = jnp.zeros(shape, jnp.int32), jnp.zeros(shape, ts.dtype)
    ys = jnp.zeros((*shape, ts.shape[-1], y0.shape[-1]), y0.dtype)
    plan = setting.plan
    peaks = {name: times for name in plan.names if is_largest(name)}
    visits = {rule: (times, times, jnp.zeros((*shape, y0.shape[-1]), y0.dtype)) for rule in plan.visits}
    ends = Ends(counts, counts, times, times, counts, times, counts, peaks, visits)
    measured = {name: jnp.zeros(shape, y0.dtype) for name in plan.names}
    return (ys, ends, measured), (jnp.zeros(1, jnp.int32), [Trail.empty()] * TRAILS)


def forward(setting: Setting, for_shapes: bool) -> Callable:
    """(ts, y0, arrays) -> (ys, ends, measured), what goes to the backward pass."""

    @custom_vmap
    def run(ts, y0, arrays):
        s, lanes = setting, setting.lanes
        if for_shapes:
            return blank(s, ts, y0)
        times = s.flat_times(ts)
        ys, head, trails = solve(s.plan, lanes.simplified(), s.field, lanes.flatten_owned(arrays), times, s.flat(y0))
        whole = lambda x: s.unflat(jnp.broadcast_to(x, (lanes.number, *x.shape[1:])))
        clock = Times.of(times)
        visits = {rule: (clock.at(v.sigma), clock.span * v.h, v.y) for rule, v in head.visits.items()}
        ends = Ends(
            head.accepted, head.rejected, head.shortest, head.longest, head.status, clock.at(head.until), head.reached,
            head.peaks, visits,
        )  # fmt: skip
        ends = jax.tree.map(whole, ends)
        trails = [*trails, *[Trail.empty()] * (TRAILS - len(trails))]
        return (s.unflat(ys), ends, jax.tree.map(whole, head.measured)), (head.saved, trails)

    @run.def_vmap
    def rule(size, batched, ts, y0, arrays):
        b_ts, b_y0, b_arrays = batched
        wider = setting.vmapped(size, b_ts, b_arrays)
        inputs = setting.times_vmapped(size, ts, b_ts), setting.axes_added(size, y0, b_y0), arrays
        out, kept = forward(wider, vmapped(inputs))(*inputs)
        # What is kept has lanes inside, in shapes that depend on their number: it goes to the backward pass as it is.
        return (out, kept), (jax.tree.map(lambda _: True, out), jax.tree.map(lambda _: False, kept))

    return run


def without_lanes(wanted: Wanted, levels: Levels, owned, owned_wanted, ts, y0, arrays):
    """Cotangents, all zero: what they look like before the lanes are known."""
    bare = [x.shape[sum(own) :] for x, own in zip(arrays, owned, strict=True)]
    of_arrays = [
        jnp.zeros((*levels.present(own), *shape), x.dtype)
        for x, own, shape in zip(wanted.split(arrays), owned_wanted, wanted.split(bare), strict=True)
    ]
    of_ts = [jnp.zeros((*levels.sizes, ts.shape[-1]), ts.dtype)] if wanted.ts else []
    return of_ts, jnp.zeros((*levels.sizes, y0.shape[-1]), y0.dtype), of_arrays


def backward(setting: Setting, wanted: Wanted, levels: Levels) -> Callable:
    """((ts, y0, arrays), (reached, peaks), kept, cotangents of (ys, measured)) -> those of (ts, y0, wanted arrays)."""

    plan, lanes = setting.plan, setting.lanes
    every = (True,) * len(lanes.shape)
    owned = [own if plan.summed else every for own in wanted.split(lanes.owned)]  # lane axes of the arrays' cotangents

    @custom_vmap
    def run(inputs, ended, kept, cotangents):
        ts, y0, arrays = inputs
        saved, trails = kept
        if trails[0].lane.shape[0] != lanes.number:  # of more lanes than are known yet: traced for its shapes only
            return without_lanes(wanted, levels, lanes.owned, owned, *inputs)
        trails = [trail for trail in trails if trail.y.ndim == 3]
        arrays = lanes.flatten_owned(arrays)

        def one(cotangents):
            of_ys, of_measured = cotangents
            given = Given(of_ys, of_measured, *jax.tree.map(setting.flat, ended))
            times, y = setting.flat_times(ts), setting.flat(y0)
            return undo(plan, lanes.simplified(), setting.field, arrays, wanted, times, y, saved, trails, given)

        cotangents = jax.tree.map(levels.gather, cotangents)
        if levels.cotangents == 1:
            found = jax.tree.map(lambda x: x[None], one(jax.tree.map(lambda x: x[0], cotangents)))
        else:
            found = jax.vmap(one)(cotangents)
        unflat = lambda x: x.reshape(x.shape[0], *lanes.shape, *x.shape[2:])
        of_ts, of_y0, of_arrays = found
        if not plan.summed:
            of_arrays = [unflat(x) for x in of_arrays]
        elif lanes.simple:
            of_arrays = [unflat(x) if any(own) else x for x, own in zip(of_arrays, owned, strict=True)]
        of_arrays = [levels.spread(x, own) for x, own in zip(of_arrays, owned, strict=True)]
        of_ts = [levels.spread(unflat(of_ts), every)] if wanted.ts else []
        return of_ts, levels.spread(unflat(of_y0), every), of_arrays

    @run.def_vmap
    def rule(size, batched, inputs, ended, kept, cotangents):
        (b_ts, b_y0, b_arrays), (b_reached, _), _, b_cotangents = batched
        cotangents = jax.tree.map(lambda x, b: setting.axes_added(size, x, b), cotangents, b_cotangents)
        wider = setting
        if b_reached:
            ts, y0, arrays = inputs
            wider = setting.vmapped(size, b_ts, b_arrays)
            inputs = setting.times_vmapped(size, ts, b_ts), setting.axes_added(size, y0, b_y0), arrays
        out = backward(wider, wanted, levels.more(b_reached, size))(inputs, ended, kept, cotangents)
        each = [own or not b_reached or not setting.plan.summed for own in wanted.split(b_arrays)]
        return out, ([True] * wanted.ts, True, each)

    return run


@eqx.filter_custom_vjp
def replayed(inputs, plan: Plan, field: Callable, whole_numbers):
    """inputs = (ts, y0, arrays); arrays and whole_numbers are what the field closes over."""
    return _solved(inputs, plan._replace(backwards=False), field, whole_numbers)[0]


def _setting(plan, field, arrays) -> Setting:
    return Setting(plan, field, Lanes((), ((),) * len(arrays)), clocked=False)


def _solved(inputs, plan, field, whole_numbers):
    ts, y0, arrays = inputs
    arrays = [*arrays, *whole_numbers]
    return forward(_setting(plan, field, arrays), vmapped((ts, y0, arrays)))(ts, y0, arrays)


@replayed.def_fwd
def _(perturbed, inputs, plan, field, whole_numbers):
    out, kept = _solved(inputs, plan, field, whole_numbers)
    return out, ((out[1].reached, out[1].peaks), kept)


@replayed.def_bwd
def _(residuals, cotangents, perturbed, inputs, plan, field, whole_numbers):
    ts, y0, arrays = inputs
    ended, kept = residuals
    p_ts, _, p_arrays = perturbed
    wanted = Wanted(p_ts, (*p_arrays, *[False] * len(whole_numbers)))
    arrays = [*arrays, *whole_numbers]
    ct_ys, _, ct_measured = cotangents
    if ct_ys is None:
        ct_ys = jnp.zeros((ts.shape[0], *y0.shape), y0.dtype)
    # A measure that nothing was made of is not taken again.
    ct_measured = {name: c for name, c in ct_measured.items() if c is not None}
    plan = plan._replace(measures=tuple(m for m in plan.measures if name_of(m) in ct_measured))
    run = backward(_setting(plan, field, arrays), wanted, Levels())
    of_ts, of_y0, of_arrays = run((ts, y0, arrays), ended, kept, (ct_ys, ct_measured))
    of_arrays = iter(of_arrays)
    return of_ts[0] if p_ts else None, of_y0, [next(of_arrays) if p else None for p in p_arrays]
