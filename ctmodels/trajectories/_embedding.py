r"""Delay embedding: $z(t) = (y(t), y(t - \tau), \dots, y(t - (d - 1) \tau))$.

A system that is seen through one channel is, for almost all ways to see it, told by enough of its delays: Takens,
Lecture Notes in Mathematics 898 (1981); Sauer, Yorke and Casdagli, J. Stat. Phys. 65 (1991).
"""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._series import Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument, kind_of

UNEVEN = 0.05  # of an interval: by which two of one record may differ
LEAST = 20  # pairs of values, or vectors, of which anything is said
PAUSE = 1.5  # intervals, from which on it is a pause


def check_series(series, **_) -> None:
    """One series, or a list of them."""
    for i, one in enumerate([series] if isinstance(series, Series) else series):
        name = "series" if isinstance(series, Series) else f"series[{i}]"
        if not isinstance(one, Series):
            raise TypeError(f"{name}: {kind_of(one)}, where a ct.Series is wanted: ct.Series.from_nan(ts, ys)")
        if one.ts.ndim != 1:
            raise ValueError(f"{name}: times of shape {one.ts.shape}: a batch; give a list of series")


def _check_embedding(series, delay, dimension) -> None:
    check_series([series] if isinstance(series, Series) else [series])
    check_whole("delay", delay, 1)
    check_whole("dimension", dimension, 1)


@before(_check_embedding)
def embed(series: Series, delay: int, dimension: int) -> Series:
    """The series of delay vectors: each row is the values now, those `delay` rows before, and so on.

    The latest come first, `(row, dimension * channel)`, so that what is observed of a vector are its first channels, as
    of every dynamics here ([`ctmodels.embedding.observed`][]). The time is that of the latest. No vector reaches over a
    pause in the record, of more than 1.5 intervals: a record of many pieces gives the vectors of each. A missing value
    is masked in each vector that it is part of.

    **Arguments:**

    - `series`: at even times, but for pauses.
    - `delay`: in rows ([`ctmodels.embedding.choose_delay`][]).
    - `dimension`: how many values of each channel ([`ctmodels.embedding.choose_dimension`][]).

    **Returns:** a `Series` of fewer rows. Made on the host.
    """
    reach = delay * (dimension - 1)
    pieces = pieces_of(series)
    longest = max(len(piece) for piece in pieces)
    if longest <= reach + 1:
        raise DataError(
            f"{argument('delay', delay)} and {argument('dimension', dimension)}: a vector spans {reach + 1} rows and "
            f"the longest piece of the record without a pause has {longest}: two vectors at least are needed; give a "
            "shorter delay, a smaller dimension or a longer record"
        )
    rows = np.concatenate([piece[reach:] for piece in pieces])
    taken = rows[:, None] - delay * np.arange(dimension)
    flat = lambda a: jnp.asarray(np.asarray(a)[taken].reshape(len(rows), -1))
    return Series(jnp.asarray(np.asarray(series.ts)[rows]), flat(series.ys), flat(series.mask))


def observed(zs: Float[Array, "*time state"], channels: int) -> Float[Array, "*time channel"]:
    """What is observed of delay vectors: the latest values, their first channels."""
    return zs[..., :channels]


def pieces_of(series: Series) -> list[np.ndarray]:
    """The rows of each stretch without a pause; without those that pad a batch."""
    ts, mask = np.asarray(series.ts, np.float64), np.asarray(series.mask)
    rows = int(np.max(np.flatnonzero(np.append(True, np.diff(ts) > 0)))) + 1  # padding repeats the last time
    if rows < 2 or not mask[:rows].any():
        raise DataError(f"series: {rows} times with {int(mask.sum())} values: two vectors at least are needed")
    gaps = np.diff(ts[:rows])
    relative = gaps / np.median(gaps)
    uneven = np.flatnonzero((np.abs(relative - 1) > UNEVEN) & (relative < PAUSE))
    if len(uneven):
        i = int(uneven[0])
        raise DataError(
            f"series.ts[{i + 1}]: {gaps[i]:g} after the time before, where {np.median(gaps):g} is usual: delays are "
            "counted in rows, so that times have to be even; resample the series first, such as by "
            "jax.vmap(ct.paths.CubicPath.natural(series))(even_times)"
        )
    return np.split(np.arange(rows), np.flatnonzero(relative >= PAUSE) + 1)


def values_of(series: Series | Sequence[Series], channel: int) -> list[np.ndarray]:
    """The values of a channel in each piece, NaN where missing, in units of their deviation."""
    several = [series] if isinstance(series, Series) else list(series)
    channels = several[0].ys.shape[1]
    check_whole("channel", channel, 0, channels - 1)
    values = [one.to_nan()[piece, channel].astype(np.float64) for one in several for piece in pieces_of(one)]
    together = np.concatenate(values)
    mean, scale = np.nanmean(together), np.nanstd(together)
    if not scale > 0:
        raise DataError(f"series: channel {channel} is constant, or was never seen: there is nothing to embed")
    return [(x - mean) / scale for x in values]


def delayed(values: list[np.ndarray], delay: int, dimension: int) -> tuple[np.ndarray, np.ndarray]:
    """All delay vectors without a missing value, `(vector, dimension)`, the latest last; and the row of each, counted
    through all pieces, between which is more than any delay."""
    reach = delay * (dimension - 1)
    windows, rows, first = [np.zeros((0, dimension))], [np.zeros(0, int)], 0
    for x in values:
        at = np.arange(max(len(x) - reach, 0))[:, None] + delay * np.arange(dimension)
        windows.append(x[at])
        rows.append(at[:, -1] + first)
        first += 2 * (len(x) + reach)
    vectors, row = np.concatenate(windows), np.concatenate(rows)
    whole = ~np.isnan(vectors).any(axis=1)
    return vectors[whole], row[whole]
