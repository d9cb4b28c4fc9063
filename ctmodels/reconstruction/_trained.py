"""An ensemble that was trained, its flow, and the smoother under it."""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ctmodels._core._model import AbstractDynamics
from ctmodels._core._series import Series
from ctmodels.paths._paths import LinearPath
from ctmodels.reconstruction._joined import Joined, over_trials
from ctmodels.reconstruction._parameters import Parameters
from ctmodels.reconstruction._widths import Widths
from ctmodels.trajectories._noise import counts, likeliest
from ctmodels.trajectories._smoothing import Flow, Noise, Observe, Smoothed, smooth


class Trained(NamedTuple):
    """An ensemble, every array with a leading axis of members. `end`: the state at the last training time, mean and
    covariance; `noise`: to filter with from there on; `samples`: the first so many were trained on;
    `widths`: of the bands of forecasts from there on; `draws`: paths of each member in a forecast; `ends`: of several
    trials the state at the end of each, `(member, trial, state)`, and its covariance; `parameters`: of a law, with
    their intervals, or None; `settings`: of the candidate's `build`; `formula`: of the names of state and inputs, a law
    in words; `listens`: the state is what the model heard, and has no covariance: its axes are of length zero."""

    model: AbstractDynamics
    end: tuple[Float[Array, "member state"], Float[Array, "member state state"]]
    noise: Noise
    history: list[dict]
    stopped: str
    samples: int = 0
    widths: Widths | None = None
    draws: int = 1
    ends: tuple[Float[Array, "member trial state"], Float[Array, "member trial state state"]] | None = None
    parameters: Parameters | None = None
    settings: dict | None = None
    formula: Callable[[Sequence[str], Sequence[str]], str] | None = None
    listens: bool = False

    def __repr__(self) -> str:
        return f"Trained({type(self.model).__name__}, {self.end[0].shape[0]} members; {self.stopped})"


def heard(model: Any, trials: Joined) -> Float[Array, "row state"]:
    """What a listener's state is after each row; before it has heard enough, lifted from what was seen last."""
    path = lambda control: None if control is None else LinearPath.from_series(control)
    zs = trials.rows(over_trials(lambda series, control: model.listen(series, path(control)), trials))
    return jnp.where(jnp.isfinite(zs), zs, jax.vmap(model.lift)(trials.filled()))


def smooth_with(
    model: AbstractDynamics, trials: Joined, noise: Noise, prior: tuple[Array, Array] | None = None
) -> Smoothed:
    """The smoother under one model's own flow: `(trial, time, ...)`."""
    return smooth_each(functools.partial(flow_of, model), trials, noise, prior=prior, observe=model.observe)


def smooth_each(
    flow: Callable[[Series | None], Flow],
    trials: Joined,
    noise: Noise,
    *,
    prior: tuple[Array, Array] | None = None,
    observe: Observe | None = None,
) -> Smoothed:
    """Each trial smoothed for itself with the same noise, `(trial, time, ...)`; `noise` is the update that all trials
    ask for together, each as often as it speaks of a variance. `flow(control)`: under these inputs."""
    run = lambda series, control: smooth(flow(control), series, noise, prior=prior, observe=observe)
    out = over_trials(run, trials)
    if not trials.breaks:
        return eqx.tree_at(lambda s: s.noise, out, jax.tree.map(lambda a: a[0], out.noise))
    size = noise.process.shape[0]
    weights = jax.vmap(lambda series: counts(series, size))(trials.batch()[0])
    weights = weights / jnp.maximum(jnp.sum(weights, axis=0, keepdims=True), 1)
    pooled = lambda updates, weights: jnp.sum(updates * weights, axis=0)
    process = pooled(out.noise.process, weights[:, :size])
    observation = pooled(out.noise.observation, weights[:, size:])
    return eqx.tree_at(lambda s: s.noise, out, Noise(process, observation))


def tune_each(
    flow: Callable[[Series | None], Flow], trials: Joined, noise: Noise, observe: Observe | None = None
) -> tuple[Noise, Bool[Array, ""]]:
    """The noise under which all trials are likeliest together, and whether it was found."""

    def assess(assumed: Noise) -> tuple[Float[Array, ""], Noise]:
        out = smooth_each(flow, trials, assumed, observe=observe)
        return jnp.sum(out.log_likelihood), out.noise

    return likeliest(assess, trials.batch()[0] if trials.breaks else trials.series, noise)


def flow_of(model: AbstractDynamics, control: Series | None) -> Flow:
    """z at t0 -> z at t1, driven by these inputs."""
    path = None if control is None else LinearPath.from_series(control)
    return lambda t0, t1, z: model.flow(t0, t1, z, path)[0]
