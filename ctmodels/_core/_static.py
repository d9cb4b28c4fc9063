"""Static features: what is known beforehand of what a series belongs to."""

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float


def static_code(static: Array | None, known: Array | None, dtype: DTypeLike) -> Float[Array, " code"]:
    """Features, zero where one is not known, and which are; nothing where there are none."""
    if static is None:
        return jnp.zeros(0, dtype)
    known = jnp.ones(static.shape, bool) if known is None else known
    return jnp.concatenate([jnp.where(known, static, 0).astype(dtype), known.astype(dtype)])
