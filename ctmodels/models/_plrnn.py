r"""Maps with a readout: $z_k = G(z_{k-1}, u(t_k))$, $y_k = B z_k + b$; with G linear in regions, piecewise linear
recurrent networks (Hess, Monfared, Brenner and Durstewitz, ICML 2023)."""

import math
from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before, check_called, check_whole
from ctmodels._core._model import AbstractDynamics, roll_out
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_starts
from ctmodels._core._series import Driven
from ctmodels._core._steps import whole_steps
from ctmodels._core._words import kind_of
from ctmodels._readouts import AbstractReadout


def _check_map(cell, readout, dt, max_steps, **_) -> None:
    check_called("cell", cell, "(t, z, control) -> z", "ct.fields.ShallowPLRNN(size, key=key)")
    if not isinstance(readout, AbstractReadout):
        raise TypeError(f"readout: {kind_of(readout)}, where ct.FirstChannels or ct.AffineReadout is wanted")
    if not 0 < dt < math.inf:
        raise ValueError(f"dt={dt}: the time that one step takes is positive and finite, such as the series' spacing")
    check_whole("max_steps", max_steps, 1)


class PLRNN(AbstractDynamics):
    """A map from step to step and what is observed of its state.

    `x` is a state, `(size,)`, or observed channels, `(channels,)`, which are lifted; or a [`ctmodels.Driven`][] of
    either and a control, which the map gets at the time that it leads to. `ys` is `(out, channels)`, `latents`
    `(out, size)`.

    **Arguments:**

    - `cell`: `G(t, z, control)`, shaped as z: [`ctmodels.fields.ShallowPLRNN`][], [`ctmodels.fields.AlmostLinear`][],
      or any field, taken as a map.
    - `readout`: [`ctmodels.FirstChannels`][] or [`ctmodels.AffineReadout`][].
    - `dt`: the time that a step takes. Times that are no whole number of steps apart are a status and NaN.
    - `max_steps`: how many there may be from one time to the next. One is the fastest to train.

    **Good values:** [`ctmodels.losses.teacher_forcing`][] on windows of 50 to 200 samples, z-scored; `optax.radam`,
    1e-3 and falling to 1e-6.
    """

    cell: Callable
    readout: AbstractReadout
    dt: float = eqx.field(static=True, default=1.0)
    max_steps: int = eqx.field(static=True, default=1)

    @before(_check_map)
    def __init__(self, cell: Callable, readout: AbstractReadout, dt: float | int = 1.0, max_steps: int = 1):
        self.cell, self.readout, self.dt, self.max_steps = cell, readout, float(dt), max_steps

    @before(check_starts)
    def __call__(
        self,
        x: Float[Array, " state"] | Driven,
        ts: Float[Array, " out"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Output:
        return roll_out(self, x, ts)

    @property
    def channels(self) -> int:
        """How many are observed."""
        return self.readout.channels

    @property
    def size(self) -> int:
        """Of the state."""
        return self.readout.size

    def lift(
        self, ys: Float[Array, " channel"], slopes: Float[Array, " channel"] | None = None
    ) -> Float[Array, " state"]:
        """As the readout does."""
        return self.readout.lift(ys)

    def flow(
        self, t0: Float[Array, ""], t1: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None
    ) -> tuple[Float[Array, " state"], Stats]:
        """So many steps."""
        dt = jnp.asarray(self.dt, t0.dtype)
        return whole_steps(lambda t, z: self.cell(t + dt, z, control), z, t0, t1, self.dt, self.max_steps)

    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """As the readout does."""
        return self.readout.observe(z)

    def describe(self) -> str:
        """The map, and its step."""
        return f"a map from step to step ({type(self.cell).__name__}, dt = {self.dt:g})"
