"""Shooting from smoothed states: windows start where a smoother has them, under the field learned so far."""

import functools
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from ctmodels import losses
from ctmodels._core._model import AbstractDynamics
from ctmodels._core._series import Example
from ctmodels.reconstruction._candidate import Candidate
from ctmodels.reconstruction._draws import Known
from ctmodels.reconstruction._ensemble import over_members
from ctmodels.reconstruction._joined import Joined
from ctmodels.reconstruction._recipe import Recipe
from ctmodels.reconstruction._trained import Trained, flow_of, smooth_each, smooth_with, tune_each
from ctmodels.reconstruction._training_step import check_traces, lifted, structure_of, training_step, without_key
from ctmodels.train import fit, pooled
from ctmodels.trajectories._shooting import Windows
from ctmodels.trajectories._smoothing import Noise, constant_velocity

PAUSE = 4.0  # a window that lasts this many times as long as the median one has a pause in it
TUNED_ON = 1500  # samples of the stretch on which the filter's noise is estimated


class MemberStarts(eqx.Module):
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


def fit_from_smoothed_starts(
    candidate: Candidate,
    model: AbstractDynamics,
    trials: Joined,
    recipe: Recipe,
    seed: int,
    **run,
) -> Trained:
    """Windows start from smoothed states; first from a smoother that knows no law, then from one that uses the
    field learned so far. None reaches from one trial into the next."""
    note = functools.partial(_note, candidate.name, run.get("progress", True))
    start, observation = _smoothed_without_law(trials)
    starts = lifted(model, *jnp.split(start, 2, axis=1))
    length, cut = validation_part(trials, recipe.window)
    windows = windows_within(trials, recipe.window, stop=cut, starts=starts[0])
    if short := int(np.sum(trials.lengths < recipe.window)):
        note(f"{short} of {len(trials.lengths)} trials are shorter than a window of {recipe.window} and give none")
    kept = without_pauses(windows)
    if len(kept) < len(windows):
        note(f"{len(windows) - len(kept)} of {len(windows)} windows have a long pause in them and are not trained on")
    data = MemberStarts(kept, starts)
    step = training_step(recipe, recipe.window, structure_of((model, trials)), candidate.draws == 1, candidate.forcing)
    noise = Noise(jnp.full(model.size, recipe.process_noise, starts.dtype), observation)

    def refresh(model, data):
        own = _smoothed_means(model, trials, noise)
        # A member that went astray goes on from where the others would start.
        others = jnp.nanmedian(own, axis=0, keepdims=True)
        return MemberStarts(data.windows, jnp.where(jnp.isfinite(own), own, others))

    before = step.traces
    result = fit(
        step,
        step.init(model, key=jax.random.key(seed)),
        data,
        steps=recipe.steps,
        batch_size=recipe.batch_size,
        seed=seed,
        validate=_validation(trials, length, cut),
        # Each refresh moves the starts, so that a lucky set of them would choose an early model.
        keep="last",
        every=max(1, recipe.steps // 40),
        refresh=refresh,
        refresh_every=max(1, recipe.steps // (recipe.refreshes + 1)),
        name=candidate.name,
        **run,
    )
    check_traces(step, before)
    (means, covs), noise, converged = filtered_with_tuned_noise(result.model, trials, noise)
    if not converged.all():
        note("the likeliest noise of the data was not found; how far a forecast's start is known is uncertain")
    end = means[:, -1], covs[:, -1]
    return Trained(result.model, end, noise, result.history, result.stopped, cut)


def _note(name: str, progress: bool, text: str) -> None:
    if progress:
        print(f"{name}: {text}", file=sys.stderr)


def validation_part(trials: Joined, window: int) -> tuple[int, int]:
    """How long the windows are by which a fit is watched, and the row from which on they begin: near the end of the
    last trial, where nothing is trained on unless nothing else is left to train on."""
    samples, length = trials.series.ts.shape[0], min(2 * window, int(trials.lengths[-1]))
    cut = samples - max(samples // 20, length)
    return length, cut if np.any(trials[:cut].lengths >= window) else samples


def windows_within(trials: Joined, length: int, *, stop: int, starts) -> Windows:
    """All windows that lie before a row, each within one trial."""
    windows = Windows(trials.series, length, stop=stop, starts=starts, control=trials.filled_control())
    at = np.asarray(windows.at)
    return eqx.tree_at(lambda w: w.at, windows, windows.at[at + length <= trials.ends(at)])


def without_pauses(windows: Windows) -> Windows:
    """Those that last no longer than usual: of a batch, all wait for the one that has a pause to be followed over."""
    ts, at = np.asarray(windows.series.ts), np.asarray(windows.at)
    spans = ts[at + windows.length - 1] - ts[at]
    return eqx.tree_at(lambda w: w.at, windows, windows.at[spans <= PAUSE * np.median(spans)])


def _smoothed_without_law(trials: Joined):
    """Means `(row, 2 channel)`, and the noise of the observations."""
    ys = trials.series.ys
    channels = ys.shape[1]
    first = Noise(jnp.repeat(jnp.asarray([1e-4, 1.0], ys.dtype), channels), jnp.full(channels, 1e-2, ys.dtype))
    return _tuned_constant_velocity(trials, first)


@eqx.filter_jit
def _tuned_constant_velocity(trials: Joined, first: Noise):
    flow = lambda control: constant_velocity
    smoothed = smooth_each(flow, trials, tune_each(flow, trials[:TUNED_ON], first)[0])
    return trials.rows(smoothed.mean), smoothed.noise.observation


@eqx.filter_jit
def _smoothed_means(model, trials: Joined, noise: Noise):
    return over_members(lambda model: trials.rows(smooth_with(model, trials, noise).mean))(model)


@eqx.filter_jit
def filtered_with_tuned_noise(model, trials: Joined, first: Noise) -> tuple[Known, Noise, Bool[Array, " n"]]:
    """The filter with the noise under which the data are likeliest: what a forecast's start needs. And of each
    member, whether that noise was found."""

    def run(model):
        noise, converged = tune_each(functools.partial(flow_of, model), trials[:TUNED_ON], first, model.observe)
        smoothed = smooth_with(model, trials, noise)
        return (trials.rows(smoothed.filtered), trials.rows(smoothed.filtered_cov)), noise, converged

    return over_members(run)(model)


def _validation(trials: Joined, length: int, cut: int):
    """Squared error over longer windows near the end of what is trained on, from the current starts."""
    last = trials.series.ts.shape[0] - length
    index = np.unique(np.linspace(min(cut, last), last, 200).astype(int))
    index = jnp.asarray(index[index + length <= trials.ends(index)])
    return lambda model, data: _error_of_windows(model, data.starts, trials, length, index)


@eqx.filter_jit
def _error_of_windows(model, starts, trials: Joined, length: int, index):
    loss = pooled(without_key(losses.squared))

    def one(model, starts):
        windows = Windows(trials.series, length, starts=starts, control=trials.filled_control())
        return loss(model, windows[index], jax.random.key(0))[0]

    return eqx.filter_vmap(one)(model, starts)
