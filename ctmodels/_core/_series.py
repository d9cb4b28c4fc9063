"""Series: one irregular, partly observed series; Driven and Example: what a model starts from and aims at."""

from collections.abc import Callable, Sequence

import equinox as eqx
import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, Int, PyTree
from numpy.typing import ArrayLike

from ctmodels._core._arguments import before
from ctmodels._core._static import static_code
from ctmodels._core._validation import DataError, check_lengths, check_resolution, check_times, check_values
from ctmodels._core._words import kind_of


class Series(eqx.Module):
    """One irregular, partly observed series, without a batch axis.

    `ts`: times, increasing; `ys`: values, zero where nothing was observed; `mask`: what was observed.
    A padded step repeats the last time and is unobserved. NaN is accepted by
    [`ctmodels.Series.from_nan`][] and never lives inside.
    """

    ts: Float[Array, "*batch time"]
    ys: Float[Array, "*batch time channel"]
    mask: Bool[Array, "*batch time channel"]

    def __check_init__(self):
        shapes = [np.shape(x) for x in (self.ts, self.ys, self.mask)]
        if shapes[1] != shapes[2] or len(shapes[1]) != len(shapes[0]) + 1 or shapes[1][:-1] != shapes[0]:
            raise DataError(
                f"Series: ts has shape {shapes[0]}, ys {shapes[1]} and mask {shapes[2]}: they are (time,), "
                "(time, channel) and (time, channel); make them so, or let Series.from_nan do it"
            )

    @classmethod
    def from_nan(
        cls,
        ts: ArrayLike,
        ys: ArrayLike,
        mask: ArrayLike | None = None,
        *,
        names: Sequence[str] | None = None,
        constant: bool = False,
        one_of_many: bool = False,
        at: Callable[[int], str] | None = None,
    ) -> "Series":
        """Check on the host and take in one series whose missing values are NaN.

        **Arguments:**

        - `ts`: `(time,)`, strictly increasing, finite. Take off a large origin first
          ([`ctmodels.Scaling`][]): times whose spacing the default float cannot resolve are refused.
        - `ys`: `(time, channel)`; NaN where missing; infinities are refused.
        - `mask`: `(time, channel)`, True where a value was observed, for data whose missing values are not NaN (or not
          only): what it leaves out is not looked at, NaN where it says "observed" is refused.
        - `names`: of the channels, for messages.
        - `constant`: whether a channel may be constant, as an input may.
        - `one_of_many`: whether this is one record among many, in which a channel may be constant, and may not have
          been observed at all; such a record may have a single row.
        - `at`: names the place of row `i` in messages. Default: "ts[i]", "ys[i]".

        **Returns:** a `Series` in JAX's default float type. Raises `DataError` naming place and remedy.
        """
        check_times(ts, at, least=1 if one_of_many else 2)
        check_lengths(ts, ys)
        ys = ys if mask is None else _masked(ys, mask)
        names = names or [str(i) for i in range(np.shape(ys)[-1])]
        checked = ys
        if one_of_many:
            constant, checked = True, np.where(np.all(np.isnan(np.asarray(ys, np.float64)), axis=0), 0.0, ys)
        check_values(checked, names, at, constant_ok=names if constant else ())
        ts, ys = np.asarray(ts, np.float64), np.asarray(ys, np.float64)
        dtype = jnp.zeros(()).dtype
        check_resolution(ts, dtype, at)
        mask = ~np.isnan(ys)
        return cls(jnp.asarray(ts, dtype), jnp.asarray(np.where(mask, ys, 0), dtype), jnp.asarray(mask))

    def to_nan(self) -> np.ndarray:
        """The values as a NumPy array with NaN where nothing was observed."""
        return np.where(self.mask, self.ys, np.nan)

    def __getitem__(self, at: slice) -> "Series":
        """A stretch of time, `series[start:stop]`."""
        return jax.tree.map(lambda a: a[at], self)

    @property
    def start(self) -> Float[Array, " one"]:
        """The time of the first observation, `(1,)`; of the first row where there is none."""
        return self.ts[jnp.argmax(jnp.any(self.mask, axis=1))][None]

    @property
    def end(self) -> Float[Array, " one"]:
        """The time of the last observation, `(1,)`; of the last row where there is none.
        A classifier answers at it."""
        seen = jnp.any(self.mask, axis=1)
        last = self.ts.shape[0] - 1 - jnp.argmax(seen[::-1])
        return self.ts[last][None]

    def pad(self, length: int) -> "Series":
        """Unobserved steps at the last time, up to `length` steps in all."""
        return Series(*_padded(self, length, jnp))

    def fill_forward(self) -> Float[Array, "time channel"]:
        """The last observed value at each time; before the first observation, the first one; without any, zero."""
        last = last_observed(self.mask)
        first = jnp.argmax(self.mask, axis=0)[None]
        # What lies under the mask is not trusted: NaN there would pass, where a channel was never observed.
        ys = jnp.where(self.mask, self.ys, 0)
        return jnp.take_along_axis(ys, jnp.where(last < 0, first, last), axis=0)


def last_observed(mask: Bool[Array, "time *channel"]) -> Int[Array, "time *channel"]:
    """At each row the number of the last one that was observed, itself included; -1 before the first."""
    rows = jnp.arange(mask.shape[0]).reshape(-1, *[1] * (mask.ndim - 1))
    return jax.lax.cummax(jnp.where(mask, rows, -1), axis=0)


def _masked(ys, mask) -> np.ndarray:
    """NaN where the mask says that nothing was observed."""
    ys, mask = np.asarray(ys, np.float64), np.asarray(mask)
    if mask.shape != ys.shape or mask.dtype != bool:
        raise DataError(
            f"mask: shape {mask.shape} of {mask.dtype}: it has a True or False for each value, {ys.shape}; "
            "compare with what stands for a missing value, such as ys != -1"
        )
    bad = np.argwhere(mask & np.isnan(ys))
    if len(bad):
        i, j = bad[0].tolist()
        raise DataError(
            f"mask[{i}, {j}] is True where ys[{i}, {j}] is NaN, and so at {len(bad)} places: what was observed is a "
            "number; give False there, or no mask if NaN alone says what is missing"
        )
    return np.where(mask, ys, np.nan)


def _check_list(series, **_) -> None:
    """Of series of one sample each, with the same channels."""
    if isinstance(series, Series):
        batch = "is a batch already" if series.ts.ndim > 1 else "is one: of one, give collate([series])"
        raise TypeError(f"series: a Series of shape {series.ys.shape} {batch}; a list of series is wanted")
    if not isinstance(series, Sequence) or isinstance(series, str):
        raise TypeError(f"series: {kind_of(series)}, where a list of series is wanted")
    for i, one in enumerate(series):
        if not isinstance(one, Series):
            raise TypeError(f"series[{i}]: {kind_of(one)}, where a Series is wanted")
        if one.ts.ndim != 1:
            raise ValueError(f"series[{i}]: a Series of shape {one.ys.shape}: a batch, where one series is wanted")
        if one.ys.shape[1] != series[0].ys.shape[1]:
            raise ValueError(
                f"series[{i}]: {one.ys.shape[1]} channels, and series[0] has {series[0].ys.shape[1]}: a batch has the "
                "same channels throughout; give a channel that was not observed there as NaN"
            )


@before(_check_list)
def collate(series: Sequence[Series], length: int | None = None) -> Series:
    """A batch of series of unequal length: each padded to the longest, or to `length`, and stacked,
    `(batch, time, ...)`."""
    if not series:
        raise ValueError("series is empty: a batch needs at least one")
    length = max(s.ts.shape[0] for s in series) if length is None else length
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(list(series))):
        return jax.tree.map(lambda *leaves: jnp.stack(leaves), *[s.pad(length) for s in series])
    # On the host: a stack of thousands of JAX's arrays takes minutes to compile, and each length is compiled anew.
    columns = zip(*(_padded(s, length) for s in jax.device_get(list(series))), strict=True)
    return Series(*(jnp.asarray(np.stack(column)) for column in columns))


def _padded(series: Series, length: int, xp=np) -> tuple:
    extra = length - series.ts.shape[0]
    if extra < 0:
        raise ValueError(f"length={length}: the series has {series.ts.shape[0]} steps already; give a larger one")
    rows = ((0, extra), (0, 0))
    return xp.pad(series.ts, (0, extra), mode="edge"), xp.pad(series.ys, rows), xp.pad(series.mask, rows)


@before(_check_list)
def bucket_by_length(series: Sequence[Series]) -> dict[int, tuple[np.ndarray, Series]]:
    """Series of very unequal length, sorted into batches by the power of two to which each is padded: a model compiles
    once for each of these few lengths, and less than half of a batch is padding.

    **Returns:** length -> (which series, the batch of them), the shortest first.
    """
    lengths = np.array([1 << (s.ts.shape[0] - 1).bit_length() for s in series])
    where = {int(length): np.flatnonzero(lengths == length) for length in np.unique(lengths)}
    return {length: (at, collate([series[i] for i in at.tolist()], length)) for length, at in where.items()}


class Record(eqx.Module):
    """A series, and what is known beforehand of what it belongs to: a patient's age, a sensor's place.

    `static`: `(feature,)`, zero where it is not known; `known`: which are, all if None.
    """

    series: Series
    static: Float[Array, "*batch feature"] | None = None
    known: Bool[Array, "*batch feature"] | None = None

    def __check_init__(self):
        if self.known is None:
            return
        static, known = ((() if x is None else np.shape(x)) for x in (self.static, self.known))
        if known != static:
            raise DataError(
                f"Record: static has shape {static} and known {known}: known has a True or False for each feature; "
                "Record.from_nan makes it of NaN"
            )

    @classmethod
    def from_nan(cls, series: Series, static: ArrayLike) -> "Record":
        """Take in static features, NaN where one is not known; infinities are refused."""
        static = np.asarray(static, np.float64)
        if static.ndim != 1 or np.isinf(static).any():
            raise DataError(
                f"static: shape {static.shape}, {int(np.isinf(static).sum())} infinite: give one row of numbers, "
                "(feature,), NaN where one is not known"
            )
        known = ~np.isnan(static)
        return cls(series, jnp.asarray(np.where(known, static, 0), series.ys.dtype), jnp.asarray(known))

    def code(self, dtype: DTypeLike) -> Float[Array, " code"]:
        """Features, and which are known: `(2 * feature,)`; nothing where there are none."""
        return static_code(self.static, self.known, dtype)


class Driven(eqx.Module):
    """A start and what drives the solution from there.

    `y0`: the state at the first time, `(state,)`; `control`: a path `t -> (input,)`, or None.
    """

    y0: Float[Array, "*batch state"]
    control: PyTree = None


class Example(eqx.Module):
    """One sample to learn from: `x` is what the model is given, `target` what it should return: a
    [`ctmodels.Series`][], or the number of a class."""

    x: PyTree
    target: PyTree
