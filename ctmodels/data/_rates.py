r"""Rates of spikes without a model: what any model of spike trains has to beat.

??? cite

    Gaussian smoothing and peristimulus time histograms are the baselines of Pei et al., "Neural Latents Benchmark '21",
    NeurIPS Datasets and Benchmarks 2021.
"""

import math

import jax.core
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Shaped
from numpy.typing import ArrayLike as HostArray


def gaussian_smoothing(
    counts: Shaped[ArrayLike, "..."], width: float | int, mask: Bool[ArrayLike, "..."] | None = None
) -> Float[Array, "..."]:
    r"""Rates by a Gaussian kernel along time.

    $$r_k = \frac{\sum_j K_{kj} m_j y_j}{\sum_j K_{kj} m_j}, \qquad K_{kj} = e^{-(k - j)^2 / 2 \sigma^2}$$

    **Arguments:**

    - `counts`: `(..., time, neuron)`, in bins of one width; or rates, such as those of [`condition_psth`][].
    - `width`: the deviation $\sigma$ of the kernel, in bins, above zero.
    - `mask`: what was observed, in the shape of `counts`; all if None. Kernels are normalised by what was observed in
        them, so that neither pauses nor the ends pull rates down.

    **Returns:** expected counts per bin, in the shape of `counts`; NaN where nothing was observed within reach.

    !!! example "Good values"

        Of spikes in bins of 10 ms, 4 to 8 bins. It looks ahead: rates of a bin rest on later ones, and on its own
        count. What is held out must not be in `counts`, or must be masked.
    """
    counts, mask = _floats(counts, mask, least=2)
    if not (width > 0 and math.isfinite(width)):
        raise ValueError(f"width={width}: the deviation of a kernel is a finite number of bins above 0; give such as 4")
    at = np.arange(counts.shape[-2])
    kernel = jnp.asarray(np.exp(-0.5 * ((at[:, None] - at) / width) ** 2), counts.dtype)
    smoothed = lambda x: jnp.einsum("kj,...jn->...kn", kernel, x)
    return _ratio(smoothed(jnp.where(mask, counts, 0)), smoothed(mask.astype(counts.dtype)))


def condition_psth(
    counts: Shaped[ArrayLike, "..."],
    conditions: HostArray,
    wanted: HostArray | None = None,
    mask: Bool[ArrayLike, "..."] | None = None,
) -> Float[Array, "trial time neuron"]:
    """Peristimulus time histogram: the mean counts of the trials of each condition, bin by bin.

    **Arguments:**

    - `counts`: `(trial, time, neuron)`.
    - `conditions`: the label of each trial, `(trial,)`: whole numbers or text.
    - `wanted`: the labels of the trials whose rates are wanted; those of `counts` if None. Give those of held-out
        trials: the histogram of a condition has in it the trials that it is made of.
    - `mask`: what was observed, in the shape of `counts`; all if None.

    **Returns:** expected counts per bin, one row for each label of `wanted`; NaN where no trial of the condition was
    observed. It is rough: [`gaussian_smoothing`][] over it, of 2 bins, is the usual baseline.
    """
    counts, mask = _floats(counts, mask, least=3)
    labels, number = _labels("conditions", conditions, counts.shape[0])
    if wanted is None:
        return condition_means(counts, number, len(labels), mask)[number]
    asked = np.asarray(wanted)
    missing = np.flatnonzero(~np.isin(asked, labels))
    if asked.ndim != 1 or len(missing):
        found = f"shape {asked.shape}" if asked.ndim != 1 else f"wanted[{missing[0]}] is {asked[missing[0]]!r}"
        raise ValueError(f"wanted: {found}: one label for each trial, each of a condition that `conditions` has")
    return condition_means(counts, number, len(labels), mask)[np.searchsorted(labels, asked)]


def condition_means(
    x: Float[Array, "trial time neuron"], number: np.ndarray, conditions: int, mask: Bool[Array, "trial time neuron"]
) -> Float[Array, "condition time neuron"]:
    """Over the trials of each of the numbered conditions that were observed; NaN where none was."""
    of = jnp.asarray(number[None] == np.arange(conditions)[:, None], x.dtype)
    summed = lambda x: jnp.einsum("ci,itn->ctn", of, x)
    return _ratio(summed(jnp.where(mask, x, 0)), summed(mask.astype(x.dtype)))


def numbered_conditions(conditions: HostArray, trials: int) -> tuple[np.ndarray, int]:
    """The number of each trial's condition, and how many there are."""
    labels, number = _labels("conditions", conditions, trials)
    return number, len(labels)


def _labels(name: str, conditions: HostArray, trials: int) -> tuple[np.ndarray, np.ndarray]:
    if isinstance(conditions, jax.core.Tracer):
        raise TypeError(f"{name}: traced: which trials belong together is known beforehand; give a NumPy array")
    found = np.asarray(conditions)
    if found.shape != (trials,) or found.dtype.kind not in "iuSU":
        raise ValueError(
            f"{name}: shape {found.shape} of {found.dtype}: one label for each of the {trials} trials is needed, whole "
            "numbers or text; give a list of them"
        )
    return np.unique(found, return_inverse=True)


def _floats(x, mask, least: int) -> tuple[Array, Array]:
    x = jnp.asarray(x)
    if x.ndim < least:
        axes = "(trial, time, neuron)" if least == 3 else "(time, neuron) or (trial, time, neuron)"
        raise ValueError(f"counts has shape {x.shape}: they are {axes}; of one neuron, counts[..., None]")
    x = x if jnp.issubdtype(x.dtype, jnp.floating) else x.astype(float)
    if mask is not None and np.shape(mask) != x.shape:
        raise ValueError(f"mask has shape {np.shape(mask)} and counts {x.shape}: one True or False for each count")
    return x, jnp.ones(x.shape, bool) if mask is None else jnp.asarray(mask)


def _ratio(total: Array, weight: Array) -> Array:
    return jnp.where(weight > 0, total / jnp.where(weight > 0, weight, 1), jnp.nan)
