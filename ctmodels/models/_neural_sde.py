r"""Neural stochastic differential equations: $dz = f(t, z, u)\,dt + g(t, z, u)\,dW$, of which y is observed.

Tzen and Raginsky (2019); as generator of paths: Kidger, Foster, Li, Oberhauser, Lyons (2021).
"""

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before
from ctmodels._core._model import AbstractDynamics, state_of, times_of_control
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_starts
from ctmodels._core._series import Driven
from ctmodels._integrate import Integrate, Substeps, solve_driven, without_noise
from ctmodels.fields import AbstractSDE
from ctmodels.fields._sde import checked_sde


def _check(self, x, ts, key, **_) -> None:
    if x is not None:
        return check_starts(self, x, ts, key)
    if self.initial is None:
        raise ValueError(
            "x: None, and the model has no `initial`, which draws a start: give a state, or one to NeuralSDE"
        )
    if ts is None:
        raise ValueError("ts=None means at the times of `x`, but a start that is drawn has none: give `ts`")


class NeuralSDE(AbstractDynamics):
    """An SDE, how to solve it, and what is observed of it.

    `x` is the initial state, `(channels,)` or `(channels + augment,)`; or a [`ctmodels.Driven`][] of it and a control
    path, which drift and diffusion get as `args`; or None: a start is drawn. `ys` is `(out, channels)`, `latents` is
    `(out, channels + augment)`. A `key` draws one path; without, it is the path without noise: that of the drift. So is
    `flow`: what speaks to [`ctmodels.AbstractDynamics`][] sees the drift.

    **Arguments:**

    - `sde`: a [`ctmodels.fields.SDE`][] of the state, drift and diffusion any functions `(t, z, args)`;
      [`ctmodels.fields.Positive`][] keeps a diffusion positive.
    - `channels`: how many are observed. `augment`: how many more the state has.
    - `integrate`: the solver, of a method for the SDE's noise and sense ([stochastic](../stochastic.md)).
    - `readout`: a linear map of the state to the channels; None: the state's first ones.
    - `initial`: an MLP from standard normal numbers to the state, for a generator of paths; None: it needs an `x`.

    **Good values:** `SDE(MLPField(channels), Positive(MLPField(channels)))` on z-scored data, one or two Euler steps
    from sample to sample; where the steps are observed, [`ctmodels.losses.euler_transition_likelihood`][]; where paths
    are only to be alike, [`ctmodels.losses.signature_mmd`][], or a critic (`examples/sde_gan.py`).
    """

    sde: AbstractSDE = eqx.field(converter=checked_sde)
    channels: int = eqx.field(static=True)
    augment: int = eqx.field(static=True, default=0)
    integrate: Integrate = Integrate(diffrax.Euler(), Substeps(1))
    readout: eqx.nn.Linear | None = None
    initial: eqx.nn.MLP | None = None

    @before(_check)
    def __call__(
        self,
        x: Float[Array, " state"] | Driven | None,
        ts: Float[Array, " out"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Output:
        if x is None:
            key, x = self._drawn(key, ts)
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
        """Hidden channels start at zero; under a readout, it is the smallest state that is read so."""
        if self.readout is None:
            return jnp.pad(ys, (0, self.augment))
        offset = 0 if self.readout.bias is None else self.readout.bias
        return jnp.linalg.pinv(self.readout.weight) @ (ys - offset)

    def flow(
        self, t0: Float[Array, ""], t1: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None
    ) -> tuple[Float[Array, " state"], Stats]:
        """The state at t1 without noise."""
        zs, stats = self._solve(jnp.stack([t0, t1]), z, control, None)
        return zs[-1], stats

    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """The first channels, or what the readout reads."""
        return z[: self.channels] if self.readout is None else self.readout(z)

    def describe(self) -> str:
        """What solves the SDE."""
        return f"a stochastic equation, {self.integrate.describe()}"

    def _solve(self, ts, z0, control, key) -> tuple[Float[Array, "out state"], Stats]:
        integrate, field = (self.integrate, self.sde) if key is not None else without_noise(self.integrate, self.sde)
        return solve_driven(integrate, field, ts, z0, control, key=key)

    def _drawn(self, key, ts) -> tuple[PRNGKeyArray | None, Float[Array, " state"]]:
        """The key of the noise, and a start."""
        assert self.initial is not None
        zeros = jnp.zeros(self.initial.in_size, jnp.result_type(ts))
        if key is None:
            return None, self.initial(zeros)
        of_start, of_noise = jax.random.split(key)
        return of_noise, self.initial(jax.random.normal(of_start, zeros.shape, zeros.dtype))
