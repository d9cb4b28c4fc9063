r"""How far a forecast is from the observations: sMAPE, MASE, RMSE, NRMSE.

In all of them `mask` is `True` where the truth was observed. An entry that was not observed is
never counted and may hold anything, NaN included. An observed NaN is not forgiven: it makes the
value NaN (or the forecast invalid).

Arrays of other shapes than one another are refused, but for one channel: `(time, 1)` and `(time,)`
are the same. Integers, booleans and half precisions are computed in floating numbers of 32 bits or
more. Empty arrays are refused; where nothing was observed, or too little for the metric to be
defined (each says how much), the value is NaN.

??? cite

    Hyndman and Koehler, "Another look at measures of forecast accuracy", Int. J. Forecasting 22
    (2006): sMAPE, MASE.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from ctmodels.metrics._arrays import Mask, Numbers, common_type, numbers, observed, root_mean_square, same_shape


def smape(
    true: Numbers,
    predicted: Numbers,
    mask: Mask = None,
) -> Float[Array, ""]:
    r"""Symmetric mean absolute percentage error, from 0 to 200; lower is better.

    $$\mathrm{sMAPE} = 200 \left\langle \frac{|x - \hat x|}{|x| + |\hat x|} \right\rangle$$

    **Arguments:**

    - `true`, `predicted`: the observations and their forecast, in one shape.
    - `mask`: which entries of `true` were observed, in its shape; all of them if `None`.

    **Returns:** the mean over all observed entries; NaN if there are none.

    Of the definitions in use this is that of `dysts` and of the M3 competition (0 to 200); others
    leave out the factor two, or the absolute values below. An entry where both are zero is a
    perfect forecast and counts as 0, where some codes give NaN. An infinite forecast counts as 200,
    its limit.
    """
    true, predicted, mask = as_observed(true, predicted, mask)
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

    - `true`, `predicted`: the observations and their forecast, `(time, channel)` or `(time,)`.
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
    true, predicted, mask = with_channel_axis(*as_observed(true, predicted, mask))
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

    - `true`, `predicted`: the observations and their forecast, in one shape.
    - `mask`: which entries of `true` were observed; all of them if `None`.

    **Returns:** one mean over all observed entries, so a channel of large units rules it (see
    [`nrmse`][]); NaN if there are none.
    """
    true, predicted, mask = as_observed(true, predicted, mask)
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

    - `true`, `predicted`: the observations and their forecast, `(time, channel)` or `(time,)`.
    - `mask`: which entries of `true` were observed; all of them if `None`.

    **Returns:** the mean over the channels that were observed, twice at least, of each channel's own
    ratio; NaN if there are none: a single value has no spread. Others divide by the range or by the
    mean of the truth, or pool the channels before the root: the numbers are then not comparable. A
    channel whose truth is constant gives inf, or 0 if it was forecast without error.
    """
    true, predicted, mask = with_channel_axis(*as_observed(true, predicted, mask))
    error = root_mean_square(true - predicted, mask, axis=0)
    return _mean_of_ratios(error, standard_deviation(true, mask), mask.sum(axis=0) > 1)


def as_observed(true: Numbers, predicted: Numbers, mask: Mask) -> tuple[Array, Array, Array]:
    """Arrays, with zeros where nothing was observed, so that no NaN there meets any arithmetic."""
    true, predicted = same_shape(true=true, predicted=predicted)
    mask = observed(mask, "mask", true, "true")
    return jnp.where(mask, true, 0), jnp.where(mask, predicted, 0), mask


def with_channel_axis(*arrays: Array) -> list[Array]:
    """With an axis of channels, of one where there is none."""
    if arrays[0].ndim == 0:
        raise ValueError("true has shape (): a forecast is (time, channel) or (time,)")
    return [x[:, None] if x.ndim == 1 else x for x in arrays]


def _history(history, mask) -> list[Array]:
    history = numbers(history, "history")
    mask = observed(mask, "history_mask", history, "history")
    return with_channel_axis(jnp.where(mask, history, 0), mask)


def _mean(x, mask, axis=None, keepdims=False):
    total = jnp.sum(jnp.where(mask, x, 0), axis=axis, keepdims=keepdims)
    return total / jnp.sum(mask, axis=axis, keepdims=keepdims).astype(x.dtype)


def standard_deviation(x: Array, mask: Array) -> Array:
    """The standard deviation of each channel."""
    return root_mean_square(x - _mean(x, mask, axis=0, keepdims=True), mask, axis=0)


def _mean_of_ratios(error, scale, seen):
    """The mean over the channels seen of error / scale, where 0/0 is 0: no error is no error."""
    return _mean(jnp.where((error == 0) & (scale == 0), 0, error / scale), seen)
