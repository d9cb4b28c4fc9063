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
from ctmodels._core._series import Example, Series
from ctmodels.reconstruction._candidates import Candidate
from ctmodels.reconstruction._ensemble import over_members
from ctmodels.reconstruction._recipe import Recipe
from ctmodels.reconstruction._trained import Trained, flow_of, smooth_with
from ctmodels.reconstruction._training_step import check_traces, lifted, structure_of, training_step, without_key
from ctmodels.train import fit, pooled
from ctmodels.trajectories._noise import tune_noise
from ctmodels.trajectories._shooting import Windows
from ctmodels.trajectories._smoothing import Noise, Smoothed, constant_velocity, smooth

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
    series: Series,
    control: Series | None,
    recipe: Recipe,
    seed: int,
    **run,
) -> Trained:
    """Windows start from smoothed states; first from a smoother that knows no law, then from one that uses the
    field learned so far."""
    note = functools.partial(_note, candidate.name, run.get("progress", True))
    start = _smoothed_without_law(series)
    starts = lifted(model, *jnp.split(start.mean, 2, axis=1))
    samples = series.ts.shape[0]
    cut = samples - max(samples // 20, 2 * recipe.window)
    windows = Windows(series, recipe.window, stop=cut, starts=starts[0], control=control)
    kept = without_pauses(windows)
    if len(kept) < len(windows):
        note(f"{len(windows) - len(kept)} of {len(windows)} windows have a long pause in them and are not trained on")
    data = MemberStarts(kept, starts)
    step = training_step(recipe, recipe.window, structure_of((model, series, control)), noise=candidate.draws == 1)
    noise = Noise(jnp.full(model.size, recipe.process_noise, starts.dtype), start.noise.observation)

    def refresh(model, data):
        own = _smoothed_means(model, series, control, noise)
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
        validate=_validation(series, control, 2 * recipe.window, cut),
        # Each refresh moves the starts, so that a lucky set of them would choose an early model.
        keep="last",
        every=max(1, recipe.steps // 40),
        refresh=refresh,
        refresh_every=max(1, recipe.steps // (recipe.refreshes + 1)),
        name=candidate.name,
        **run,
    )
    check_traces(step, before)
    smoothed, noise, converged = _smoothed_with_tuned_noise(result.model, series, control, noise)
    if not converged.all():
        note("the likeliest noise of the data was not found; how far a forecast's start is known is uncertain")
    end = smoothed.filtered[:, -1], smoothed.filtered_cov[:, -1]
    return Trained(result.model, end, noise, result.history, result.stopped, cut)


def _note(name: str, progress: bool, text: str) -> None:
    if progress:
        print(f"{name}: {text}", file=sys.stderr)


def without_pauses(windows: Windows) -> Windows:
    """Those that last no longer than usual: of a batch, all wait for the one that has a pause to be followed over."""
    ts, at = np.asarray(windows.series.ts), np.asarray(windows.at)
    spans = ts[at + windows.length - 1] - ts[at]
    return eqx.tree_at(lambda w: w.at, windows, windows.at[spans <= PAUSE * np.median(spans)])


def _smoothed_without_law(series: Series) -> Smoothed:
    channels = series.ys.shape[1]
    dtype = series.ys.dtype
    first = Noise(jnp.repeat(jnp.asarray([1e-4, 1.0], dtype), channels), jnp.full(channels, 1e-2, dtype))
    return _tuned_constant_velocity(series, first)


@eqx.filter_jit
def _tuned_constant_velocity(series: Series, first: Noise) -> Smoothed:
    return smooth(constant_velocity, series, tune_noise(constant_velocity, series[:TUNED_ON], first)[0])


@eqx.filter_jit
def _smoothed_means(model, series: Series, control: Series | None, noise: Noise):
    return over_members(lambda model: smooth_with(model, series, control, noise).mean)(model)


@eqx.filter_jit
def _smoothed_with_tuned_noise(
    model, series: Series, control: Series | None, first: Noise
) -> tuple[Smoothed, Noise, Bool[Array, " n"]]:
    """The smoother with the noise under which the data are likeliest: what a forecast's start needs. And of each
    member, whether that noise was found."""

    def run(model):
        noise, converged = tune_noise(flow_of(model, control), series[:TUNED_ON], first, observe=model.observe)
        return smooth_with(model, series, control, noise), noise, converged

    return over_members(run)(model)


def _validation(series: Series, control: Series | None, length: int, cut: int):
    """Squared error over longer windows that begin after `cut`, where training ended, from the current starts."""
    last = series.ts.shape[0] - length
    index = jnp.asarray(np.unique(np.linspace(cut, last, 200).astype(int)))
    return lambda model, data: _error_of_windows(model, data.starts, series, control, length, index)


@eqx.filter_jit
def _error_of_windows(model, starts, series: Series, control: Series | None, length: int, index):
    loss = pooled(without_key(losses.squared))

    def one(model, starts):
        batch = Windows(series, length, starts=starts, control=control)[index]
        return loss(model, batch, jax.random.key(0))[0]

    return eqx.filter_vmap(one)(model, starts)
