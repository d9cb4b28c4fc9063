"""Shooting from free starts: those of the windows are parameters."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from ctmodels._core._model import AbstractDynamics
from ctmodels._core._series import Example
from ctmodels.reconstruction._candidate import Candidate
from ctmodels.reconstruction._ensemble import over_members
from ctmodels.reconstruction._joined import Joined
from ctmodels.reconstruction._recipe import Recipe
from ctmodels.reconstruction._trained import Trained
from ctmodels.reconstruction._training_step import check_traces, lifted, structure_of, training_step
from ctmodels.train import FitResult, fit
from ctmodels.trajectories._shooting import Shooting, Windows
from ctmodels.trajectories._smoothing import Noise


class LinkedWindows(eqx.Module):
    """Windows of trials that share their edges with the next one's; `last`: which are a trial's last."""

    windows: Windows
    last: Bool[Array, " window"]

    @classmethod
    def of(cls, trials: Joined, length: int) -> "LinkedWindows":
        """Those that cover trials of a whole number of windows."""
        at = np.concatenate([np.arange(rows.start, rows.stop - 1, length - 1) for rows in trials.slices()])
        windows = Windows(trials.series, length, stride=length - 1, control=trials.filled_control())
        windows = eqx.tree_at(lambda w: w.at, windows, jnp.asarray(at, windows.at.dtype))
        return cls(windows, jnp.asarray(at + length == trials.ends(at)))

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: Int[Array, "*batch"]) -> Example:
        return eqx.tree_at(lambda example: example.x.last, self.windows[index], self.last[index])


def fit_from_free_starts(
    candidate: Candidate,
    model: AbstractDynamics,
    trials: Joined,
    recipe: Recipe,
    seed: int,
    **run,
) -> Trained:
    """Windows start from parameters of their own, held together by a continuity penalty within each trial."""
    window = trials.longest if candidate.whole_series else min(recipe.window, trials.longest)
    counts = -(-(trials.lengths - 1) // (window - 1))
    # Padded with unobserved samples, so that windows that share their edges cover the whole of each trial.
    padded = trials.padded(counts * (window - 1) + 1)
    data = LinkedWindows.of(padded, window)
    starts = lifted(model, padded.filled()[data.windows.at])
    step = training_step(recipe, window, structure_of((model, padded)), noise=candidate.draws == 1)
    before = step.traces
    result = fit(
        step,
        step.init(Shooting(model, starts), key=jax.random.key(seed)),
        data,
        steps=recipe.steps,
        batch_size=len(data),
        seed=seed,
        every=max(1, recipe.steps // 40),
        name=candidate.name,
        **run,
    )
    check_traces(step, before)
    return _trained(result, data, trials.series.ts.shape[0])


def _trained(result: FitResult, data: LinkedWindows, samples: int) -> Trained:
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
