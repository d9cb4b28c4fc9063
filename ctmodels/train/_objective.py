"""The objective: losses pooled over a batch, plus weighted regularisers. The batch is made here, once."""

import dataclasses
import math
import numbers
from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray, PyTree

from ctmodels._core._arguments import before
from ctmodels._core._model import AbstractSolver
from ctmodels._core._output import Output
from ctmodels._core._promises import check_returned, check_signature
from ctmodels._core._words import kind_of
from ctmodels._integrate._samples import over_samples
from ctmodels.train._dropped import stand_ins, take, without_failed
from ctmodels.train._parallel import gather_shards, keys_of, summed as over_shards

Loss = Callable[..., tuple]
Regulariser = Callable[[PyTree, Output], Float[Array, ""]]

# What a failed solve returns under each policy. Where its sample is masked out, NaN would still reach the gradient.
RETURNED = {"raise": "nan", "drop": "hold", "penalise": "hold"}


@before(lambda loss, **_: check_signature("loss", loss, "model, example, key", "(sum, weight, Output)"))
def pooled(loss: Loss, transform: Callable | None = None) -> Callable:
    """A loss of one example as a loss of a batch: (model, batch, key, step) -> (mean, Output of the batch).

    Sums and weights are pooled, so that each observed entry counts the same wherever it stands.
    """

    def batch_loss(model, batch, key: PRNGKeyArray, step=0) -> tuple[Float[Array, ""], Output]:
        totals, weights, output = _each(loss, transform, model, batch, keys_of(key, _samples(batch), None), step)
        return _ratio(jnp.sum(totals), jnp.sum(weights)), output

    return batch_loss


def _check_objective(loss, regularisers, transform, **_) -> None:
    check_signature("loss", loss, "model, example, key", "(sum, weight, Output)")
    if transform is not None:
        check_signature("transform", transform, "example, key, step", "an example")
    if regularisers is not None and not isinstance(regularisers, Mapping):
        raise TypeError(
            f"regularisers: {kind_of(regularisers)}, where a dict is wanted: {{name: (weight, regulariser)}}"
        )
    for name, pair in (regularisers or {}).items():
        if not isinstance(pair, tuple) or len(pair) != 2:
            raise TypeError(f"regularisers: `{name}` is {kind_of(pair)}, where a pair (weight, regulariser) is wanted")
        check_signature(f"regulariser `{name}`", pair[1], "model, output", "a scalar")


@before(_check_objective)
def objective(
    loss: Loss,
    regularisers: Mapping[str, tuple[float | int | Callable, Regulariser]] | None = None,
    transform: Callable | None = None,
    *,
    failed: str = "raise",
    penalty: float | int = 10.0,
    summed: bool = True,
) -> Callable:
    """What a training step minimises: pooled loss + sum of weight x mean regulariser.

    **Arguments:**

    - `loss`: (model, example, key) -> (sum, weight, Output), for one example; see [`ctmodels.losses`][]. The weight
      carries no gradient.
    - `regularisers`: name -> (weight, (model, Output) -> scalar); a weight is a number or an optax schedule.
    - `transform`: (example, key, step) -> example, before the solve: a growing horizon, a random end time.
    - `failed`: what a sample whose solve failed does. "raise": its outputs are NaN, and so is the loss; the step is
      skipped and counted, and [`ctmodels.fit`][] stops after five of these, with the sample and the remedy. "drop":
      it is left out, and means are those of the others; where no other is left, the loss is NaN. "penalise": it
      counts with `penalty` per unit of its weight, a constant without gradient, and regularisers leave it out.
    - `summed`: each [`ctmodels.Integrate`][] in the model sums the gradients of its parameters over the samples of a
      batch as it goes, which is faster. A gradient for each of several batches, by a `vmap` around, and one that a loss
      takes of its own sample stay what they are. False: the sum is JAX's.

    **Returns:** (model, batch, key, step, axis=None) -> (scalar, metrics). Among the metrics are `failed`, how many
    solves did, and of the first of them `failed_sample`, its index in the batch (-1: none), and `failed_status`. Inside
    `jax.shard_map`, `axis` is the mesh's axis: the scalar is this shard's part of the batch's, the metrics are the
    batch's. Any other function of this signature (a critic's, a distance between distributions) serves
    [`ctmodels.make_step`][] as well, without `axis` if there is one device.
    """
    regularisers = dict(regularisers or {})
    _refuse(regularisers, failed, penalty)
    solving = {"failed": RETURNED[failed], "cotangents": "summed" if summed else "per_sample"}

    def total(model, batch, key: PRNGKeyArray, step, axis: str | None = None) -> tuple[Float[Array, ""], dict]:
        model = _solving(model, solving)
        keys = keys_of(key, _samples(batch), axis)
        if failed == "raise":
            totals, weights, output = _each(loss, transform, model, batch, keys, step)
        else:
            each = lambda model, batch, keys, step: _each(loss, transform, model, batch, keys, step)
            totals, weights, output = without_failed((model, batch), each, lambda out: _status(out[2]) != 0, keys, step)
        status = _status(output)
        all_status = gather_shards(status, axis)
        kept = (status == 0) | (failed == "raise")
        good = jnp.sum((all_status == 0) | (failed == "raise"))
        totals, weights = _totals_of_solved(totals, weights, kept, penalty if failed == "penalise" else None)
        value = _ratio(jnp.sum(totals), over_shards(jnp.sum(weights), axis))
        if failed == "drop":
            value = jnp.where(good > 0, value, jnp.nan)  # a mean over none
        parts, outputs = {"loss": value}, output if failed == "raise" else _failed_replaced(output, kept)
        for name, (weight, regulariser) in regularisers.items():
            each = eqx.filter_vmap(regulariser, in_axes=(None, 0))(model, outputs)
            parts[name] = _ratio(jnp.sum(jnp.where(kept, each, 0)), good.astype(each.dtype))
            value = value + jnp.asarray(weight(step) if callable(weight) else weight, each.dtype) * parts[name]
        parts["evaluations"] = _part_of_mean(output.stats.evaluations, all_status, output.ys.dtype)
        return value, {**over_shards(parts, axis), **_failures(all_status)}

    return total


def _refuse(regularisers: Mapping, failed: str, penalty: float | int) -> None:
    for name, (weight, _) in regularisers.items():
        if not callable(weight) and not weight >= 0:
            raise ValueError(f"regulariser `{name}`: weight {weight} must be a number of at least 0, or a schedule")
    if failed not in RETURNED:
        raise ValueError(f"failed={failed!r}: choose among {', '.join(map(repr, RETURNED))}")
    if not isinstance(penalty, numbers.Real) or not math.isfinite(penalty) or penalty < 0:
        raise ValueError(f"penalty={penalty!r}: must be a finite number of at least 0, per unit of a sample's weight")


def _each(loss: Loss, transform: Callable | None, model, batch, keys, step) -> tuple:
    """Sum, weight and Output of each sample."""

    def one(example, key):
        if transform is not None:
            example = transform(example, key, step)
        found = loss(model, example, key)
        check_returned(loss, found)
        return found

    return over_samples(one)(batch, keys)


def _samples(batch: PyTree) -> int:
    return jax.tree.leaves(batch)[0].shape[0]


def _ratio(total: Array, weight: Array) -> Array:
    return total / jnp.where(weight > 0, weight, 1)


def _solving(model: PyTree, fields: dict[str, str]) -> PyTree:
    """The model, with these static fields in everything that solves for it."""
    there = lambda x: isinstance(x, AbstractSolver)
    return jax.tree.map(lambda x: dataclasses.replace(x, **fields) if there(x) else x, model, is_leaf=there)


def _status(output: Output) -> Int[Array, " sample"]:
    """One for each sample: the worst, where it was solved more than once."""
    status = output.stats.status
    return jnp.max(status.reshape(status.shape[0], -1), axis=1)


def _totals_of_solved(totals, weights, kept: Bool[Array, " sample"], penalty: float | int | None) -> tuple:
    """Sums and weights of the samples, failed ones left out or, with a penalty, at a constant.

    The other half of a double `where`: what was returned for a failed solve is finite already.
    """
    weights = jax.lax.stop_gradient(weights)
    if penalty is None:
        return jnp.where(kept, totals, 0), jnp.where(kept, weights, 0)
    return jnp.where(kept, totals, jnp.asarray(penalty, totals.dtype) * weights.astype(totals.dtype)), weights


def _failed_replaced(output: Output, kept: Bool[Array, " sample"]) -> Output:
    """The outputs, with a good sample's in the place of a failed one's: NaN would reach the gradient."""
    at = stand_ins(~kept)
    outputs = lambda x: jnp.where(jnp.any(kept), x, 0) if eqx.is_inexact_array(x) else x
    return jax.tree.map(outputs, take(output, at))


def _part_of_mean(counts: Array, whole: Array, dtype) -> Array:
    """What the samples here add to the mean over the whole batch."""
    return jnp.mean(counts, dtype=dtype) * (counts.shape[0] / whole.shape[0])


def _failures(status: Int[Array, " sample"]) -> dict:
    """How many solves of the batch failed, and which was the first."""
    lost = status != 0
    first = jnp.argmax(lost)
    return {
        "failed": jnp.sum(lost),
        "failed_sample": jnp.where(lost[first], first, -1),
        "failed_status": status[first],
    }
