"""The save times within a step: states by the interpolant, and what their cotangents give to the step's parts."""

import functools
import operator
from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels._core._loops import while_loop
from ctmodels._integrate._engine._carry import Carry
from ctmodels._integrate._engine._lanes import select
from ctmodels._integrate._engine._plan import Attempt
from ctmodels._integrate._engine._stages import StepCotangents
from ctmodels._integrate._engine._state import State
from ctmodels._integrate._engine._tableau import Method


def save_first(forward, y0: State) -> State:
    """States at the save times (lane, time): those at the start are behind; what is not reached stays NaN. `forward`:
    the `Forward` of these lanes."""
    at_start = forward.times.sigma <= 0

    def one(y0):
        blank = y0[:, None] if forward.plan.hold else jnp.full_like(y0[:, None], jnp.nan)
        started = at_start.reshape(*at_start.shape, *[1] * (y0.ndim - 1))
        return jnp.broadcast_to(
            jnp.where(started, y0[:, None], blank), (forward.lanes.number, at_start.shape[1], *y0.shape[1:])
        )

    return y0.map(one)


def save_within(forward, carry: Carry, ys: State, end, H, accept, moves, tried: Attempt, lane):
    """The interpolant at all save times within the step from `carry.sigma` to `end`: those common to all lanes one
    after another, else the next of each lane until no lane has one. Save times passed, and states at all of them."""
    method, number = forward.plan.method, forward.times.sigma.shape[1]
    h = jnp.where(accept, end - carry.sigma, 1)
    sigma_at = lambda i: forward.times.nth(jnp.minimum(i, number - 1))

    def pending(i):
        return accept & (i < number) & (sigma_at(i) <= end)

    def one(state):
        i, ys = state
        due = pending(i)
        w = [w.astype(ys.dtype) for w in method.weights((sigma_at(i) - carry.sigma) / h)]
        y = w[0] * carry.y + w[1] * tried.y1 + H.astype(ys.dtype) * along(w, tried.slopes)
        put = put_of_all if forward.together else put_of_each
        return i + due.astype(i.dtype), ys.map(functools.partial(put, i, due), y)

    def put_of_all(i, due, ys, y):
        at = jax.lax.dynamic_index_in_dim(ys, i[0], 1, keepdims=False)
        return jax.lax.dynamic_update_index_in_dim(ys, select(moves, y, at), i[0], 1)

    def put_of_each(i, due, ys, y):
        return ys.at[lane, jnp.where(due & moves, i, number)].set(y, mode="drop")

    return while_loop(lambda state: jnp.any(pending(state[0])), one, (carry.saved, ys))


def along(w: Sequence[Float[Array, " lane"]], slopes: Sequence[State]) -> State:
    """The interpolant's sum over the slopes."""
    return functools.reduce(operator.add, map(operator.mul, slopes, w[2:]))


def pull_back_saves(backward, step: StepCotangents, live, sigma, h, moved, taken) -> StepCotangents:
    """Of the step at `sigma` of the lanes that are `live`, with those of its save times. `backward`: the `Backward` of
    these lanes; `moved`: time, length, state and slope of each one's step; `taken`: y1 and the slopes."""
    method, times = backward.plan.method, backward.times
    _, H, y, _ = moved
    h = jnp.where(h > 0, h, 1)
    sigma_at = lambda i: times.nth(jnp.maximum(i, 0))

    def pending(s):
        due = (s.left > 0) & (sigma_at(s.left - 1) > sigma)
        return due if backward.together else due & live

    def one(s):
        due, i = pending(s), jnp.maximum(s.left - 1, 0)
        u = cotangent_of_save(backward, i, due & live & (i < backward.cotangents.reached))
        theta = (sigma_at(i) - sigma) / h
        w = [w.astype(u.dtype) for w in method.weights(theta)]
        slopes = tuple(c + H.astype(u.dtype) * w * u for c, w in zip(s.slopes, w[2:], strict=True))
        left = s.left - due.astype(s.left.dtype)
        new = s._replace(left=left, y=s.y + w[0] * u, y1=s.y1 + w[1] * u, slopes=slopes)
        return with_times(method, new, i, u, theta, w, H, y, taken) if backward.wanted.ts else new

    return while_loop(lambda s: jnp.any(pending(s)), one, step)


def cotangent_of_save(backward, i, due) -> State:
    """Of the state at the i-th save time, of the lanes for which it is due."""

    def one(ys):
        if backward.together:
            u = jax.lax.dynamic_index_in_dim(ys, i[0], 1, keepdims=False)
        else:
            u = ys[jnp.arange(ys.shape[0]), i]
        return select(due, u, jnp.zeros_like(u))

    return backward.cotangents.ys.map(one)


def with_times(method: Method, s: StepCotangents, i, u: State, theta, w, H, y: State, taken) -> StepCotangents:
    """With those of the times, by theta = (t_save - t) / H."""
    dtype, (y1, slopes) = H.dtype, taken
    slope = [w.astype(u.dtype) for w in method.slopes(theta)]
    rise = slope[0] * y + slope[1] * y1 + H.astype(u.dtype) * along(slope, slopes)
    ct_theta = (u * rise).sum().astype(dtype) / jnp.where(H != 0, H, 1)
    ct_h = (u * along(w, slopes)).sum().astype(dtype) - ct_theta * theta
    lane = jnp.arange(s.t.shape[0])
    return s._replace(t=s.t - ct_theta, h=s.h + ct_h, ts=s.ts.at[lane, i].add(ct_theta))
