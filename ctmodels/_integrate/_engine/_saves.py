"""The way back through the interpolant: what the save times within a step give to its parts."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from ctmodels._integrate._engine._lanes import per_lane, select
from ctmodels._integrate._engine._loops import while_loop
from ctmodels._integrate._engine._tableau import Method


class Saves(NamedTuple):
    """Cotangents that the save times within a step give to its parts."""

    left: Int[Array, " clock"]
    y: Float[Array, "lane state"]
    y1: Float[Array, "lane state"]
    fs: tuple[Float[Array, "lane state"], ...]
    t: Float[Array, " lane"]
    h: Float[Array, " lane"]
    ts: Float[Array, "lane time"]


def undo_saves(way, saves: Saves, live, sigma, h, moved) -> Saves:
    """Of the step at `sigma` of the lanes that are `live`; `way` is the `Undo` that they are on."""
    method, times = way.plan.method, way.times
    _, H, y, f = moved
    h = jnp.where(h > 0, h, 1)
    values = way.lanes.map(way.step, way.arrays, live, *moved)[:2] if way.wanted.ts else None

    def sigma_at(i):
        i = jnp.maximum(i, 0)
        if times.sigma.shape[0] == 1:
            return times.sigma[0, i]
        return jnp.take_along_axis(times.sigma, i[:, None], 1)[:, 0]

    def pending(s):
        due = (s.left > 0) & (sigma_at(s.left - 1) > sigma)
        return due if way.together else due & live

    def one(s):
        due, i = pending(s), jnp.maximum(s.left - 1, 0)
        u = cotangent_of(way, i, due & live & (i < way.given.reached))
        theta = (sigma_at(i) - sigma) / h
        w = method.weights(theta).astype(u.dtype)
        part = lambda w, j: w[:, j : j + 1] * u
        fs = tuple(c + per_lane(H).astype(u.dtype) * part(w, 2 + j) for j, c in enumerate(s.fs))
        new = s._replace(left=s.left - due.astype(s.left.dtype), y=s.y + part(w, 0), y1=s.y1 + part(w, 1), fs=fs)
        return new if values is None else of_times(method, new, i, u, theta, w, H, y, *values)

    return while_loop(lambda s: jnp.any(pending(s)), one, saves)


def cotangent_of(way, i, due):
    ys = way.given.ys
    if way.together:
        u = jax.lax.dynamic_index_in_dim(ys, i[0], 1, keepdims=False)
    else:
        u = ys[jnp.arange(ys.shape[0]), i]
    return select(due, u, jnp.zeros_like(u))


def of_times(method: Method, s: Saves, i, u, theta, w, H, y, y1, fs) -> Saves:
    """theta = (t_save - t) / H."""
    dtype = H.dtype
    slope = method.slopes(theta).astype(u.dtype)
    along = lambda w: sum(w[:, 2 + j : 3 + j] * f for j, f in enumerate(fs))
    rise = slope[:, 0:1] * y + slope[:, 1:2] * y1 + per_lane(H).astype(u.dtype) * along(slope)
    ct_theta = jnp.sum(u * rise, axis=1).astype(dtype) / jnp.where(H != 0, H, 1)
    ct_h = jnp.sum(u * along(w), axis=1).astype(dtype) - ct_theta * theta
    lane = jnp.arange(u.shape[0])
    return s._replace(t=s.t - ct_theta, h=s.h + ct_h, ts=s.ts.at[lane, i].add(ct_theta))
