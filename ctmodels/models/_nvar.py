r"""Nonlinear vector autoregression: $y_{k+1} = y_k + W \theta(y_k, y_{k-s}, \dots, y_{k-(K-1)s}, u_k, u_{k+1})$ with
monomials $\theta$ up to degree two or three.

The next generation of reservoir computing (Gauthier, Bollt, Griffith and Barbosa, Nature Communications 12, 5564
(2021)): all that a reservoir could do with the last K outputs, without one.
"""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before
from ctmodels._core._history import ends_of, history_of, listen_by_steps, pushed
from ctmodels._core._model import AbstractListener, roll_out
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_starts
from ctmodels._core._series import Driven, Series
from ctmodels._core._steps import whole_steps
from ctmodels.fields._library import Library
from ctmodels.fields._radial import RadialBasis


class NVAR(AbstractListener):
    """A map of the last outputs by monomials; the state is these outputs, newest first.

    `x` is an output, `(channels,)`, or a state, `(size,)`, or a [`ctmodels.Driven`][] of one and a control path, of
    which each step takes the values at both its ends. `ys` is `(out, channels)`, `latents` is `(out, size)`. Made by
    [`ctmodels.regression.nvar`][].

    **Arguments:**

    - `W`: `(channel, term)`, of a step's increment.
    - `library`: the terms, of `delays` outputs and of the inputs at both ends.
    - `dt`: the time that a step takes.
    - `delays`: K, how many outputs a step looks at; `skip`: s, how many steps these are apart.
    - `max_steps`: the most between neighbouring times.

    **Good values:** two delays, degree 2; a degree of 3 where the law has cubes.
    """

    W: Float[Array, "*batch channel term"]
    library: Library | RadialBasis
    dt: float = eqx.field(static=True)
    delays: int = eqx.field(static=True, default=2)
    skip: int = eqx.field(static=True, default=1)
    max_steps: int = eqx.field(static=True, default=16)

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
        return self.W.shape[-2]

    @property
    def memory(self) -> int:
        """How many outputs the state has."""
        return (self.delays - 1) * self.skip + 1

    @property
    def size(self) -> int:
        """Of the state."""
        return self.memory * self.channels

    def lift(
        self, ys: Float[Array, " channel"], slopes: Float[Array, " channel"] | None = None
    ) -> Float[Array, " state"]:
        """A past at rest, or on a straight line."""
        return history_of(ys, slopes, self.memory, self.dt)

    def features(self, z: Float[Array, " state"], u: Float[Array, " input"] | None = None) -> Float[Array, " term"]:
        """The terms of a state and an input."""
        seen = z.reshape(self.memory, self.channels)[:: self.skip].reshape(-1)
        return self.library(seen if u is None else jnp.concatenate([seen, u]))

    def step(self, t: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None) -> Float[Array, " state"]:
        """One step from t on."""
        driven = self.library.variables > self.delays * self.channels
        terms = self.features(z, ends_of(control, t, self.dt) if driven else None)
        return pushed(z, z[: self.channels] + self.W @ terms)

    def flow(
        self, t0: Float[Array, ""], t1: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None
    ) -> tuple[Float[Array, " state"], Stats]:
        """As many steps as there are between."""
        return whole_steps(lambda t, z: self.step(t, z, control), z, t0, t1, self.dt, self.max_steps)

    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """The newest."""
        return z[: self.channels]

    def listen(self, series: Series, control: PyTree = None) -> Float[Array, "time state"]:
        """The last outputs after each row: NaN until there are so many."""
        return listen_by_steps(self, jnp.full(self.size, jnp.nan, series.ys.dtype), series, control)

    def describe(self) -> str:
        """A map of terms of delays."""
        return f"a map of {self.delays} delays by {self.library.describe()}"
