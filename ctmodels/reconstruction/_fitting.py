"""Fitting one candidate: an ensemble over seeds, by shooting from smoothed states or from free starts; then on draws,
where a model has noise of its own."""

import contextlib
import dataclasses
import warnings
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array

from ctmodels.reconstruction._candidate import Candidate, Problem, with_delays
from ctmodels.reconstruction._delays import of_delays
from ctmodels.reconstruction._drawn_starts import fit_from_drawn_starts
from ctmodels.reconstruction._evaluation import filter_all
from ctmodels.reconstruction._free_starts import fit_from_free_starts
from ctmodels.reconstruction._joined import Joined
from ctmodels.reconstruction._recipe import SHORT, Recipe
from ctmodels.reconstruction._smoothed_starts import filtered_with_tuned_noise, fit_from_smoothed_starts
from ctmodels.reconstruction._trained import Trained
from ctmodels.trajectories._smoothing import Noise

PROCESS = 1e-4  # variances from which the noise is tuned: a law, if it holds, needs little of its own


def train(candidate: Candidate, problem: Problem, trials: Joined, recipe: Recipe, seed: int, **run) -> Trained:
    """Fit an ensemble of one candidate to the scaled trials to train on, of which one series is one. `run`: of `fit`:
    folder, resume, progress."""
    if problem.embedding is not None and not candidate.remembers:
        return _of_delays(candidate, problem, trials, recipe, seed, **run)
    if candidate.fit is not None:
        return _solved(candidate, problem, trials, recipe, seed)
    keys = jax.random.split(jax.random.key(seed), recipe.members)
    model = eqx.filter_vmap(lambda key: candidate.build(problem, key))(keys)
    if candidate.whole_series and trials.longest < SHORT:  # a law is fitted to all of each trial at once
        recipe = dataclasses.replace(recipe, free_starts=True)
    shoot = fit_from_free_starts if recipe.free_starts else fit_from_smoothed_starts
    about = {"candidate": candidate.name, "problem": problem.to_dict(), "recipe": dataclasses.asdict(recipe)}
    folder = run.get("folder")
    if candidate.draws == 1:
        return _whole(shoot(candidate, model, trials, recipe, seed, about=about, **run), folder)
    with _no_gradient_of_noise():
        shot = _whole(shoot(candidate, model, trials, recipe, seed, about=about, **run), folder)
    run = {**run, "folder": folder and folder / "draws"}
    return _whole(fit_from_drawn_starts(candidate, shot, trials, recipe, seed, about=about, **run), folder)


def _solved(candidate: Candidate, problem: Problem, trials: Joined, recipe: Recipe, seed: int) -> Trained:
    """Fitted in its own way; then the noise that a filter under it needs, as after training."""
    pairs = [(one.series, one.control) for one in map(trials.__getitem__, trials.slices())]
    found = candidate.fit(problem, pairs, recipe.members, seed)  # pyright: ignore
    model, observation = found.model, found.observation
    more: dict[str, Any] = dict(
        draws=candidate.draws, parameters=found.parameters, settings=found.settings, formula=found.formula
    )
    if candidate.listens:
        return _listening(model, observation, trials)._replace(**more)
    first = Noise(jnp.full(model.size, PROCESS, observation.dtype), jnp.maximum(observation, PROCESS))
    (means, covs), noise, _ = filtered_with_tuned_noise(model, trials, first)
    end, samples = (means[:, -1], covs[:, -1]), trials.series.ts.shape[0]
    return Trained(model, end, noise, [], "finished", samples, **more)


def _of_delays(candidate: Candidate, problem: Problem, trials: Joined, recipe: Recipe, seed: int, **run) -> Trained:
    """Fitted to delay vectors, all of which it then sees; observed, and filtered, as the data are."""
    vectors = of_delays(trials, *problem.embedding)  # pyright: ignore
    inner = train(candidate, problem.of_delays(), vectors, recipe, seed, **run)
    model, seen = with_delays(inner.model, problem), inner.noise.observation[:, : problem.channels]
    if inner.listens:
        found = _listening(model, seen[0], trials)
        return inner._replace(model=model, end=found.end, noise=found.noise, samples=found.samples)
    mean = lambda a: jnp.mean(a, axis=0)
    (means, covs), noise, _ = filtered_with_tuned_noise(model, trials, Noise(mean(inner.noise.process), mean(seen)))
    samples = trials.series.ts.shape[0] - (vectors.series.ts.shape[0] - inner.samples)
    return inner._replace(model=model, end=(means[:, -1], covs[:, -1]), noise=noise, samples=samples)


def _listening(model, observation: Array, trials: Joined) -> Trained:
    """What has no filter: its state is what it heard, and its noise what it errs by from row to row."""
    members = jax.tree.leaves(eqx.filter(model, eqx.is_array))[0].shape[0]
    noise = Noise(jnp.zeros((members, model.size)), jnp.tile(observation, (members, 1)))
    blank = jnp.zeros((members, model.size)), jnp.zeros((members, 0, 0))
    trained = Trained(model, blank, noise, [], "finished", trials.series.ts.shape[0], listens=True)
    means, covs = filter_all(trained, trials)
    return trained._replace(end=(means[:, -1], covs[:, -1]))


def _whole(trained: Trained, folder: Path | None) -> Trained:
    if trained.stopped == "interrupted" and folder is not None:
        raise KeyboardInterrupt(f"training is saved in {folder}; resume goes on with it")
    return trained


@contextlib.contextmanager
def _no_gradient_of_noise():
    """Shooting solves without noise: that no gradient reaches it is as it should be."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*no gradient reached", category=RuntimeWarning)
        yield
