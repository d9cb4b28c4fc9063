"""GRU-ODE-Bayes: dh/dt = (1 - z)(n - h) between observations, and a Bayesian jump at each.

z = s(W_z h + b_z), r = s(W_r h + b_r), n = tanh(W_n (r h) + b_n): a gated recurrent unit whose step goes to zero, so
that h stays within (-1, 1). De Brouwer, Simm, Arany, Moreau (2019).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ctmodels._arguments import before, check_key
from ctmodels._integrate import RK4, Integrate, Substeps
from ctmodels._model import AbstractModel
from ctmodels._output import Output
from ctmodels._promises import check_reads
from ctmodels._reading import Known, Reading, carried_on, look_ahead, move_and_jump, times_of
from ctmodels._series import Record, Series


class GRUField(eqx.Module):
    """dh/dt of the autonomous GRU-ODE."""

    gates: eqx.nn.Linear
    candidate: eqx.nn.Linear

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(self, hidden: int, *, key: PRNGKeyArray):
        a, b = jax.random.split(key)
        self.gates = eqx.nn.Linear(hidden, 2 * hidden, key=a)
        self.candidate = eqx.nn.Linear(hidden, hidden, key=b)

    def __call__(self, t, h: Float[Array, " hidden"], args=None) -> Float[Array, " hidden"]:
        z, r = jnp.split(jax.nn.sigmoid(self.gates(h)), 2)
        return (1 - z) * (jnp.tanh(self.candidate(r * h)) - h)


class Believed(NamedTuple):
    """Mean and logarithm of the variance of each channel: at the outputs, and just before each row was seen
    (`foretold`), with what was seen then, values and mask: [`ctmodels.losses.foretold`][] judges one by the other.
    `hidden`: the states at the outputs."""

    hidden: Float[Array, "out hidden"]
    at_outputs: Float[Array, "out two channel"]
    foretold: Float[Array, "row two channel"]
    seen: tuple[Float[Array, "row channel"], Bool[Array, "row channel"]]


class GRUODEBayes(AbstractModel):
    """A filter for sporadic observations: it says what it expects, with a variance, and learns from its error.

    `x` is a [`ctmodels.Series`][] or a [`ctmodels.Record`][]; `ts`, increasing, are the times at which outputs are
    wanted, those of `x` if not given. `ys` is `(out, channels)`, the means expected there by what was observed by then;
    `latents` is `Believed`. `kl` sums KL(N(after) || N(observed, noise^2)) over the observed entries, where "after" is
    what the model says just after it saw them: with `mixing`, the weight of [`ctmodels.regularisers.kl`][], and
    [`ctmodels.losses.foretold`][], it makes the paper's loss. Rows at which nothing was observed, and padding, change
    nothing.

    **Arguments:** `channels`, `hidden`: sizes; `static`: how many static features a record has, from which the state
    begins; `prepared`: features of each channel's observation that the jump gets; `noise`: deviation of the
    observations, for `kl`; `integrate`: how the field is solved over each gap, by default in steps of at most 1 unit of
    time.

    **Good values:** z-scored channels, hidden 50, prepared 10, noise 0.01, mixing 1e-4 over the number of entries, Adam
    1e-3.
    """

    field: GRUField
    believe: eqx.nn.MLP
    prepare: Float[Array, "channel four prepared"]
    prepare_bias: Float[Array, "channel prepared"]
    cell: eqx.nn.GRUCell
    initial: eqx.nn.Linear | None
    integrate: Integrate
    noise: float = eqx.field(static=True)
    channels: int = eqx.field(static=True)
    static: int = eqx.field(static=True)

    @before(lambda key, **_: check_key(key, needed=True))
    def __init__(
        self,
        channels: int,
        hidden: int,
        *,
        static: int = 0,
        prepared: int = 10,
        noise: float = 1e-2,
        integrate: Integrate = Integrate(RK4(), Substeps(1, longest=1.0)),
        key: PRNGKeyArray,
    ):
        self.channels, self.static = channels, static
        if not noise > 0:
            raise ValueError(f"GRUODEBayes: noise={noise} must be a positive deviation, in units of the data")
        a, b, c, d, e = jax.random.split(key, 5)
        self.field = GRUField(hidden, key=a)
        self.believe = eqx.nn.MLP(hidden, 2 * channels, hidden, 1, key=b)
        self.prepare = jax.random.normal(c, (channels, 4, prepared)) / 2
        self.prepare_bias = jnp.full((channels, prepared), 0.1)
        self.cell = eqx.nn.GRUCell(channels * prepared, hidden, key=d)
        self.initial = eqx.nn.Linear(2 * static, hidden, key=e) if static else None
        self.integrate, self.noise = integrate, noise

    @before(check_reads)
    def __call__(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> Output:
        ts = times_of(x) if ts is None else ts
        read = Reading.of(x, self.channels, self.static)
        flow = carried_on(self.integrate, self.field)

        begun = self._start(read)
        hs, foretold, stats = move_and_jump(flow, self.jump, begun, read)
        after = jax.vmap(self.belief)(hs)
        kl = jnp.sum(jnp.where(read.mask, kl_to_observed(after[:, 0], after[:, 1], read.ys, self.noise), 0))
        latents, more = look_ahead(flow, Known(hs, read.ts, begun), ts)
        beliefs = jax.vmap(self.belief)(latents)
        return Output(beliefs[:, 0], stats + more, Believed(latents, beliefs, foretold, (read.ys, read.mask)), kl)

    def belief(self, h) -> Float[Array, "two channel"]:
        return self.believe(h).reshape(2, -1)

    def jump(self, h, y, mask) -> tuple[Float[Array, " hidden"], Float[Array, "two channel"]]:
        """The state after an observation, and what was believed before it. Channels that were not observed have no part
        in the jump."""
        foretold = self.belief(h)
        mean, log_variance = foretold
        error = jnp.where(mask, (y - mean) * jnp.exp(-0.5 * log_variance), 0)
        given = jnp.stack([y, mean, log_variance, error], axis=1)
        made = jax.nn.relu(jnp.einsum("ci,cip->cp", given, self.prepare) + self.prepare_bias)
        return self.cell(jnp.where(mask[:, None], made, 0).reshape(-1), h), foretold

    def _start(self, read: Reading) -> Float[Array, " hidden"]:
        if self.initial is None:
            return jnp.zeros(self.cell.hidden_size, read.ys.dtype)
        return jnp.tanh(self.initial(read.static))


def kl_to_observed(mean, log_variance, y, noise: float) -> Float[Array, "row channel"]:
    """KL(N(mean, variance) || N(y, noise^2))."""
    excess = (jnp.exp(log_variance) + (mean - y) ** 2) / noise**2
    return 0.5 * (excess - 1 - log_variance) + jnp.log(jnp.asarray(noise, y.dtype))
