"""The training step: (state, batch) -> (state, metrics), compiled once."""

import inspect
from collections.abc import Callable

import diffrax
import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jax.sharding import Mesh
from jaxtyping import Array, Int, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before, check_called, check_key
from ctmodels._core._words import kind_of
from ctmodels.train._nonfinite import Faults, failed_solve, square
from ctmodels.train._parallel import (
    in_shards,
    is_on,
    one_axis,
    replicated,
    shard_batch,
    stay_replicated,
    to_default_device,
)


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

    def __init__(
        self,
        objective: Callable,
        optimiser: optax.GradientTransformation | optax.MultiSteps,
        trainable,
        ensemble: bool,
        mesh: Mesh | None,
        compiler_options: dict | None,
    ):
        self.objective = objective
        self.optimiser = optimiser
        self._update = _with_extras(optimiser)
        self.trainable = trainable
        self.ensemble = ensemble
        self.mesh = None if mesh is None else one_axis(mesh, objective)
        self.places: tuple[str, ...] = ()  # names of what is watched for faults, known once it is traced
        # Counts how often JAX traces the step; a whole run must trace it once.
        self._counted = eqx.debug.assert_max_traces(self.advance, max_traces=None)
        over = eqx.filter_vmap(self._counted, in_axes=eqx.if_array(0)) if ensemble else self._counted
        options = {} if compiler_options is None else {"compiler_options": compiler_options}
        self._jitted = eqx.filter_jit(self._constrained(over), donate="all-except-first", **options)

    @property
    def traces(self) -> int:
        """How often the step was traced, and so compiled."""
        return eqx.debug.get_num_traces(self._counted)

    @before(lambda key, **_: check_key(key, needed=True))
    def init(self, model: PyTree, *, key: PRNGKeyArray) -> State:
        """A fresh state. With `ensemble`, every array of the model has a leading axis of members."""
        # Copied, since the step will reuse the buffers and the caller may want the model again.
        model, key = jax.tree.map(lambda x: jnp.array(x) if eqx.is_array(x) else x, (model, key))
        state = self._members(model, key) if self.ensemble else self.fresh(model, key)
        return state if self.mesh is None else replicated(state, self.mesh)

    def __call__(self, state: State, batch: PyTree) -> tuple[State, dict]:
        if self.mesh is not None:
            batch = shard_batch(batch, self.mesh, int(self.ensemble))
            if not is_on(state.step, self.mesh):  # one that was read from a file
                state = replicated(state, self.mesh)
        return self._jitted(batch, state)

    def local(self, tree: PyTree) -> PyTree:
        """Of a mesh, a copy on one device of this process; else the tree itself."""
        return tree if self.mesh is None else to_default_device(tree)

    def split(self, model: PyTree) -> tuple[PyTree, PyTree]:
        """The part that is trained, and the rest."""
        spec = self.trainable(model) if callable(self.trainable) else self.trainable
        spec = jax.tree.map(lambda train, leaf: bool(train) and eqx.is_inexact_array(leaf), spec, model)
        return eqx.partition(model, spec)

    def _members(self, model, key) -> State:
        members = jax.tree.leaves(eqx.filter(model, eqx.is_array))[0].shape[0]
        return eqx.filter_vmap(self.fresh)(model, jax.random.split(key, members))

    def _constrained(self, advance: Callable) -> Callable:
        mesh = self.mesh
        return advance if mesh is None else lambda batch, state: stay_replicated(advance(batch, state), mesh)

    def fresh(self, model, key) -> State:
        """The state before the first step of one model."""
        trained, _ = self.split(model)
        # Copied: an optimiser may keep the parameters, or one array of zeros twice, and buffers are reused one by one.
        opt_state = jax.tree.map(lambda x: jnp.array(x) if eqx.is_array(x) else x, self.optimiser.init(trained))
        return State(model, opt_state, jnp.zeros((), jnp.int32), key, Faults.none(trained))

    def advance(self, batch, state: State) -> tuple[State, dict]:
        """One step of one model, not compiled: what a call is within."""
        trained, rest = self.split(state.model)
        key = jax.random.fold_in(state.key, state.step)
        of_batch = self._of_batch(rest, batch, key, state.step)
        (value, metrics), grads = of_batch(trained)
        with jax.numpy_dtype_promotion("standard"):  # optax mixes types; our users may be strict
            more = {"value": value, "grad": grads, "value_fn": _differentiable(of_batch)}
            updates, opt_state = self._update(grads, state.opt_state, trained, more)
            norm = jnp.sqrt(sum(square(leaf) for leaf in jax.tree.leaves(grads)))
        self.places, faults = state.faults.look(batch, value, grads, updates, failed_solve(metrics, state.step))
        # A step that is not finite changes nothing but the count, and the randomness of the next.
        new, old = (eqx.apply_updates(trained, updates), opt_state), (trained, state.opt_state)
        moved, opt_state = jax.lax.cond(faults.streak == 0, lambda new, old: new, lambda new, old: old, new, old)
        metrics = {**metrics, "grad_norm": norm, "skipped": faults.skipped}
        return State(eqx.combine(moved, rest), opt_state, state.step + 1, state.key, faults), metrics

    def _of_batch(self, *given) -> Callable:
        """trained -> ((value, metrics), gradient) of a batch, on whatever devices share it."""
        mesh = self.mesh
        if mesh is None:
            return lambda trained: self._gradient(trained, *given)
        return lambda trained: in_shards(self._gradient, mesh, trained, *given)

    def _gradient(self, trained, rest, batch, key, step, **shard) -> tuple:
        """((value, metrics), gradient) of a batch; with `axis=...`, a shard's parts of value and gradient."""

        def loss(trained):
            return self.objective(eqx.combine(trained, rest), batch, key, step, **shard)

        return eqx.filter_value_and_grad(loss, has_aux=True)(trained)


def _check_step(objective, optimiser, compiler_options=None, **_) -> None:
    check_called("objective", objective, "(model, batch, key, step) -> (scalar, metrics)", _OBJECTIVE)
    if not (callable(getattr(optimiser, "init", None)) and callable(getattr(optimiser, "update", None))):
        remedy = "call it: optax.adam(1e-3)" if callable(optimiser) else "give one of optax: optax.adam(1e-3)"
        raise TypeError(f"optimiser: {kind_of(optimiser)} has no `init` and `update`; {remedy}")
    if not isinstance(compiler_options, dict | None):
        wanted = 'a dictionary of XLA\'s options is wanted, as {"xla_backend_optimization_level": 0}'
        raise TypeError(f"compiler_options: {kind_of(compiler_options)}, where {wanted}")


_OBJECTIVE = "give ct.objective(ct.losses.squared), or a function of your own"


def _differentiable(of_batch: Callable) -> Callable:
    """The value of a batch as a function of what is trained, which a line search evaluates and differentiates, forward
    or in reverse: either way by the gradient that training uses, as solves have no other on every engine and mesh."""

    @jax.custom_jvp
    def value_fn(trained):
        return of_batch(trained)[0][0]

    @value_fn.defjvp
    def _(primals, tangents):
        (value, _), grads = of_batch(*primals)
        pairs = zip(jax.tree.leaves(grads), jax.tree.leaves(*tangents), strict=True)
        return value, sum((jnp.sum(jnp.real(g * t)) for g, t in pairs), start=jnp.zeros_like(value))

    return value_fn


def _with_extras(optimiser) -> Callable:
    """`update(grads, state, params, extras)`, the extras given to an optimiser that takes any. `optax.MultiSteps` does
    without being of the class that says so."""
    takes = isinstance(optimiser, optax.GradientTransformationExtraArgs) or any(
        p.kind is p.VAR_KEYWORD for p in inspect.signature(optimiser.update).parameters.values()
    )
    return lambda grads, state, params, extras: optimiser.update(grads, state, params, **(extras if takes else {}))


def _all_but_settings(model: PyTree) -> PyTree:
    """All floats, but those of a step size controller: a grid of steps and tolerances have no gradient, and a decay of
    weights would move them all the same."""

    def trained(node):
        if isinstance(node, diffrax.AbstractStepSizeController):
            return jax.tree.map(lambda _: False, node)
        return eqx.is_inexact_array(node)

    return jax.tree.map(trained, model, is_leaf=lambda node: isinstance(node, diffrax.AbstractStepSizeController))


@before(_check_step)
def make_step(
    objective: Callable,
    optimiser: optax.GradientTransformation | optax.MultiSteps,
    *,
    trainable: Callable[[PyTree], PyTree] | PyTree = _all_but_settings,
    ensemble: bool = False,
    mesh: Mesh | None = None,
    compiler_options: dict[str, bool | int | float | str] | None = None,
) -> TrainStep:
    """A compiled step that minimises `objective`.

    **Arguments:**

    - `objective`: (model, batch, key, step) -> (scalar, metrics), from [`ctmodels.objective`][] or your own.
    - `optimiser`: any of optax: clipping, schedules, accumulation are chained there. Those that want them are given
      `value`, `grad` and `value_fn` of the batch: `optax.lbfgs`, `optax.polyak_sgd`,
      `optax.contrib.reduce_on_plateau`. Each evaluation of a line search costs a solve of the batch and its gradient;
      such methods suppose that the loss is one function, so give them all data as each batch.
    - `trainable`: a tree of booleans shaped as the model, or a function that makes it; default: all floats but those of
        a step size controller, as a `diffrax.StepTo`.
    - `ensemble`: the model's arrays have a leading axis of members, trained side by side, and so have a batch's: each
      member has batches, optimiser state and randomness of its own. What members share does not average out.
    - `mesh`: devices that share each batch, as a mesh of one axis: `jax.make_mesh((len(jax.devices()),), ("data",))`.
      Their number must divide the batch size. Each solves its samples in a loop of its own, and the step is that of
      one device but for rounding. Model and optimiser state are on every device. Batches are given whole, and the same
      ones to each process if there are several, or lie on the mesh already. An objective of your own needs `axis`, as
      [`ctmodels.objective`][] says.
    - `compiler_options`: of XLA, for this step alone, by name: as `{"xla_backend_optimization_level": 0}` for drafts,
      which are compiled sooner and run slower. XLA refuses a name that it does not know.

    **Returns:** `step` with `state = step.init(model, key=key)` and `state, metrics = step(state, batch)`.
    The randomness of step n is `fold_in(state.key, n)`: a restart repeats itself. A step whose loss, gradient or update
    is not finite leaves model and optimiser as they were and is counted, in `metrics["skipped"]`.
    """
    return TrainStep(objective, optimiser, trainable, ensemble, mesh, compiler_options)
