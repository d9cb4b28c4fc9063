"""Neural ordinary differential equations: dz/dt = f(t, z, u(t)), y = first channels of z.

Chen, Rubanova, Bettencourt, Duvenaud (2018); augmented: Dupont, Doucet, Teh (2019); hybrid (universal):
Rackauckas et al. (2020); second order: Norcliffe et al. (2020).
"""

from collections.abc import Callable

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._arguments import before
from ctmodels._integrate import Integrate, solve_held
from ctmodels._model import AbstractModel
from ctmodels._output import Output
from ctmodels._paths import HeldPath
from ctmodels._promises import check_starts
from ctmodels._series import Driven


class NeuralODE(AbstractModel):
    """A field and how to solve it.

    `x` is the initial state, `(channels,)` or, hidden channels included, `(channels + augment,)`; or a
    [`ctmodels.Driven`][] of it and a control path, which the field gets as `args`; one that is held is solved from jump
    to jump ([`ctmodels.solve_held`][]). `ys` is `(out, channels)`, `latents` is `(out, channels + augment)`.

    **Arguments:**

    - `field`: `f(t, z, args)`, shaped as z: [`ctmodels.MLPField`][] and its kin. Hybrid:
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
        z0 = self._state(x.y0)
        if isinstance(x.control, HeldPath):
            zs, stats = solve_held(self.integrate, self.field, ts, z0, x.control, key=key)
        else:
            zs, stats = self.integrate(self.field, self._times(x) if ts is None else ts, z0, x.control, key=key)
        return Output(zs[:, : self.channels], stats, jnp.zeros((), zs.dtype), zs)

    def _times(self, x: Driven) -> Float[Array, " out"]:
        if x.control is None:
            raise ValueError("ts=None means at the times of `x`, but an initial state has none: give `ts`")
        return x.control.ts

    def _state(self, y0: Float[Array, " state"]) -> Float[Array, " latent"]:
        size = self.channels + self.augment
        if y0.ndim != 1:
            raise ValueError(
                f"y0 has shape {y0.shape}: the model takes one sample, (channels,); for a batch, jax.vmap it"
            )
        if y0.shape[0] not in (self.channels, size):
            raise ValueError(f"y0 has {y0.shape[0]} channels; the model wants {self.channels} (observed) or {size}")
        return jnp.pad(y0, (0, size - y0.shape[0]))
