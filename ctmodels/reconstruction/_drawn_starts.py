"""Training on draws: from what the filter knows of a window's start, many paths, judged as a forecast is.

The drift is there already, by shooting; what a model scatters is learned here. Starts are filtered and not smoothed
ones: a smoothed state has seen what comes, and paths from it would scatter less than a forecast does.
"""

import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int, PyTree

from ctmodels import losses
from ctmodels._core._output import Output, Stats
from ctmodels._core._series import Example
from ctmodels.reconstruction._candidate import Candidate
from ctmodels.reconstruction._draws import Start, drawn_path
from ctmodels.reconstruction._evaluation import filter_all
from ctmodels.reconstruction._joined import Joined
from ctmodels.reconstruction._recipe import Recipe
from ctmodels.reconstruction._smoothed_starts import windows_within, without_pauses
from ctmodels.reconstruction._trained import Trained
from ctmodels.reconstruction._training_step import check_traces, structure_of
from ctmodels.train import FitResult, fit, make_step, objective
from ctmodels.train._step import TrainStep
from ctmodels.trajectories._shooting import Windows

DRAWS = 8  # paths of a window: the score is without bias in their number
SHARE = 4  # of the steps before, a fourth; of their windows in a batch as well
SLOWER = 0.1  # of the learning rate before: the drift is there already


class Believed(eqx.Module):
    """What a window's paths are drawn from: its start, its inputs, the deviation of the measurement."""

    start: Start
    control: PyTree
    noise: Float[Array, "*batch channel"]


class DrawnStarts(eqx.Module):
    """Windows of one series for an ensemble, whose starts each member's filter knows in its own way."""

    windows: Windows
    starts: Start
    noise: Float[Array, "member channel"]

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: Int[Array, "member batch"]) -> Example:
        def one(starts, noise, index):
            at = self.windows.at[index]
            found = eqx.tree_at(lambda w: w.starts, self.windows, starts.mean)[index]
            noise = jnp.broadcast_to(noise, (*index.shape, *noise.shape))
            return Example(Believed(Start(*(a[at] for a in starts)), found.x.control, noise), found.target)

        return jax.vmap(one)(self.starts, self.noise, index)


def crps_of_draws(draws: int):
    """A loss: the continuous ranked probability score of so many paths, with noise of the measurement."""

    def loss(model, example: Example, key) -> tuple[Float[Array, ""], Float[Array, ""], Output]:
        x, target = example.x, example.target

        def one(key) -> tuple[Float[Array, "time channel"], Output]:
            of_path, of_noise = jax.random.split(key)
            out = drawn_path(model, x.start, x.control, target.ts, of_path)
            return out.ys + x.noise[None] * jax.random.normal(of_noise, out.ys.shape, out.ys.dtype), out

        ys, out = jax.vmap(one)(jax.random.split(key, draws))
        weight = jnp.sum(target.mask, dtype=ys.dtype)
        return losses.crps(ys, target.ys, target.mask) * weight, weight, Output(ys[0], Stats.in_sequence(out.stats))

    return loss


def fit_from_drawn_starts(
    candidate: Candidate,
    trained: Trained,
    trials: Joined,
    recipe: Recipe,
    seed: int,
    **run,
) -> Trained:
    """Go on with an ensemble that was trained by shooting: drift and noise together, on draws. One whose training was
    interrupted stays as it is."""
    trained = trained._replace(draws=candidate.draws)
    if trained.stopped == "interrupted":
        return trained
    known = filter_all(trained, trials)
    starts = jax.vmap(jax.vmap(Start.of))(*map(_without_astray, known))
    windows = windows_within(trials, recipe.window, stop=trained.samples, starts=starts.mean[0])
    data = DrawnStarts(without_pauses(windows), starts, jnp.sqrt(trained.noise.observation))
    model = trained.model
    if candidate.with_noise is not None:
        model = eqx.filter_vmap(candidate.with_noise)(model, jnp.sqrt(trained.noise.process))
    step = _step(recipe, structure_of((model, trials)))
    before, steps = step.traces, _steps(recipe)
    result = fit(
        step,
        step.init(model, key=jax.random.key(seed)),
        data,
        steps=steps,
        batch_size=max(1, recipe.batch_size // SHARE),
        seed=seed,
        every=max(1, steps // 10),
        name=f"{candidate.name}, its noise",
        **run,
    )
    check_traces(step, before)
    trained = _gone_on(trained, result)
    means, covs = filter_all(trained, trials)
    return trained._replace(end=(means[:, -1], covs[:, -1]))


def _steps(recipe: Recipe) -> int:
    return max(1, recipe.steps // SHARE)


def _gone_on(trained: Trained, result: FitResult) -> Trained:
    """With the new model, and one history."""
    first = trained.history[-1]["step"] if trained.history else 0
    history = [*trained.history, *({**line, "step": first + line["step"]} for line in result.history)]
    stopped = result.stopped if trained.stopped == "finished" else trained.stopped
    return trained._replace(model=result.model, stopped=stopped, history=history)


def _without_astray(own: Float[Array, "member ..."]) -> Float[Array, "member ..."]:
    """A member that went astray begins where the others would."""
    return jnp.where(jnp.isfinite(own), own, jnp.nanmedian(own, axis=0, keepdims=True))


@functools.lru_cache(maxsize=8)
def _step(recipe: Recipe, structure: tuple) -> TrainStep:
    schedule = optax.cosine_decay_schedule(SLOWER * recipe.learning_rate, _steps(recipe), alpha=0.01)
    optimiser = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(schedule))
    return make_step(objective(crps_of_draws(DRAWS)), optimiser, ensemble=True)
