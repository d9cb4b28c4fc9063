"""What models promise: all of them, those that move a state on, those with a latent cause, and what solves for them.

The rest of the library speaks to these promises and asks no model who it is.
"""

import abc
from typing import TYPE_CHECKING

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from ctmodels._core._output import Output, Stats
from ctmodels._core._series import Driven, Series
from ctmodels._core._times import increasing
from ctmodels.distributions import AbstractDistribution


class AbstractModel(eqx.Module):
    """A PyTree, and a pure function of one sample; a batch is made by `jax.vmap`."""

    @abc.abstractmethod
    def __call__(self, x: PyTree, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None) -> Output:
        """Turn one sample into outputs and statistics of the solve.

        **Arguments:**

        - `x`: what starts or drives the model: an initial state, a [`ctmodels.Driven`][], a
          [`ctmodels.Series`][], or None; each model says which.
        - `ts`: where outputs are wanted, `(out,)`; None means at the times of `x`.
        - `key`: randomness; None means the mean, without sampling.
        """


class AbstractDynamics(AbstractModel):
    r"""A model whose state moves on by itself or under a control, and is observed:
    $z(t_1) = \mathrm{flow}(t_0, t_1, z(t_0))$, $y = \mathrm{observe}(z)$.

    Reconstruction, forecasts, the smoother, Lyapunov spectra, export and report speak to this alone: behind it may be a
    field that is solved, a map, a known law. `x` is a state, `(size,)`, observed channels, `(channels,)`, which are
    lifted to one, or a [`ctmodels.Driven`][] of either and a control. `ys` is `(out, channels)`, `latents` is
    `(out, size)`.

    - `channels`: how many are observed; `size`: of the state.
    """

    if TYPE_CHECKING:  # to whom an AbstractVar is one more argument of `__init__`

        @property
        def channels(self) -> int: ...

        @property
        def size(self) -> int: ...

    else:
        channels: eqx.AbstractVar[int]
        size: eqx.AbstractVar[int]

    @abc.abstractmethod
    def lift(
        self, ys: Float[Array, " channel"], slopes: Float[Array, " channel"] | None = None
    ) -> Float[Array, " state"]:
        """A state that is observed as `ys`. `slopes`: how fast these move, where that is known, for a state that has
        use for it."""

    @abc.abstractmethod
    def flow(
        self, t0: Float[Array, ""], t1: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None
    ) -> tuple[Float[Array, " state"], Stats]:
        """The state at t1 that follows from `z` at t0, and the statistics of the solve. `control`: a path
        `t -> (input,)`, or None."""

    @abc.abstractmethod
    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """What is observed of a state."""

    @abc.abstractmethod
    def describe(self) -> str:
        """How it moves on, in words, for a report."""


def roll_out(dynamics: AbstractDynamics, x: Float[Array, " state"] | Driven, ts: Float[Array, " out"] | None) -> Output:
    """The outputs of a dynamics by its flow from each time to the next: `__call__` of a map.

    **Arguments:** `x`, `ts`: as of [`ctmodels.AbstractDynamics`][]; without `ts`, the times of its control.

    **Returns:** its `Output`. Times that are not in order are refused, and where that shows only in compiled code there
    are no answers: NaN, and a status.
    """
    x = x if isinstance(x, Driven) else Driven(x)
    ts = increasing(times_of_control(x) if ts is None else ts, "ts")
    z0 = state_of(dynamics, x.y0)
    z0 = jnp.where(jnp.isfinite(ts[0]), z0, jnp.nan)
    if ts.shape[0] == 1:
        return Output(dynamics.observe(z0)[None], Stats.none(ts[0]), z0[None])

    def move(z, span):
        t0, t1 = span
        z, stats = dynamics.flow(t0, t1, z, x.control)
        return z, (z, stats)

    _, (zs, stats) = jax.lax.scan(move, z0, (ts[:-1], ts[1:]))
    zs = jnp.concatenate([z0[None], zs])
    return Output(jax.vmap(dynamics.observe)(zs), Stats.in_sequence(stats), zs)


def times_of_control(x: Driven) -> Float[Array, " out"]:
    """Where a dynamics answers if it is not told."""
    if x.control is None:
        raise ValueError("ts=None means at the times of `x`, but an initial state has none: give `ts`")
    return x.control.ts


def state_of(dynamics: AbstractDynamics, y0: Float[Array, " given"]) -> Float[Array, " state"]:
    """The state that a dynamics starts from: what is given, or what it lifts observed channels to."""
    channels, size = dynamics.channels, dynamics.size
    if y0.ndim != 1:
        raise ValueError(f"y0 has shape {y0.shape}: the model takes one sample, (channels,); for a batch, jax.vmap it")
    if y0.shape[0] not in (channels, size):
        raise ValueError(f"y0 has {y0.shape[0]} channels; the model wants {channels} (observed) or {size}")
    return y0 if y0.shape[0] == size else dynamics.lift(y0)


class AbstractListener(AbstractDynamics):
    """A dynamics whose state remembers the past, so that one row does not tell it: it listens to a stretch of a series
    first, and goes on from there by itself."""

    @abc.abstractmethod
    def listen(self, series: Series, control: PyTree = None) -> Float[Array, "time state"]:
        """The state after each row of a series, rows by then alone being known; NaN where they are not enough to tell
        it. Where a value is missing what the model itself foretells stands in for it.

        **Arguments:** `series`: `(time, channel)`, whole steps apart; `control`: a path `t -> (input,)`, or None.
        """


class AbstractLatent(AbstractModel):
    """A model with a latent cause, a start or a whole path, that is inferred from what was seen: what the evidence
    bounds speak to. Its `Output` has `kl`, the divergence of posterior from prior."""

    @abc.abstractmethod
    def draw(
        self, x: PyTree, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray
    ) -> tuple[Output, Float[Array, ""]]:
        """What follows from one cause that is drawn from the posterior, and the logarithm of the density of this cause
        under the prior over that under the posterior."""


class AbstractMatched(AbstractLatent):
    """A latent model of paths whose posterior is known at each time by itself, so that it learns without a solve: what
    matching speaks to."""

    @abc.abstractmethod
    def match(self, x: PyTree, ts: Float[Array, " out"] | None = None, *, points: int, key: PRNGKeyArray) -> Output:
        """Outputs at `ts`, each from a state drawn by itself, and in `kl` the divergence, by so many times."""


class AbstractFilter(AbstractModel):
    """A model that says what it expects of each row before it sees it: what one-step likelihoods speak to."""

    @abc.abstractmethod
    def filter(
        self, x: PyTree, ts: Float[Array, " out"] | None = None, *, key: PRNGKeyArray | None = None
    ) -> tuple[Output, AbstractDistribution, Series]:
        """What the model returns; what it expected just before each row of `x`, `(row, channel)`; and these rows."""


class AbstractOnline(AbstractModel):
    """A model that reads a series row by row, as it comes in, and says of each time what it would say of the whole.

    memory = model.init()
    memory = model.observe(memory, t, y, mask)   # of each row; compile it once: eqx.filter_jit
    model.predict(memory, ts).ys                 # at times from the last row on
    """

    @abc.abstractmethod
    def init(
        self, static: Float[Array, " feature"] | None = None, known: Bool[Array, " feature"] | None = None
    ) -> PyTree:
        """The memory before any row. `static`, `known`: as of a [`ctmodels.Record`][]."""

    @abc.abstractmethod
    def observe(
        self,
        memory: PyTree,
        t: Float[Array, ""],
        y: Float[Array, " channel"],
        mask: Bool[Array, " channel"] | None = None,
    ) -> PyTree:
        """The memory after one more row, of which `mask` says what was observed, all of it if not given. Its time is
        not before the last one's: another is refused, and where that shows only in compiled code there are no answers
        any more, but NaN and a status. A row at which nothing was observed changes nothing."""

    @abc.abstractmethod
    def predict(self, memory: PyTree, ts: Float[Array, " out"]) -> Output:
        """What the model says of times from the last row on, by what was observed so far."""


class AbstractShooting(AbstractModel):
    """A model of windows whose ends are to meet the next one's starts: what multiple shooting speaks to."""

    @abc.abstractmethod
    def gap(self, x: PyTree, end: Float[Array, " state"]) -> Float[Array, ""]:
        """Squared distance from the end of window `x` to the start of the next one; zero for the last."""


class AbstractSolver(eqx.Module):
    """What solves for a model, as far as [`ctmodels.objective`][] sets it: `failed`, what a failed solve returns, and
    `cotangents`, how the gradients of a batch are summed, as in [`ctmodels.Integrate`][]."""

    if TYPE_CHECKING:

        @property
        def cotangents(self) -> str: ...

        @property
        def failed(self) -> str: ...

    else:
        cotangents: eqx.AbstractVar[str]
        failed: eqx.AbstractVar[str]
