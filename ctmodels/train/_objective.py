"""The objective: losses pooled over a batch, plus weighted regularisers. The batch is made here, once."""

from collections.abc import Callable, Mapping

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from ctmodels._output import Output

Loss = Callable[..., tuple]
Regulariser = Callable[[PyTree, Output], Float[Array, ""]]


def pooled(loss: Loss, transform: Callable | None = None) -> Callable:
    """A loss of one example as a loss of a batch: (model, batch, key, step) -> (mean, Output of the batch).

    Sums and weights are pooled, so that each observed entry counts the same wherever it stands.
    """

    def batch_loss(model, batch, key: PRNGKeyArray, step=0) -> tuple[Float[Array, ""], Output]:
        def one(example, key):
            if transform is not None:
                example = transform(example, key, step)
            return loss(model, example, key)

        keys = jax.random.split(key, jax.tree.leaves(batch)[0].shape[0])
        total, weight, output = eqx.filter_vmap(one)(batch, keys)
        weight = jnp.sum(weight)
        return jnp.sum(total) / jnp.where(weight > 0, weight, 1), output

    return batch_loss


def objective(
    loss: Loss,
    regularisers: Mapping[str, tuple[float | int | Callable, Regulariser]] | None = None,
    transform: Callable | None = None,
) -> Callable:
    """What a training step minimises: pooled loss + sum of weight x mean regulariser.

    **Arguments:**

    - `loss`: (model, example, key) -> (sum, weight, Output), for one example; see [`ctmodels.losses`][].
    - `regularisers`: name -> (weight, (model, Output) -> scalar); a weight is a number or an optax schedule.
    - `transform`: (example, key, step) -> example, before the solve: a growing horizon, a random end time.

    **Returns:** (model, batch, key, step) -> (scalar, metrics); any other function of this signature (a
    critic's, a distance between distributions) serves `make_step` as well.
    """
    regularisers = dict(regularisers or {})
    for name, (weight, _) in regularisers.items():
        if not callable(weight) and not weight >= 0:
            raise ValueError(f"regulariser `{name}`: weight {weight} must be a number of at least 0, or a schedule")
    batch_loss = pooled(loss, transform)

    def total(model, batch, key: PRNGKeyArray, step) -> tuple[Float[Array, ""], dict]:
        value, output = batch_loss(model, batch, key, step)
        metrics = {"loss": value, **_work(output)}
        for name, (weight, regulariser) in regularisers.items():
            penalty = jnp.mean(eqx.filter_vmap(regulariser, in_axes=(None, 0))(model, output))
            metrics[name] = penalty
            value = value + jnp.asarray(weight(step) if callable(weight) else weight, penalty.dtype) * penalty
        return value, metrics

    return total


def _work(output: Output) -> dict:
    stats = output.stats
    return {
        "evaluations": jnp.mean(stats.evaluations, dtype=output.ys.dtype),
        "failed": jnp.sum(stats.status != 0),
    }
