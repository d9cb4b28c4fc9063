r"""Whether a model scatters as the data do: quadratic variation of paths, and intervals and ranks of ensembles.

Scores of an ensemble that can be trained on are losses: [`ctmodels.losses.crps`][] and
[`ctmodels.losses.energy_score`][].

??? cite

    Barndorff-Nielsen and Shephard, "Econometric analysis of realized volatility", J. R. Stat. Soc. B 64 (2002); Dawid,
    "Statistical theory: the prequential approach", J. R. Stat. Soc. A 147 (1984); Gneiting, Balabdaoui and Raftery,
    "Probabilistic forecasts, calibration and sharpness", J. R. Stat. Soc. B 69 (2007).
"""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from ctmodels._core._series import last_observed
from ctmodels.metrics._arrays import Mask, Numbers, common_type, not_empty, numbers, observed, with_channels


def quadratic_variation(ys: Numbers, mask: Mask = None) -> Float[Array, " channel"]:
    r"""Quadratic variation of one path, channel by channel, in the square of the units of the data.

    $$[y]_c = \sum_k (y_{k+1,c} - y_{k,c})^2$$

    Of a path of $dY = f\, dt + g\, dW$ it tends to $\int g g^T dt$ as the spacing falls, whatever the drift: it shows
    the noise that moves a path, and of a path that is measured with noise that noise as well, twice its variance for
    each step.

    **Arguments:**

    - `ys`: `(time, channel)` or `(time,)`, in the order of time; a batch is made by `jax.vmap`.
    - `mask`: what was observed, in the shape of `ys`; all if None. Increments are between one observed value of a
        channel and the next, over whatever lies between.

    **Returns:** `(channel,)`, 0 for a channel at rest, NaN for one that was observed less than twice. Divide by the
    time from the first to the last observation for a variance per unit of time.
    """
    ys = numbers(ys, "ys")
    mask = observed(mask, "mask", ys, "ys")
    ys, mask = with_channels(ys, "ys"), mask.reshape(with_channels(ys, "ys").shape)
    ys = jnp.where(mask, ys, 0)
    last = last_observed(mask)[:-1]
    before = jnp.take_along_axis(ys, jnp.maximum(last, 0), axis=0)
    increments = jnp.where(mask[1:] & (last >= 0), ys[1:] - before, 0)
    return jnp.where(mask.sum(axis=0) > 1, jnp.sum(increments**2, axis=0), jnp.nan)


def quadratic_variation_ratio(
    true: Numbers, generated: Numbers, mask: Mask = None, generated_mask: Mask = None
) -> Float[Array, " channel"]:
    r"""Mean [`quadratic_variation`][] of data over that of a model's paths, channel by channel; 1 is right.

    **Arguments:**

    - `true`, `generated`: two sets of paths, `(path, time, channel)`, of the same channels; at the same times, or at
        spacings that are both small.
    - `mask`, `generated_mask`: what was observed of each, in its shape; all if None. Give the model's paths masks of
        the data where values are missing at the ends.

    **Returns:** `(channel,)`. Above 1 the model's noise is too small, which is how neural stochastic differential
    equations most often fail; below, too large. The ratio of diffusions is its root. NaN for a channel that no path has
    twice, inf where the model's paths are smooth.

    !!! example "Good values"

        Between two sets of N Brownian paths of T steps it is 1 to within 2 / sqrt(N T).
    """
    found = {"true": (numbers(true, "true"), mask), "generated": (numbers(generated, "generated"), generated_mask)}
    for name, (ys, _) in found.items():
        if ys.ndim != 3:
            raise ValueError(f"{name} has shape {ys.shape}: a set of paths is (path, time, channel); of one, [None]")
        not_empty(name, ys)
    (true, _), (generated, _) = found.values()
    if true.shape[2] != generated.shape[2]:
        raise ValueError(
            f"generated has shape {generated.shape} and true {true.shape}, (path, time, channel): they are compared "
            "channel by channel; give both the same channels"
        )
    masks = observed(mask, "mask", true, "true"), observed(generated_mask, "generated_mask", generated, "generated")
    dtype = common_type(true, generated)
    of_true, of_generated = (
        jnp.nanmean(jax.vmap(quadratic_variation)(ys.astype(dtype), seen), axis=0)
        for ys, seen in zip((true, generated), masks, strict=True)
    )
    return of_true / of_generated


def coverage(samples: Numbers, truth: Numbers, level: float | int = 0.9, mask: Mask = None) -> Float[Array, ""]:
    r"""Share of what was observed that lies in the central interval of an ensemble; of a calibrated one, `level`.

    The interval is from the quantile $(1 - \text{level}) / 2$ to $(1 + \text{level}) / 2$, entry by entry: $n$ sorted
    samples cut the line into $n + 1$ parts that are as likely, and a part that is cut by an end of the interval counts
    with the share of it that is inside. So what is expected of a calibrated ensemble is `level` whatever its size,
    where quantiles of the samples give less.

    **Arguments:**

    - `samples`: the ensemble, `(sample, time, channel)` or `(sample, time)`.
    - `truth`: what was observed, in the shape of one sample.
    - `level`: between 0 and 1; `n` samples show those up to `(n - 1) / (n + 1)`.
    - `mask`: what was observed of it; all if None.

    **Returns:** a share, from 0 to 1; NaN where nothing was observed, or an observed value is no number. A sample that
    is NaN counts as one above.

    !!! example "Good values"

        At level 0.9, 19 samples at least. Among N independent entries it errs by sqrt(level (1 - level) / N): 0.03
        among 100; entries of one path are not independent.
    """
    samples, truth, mask = _ensemble(samples, truth, mask)
    n = samples.shape[0]
    if not 0 < level < 1:
        raise ValueError(f"level={level}: the share that is to lie within is between 0 and 1; give such as 0.9")
    needed = math.ceil((1 + level) / (1 - level) - 1e-9)  # less rounding
    if n < needed:
        raise ValueError(
            f"level={level}: {n} samples show levels up to {(n - 1) / (n + 1):.3g}, beyond which the interval goes on "
            f"past all of them; give {needed} samples"
        )
    low, high = _shares(samples, truth)
    inside = jnp.minimum(high, (1 + level) / 2) - jnp.maximum(low, (1 - level) / 2)
    inside = jnp.where(jnp.isnan(truth), jnp.nan, jnp.maximum(inside, 0) / (high - low))
    return jnp.sum(jnp.where(mask, inside, 0)) / jnp.sum(mask).astype(truth.dtype)


def pit(samples: Numbers, truth: Numbers, mask: Mask = None) -> Float[Array, "..."]:
    r"""Probability integral transform: where in its ensemble each observed value lies, from 0 to 1.

    $$u = \frac{\#\{x_i < y\} + \tfrac12 \#\{x_i = y\} + \tfrac12}{n + 1}$$

    **Arguments:** as of [`coverage`][].

    **Returns:** in the shape of `truth`, NaN where nothing was observed. Of a calibrated ensemble all ranks are as
    likely: a histogram that is high at both ends says that the ensemble is too narrow, high in the middle too
    wide, high at one end that it is off. [`pit_distance`][] is a number for it.
    """
    samples, truth, mask = _ensemble(samples, truth, mask)
    low, high = _shares(samples, truth)
    return jnp.where(mask & ~jnp.isnan(truth), (low + high) / 2, jnp.nan)


def pit_distance(pits: Numbers) -> Float[Array, ""]:
    r"""How far transforms are from uniform: Kolmogorov's distance, from 0 to 1; lower is better.

    $$D = \sup_u |F(u) - u|$$

    with $F$ the empirical distribution function.

    **Arguments:** `pits`: as [`pit`][] returns them, in any shape, NaN where there is none.

    **Returns:** one number; NaN where there are no transforms. Among N independent ones of a calibrated ensemble it is
    0.87 / sqrt(N) in the mean, and above 1.36 / sqrt(N) once in twenty; those of one path depend on one another, and it
    is larger. Of an ensemble of n it cannot be below 1 / (2 (n + 1)).

    !!! example "Good values"

        Below 0.1. A deviation too small by half has 0.16, and by nine tenths 0.40.
    """
    pits = numbers(pits, "pits").ravel()
    not_empty("pits", pits)
    count = jnp.sum(~jnp.isnan(pits)).astype(pits.dtype)
    ordered = jnp.sort(pits)  # NaN comes last
    rank = jnp.arange(pits.shape[0], dtype=pits.dtype)
    gap = jnp.maximum((rank + 1) / count - ordered, ordered - rank / count)
    return jnp.where(count > 0, jnp.max(jnp.where(rank < count, gap, 0)), jnp.nan)


def _ensemble(samples, truth, mask) -> tuple[Array, Array, Bool[Array, "..."]]:
    samples, truth = numbers(samples, "samples"), numbers(truth, "truth")
    if samples.shape[1:] != truth.shape or samples.ndim == 0:
        raise ValueError(
            f"truth has shape {truth.shape} and samples {samples.shape}: samples have one axis more, the first, "
            "(sample, time, channel); jax.vmap takes a batch of them"
        )
    not_empty("samples", samples)
    mask = observed(mask, "mask", truth, "truth")
    dtype = common_type(samples, truth)
    return samples.astype(dtype), jnp.where(mask, truth, 0).astype(dtype), mask


def _shares(samples: Array, truth: Array) -> tuple[Array, Array]:
    """The shares of a calibrated ensemble's chance between which each value lies: n samples cut it into n + 1 equal
    ones, and a value that some samples equal has all of theirs."""
    below, equal = (jnp.sum(x, axis=0, dtype=truth.dtype) for x in (samples < truth[None], samples == truth[None]))
    return below / (len(samples) + 1), (below + equal + 1) / (len(samples) + 1)
