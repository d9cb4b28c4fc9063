"""Forecasts of a model that has noise of its own: paths drawn from what is known of their start."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key, PRNGKeyArray

from ctmodels._core._series import Driven, Series
from ctmodels.paths._paths import LinearPath
from ctmodels.reconstruction._ensemble import over_members
from ctmodels.reconstruction._split import SPREAD, Split, Spread
from ctmodels.reconstruction._trained import Trained

SEED = 0  # the same draws in each forecast: what is asked for twice is the same twice
TOGETHER = 8  # origins at a time: all draws of all would be much
LIMITS = (5.0, 50.0, 95.0)

# Mean and covariance, in time; a listener's covariance has axes of length zero.
Known = tuple[Float[Array, "member _ state"], Float[Array, "member _ known known"]]


class Start(NamedTuple):
    """A state that is known but for what the filter leaves open: N(mean, root root')."""

    mean: Float[Array, "*batch state"]
    root: Float[Array, "*batch state state"]

    @classmethod
    def of(cls, mean: Float[Array, " state"], cov: Float[Array, "state state"]) -> "Start":
        """A root of the covariance, whose correlations are kept regular in float32."""
        variance = jnp.diagonal(cov)
        unit = jnp.sqrt(jnp.where(variance > 0, variance, 1))
        jitter = 8 * jnp.finfo(cov.dtype).eps * jnp.eye(unit.size, dtype=cov.dtype)
        return cls(mean, unit[:, None] * jnp.linalg.cholesky(cov / unit[:, None] / unit[None] + jitter))

    def draw(self, key: PRNGKeyArray) -> Float[Array, " state"]:
        """One state."""
        return self.mean + self.root @ jax.random.normal(key, self.mean.shape, self.mean.dtype)


def drawn_path(model, start: Start, control, ts: Float[Array, " time"], key: PRNGKeyArray):
    """A start, and the path from it: [`ctmodels.Output`][]."""
    of_start, of_path = jax.random.split(key)
    return model(Driven(start.draw(of_start), control), ts, key=of_path)


def keys_of_draws(*shape: int) -> Key[Array, "..."]:
    """The keys of a forecast's draws."""
    return jax.random.split(jax.random.key(SEED), shape)


def forecast_by_draws(trained: Trained, split: Split, known: Known, at: Array, noise: np.ndarray) -> Spread:
    """Of all members' draws together: median and limits; with noise of the measurement, whose variances add up."""
    keys = keys_of_draws(len(at), trained.end[0].shape[0], trained.draws)
    found = _limits(trained.model, known, split.series.ts, split.control, at, keys)
    low, median, high = np.moveaxis(np.asarray(found, np.float64), 1, 0)
    to_std = lambda reach: np.sqrt((reach / SPREAD) ** 2 + noise)
    return Spread(median, to_std(median - low), to_std(high - median))


@eqx.filter_jit
def _limits(model, known: Known, ts, control: Series | None, at, keys) -> Float[Array, "origin limit horizon channel"]:
    starts = Start(*(jnp.moveaxis(a, 1, 0) for a in jax.vmap(jax.vmap(Start.of))(*known)))

    def of_origin(origin):
        at, start, keys = origin
        window, driven = jax.tree.map(lambda a: a[at], (ts, control))
        path = None if driven is None else LinearPath.from_series(driven)

        def of_member(member):
            model, start, keys = member
            return jax.vmap(lambda key: drawn_path(model, start, path, window, key).ys[1:])(keys)

        ys = over_members(of_member)((model, start, keys))
        return jnp.nanpercentile(ys.reshape(-1, *ys.shape[2:]), jnp.asarray(LIMITS, ys.dtype), axis=0)

    return jax.lax.map(of_origin, (at, starts, keys), batch_size=TOGETHER)
