"""Channels that a path may have besides those that were measured: time, and how often each was observed."""

import jax.numpy as jnp
from jaxtyping import Array, Bool

from ctmodels._core._series import Series
from ctmodels.paths._check import check_one


def with_time(series: Series) -> Series:
    """The series with time for its first channel, observed in every row that is not padding.

    A padded row stays as padding makes it, zero and unobserved, so that it does not matter which is done first.
    """
    return _joined(series.ts, (series.ts[:, None], _rows(series)), (series.ys, series.mask))


def with_intensity(series: Series) -> Series:
    """The series with, after its channels, how often each has been observed so far: counts, observed in every row that
    is not padding.

    The observational intensity of Kidger, Morrill, Foster, Lyons, Neural controlled differential equations for
    irregular time series, 2020. For torchcde's order, time, values, counts: `with_time(with_intensity(series))`.
    """
    rows = _rows(series)
    counts = jnp.cumsum(series.mask, axis=0, dtype=series.ys.dtype)
    return _joined(series.ts, (series.ys, series.mask), (counts, jnp.broadcast_to(rows, counts.shape)))


def _joined(ts: Array, *channels: tuple[Array, Array]) -> Series:
    ys, masks = (jnp.concatenate(parts, axis=1) for parts in zip(*channels, strict=True))
    return Series(ts, jnp.where(masks, ys, 0), masks)


def _rows(series: Series) -> Bool[Array, "time 1"]:
    """Which rows are not padding: time has moved."""
    check_one(series, "a builder of channels")
    return jnp.concatenate([jnp.ones(1, bool), jnp.diff(series.ts) > 0])[:, None]
