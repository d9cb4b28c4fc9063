r"""How far a forecast is from what came: sMAPE, MASE, RMSE, NRMSE, and how long it stays near.

In all of them `mask` is `True` where the truth was observed. An entry that was not observed is
never counted and may hold anything, NaN included. An observed NaN is not forgiven: it makes the
value NaN (or the forecast invalid).

??? cite

    Hyndman and Koehler, "Another look at measures of forecast accuracy", Int. J. Forecasting 22
    (2006): sMAPE, MASE. Pathak et al., Phys. Rev. Lett. 120, 024102 (2018): the valid prediction
    time.
"""

import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Bool, Float


def smape(
    true: Float[ArrayLike, "*shape"],
    predicted: Float[ArrayLike, "*shape"],
    mask: Bool[ArrayLike, "*shape"] | None = None,
) -> Float[Array, ""]:
    r"""Symmetric mean absolute percentage error, from 0 to 200; lower is better.

    $$\mathrm{sMAPE} = 200 \left\langle \frac{|x - \hat x|}{|x| + |\hat x|} \right\rangle$$

    **Arguments:**

    - `true`, `predicted`: what came and what was said, in one shape.
    - `mask`: which entries of `true` were observed; all of them if `None`.

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
    true: Float[ArrayLike, "time *channel"],
    predicted: Float[ArrayLike, "time *channel"],
    history: Float[ArrayLike, "past *channel"],
    season: int = 1,
    mask: Bool[ArrayLike, "time *channel"] | None = None,
    history_mask: Bool[ArrayLike, "past *channel"] | None = None,
) -> Float[Array, ""]:
    r"""Mean absolute scaled error; lower is better, and 1 is the naive forecast on the history.

    $$\mathrm{MASE} = \frac{\langle |x_t - \hat x_t| \rangle_{t\,\in\,\text{forecast}}}
      {\langle |x_t - x_{t-m}| \rangle_{t\,\in\,\text{history}}}, \qquad m = \text{season}$$

    **Arguments:**

    - `true`, `predicted`: what came and what was said.
    - `history`: what the forecaster had seen (the training part), longer than `season`.
    - `season`: the period of the naive forecast, in samples.
    - `mask`, `history_mask`: what was observed of `true` and of `history`. A pair of the history
        counts if both of its ends were observed.

    **Returns:** each channel is scaled by its own history, and the mean is over the channels that
    were observed. A channel without a scale (a constant history) gives inf, or 0 if it was forecast
    without error; a history without one observed pair gives NaN.
    """
    true, predicted, mask = _observed(true, predicted, mask)
    history, _, history_mask = _observed(history, history, history_mask)
    if not 0 < season < len(history):
        raise ValueError(f"season={season} does not fit a history of {len(history)} samples")
    naive = jnp.abs(history[season:] - history[:-season])
    scale = _mean(naive, history_mask[season:] & history_mask[:-season], axis=0)
    error = _mean(jnp.abs(true - predicted), mask, axis=0)
    return _mean_of_ratios(error, scale, mask.any(axis=0))


def rmse(
    true: Float[ArrayLike, "*shape"],
    predicted: Float[ArrayLike, "*shape"],
    mask: Bool[ArrayLike, "*shape"] | None = None,
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
    return jnp.sqrt(_mean(jnp.square(true - predicted), mask))


def nrmse(
    true: Float[ArrayLike, "time *channel"],
    predicted: Float[ArrayLike, "time *channel"],
    mask: Bool[ArrayLike, "time *channel"] | None = None,
) -> Float[Array, ""]:
    r"""Root mean square error in standard deviations of the truth; lower is better, 1 is its mean.

    $$\mathrm{NRMSE} = \frac1C \sum_c \frac{\langle (x_c - \hat x_c)^2 \rangle^{1/2}}{\sigma_c},
      \qquad \sigma_c^2 = \langle (x_c - \langle x_c \rangle)^2 \rangle$$

    **Arguments:**

    - `true`, `predicted`: what came and what was said.
    - `mask`: which entries of `true` were observed; all of them if `None`.

    **Returns:** the mean over the channels that were observed of each channel's own ratio. Others
    divide by the range or by the mean of the truth, or pool the channels before the root: the
    numbers are then not comparable. A channel whose truth is constant gives inf, or 0 if it was
    forecast without error.
    """
    true, predicted, mask = _observed(true, predicted, mask)
    error = jnp.sqrt(_mean(jnp.square(true - predicted), mask, axis=0))
    return _mean_of_ratios(error, jnp.sqrt(_variance(true, mask)), mask.any(axis=0))


def valid_prediction_time(
    ts: Float[ArrayLike, " time"],
    true: Float[ArrayLike, "time channel"],
    predicted: Float[ArrayLike, "time channel"],
    *,
    threshold: float | int = 0.4,
    scale: float | int | Float[ArrayLike, ""] | None = None,
    mask: Bool[ArrayLike, "time channel"] | None = None,
) -> Float[Array, ""]:
    r"""How long a forecast stays near the truth, in the units of `ts`; higher is better.

    $$\mathrm{VPT} = \min \Big\{ t - t_0 :
      \frac{\|\hat x(t) - x(t)\|}{\langle \|x - \langle x\rangle\|^2\rangle^{1/2}} > \theta \Big\}$$

    **Arguments:**

    - `ts`: the times; the forecast starts at `ts[0]`.
    - `true`, `predicted`: what came and what was said.
    - `threshold`: $\theta$. Published values go from 0.3 to 0.5, so quote it.
    - `scale`: the denominator $\langle \|x - \langle x\rangle\|^2\rangle^{1/2}$, best computed once
        from a long reference orbit. If `None`, it is computed from `true`, and then depends on
        which stretch of orbit was forecast.
    - `mask`: which entries of `true` were observed; all of them if `None`. Where some channels are
        missing their squared error is taken to be the mean of those observed; a time with none
        observed is passed over.

    **Returns:** the time of the first error above the threshold; `ts[-1] - ts[0]` if there is none,
    which is a lower bound. A forecast that is NaN or infinite is above any threshold. Multiply by
    the largest Lyapunov exponent to have it in Lyapunov times. (The other definition in use, a
    cumulative sMAPE above 30, is not this one.)
    """
    ts = jnp.asarray(ts)
    true, predicted, mask = _observed(true, predicted, mask)
    # Mean squares per channel, above and below: the number of channels cancels, and missing
    # channels are filled in.
    error = _mean(jnp.square(true - predicted), mask, axis=1)
    if scale is None:
        spread = _mean(_variance(true, mask), mask.any(axis=0))
    else:
        spread = jnp.square(jnp.asarray(scale, true.dtype)) / true.shape[1]
    # `not <=` rather than `>`, so that NaN counts; no division, so that a truth at rest is no
    # special case.
    exceeded = ~(error <= threshold**2 * spread) & mask.any(axis=1)
    return jnp.where(exceeded.any(), ts[jnp.argmax(exceeded)], ts[-1]) - ts[0]


def _observed(true, predicted, mask):
    """Arrays, with zeros where nothing was observed, so that no NaN there meets any arithmetic."""
    true, predicted = jnp.asarray(true), jnp.asarray(predicted)
    mask = jnp.ones(true.shape, bool) if mask is None else jnp.asarray(mask)
    return jnp.where(mask, true, 0), jnp.where(mask, predicted, 0), mask


def _mean(x, mask, axis=None, keepdims=False):
    total = jnp.sum(jnp.where(mask, x, 0), axis=axis, keepdims=keepdims)
    return total / jnp.sum(mask, axis=axis, keepdims=keepdims).astype(x.dtype)


def _variance(x, mask):
    return _mean(jnp.square(x - _mean(x, mask, axis=0, keepdims=True)), mask, axis=0)


def _mean_of_ratios(error, scale, seen):
    """The mean over the channels seen of error / scale, where 0/0 is 0: no error is no error."""
    return _mean(jnp.where((error == 0) & (scale == 0), 0, error / scale), seen)
