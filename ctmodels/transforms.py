"""Transforms of the example, (example, key, step) -> example, before each solve, for `ctmodels.objective(transform=)`;
and samples that are held out once and for all.

??? cite

    Keshtkaran and Pandarinath, "Enabling hyperparameter optimization in sequential autoencoders for spiking neural
    data", NeurIPS 2019: coordinated dropout and sample validation. Ghosh, Behl, Dupont, Torr and Namboodiri, "STEER:
    simple temporal regularization for neural ODEs", NeurIPS 2020.
"""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool

from ctmodels._core._arguments import check_seed
from ctmodels._core._series import Example, Series
from ctmodels._core._words import argument, kind_of


def steer(width: float | int) -> Callable:
    """STEER: the last time is moved by a random length, uniform from -width to width, with each step of training
    (Ghosh et al. 2020); never before the time in front of it.

    **Returns:** a transform for [`ctmodels.objective`][].
    """
    if not width > 0:
        raise ValueError(f"steer: width={width} must be a positive length of time")

    def moved(example: Example, key, step) -> Example:
        ts = example.target.ts
        at_end = ts == ts[-1]
        before = jnp.max(jnp.where(at_end, ts[0], ts))
        most = jnp.minimum(jnp.asarray(width, ts.dtype), ts[-1] - before)
        draw = jax.random.uniform(jax.random.fold_in(key, 1), (), ts.dtype, -1, 1)
        return eqx.tree_at(lambda e: e.target.ts, example, jnp.where(at_end, ts + draw * most, ts))

    return moved


def coordinated_dropout(keep: float | int, passing: float | int = 0.0) -> Callable:
    r"""What a model is given it is not asked for: each input is kept by chance, and the loss is of those that were not.

    A model that copies its input, spike for spike, then learns nothing by it. For examples whose `x` and `target` are
    series of the same counts; the target may go on beyond the input, by neurons that are held out (its last channels)
    and by bins that are to be foretold (its last rows). These are always in the loss.

    **Arguments:**

    - `keep`: the chance $p$ of an input to be kept, between 0 and 1. Kept ones are divided by $p$, so that the mean
        stays, others are 0; what the mask of the input says remains, as this is a dropout and no gap.
    - `passing`: the chance of a kept input to be in the loss nevertheless. 0 is the paper's rule; the released code of
        LangevinFlow has $1 - p$.

    **Returns:** a transform for [`ctmodels.objective`][]; it draws anew with each step.

    !!! example "Good values"

        `keep` 0.3 to 0.7. Where data are judged, leave it out: the model then has all of them.
    """
    if not 0 < keep < 1:
        raise ValueError(f"coordinated_dropout: {argument('keep', keep)}: a chance between 0 and 1; give such as 0.5")
    if not 0 <= passing <= 1:
        raise ValueError(f"coordinated_dropout: {argument('passing', passing)}: a chance from 0 to 1; give 0 for none")

    def dropped(example: Example, key, step) -> Example:
        x, target = _same_counts("coordinated_dropout", example)
        for_keeping, for_passing = jax.random.split(jax.random.fold_in(key, 2))
        kept = jax.random.bernoulli(for_keeping, keep, x.ys.shape) & x.mask
        passed = jax.random.bernoulli(for_passing, passing, x.ys.shape)
        given = Series(x.ts, jnp.where(kept, x.ys / keep, 0), x.mask)
        asked = target.mask & _whole(~kept | passed, target)
        return Example(given, Series(target.ts, target.ys, asked))

    return dropped


def hold_out_samples(examples: Example, part: float | int, seed: int = 0) -> tuple[Example, Example]:
    """Single entries of the inputs held out to judge by: sample validation. On the host, once.

    The same entries are held out every time, so that the loss that is watched differs by the model alone.

    **Arguments:**

    - `examples`: a batch whose `x` and `target` are series of the same counts, as of [`coordinated_dropout`][].
    - `part`: of the entries that both have observed, which part is held out, between 0 and 1.
    - `seed`: of the draw.

    **Returns:** examples to train on and examples to judge by. In the inputs of both, held-out entries are 0 and not
    observed. The first's targets are without them, the second's have nothing else.

    !!! example "Good values"

        A fifth. A model that does not look at masks is given fewer spikes than there are, by this part.
    """
    if not 0 < part < 1:
        raise ValueError(f"hold_out_samples: {argument('part', part)}: a part between 0 and 1; give such as 0.2")
    check_seed(seed)
    x, target = _same_counts("hold_out_samples", examples)
    rows, channels = x.ys.shape[-2:]
    there = np.flatnonzero(np.asarray(x.mask & target.mask[..., :rows, :channels]))
    count = round(part * len(there))
    if not 0 < count < len(there):
        raise ValueError(
            f"hold_out_samples: {argument('part', part)}: {count} of {len(there)} observed entries would be held out: "
            "some are to be judged by, and some to be learnt from; give another part, or more data"
        )
    drawn = np.zeros(x.mask.size, bool)
    drawn[np.random.default_rng(seed).choice(there, count, replace=False)] = True
    out = jnp.asarray(drawn.reshape(x.mask.shape))
    given = Series(x.ts, jnp.where(out, 0, x.ys), x.mask & ~out)
    judged = _whole(out, target, beyond=False)
    seen = lambda mask: Example(given, Series(target.ts, target.ys, target.mask & mask))
    return seen(~judged), seen(judged)


def _same_counts(what: str, example: Example) -> tuple[Series, Series]:
    """The input and the target, which has the input's rows and channels first."""
    found: dict[str, Any] = {"x": example.x, "target": example.target}
    for name, series in found.items():
        if not isinstance(series, Series):
            raise TypeError(f"{what}: {name} is {kind_of(series)}, where a Series of counts is wanted")
    x, target = example.x, example.target
    shapes = x.ys.shape, target.ys.shape
    if shapes[0][:-2] != shapes[1][:-2] or any(a > b for a, b in zip(*shapes, strict=True)):
        raise ValueError(
            f"{what}: x has shape {shapes[0]} and target {shapes[1]}, (..., time, channel): the target begins with the "
            "rows and channels of the input, and may have more; give it all of them"
        )
    return x, target


def _whole(of_input: Bool[Array, "..."], target: Series, beyond: bool = True) -> Bool[Array, "..."]:
    """In the shape of the target: what is said of the input, and the same of all that is beyond."""
    rows, channels = of_input.shape[-2:]
    return jnp.full(target.mask.shape, beyond).at[..., :rows, :channels].set(of_input)
