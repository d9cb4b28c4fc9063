"""Fitting one candidate: an ensemble over seeds, by shooting from smoothed states or from free starts."""

import dataclasses
import functools
import sys
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float, Int

from ctmodels import losses
from ctmodels._arguments import check_whole
from ctmodels._model import AbstractDynamics
from ctmodels._paths import LinearPath
from ctmodels._series import Example, Series
from ctmodels._shooting import Shooting, Windows, growing_horizon
from ctmodels._smoothing import Flow, Noise, Smoothed, constant_velocity, smooth, tune_noise
from ctmodels.reconstruction._candidates import Candidate, Problem
from ctmodels.reconstruction._ensemble import over_members
from ctmodels.reconstruction._widths import Widths
from ctmodels.train import FitResult, fit, make_step, objective, pooled
from ctmodels.train._step import TrainStep

SHORT = 200  # samples; under this, starts are parameters: there is too little to estimate a filter's noise from
PAUSE = 4.0  # a window that lasts this many times as long as the median one has a pause in it
TUNED_ON = 1500  # samples of the stretch on which the filter's noise is estimated


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to train.

    - `members`: of the ensemble, whose mean field and median forecast are what is used; `steps`; `window`: samples;
      `batch_size`: windows a member; `learning_rate`: Adam's, decaying by a cosine to a hundredth.
      Smoothed starts only: windows that last over four times as long as the median one, as there is a pause in
      them, are left out.
    - `refreshes`: how often the smoother runs again with the field learned so far.
    - `process`: variance per unit of scaled time that the smoother grants the field's error. The likeliest value falls
      as the field learns to agree with its own smoother, and then windows start where the field would have them and
      not where the data were: with it, forecasts of Lorenz-63 were valid for 2.3 Lyapunov times, with this one for 3.
    - `free`: starts are parameters instead; `continuity`: weight of the gaps between them.
    """

    members: int = 4
    steps: int = 4000
    window: int = 20
    batch_size: int = 64
    learning_rate: float = 1e-2
    refreshes: int = 10
    process: float = 1e-3
    free: bool = False
    continuity: float = 10.0

    def __post_init__(self):
        for name, least in (("members", 1), ("steps", 1), ("window", 2), ("batch_size", 1), ("refreshes", 0)):
            check_whole(name, getattr(self, name), least)

    @classmethod
    def default(cls, samples: int) -> "Recipe":
        """For a series of so many training samples."""
        if samples < SHORT:
            return cls(steps=2000, window=min(8, samples), batch_size=64, learning_rate=1e-2, free=True)
        return cls()

    @classmethod
    def quick(cls, samples: int) -> "Recipe":
        """For a first look, in an eighth of the steps and half of the members."""
        full = cls.default(samples)
        return dataclasses.replace(full, members=full.members // 2, steps=full.steps // 8)


class Trained(NamedTuple):
    """An ensemble, every array with a leading axis of members. `end`: the state at the last training time, mean and
    covariance; `noise`: to filter with from there on; `learnt`: samples that were trained on, the first so many;
    `widths`: of the bands of forecasts from there on."""

    model: AbstractDynamics
    end: tuple[Float[Array, "member state"], Float[Array, "member state state"]]
    noise: Noise
    history: list[dict]
    stopped: str
    learnt: int = 0
    widths: Widths | None = None

    def __repr__(self) -> str:
        return f"Trained({type(self.model).__name__}, {self.end[0].shape[0]} members; {self.stopped})"


class OwnStarts(eqx.Module):
    """Windows of one series for an ensemble, each member with starts of its own: errors that the members shared would
    stay in their mean."""

    windows: Windows
    starts: Float[Array, "member time state"]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: Int[Array, "member batch"]) -> Example:
        def one(starts, index):
            return eqx.tree_at(lambda w: w.starts, self.windows, starts)[index]

        return jax.vmap(one)(self.starts, index)


def train(
    candidate: Candidate, problem: Problem, series: Series, control: Series | None, recipe: Recipe, seed: int, **run
) -> Trained:
    """Fit an ensemble of one candidate to the scaled training series. `run`: of `fit`: folder, resume, progress."""
    keys = jax.random.split(jax.random.key(seed), recipe.members)
    model = eqx.filter_vmap(lambda key: candidate.build(problem, key))(keys)
    shoot = _free if recipe.free else _smoothed
    about = {"candidate": candidate.name, "problem": problem.to_dict(), "recipe": dataclasses.asdict(recipe)}
    trained = shoot(candidate, model, series, control, recipe, seed, about=about, **run)
    if trained.stopped == "interrupted" and run.get("folder") is not None:
        raise KeyboardInterrupt(f"training is saved in {run['folder']}; resume goes on with it")
    return trained


def smooth_with(model: AbstractDynamics, series: Series, control: Series | None, noise: Noise, prior=None) -> Smoothed:
    """The smoother under one model's own flow."""
    return smooth(flow_of(model, control), series, noise, prior=prior, observe=model.observe)


def flow_of(model: AbstractDynamics, control: Series | None) -> Flow:
    """z at t0 -> z at t1, driven by these inputs."""
    path = None if control is None else LinearPath.from_series(control)
    return lambda t0, t1, z: model.flow(t0, t1, z, path)[0]


@functools.lru_cache(maxsize=8)
def _step(recipe: Recipe, window: int, structure) -> TrainStep:
    """One step for all runs of one recipe, model structure and window: what one series compiled, the next one of its
    length uses. *Performance.*"""
    schedule = optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps, alpha=0.01)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    if recipe.free:
        loss, horizon = losses.shooting(recipe.continuity), (2.0, float(window), recipe.steps // 2)
    else:
        loss, horizon = losses.squared, (recipe.window / 4, recipe.window, recipe.steps // 4)
    transform = growing_horizon(optax.linear_schedule(*horizon))
    return make_step(objective(loss, transform=transform), optimiser, ensemble=True)


def _structure(tree) -> tuple:
    """What two trees must share to run in one program."""
    leaves, treedef = jax.tree.flatten(eqx.filter(tree, eqx.is_array))
    return treedef, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)


def _smoothed(candidate, model, series, control, recipe, seed, **run) -> Trained:
    """Windows start from smoothed states; first from a smoother that knows no law, then from one that uses the
    field learned so far."""
    say = functools.partial(_say, candidate.name, run.get("progress", True))
    start = _coasted(series)
    starts = _lifted(model, *jnp.split(start.mean, 2, axis=1))
    samples = series.ts.shape[0]
    cut = samples - max(samples // 20, 2 * recipe.window)
    every = Windows(series, recipe.window, stop=cut, starts=starts[0], control=control)
    windows = _without_pauses(every)
    if len(windows) < len(every):
        say(f"{len(every) - len(windows)} of {len(every)} windows have a long pause in them and are not trained on")
    data = OwnStarts(windows, starts)
    step = _step(recipe, recipe.window, _structure((model, series, control)))
    noise = Noise(jnp.full(model.size, recipe.process, starts.dtype), start.noise.observation)

    def refresh(model, data):
        own = _smoothed_means(model, series, control, noise)
        # A member that went astray goes on from where the others would start.
        others = jnp.nanmedian(own, axis=0, keepdims=True)
        return OwnStarts(data.windows, jnp.where(jnp.isfinite(own), own, others))

    before = step.traces
    result = fit(
        step,
        step.init(model, key=jax.random.key(seed)),
        data,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        seed=seed,
        validate=_validation(series, control, 2 * recipe.window, cut),
        # Each refresh moves the starts, so that a lucky set of them would choose an early model.
        keep="last",
        every=max(1, recipe.steps // 40),
        refresh=refresh,
        refresh_every=max(1, recipe.steps // (recipe.refreshes + 1)),
        name=candidate.name,
        **run,
    )
    _assert_one_trace(step, before)
    smoothed, noise, settled = _likeliest(result.model, series, control, noise)
    if not settled.all():
        say("the likeliest noise of the data was not found; how far a forecast's start is known is uncertain")
    end = smoothed.filtered[:, -1], smoothed.filtered_cov[:, -1]
    return Trained(result.model, end, noise, result.history, result.stopped, cut)


def _say(name: str, progress: bool, said: str) -> None:
    if progress:
        print(f"{name}: {said}", file=sys.stderr)


def _without_pauses(windows: Windows) -> Windows:
    """Those that last no longer than usual: of a batch, all wait for the one that has a pause to be followed over."""
    ts, at = np.asarray(windows.series.ts), np.asarray(windows.at)
    spans = ts[at + windows.length - 1] - ts[at]
    return eqx.tree_at(lambda w: w.at, windows, windows.at[spans <= PAUSE * np.median(spans)])


def _coasted(series: Series) -> Smoothed:
    channels = series.ys.shape[1]
    dtype = series.ys.dtype
    first = Noise(jnp.repeat(jnp.asarray([1e-4, 1.0], dtype), channels), jnp.full(channels, 1e-2, dtype))
    return _smoothed_coast(series, first)


@eqx.filter_jit
def _smoothed_coast(series: Series, first: Noise) -> Smoothed:
    return smooth(constant_velocity, series, tune_noise(constant_velocity, series[:TUNED_ON], first)[0])


@eqx.filter_jit
def _smoothed_means(model, series: Series, control: Series | None, noise: Noise):
    return over_members(lambda model: smooth_with(model, series, control, noise).mean)(model)


@eqx.filter_jit
def _likeliest(
    model, series: Series, control: Series | None, first: Noise
) -> tuple[Smoothed, Noise, Bool[Array, " n"]]:
    """The smoother with the noise under which the data are likeliest: what a forecast's start needs. And of each
    member, whether that noise was found."""

    def run(model):
        noise, settled = tune_noise(flow_of(model, control), series[:TUNED_ON], first, observe=model.observe)
        return smooth_with(model, series, control, noise), noise, settled

    return over_members(run)(model)


def _validation(series: Series, control: Series | None, length: int, cut: int):
    """Squared error over longer windows that begin after `cut`, where training ended, from the current starts."""
    last = series.ts.shape[0] - length
    index = jnp.asarray(np.unique(np.linspace(cut, last, 200).astype(int)))
    return lambda model, data: _error_of_windows(model, data.starts, series, control, length, index)


@eqx.filter_jit
def _error_of_windows(model, starts, series: Series, control: Series | None, length: int, index):
    loss = pooled(losses.squared)

    def one(model, starts):
        batch = Windows(series, length, starts=starts, control=control)[index]
        return loss(model, batch, jax.random.key(0))[0]

    return eqx.filter_vmap(one)(model, starts)


def _free(candidate, model, series, control, recipe, seed, **run) -> Trained:
    """Windows start from parameters of their own, held together by a continuity penalty."""
    samples = series.ts.shape[0]
    window = samples if candidate.whole else min(recipe.window, samples)
    count = -(-(samples - 1) // (window - 1))
    # Padded with unobserved samples, so that windows that share their edges cover the whole series.
    series, control = (s and s.pad(count * (window - 1) + 1) for s in (series, control))
    data = Windows(series, window, stride=window - 1, control=control)
    starts = _lifted(model, series.fill_forward()[data.at])
    step = _step(recipe, window, _structure((model, series, control)))
    before = step.traces
    result = fit(
        step,
        step.init(Shooting(model, starts), key=jax.random.key(seed)),
        data,
        steps=recipe.steps,
        batch_size=count,
        seed=seed,
        every=max(1, recipe.steps // 40),
        name=candidate.name,
        **run,
    )
    _assert_one_trace(step, before)
    return _after_free(result, data, samples)


@eqx.filter_jit
def _lifted(model: AbstractDynamics, *seen: Float[Array, "time channel"]) -> Float[Array, "member time state"]:
    """Of each member, the states that are observed so, and move so."""
    return over_members(lambda model: jax.vmap(model.lift)(*seen))(model)


def _after_free(result: FitResult, data: Windows, samples: int) -> Trained:
    """Where the last window ends; what the windows miss is the noise of the observations."""
    end, observation = _ends(result.model, data[jnp.arange(len(data))])
    cov = jnp.broadcast_to(1e-4 * jnp.eye(end.shape[1], dtype=end.dtype), (*end.shape, end.shape[1]))
    noise = Noise(jnp.full_like(end, 1e-2), jnp.maximum(observation, 1e-4))
    return Trained(result.model.model, (end, cov), noise, result.history, result.stopped, samples)


@eqx.filter_jit
def _ends(shooting, batch: Example):
    """Of each member: the state at the last window's end, and the mean square of what all windows miss."""

    def follow(shooting):
        out = jax.vmap(lambda example: shooting(example.x, example.target.ts))(batch)
        mask = batch.target.mask
        square = jnp.where(mask, (out.ys - batch.target.ys) ** 2, 0)
        return out.latents[-1, -1], jnp.sum(square, (0, 1)) / jnp.maximum(jnp.sum(mask, (0, 1), dtype=square.dtype), 1)

    return over_members(follow)(shooting)


def _assert_one_trace(step: TrainStep, before: int) -> None:
    if step.traces - before > 1:
        raise AssertionError(f"the training step was compiled {step.traces - before} times in one run; once is right")
