"""States made of delays, where a system is seen in part: which delays, and a dynamics of them that is observed as the
data are."""

from typing import Any, NamedTuple

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._core._arguments import check_whole
from ctmodels._core._history import history_of
from ctmodels._core._model import AbstractDynamics, roll_out, state_of
from ctmodels._core._output import Output, Stats
from ctmodels._core._series import Driven, Series
from ctmodels._core._validation import DataError
from ctmodels._core._words import argument
from ctmodels.reconstruction._joined import Joined
from ctmodels.trajectories import embedding
from ctmodels.trajectories.embedding import DelayChoice, DimensionChoice

AUTO = "auto"
VECTORS = 20  # at least, to learn from
OFF = 0.05  # of a step, as far as a delay may be off


class Embedding(NamedTuple):
    """`delay`, in rows, and `dimension`, how many values of each channel a state has; and how they were found, for each
    channel: nothing where they were given."""

    delay: int
    dimension: int
    delays: tuple[DelayChoice, ...] = ()
    dimensions: tuple[DimensionChoice, ...] = ()

    @property
    def rule(self) -> str:
        """How they were found, in words."""
        if not self.delays:
            return f"delay {self.delay}, dimension {self.dimension}: as given"
        of_delay = next(choice.rule for choice in self.delays if choice.delay == self.delay)
        of_dimension = next(choice.rule for choice in self.dimensions if choice.dimension == self.dimension)
        return f"{of_delay}; {of_dimension}"

    def to_dict(self) -> dict:
        """For JSON: the curves too."""
        listed = lambda choice, *names: {name: getattr(choice, name).tolist() for name in names}
        return {
            "delay": self.delay,
            "dimension": self.dimension,
            "rule": self.rule,
            "mutual_information": [listed(choice, "lags", "information", "correlation") for choice in self.delays],
            "false_neighbours": [listed(choice, "dimensions", "false") for choice in self.dimensions],
        }


def parsed(embed: Any) -> tuple[int, int] | None:
    """Delay and dimension; None: they are to be found."""
    if embed == AUTO:
        return None
    parts = embed.split(",") if isinstance(embed, str) else embed
    if not isinstance(parts, tuple | list) or len(parts) != 2 or not all(_whole(part) for part in parts):
        raise DataError(
            f"{argument('embed', embed)}: delay and dimension are wanted, two whole numbers, as "
            f"{argument('embed', '3,4')}, or {argument('embed', AUTO)}"
        )
    delay, dimension = (int(part) for part in parts)
    check_whole("embed: the delay", delay, 1)
    check_whole("embed: the dimension", dimension, 2)
    return delay, dimension


def _whole(part: Any) -> bool:
    return part.strip().isdigit() if isinstance(part, str) else isinstance(part, int | np.integer)


def chosen(embed: Any, trials: Joined) -> Embedding:
    """Of what is trained on. Of several channels the shortest delay and the largest dimension that one asks for."""
    given = parsed(embed)
    try:
        found = _found(trials) if given is None else Embedding(*given)
        embedded = of_delays(trials, found.delay, found.dimension)
    except DataError as error:
        raise DataError(f"{argument('embed', embed)}: {error}") from error
    rows = embedded.series.ts.shape[0]
    if rows < VECTORS:
        raise DataError(
            f"{argument('embed', embed)}: a delay of {found.delay} rows and {found.dimension} of them leave {rows} "
            f"vectors to train on, and {VECTORS} at least are needed; give a shorter delay, a smaller dimension or a "
            "longer record"
        )
    return found


def _found(trials: Joined) -> Embedding:
    series = [trials.series[part] for part in trials.slices()]
    channels = range(series[0].ys.shape[1])
    delays = tuple(embedding.choose_delay(series, channel=c) for c in channels)
    delay = min(choice.delay for choice in delays)
    dimensions = tuple(embedding.choose_dimension(series, delay, channel=c) for c in channels)
    for choice in dimensions:
        if choice.dimension is None:
            raise DataError(f"{choice.rule}; or give both: {argument('embed', f'{delay},4')}")
    dimension = max(2, *(choice.dimension or 0 for choice in dimensions))
    return Embedding(delay, dimension, delays, dimensions)


def of_delays(trials: Joined, delay: int, dimension: int) -> Joined:
    """Each trial's delay vectors, newest first, and the inputs at their times."""

    def one(part: slice) -> tuple[Series, Series | None]:
        series = trials.series[part]
        vectors = embedding.embed(series, delay, dimension)
        kept = np.isin(np.asarray(series.ts), np.asarray(vectors.ts))
        control = None if trials.control is None else trials.control[part]
        return vectors, None if control is None else Series(*(a[kept] for a in (control.ts, control.ys, control.mask)))

    return Joined.of([one(part) for part in trials.slices()])


class Delays(AbstractDynamics):
    """A dynamics whose channels are delays, observed as the data are: by the newest.

    **Arguments:** `inner`: of delay vectors, `(dimension * channels,)`, newest first; `channels`: of the data; `delay`:
    in steps of `dt`.
    """

    inner: Any
    channels: int = eqx.field(static=True)
    delay: int = eqx.field(static=True)
    dt: float = eqx.field(static=True)

    def __call__(
        self,
        x: Float[Array, " state"] | Driven,
        ts: Float[Array, " out"] | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Output:
        x = x if isinstance(x, Driven) else Driven(x)
        x = Driven(state_of(self, x.y0), x.control)
        if key is None:
            return roll_out(self, x, ts)
        out = self.inner(x, ts, key=key)
        return eqx.tree_at(lambda out: out.ys, out, out.ys[:, : self.channels])

    @property
    def size(self) -> int:
        """Of the state."""
        return self.inner.size

    @property
    def dimension(self) -> int:
        """How many values of each channel there are."""
        return self.inner.channels // self.channels

    def lift(
        self, ys: Float[Array, " channel"], slopes: Float[Array, " channel"] | None = None
    ) -> Float[Array, " state"]:
        """A past at rest, or on a straight line."""
        return self.inner.lift(history_of(ys, slopes, self.dimension, self.delay * self.dt))

    def flow(
        self, t0: Float[Array, ""], t1: Float[Array, ""], z: Float[Array, " state"], control: PyTree = None
    ) -> tuple[Float[Array, " state"], Stats]:
        """As the inner one does."""
        return self.inner.flow(t0, t1, z, control)

    def observe(self, z: Float[Array, " state"]) -> Float[Array, " channel"]:
        """The newest."""
        return self.inner.observe(z)[: self.channels]

    def listen(self, series: Series, control: PyTree = None) -> Float[Array, "time state"]:
        """Of a listener alone: what it hears are the delay vectors."""
        return self.inner.listen(self.vectors(series), control)

    def vectors(self, series: Series) -> Series:
        """The delays of each row, unseen where there are none or a pause is between; pure, in as many rows."""
        rows = np.arange(series.ts.shape[0])
        ys, masks = [], []
        for k in range(self.dimension):
            ago, at = k * self.delay, np.maximum(rows - k * self.delay, 0)
            away = jnp.abs(series.ts - series.ts[at] - jnp.asarray(ago * self.dt, series.ts.dtype))
            known = jnp.asarray(rows >= ago) & (away <= OFF * self.dt * max(1, ago))
            mask = series.mask[at] & known[:, None]
            ys.append(jnp.where(mask, series.ys[at], 0))
            masks.append(mask)
        return Series(series.ts, jnp.concatenate(ys, axis=1), jnp.concatenate(masks, axis=1))

    def describe(self) -> str:
        """As the inner one, and of what."""
        return f"{self.inner.describe()}, of {self.dimension} values {self.delay} samples apart"
