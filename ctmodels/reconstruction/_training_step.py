"""The training step that both ways of shooting take, and what they begin from."""

import functools
from collections.abc import Callable

import equinox as eqx
import jax
import optax
from jaxtyping import Array, Float, PyTree

from ctmodels import losses
from ctmodels._core._model import AbstractDynamics
from ctmodels.reconstruction._ensemble import over_members
from ctmodels.reconstruction._recipe import Recipe
from ctmodels.train import make_step, objective
from ctmodels.train._step import TrainStep
from ctmodels.trajectories._shooting import growing_horizon


@functools.lru_cache(maxsize=8)
def training_step(
    recipe: Recipe, window: int, structure: tuple, noise: bool, forcing: float | None = None
) -> TrainStep:
    """One step for all runs of one recipe, model structure and window: what one series compiled, the next one of its
    length uses. *Performance.* Without `noise` no model is given a key."""
    schedule = optax.cosine_decay_schedule(recipe.learning_rate, recipe.steps, alpha=0.01)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    if recipe.free_starts:
        loss, horizon = losses.shooting(recipe.continuity), (2.0, float(window), recipe.steps // 2)
    else:
        loss, horizon = losses.squared, (recipe.window / 4, recipe.window, recipe.steps // 4)
    loss = loss if forcing is None else losses.teacher_forcing(forcing)
    loss = loss if noise else without_key(loss)
    transform = growing_horizon(optax.linear_schedule(*horizon))
    return make_step(objective(loss, transform=transform), optimiser, ensemble=True)


def without_key(loss: Callable) -> Callable:
    """The same of the path without noise: a squared error of one with noise would be least where there is none."""
    return lambda model, example, key: loss(model, example, None)


def structure_of(tree: PyTree) -> tuple:
    """What two trees must share to run in one program."""
    leaves, treedef = jax.tree.flatten(eqx.filter(tree, eqx.is_array))
    return treedef, tuple((leaf.shape, str(leaf.dtype)) for leaf in leaves)


@eqx.filter_jit
def lifted(model: AbstractDynamics, *observed: Float[Array, "time channel"]) -> Float[Array, "member time state"]:
    """Of each member, the states that are observed so, and move so."""
    return over_members(lambda model: jax.vmap(model.lift)(*observed))(model)


def check_traces(step: TrainStep, before: int) -> None:
    """One run compiles its step once."""
    if step.traces - before > 1:
        raise AssertionError(f"the training step was compiled {step.traces - before} times in one run; once is right")
