"""The save times within a step: states by the interpolant, and what their cotangents give to the step's parts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._integrate._engine._carry import Carry
from ctmodels._integrate._engine._lanes import per_lane, select
from ctmodels._integrate._engine._loops import while_loop
from ctmodels._integrate._engine._plan import Attempt
from ctmodels._integrate._engine._tableau import Method


def save_first(forward, y0) -> Float[Array, "lane time state"]:
    """Save times at the start are behind; what is not reached stays NaN. `forward`: the `Forward` of these lanes."""
    blank = y0[:, None] if forward.plan.hold else jnp.full_like(y0[:, None], jnp.nan)
    at_start = (forward.times.sigma <= 0)[:, :, None]
    n, size = forward.times.sigma.shape[1], y0.shape[1]
    return jnp.broadcast_to(jnp.where(at_start, y0[:, None], blank), (forward.lanes.number, n, size))


def save_within(forward, carry: Carry, ys, end, H, accept, moves, tried: Attempt, lane):
    """The interpolant at all save times within the step from `carry.sigma` to `end`: those common to all lanes one
    after another, else the next of each lane until no lane has one. Save times passed, and states at all of them."""
    method, number = forward.plan.method, ys.shape[1]
    h = jnp.where(accept, end - carry.sigma, 1)
    sigma_at = lambda i: forward.times.nth(jnp.minimum(i, number - 1))

    def pending(i):
        return accept & (i < number) & (sigma_at(i) <= end)

    def one(state):
        i, ys = state
        due = pending(i)
        w = method.weights((sigma_at(i) - carry.sigma) / h).astype(ys.dtype)
        y = w[:, 0:1] * carry.y + w[:, 1:2] * tried.y1
        y = y + per_lane(H).astype(ys.dtype) * sum(w[:, 2 + j : 3 + j] * f for j, f in enumerate(tried.slopes))
        if forward.together:
            at = jax.lax.dynamic_index_in_dim(ys, i[0], 1, keepdims=False)
            ys = jax.lax.dynamic_update_index_in_dim(ys, select(moves, y, at), i[0], 1)
        else:
            where = jnp.where(due & moves, i, number)
            ys = ys.at[lane, where].set(y, mode="drop")
        return i + due.astype(i.dtype), ys

    return while_loop(lambda state: jnp.any(pending(state[0])), one, (carry.saved, ys))


class SaveCotangents(NamedTuple):
    """Cotangents that the save times within a step give to its parts."""

    left: Int[Array, " clock"]  # save times that are still to give theirs
    y: Float[Array, "lane state"]
    y1: Float[Array, "lane state"]
    slopes: tuple[Float[Array, "lane state"], ...]
    t: Float[Array, " lane"]
    h: Float[Array, " lane"]
    ts: Float[Array, "lane time"]


def pull_back_saves(backward, saves: SaveCotangents, live, sigma, h, moved) -> SaveCotangents:
    """Of the step at `sigma` of the lanes that are `live`, with those of its save times. `backward`: the `Backward` of
    these lanes; `moved`: time, length, state and slope of each one's step."""
    method, times = backward.plan.method, backward.times
    _, H, y, _ = moved
    h = jnp.where(h > 0, h, 1)
    tried = None
    if backward.wanted.ts:
        tried = backward.lanes.map(backward.step, backward.arrays, backward.draws, live, *moved)
    sigma_at = lambda i: times.nth(jnp.maximum(i, 0))

    def pending(s):
        due = (s.left > 0) & (sigma_at(s.left - 1) > sigma)
        return due if backward.together else due & live

    def one(s):
        due, i = pending(s), jnp.maximum(s.left - 1, 0)
        u = cotangent_of_save(backward, i, due & live & (i < backward.cotangents.reached))
        theta = (sigma_at(i) - sigma) / h
        w = method.weights(theta).astype(u.dtype)
        part = lambda w, j: w[:, j : j + 1] * u
        slopes = tuple(c + per_lane(H).astype(u.dtype) * part(w, 2 + j) for j, c in enumerate(s.slopes))
        left = s.left - due.astype(s.left.dtype)
        new = s._replace(left=left, y=s.y + part(w, 0), y1=s.y1 + part(w, 1), slopes=slopes)
        return new if tried is None else with_times(method, new, i, u, theta, w, H, y, tried)

    return while_loop(lambda s: jnp.any(pending(s)), one, saves)


def cotangent_of_save(backward, i, due):
    """Of the state at the i-th save time, of the lanes for which it is due."""
    ys = backward.cotangents.ys
    if backward.together:
        u = jax.lax.dynamic_index_in_dim(ys, i[0], 1, keepdims=False)
    else:
        u = ys[jnp.arange(ys.shape[0]), i]
    return select(due, u, jnp.zeros_like(u))


def with_times(method: Method, s: SaveCotangents, i, u, theta, w, H, y, tried: Attempt) -> SaveCotangents:
    """With those of the times, by theta = (t_save - t) / H."""
    dtype = H.dtype
    slope = method.slopes(theta).astype(u.dtype)
    along = lambda w: sum(w[:, 2 + j : 3 + j] * f for j, f in enumerate(tried.slopes))
    rise = slope[:, 0:1] * y + slope[:, 1:2] * tried.y1 + per_lane(H).astype(u.dtype) * along(slope)
    ct_theta = jnp.sum(u * rise, axis=1).astype(dtype) / jnp.where(H != 0, H, 1)
    ct_h = jnp.sum(u * along(w), axis=1).astype(dtype) - ct_theta * theta
    lane = jnp.arange(u.shape[0])
    return s._replace(t=s.t - ct_theta, h=s.h + ct_h, ts=s.ts.at[lane, i].add(ct_theta))
