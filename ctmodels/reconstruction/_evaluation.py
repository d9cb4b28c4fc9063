"""What an ensemble says of a series: states given the data, forecasts from several origins, the attractor it generates.

Each compiled function stands at the top of the file, so that a second series of the same length compiles nothing.
"""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels import metrics
from ctmodels._core._series import Driven, Series
from ctmodels.paths._paths import LinearPath
from ctmodels.reconstruction._ensemble import over_members
from ctmodels.reconstruction._split import Split, Spread
from ctmodels.reconstruction._trained import Trained, flow_of, smooth_with


def filter_tail(trained: Trained, split: Split) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """States given the data up to each time, from the last training sample on: means `(member, time, state)` and
    covariances."""
    tail = split.series[split.n_train - 1 :]
    control = None if split.control is None else split.control[split.n_train - 1 :]
    # The end state knows the last training sample already.
    tail = eqx.tree_at(lambda s: s.mask, tail, tail.mask.at[0].set(False))
    return _filter(trained.model, trained.end, trained.noise, tail, control)


def filter_training(trained: Trained, split: Split) -> Float[Array, "member time state"]:
    """The same over the training part, from a start that knows nothing: the mean of the data."""
    _, covs = trained.end
    start = jnp.zeros_like(trained.end[0]), jnp.broadcast_to(jnp.eye(covs.shape[-1], dtype=covs.dtype), covs.shape)
    return _filter(trained.model, start, trained.noise, *split.train())[0]


@eqx.filter_jit
def _filter(model, prior, noise, series: Series, control: Series | None):
    def run(member):
        model, prior, noise = member
        smoothed = smooth_with(model, series, control, noise, prior=prior)
        return smoothed.filtered, smoothed.filtered_cov

    return over_members(run)((model, prior, noise))


def forecast(trained: Trained, split: Split, states: Float[Array, "member time state"]) -> Spread:
    """From every origin, each from the state that `filter_tail` found there: `(origin, horizon, channel)`; as
    the ensemble has it, before any widening."""
    states = states[:, split.origins - (split.n_train - 1)]
    return forecast_from(trained, split, states, split.origins, split.horizon)


def forecast_tail(trained: Trained, split: Split) -> Spread:
    """From the end of the training series to the end of the data: `(time, channel)`, its band widened as the model's
    own residuals ask for."""
    length = split.series.ts.shape[0] - split.n_train
    spread = forecast_from(trained, split, trained.end[0][:, None], np.array([split.n_train - 1]), length)
    widths = 1.0 if trained.widths is None else trained.widths(length)
    return Spread(spread.median[0], spread.std[0] * widths)


def generate(trained: Trained, dt: float, steps: int) -> np.ndarray:
    """Free runs from the end of training at spacing `dt` (scaled): `(member, steps, channel)`. Fields without
    inputs only."""
    ts = jnp.arange(steps, dtype=trained.end[0].dtype) * dt
    return np.asarray(_solve(trained.model, trained.end[0], ts))


@eqx.filter_jit
def _solve(model, state, ts):
    return over_members(lambda member: member[0](member[1], ts).ys)((model, state))


def lyapunov(trained: Trained, dt: float, steps: int) -> np.ndarray:
    """Exponents of each member's field per unit of scaled time, `(member, state)`; fields without inputs only."""
    return np.asarray(_exponents(trained.model, trained.end[0], jnp.asarray(dt, trained.end[0].dtype), steps))


@eqx.filter_jit
def _exponents(model, state, dt, steps: int):
    def run(member):
        model, state = member
        flow = flow_of(model, None)
        step = lambda z: flow(jnp.zeros_like(dt), dt, z)
        return metrics.lyapunov_spectrum(step, state, steps=steps, dt=dt, transient=steps // 10)

    return over_members(run)((model, state))


def forecast_from(
    trained: Trained, split: Split, states: Float[Array, "member origin state"], origins: np.ndarray, length: int
) -> Spread:
    """`length` samples on from each origin's states.

    Past the data's end, the last time again."""
    at = jnp.asarray(np.minimum(origins[:, None] + np.arange(length + 1), split.series.ts.shape[0] - 1))
    ys = np.asarray(_solve_windows(trained.model, states, split.series.ts, split.control, at), np.float64)
    noise = np.mean(np.asarray(trained.noise.observation, np.float64), axis=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where no member is finite, neither is the forecast
        median, variance = np.nanmedian(ys, axis=0), np.nanvar(ys, axis=0)
    return Spread(median, np.sqrt(variance + noise))


@eqx.filter_jit
def _solve_windows(model, states, ts, control: Series | None, at):
    def run(member):
        model, states = member
        windows = jax.tree.map(lambda a: a[at], (ts, control))

        def one(state, window):
            ts, control = window
            path = None if control is None else LinearPath.from_series(control)
            return model(Driven(state, path), ts).ys[1:]

        return jax.vmap(one)(states, windows)

    return over_members(run)((model, states))
