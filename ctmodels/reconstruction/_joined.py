"""Trials of one system laid end to end: windows, origins and errors are rows of one series, and none reaches over an
edge between two trials. One series is one trial, without an edge."""

from collections.abc import Callable, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from ctmodels._core._series import Series


class Joined(eqx.Module):
    """Scaled trials end to end, each on a clock of its own.

    - `series`: of all rows, `(row,)` and `(row, channel)`; `control`: the inputs in the same rows, or None.
    - `breaks`: the rows at which another trial begins.
    """

    series: Series
    control: Series | None = None
    breaks: tuple[int, ...] = eqx.field(static=True, default=())

    @classmethod
    def of(cls, trials: Sequence[tuple[Series, Series | None]]) -> "Joined":
        """Of each trial its series and its inputs."""
        if len(trials) == 1:
            return cls(*trials[0])
        ends = np.cumsum([series.ts.shape[0] for series, _ in trials])
        series, control = jax.tree.map(lambda *parts: jnp.asarray(np.concatenate(parts)), *trials)
        return cls(series, control, tuple(ends[:-1].tolist()))

    @property
    def bounds(self) -> np.ndarray:
        """Where trials begin, and the end of the last."""
        return np.array([0, *self.breaks, self.series.ts.shape[0]])

    @property
    def lengths(self) -> np.ndarray:
        """Rows of each trial."""
        return np.diff(self.bounds)

    @property
    def longest(self) -> int:
        """Rows of the longest trial."""
        return int(self.lengths.max())

    def __getitem__(self, rows: slice) -> "Joined":
        """A stretch of rows, whatever trials they are of."""
        start, stop, _ = rows.indices(self.series.ts.shape[0])
        control = None if self.control is None else self.control[start:stop]
        return Joined(self.series[start:stop], control, tuple(b - start for b in self.breaks if start < b < stop))

    def slices(self) -> list[slice]:
        """The rows of each trial."""
        return [slice(*pair) for pair in zip(self.bounds[:-1].tolist(), self.bounds[1:].tolist(), strict=True)]

    def of_rows(self, rows: np.ndarray) -> np.ndarray:
        """Which trial each of these rows is of."""
        return np.searchsorted(np.asarray(self.breaks, int), rows, side="right")

    def begins(self, rows: np.ndarray) -> np.ndarray:
        """The first row of the trial that each of these rows is of."""
        return self.bounds[self.of_rows(rows)]

    def ends(self, rows: np.ndarray) -> np.ndarray:
        """The row behind the last one of the trial that each of these rows is of."""
        return self.bounds[self.of_rows(rows) + 1]

    def gaps(self) -> np.ndarray:
        """Scaled times from row to row, within trials."""
        return gaps(np.asarray(self.series.ts), self.breaks)

    def filled(self) -> Float[Array, "row channel"]:
        """Values, missing ones filled forward within each trial."""
        return self._filled(self.series)

    def filled_on_host(self) -> np.ndarray:
        """The same by NumPy, in float64: nothing is compiled for a number of rows that comes once."""
        ys, mask = np.asarray(self.series.ys, np.float64), np.asarray(self.series.mask)
        parts = [_filled_forward(ys[part], mask[part]) for part in self.slices()]
        return np.concatenate(parts)

    def filled_control(self) -> Series | None:
        """The inputs, so filled, as windows want them."""
        if self.control is None:
            return None
        return Series(self.control.ts, self._filled(self.control), jnp.ones(self.control.mask.shape, bool))

    def _filled(self, series: Series) -> Array:
        if not self.breaks:
            return series.fill_forward()
        at, _ = self._places()
        return self.rows(jax.vmap(Series.fill_forward)(jax.tree.map(lambda a: a[at], series)))

    def _places(self) -> tuple[np.ndarray, np.ndarray]:
        """Of a batch `(trial, time)` the rows, the last one again behind each trial's end; and which are none of its
        own."""
        at = self.bounds[:-1, None] + np.arange(self.longest)
        behind = at >= self.bounds[1:, None]
        return np.minimum(at, self.bounds[1:, None] - 1), behind

    def batch(self) -> tuple[Series, Series | None]:
        """All trials side by side, `(trial, time, ...)`, padded to the longest as [`ctmodels.collate`][] does."""
        at, behind = self._places()
        series, control = jax.tree.map(lambda a: a[at], (self.series, self.control))
        unseen = lambda s: eqx.tree_at(lambda s: s.mask, s, s.mask & ~jnp.asarray(behind)[..., None])
        return unseen(series), None if control is None else unseen(control)

    def rows(self, x: Float[Array, "trial time ..."]) -> Float[Array, "row ..."]:
        """Of a batch the rows, without what was padded."""
        if not self.breaks:
            return x[0]
        rows = np.arange(self.series.ts.shape[0])
        return x[self.of_rows(rows), rows - self.begins(rows)]

    def padded(self, lengths: np.ndarray) -> "Joined":
        """Each trial padded to a length of its own by unobserved rows at its last time."""
        place = np.concatenate([np.arange(n) for n in lengths.tolist()])
        own = np.repeat(self.lengths, lengths)
        at, behind = np.repeat(self.bounds[:-1], lengths) + np.minimum(place, own - 1), (place >= own)[:, None]

        def pad(series: Series) -> Series:
            ts, ys, mask = (np.asarray(a)[at] for a in (series.ts, series.ys, series.mask))
            ys, mask = np.where(behind, 0, ys), mask & ~behind
            return Series(jnp.asarray(ts), jnp.asarray(ys), jnp.asarray(mask))

        control = None if self.control is None else pad(self.control)
        return Joined(pad(self.series), control, tuple(np.cumsum(lengths)[:-1].tolist()))


def _filled_forward(ys: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """As [`ctmodels.Series.fill_forward`][]."""
    last = np.maximum.accumulate(np.where(mask, np.arange(len(ys))[:, None], -1), axis=0)
    rows = np.where(last < 0, np.argmax(mask, axis=0), last)
    return np.take_along_axis(np.where(mask, ys, 0), rows, axis=0)


def over_trials(function: Callable[[Series, Series | None], PyTree], trials: Joined) -> Any:
    """`function(series, control)` of each trial for itself, with a leading axis of trials: all in one program, for
    trials of unequal lengths too. *Performance.*"""
    if not trials.breaks:
        return jax.tree.map(lambda a: a[None], function(trials.series, trials.control))
    return jax.vmap(function)(*trials.batch())


def gaps(ts: np.ndarray, breaks: Sequence[int]) -> np.ndarray:
    """From row to row, but not from trial to trial."""
    return np.delete(np.diff(ts), np.asarray(breaks, int) - 1)
