"""What an optimiser does to weights beside descending: it keeps a critic's slope bounded, and averages over steps.

Kidger, Foster, Li and Lyons, "Efficient and accurate gradients for neural SDEs" (2021); Yazıcı et al., "The unusual
effectiveness of averaging in GAN training" (2019).
"""

from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int, PyTree

from ctmodels._core._arguments import before, check_whole
from ctmodels._core._words import kind_of
from ctmodels.train._step import State


def clip_weights() -> optax.GradientTransformation:
    r"""Keep the weights of each `eqx.nn.Linear` within $\pm 1 / \text{outputs}$, and biases as they are: then the
    absolute values of a layer's outputs change, in sum, by no more than those of its inputs, and the slope of a network
    is at most one if that of its activation is: [`ctmodels.fields.lipswish`][], tanh.

    The last of a chain, as it turns updates into those that end within the bounds, and of the critic alone:

        optimiser = optax.partition(
            {"generator": optax.adam(2e-4), "critic": optax.chain(optax.adam(1e-3), ct.clip_weights())},
            ("generator", "critic"),
        )

    It is part of the step, and so holds whatever is read from a checkpoint, or skipped because it was not finite.

    **Returns:** a transformation of optax without a state, that needs the parameters.
    """

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("params: None, where clip_weights needs the parameters: update(updates, state, params)")
        return jax.tree.map(_within, params, updates, is_leaf=_is_linear), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def _is_linear(x) -> bool:
    return isinstance(x, eqx.nn.Linear)


def _within(params, updates):
    """Of a layer, the updates that end within the bounds; of anything else, what they are."""
    if not _is_linear(params) or params.weight is None:
        return updates
    most = 1 / params.weight.shape[-2]
    within = jnp.clip(params.weight + updates.weight, -most, most) - params.weight
    return eqx.tree_at(lambda layer: layer.weight, updates, within)


class AverageOfWeights(NamedTuple):
    """How many steps were taken, and the mean of the parameters since it began."""

    count: Int[Array, ""]
    mean: PyTree


def _check_begin(begin) -> None:
    check_whole("begin", begin, 0)


@before(_check_begin)
def average_weights(begin: int) -> optax.GradientTransformation:
    """Keep the mean of the parameters over all steps from `begin` on, beside training, which it does not touch: of two
    players that circle about a balance the mean is near it. The last of the outermost chain:

        optimiser = optax.chain(optimiser, ct.average_weights(begin=steps // 2))
        model = ct.averaged(ct.fit(step, state, data, ...).state)

    The mean is part of the optimiser's state, and so of checkpoints. Steps that were skipped do not count.

    **Arguments:** `begin`: the number of steps after which the mean begins; before, it is the newest parameters.

    **Returns:** a transformation of optax that needs the parameters.

    !!! example "Good values"

        `begin` at half of all steps.
    """

    def init(params):
        return AverageOfWeights(jnp.zeros((), jnp.int32), params)

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("params: None, where average_weights needs the parameters: update(updates, state, params)")
        number = jnp.maximum(state.count + 1 - begin, 1)
        follow = lambda mean, new: mean + (new - mean) / number.astype(mean.dtype)
        mean = jax.tree.map(follow, state.mean, eqx.apply_updates(params, updates))
        return updates, AverageOfWeights(state.count + 1, mean)

    return optax.GradientTransformation(init, update)


def _check_averaged(state) -> None:
    if not isinstance(state, State):
        raise TypeError(f"state: {kind_of(state)}, where a State is wanted: what a step returns, or fit(...).state")
    if len(_averages(state)) != 1:
        raise ValueError(
            f"state: its optimiser keeps {len(_averages(state))} averages, where one is wanted: put "
            "ct.average_weights(begin) at the end of the outermost optax.chain"
        )


@before(_check_averaged)
def averaged(state: State) -> PyTree:
    """The model with the mean of its parameters that [`ctmodels.average_weights`][] has kept; what is not trained
    is the state's."""
    (average,) = _averages(state)
    return eqx.combine(average.mean, state.model)


def _averages(state: State) -> list[AverageOfWeights]:
    is_one = lambda x: isinstance(x, AverageOfWeights)
    return [x for x in jax.tree.leaves(state.opt_state, is_leaf=is_one) if is_one(x)]
