r"""Linear dynamics, also with a memory: $y_{k+1} = A\,(y_k, y_{k-1}, \dots) + B\,(u_k, u_{k+1}) + b$.

Fitted by least squares it is dynamic mode decomposition (Schmid, J. Fluid Mech. 656, 5 (2010); with control: Proctor,
Brunton and Kutz, SIAM J. Appl. Dyn. Syst. 15, 142 (2016)); with delays, Hankel's (Arbabi and Mezić, SIAM J. Appl. Dyn.
Syst. 16, 2096 (2017)).
"""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Complex, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before
from ctmodels._core._history import ends_of, history_of, listen_by_steps, pushed
from ctmodels._core._model import AbstractListener, roll_out
from ctmodels._core._output import Output, Stats
from ctmodels._core._promises import check_starts
from ctmodels._core._series import Driven, Series
from ctmodels._core._steps import whole_steps


class LinearDynamics(AbstractListener):
    """A linear map that takes the time `dt`; the state is the last outputs, newest first.

    It moves by whole steps: at other times a linear map with a negative eigenvalue has no value. A linear law in
    continuous time is `ct.regression.sparse_law(series, degree=1)`.

    `x` is an output, `(channels,)`, or a state, `(size,)`, or a [`ctmodels.Driven`][] of one and a control path, of
    which each step takes the values at both its ends. `ys` is `(out, channels)`, `latents` is `(out, size)`.

    **Arguments:**

    - `A`: `(channel, state)`, with a state of `delays * channel`.
    - `dt`: the time that a step takes.
    - `b`: `(channel,)`, or None; `B`: `(channel, 2 input)`, or None.
    - `max_steps`: the most between neighbouring times.

    **Good values:** no delays where all of the state is observed; two for each frequency of an output that is not.
    """

    A: Float[Array, "*batch channel state"]
    dt: float = eqx.field(static=True)
    b: Float[Array, "*batch channel"] | None = None
    B: Float[Array, "*batch channel inputs"] | None = None
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
        return self.A.shape[-2]

    @property
    def size(self) -> int:
        """Of the state: as many outputs as it remembers."""
        return self.A.shape[-1]

    def lift(
        self, ys: Float[Array, " channel"], slopes: Float[Array, " channel"] | None = None
    ) -> Float[Array, " state"]:
        """A past at rest, or on a straight line."""
        return history_of(ys, slopes, self.size // self.channels, self.dt)

    def step(self, t: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None) -> Float[Array, " state"]:
        """One step from t on."""
        y = self.A @ z
        y = y if self.b is None else y + self.b
        return pushed(z, y if self.B is None else y + self.B @ ends_of(control, t, self.dt))

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
        """A linear map, of so many outputs."""
        rows = self.size // self.channels
        return f"a linear map of the last {rows} outputs" if rows > 1 else "a linear map"

    def rates(self) -> Complex[np.ndarray, " state"]:
        """The logarithms of its eigenvalues, by dt: growth of each mode, and the angular frequency at which it turns.
        On the host; the slowest to fade first."""
        A, shift = np.asarray(self.A), self.size - self.channels
        eigenvalues = np.linalg.eigvals(np.concatenate([A, np.eye(shift, self.size, dtype=A.dtype)]))
        with np.errstate(divide="ignore"):  # a mode that is gone after one step
            rates = np.log(eigenvalues.astype(complex)) / self.dt
        return rates[np.argsort(-rates.real)]
