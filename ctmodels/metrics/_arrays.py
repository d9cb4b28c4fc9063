"""Arguments of metrics: numbers in a floating type, in shapes that agree; nothing broadcasts.

The checks are of types and shapes, so that they cost nothing under jit and vmap.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Shaped

# Any numbers in any shape: a wrong shape gets our own message, with the argument's name.
Numbers = Shaped[ArrayLike, "..."]
Mask = Shaped[ArrayLike, "..."] | None


def numbers(x: Numbers, name: str) -> Array:
    """`x` in a floating type of 32 bits at least: in a count's own type differences wrap and squares overflow."""
    x = x if isinstance(x, jax.Array) else np.asarray(x)
    if not (x.dtype == bool or jnp.issubdtype(x.dtype, jnp.integer) or jnp.issubdtype(x.dtype, jnp.floating)):
        raise TypeError(
            f"{name} is of type {x.dtype}: real numbers are wanted; convert it, such as {name}.astype(float)"
        )
    dtype = jax.dtypes.canonicalize_dtype(float)
    if jnp.issubdtype(x.dtype, jnp.floating):
        dtype = jax.dtypes.canonicalize_dtype("float64" if jnp.finfo(x.dtype).bits > 32 else "float32")
    # NumPy's on the host: 64-bit counts would wrap on their way into JAX's 32 bits.
    return jnp.asarray(x.astype(dtype))


def same_shape(**arrays) -> list[Array]:
    """Floating arrays of one type and one shape, none of them empty.

    One channel may be written with its axis, `(time, 1)`, or without, `(time,)`: that pair alone has but one meaning.
    """
    found = {name: numbers(x, name) for name, x in arrays.items()}
    (first, wanted), *others = found.items()
    for name, x in others:
        if x.shape != wanted.shape and not _same_but_for_one_channel(x.shape, wanted.shape):
            raise ValueError(
                f"{name} has shape {x.shape} and {first} {wanted.shape}: each entry of one is held against the same "
                "entry of the other; give both the same shape"
            )
    not_empty(first, wanted)
    shape, dtype = max((x.shape for x in found.values()), key=len), common_type(*found.values())
    return [x.reshape(shape).astype(dtype) for x in found.values()]


def observed(mask: Mask, name: str, like: Array, of: str) -> Array:
    """The mask in the shape of the array that it speaks of; all True if None."""
    if mask is None:
        return jnp.ones(like.shape, bool)
    mask = mask if isinstance(mask, jax.Array) else np.asarray(mask)
    if mask.dtype != bool:
        raise TypeError(
            f"{name} is of type {mask.dtype}: True where a value was observed and False where not; compare with what "
            f"stands for a missing value, such as {of} != -1"
        )
    if mask.shape != like.shape and not _same_but_for_one_channel(mask.shape, like.shape):
        raise ValueError(
            f"{name} has shape {mask.shape} and {of} {like.shape}: there is one True or False for each entry of {of}; "
            f"where whole rows are missing, jnp.broadcast_to({name}[:, None], {of}.shape)"
        )
    return jnp.asarray(mask).reshape(like.shape)


def orbits(**arrays) -> list[Array]:
    """`(time, channel)` each, of one type; of as many channels, if perhaps of other lengths."""
    found = {name: numbers(x, name) for name, x in arrays.items()}
    shaped = {name: with_channels(x, name) for name, x in found.items()}
    (first, wanted), *others = shaped.items()
    for name, x in others:
        if x.shape[1] != wanted.shape[1]:
            raise ValueError(
                f"{name} has shape {found[name].shape} and {first} {found[first].shape}, (time, channel): two orbits "
                "are compared channel by channel; give both the same channels"
            )
    dtype = common_type(*shaped.values())
    return [x.astype(dtype) for x in shaped.values()]


def with_channels(x: Array, name: str) -> Array:
    """`(time, channel)`, of which there is one if `x` is `(time,)`."""
    if x.ndim not in (1, 2):
        raise ValueError(f"{name} has shape {x.shape}: one series is (time, channel); jax.vmap takes a batch of them")
    not_empty(name, x)
    return x if x.ndim == 2 else x[:, None]


def not_empty(name: str, x: Array | np.ndarray) -> None:
    """Refuses an array without entries."""
    if x.size == 0:
        raise ValueError(f"{name} has shape {x.shape}: there is nothing in it to be judged; give one entry at least")


def common_type(*arrays: Array):
    """The widest."""
    return max((x.dtype for x in arrays), key=lambda dtype: dtype.itemsize)


def root_mean_square(x: Array, mask: Array, axis: int | None = None) -> Array:
    """Over what was observed; NaN where nothing was.

    By a power of two near the largest value, which changes no digit: the square of a charge in coulomb, or of a run
    that has almost diverged, is no number of float32.
    """
    x = jnp.where(mask, x, 0)
    largest = jnp.max(jnp.abs(x), axis=axis, keepdims=True)
    regular = jnp.isfinite(largest) & (largest > 0)
    # Half the exponent, applied twice: 2**128 itself is no float32.
    half = jnp.where(regular, jnp.frexp(jnp.where(regular, largest, 1))[1], 0) // 2
    unit = jnp.ldexp(jnp.ones_like(largest), half)
    square = jnp.sum(jnp.square(x / unit / unit), axis=axis)
    root = jnp.sqrt(square / jnp.sum(mask, axis=axis).astype(x.dtype))
    unit = unit.reshape(root.shape)
    return root * unit * unit


def one_where_zero(x: Array) -> Array:
    """What may be divided by."""
    return jnp.where(x == 0, 1, x)


def unless_diverged(value: Array, true: Array, generated: Array, worst: float | int) -> Array:
    """The value; `worst` if the generated orbit is not finite; NaN if the truth is not."""
    value = jnp.where(jnp.isfinite(generated).all(), value, worst)
    return jnp.where(jnp.isfinite(true).all(), value, jnp.nan)


def _same_but_for_one_channel(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a == (*b, 1) or b == (*a, 1)
