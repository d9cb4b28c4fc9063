r"""Variance that rates explain: of true rates, of histograms of conditions, and of what is decoded from them.

??? cite

    Pei et al., "Neural Latents Benchmark '21", NeurIPS Datasets and Benchmarks 2021: histograms of conditions, and
    decoding by ridge regression (Hoerl and Kennard, Technometrics 12, 1970).
"""

from typing import Literal, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from numpy.typing import ArrayLike

from ctmodels._core._arguments import check_kept
from ctmodels.data._rates import condition_means, numbered_conditions
from ctmodels.metrics._arrays import Mask, Numbers, common_type, numbers, observed, one_where_zero, same_shape
from ctmodels.metrics._spikes import as_spikes, chosen, mean_rates

Weighting = Literal["uniform", "variance"]

# Of penalties in units of the variance of a predictor: from none to all of it.
STRENGTHS = tuple(10.0 ** (k / 2) for k in range(-10, 5))


class Decoding(NamedTuple):
    """What was decoded: `r2` on the test trials, and `ridge`, the strength of the penalty it was decoded with."""

    r2: Float[Array, ""]
    ridge: Float[Array, ""]


def rates_r2(
    *, true: Numbers, estimated: Numbers, mask: Mask = None, weighting: Weighting = "uniform"
) -> Float[Array, ""]:
    r"""Variance of true rates that estimated ones explain; 1 is best, 0 is each neuron's mean, and nothing is worst.

    $$R^2_i = 1 - \frac{\sum_k (r_{ki} - \hat r_{ki})^2}{\sum_k (r_{ki} - \langle r_i \rangle)^2}$$

    The arguments have names and no order: with the two swapped it is another number, by which estimates that are too
    rough look good.

    **Arguments:**

    - `true`, `estimated`: `(time, neuron)` or `(trial, time, neuron)`, in one shape; all times and trials are pooled.
    - `mask`: which entries count, in that shape; all if None.
    - `weighting`: "uniform", the mean over neurons; "variance", the mean weighted by the variance of each, which is one
        ratio of sums over all neurons: those that fire most decide it.

    **Returns:** one number. A neuron whose true rate is constant has nothing to be explained and is left out of the
    uniform mean; NaN where all are.
    """
    true, estimated = same_shape(true=true, estimated=estimated)
    if true.ndim < 2:
        raise ValueError(f"true has shape {true.shape}: rates are (time, neuron); of one neuron, true[:, None]")
    return _r2(true, estimated, observed(mask, "mask", true, "true"), weighting)


def psth_r2(
    rates: Numbers, counts: Numbers, conditions: ArrayLike, mask: Mask = None, weighting: Weighting = "uniform"
) -> Float[Array, ""]:
    """Variance of the neurons' peristimulus time histograms that the rates' own histograms explain; 1 is best.

    **Arguments:**

    - `rates`, `counts`: `(trial, time, neuron)`, as of [`ctmodels.metrics.bits_per_spike`][].
    - `conditions`: the label of each trial, `(trial,)`: whole numbers or text.
    - `mask`: what was observed, in the shape of `counts`; all if None. Rates are averaged over the same entries.
    - `weighting`: as of [`rates_r2`][].

    **Returns:** one number; a neuron whose histogram is flat, such as one that never fires, is left out of the uniform
    mean. The noise of the histogram is in what is to be explained: true rates too are below 1, the fewer the trials.
    """
    rates, counts, mask = as_spikes(rates, counts, mask)
    if counts.ndim != 3:
        raise ValueError(f"counts has shape {counts.shape}: histograms are of trials, (trial, time, neuron)")
    number, n = numbered_conditions(conditions, counts.shape[0])
    true, estimated = (condition_means(x, number, n, mask) for x in (counts, rates))
    return _r2(true, estimated, ~jnp.isnan(true), weighting)


def decoding_r2(
    rates: Numbers,
    decoded: Numbers,
    *,
    train: ArrayLike,
    test: ArrayLike,
    validation: ArrayLike | None = None,
    ridge: float | int | None = None,
    mask: Mask = None,
    weighting: Weighting = "uniform",
) -> Decoding:
    r"""How well a linear map from the rates tells what the animal did, such as the velocity of its hand.

    $$\min_{A, b} \frac1n \sum_k |v_k - A x_k - b|^2 + \lambda |A|^2, \qquad
      x_{ki} = \frac{r_{ki} - \langle r_i \rangle}{\sigma_i}$$

    fitted to the training trials, means and deviations included, and judged on the test trials.

    **Arguments:**

    - `rates`: what is decoded from, `(trial, time, neuron)`; latents and smoothed counts serve as well.
    - `decoded`: what is decoded, `(trial, time, dimension)`, in the same bins; shift one of them for a lag.
    - `train`, `test`, `validation`: the numbers of the trials of each; no trial is in two of them.
    - `ridge`: the strength $\lambda$, above 0: by it the variance 1 of a predictor is raised. None: of 15 strengths
        from 1e-5 to 100 the one that explains most of the validation trials, which are then needed.
    - `mask`: where `decoded` was observed, in its shape; all if None. A bin counts if all dimensions were.
    - `weighting`: as of [`rates_r2`][], over dimensions.

    **Returns:** [`Decoding`][]; take `r2`.
    """
    parts = _parts(train, validation, test, np.shape(rates)[0] if np.ndim(rates) else 0)
    if (ridge is None) == (validation is None):
        raise ValueError(
            f"ridge={ridge}: a strength is given, or chosen by validation trials, and not both; give one of the two"
        )
    if ridge is not None and not 0 < ridge < np.inf:
        raise ValueError(f"ridge={ridge}: the strength of a penalty is a finite number above 0; give such as 0.01")
    x, y, seen = _predictors(rates, decoded, mask)
    known = parts["train"]
    fits = _ridges(x[known], y[known], seen[known], STRENGTHS if ridge is None else (ridge,))

    def judged(part: str, fit) -> Float[Array, ""]:
        weights, offset = fit
        of = jnp.einsum("ktn,nd->ktd", x[parts[part]], weights)
        found = of + jnp.broadcast_to(offset, of.shape)
        true = y[parts[part]]
        return _r2(true, found, jnp.broadcast_to(seen[parts[part]][..., None], true.shape), weighting)

    strengths = jnp.asarray(STRENGTHS if ridge is None else (ridge,), x.dtype)
    best = 0 if ridge is not None else jnp.nanargmax(jnp.stack([judged("validation", fit) for fit in fits]))
    weights, offset = (jnp.stack(each)[best] for each in zip(*fits, strict=True))
    return Decoding(judged("test", (weights, offset)), strengths[best])


def _parts(train, validation, test, n: int) -> dict[str, np.ndarray]:
    given = {"train": train, "validation": validation, "test": test}
    parts = {name: chosen(name, at, n, "trials") for name, at in given.items() if at is not None}
    everything = np.concatenate(list(parts.values()))
    values, times = np.unique(everything, return_counts=True)
    if (times > 1).any():
        trial = values[times > 1][0]
        where = " and ".join(name for name, at in parts.items() if trial in at)
        raise ValueError(
            f"trial {trial} is in {where}: what a map was fitted or chosen by does not judge it; leave it out of one"
        )
    return parts


def _predictors(rates, decoded, mask) -> tuple[Array, Array, Array]:
    x, y = numbers(rates, "rates"), numbers(decoded, "decoded")
    if x.ndim != 3 or y.ndim != 3 or x.shape[:2] != y.shape[:2]:
        raise ValueError(
            f"rates has shape {x.shape} and decoded {y.shape}: they are (trial, time, neuron) and (trial, time, "
            "dimension), of the same trials and bins; cut them to these"
        )
    seen = observed(mask, "mask", y, "decoded").all(axis=-1)
    dtype = common_type(x, y)
    return x.astype(dtype), jnp.where(seen[..., None], y, 0).astype(dtype), seen


def _ridges(x: Array, y: Array, seen: Array, strengths: tuple[float | int, ...]) -> list[tuple[Array, Array]]:
    """Weights and offset for each strength, by one eigendecomposition."""
    x, y, seen = x.reshape(-1, x.shape[-1]), y.reshape(-1, y.shape[-1]), seen.reshape(-1).astype(x.dtype)
    n = jnp.maximum(jnp.sum(seen), 1)
    mean_x, mean_y = seen @ x / n, seen @ y / n
    x, y = ((a - jnp.broadcast_to(mean, a.shape)) * seen[:, None] for a, mean in ((x, mean_x), (y, mean_y)))
    deviation = jnp.sqrt(jnp.sum(x**2, axis=0) / n)
    x = x / jnp.broadcast_to(one_where_zero(deviation), x.shape)
    values, vectors = jnp.linalg.eigh(x.T @ x / n)
    rotated = vectors.T @ (x.T @ y / n)

    def fit(strength) -> tuple[Array, Array]:
        weights = vectors @ (rotated / (jnp.maximum(values, 0) + strength)[:, None])
        weights = weights / one_where_zero(deviation)[:, None]
        return weights, mean_y - mean_x @ weights

    return [fit(strength) for strength in strengths]


def _r2(true: Array, estimated: Array, mask: Array, weighting: str) -> Float[Array, ""]:
    """Of arrays `(..., channel)`."""
    check_kept("weighting", weighting, ("uniform", "variance"))
    true, estimated, mask = (x.reshape(-1, x.shape[-1]) for x in (true, estimated, mask))
    true, estimated = jnp.where(mask, true, 0), jnp.where(mask, estimated, 0)
    # The mean of equal numbers is theirs but for rounding, which is no spread.
    largest, least = (f(jnp.where(mask, true, s * jnp.inf), axis=0) for f, s in ((jnp.max, -1), (jnp.min, 1)))
    spread = jnp.where(mask, true - jnp.broadcast_to(mean_rates(true, mask), true.shape), 0)
    left, there = jnp.sum((true - estimated) ** 2, axis=0), jnp.sum(spread**2, axis=0)
    varies = ~(largest <= least)  # of NaN too, which is then the value
    there = jnp.where(varies, there, 0)
    if weighting == "variance":
        return jnp.where(jnp.any(varies), 1 - jnp.sum(left) / one_where_zero(jnp.sum(there)), jnp.nan)
    each = jnp.where(varies, 1 - left / one_where_zero(there), 0)
    return jnp.sum(each) / jnp.sum(varies).astype(true.dtype)
