r"""A generator of paths against a critic of paths.

??? cite

    Kidger, Foster, Li, Oberhauser and Lyons, "Neural SDEs as infinite-dimensional GANs", ICML 2021; Kidger, Foster, Li
    and Lyons, "Efficient and accurate gradients for neural SDEs", NeurIPS 2021.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from ctmodels._core._arguments import before, check_key
from ctmodels._core._output import Stats
from ctmodels._core._promises import check_example
from ctmodels._core._series import Example, Series
from ctmodels._core._words import kind_of
from ctmodels.losses._targets import of_its_shape, series_target


def _check(model, example, key) -> None:
    if not isinstance(model, tuple) or len(model) != 2:
        raise TypeError(
            f"model: {kind_of(model)}, where a pair (generator, critic) is wanted: step.init((generator, critic), ...)"
        )
    check_example(example)
    check_key(key, needed=True)


@before(_check)
def adversarial(model: tuple, example: Example, key: PRNGKeyArray | None = None) -> tuple:
    r"""What a critic $D$ says of a generated path less what it says of an observed one, in a game of two players:

    $$\min_D \max_G \; \mathbb E\, D(G(V, W)) - \mathbb E\, D(Y)$$

    The gradient that comes to the generator is reversed on its way, so that one descent is both players' step: whatever
    optimiser minimises this trains either in its direction.

    **Arguments:**

    - `model`: a pair (generator, critic). The generator is called as `generator(example.x, ts, key=key)`, such as a
        [`ctmodels.NeuralSDE`][] with an `initial`, where `example.x` is None. The critic reads a series and answers at
        its end, with one number: a [`ctmodels.NeuralCDE`][] of one output.
    - `example`: `target` is the observed path. The generated one is given its times and its gaps, so that the critic
        sees both through the same mask: where gaps of the data alone are filled in, by lines, it learns these.
    - `key`: of the generated path.

    **Returns:** the difference, one for the weight, and the generator's `Output`, with the statistics of the critic's
    two readings added to its own. The mean, negative, estimates a distance of Wasserstein's kind once the critic's
    slope is bounded: [`ctmodels.clip_weights`][] bounds it, [`ctmodels.average_weights`][] takes the circling of the
    two players out of the result.

    !!! example "Good values"

        A critic that learns faster than the generator, both without momentum (`b1=0`): `examples/sde_gan.py`.
    """
    generator, critic = model
    real = series_target(example, "adversarial")
    out = of_its_shape(generator(example.x, real.ts, key=key), real, "adversarial")
    said, stats = _judged(critic, Series(real.ts, _reversed(out.ys), real.mask), real)
    difference = said[0] - said[1]
    return difference, jnp.ones_like(difference), dataclasses.replace(out, stats=out.stats + stats)


def _reversed(ys: Array) -> Array:
    """The same values, exactly; the gradient's sign is turned."""
    return 2 * jax.lax.stop_gradient(ys) - ys


def _judged(critic: Any, *series: Series) -> tuple[Float[Array, " series"], Stats]:
    """What the critic says of each, side by side: compiled once, and as many samples in one go."""
    out = jax.vmap(lambda series: critic(series, series.end))(jax.tree.map(lambda *x: jnp.stack(x), *series))
    if out.ys.shape[1:] != (1, 1):
        raise ValueError(
            f"model: the critic answers at the end of a series with shape {out.ys.shape[1:]}, (time, output): it is to "
            "say one number, (1, 1); make it with outputs=1"
        )
    return out.ys[:, 0, 0], Stats.in_sequence(out.stats)
