"""Layers upon each other: norm, layer, activation, dropout, mixing of features, and around these a way past them.

A block keeps the promise of a layer, with a key besides, and so does a stack of blocks; but that blocks convolve
columns, features first.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before, check_key, check_whole
from ctmodels.layers._columns import Affine, Columns, Norm
from ctmodels.layers._layer import AbstractLayer, Features, Gap, Rows

Key = PRNGKeyArray | None


class GLU(eqx.Module):
    r"""A gated linear unit, $(W u + b) \sigma(V u + c)$, as wide as what comes in."""

    linear: Affine

    def __init__(self, features: int, *, key: PRNGKeyArray):
        self.linear = Affine(features, 2 * features, key=key)

    def __call__(self, u: Columns) -> Columns:
        value, gate = jnp.split(self.linear(u), 2)
        return value * jax.nn.sigmoid(gate)


class Block(eqx.Module):
    r"""$h + \mathrm{mix}(\mathrm{drop}(\mathrm{gelu}(\mathrm{layer}(\mathrm{norm}(h)))))$; or, with `norm_first=False`,
    the norm of $h + \ldots$ without one before.

    **Arguments:** `layer`: an [`ctmodels.layers.AbstractLayer`][]; `mix`: between features of a row; `norm`: of the
    features of a row; `dropout`: the part of the features that is left out, where there is a key.
    """

    layer: AbstractLayer
    mix: Callable
    norm: Callable
    dropout: float = eqx.field(static=True, default=0.0)
    norm_first: bool = eqx.field(static=True, default=True)

    def step(self, state: PyTree, h: Features, gap: Gap) -> tuple[PyTree, Features]:
        state, y = self.layer.step(state, self._enter(h), gap)
        return state, self._leave(h, y)

    def after(self, state: PyTree, h: Features, gap: Gap) -> Features:
        return self._leave(h, self.layer.after(state, self._enter(h), gap))

    def scan(self, state, hs: Rows, gaps: Float[Array, " row"], *, every: bool, key: Key) -> tuple[PyTree, Rows]:
        states, ys = self.layer.scan(state, jax.vmap(self._enter)(hs), gaps, every=every)
        return states, self._leave(hs.T, ys.T, self._kept(ys.T, key)).T

    def convolve(self, hs: Columns, gap: Gap, *, key: Key) -> Columns:
        ys = self.layer.convolve(self._enter(hs).T, gap).T
        return self._leave(hs, ys, self._kept(ys, key))

    def _enter(self, h: Columns) -> Columns:
        return self.norm(h) if self.norm_first else h

    def _leave(self, h: Columns, y: Columns, kept: Columns | None = None) -> Columns:
        y = jax.nn.gelu(y, approximate=False)
        h = h + self.mix(y if kept is None else y * kept)
        return h if self.norm_first else self.norm(h)

    def _kept(self, ys: Columns, key: Key) -> Columns | None:
        if key is None or not self.dropout:
            return None
        return kept_features(key, self.dropout, *ys.shape).astype(ys.dtype) / (1 - self.dropout)


class Stack(eqx.Module):
    """An encoder of each row, blocks, and a norm.

    **Arguments:** `inputs`: of a row; `features`: of each block; `encoder`: `(inputs, features, key=key) -> map`, of a
    row to its features; `depth`: how many blocks; `layer`:
    `(features, key=key) -> layer`, as [`ctmodels.layers.S5`][] or a `functools.partial` of it; `glu`: whether features
    are mixed by a gated unit, else by a linear map; `dropout`, `norm_first`: of each block.
    """

    encoder: Callable
    blocks: tuple[Block, ...]
    norm: Callable

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(
        self,
        inputs: int,
        features: int,
        depth: int,
        layer: Callable,
        *,
        glu: bool = True,
        dropout: float = 0.0,
        norm_first: bool = True,
        encoder: Callable = eqx.nn.Linear,
        key: PRNGKeyArray,
    ):
        check_whole("depth", depth, 1)
        check_dropout(dropout)
        a, b = jax.random.split(key)
        self.encoder = encoder(inputs, features, key=a)
        mix = GLU if glu else lambda features, key: Affine(features, features, key=key)

        def block(key):
            of_layer, of_mix = jax.random.split(key)
            norm = Norm(features)
            return Block(layer(features, key=of_layer), mix(features, key=of_mix), norm, dropout, norm_first)

        self.blocks = tuple(block(k) for k in jax.random.split(b, depth))
        self.norm = Norm(features) if norm_first else eqx.nn.Identity()

    def start(self) -> tuple:
        """The states before any row."""
        return tuple(block.layer.start() for block in self.blocks)

    def step(self, states: tuple, x: Float[Array, " input"], gap: Gap) -> tuple[tuple, Features]:
        """The states after one more row, and the features there."""
        h, new = self.encoder(x), []
        for block, state in zip(self.blocks, states, strict=True):
            state, h = block.step(state, h, gap)
            new.append(state)
        return tuple(new), self.norm(h)

    def after(self, states: tuple, x: Float[Array, " input"], gap: Gap) -> Features:
        """The features a gap after the last row, whose input `x` is held; nothing of it is kept."""
        h = self.encoder(x)
        for block, state in zip(self.blocks, states, strict=True):
            h = block.after(state, h, gap)
        return self.norm(h)

    def scan(
        self,
        states: tuple,
        xs: Float[Array, "row input"],
        gaps: Float[Array, " row"],
        *,
        every: bool = True,
        key: Key = None,
    ) -> tuple[tuple, Rows]:
        """States after all rows (or, unless `every`, after the last), and features."""
        hs, new = jax.vmap(self.encoder)(xs), []
        for block, state, k in zip(self.blocks, states, self._keys(key), strict=True):
            state, hs = block.scan(state, hs, gaps, every=every, key=k)
            new.append(state)
        return tuple(new), jax.vmap(self.norm)(hs)

    def convolve(self, xs: Float[Array, "row input"], gap: Gap, *, key: Key = None) -> Rows:
        """Features of rows that are all one gap apart."""
        hs = jax.vmap(self.encoder, out_axes=1)(xs)
        for block, k in zip(self.blocks, self._keys(key), strict=True):
            hs = block.convolve(hs, gap, key=k)
        return self.norm(hs).T

    def _keys(self, key: Key) -> list[Key]:
        return [None if key is None else jax.random.fold_in(key, i) for i in range(len(self.blocks))]


def kept_features(key: PRNGKeyArray, dropout: float, features: int, rows: int) -> Bool[Array, "feature row"]:
    """Which of them are not left out, by 16 random bits each: so `dropout` is rounded to a multiple of 2^-16, and half
    of what `jax.random.bernoulli` draws is enough, whose time was that of a convolution."""
    drawn = jax.random.bits(key, (-(-features // 2), rows), jnp.uint32)
    halves = jnp.concatenate([drawn >> 16, drawn & 0xFFFF])[:features]
    return halves >= round(dropout * 2**16)


def check_dropout(dropout: float) -> None:
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout={dropout}: the part of the features that is left out, from 0 to less than 1")
