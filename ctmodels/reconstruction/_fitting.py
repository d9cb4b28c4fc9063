"""Fitting one candidate: an ensemble over seeds, by shooting from smoothed states or from free starts."""

import dataclasses

import equinox as eqx
import jax

from ctmodels._core._series import Series
from ctmodels.reconstruction._candidates import Candidate, Problem
from ctmodels.reconstruction._free_starts import fit_from_free_starts
from ctmodels.reconstruction._recipe import Recipe
from ctmodels.reconstruction._smoothed_starts import fit_from_smoothed_starts
from ctmodels.reconstruction._trained import Trained


def train(
    candidate: Candidate, problem: Problem, series: Series, control: Series | None, recipe: Recipe, seed: int, **run
) -> Trained:
    """Fit an ensemble of one candidate to the scaled training series. `run`: of `fit`: folder, resume, progress."""
    keys = jax.random.split(jax.random.key(seed), recipe.members)
    model = eqx.filter_vmap(lambda key: candidate.build(problem, key))(keys)
    shoot = fit_from_free_starts if recipe.free_starts else fit_from_smoothed_starts
    about = {"candidate": candidate.name, "problem": problem.to_dict(), "recipe": dataclasses.asdict(recipe)}
    trained = shoot(candidate, model, series, control, recipe, seed, about=about, **run)
    if trained.stopped == "interrupted" and run.get("folder") is not None:
        raise KeyboardInterrupt(f"training is saved in {run['folder']}; resume goes on with it")
    return trained
