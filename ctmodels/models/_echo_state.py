r"""An echo-state network: a random recurrent network, of which only a linear readout is fitted.

$$r_{k+1} = (1 - a)\, r_k + a \tanh\big(\rho W r_k + \sigma W_{\mathrm{in}} v_k\big), \quad
y_{k+1} = W_{\mathrm{out}}\, (v_k, r_{k+1}), \quad v_k = (1, y_k, u_k, u_{k+1})$$

Jaeger, GMD report 148 (2001); free-running forecasts of chaos: Jaeger and Haas, Science 304, 78 (2004), Pathak, Hunt,
Girvan, Lu and Ott, Phys. Rev. Lett. 120, 024102 (2018).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before, check_key
from ctmodels._core._history import ends_of, listen_by_steps
from ctmodels._core._model import AbstractListener, roll_out
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_starts
from ctmodels._core._series import Driven, Series
from ctmodels._core._steps import whole_steps

SQUARINGS = 16  # the spectral radius by the norm of W to the power of 65536


class EchoState(AbstractListener):
    """A reservoir and its readout; the state is the last output, and the reservoir that has not heard it yet.

    `x` is an output, `(channels,)`, with a reservoir at rest, or a state, `(size,)`, as `listen` returns; or a
    [`ctmodels.Driven`][] of one and a control path, of which each step takes the values at both its ends. `ys` is
    `(out, channels)`, `latents` is `(out, size)`. A readout is fitted by [`ctmodels.regression.echo_state`][]; as made
    it is zero.

    **Arguments:**

    - `channels`: of the output; `units`: of the reservoir; `inputs`: of the control.
    - `dt`: the time that a step takes.
    - `spectral_radius`: rho; below one the start is forgotten, most often.
    - `leak`: a, the share of a unit that is new after a step; where units are to have a time scale tau, `dt / tau`.
    - `input_scale`: sigma.
    - `connections`: from how many units one hears, on the average.
    - `squared`: whether the readout sees every other unit squared, as systems with a symmetry y -> -y want it.
    - `washout`: how many rows are heard before a state is told.
    - `max_steps`: the most between neighbouring times.
    - `activation`: in place of tanh.

    **Good values:** 300 to 1000 units, radius 0.4 to 1.2, leak 0.3 to 1, input scale 0.1 to 1 of z-scored data: they
    matter, and [`ctmodels.regression.tune_echo_state`][] finds them.
    """

    W: Float[Array, "*batch unit unit"]
    W_in: Float[Array, "*batch unit heard"]
    readout: Float[Array, "*batch channel feature"]
    spectral_radius: Float[Array, "*batch"]
    leak: Float[Array, "*batch"]
    input_scale: Float[Array, "*batch"]
    dt: float = eqx.field(static=True)
    squared: bool = eqx.field(static=True)
    washout: int = eqx.field(static=True)
    max_steps: int = eqx.field(static=True)
    activation: Callable = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(
        self,
        channels: int,
        units: int = 300,
        *,
        dt: float,
        inputs: int = 0,
        spectral_radius: ArrayLike = 0.9,
        leak: ArrayLike = 1.0,
        input_scale: ArrayLike = 0.5,
        connections: float = 6.0,
        squared: bool = False,
        washout: int = 50,
        max_steps: int = 16,
        activation: Callable = jnp.tanh,
        key: PRNGKeyArray,
    ):
        of_w, of_mask, of_in = jax.random.split(key, 3)
        W = jax.random.normal(of_w, (units, units))
        W = jnp.where(jax.random.uniform(of_mask, W.shape) < connections / units, W, 0)
        self.W = W / spectral_radius_of(W)
        self.W_in = jax.random.uniform(of_in, (units, 1 + channels + 2 * inputs), minval=-1.0)
        self.readout = jnp.zeros((channels, self.W_in.shape[1] + units))
        self.spectral_radius, self.leak, self.input_scale = (
            jnp.asarray(x, self.W.dtype) for x in (spectral_radius, leak, input_scale)
        )
        self.dt, self.squared, self.washout = dt, squared, washout
        self.max_steps, self.activation = max_steps, activation

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
        """Observed ones."""
        return self.readout.shape[-2]

    @property
    def size(self) -> int:
        """Of the state: an output and the reservoir."""
        return self.channels + self.W.shape[-1]

    def lift(
        self, ys: Float[Array, " channel"], slopes: Float[Array, " channel"] | None = None
    ) -> Float[Array, " state"]:
        """With a reservoir at rest."""
        return jnp.pad(ys, (0, self.W.shape[-1]))

    def heard(self, y: Float[Array, " channel"], u: Float[Array, " input"] | None = None) -> Float[Array, " heard"]:
        """What the reservoir is told: one, an output, the inputs at both ends of the step."""
        return jnp.concatenate([jnp.ones(1, y.dtype), y] + ([] if u is None else [u]))

    def drive(self, r: Float[Array, " unit"], heard: Float[Array, " heard"]) -> Float[Array, " unit"]:
        """The reservoir after it was told something."""
        inside = self.spectral_radius * (self.W @ r) + self.input_scale * (self.W_in @ heard)
        return (1 - self.leak) * r + self.leak * self.activation(inside)

    def features(self, heard: Float[Array, " heard"], r: Float[Array, " unit"]) -> Float[Array, " feature"]:
        """What the readout sees of what was told and of the reservoir after that."""
        even = np.arange(r.shape[0]) % 2 == 0
        return jnp.concatenate([heard, jnp.where(even, r * r, r) if self.squared else r])

    def step(self, t: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None) -> Float[Array, " state"]:
        """One step from t on."""
        driven = self.W_in.shape[-1] > 1 + self.channels
        return self.advance(z, ends_of(control, t, self.dt) if driven else None)

    def advance(self, z: Float[Array, " state"], u: Float[Array, " input"] | None = None) -> Float[Array, " state"]:
        """One step: the reservoir hears its own output."""
        heard = self.heard(z[: self.channels], u)
        r = self.drive(z[self.channels :], heard)
        return jnp.concatenate([self.readout @ self.features(heard, r), r])

    def flow(
        self, t0: Float[Array, ""], t1: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None
    ) -> tuple[Float[Array, " state"], Stats]:
        """As many steps as there are between."""
        return whole_steps(lambda t, z: self.step(t, z, control), z, t0, t1, self.dt, self.max_steps)

    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """The last output."""
        return z[: self.channels]

    def listen(self, series: Series, control: PyTree = None) -> Float[Array, "time state"]:
        """From a reservoir at rest: NaN until it has heard `washout` steps. What is missing of the first row is
        zero."""
        zs = listen_by_steps(self, jnp.zeros(self.size, series.ys.dtype), series, control)
        heard = (series.ts - series.ts[0]) / jnp.asarray(self.dt, series.ts.dtype)
        return jnp.where((heard > self.washout - 0.5)[:, None], zs, jnp.nan)

    def describe(self) -> str:
        """A reservoir."""
        return f"an echo-state network of {self.W.shape[-1]} units"


def spectral_radius_of(W: Float[Array, "n n"]) -> Float[Array, ""]:
    r"""$\lim \|W^n\|^{1/n}$ (Gelfand), by repeated squaring: eigenvalues of a matrix without symmetry are the CPU's
    alone (JAX 0.9)."""

    def square(carry, _):
        power, logarithm, share = carry
        norm = jnp.linalg.norm(power)
        power = power / jnp.where(norm > 0, norm, 1)
        return (power @ power, logarithm + share * jnp.log(norm), share / 2), None

    one = jnp.ones((), W.dtype)
    (_, logarithm, _), _ = jax.lax.scan(square, (W, 0 * one, one), length=SQUARINGS)
    return jnp.exp(logarithm)
