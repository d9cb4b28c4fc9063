"""What an ensemble says of a series: states given the data, forecasts from several origins, the attractor it generates.

Each compiled function stands at the top of the file, so that a second series of the same length compiles nothing.
"""

import warnings

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ctmodels import metrics
from ctmodels._core._series import Driven, Series
from ctmodels.paths._paths import LinearPath
from ctmodels.reconstruction._draws import Known, forecast_by_draws, keys_of_draws
from ctmodels.reconstruction._ensemble import over_members
from ctmodels.reconstruction._joined import Joined
from ctmodels.reconstruction._split import Split, Spread
from ctmodels.reconstruction._trained import Trained, flow_of, heard, smooth_with

EXPONENTS = 12  # of a state of many more, the largest


def known_states(trained: Trained, split: Split) -> Known:
    """States given the data up to each row: means `(member, row, state)` and covariances.

    Of one series, in the tail: from the end of training on, as training left it. Of trials, in each: from a start that
    knows nothing.
    """
    if split.by_trial or trained.listens:  # a listener learned nothing but its weights
        return filter_all(trained, split.whole)
    tail = split.whole[split.n_train - 1 :]
    # The end state knows the last training row already.
    tail = eqx.tree_at(lambda t: t.series.mask, tail, tail.series.mask.at[0].set(False))
    parts = filter_all(trained, split.train()), _filter(trained.model, trained.end, trained.noise, tail)
    mean, cov = (jnp.concatenate([before[:, :-1], after], axis=1) for before, after in zip(*parts, strict=True))
    return mean, cov


def filter_all(trained: Trained, trials: Joined) -> Known:
    """The same of each trial from a start that knows nothing: the mean of the data."""
    if trained.listens:
        means = _heard(trained.model, trials)
        return means, jnp.zeros((*means.shape[:2], 0, 0), means.dtype)
    _, covs = trained.end
    start = jnp.zeros_like(trained.end[0]), jnp.broadcast_to(jnp.eye(covs.shape[-1], dtype=covs.dtype), covs.shape)
    return _filter(trained.model, start, trained.noise, trials)


@eqx.filter_jit
def _heard(model, trials: Joined):
    return over_members(lambda member: heard(member, trials))(model)


def known_at(known: Known, rows: np.ndarray) -> Known:
    """Of these rows."""
    return known[0][:, rows], known[1][:, rows]


@eqx.filter_jit
def _filter(model, prior, noise, trials: Joined):
    def run(member):
        model, prior, noise = member
        smoothed = smooth_with(model, trials, noise, prior=prior)
        return trials.rows(smoothed.filtered), trials.rows(smoothed.filtered_cov)

    return over_members(run)((model, prior, noise))


def forecast(trained: Trained, split: Split, known: Known) -> Spread:
    """From every origin, each from what `known_states` found there: `(origin, horizon, channel)`; as the ensemble has
    it, before any widening."""
    return forecast_from(trained, split, known_at(known, split.origins), split.origins, split.horizon)


def forecast_tail(trained: Trained, split: Split, known: Known | None = None) -> Spread:
    """From the end of training to the end of the data, `(row, channel)`, its band widened as the model's own residuals
    ask for; or, of trials, from the end of each held-out one's warm-up to its end, NaN before. `known`: of all rows, or
    else only the end of training is."""
    origins, length = split.tail_origins(), split.tail_length
    starts = (trained.end[0][:, None], trained.end[1][:, None]) if known is None else known_at(known, origins)
    spread = forecast_from(trained, split, starts, origins, length)
    spread = spread if trained.widths is None else spread.widened(trained.widths(length))
    rows, inside = split.ahead(origins, length)
    return Spread(*(_in_rows(part, rows - split.n_train, inside, split) for part in spread))


def _in_rows(part: np.ndarray, rows: np.ndarray, inside: np.ndarray, split: Split) -> np.ndarray:
    tail = np.full((split.series.ts.shape[0] - split.n_train, part.shape[-1]), np.nan)
    tail[rows[inside]] = np.broadcast_to(part, (*inside.shape, part.shape[-1]))[inside]
    return tail


def generate(trained: Trained, dt: float, steps: int) -> np.ndarray:
    """Free runs from the end of training at spacing `dt` (scaled): `(member, steps, channel)`; with its noise, where
    a model has some. Fields without inputs only."""
    ts = jnp.arange(steps, dtype=trained.end[0].dtype) * dt
    keys = keys_of_draws(trained.end[0].shape[0]) if trained.draws > 1 else None
    return np.asarray(_solve(trained.model, trained.end[0], ts, keys))


@eqx.filter_jit
def _solve(model, state, ts, keys=None):
    return over_members(lambda member: member[0](member[1], ts, key=member[2]).ys)((model, state, keys))


def lyapunov(trained: Trained, dt: float, steps: int) -> np.ndarray:
    """Exponents of each member per unit of scaled time, `(member, state)`, of a large state the first few; without
    inputs only."""
    return np.asarray(_exponents(trained.model, trained.end[0], jnp.asarray(dt, trained.end[0].dtype), steps))


@eqx.filter_jit
def _exponents(model, state, dt, steps: int):
    def run(member):
        model, state = member
        flow = flow_of(model, None)
        step = lambda z: flow(jnp.zeros_like(dt), dt, z)
        few = min(state.size, EXPONENTS)
        return metrics.lyapunov_spectrum(step, state, steps=steps, dt=dt, transient=steps // 10, count=few)

    return over_members(run)((model, state))


def forecast_from(trained: Trained, split: Split, known: Known, origins: np.ndarray, length: int) -> Spread:
    """`length` samples on from each origin, from what is known there: of the members' likeliest starts, or of their
    draws.

    Past the end of the data, or of the trial, the last time again."""
    ends = split.whole.ends(origins)[:, None]
    at = jnp.asarray(np.minimum(origins[:, None] + np.arange(length + 1), ends - 1))
    noise = np.mean(np.asarray(trained.noise.observation, np.float64), axis=0)
    if trained.draws > 1:
        return forecast_by_draws(trained, split, known, at, noise)
    ys = np.asarray(_solve_windows(trained.model, known[0], split.series.ts, split.control, at), np.float64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # where no member is finite, neither is the forecast
        median, variance = np.nanmedian(ys, axis=0), np.nanvar(ys, axis=0)
    std = np.sqrt(variance + noise)
    return Spread(median, std, std)


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
