"""Shooting: a long series cut into windows, each solved from a start of its own.

Long rollouts of a chaotic or stiff field have gradients that explode; short windows do not, but then what
matters is where they start: at observations (noisy), at smoothed states, or at free parameters.
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._model import AbstractModel, AbstractShooting
from ctmodels._core._output import Output
from ctmodels._core._series import Driven, Example, Series
from ctmodels._core._words import kind_of
from ctmodels.paths._paths import LinearPath
from ctmodels.trajectories._starts import check_one, checked_starts, filled_control


class FreeStart(eqx.Module):
    """The window whose start is among the parameters; `last`: no window follows it; `windows`: how many there are."""

    window: Int[Array, "*batch"]
    last: Bool[Array, "*batch"]
    control: LinearPath | None = None
    windows: int | None = eqx.field(static=True, default=None)


def _check_windows(series, length, stride, **_) -> None:
    if not isinstance(series, Series):
        raise TypeError(f"series: {kind_of(series)}, where one Series is wanted: ct.Series.from_nan(ts, ys)")
    if series.ts.ndim != 1:
        raise ValueError(f"series: a Series of shape {series.ys.shape} is a batch: windows are of one series")
    check_whole("length", length, None)
    check_whole("stride", stride, 1)


class Windows(eqx.Module):
    """The windows of one series, as data for `fit`: `windows[indices]` is a batch of examples.

    - `series`: the whole; `at`: where windows begin, every `stride` samples; `length`: samples in each; all end before
      sample `stop`.
    - `starts`: the state at every time of the series, `(time, state)`, from observations or a smoother, NaN where it is
      not known: windows that would start there are left out; None for free starts ([`ctmodels.Shooting`][]). Of
      observations with missing values give `series.to_nan()`: `series.ys` is zero there, which is refused.
    - `control`: a series on the same times that drives the field, missing values filled forward, or None.

    Each window has a clock of its own, from zero: a field that depends on absolute time gets it as a control.
    """

    series: Series
    at: Int[Array, " window"]
    starts: Float[Array, "time state"] | None
    control: Series | None
    length: int = eqx.field(static=True)

    @before(_check_windows)
    def __init__(
        self, series: Series, length: int, *, stride: int = 1, stop: int | None = None, starts=None, control=None
    ):
        check_one(series, "series")
        n = series.ts.shape[0] if stop is None else min(stop, series.ts.shape[0])
        if not 2 <= length <= n:
            raise ValueError(f"length={length}: a window has at least 2 samples and at most the series' {n}")
        if stride < 1:
            raise ValueError(f"stride={stride}: windows begin at least one sample after one another")
        at = np.arange(0, n - length + 1, stride)
        self.series, self.length = series, length
        self.starts, at = (None, at) if starts is None else checked_starts(starts, series, at)
        self.control = None if control is None else filled_control(control, series)
        self.at = jnp.asarray(at)

    def __len__(self) -> int:
        return self.at.shape[0]

    def __getitem__(self, index: Int[Array, "*batch"]) -> Example:
        example = self._example
        for _ in index.shape:
            example = jax.vmap(example)
        return example(index)

    def _example(self, index: Int[Array, ""]) -> Example:
        at = self.at[index]
        target = self._cut(self.series, at)
        control = None if self.control is None else LinearPath.from_series(self._cut(self.control, at))
        if self.starts is None:
            return Example(FreeStart(index, index == len(self) - 1, control, len(self)), target)
        # The start is given, so that the first sample teaches nothing.
        target = eqx.tree_at(lambda s: s.mask, target, target.mask.at[0].set(False))
        return Example(Driven(self.starts[at], control), target)

    def _cut(self, series: Series, at: Int[Array, ""]) -> Series:
        cut = jax.tree.map(lambda a: jax.lax.dynamic_slice_in_dim(a, at, self.length), series)
        return eqx.tree_at(lambda s: s.ts, cut, cut.ts - cut.ts[0])


def _check_free(x, **_) -> None:
    if not isinstance(x, FreeStart):
        raise TypeError(
            f"x: {kind_of(x)}, where Shooting takes the FreeStart of windows without starts: Windows(series, length); "
            "with starts of their own, train the model itself"
        )


class Shooting(AbstractShooting):
    """A model beside the free starts of its windows: both are trained (multiple shooting).

    `x` is a [`ctmodels.FreeStart`][]. `starts`: `(window, state)`.
    """

    model: AbstractModel
    starts: Float[Array, "*batch window state"]

    @before(_check_free)
    def __call__(self, x: FreeStart, ts=None, *, key: PRNGKeyArray | None = None) -> Output:
        if x.windows not in (None, self.starts.shape[0]):
            raise ValueError(
                f"Shooting: starts has shape {self.starts.shape} and there are {x.windows} windows: give each a row, "
                "such as states[windows.at]"
            )
        return self.model(Driven(self.starts[x.window], x.control), ts, key=key)

    def gap(self, x: FreeStart, end: Float[Array, " state"]) -> Float[Array, ""]:
        """Squared distance from a window's end to the next one's start; zero for the last."""
        if end.shape != self.starts.shape[1:]:
            raise ValueError(
                f"Shooting: starts has rows of shape {self.starts.shape[1:]} and a window ends in a state of "
                f"{end.shape}: give free starts for the whole state, hidden channels included"
            )
        following = jnp.minimum(x.window + 1, self.starts.shape[0] - 1)
        return jnp.where(x.last, 0, jnp.sum((end - self.starts[following]) ** 2))


def growing_horizon(horizon: Callable) -> Callable:
    """A transform of examples: only the first `horizon(step)` samples after the start count.

    The horizon is a mask and not a shape: nothing is compiled again as it grows. `horizon`: an optax schedule.
    """

    def transform(example: Example, key, step) -> Example:
        mask = example.target.mask
        within = jnp.arange(mask.shape[0]) <= jnp.floor(jnp.asarray(horizon(step))).astype(int)
        return eqx.tree_at(lambda e: e.target.mask, example, mask & within[:, None])

    return transform
