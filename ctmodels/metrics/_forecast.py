r"""How far a forecast is from what came: sMAPE, MASE, RMSE, NRMSE, and how long it stays near.

In all of them `mask` is `True` where the truth was observed. An entry that was not observed is
never counted and may hold anything, NaN included. An observed NaN is not forgiven: it makes the
value NaN (or the forecast invalid).

Arrays of other shapes than one another are refused, but for one channel: `(time, 1)` and `(time,)`
are the same. Integers, booleans and half precisions are computed in floating numbers of 32 bits or
more. Empty arrays are refused; where nothing was observed, or too little for the metric to be
defined (each says how much), the value is NaN.

??? cite

    Hyndman and Koehler, "Another look at measures of forecast accuracy", Int. J. Forecasting 22
    (2006): sMAPE, MASE. Pathak et al., Phys. Rev. Lett. 120, 024102 (2018): the valid prediction
    time.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, ArrayLike, Bool, Float, Int, Shaped

from ctmodels.metrics._arrays import Numbers, alike, common_type, not_empty, numbers, observed, root_mean_square

Mask = Shaped[ArrayLike, "..."] | None


def smape(
    true: Numbers,
    predicted: Numbers,
    mask: Mask = None,
) -> Float[Array, ""]:
    r"""Symmetric mean absolute percentage error, from 0 to 200; lower is better.

    $$\mathrm{sMAPE} = 200 \left\langle \frac{|x - \hat x|}{|x| + |\hat x|} \right\rangle$$

    **Arguments:**

    - `true`, `predicted`: what came and what was said, in one shape.
    - `mask`: which entries of `true` were observed, in its shape; all of them if `None`.

    **Returns:** the mean over all observed entries; NaN if there are none.

    Of the definitions in use this is that of `dysts` and of the M3 competition (0 to 200); others
    leave out the factor two, or the absolute values below. An entry where both are zero is a
    perfect forecast and counts as 0, where some codes give NaN. An infinite forecast counts as 200,
    its limit.
    """
    true, predicted, mask = _observed(true, predicted, mask)
    total = jnp.abs(true) + jnp.abs(predicted)
    ratio = jnp.abs(true - predicted) / jnp.where(total == 0, 1, total)
    return 200 * _mean(jnp.where(jnp.isinf(total), 1, ratio), mask)


def mase(
    true: Numbers,
    predicted: Numbers,
    history: Numbers,
    season: int = 1,
    mask: Mask = None,
    history_mask: Mask = None,
) -> Float[Array, ""]:
    r"""Mean absolute scaled error; lower is better, and 1 is the naive forecast on the history.

    $$\mathrm{MASE} = \frac{\langle |x_t - \hat x_t| \rangle_{t\,\in\,\text{forecast}}}
      {\langle |x_t - x_{t-m}| \rangle_{t\,\in\,\text{history}}}, \qquad m = \text{season}$$

    **Arguments:**

    - `true`, `predicted`: what came and what was said, `(time, channel)` or `(time,)`.
    - `history`: what the forecaster had seen (the training part), of the same channels, longer than
        `season`.
    - `season`: the period of the naive forecast, in samples.
    - `mask`, `history_mask`: what was observed of `true` and of `history`. A pair of the history
        counts if both of its ends were observed.

    **Returns:** each channel is scaled by its own history, and the mean is over the channels that
    were observed. A channel without a scale (a constant history) gives inf, or 0 if it was forecast
    without error. It needs one observed pair in the history of each channel that is judged, and is
    NaN otherwise.
    """
    true, predicted, mask = _in_channels(*_observed(true, predicted, mask))
    history, history_mask = _history(history, history_mask)
    if history.shape[1:] != true.shape[1:]:
        raise ValueError(
            f"history has shape {history.shape} and true {true.shape}, (time, channel): the error of a channel is held "
            "against its own history; give both the same channels"
        )
    dtype = common_type(history, true)
    history, true, predicted = (x.astype(dtype) for x in (history, true, predicted))
    if not 0 < season < len(history):
        raise ValueError(f"season={season} does not fit a history of {len(history)} samples")
    naive = jnp.abs(history[season:] - history[:-season])
    scale = _mean(naive, history_mask[season:] & history_mask[:-season], axis=0)
    error = _mean(jnp.abs(true - predicted), mask, axis=0)
    return _mean_of_ratios(error, scale, mask.any(axis=0))


def rmse(
    true: Numbers,
    predicted: Numbers,
    mask: Mask = None,
) -> Float[Array, ""]:
    r"""Root mean square error, in the units of the data; lower is better.

    $$\mathrm{RMSE} = \langle (x - \hat x)^2 \rangle^{1/2}$$

    **Arguments:**

    - `true`, `predicted`: what came and what was said, in one shape.
    - `mask`: which entries of `true` were observed; all of them if `None`.

    **Returns:** one mean over all observed entries, so a channel of large units rules it (see
    [`nrmse`][]); NaN if there are none.
    """
    true, predicted, mask = _observed(true, predicted, mask)
    return root_mean_square(true - predicted, mask)


def nrmse(
    true: Numbers,
    predicted: Numbers,
    mask: Mask = None,
) -> Float[Array, ""]:
    r"""Root mean square error in standard deviations of the truth; lower is better, 1 is its mean.

    $$\mathrm{NRMSE} = \frac1C \sum_c \frac{\langle (x_c - \hat x_c)^2 \rangle^{1/2}}{\sigma_c},
      \qquad \sigma_c^2 = \langle (x_c - \langle x_c \rangle)^2 \rangle$$

    **Arguments:**

    - `true`, `predicted`: what came and what was said, `(time, channel)` or `(time,)`.
    - `mask`: which entries of `true` were observed; all of them if `None`.

    **Returns:** the mean over the channels that were observed, twice at least, of each channel's own
    ratio; NaN if there are none: a single value has no spread. Others divide by the range or by the
    mean of the truth, or pool the channels before the root: the numbers are then not comparable. A
    channel whose truth is constant gives inf, or 0 if it was forecast without error.
    """
    true, predicted, mask = _in_channels(*_observed(true, predicted, mask))
    error = root_mean_square(true - predicted, mask, axis=0)
    return _mean_of_ratios(error, _spread(true, mask), mask.sum(axis=0) > 1)


class ValidTime(NamedTuple):
    """How long a forecast was valid.

    - `value`: the time, in the units of `ts`; NaN if nothing was observed.
    - `count`: how many times were observed, and so could be judged.
    - `censored`: True if no error was above the threshold, so that it was valid for `value` *at least*.
    """

    value: Float[Array, ""]
    count: Int[Array, ""]
    censored: Bool[Array, ""]


def valid_time(
    ts: Numbers,
    true: Numbers,
    predicted: Numbers,
    *,
    t0: float | int | Float[ArrayLike, ""] | None = None,
    threshold: float | int = 0.4,
    scale: float | int | Float[ArrayLike, ""] | None = None,
    mask: Mask = None,
) -> ValidTime:
    r"""[`valid_prediction_time`][], with what it rests on: the count, and whether it is a lower bound.

    **Arguments:**

    - `t0`: when the forecast was made, before `ts[0]`: the time is counted from there, and a horizon
        of one sample has a time. A forecast whose first observed error is above the threshold was
        never valid: 0. If `None`, it was made at `ts[0]`.
    - all others as in [`valid_prediction_time`][].

    **Returns:** [`ValidTime`][].
    """
    elapsed = _since(ts, t0)
    true, predicted, mask = _in_channels(*_observed(true, predicted, mask))
    if elapsed.shape != true.shape[:1] or true.ndim != 2:
        raise ValueError(
            f"ts has shape {elapsed.shape} and true {true.shape}, that is (time,) and (time, channel): give one time "
            "for each row of true"
        )
    if scale is None:
        # Of the channels seen twice: a single value has no spread.
        spread = root_mean_square(_spread(true, mask), mask.sum(axis=0) > 1)
    else:
        spread = jnp.asarray(scale).astype(true.dtype) / true.shape[1] ** 0.5
    if spread.ndim:
        raise ValueError(f"scale has shape {spread.shape}: it is one number, the root of the mean squared distance")
    # Means over channels, above and below: their number cancels, and missing ones are filled in.
    error = root_mean_square(true - predicted, mask, axis=1)
    seen = mask.any(axis=1)
    # `not <=` rather than `>`, so that NaN counts; no division, so that a truth at rest is no special case.
    exceeded = ~(error <= threshold * spread) & seen
    first, count, wrong = jnp.argmax(exceeded), seen.sum(), exceeded.any()
    last = len(seen) - 1 - jnp.argmax(seen[::-1])
    value = elapsed[jnp.where(wrong, first, last)]
    value = jnp.where(wrong & (first == jnp.argmax(seen)) & (t0 is not None), 0, value)
    defined = (count > 0) if scale is not None else (mask.sum(axis=0) > 1).any()
    return ValidTime(jnp.where(defined, value, jnp.nan), count, defined & ~wrong)


def valid_prediction_time(
    ts: Numbers,
    true: Numbers,
    predicted: Numbers,
    *,
    threshold: float | int = 0.4,
    scale: float | int | Float[ArrayLike, ""] | None = None,
    mask: Mask = None,
) -> Float[Array, ""]:
    r"""How long a forecast stays near the truth, in the units of `ts`; higher is better.

    $$\mathrm{VPT} = \min \Big\{ t - t_0 :
      \frac{\|\hat x(t) - x(t)\|}{\langle \|x - \langle x\rangle\|^2\rangle^{1/2}} > \theta \Big\}$$

    **Arguments:**

    - `ts`: the times, `(time,)`; the forecast starts at `ts[0]`.
    - `true`, `predicted`: what came and what was said, `(time, channel)` or `(time,)`.
    - `threshold`: $\theta$. Published values go from 0.3 to 0.5, so quote it.
    - `scale`: the denominator $\langle \|x - \langle x\rangle\|^2\rangle^{1/2}$, best computed once
        from a long reference orbit. If `None`, it is computed from `true`, and then depends on
        which stretch of orbit was forecast.
    - `mask`: which entries of `true` were observed; all of them if `None`. Where some channels are
        missing their squared error is taken to be the mean of those observed; a time with none
        observed is passed over.

    **Returns:** the time of the first error above the threshold; the last observed time if there is
    none, which is a lower bound ([`valid_time`][] says which of the two it is). NaN if nothing was
    observed, or if `scale` is `None` and no channel was observed twice. A forecast that is NaN or
    infinite is above any threshold. Multiply by the largest Lyapunov exponent to have it in Lyapunov
    times. (The other definition in use, a cumulative sMAPE above 30, is not this one.)
    """
    return valid_time(ts, true, predicted, threshold=threshold, scale=scale, mask=mask).value


def _since(ts, t0) -> Array:
    """Times since the first, or since `t0`; of NumPy's on the host: seconds since 1970 are no float32."""
    ts = ts if isinstance(ts, jax.Array) else np.asarray(ts)
    if ts.ndim != 1:
        raise ValueError(f"ts has shape {ts.shape}: the times of one series are (time,)")
    not_empty("ts", ts)
    origin = ts[0] if t0 is None else t0
    if isinstance(ts, jax.Array) or isinstance(origin, jax.Array):
        ts = numbers(ts, "ts")
        return ts - jnp.asarray(origin).astype(ts.dtype)
    return numbers(ts - origin, "ts")


def _observed(true, predicted, mask):
    """Arrays, with zeros where nothing was observed, so that no NaN there meets any arithmetic."""
    true, predicted = alike(true=true, predicted=predicted)
    mask = observed(mask, "mask", true, "true")
    return jnp.where(mask, true, 0), jnp.where(mask, predicted, 0), mask


def _in_channels(*arrays):
    """With an axis of channels, of one where there is none."""
    if arrays[0].ndim == 0:
        raise ValueError("true has shape (): a forecast is (time, channel) or (time,)")
    return [x[:, None] if x.ndim == 1 else x for x in arrays]


def _history(history, mask):
    history = numbers(history, "history")
    mask = observed(mask, "history_mask", history, "history")
    return _in_channels(jnp.where(mask, history, 0), mask)


def _mean(x, mask, axis=None, keepdims=False):
    total = jnp.sum(jnp.where(mask, x, 0), axis=axis, keepdims=keepdims)
    return total / jnp.sum(mask, axis=axis, keepdims=keepdims).astype(x.dtype)


def _spread(x, mask):
    """The standard deviation of each channel."""
    return root_mean_square(x - _mean(x, mask, axis=0, keepdims=True), mask, axis=0)


def _mean_of_ratios(error, scale, seen):
    """The mean over the channels seen of error / scale, where 0/0 is 0: no error is no error."""
    return _mean(jnp.where((error == 0) & (scale == 0), 0, error / scale), seen)
