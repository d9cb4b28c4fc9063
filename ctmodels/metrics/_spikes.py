r"""How well rates explain spikes: bits per spike, and those of what was held out.

Rates are expected counts per bin: a rate in hertz times the bin's width in seconds. Values that cannot be counts or
rates are refused where they are known; where they are traced (under `jax.jit` or `jax.vmap`) the metric is NaN.

??? cite

    Pillow et al., "Spatio-temporal correlations and visual signalling in a complete neuronal population", Nature 454
    (2008): bits per spike. Pei et al., "Neural Latents Benchmark '21", NeurIPS Datasets and Benchmarks 2021:
    co-smoothing and forward prediction.
"""

import jax
import jax.core
import jax.numpy as jnp
import numpy as np
from jax.scipy.special import xlogy
from jaxtyping import Array, Bool, Float
from numpy.typing import ArrayLike

from ctmodels.metrics._arrays import Mask, Numbers, numbers, observed, one_where_zero, same_shape


def bits_per_spike(
    rates: Numbers, counts: Numbers, mask: Mask = None, reference: Numbers | None = None
) -> Float[Array, ""]:
    r"""By how much rates tell more of the counts than a constant rate for each neuron does; higher is better.

    $$\frac{1}{n \log 2} \sum_{k, i} \log \frac{p(y_{ki} \mid r_{ki})}{p(y_{ki} \mid \bar r_i)},
      \qquad p(y \mid r) = \frac{r^y e^{-r}}{y!}, \qquad n = \sum_{k, i} y_{ki}$$

    **Arguments:**

    - `rates`: expected counts per bin, `(time, neuron)` or `(trial, time, neuron)`, at least 0.
    - `counts`: of spikes, in the shape of `rates`: whole numbers of at least 0.
    - `mask`: what was observed, in the same shape; all if None.
    - `reference`: the mean rate $\bar r_i$ of each neuron, `(neuron,)`, such as that of training data. The mean of the
        counts given if None, which is the best constant there is.

    **Returns:** one number: 0 for the mean rates, negative for worse ones, minus infinity for a rate of 0 where a spike
    came; NaN where there is no spike at all. The factorial is in both likelihoods, and cancels.

    Trials and neurons without a spike count like others. For a neuron that never fires the mean rate is 0, under which
    no spike is certain: it adds 0 where the rates are 0 too, and takes the rates away otherwise. A `reference` of 0 for
    a neuron that fires is refused: any rate would be infinitely better.

    !!! example "Good values"

        What true rates reach is the ceiling. It depends on the data: about 1 for neurons that fire seldom and are
        strongly modulated, 0.1 to 0.4 for held-out cortical neurons.
    """
    rates, counts, mask = as_spikes(rates, counts, mask)
    if reference is None:
        mean = mean_rates(counts, mask)
    else:
        mean = _checked_reference(numbers(reference, "reference").astype(rates.dtype), counts, mask)
    mean = jnp.broadcast_to(mean, rates.shape)
    gain = xlogy(counts, rates) - xlogy(counts, mean) - (rates - mean)
    spikes = jnp.sum(counts)
    bits = jnp.sum(jnp.where(mask, gain, 0)) / (one_where_zero(spikes) * np.log(2).astype(rates.dtype))
    valid = (rates >= 0) & (counts >= 0) & (counts == jnp.round(counts))
    return jnp.where(jnp.all(valid | ~mask) & (spikes > 0), bits, jnp.nan)


def co_smoothing_bits(
    rates: Numbers,
    counts: Numbers,
    held_out: ArrayLike,
    *,
    inputs: ArrayLike,
    mask: Mask = None,
    reference: Numbers | None = None,
) -> Float[Array, ""]:
    """Bits per spike of the neurons that the model was not given, at the times at which it was given others.

    **Arguments:**

    - `rates`, `counts`, `mask`, `reference`: of all neurons, as of [`bits_per_spike`][].
    - `held_out`: the numbers of the neurons that are judged.
    - `inputs`: the numbers of the neurons whose counts the model was given. None of them may be held out.

    **Returns:** one number, as of [`bits_per_spike`][]: against each held-out neuron's mean rate.
    """
    n = np.shape(counts)[-1] if np.ndim(counts) else 0
    judged, given = chosen("held_out", held_out, n, "neurons"), chosen("inputs", inputs, n, "neurons")
    both = np.intersect1d(judged, given)
    if both.size:
        raise ValueError(
            f"held_out: neuron {both[0]} is among the inputs too, and so are {both.size} of {judged.size}: what a "
            "model was given it need not predict; leave them out of one of the two"
        )
    some = lambda x, name: _neurons(x, judged, n, name)
    mask, reference = (x if x is None else some(x, name) for x, name in ((mask, "mask"), (reference, "reference")))
    return bits_per_spike(some(rates, "rates"), some(counts, "counts"), mask, reference)


def forward_bits(
    rates: Numbers, counts: Numbers, begin: int, *, mask: Mask = None, reference: Numbers | None = None
) -> Float[Array, ""]:
    """Bits per spike of the bins after the last one that the model was given.

    **Arguments:**

    - `rates`, `counts`, `mask`, `reference`: of all bins, as of [`bits_per_spike`][].
    - `begin`: the number of the first bin that is judged, counted from 0: how many the model was given.

    **Returns:** one number, as of [`bits_per_spike`][]: against each neuron's mean rate in the bins that are judged, or
    `reference`.
    """
    bins = np.shape(counts)[-2] if np.ndim(counts) > 1 else 0
    if not 0 < begin < bins:
        raise ValueError(
            f"begin={begin}: bins from there on are judged, and those before were given: of {bins} bins both need one "
            f"at least; give a number from 1 to {bins - 1}"
        )
    later = lambda x: (x if isinstance(x, jax.Array) else np.asarray(x))[..., begin:, :]
    return bits_per_spike(later(rates), later(counts), None if mask is None else later(mask), reference)


def chosen(name: str, at: ArrayLike, n: int, of: str) -> np.ndarray:
    """Which of `n` are meant: their numbers, each once."""
    found = np.asarray(at)
    if found.ndim != 1 or found.size == 0 or found.dtype.kind not in "iu":
        raise ValueError(
            f"{name}: shape {found.shape} of {found.dtype}: the numbers of {of} are wanted, one at least; give such as "
            "[0, 3], or np.flatnonzero(...) of a mask"
        )
    bad = np.flatnonzero((found < 0) | (found >= n))
    if bad.size:
        raise ValueError(f"{name}[{bad[0]}] is {found[bad[0]]}: {of} are numbered from 0 to {n - 1}; give one of these")
    values, times = np.unique(found, return_counts=True)
    if (times > 1).any():
        raise ValueError(f"{name}: {values[times > 1][0]} is there twice: each counts once; leave one out")
    return found


def as_spikes(rates: Numbers, counts: Numbers, mask: Mask) -> tuple[Array, Array, Bool[Array, "..."]]:
    """Arrays of one shape, 0 where nothing was observed; values that are none refused where they are known."""
    rates, counts = same_shape(rates=rates, counts=counts)
    if rates.ndim not in (2, 3):
        raise ValueError(
            f"rates has shape {rates.shape}: rates and counts are (time, neuron) or (trial, time, neuron); of one "
            "neuron, rates[:, None]"
        )
    mask = observed(mask, "mask", counts, "counts")
    rates, counts = jnp.where(mask, rates, 0), jnp.where(mask, counts, 0)
    if not isinstance(rates, jax.core.Tracer):
        values = np.asarray(rates)
        _refuse("rates", values, values < 0, "an expected count is at least 0; give rates, not their logarithms")
    if not isinstance(counts, jax.core.Tracer):
        values = np.asarray(counts)
        _refuse("counts", values, values < 0, "a count is at least 0; mask what was not observed")
        whole = "spikes are counted in whole numbers; give counts per bin, neither smoothed nor per second"
        _refuse("counts", values, values != np.round(values), whole)
    return rates, counts, mask


def _refuse(name: str, values: np.ndarray, bad: np.ndarray, why: str) -> None:
    if bad.any():
        at = np.argwhere(bad)[0].tolist()
        raise ValueError(f"{name}{at} is {values[tuple(at)]:g}, and so {int(bad.sum())} of {bad.size}: {why}")


def _checked_reference(reference: Array, counts: Array, mask: Array) -> Array:
    if reference.shape != counts.shape[-1:]:
        raise ValueError(
            f"reference has shape {reference.shape} and counts {counts.shape}: one mean rate for each neuron; average "
            "over trials and times"
        )
    if any(isinstance(x, jax.core.Tracer) for x in (reference, counts)):
        return reference
    values = np.asarray(reference)
    _refuse("reference", values, ~(values >= 0), "a mean rate is at least 0; give expected counts per bin")
    fires = np.asarray(counts).reshape(-1, counts.shape[-1]).sum(axis=0) > 0
    silent = "the neuron fires here, which a mean rate of 0 excludes; leave the neuron out, or give it a small rate"
    _refuse("reference", values, (values == 0) & fires, silent)
    return reference


def mean_rates(x: Array, mask: Array) -> Float[Array, " neuron"]:
    """Of each neuron, over what was observed; 0 of what never was. Values are 0 where nothing was observed."""
    x, mask = (a.reshape(-1, a.shape[-1]) for a in (x, mask))
    return jnp.sum(x, axis=0) / jnp.maximum(jnp.sum(mask, axis=0), 1).astype(x.dtype)


def _neurons(x, judged: np.ndarray, n: int, name: str):
    """Some of the neurons, the last axis."""
    if np.ndim(x) == 0 or np.shape(x)[-1] != n:
        raise ValueError(f"{name} has shape {np.shape(x)}: its last axis is that of the {n} neurons of counts")
    return (x if isinstance(x, jax.Array) else np.asarray(x))[..., judged]
