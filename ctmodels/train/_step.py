"""The training step: (state, batch) -> (state, metrics), compiled once."""

from collections.abc import Callable

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from ctmodels.train._faults import Faults


class State(eqx.Module):
    """All that training carries from step to step, and all that a checkpoint needs to hold of it."""

    model: PyTree
    opt_state: PyTree
    step: Int[Array, "*ensemble"]
    key: PRNGKeyArray
    faults: Faults


class TrainStep:
    """What [`ctmodels.make_step`][] returns: `init` makes a `State`, a call advances it.

    The state given to a call is consumed: its buffers are reused.
    """

    def __init__(self, objective: Callable, optimiser: optax.GradientTransformation, trainable, ensemble: bool):
        self.objective = objective
        self.optimiser = optimiser
        self.trainable = trainable
        self.ensemble = ensemble
        self.places: tuple[str, ...] = ()  # names of what is watched for faults, known once it is traced
        # Counts how often JAX traces the step; a whole run must trace it once.
        self._counted = eqx.debug.assert_max_traces(self._advance, max_traces=None)
        over = eqx.filter_vmap(self._counted, in_axes=eqx.if_array(0)) if ensemble else self._counted
        self._jitted = eqx.filter_jit(over, donate="all-except-first")

    @property
    def traces(self) -> int:
        """How often the step was traced, and so compiled."""
        return eqx.debug.get_num_traces(self._counted)

    def init(self, model: PyTree, *, key: PRNGKeyArray) -> State:
        """A fresh state. With `ensemble`, every array of the model has a leading axis of members."""
        # Copied, since the step will reuse the buffers and the caller may want the model again.
        model = jax.tree.map(lambda x: jnp.array(x) if eqx.is_array(x) else x, model)
        if not self.ensemble:
            return self._fresh(model, key)
        members = jax.tree.leaves(eqx.filter(model, eqx.is_array))[0].shape[0]
        return eqx.filter_vmap(self._fresh)(model, jax.random.split(key, members))

    def __call__(self, state: State, batch: PyTree) -> tuple[State, dict]:
        return self._jitted(batch, state)

    def split(self, model: PyTree) -> tuple[PyTree, PyTree]:
        """The part that is trained, and the rest."""
        spec = self.trainable(model) if callable(self.trainable) else self.trainable
        spec = jax.tree.map(lambda train, leaf: bool(train) and eqx.is_inexact_array(leaf), spec, model)
        return eqx.partition(model, spec)

    def _fresh(self, model, key) -> State:
        trained, _ = self.split(model)
        return State(model, self.optimiser.init(trained), jnp.zeros((), jnp.int32), key, Faults.none(trained))

    def _advance(self, batch, state: State) -> tuple[State, dict]:
        trained, rest = self.split(state.model)
        key = jax.random.fold_in(state.key, state.step)

        def loss(trained):
            return self.objective(eqx.combine(trained, rest), batch, key, state.step)

        (value, metrics), grads = eqx.filter_value_and_grad(loss, has_aux=True)(trained)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes types; our users may be strict
            updates, opt_state = self.optimiser.update(grads, state.opt_state, trained)
        self.places, faults = state.faults.look(batch, value, grads, updates)
        # A step that is not finite changes nothing but the count, and the randomness of the next.
        kept = [eqx.apply_updates(trained, updates), opt_state], [trained, state.opt_state]
        moved, opt_state = jax.tree.map(lambda new, old: jnp.where(faults.row == 0, new, old), *kept)
        metrics = {**metrics, "grad_norm": optax.tree.norm(grads), "skipped": faults.skipped}
        return State(eqx.combine(moved, rest), opt_state, state.step + 1, state.key, faults), metrics


def _all_inexact(model: PyTree) -> PyTree:
    return jax.tree.map(eqx.is_inexact_array, model)


def make_step(
    objective: Callable,
    optimiser: optax.GradientTransformation,
    *,
    trainable: Callable[[PyTree], PyTree] | PyTree = _all_inexact,
    ensemble: bool = False,
) -> TrainStep:
    """A compiled step that minimises `objective`.

    **Arguments:**

    - `objective`: (model, batch, key, step) -> (scalar, metrics), from [`ctmodels.objective`][] or your own.
    - `optimiser`: any of optax: clipping, schedules, accumulation are chained there.
    - `trainable`: a tree of booleans shaped as the model, or a function that makes it; default: all floats.
    - `ensemble`: the model's arrays have a leading axis of members, trained side by side, and so have a batch's: each
      member has batches, optimiser state and randomness of its own. What members share does not average out.

    **Returns:** `step` with `state = step.init(model, key=key)` and `state, metrics = step(state, batch)`.
    The randomness of step n is `fold_in(state.key, n)`: a restart repeats itself. A step whose loss, gradient or update
    is not finite leaves model and optimiser as they were and is counted, in `metrics["skipped"]`.
    """
    return TrainStep(objective, optimiser, trainable, ensemble)
