"""One layer of a transformer over the rows of a path."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key, check_whole


def _check(size, heads, key, **_) -> None:
    check_key(key, needed=True)
    check_whole("heads", heads, 1)
    if size % heads:
        raise ValueError(f"heads={heads}: must divide the size of a row, {size}, into equal parts")


class TransformerLayer(eqx.Module):
    """Attention among rows and an MLP of each, both added to what they read, each of it normed first.

    It does not know where in time a row stands, but by what the row says. Rows that are not `there` are read by none.

    **Arguments:** `size`: of a row; `heads`; `width`: of the MLP, four times the size if None; `causal`: whether a row
    reads itself and those before it only.
    """

    attention: eqx.nn.MultiheadAttention
    mlp: eqx.nn.MLP
    norms: tuple[eqx.nn.LayerNorm, eqx.nn.LayerNorm]
    causal: bool = eqx.field(static=True)

    @before(_check)
    def __init__(self, size: int, *, heads: int = 2, width: int | None = None, causal: bool = False, key: PRNGKeyArray):
        a, b = jax.random.split(key)
        self.attention = eqx.nn.MultiheadAttention(heads, size, key=a)
        self.mlp = eqx.nn.MLP(size, size, 4 * size if width is None else width, 1, jax.nn.gelu, key=b)
        self.norms = eqx.nn.LayerNorm(size), eqx.nn.LayerNorm(size)
        self.causal = causal

    def __call__(self, x: Float[Array, "row size"], there: Bool[Array, " row"]) -> Float[Array, "row size"]:
        rows = jnp.arange(x.shape[0])
        # A row reads itself, so that none is left without any.
        reads = there[None] | (rows[:, None] == rows[None])
        if self.causal:
            reads = reads & (rows[None] <= rows[:, None])
        normed = jax.vmap(self.norms[0])(x)
        x = x + self.attention(normed, normed, normed, mask=reads)
        return x + jax.vmap(lambda row: self.mlp(self.norms[1](row)))(x)
