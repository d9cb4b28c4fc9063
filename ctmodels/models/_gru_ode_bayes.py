"""GRU-ODE-Bayes: dh/dt = (1 - z)(n - h) between observations, and a Bayesian jump at each.

z = s(W_z h + b_z), r = s(W_r h + b_r), n = tanh(W_n (r h) + b_n): a gated recurrent unit whose step goes to zero, so
that h stays within (-1, 1). De Brouwer, Simm, Arany, Moreau (2019).
"""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key
from ctmodels._core._model import AbstractFilter, AbstractOnline
from ctmodels._core._output import Output
from ctmodels._core._promises import check_reads
from ctmodels._core._series import Record, Series
from ctmodels._integrate import RK4, Integrate, Substeps
from ctmodels._memory import Known, Mask, Memory, Static, Time, Values, answer, observe_by_flow, predict_by_flow
from ctmodels._online import ObservedRows, StatesAtRows, flow_of_field, predict_at, scan_rows, times_of
from ctmodels.distributions import Gaussian


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


class GRUODEBayes(AbstractFilter, AbstractOnline):
    """A filter for sporadic observations: it says what it expects, with a variance, and learns from its error.

    `x` is a [`ctmodels.Series`][] or a [`ctmodels.Record`][]; `ts`, increasing, are the times at which outputs are
    wanted, those of `x` if not given. `ys` is `(out, channels)`, the means expected there by what was observed by then,
    `predictive` all of what is expected, `latents` the states, `(out, hidden)`. `kl` sums
    KL(N(after) || N(observed, noise^2)) over the observed entries, where "after" is what the model says just after it
    saw them: with `mixing`, the weight of [`ctmodels.regularisers.kl`][], and
    [`ctmodels.losses.one_step_likelihood`][], it makes the paper's loss. Rows at which nothing was observed, and
    padding, change nothing.

    **Arguments:** `channels`, `hidden`: sizes; `static`: how many static features a record has, from which the state
    begins; `prepared`: features of each channel's observation that the jump gets; `noise`: deviation of the
    observations, for `kl`; `integrate`: how the field is solved over each gap, by default in steps of at most 1 unit of
    time.

    **Good values:** z-scored channels, hidden 50, prepared 10, noise 0.01, mixing 1e-4 over the number of entries, Adam
    1e-3.
    """

    field: GRUField
    emission: eqx.nn.MLP
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
        self.emission = eqx.nn.MLP(hidden, 2 * channels, hidden, 1, key=b)
        self.prepare = jax.random.normal(c, (channels, 4, prepared)) / 2
        self.prepare_bias = jnp.full((channels, prepared), 0.1)
        self.cell = eqx.nn.GRUCell(channels * prepared, hidden, key=d)
        self.initial = eqx.nn.Linear(2 * static, hidden, key=e) if static else None
        self.integrate, self.noise = integrate, noise

    @before(check_reads)
    def __call__(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> Output:
        return self.filter(x, ts, key=key)[0]

    def filter(
        self, x: Series | Record, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> tuple[Output, Gaussian, Series]:
        """What the model returns; what it expected just before each row, `(row, channel)`; and these rows."""
        ts = times_of(x) if ts is None else ts
        rows = ObservedRows.of(x, self.channels, self.static)
        h0 = self._start(rows.static)
        hs, expected, stats = scan_rows(self._flow, self.jump, h0, rows)
        kl = jax.vmap(self.expected)(hs).kl(Gaussian(rows.ys, self.noise))
        latents, more = predict_at(self._flow, StatesAtRows(hs, rows.ts, h0), ts)
        predictive = jax.vmap(self.expected)(latents)
        out = Output(predictive.mean, stats + more, latents, jnp.sum(jnp.where(rows.mask, kl, 0)), predictive)
        return out, expected, Series(rows.ts, rows.ys, rows.mask)

    def expected(self, h: Float[Array, " hidden"]) -> Gaussian:
        """What a state says of each channel."""
        mean, log_variance = self.emission(h).reshape(2, -1)
        return Gaussian(mean, log_deviation=0.5 * log_variance)

    def jump(
        self, h: Float[Array, " hidden"], y: Float[Array, " channel"], mask: Bool[Array, " channel"]
    ) -> tuple[Float[Array, " hidden"], Gaussian]:
        """The state after an observation, and what was expected before it. Channels that were not observed have no part
        in the jump."""
        expected = self.expected(h)
        error = jnp.where(mask, (y - expected.mean) * jnp.exp(-expected.log_deviation), 0)
        given = jnp.stack([y, expected.mean, 2 * expected.log_deviation, error], axis=1)
        made = jax.nn.relu(jnp.einsum("ci,cip->cp", given, self.prepare) + self.prepare_bias)
        return self.cell(jnp.where(mask[:, None], made, 0).reshape(-1), h), expected

    def init(self, static: Static = None, known: Known = None) -> Memory:
        return Memory.of_nothing(self.channels, self.static, static, known, self._start)

    def observe(self, memory: Memory, t: Time, y: Values, mask: Mask = None) -> Memory:
        return observe_by_flow(memory, t, y, mask, self._flow, self.jump)

    def predict(self, memory: Memory, ts: Float[Array, " out"]) -> Output:
        """`predictive` besides."""
        latents, stats = predict_by_flow(memory, self._flow, ts)
        predictive = jax.vmap(self.expected)(latents)
        return answer(memory, predictive.mean, stats, latents, predictive)

    @property
    def _flow(self) -> Callable:
        return flow_of_field(self.integrate, self.field)

    def _start(self, static: Float[Array, " code"]) -> Float[Array, " hidden"]:
        if self.initial is None:
            return jnp.zeros(self.cell.hidden_size, static.dtype)
        return jnp.tanh(self.initial(static))
