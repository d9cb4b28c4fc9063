"""Judging an ensemble on the held-out tail: forecasts from several origins, and the attractor it generates."""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from ctmodels import metrics
from ctmodels._paths import LinearPath
from ctmodels._scaling import Scaling
from ctmodels._series import Driven, Series
from ctmodels.models import NeuralODE
from ctmodels.reconstruction._fitting import Trained, flow_of, over_members, smooth_with

ORIGINS = 20  # forecasts that a score pools, at most
ATTRACTOR = 500  # samples; with fewer, a histogram of states says nothing
DENSE = 0.25  # of the samples between two long gaps; with fewer, a spectrum is that of the lines that fill the gaps
SPREAD = 1.645  # standard deviations on either side of 90 %

Scores = dict[str, float]


class Split(NamedTuple):
    """The whole scaled series and its control; training ends before sample `n_train`; forecasts reach `horizon`
    samples from each of the `origins` (the sample before the first forecast one)."""

    series: Series
    control: Series | None
    n_train: int
    horizon: int
    origins: np.ndarray

    @classmethod
    def make(cls, series: Series, control: Series | None, n_train: int, horizon: int) -> "Split":
        last = series.ts.shape[0] - 1 - horizon
        origins = np.unique(np.linspace(n_train - 1, last, ORIGINS).astype(int))
        return cls(series, control, n_train, horizon, origins)

    def train(self) -> tuple[Series, Series | None]:
        """What may be learned from."""
        control = None if self.control is None else self.control[: self.n_train]
        return self.series[: self.n_train], control

    def targets(self) -> np.ndarray:
        """Scaled observations that the forecasts are held against, `(origin, horizon, channel)`, NaN if missing."""
        return self.series.to_nan()[self.origins[:, None] + 1 + np.arange(self.horizon)]


class Spread(NamedTuple):
    """A forecast by an ensemble, in scaled values: the members' median, and the standard deviation of an
    observation about it (members' spread and noise of the measurement)."""

    median: np.ndarray
    std: np.ndarray

    def band(self, scaling: Scaling) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Median and the limits of 90 %, in physical units."""
        limits = (self.median, self.median - SPREAD * self.std, self.median + SPREAD * self.std)
        return tuple(scaling.unscale(np.asarray(x, np.float64)) for x in limits)  # pyright: ignore


def follow(trained: Trained, split: Split) -> tuple[Float[Array, "..."], Float[Array, "..."]]:
    """States given the data up to each time, from the last training sample on: means `(member, time, state)` and
    covariances."""
    tail = split.series[split.n_train - 1 :]
    control = None if split.control is None else split.control[split.n_train - 1 :]
    # The end state knows the last training sample already.
    tail = eqx.tree_at(lambda s: s.mask, tail, tail.mask.at[0].set(False))

    def run(member):
        model, mean, cov, noise = member
        smoothed = smooth_with(model, tail, control, noise, prior=(mean, cov))
        return smoothed.filtered, smoothed.filtered_cov

    return eqx.filter_jit(over_members(run))((trained.model, *trained.end, trained.noise))


def forecast(trained: Trained, split: Split, states: Float[Array, "member time state"]) -> Spread:
    """From every origin, each from the state that `follow` found there: `(origin, horizon, channel)`."""
    states = states[:, split.origins - (split.n_train - 1)]
    return _ahead(trained, split, states, split.origins, split.horizon)


def forecast_tail(trained: Trained, split: Split) -> Spread:
    """From the end of the training series to the end of the data: `(time, channel)`."""
    length = split.series.ts.shape[0] - split.n_train
    spread = _ahead(trained, split, trained.end[0][:, None], np.array([split.n_train - 1]), length)
    return Spread(spread.median[0], spread.std[0])


def score(median: np.ndarray, split: Split, scaling: Scaling, season: int) -> Scores:
    """Forecast errors of scaled medians `(origin, horizon, channel)`, pooled over origins and channels."""
    true, seen = split.targets(), ~np.isnan(split.targets())
    # A forecast that blew up must count as wrong, not as missing.
    median = np.where(np.isfinite(median), median, 1e6)
    error = np.where(seen, median - np.nan_to_num(true), 0)
    scores = {"nrmse": float(np.sqrt(np.sum(error**2) / seen.sum()))}
    if scaling.log:
        scores["rmse_log"] = float(np.sqrt(np.sum((error * np.asarray(scaling.std)) ** 2) / seen.sum()))
    history = split.train()[0]
    tables = (np.nan_to_num(true), np.clip(median, -50, 50), np.asarray(history.ys, np.float64))
    channels = true.shape[-1]
    physical, forecast, past = (scaling.unscale(table).reshape(-1, channels) for table in tables)
    season = season if season < len(past) else 1
    return {**scores, **_physical(physical, forecast, past, seen.reshape(-1, channels), history.mask, season)}


def _physical(true, forecast, past, seen, past_seen, season: int) -> Scores:
    @jax.jit
    def run(true, forecast, past, seen, past_seen):
        return {
            "rmse": metrics.rmse(true, forecast, seen),
            "smape": metrics.smape(true, forecast, seen),
            "mase": metrics.mase(true, forecast, past, season, seen, past_seen),
        }

    return {name: float(value) for name, value in run(true, forecast, past, seen, past_seen).items()}


def baselines(split: Split, season: int) -> dict[str, np.ndarray]:
    """Scaled forecasts that need no model, `(origin, horizon, channel)`: the training mean (zero, by the scaling),
    the last value seen, and the last season repeated."""
    filled = np.asarray(split.series.fill_forward(), np.float64)
    ahead = np.arange(split.horizon)
    shape = (len(split.origins), split.horizon, filled.shape[1])
    table = {
        "mean": np.zeros(shape),
        "persistence": np.broadcast_to(filled[split.origins][:, None], shape),
    }
    if 1 < season <= split.n_train:
        table["seasonal"] = filled[split.origins[:, None] + 1 - season + ahead % season]
    return table


def valid_times(median: np.ndarray, split: Split, time_scale: float) -> np.ndarray:
    """The valid prediction time from each origin, physical; at most the horizon's."""
    true, ts = split.targets(), np.asarray(split.series.ts)
    times = ts[split.origins[:, None] + np.arange(split.horizon + 1)]
    norm = np.sqrt(split.series.ys.shape[1])  # of z-scored data

    def one(ts, true, predicted):
        return metrics.valid_prediction_time(
            ts, jnp.nan_to_num(true), predicted, scale=float(norm), mask=~jnp.isnan(true)
        )

    # The first time is the origin's, where nothing has been predicted yet.
    values = jax.vmap(one)(*(jnp.asarray(a, ts.dtype) for a in (times[:, 1:], true, median)))
    lead = times[:, 1] - times[:, 0]
    # All valid: as far as was looked.
    return (np.asarray(values) + lead * (np.asarray(values) > 0)) * time_scale


def generate(trained: Trained, dt: float, steps: int) -> np.ndarray:
    """Free runs from the end of training at spacing `dt` (scaled): `(member, steps, channel)`. Fields without
    inputs only."""
    ts = jnp.arange(steps, dtype=trained.end[0].dtype) * dt

    def run(member):
        model, state = member
        return model(state, ts).ys

    return np.asarray(eqx.filter_jit(over_members(run))((trained.model, trained.end[0])))


def lyapunov(trained: Trained, dt: float, steps: int) -> np.ndarray:
    """Exponents of each member's field per unit of scaled time, `(member, state)`; fields without inputs only."""

    def run(member):
        model, state = member
        flow = flow_of(model, None)
        times = jnp.zeros((), state.dtype), jnp.asarray(dt, state.dtype)
        return metrics.lyapunov_spectrum(lambda z: flow(*times, z), state, steps=steps, dt=dt, transient=steps // 10)

    return np.asarray(eqx.filter_jit(over_members(run))((trained.model, trained.end[0])))


def attractor_scores(true: np.ndarray, generated: np.ndarray, ts: np.ndarray | None = None) -> Scores:
    """D_stsp and D_H of each member's free run against the observations, noise included; the members' median; None for
    what [`attractor`][] has a reason not to give."""
    scores = attractor(true, generated, ts)
    return {name: scores[name] for name in ("d_stsp", "d_hellinger")}


def attractor(true: np.ndarray, generated: np.ndarray, ts: np.ndarray | None = None) -> dict:
    """The same with `counts`, of rows behind each score, and `reasons` for those that are None.

    **Arguments:** `true` `(time, channel)`, NaN where missing, at `ts` `(time,)`, evenly spaced if None; `generated`
    `(member, samples, channel)`, at the median spacing of `ts`.
    """
    ts = np.arange(len(true)) if ts is None else np.asarray(ts)
    observed = true[np.isfinite(true).all(axis=1)]
    alike = [metrics.as_sampled(ts, true, run) for run in generated]
    counts = {"d_stsp": len(observed), "d_hellinger": alike[0].observed}
    reasons = _lacking(counts, len(alike[0].true))
    dtype = generated.dtype
    values: dict = dict.fromkeys(counts)
    if "d_stsp" not in reasons:
        of = [_stsp(jnp.asarray(observed, dtype), run) for run in jnp.asarray(generated)]
        values["d_stsp"] = float(np.median(of))
    if "d_hellinger" not in reasons:
        of = [_hellinger(jnp.asarray(a.true, dtype), jnp.asarray(a.generated, dtype)) for a in alike]
        values["d_hellinger"] = float(np.median(of))
    return {**values, "counts": counts, "reasons": reasons}


def _lacking(counts: dict[str, int], places: int) -> dict[str, str]:
    """Why there is no score."""
    few = f"rows in which all channels were observed, and {ATTRACTOR} are needed"
    reasons = {name: f"{count} {few}" for name, count in counts.items() if count < ATTRACTOR}
    if "d_hellinger" not in reasons and counts["d_hellinger"] < DENSE * places:
        share = counts["d_hellinger"] / places
        reasons["d_hellinger"] = f"{share:.0%} of the samples were observed, and {DENSE:.0%} are needed for a spectrum"
    return reasons


@jax.jit
def _stsp(observed, generated):
    return metrics.d_stsp(observed, generated, key=jax.random.key(0))


_hellinger = jax.jit(metrics.d_hellinger)


def _ahead(trained: Trained, split: Split, states, origins: np.ndarray, length: int) -> Spread:
    at = jnp.asarray(origins[:, None] + np.arange(length + 1))

    def run(member, at):
        model: NeuralODE
        model, states, observation = member
        windows = jax.tree.map(lambda a: a[at], (split.series.ts, split.control))

        def one(state, window):
            ts, control = window
            path = None if control is None else LinearPath.from_series(control)
            return model(Driven(state, path), ts).ys[1:]

        return jax.vmap(one)(states, windows), observation

    members = trained.model, states, trained.noise.observation
    ys, observation = eqx.filter_jit(over_members(run))(members, at)
    ys = np.asarray(ys, np.float64)
    variance = np.nanvar(ys, axis=0) + np.mean(np.asarray(observation), axis=0)
    return Spread(np.nanmedian(ys, axis=0), np.sqrt(variance))
