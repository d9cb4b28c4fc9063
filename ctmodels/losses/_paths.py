"""What a distance compares: sets of paths, and an ensemble against one path that was observed."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float

from ctmodels._core._arguments import check_array
from ctmodels._core._series import Series

Paths = Float[ArrayLike, "..."]  # any shape: a wrong one gets our own message, with the argument's name
Mask = Bool[ArrayLike, "..."] | None


def check_path(name: str, ys, mask, mask_name: str, axes: str = "(path, time, channel)") -> None:
    """Types and shapes of paths, or of one, and of what was observed of them."""
    check_array(name, ys, axes, "jnp.asarray makes one")
    wanted = axes.count(",") + 1
    if ys.ndim != wanted or 0 in ys.shape:
        add = f"; of one path, {name}[None]" if ys.ndim == wanted - 1 else ""
        raise ValueError(f"{name}: shape {ys.shape}, where {axes} is wanted, with one entry at least{add}")
    if not jnp.issubdtype(ys.dtype, jnp.floating):
        raise TypeError(f"{name}: dtype {ys.dtype}, where real numbers are wanted; {name}.astype(float)")
    if mask is None:
        return
    check_array(mask_name, mask, axes, f"~jnp.isnan({name}) makes one")
    if mask.dtype != bool or mask.shape not in (ys.shape, ys.shape[:-1]):
        raise ValueError(
            f"{mask_name}: shape {mask.shape} of {mask.dtype}: it has a True or False for each entry of {name}, "
            f"{ys.shape}, or for each of its rows, {ys.shape[:-1]}; ~jnp.isnan({name}) makes one"
        )


def check_same_channels(first: str, x, second: str, y, *, rows: bool) -> None:
    """Two sets of paths of the same channels, of one type, and with `rows` of one length."""
    axes = 2 if rows else 1
    if x.shape[-axes:] != y.shape[-axes:]:
        what = "times and channels" if rows else "channels"
        raise ValueError(
            f"{second}: shape {y.shape}, and {first} {x.shape}: the last axes are (time, channel), and the {what} of "
            "both must agree; give both the same"
        )
    kinds = [jax.dtypes.canonicalize_dtype(a.dtype) for a in (x, y)]
    if kinds[0] != kinds[1]:
        raise TypeError(f"{second}: dtype {kinds[1]}, and {first} {kinds[0]}: give both one type; {second}.astype(...)")


def check_pairs(name: str, ys) -> None:
    """Two paths at least, as a mean over pairs of them needs."""
    if ys.shape[0] < 2:
        raise ValueError(f"{name}: {ys.shape[0]} path: a mean over pairs of different paths needs at least 2")


def observed(ys: Array, mask: Mask) -> Bool[Array, "..."]:
    """The mask in the shape of the paths."""
    if mask is None:
        return jnp.ones(ys.shape, bool)
    mask = jnp.asarray(mask)
    return mask if mask.ndim == ys.ndim else jnp.broadcast_to(mask[..., None], ys.shape)


def filled(ys: Paths, mask: Mask) -> Float[Array, "path time channel"]:
    """Paths of which each entry that was not observed is the last one that was: so a row without any adds no increment,
    and leaves the others as if it had never been there."""
    ys = jnp.asarray(ys)
    if mask is None:
        return ys
    rows = jnp.arange(ys.shape[1])
    return jax.vmap(lambda y, seen: Series(rows.astype(ys.dtype), y, seen).fill_forward())(ys, observed(ys, mask))


def lifted(ys: Paths, mask: Mask, ts, scale, basepoint: bool) -> Float[Array, "path time channel"]:
    """Paths as a signature is to see them: filled, scaled, with time for the first channel if `ts` is given, and with
    a first step from zero to where they start."""
    ys = jnp.asarray(ys)
    seen = observed(ys, mask)
    ys = filled(ys, mask) * jnp.asarray(scale, ys.dtype)
    if ts is not None:
        ts = jnp.asarray(ts)
        clock = jnp.broadcast_to(((ts - ts[0]) / (ts[-1] - ts[0])).astype(ys.dtype)[:, None], (*ys.shape[:2], 1))
        # A row in which nothing was observed is no knot of time either.
        ys = jnp.concatenate([filled(clock, jnp.any(seen, axis=-1)), ys], axis=2)
    return jnp.pad(ys, ((0, 0), (1, 0), (0, 0))) if basepoint else ys


def check_lift(name: str, ys, ts, scale) -> None:
    """Times of the paths, from first to last, and a scale of one number or one for each channel."""
    if ts is not None and (np.shape(ts) != ys.shape[1:2] or ys.shape[1] < 2):
        raise ValueError(
            f"ts: shape {np.shape(ts)}, and {name} {ys.shape}: there is one time for each row, ({ys.shape[1]},), and "
            "two rows at least; give all paths the same times, and mask what a path was not seen at"
        )
    if np.shape(scale) not in ((), ys.shape[-1:]):
        raise ValueError(
            f"scale: shape {np.shape(scale)}, and {name} {ys.shape}: it is one number, or one for each channel, "
            f"({ys.shape[-1]},)"
        )
