"""Neural ordinary differential equations: dz/dt = f(t, z, u(t)), y = first channels of z.

Chen, Rubanova, Bettencourt, Duvenaud (2018); augmented: Dupont, Doucet, Teh (2019); hybrid (universal):
Rackauckas et al. (2020); second order: Norcliffe et al. (2020).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before
from ctmodels._core._model import AbstractDynamics, state_of, times_of_control
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_starts
from ctmodels._core._series import Driven
from ctmodels._integrate import Integrate, solve_driven


class NeuralODE(AbstractDynamics):
    """A field and how to solve it.

    `x` is the initial state, `(channels,)` or, hidden channels included, `(channels + augment,)`; or a
    [`ctmodels.Driven`][] of it and a control path, which the field gets as `args`; one that is held is solved from jump
    to jump ([`ctmodels.solve_piecewise_constant`][]). `ys` is `(out, channels)`, `latents` is
    `(out, channels + augment)`.

    **Arguments:**

    - `field`: `f(t, z, args)`, shaped as z: [`ctmodels.fields.MLPField`][] and its kin. Hybrid:
      `SumField(known, unknown)`; mechanistic: any field with parameters; second order:
      `SecondOrder(MLPField((2 * channels, channels), ...))` with `augment=channels`.
    - `channels`: how many of the state's are observed.
    - `augment`: how many more the state has; they start at zero unless `x` gives them.
    - `integrate`: the solver.

    **Good values:** MLPField of width 64 and depth 2 on z-scored data in a unit of time where it moves at
    speed one (`Scaling.fit` gives both); `Integrate(RK4(), Substeps(1))` for training on windows of 5 to 20
    samples; Adam 3e-3 to 1e-2 with a cosine decay and global norm clipping at 1.
    """

    field: Callable
    channels: int = eqx.field(static=True)
    augment: int = eqx.field(static=True, default=0)
    integrate: Integrate = Integrate()

    @before(check_starts)
    def __call__(
        self,
        x: Float[Array, " state"] | Driven,
        ts: Float[Array, " out"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Output:
        x = x if isinstance(x, Driven) else Driven(x)
        zs, stats = self._solve(times_of_control(x) if ts is None else ts, state_of(self, x.y0), x.control, key)
        return Output(jax.vmap(self.observe)(zs), stats, zs)

    @property
    def size(self) -> int:
        """Of the state."""
        return self.channels + self.augment

    def lift(
        self, ys: Float[Array, " channel"], slopes: Float[Array, " channel"] | None = None
    ) -> Float[Array, " state"]:
        """Hidden channels start as the observed ones' slopes, as those of a second-order field are, else at zero."""
        known = ys if slopes is None else jnp.concatenate([ys, slopes])
        return jnp.pad(known, (0, self.augment))[: self.size]

    def flow(
        self, t0: Float[Array, ""], t1: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None
    ) -> tuple[Float[Array, " state"], Stats]:
        """The solution at t1."""
        zs, stats = self._solve(jnp.stack([t0, t1]), z, control, None)
        return zs[-1], stats

    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """The first channels."""
        return z[: self.channels]

    def describe(self) -> str:
        """What solves the field."""
        return self.integrate.describe()

    def _solve(self, ts, z0, control, key) -> tuple[Float[Array, "out state"], Stats]:
        return solve_driven(self.integrate, self.field, ts, z0, control, key=key)
